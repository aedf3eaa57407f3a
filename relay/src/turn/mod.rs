//! STUN and TURN (RFC 8489, 8656) on the relay's own port, over UDP, TCP and TLS.
//!
//! ```text
//!  net (UDP), stream (TCP, TLS)  ──►  session: one client's allocation  ──►  relayed: its socket to peers
//!                                        rules: for all clients
//! ```
//! `session` and `rules` are without sockets. `peers` says whom packets may go to, `quota` how much a
//! user may have, `credentials` who a user is, and `handout` what a registered client is told of all this.

mod clock;
mod credentials;
mod handout;
mod message;
mod net;
mod peers;
mod quota;
mod relayed;
mod rules;
mod session;
mod stream;
#[cfg(test)]
mod tests;

pub(crate) use credentials::Secret;
pub(crate) use handout::{Asker, Handout, Owner};

use crate::config::{RelayError, TurnConfig};
use net::Front;
use peers::Peers;
use relayed::Relays;
use rules::Rules;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A TURN server beside a relay. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Turn(Arc<Server>);

pub(crate) struct Server {
    rules: Rules,
    relays: Relays,
    /// Whether it is over. Each task listens, and counts while it does.
    over: watch::Sender<bool>,
}

impl Server {
    /// A task of this server has begun, and ends with it.
    fn task(&self) -> watch::Receiver<bool> {
        self.over.subscribe()
    }

    fn is_over(&self) -> bool {
        *self.over.borrow()
    }
}

/// Ready when the server is over.
async fn over(task: &mut watch::Receiver<bool>) {
    let _ = task.wait_for(|over| *over).await;
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Turn")
    }
}

impl Turn {
    pub(crate) fn new(config: &TurnConfig, secret: Secret) -> Result<Self, RelayError> {
        Ok(Self(Arc::new(Server {
            rules: Rules::new(secret, Peers::new(config)?, config)?,
            relays: Relays::new(config),
            over: watch::Sender::new(false),
        })))
    }

    /// Ends all its tasks; there are none any more when this returns.
    pub(crate) async fn close(&self) {
        self.end();
        self.0.over.closed().await;
    }

    /// Ends all its tasks, when they have their turn.
    pub(crate) fn end(&self) {
        self.0.over.send_replace(true);
    }

    /// Listens for UDP at these addresses, which are the relay's.
    pub(crate) fn listen(&self, addresses: &[SocketAddr]) -> std::io::Result<Fronts> {
        let fronts: std::io::Result<_> = addresses.iter().map(|address| Front::bind(*address)).collect();
        fronts.map(Fronts)
    }

    /// Serves the clients behind these sockets, until this server is closed. Each has a task of its own, so that a flood takes no turns of
    /// whoever awaits this; they end with it.
    pub(crate) async fn serve(&self, Fronts(fronts): Fronts) {
        let mut tasks = JoinSet::new();
        for front in fronts {
            let server = Arc::clone(&self.0);
            tasks.spawn(async move {
                let mut task = server.task();
                tokio::select! {
                    () = net::serve(&server, front) => {}
                    () = over(&mut task) => {}
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!("UDP is no longer served: {error}");
            }
        }
    }

    /// Serves a client that came by TCP or TLS, until it is gone. `stranger` is dropped once it has shown who it is.
    pub(crate) async fn serve_stream<S>(&self, stream: S, [remote, local]: [SocketAddr; 2], stranger: impl Sized)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut task = self.0.task();
        tokio::select! {
            () = stream::serve(&self.0, stream, [remote, local], stranger) => {}
            () = over(&mut task) => {}
        }
    }
}

/// The UDP sockets of a relay.
#[derive(Debug)]
pub(crate) struct Fronts(Vec<Arc<Front>>);

/// Whether a TCP connection that begins with this byte speaks STUN: HTTP begins with a letter, TLS with 22.
pub(crate) fn is_stun(first: u8) -> bool {
    first < 4
}
