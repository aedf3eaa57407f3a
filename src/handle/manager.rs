//! Many peers under one id.

use super::connection::PeerConnection;
use super::{Asking, Node};
use crate::driver::Driver;
use crate::mailroom::Answer;
use crate::platform::Platform;
use crate::request::{Request, Target};
use crate::router::Mode;
use crate::{Config, Message, RelayState, Result};
use std::time::Duration;
use uuid::Uuid;

/// Many peers under one id: connects when there is something to send, and answers who connects.
///
/// A clone is the same manager. When the last clone and the last of its connections are dropped, what was sent is still
/// delivered in the background and then everything closes; [`PeerManager::close`] waits for that.
#[derive(Clone)]
pub struct PeerManager {
    node: Node,
}

impl PeerManager {
    /// A manager on this platform, and the driver that must run for anything to happen. Users call the platform's
    /// `join` instead.
    ///
    /// # Errors
    /// [`crate::Error::InvalidInput`] for a configuration or URL that cannot work.
    pub fn new<P: Platform>(platform: P, url: &str, config: Config) -> Result<(Self, Driver<P>)> {
        let (node, driver) = Node::new(platform, Mode::Managed, url, config)?;
        Ok((Self { node }, driver))
    }

    /// Ends once the relay has registered this peer. It is tried again and again meanwhile.
    ///
    /// # Errors
    /// [`crate::Error::RelayUnreachable`] with the last failure when `connect_timeout` is over (the manager goes on
    /// trying), or at once where there is no relay to be had: a bad address, an untrusted certificate, HTTP 404.
    /// [`crate::Error::RelayRefused`] or [`crate::Error::Displaced`] when the relay refused for good.
    pub fn registered(&self) -> Asking {
        self.node.ask(Request::Registered { timeout: None })
    }

    /// [`PeerManager::registered`] with its own limit in place of `connect_timeout`.
    ///
    /// # Errors
    /// As [`PeerManager::registered`].
    pub fn registered_timeout(&self, timeout: Duration) -> Asking {
        self.node.ask(Request::Registered { timeout: Some(timeout) })
    }

    /// Whether the relay has this peer registered now. Open connections do not need it.
    pub fn is_registered(&self) -> bool {
        self.node.mailroom.is_registered()
    }

    /// Whether the relay has this peer registered now, and if not, why.
    pub fn relay_state(&self) -> RelayState {
        self.node.mailroom.relay_state()
    }

    /// Ends with the relay's state once it is another than `seen`: tells when the relay is lost, back, or gone for good.
    pub async fn relay_changed(&self, seen: &RelayState) -> RelayState {
        self.node.mailroom.relay_changed(seen.clone()).await
    }

    /// Tries the relay at once if it is away, instead of when the wait between two attempts is over; for a button of that
    /// name. Ends as [`PeerManager::registered`].
    ///
    /// # Errors
    /// As [`PeerManager::registered`].
    pub fn reconnect_now(&self) -> Asking {
        self.node.ask(Request::Reconnect)
    }

    /// This peer's id at the relay.
    pub fn uuid(&self) -> Uuid {
        self.node.me.uuid
    }

    /// This peer's name at the relay.
    pub fn name(&self) -> &str {
        &self.node.me.name
    }

    /// Sends a message to a peer, connecting to it first where needed. Returns when the message has been handed over
    /// to the connection, whose buffers are bounded; a peer that reads slowly makes this wait.
    ///
    /// Between two crosspeer peers messages arrive in the order sent, to ProxyStore as they complete.
    ///
    /// # Errors
    /// [`crate::Error::PeerUnavailable`] where the relay does not know the peer, [`crate::Error::SetupFailed`] or
    /// [`crate::Error::Timeout`] with the stage where set-up stopped, [`crate::Error::ConnectionLost`],
    /// [`crate::Error::Closed`], [`crate::Error::TooLarge`].
    pub fn send(&self, peer: Uuid, message: impl Into<Message>) -> Asking {
        self.send_timeout(peer, message, self.node.config.connect_timeout)
    }

    /// [`PeerManager::send`] with its own limit for connecting and waiting for its turn. A message that was begun in
    /// time is finished.
    ///
    /// # Errors
    /// As [`PeerManager::send`], and [`crate::Error::SendTimeout`].
    pub fn send_timeout(&self, peer: Uuid, message: impl Into<Message>, timeout: Duration) -> Asking {
        self.node.ask(Request::Send {
            target: Target::Peer(peer),
            message: message.into(),
            timeout: Some(timeout),
        })
    }

