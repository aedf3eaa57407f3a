//! Messages of every size, on a connection that has just come up and on one that is warm.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::Bytes;
use crosspeer_native::{Config, Message, PeerConnection, PeerManager};
use crosspeer_relay::{Relay, RelayConfig};
use std::process::Command;
use std::time::Duration;
use tokio::time::timeout;

/// Each message takes milliseconds; one that hangs ends with this.
const HANG: Duration = Duration::from_secs(30);
const LARGEST: usize = 200_000;

async fn pair() -> ([PeerManager; 2], [PeerConnection; 2]) {
    let mut config = RelayConfig::default();
    (config.host, config.port) = (Some("127.0.0.1".into()), 0);
    let server = Relay::bind(config).await.unwrap();
    let relay = format!("ws://{}", server.local_addr());
    tokio::spawn(server.serve(std::future::pending()));
    let mut config = Config::default();
    config.ice_servers.clear();
    config.lanes = 1..=1;
    let a = PeerManager::join(&relay, config.clone()).await.unwrap();
    let b = PeerManager::join(&relay, config).await.unwrap();
    let ours = a.connect(b.uuid()).await.unwrap();
    let theirs = b.accept().await.unwrap();
    ([a, b], [ours, theirs])
}

/// One message of each of these sizes, each awaited at the other side before the next is sent.
async fn all_arrive([from, to]: [&PeerConnection; 2], pattern: &Bytes, sizes: impl Iterator<Item = usize>) {
    for size in sizes {
        let message = Message::Bytes(pattern.slice(..size));
        from.send(message.clone()).await.unwrap();
        let received = timeout(HANG, to.recv()).await;
        let received = received
            .unwrap_or_else(|_| panic!("{size} bytes never arrive"))
            .unwrap();
        assert!(received == message, "{size} bytes arrive as something else");
    }
}

async fn close(managers: [PeerManager; 2]) {
    for manager in managers {
        timeout(HANG, manager.close()).await.expect("an end").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_connection_carries_every_size() {
    let pattern: Bytes = (0..LARGEST).map(|i| (i % 251) as u8).collect();
    let (managers, [a, b]) = pair().await;
    // The first make it warm.
    let large = std::iter::repeat_n(LARGEST, 50);
    all_arrive([&a, &b], &pattern, large.clone()).await;
    all_arrive([&b, &a], &pattern, large).await;
    // A batch of datagrams was refused when its last one had one of 28 sizes: every size around that, and steps below it.
    let sizes = (1..LARGEST).step_by(23).chain(61_000..63_500);
    all_arrive([&a, &b], &pattern, sizes.clone()).await;
    all_arrive([&b, &a], &pattern, sizes).await;
    close(managers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_connection_carries_every_size() {
    let pattern: Bytes = (0..LARGEST).map(|i| (i % 251) as u8).collect();
    for size in (1..LARGEST).step_by(7_919).chain((61_600..62_800).step_by(27)) {
        let (managers, [a, b]) = pair().await;
        all_arrive([&a, &b], &pattern, std::iter::once(size)).await;
        close(managers).await;
    }
}

/// IPv6 carries somewhat less in a datagram. Whether this host has it or not: this program once more, in a network of its
/// own that has nothing else.
#[test]
fn ipv6_carries_every_size() {
    let network = "ip link set lo up && ip link add wan type veth peer name end \
        && ip address add fd00::1/64 dev wan nodad && ip link set wan up && ip link set end up";
    let unshared = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", script]);
        command.arg(std::env::current_exe().unwrap());
        command.output()
    };
    let able = unshared(network);
    if !able.as_ref().is_ok_and(|output| output.status.success()) {
        return eprintln!("left out, since it needs root, iproute2 and a kernel with IPv6: {able:?}");
    }
    let tests = "a_warm_connection_carries_every_size a_fresh_connection_carries_every_size";
    let output = unshared(&format!("{network} && exec \"$0\" --exact {tests}")).unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("2 passed"), "{text}");
}
