//! What a router wants done.

use crate::platform::{Path, RtcCommand, RtcId, SocketId};
use crate::relay::{PeerConnectionMessage, RelayState};
use crate::request::{LinkId, Reply, RequestId};
use crate::{Error, Fingerprint, IceServer, Message};
use uuid::Uuid;

/// Where a connection stands, in WebRTC's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Nothing has happened yet.
    New,
    /// Being set up.
    Connecting,
    /// Messages flow.
    Connected,
    /// The path was lost, and another one is looked for. Nothing is: what is sent waits.
    Reconnecting,
    /// Closed in good order, by either side.
    Closed,
    /// Could not be set up, or broke.
    Failed,
}

impl State {
    /// Its name, as WebRTC's.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Reconnecting => "reconnecting",
            Self::Closed => "closed",
            Self::Failed => "failed",
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a router wants done.
#[derive(Debug)]
pub enum Output {
    /// Open a peer connection, for this link.
    OpenRtc(RtcId, LinkId),
    /// Give it a command; after [`RtcCommand::Close`] drop it.
    Rtc(RtcId, RtcCommand),
    /// Start opening a WebSocket to the relay.
    OpenSocket(SocketId),
    /// Send a text frame on it.
    SendSocket(SocketId, String),
    /// How a link's peer is reached.
    Path(LinkId, Path),
    /// Close it and drop it.
    CloseSocket(SocketId),
    /// Peer connections that are opened from here on use this server too, or none beside the configured ones.
    IceServers(Option<IceServer>),
    /// A new link to this peer exists; `incoming` if the peer has called.
    NewLink {
        /// Its id.
        link: LinkId,
        /// The peer.
        peer: Uuid,
        /// Whether the peer has called.
        incoming: bool,
    },
    /// A link's state has changed, and the error it ended with.
    State(LinkId, State, Option<Error>),
    /// Whether a link's peer is of our own kind has become known, and whether both programs confirm plain messages.
    Kind(LinkId, bool, bool),
    /// The bytes of the largest message that a link's peer takes, if it says so, have become known.
    Largest(LinkId, u64),
    /// A link has come up: whether its peer is verified, and the peer's certificate, if it names one.
    Identity(LinkId, bool, Option<Fingerprint>),
    /// A message for the user.
    Deliver(LinkId, Message),
    /// A message of the relay for the user (towards a relay client).
    RelayMessage(PeerConnectionMessage),
    /// The answer to a request; each gets exactly one.
    Reply(RequestId, Result<Reply, Error>),
    /// Whether the relay has us registered has changed.
    Relay(RelayState),
}
