//! Whatever is dropped, and in whatever state, leaves nothing behind: no registration, task, socket or memory.

#![cfg(target_os = "linux")] // `/proc` tells
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crosspeer_native::{Config, PeerConnection, PeerManager, RelayClient};
use crosspeer_relay::{Hub, Relay, RelayConfig};
use std::time::Duration;
use tokio::time::timeout;
use uuid::Uuid;

/// Nothing here takes long; a test that hangs ends with this.
const HANG: Duration = Duration::from_secs(60);
/// How many of each kind, most of which take a millisecond.
const MANY: usize = 1000;
/// Of those that take a connection between peers.
const CONNECTIONS: usize = 40;

struct Site {
    url: String,
    relay: Hub,
    tasks: usize,
    files: usize,
}

fn config() -> Config {
    let mut config = Config::default();
    config.ice_servers.clear();
    config
}

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

fn files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// MiB that the process has in memory.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() >> 8
}

impl Site {
    async fn new() -> Self {
        let mut config = RelayConfig::default();
        (config.host, config.port) = (Some("127.0.0.1".into()), 0);
        let server = Relay::bind(config).await.unwrap();
        let (url, relay) = (format!("ws://{}", server.local_addr()), server.hub().clone());
        tokio::spawn(server.serve(std::future::pending()));
        tokio::task::yield_now().await;
        let (tasks, files) = (tasks(), files());
        Self {
            url,
            relay,
            tasks,
            files,
        }
    }

    async fn join(&self) -> PeerManager {
        PeerManager::join(&self.url, config()).await.unwrap()
    }

    /// Everything is as it was, soon.
    async fn is_clean(&self, what: &str) {
        let clean = || self.relay.registered() == 0 && tasks() <= self.tasks && files() <= self.files;
        let all = async {
            while !clean() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let found = timeout(HANG / 4, all).await;
        let (registered, tasks, files) = (
            self.relay.registered(),
            tasks().saturating_sub(self.tasks),
            files().saturating_sub(self.files),
        );
        assert!(
            found.is_ok(),
            "{what}: {registered} registrations, {tasks} tasks, {files} files are left"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_dropped_leaves_nothing_behind() {
    let site = Site::new().await;
    let stranger = Uuid::from_u128(1);
    let mut begun = 0;
    for i in 0..MANY {
        if i == MANY / 10 {
            begun = memory();
        }
        let manager = site.join().await;
        match i % 5 {
            0 => drop(manager),
            1 => {
                let (sent, received) = (manager.send(stranger, "nobody"), manager.recv());
                let _ = timeout(Duration::from_micros(300), async { tokio::join!(sent, received) }).await;
            }
            2 => {
                let _ = timeout(Duration::from_micros(300), manager.accept()).await;
            }
            3 => {
                let clone = manager.clone();
                drop(manager);
                let _ = timeout(Duration::from_micros(300), clone.connect(stranger)).await;
            }
            _ => {
                let task = tokio::spawn(async move { manager.recv().await });
                tokio::task::yield_now().await;
                task.abort();
            }
        }
    }
    site.is_clean("managers").await;
    for i in 0..MANY {
        let client = RelayClient::connect(&site.url, config()).await.unwrap();
        let connection = PeerConnection::new(&client, 1).unwrap();
        match i % 4 {
            0 => drop((client, connection)),
            1 => drop((connection, client)),
            2 => {
                let _ = timeout(Duration::from_micros(300), client.recv()).await;
                drop(client);
                let _ = timeout(Duration::from_micros(300), connection.ready(HANG)).await;
            }
            _ => client.close().await.unwrap(),
        }
    }
    site.is_clean("relay clients").await;
    let grown = memory().saturating_sub(begun);
    assert!(grown < 24, "{grown} MiB more than after the first hundred");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_that_was_given_up_leaves_nothing_behind() {
    let site = Site::new().await;
    // It accepts, and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let deaf = format!("ws://{}", silent.local_addr().unwrap());
    let gone = "ws://127.0.0.1:1";
    for i in 0..MANY {
        let url = [&deaf, gone, &site.url][i % 3];
        let patience = Duration::from_micros(200 * (i as u64 % 7));
        let _ = timeout(patience, PeerManager::join(url, config())).await;
        let _ = timeout(patience, RelayClient::connect(url, config())).await;
        while let Ok(Ok((socket, _))) = timeout(Duration::ZERO, silent.accept()).await {
            drop(socket);
        }
    }
    drop(silent);
    site.is_clean("joins").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_dropped_in_any_order_leave_nothing_behind() {
    let site = Site::new().await;
    for i in 0..CONNECTIONS {
        let (a, b) = (site.join().await, site.join().await);
        let (ours, theirs) = tokio::join!(a.connect(b.uuid()), b.accept());
        let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
        // What was sent before is delivered all the same, unless nobody is left to take it.
        ours.send(vec![7; 100_000]).await.unwrap();
        match i % 6 {
            0 => drop((a, b, ours, theirs)),
            1 => drop((ours, theirs, a, b)),
            2 => drop((b, theirs, ours, a)),
            3 => {
                // The accepted one goes last.
                drop(b);
                assert_eq!(theirs.recv().await.unwrap().len(), 100_000);
                drop((a, ours));
                drop(theirs);
            }
            4 => {
                // In the middle of a transfer that nobody reads.
                let _ = timeout(Duration::from_millis(30), ours.send(vec![7; 64 << 20])).await;
                drop((theirs, b, a, ours));
            }
            _ => {
                let flood = tokio::spawn(async move { while ours.send(vec![7; 1 << 20]).await.is_ok() {} });
                tokio::time::sleep(Duration::from_millis(20)).await;
                drop((theirs, b, a));
                timeout(HANG / 4, flood).await.expect("the sender is told").unwrap();
            }
        }
    }
    site.is_clean("connections").await;
}