    /// The next message from any peer, and who sent it. Messages of a connection whose own
    /// [`PeerConnection::recv`] is used are not among them.
    ///
    /// # Errors
    /// [`crate::Error::Closed`] after [`PeerManager::close`]. Once nobody can call any more because the relay has gone for
    /// good, [`crate::Error::Displaced`] or [`crate::Error::RelayRefused`], after what had come before: connections that
    /// are up go on, and are read by their own [`PeerConnection::recv`] ([`PeerManager::connect`] gives them).
    pub async fn recv(&self) -> Result<(Uuid, Message)> {
        self.node.mailroom.recv(&self.node.caller).await
    }

    /// [`PeerManager::recv`] that goes on when the relay has ended for good: what is connected then still sends.
    ///
    /// # Errors
    /// [`crate::Error::Closed`] after [`PeerManager::close`].
    pub async fn recv_to_the_end(&self) -> Result<(Uuid, Message)> {
        self.node.mailroom.recv_to_the_end(&self.node.caller).await
    }

    /// The connection to a peer, made if there is none, once it is up.
    ///
    /// # Errors
    /// As [`PeerManager::send`].
    pub async fn connect(&self, peer: Uuid) -> Result<PeerConnection> {
        let request = Request::Ready {
            target: Target::Peer(peer),
            timeout: None,
        };
        match self.node.ask(request).answer().await? {
            Answer::Link(shared) => Ok(PeerConnection::managed(&self.node, shared)),
            _ => Err(crate::Error::closed("the connection has ended")),
        }
    }

    /// The next connection that another peer has made, once it is up; for servers that give each peer a task of its own.
    /// Its messages come by its own [`PeerConnection::recv`]; such a server does not use [`PeerManager::recv`]. When the
    /// last clone of what this returns is dropped, the connection is closed and what nobody received is gone.
    ///
    /// Of connections that nobody accepts, the latest 256 wait here; all of them work all the same.
    ///
    /// # Errors
    /// [`crate::Error::Closed`] after [`PeerManager::close`], [`crate::Error::Displaced`] or
    /// [`crate::Error::RelayRefused`] once the relay has gone for good. Connections that are up go on.
    pub async fn accept(&self) -> Result<PeerConnection> {
        let shared = self.node.mailroom.accept().await?;
        Ok(PeerConnection::accepted(&self.node, shared))
    }

    /// The next connection that another peer has made, once it is up, as [`PeerManager::connect`] gives it: its messages
    /// go to [`PeerManager::recv`] until its own is called, and dropping it closes nothing. Use this or
    /// [`PeerManager::accept`], which see.
    ///
    /// # Errors
    /// As [`PeerManager::accept`].
    pub async fn next_incoming(&self) -> Result<PeerConnection> {
        let shared = self.node.mailroom.next_incoming().await?;
        Ok(PeerConnection::managed(&self.node, shared))
    }

    /// The connections that are up now, whoever has made them.
    pub fn connections(&self) -> Vec<PeerConnection> {
        let connected = self.node.mailroom.connected().into_iter();
        connected
            .map(|shared| PeerConnection::managed(&self.node, shared))
            .collect()
    }

    /// ProxyStore's name of [`PeerManager::connect`].
    ///
    /// # Errors
    /// As [`PeerManager::send`].
    pub async fn get_connection(&self, peer: Uuid) -> Result<PeerConnection> {
        self.connect(peer).await
    }

    /// Closes the connection to a peer, if there is one, after delivering everything sent before.
    ///
    /// # Errors
    /// [`crate::Error::ConnectionLost`] if not everything could be delivered within `close_timeout`.
    pub fn close_connection(&self, peer: Uuid) -> Asking {
        self.node.ask(Request::Close(Target::Peer(peer)))
    }

    /// Closes every connection after delivering everything sent before, then leaves the relay. What was received
    /// before can still be taken.
    ///
    /// # Errors
    /// None at present: where not everything could be delivered within `close_timeout`, a warning is logged.
    pub async fn close(&self) -> Result<()> {
        self.node.ask(Request::CloseAll).closing().await?;
        // The program may end now: only when the driver is through, every peer has been told.
        self.node.mailroom.ended().await;
        Ok(())
    }
}

impl std::fmt::Debug for PeerManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerManager")
            .field("uuid", &self.uuid())
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}
