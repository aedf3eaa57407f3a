//! What a peer hears of its relay: that it is lost, back, refuses, or has given its place to another.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crosspeer::{Error, IceTransportPolicy, Path, Proxy, RelayState};
use crosspeer_native::{Config, PeerManager, RelayClient};
use crosspeer_relay::{Relay, RelayConfig};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use uuid::Uuid;

/// Far more than anything here takes, and less than a peer tries for.
const SOON: Duration = Duration::from_secs(10);

/// A relay, and what ends it when dropped.
async fn relay_at(port: u16) -> (String, oneshot::Sender<()>, JoinHandle<()>) {
    let mut config = RelayConfig::default();
    (config.host, config.port) = (Some("127.0.0.1".into()), port);
    let server = Relay::bind(config).await.unwrap();
    let url = format!("ws://{}", server.local_addr());
    let (stop, stopped) = oneshot::channel();
    let serving = server.serve(async {
        let _ = stopped.await;
    });
    (url, stop, tokio::spawn(serving))
}

fn config() -> Config {
    let mut config = Config::default();
    config.ice_servers.clear();
    config.proxy = Proxy::None;
    config
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(SOON, what).await.expect("it takes for ever")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_displaced_peer_hears_of_it_wherever_it_waits_and_its_connections_go_on() {
    let (url, _stop, _relay) = relay_at(0).await;
    let url = format!("{url}/?resume=ours");
    let mut same = config();
    same.uuid = Some(Uuid::new_v4());
    let first = PeerManager::join(&url, same.clone()).await.unwrap();
    let friend = PeerManager::join(&url, config()).await.unwrap();
    let connection = soon(first.connect(friend.uuid())).await.unwrap();
    let mut as_client = config();
    as_client.uuid = Some(Uuid::new_v4());
    let client = RelayClient::connect(&url, as_client.clone()).await.unwrap();

    let waiting = (first.clone(), first.clone(), first.clone(), client.clone());
    let waiting = tokio::spawn(async move {
        let seen = waiting.2.relay_state();
        tokio::join!(
            waiting.0.recv(),
            waiting.1.accept(),
            waiting.2.relay_changed(&seen),
            waiting.3.recv()
        )
    });
    tokio::task::yield_now().await;
    let _second = PeerManager::join(&url, same).await.unwrap();
    let _another = PeerManager::join(&url, as_client).await.unwrap();
    let (received, accepted, state, relayed) = soon(waiting).await.unwrap();
    assert_eq!(received.unwrap_err(), Error::Displaced);
    assert!(matches!(accepted, Err(Error::Displaced)));
    assert_eq!(state, RelayState::Ended(Error::Displaced));
    assert_eq!(relayed.unwrap_err(), Error::Displaced);
    assert!(!first.is_registered());
    assert_eq!(soon(first.reconnect_now()).await, Err(Error::Displaced));

    soon(connection.send("goes on")).await.unwrap();
    let (_, message) = soon(friend.recv()).await.unwrap();
    assert_eq!(message, "goes on".into());
    soon(friend.send(first.uuid(), "both ways")).await.unwrap();
    assert_eq!(soon(connection.recv()).await.unwrap(), "both ways".into());
    soon(first.close()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_is_lost_and_back_is_told_and_can_be_tried_at_once() {
    let (url, stop, relay) = relay_at(0).await;
    let port = url.rsplit(':').next().unwrap().parse().unwrap();
    let mut patient = config();
    patient.reconnect.initial = Duration::from_secs(3600);
    patient.reconnect.max = Duration::from_secs(3600);
    let peer = PeerManager::join(&url, patient).await.unwrap();
    assert_eq!(peer.relay_state(), RelayState::Registered);
    drop(stop);
    soon(relay).await.unwrap();
    let lost = soon(peer.relay_changed(&RelayState::Registered)).await;
    assert!(
        matches!(&lost, RelayState::Connecting(Some(Error::RelayUnreachable { .. }))),
        "{lost:?}"
    );
    let (_, _stop, _relay) = relay_at(port).await;
    soon(peer.reconnect_now()).await.unwrap();
    assert_eq!(peer.relay_state(), RelayState::Registered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_never_be_used_is_said_before_anything_is_tried() {
    let mut bad_proxy = config();
    bad_proxy.proxy = Proxy::Url("ftp://proxy".into());
    let mut bad_root = config();
    bad_root.tls.roots_pem.push("nothing".into());
    let mut bad_header = config();
    bad_header.relay_headers.push(("x y".into(), "z".into()));
    for (url, config) in [
        ("ws://host:99999", config()),
        ("http://host", config()),
        ("ws://a b", config()),
        ("ws://host", bad_proxy),
        ("wss://host", bad_root),
        ("ws://host", bad_header),
    ] {
        let error = soon(PeerManager::join(url, config)).await.unwrap_err();
        assert!(matches!(error, Error::InvalidInput(_)), "{url}: {error}");
    }
}

/// All that the peers are told is the relay's URL: it gives them its TURN server, and they may use nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relays_url_is_enough_to_reach_a_peer_through_its_turn_server() {
    let mut server = RelayConfig::default();
    (server.host, server.port) = (Some("127.0.0.1".into()), 0);
    server.turn.serve = true;
    let server = Relay::bind(server).await.unwrap();
    let url = format!("ws://{}", server.local_addr());
    tokio::spawn(server.serve(std::future::pending()));
    let only_relayed = config().with_ice_transport_policy(IceTransportPolicy::Relay);
    let a = PeerManager::join(&url, only_relayed.clone()).await.unwrap();
    let b = PeerManager::join(&url, only_relayed).await.unwrap();
    let connection = soon(a.connect(b.uuid())).await.unwrap();
    assert_eq!(connection.path(), Some(Path::Relayed));
    soon(connection.send("through it")).await.unwrap();
    assert_eq!(soon(b.recv()).await.unwrap().1, "through it".into());

    // Who does not ask is given none, and this host has no path without.
    let without = config()
        .with_relay_ice_servers(false)
        .with_ice_transport_policy(IceTransportPolicy::Relay)
        .with_connect_timeout(Duration::from_secs(1));
    let alone = PeerManager::join(&url, without).await.unwrap();
    let failed = soon(alone.connect(b.uuid())).await.unwrap_err();
    assert!(failed.to_string().contains("candidates stage"), "{failed}");
}
