//! What handles ask for, and what they are answered.

use crate::Message;
use crate::counter::Statistics;
use crate::relay::PeerConnectionMessage;
use std::time::Duration;
use uuid::Uuid;

/// A connection, for as long as the program runs; never used again for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u64);

/// One request; its answer carries the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// Which connection a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The one to this peer; a new one if there is none (a manager).
    Peer(Uuid),
    /// Just this one.
    Link(LinkId),
}

/// What a handle asks for. Times without a value are the configuration's `connect_timeout`.
#[derive(Debug)]
pub enum Request {
    /// Answer when the relay has registered us.
    Registered {
        /// How long to wait.
        timeout: Option<Duration>,
    },
    /// Try the relay at once if it is away, and answer when it has registered us.
    Reconnect,
    /// Send a message; answered when it was handed over.
    Send {
        /// Over which connection.
        target: Target,
        /// What.
        message: Message,
        /// How long it may wait for its turn.
        timeout: Option<Duration>,
    },
    /// Answer when the connection is up. For a peer: connect, if that is not done yet.
    Ready {
        /// Which connection.
        target: Target,
        /// How long to wait.
        timeout: Option<Duration>,
    },
    /// A connection made by hand exists from now on (a relay client).
    Adopt {
        /// Its id, chosen by the handle.
        link: LinkId,
        /// The data channels it would offer.
        channels: u16,
    },
    /// Connect it by an offer to this peer.
    Offer {
        /// Which connection.
        link: LinkId,
        /// To whom.
        peer: Uuid,
    },
    /// Send the answer to this peer's offer (again).
    Answer {
        /// Which connection.
        link: LinkId,
        /// To whom.
        peer: Uuid,
    },
    /// Let a connection take what the relay client received.
    HandleMessage {
        /// Which connection.
        link: LinkId,
        /// What was received.
        message: PeerConnectionMessage,
    },
    /// Send a message through the relay.
    Relay(PeerConnectionMessage),
    /// The user has taken messages of this weight.
    Consumed {
        /// From which connection.
        link: LinkId,
        /// Their weight.
        bytes: usize,
    },
    /// Nobody waits for this request's answer any more: what it has not begun is left undone.
    Cancel(RequestId),
    /// How much has gone over a connection.
    Statistics(LinkId),
    /// Close a connection in good order.
    Close(Target),
    /// The user's handle of a connection made by hand is gone: close it, and forget it.
    Forget(LinkId),
    /// Leave the relay; connections go on.
    LeaveRelay,
    /// Close every connection in good order, then leave the relay.
    CloseAll,
}

/// What a request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// It is done.
    Done,
    /// It is done, with this connection.
    Link(LinkId),
    /// The counts asked for.
    Statistics(Statistics),
}
