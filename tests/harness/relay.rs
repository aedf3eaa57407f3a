//! The relays that peers meet at, each on a free port of 127.0.0.1.

use crate::{python, script, within};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

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
    _process: Child,
}

impl Relay {
    /// Starts one on a free port.
    pub async fn start(kind: RelayKind) -> Self {
        Self::start_at(kind, 0).await
    }

    /// Starts one on this port, as after a restart.
    pub async fn start_at(kind: RelayKind, port: u16) -> Self {
        match kind {
            RelayKind::ProxyStore => Self::proxystore(port).await,
            RelayKind::Crosspeer => todo!(),
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
        let line = line.expect("readable output").expect("proxystore-relay ended, see its messages above");
        let port = line.strip_prefix("port ").and_then(|port| port.parse().ok());
        Self {
            port: port.unwrap_or_else(|| panic!("not a port: {line}")),
            _process: process,
        }
    }

    /// Where peers find it.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }
}
