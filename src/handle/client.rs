//! The relay alone, for those who carry offers and answers by hand.

use super::{Asking, Node};
use crate::driver::Driver;
use crate::platform::Platform;
use crate::relay::PeerConnectionMessage;
use crate::request::Request;
use crate::router::Mode;
use crate::{Config, IceServer, RelayState, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use uuid::Uuid;

/// A registration at the relay: sends and receives the messages that connect peers. A lost relay is registered at
/// again in the background, and heard again.
///
/// A clone is the same client. Most programs want a [`PeerManager`](crate::PeerManager) instead.
#[derive(Clone)]
pub struct RelayClient {
    node: Node,
    links: Arc<AtomicU64>,
}

impl RelayClient {
    /// A client on this platform, and the driver that must run for anything to happen. Users call the platform's
    /// `connect` instead.
    ///
    /// # Errors
    /// [`crate::Error::InvalidInput`] for a configuration or URL that cannot work.
    pub fn new<P: Platform>(platform: P, url: &str, config: Config) -> Result<(Self, Driver<P>)> {
        let (node, driver) = Node::new(platform, Mode::Manual, url, config)?;
        Ok((
            Self {
                node,
                links: Arc::default(),
            },
            driver,
        ))
    }

    /// Ends once the relay has registered this client. It is tried again and again meanwhile.
    ///
    /// # Errors
    /// [`crate::Error::RelayUnreachable`] with the last failure when `connect_timeout` is over (the client goes on
    /// trying), or at once where there is no relay to be had; [`crate::Error::RelayRefused`] or
    /// [`crate::Error::Displaced`] when the relay refused for good.
    pub fn registered(&self) -> Asking {
        self.node.ask(Request::Registered { timeout: None })
    }

    /// [`RelayClient::registered`] with its own limit in place of `connect_timeout`.
    ///
    /// # Errors
    /// As [`RelayClient::registered`].
    pub fn registered_timeout(&self, timeout: Duration) -> Asking {
        self.node.ask(Request::Registered { timeout: Some(timeout) })
    }

    /// The STUN and TURN servers that the relay gives, with credentials that hold for now; `None` where it gives none.
    pub fn ice_server(&self) -> Option<IceServer> {
        self.node.mailroom.ice_server()
    }

    /// Whether the relay has this client registered now.
    pub fn is_registered(&self) -> bool {
        self.node.mailroom.is_registered()
    }

    /// Whether the relay has this client registered now, and if not, why.
    pub fn relay_state(&self) -> RelayState {
        self.node.mailroom.relay_state()
    }

    /// Ends with the relay's state once it is another than `seen`: tells when the relay is lost, back, or gone for good.
    pub async fn relay_changed(&self, seen: &RelayState) -> RelayState {
        self.node.mailroom.relay_changed(seen.clone()).await
    }

    /// Tries the relay at once if it is away, instead of when the wait between two attempts is over; for a button of that
    /// name. Ends as [`RelayClient::registered`].
    ///
    /// # Errors
    /// As [`RelayClient::registered`].
    pub fn reconnect_now(&self) -> Asking {
        self.node.ask(Request::Reconnect)
    }

    /// This client's id at the relay.
    pub fn uuid(&self) -> Uuid {
        self.node.me.uuid
    }

    /// This client's name at the relay.
    pub fn name(&self) -> &str {
        &self.node.me.name
    }

    /// Sends a message to a peer through the relay. While the relay is away, up to 256 wait for it.
    ///
    /// # Errors
    /// [`crate::Error::InvalidInput`] when too many wait; [`crate::Error::Closed`] after [`RelayClient::close`].
    pub fn send(&self, message: PeerConnectionMessage) -> Asking {
        self.node.ask(Request::Relay(message))
    }

    /// The next message of a peer, or one of our own that came back with an error.
    ///
    /// # Errors
    /// [`crate::Error::Closed`] after [`RelayClient::close`], [`crate::Error::Displaced`] or
    /// [`crate::Error::RelayRefused`] when the relay has refused for good.
    pub async fn recv(&self) -> Result<PeerConnectionMessage> {
        self.node.mailroom.recv_relay().await
    }

    /// Leaves the relay. Connections that are up go on.
    ///
    /// # Errors
    /// None at present. Closing twice does no harm.
    pub fn close(&self) -> Asking {
        self.node.ask(Request::LeaveRelay).closing()
    }

    pub(super) fn node(&self) -> &Node {
        &self.node
    }

    pub(super) fn next_link(&self) -> u64 {
        self.links.fetch_add(1, Ordering::Relaxed)
    }
}

impl std::fmt::Debug for RelayClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RelayClient")
            .field("uuid", &self.uuid())
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}
