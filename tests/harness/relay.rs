//! The relays that peers meet at, each on a free port of 127.0.0.1.

use crate::{python, script, within};
use crosspeer_relay::RelayConfig;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

/// Whose relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayKind {
    /// `crosspeer-relay`.
    Crosspeer,
    /// `proxystore-relay`.
    ProxyStore,
}

/// A running relay; it ends when this is dropped.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    running: Running,
}

#[derive(Debug)]
enum Running {
    Crosspeer {
        stop: oneshot::Sender<()>,
        ended: tokio::task::JoinHandle<()>,
    },
    ProxyStore(Child),
}

impl Relay {
    /// Starts one on a free port, which stays free for it while it is stopped.
    pub async fn start(kind: RelayKind) -> Self {
        Self::start_at(kind, free_port()).await
    }

    /// Starts one on this port, as after a restart.
    pub async fn start_at(kind: RelayKind, port: u16) -> Self {
        match kind {
            RelayKind::ProxyStore => Self::proxystore(port).await,
            RelayKind::Crosspeer => Self::crosspeer(port).await,
        }
    }

    async fn crosspeer(port: u16) -> Self {
        let mut config = RelayConfig::default();
        config.host = Some("127.0.0.1".into());
        config.port = port;
        let relay = crosspeer_relay::Relay::bind(config)
            .await
            .expect("the relay can listen");
        let port = relay.local_addr().port();
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(relay.serve(async { drop(stopped.await) }));
        Self {
            port,
            running: Running::Crosspeer { stop, ended },
        }
    }

    async fn proxystore(port: u16) -> Self {
        let mut command = Command::new(python());
        command.arg(script("relay.py")).arg(port.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().expect("cannot start proxystore-relay");
        let stdout = process.stdout.take().expect("stdout is piped");
        let mut lines = BufReader::new(stdout).lines();
        let line = within("proxystore-relay says its port", lines.next_line()).await;
        let line = line
            .expect("readable output")
            .expect("proxystore-relay ended, see its messages above");
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} }); // its log
        let port = line.strip_prefix("port ").and_then(|port| port.parse().ok());
        Self {
            port: port.unwrap_or_else(|| panic!("not a port: {line}")),
            running: Running::ProxyStore(process),
        }
    }

    /// Where peers find it.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// Ends it and waits until its port is free again.
    pub async fn stop(self) {
        match self.running {
            Running::Crosspeer { stop, ended } => {
                drop(stop);
                within("the relay ends", ended).await.expect("no panic");
            }
            Running::ProxyStore(process) => terminate(process).await,
        }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// In good order: killed, it would break a socket that Python is just opening, which ends the Python process.
async fn terminate(mut process: Child) {
    let id = process.id().expect("it runs").to_string();
    let kill = Command::new("kill").args(["-TERM", &id]).status().await;
    assert!(kill.expect("kill can be started").success());
    within("proxystore-relay ends", process.wait())
        .await
        .expect("it can be waited for");
}

/// None of those that the system gives to whoever asks for any, as the tests beside this one do.
fn free_port() -> u16 {
    let ports = std::iter::repeat_with(|| 10_000 + uuid::Uuid::new_v4().as_u128() as u16 % 20_000);
    let mut free = ports.filter(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().expect("there is no end of them")
}
