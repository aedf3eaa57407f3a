//! A real process that is stopped for a while, and one that is stopped for too long.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crosspeer_native::{Config, Error, PeerManager};
use crosspeer_relay::{Relay, RelayConfig};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

const DEAD_AFTER: Duration = Duration::from_secs(3);
const HANG: Duration = Duration::from_secs(60);
/// Where the stopped process finds the relay.
const RELAY: &str = "CROSSPEER_TEST_RELAY";

fn config() -> Config {
    let mut config = Config::default();
    config.ice_servers.clear();
    config.dead_after = DEAD_AFTER;
    config.session_timeout = Duration::ZERO; // what is tested is when a path is given up
    config
}

/// Sends back what it gets. Only does so as the other process of the tests below.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the other process of the tests here"]
async fn echo() {
    let Ok(relay) = std::env::var(RELAY) else { return };
    let manager = PeerManager::join(&relay, config()).await.unwrap();
    println!("uuid {}", manager.uuid());
    while let Ok((from, message)) = manager.recv().await {
        let _ = manager.send(from, message).await;
    }
}

struct Other {
    process: Child,
    uuid: Uuid,
}

impl Other {
    async fn start(relay: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "echo", "--ignored", "--nocapture"])
            .env(RELAY, relay)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let uuid = async {
            loop {
                let line = lines.next_line().await.unwrap().expect("its UUID");
                if let Some((_, uuid)) = line.split_once("uuid ") {
                    return uuid.parse().unwrap();
                }
            }
        };
        let uuid = timeout(HANG, uuid).await.expect("the other process starts");
        Self { process, uuid }
    }

    async fn signal(&self, name: &str) {
        let id = self.process.id().unwrap().to_string();
        let status = Command::new("kill").args([name, &id]).status().await.unwrap();
        assert!(status.success());
    }
}

async fn relay() -> String {
    let mut config = RelayConfig::default();
    (config.host, config.port) = (Some("127.0.0.1".into()), 0);
    let server = Relay::bind(config).await.unwrap();
    let relay = format!("ws://{}", server.local_addr());
    tokio::spawn(server.serve(std::future::pending()));
    relay
}

/// A connection that was idle, or in the middle of something, when the other side stopped.
async fn stopped_for(time: Duration, busy: bool) -> Result<Duration, Error> {
    let relay = relay().await;
    let other = Other::start(&relay).await;
    let manager = PeerManager::join(&relay, config()).await.unwrap();
    let connection = manager.connect(other.uuid).await.unwrap();
    connection.send("before").await.unwrap();
    connection.recv().await.unwrap();
    sleep(Duration::from_millis(500)).await;
    other.signal("-STOP").await;
    let began = Instant::now();
    if busy {
        connection.send(vec![7; 300_000]).await?;
    }
    tokio::select! {
        error = connection.on_close() => {
            assert!(matches!(error, Error::ConnectionLost { .. }), "{error}");
            return Ok(began.elapsed());
        }
        () = sleep(time) => {}
    }
    other.signal("-CONT").await;
    connection.send("after").await?;
    if busy {
        assert_eq!(connection.recv().await?.len(), 300_000);
    }
    assert_eq!(connection.recv().await?.as_text(), Some("after"));
    sleep(DEAD_AFTER).await;
    assert_eq!(connection.state(), crosspeer_native::State::Connected);
    Err(Error::InvalidInput("it lives".into()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_stops_for_less_than_dead_after_is_not_lost() {
    let stop = DEAD_AFTER - Duration::from_millis(1500);
    let (idle, busy) = tokio::join!(stopped_for(stop, false), stopped_for(stop, true));
    for outcome in [idle, busy] {
        assert_eq!(outcome, Err(Error::InvalidInput("it lives".into())));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_stops_for_good_is_lost_after_dead_after() {
    let stop = DEAD_AFTER + Duration::from_secs(2);
    let (idle, busy) = tokio::join!(stopped_for(stop, false), stopped_for(stop, true));
    for outcome in [idle, busy] {
        let after = outcome.expect("it is lost");
        let off = after.abs_diff(DEAD_AFTER);
        assert!(off <= Duration::from_secs(1), "lost after {after:?}");
    }
}
