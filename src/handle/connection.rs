//! One peer's own stream of messages.

use super::{Asking, Node, RelayClient};
use crate::config::check_channels;
use crate::counter::Statistics;
use crate::mailroom::{Answer, Caller, Mailroom, Shared};
use crate::output::State;
use crate::platform::{Path, RtcId};
use crate::relay::PeerConnectionMessage;
use crate::request::{LinkId, Request, Target};
use crate::{Error, Fingerprint, Message, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use uuid::Uuid;

/// A connection to one peer. It carries messages both ways, in WebRTC data channels.
///
/// From [`PeerManager::connect`](crate::PeerManager::connect) it comes connected. Made by [`PeerConnection::new`] it is
/// connected by hand: offers and answers are carried between it and a [`RelayClient`]. A clone is the same connection.
#[derive(Clone)]
pub struct PeerConnection {
    inner: Arc<Inner>,
}

struct Inner {
    caller: Caller,
    mailroom: Arc<Mailroom>,
    shared: Arc<Shared>,
    timeout: Duration,
    max_message_bytes: u64,
    origin: Origin,
    claimed: AtomicBool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Made by the user.
    ByHand,
    /// Given to the user as its own.
    Accepted,
    /// The manager's.
    Managed,
}

impl PeerConnection {
    /// A connection of `channels` (1–64) data channels that is yet to be connected, by [`PeerConnection::send_offer`]
    /// or by handing it a received offer.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a number of channels out of range.
    pub fn new(client: &RelayClient, channels: u16) -> Result<Self> {
        check_channels(channels)?;
        let link = LinkId(client.next_link());
        let node = client.node();
        let shared = Arc::new(Shared::new(link, None, false, 1));
        node.mailroom.adopt(shared.clone());
        node.caller.tell(Request::Adopt { link, channels });
        Ok(Self {
            inner: Arc::new(Inner::new(node, shared, Origin::ByHand)),
        })
    }

    pub(super) fn managed(node: &Node, shared: Arc<Shared>) -> Self {
        Self {
            inner: Arc::new(Inner::new(node, shared, Origin::Managed)),
        }
    }

    pub(super) fn accepted(node: &Node, shared: Arc<Shared>) -> Self {
        Self {
            inner: Arc::new(Inner::new(node, shared, Origin::Accepted)),
        }
    }

    /// Offers to connect to this peer, through the relay client. The answer must be handed to
    /// [`PeerConnection::handle_server_message`].
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if this connection was used before.
    pub fn send_offer(&self, peer: Uuid) -> Asking {
        let link = self.link();
        self.ask(Request::Offer { link, peer })
    }

    /// Sends the answer to this peer's offer once more. [`PeerConnection::handle_server_message`] has sent it already.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if no offer of this peer was handed to it.
    pub fn send_answer(&self, peer: Uuid) -> Asking {
        let link = self.link();
        self.ask(Request::Answer { link, peer })
    }

    /// Takes what the relay client received for this connection: an offer (which is answered), an answer, a
    /// candidate, or the relay's error.
    ///
    /// # Errors
    /// [`Error::PeerMisbehaved`] or [`Error::InvalidInput`] for a message that cannot be understood or is another
    /// connection's; this one is as before.
    pub fn handle_server_message(&self, message: PeerConnectionMessage) -> Asking {
        let link = self.link();
        self.ask(Request::HandleMessage { link, message })
    }

    /// Ends once messages can flow.
    ///
    /// # Errors
    /// Why set-up failed, or [`Error::Timeout`] with the stage it had come to.
    pub fn ready(&self, timeout: Duration) -> Asking {
        self.ask(Request::Ready {
            target: Target::Link(self.link()),
            timeout: Some(timeout),
        })
    }

    /// Sends a message. Returns when it has been handed over to the connection, whose buffers are bounded; a peer that
    /// reads slowly makes this wait. Before the connection is up it waits at most `connect_timeout` (30 s).
    ///
    /// # Errors
    /// Why the connection ended, [`Error::TooLarge`], or [`Error::Timeout`].
    pub fn send(&self, message: impl Into<Message>) -> Asking {
        self.send_timeout(message, self.inner.timeout)
    }

    /// [`PeerConnection::send`] with its own limit for waiting for its turn. A message that was begun in time is
    /// finished.
    ///
    /// # Errors
    /// As [`PeerConnection::send`], and [`Error::SendTimeout`].
    pub fn send_timeout(&self, message: impl Into<Message>, timeout: Duration) -> Asking {
        self.ask(Request::Send {
            target: Target::Link(self.link()),
            message: message.into(),
            timeout: Some(timeout),
        })
    }

    /// The next message of this peer. From the first call on they come here, and no longer to
    /// [`PeerManager::recv`](crate::PeerManager::recv), until the last clone of this handle is dropped.
    ///
    /// # Errors
    /// Why the connection ended, once everything received before has been taken.
    pub async fn recv(&self) -> Result<Message> {
        self.inner.claim();
        self.inner
            .mailroom
            .recv_from(&self.inner.shared, &self.inner.caller)
            .await
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.inner.shared.state()
    }

    /// Ends with the state once it is another than `seen`. States that come and go meanwhile are not told.
    pub async fn changed(&self, seen: State) -> State {
        self.inner.shared.changed(seen).await
    }

    /// The peer, once it is known.
    pub fn peer(&self) -> Option<Uuid> {
        self.inner.shared.peer()
    }

    /// Whether the peer is a crosspeer one, and not ProxyStore; `false` until that is known.
    pub fn is_crosspeer(&self) -> bool {
        self.inner.shared.crosspeer().unwrap_or(false)
    }

    /// Whether the peer has been found to be the one of its id: it has the certificate that its UUID is made of, and
    /// nobody has changed what both sides said. `false` before the connection is up, and for peers whose ids are no keys.
    pub fn is_verified(&self) -> bool {
        self.inner.shared.identity().0
    }

    /// How the peer is reached: directly, or through a TURN server. `None` before the connection is up, and where the platform
    /// does not say.
    pub fn path(&self) -> Option<Path> {
        self.inner.shared.path()
    }

    /// The certificate that the peer has, once the connection is up. For peers that are not
    /// [verified](Self::is_verified) it is the one that came through the relay.
    pub fn remote_fingerprint(&self) -> Option<Fingerprint> {
        self.inner.shared.identity().1
    }

    /// Whether both programs confirm plain messages ([`Config::confirms`](crate::Config::confirms)); `false` until that
    /// is known.
    pub fn peer_confirms(&self) -> bool {
        self.inner.shared.confirms()
    }

    /// Bytes of the largest message that can be sent: this side's limit or, once it is known, the peer's if it is smaller.
    pub fn max_message_bytes(&self) -> u64 {
        let own = self.inner.max_message_bytes;
        self.inner.shared.largest().map_or(own, |largest| largest.min(own))
    }

    /// A number that no other connection of this manager or relay client has.
    pub fn id(&self) -> u64 {
        self.link().0
    }

    /// The platform's peer connection that carries it now, for whoever wants to look at that one's own statistics.
    pub fn rtc_id(&self) -> Option<RtcId> {
        self.inner.shared.rtc()
    }

    /// Ends when the connection has ended, with the reason: [`Error::Closed`] in good order.
    pub async fn on_close(&self) -> Error {
        self.inner.shared.ended().await
    }

    /// How much has gone over it.
    ///
    /// # Errors
    /// Why the connection ended.
    pub async fn statistics(&self) -> Result<Statistics> {
        match self.ask(Request::Statistics(self.link())).answer().await? {
            Answer::Statistics(statistics) => Ok(statistics),
            _ => Err(Error::closed("the connection has ended")),
        }
    }

    /// Closes it after delivering everything sent before. What was received before can still be taken. The relay
    /// client or manager goes on. Closing twice does no harm.
    ///
    /// # Errors
    /// [`Error::ConnectionLost`] if not everything could be delivered within `close_timeout`.
    pub fn close(&self) -> Asking {
        self.ask(Request::Close(Target::Link(self.link()))).closing()
    }

    fn link(&self) -> LinkId {
        self.inner.shared.id
    }

    fn ask(&self, request: Request) -> Asking {
        Asking::new(&self.inner.caller, request).about(&self.inner.shared)
    }
}

impl std::fmt::Debug for PeerConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("PeerConnection");
        debug
            .field("peer", &self.peer())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn new(node: &Node, shared: Arc<Shared>, origin: Origin) -> Self {
        Self {
            caller: node.caller.clone(),
            mailroom: node.mailroom.clone(),
            shared,
            timeout: node.config.connect_timeout,
            max_message_bytes: node.config.max_message_bytes,
            origin,
            claimed: AtomicBool::new(origin != Origin::Managed),
        }
    }

    fn claim(&self) {
        if !self.claimed.swap(true, Ordering::AcqRel) {
            self.mailroom.claim(&self.shared);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        match self.origin {
            Origin::ByHand | Origin::Accepted => {
                let (link, bytes) = (self.shared.id, self.shared.discard());
                self.caller.tell(Request::Forget(link));
                self.caller.tell(Request::Consumed { link, bytes });
            }
            Origin::Managed if *self.claimed.get_mut() => self.mailroom.release(&self.shared),
            Origin::Managed => {}
        }
    }
}
