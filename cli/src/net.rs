//! Joining the relay, and giving each peer that writes to us its own connection.

use crate::args::{ConnectArgs, RelayTlsArgs};
use crate::failure::{Failure, Result};
use crosspeer::{IceServer, Message, PeerConnection};
use crosspeer_native::{Config, PeerManager, RelayClient};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

/// Messages of one peer that wait for its connection; it has one already, so they wait a moment only.
const MAX_BACKLOG: usize = 1024;
/// The longest that a command takes to deliver what it has sent when it ends.
const CLOSE_TIME: Duration = Duration::from_secs(30);
/// The same after Ctrl-C.
const INTERRUPTED_CLOSE_TIME: Duration = Duration::from_secs(3);

/// Registers at the relay.
pub(crate) async fn join(args: &ConnectArgs) -> Result<PeerManager> {
    let mut config = Config::default();
    config.name.clone_from(&args.name);
    config.uuid = args.uuid;
    config.channels = args.channels;
    config.connect_timeout = args.timeout;
    if args.no_stun || !args.stun.is_empty() {
        config.ice_servers = args.stun.iter().map(IceServer::new).collect();
    }
    config.ice_servers.extend(args.turn.servers());
    apply_tls(&mut config, &args.tls)?;
    Ok(PeerManager::join(&args.relay, config).await?)
}

/// Registers at the relay and leaves again.
pub(crate) async fn register(url: &str, tls: &RelayTlsArgs, time: Duration) -> Result<()> {
    let mut config = Config::default();
    config.connect_timeout = time;
    apply_tls(&mut config, tls)?;
    let client = RelayClient::connect(url, config).await?;
    Ok(client.close().await?)
}

/// Delivers what was sent and says goodbye; in a hurry after an interruption.
pub(crate) async fn leave(peers: &PeerManager, interrupted: bool) {
    let time = if interrupted {
        INTERRUPTED_CLOSE_TIME
    } else {
        CLOSE_TIME
    };
    let _ = timeout(time, peers.close()).await;
}

/// Ends on Ctrl-C or SIGTERM.
pub(crate) async fn interrupted() {
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        return;
    }
    let _ = tokio::signal::ctrl_c().await;
}

fn apply_tls(config: &mut Config, args: &RelayTlsArgs) -> Result<()> {
    config.relay_headers.clone_from(&args.header);
    config.tls.verify = !args.insecure;
    for path in &args.ca {
        let pem = std::fs::read_to_string(path).map_err(|e| Failure::local(path.display(), e))?;
        config.tls.roots_pem.push(pem);
    }
    Ok(())
}

/// A peer that has written, with its own connection.
pub(crate) struct Adopted {
    pub(crate) from: Uuid,
    /// What it has sent so far; what follows comes by the connection.
    pub(crate) backlog: Vec<Message>,
    /// Or why there is none any more.
    pub(crate) connection: crosspeer::Result<PeerConnection>,
}

/// Turns the manager's common stream of messages into a connection for each peer, so that a slow one holds up none but
/// itself. Only the task that takes the common stream may own it: then no message overtakes another.
#[derive(Default)]
pub(crate) struct Adopter {
    backlogs: HashMap<Uuid, Vec<Message>>,
    connecting: JoinSet<(Uuid, crosspeer::Result<PeerConnection>)>,
}

impl Adopter {
    /// Whether messages of this peer have to wait for its connection.
    pub(crate) fn is_waiting(&self, from: Uuid) -> bool {
        self.backlogs.contains_key(&from)
    }

    /// Takes a message of the common stream.
    pub(crate) fn push(&mut self, peers: &PeerManager, from: Uuid, message: Message) {
        let backlog = self.backlogs.entry(from).or_default();
        if backlog.is_empty() {
            let peers = peers.clone();
            self.connecting.spawn(async move { (from, peers.connect(from).await) });
        }
        if backlog.len() < MAX_BACKLOG {
            backlog.push(message);
        }
    }

    /// The next peer; never ends while none is waited for.
    pub(crate) async fn next(&mut self) -> Adopted {
        let (from, connection) = loop {
            match self.connecting.join_next().await {
                Some(Ok(result)) => break result,
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        };
        let mut backlog = self.backlogs.remove(&from).unwrap_or_default();
        if let Ok(connection) = &connection {
            // The first `recv` takes the peer's messages out of the common stream, even if none is there.
            let mut first = pin!(connection.recv());
            let first = poll_fn(|cx| match first.as_mut().poll(cx) {
                Poll::Ready(Ok(message)) => Poll::Ready(Some(message)),
                _ => Poll::Ready(None),
            });
            backlog.extend(first.await);
        }
        Adopted {
            from,
            backlog,
            connection,
        }
    }
}
