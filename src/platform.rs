//! The seam between the rules (here) and what carries them out (`native/`, `wasm/`, the simulator).
//!
//! A platform only carries commands out and reports events. No method waits: what takes time is started and its
//! result comes back through [`Events`]. Whatever is decided, is decided in common code.

mod broken;

use crate::{Config, Fingerprint, Stage};
pub use broken::Broken;
use bytes::{Bytes, BytesMut};
use futures_channel::mpsc;
use std::future::Future;
use std::time::Duration;
use web_time::Instant;

/// One incarnation of a WebRTC peer connection. Events of one that was replaced are ignored by this id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RtcId(pub u64);

/// One WebSocket to the relay. Events of one that was replaced are ignored by this id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub u64);

/// Which side of the offer/answer exchange a description is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SdpType {
    /// The first description.
    Offer,
    /// The reply to it.
    Answer,
}

/// An SDP with its type, as W3C's `RTCSessionDescription`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionDescription {
    /// Offer or answer.
    pub sdp_type: SdpType,
    /// The SDP text, CRLF line ends.
    pub sdp: String,
}

/// How data is to be sent to a peer, by what it has said of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Receiver {
    /// Bytes that may be written to the engine and not yet acknowledged, over all channels. A platform that measures
    /// its path may keep to fewer, and to more on a long one.
    pub send_buffer: usize,
    /// Whether the peer's platform is [`Platform::PROMPT`].
    pub prompt: bool,
    /// Whether both sides want QUIC: a platform that [has it](Platform::QUIC) tries it first on the path that ICE has
    /// chosen, and reports it as one channel with the label [`QUIC_LABEL`]. Where it does not come up, data channels are
    /// used.
    pub quic: bool,
}

/// What a peer connection is told to do.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum RtcCommand {
    /// Create the data channels `p2p-{i}-{channels}`, reliable, protocol `""`, and an offer.
    /// Answered by [`RtcEvent::LocalDescription`] once gathering is complete or its time is up.
    Offer {
        /// How many channels.
        channels: u16,
        /// Whether they deliver in order.
        ordered: bool,
    },
    /// Apply the remote offer, and answer it. Answered by [`RtcEvent::LocalDescription`].
    Answer {
        /// The remote SDP.
        offer: String,
        /// To whom data is going to be sent.
        to: Receiver,
    },
    /// Apply the remote answer to our offer.
    Complete {
        /// The remote SDP.
        answer: String,
        /// As in [`RtcCommand::Answer`].
        to: Receiver,
    },
    /// A candidate that came apart from its description: `candidate:…`, without `a=`.
    AddCandidate {
        /// The candidate line.
        candidate: String,
        /// Its media section's `a=mid`.
        mid: String,
    },
    /// Queue one binary data-channel message. Answered by [`RtcEvent::Written`] when the engine has taken it.
    /// The link keeps the queue short; the platform only keeps the order of each channel.
    Write {
        /// The channel's number, as in [`RtcEvent::ChannelOpen`].
        channel: u16,
        /// The whole data-channel message.
        frame: BytesMut,
    },
    /// This many bytes of [`RtcEvent::Frame`]s have been dealt with. A platform that can, reads on only while fewer
    /// than [`READ_AHEAD_BYTES`] are not.
    Consumed {
        /// Bytes of frames.
        bytes: usize,
    },
    /// Tell, by [`RtcEvent::Flushed`], when the peer's SCTP has acknowledged everything written before.
    Flush,
    /// End it now, telling the peer as far as its transport can. No event follows.
    Close,
}

/// Bytes of frames a platform may hand over before they have been [`RtcCommand::Consumed`].
pub const READ_AHEAD_BYTES: usize = 2 << 20;

/// The label of the one channel that a QUIC connection is, in [`RtcEvent::ChannelOpen`]. No data channel's: those end in
/// two numbers.
pub const QUIC_LABEL: &str = "quic";

/// What a peer connection reports.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum RtcEvent {
    /// The local description, complete with candidates, as the engine wrote it.
    LocalDescription(SessionDescription),
    /// Set-up has come to this stage (ICE is connected: [`Stage::Dtls`]; DTLS too: [`Stage::Channels`]).
    Progress(Stage),
    /// A STUN or TURN server could not be used. Set-up goes on without it.
    ServerFailed {
        /// Its URL.
        url: String,
        /// Why, and what to do.
        reason: String,
    },
    /// How the peer is reached, once that is known.
    Path(Path),
    /// A channel can be written to, or has delivered its first frame. Sent once for each channel, before its frames.
    ChannelOpen {
        /// Its number: order of creation at the offerer, of arrival at the answerer.
        channel: u16,
        /// Its label.
        label: String,
    },
    /// One data-channel message came.
    Frame {
        /// The channel's number.
        channel: u16,
        /// The whole message.
        data: Bytes,
        /// Whether it was a binary message (never otherwise from a ProxyStore peer).
        binary: bool,
    },
    /// The engine has taken a written frame and has room for more.
    Written {
        /// The channel's number.
        channel: u16,
        /// The frame's bytes.
        bytes: usize,
    },
    /// The answer to [`RtcCommand::Flush`].
    Flushed,
    /// A channel was closed, by the other side or by an error.
    ChannelClosed {
        /// The channel's number.
        channel: u16,
    },
    /// The peer has answered nothing for so long, as far as the platform can tell. The link decides when that is too long.
    Silent(Duration),
    /// After [`RtcEvent::Silent`]: the peer answers again.
    Responsive,
    /// A NAT on the way has forgotten this side: what the peer sends to the old address is lost, though this side's own
    /// checks are answered.
    Moved,
    /// The connection failed or never came up; it is of no further use.
    Failed {
        /// How far set-up had come; [`Stage::Channels`] once it was up.
        stage: Stage,
        /// The engine's words.
        reason: String,
    },
    /// The other side closed the connection.
    Closed,
}

/// How a peer is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Path {
    /// From host to host.
    Direct,
    /// Through a TURN server, of this side or the peer's.
    Relayed,
}

/// What a WebSocket reports.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketEvent {
    /// The handshake succeeded.
    Open,
    /// A text frame.
    Text(String),
    /// A binary frame, which no relay sends.
    Binary,
    /// It could not be opened, broke, or was closed; nothing follows.
    Closed {
        /// The close code, if the relay sent one.
        code: Option<u16>,
        /// The close reason, or what failed.
        reason: String,
        /// The HTTP status, where the relay answered the handshake with one other than 101.
        http_status: Option<u16>,
    },
    /// It cannot be opened, and will not be however often it is tried: a URL that cannot be used, a certificate that is
    /// not trusted, something else than a WebSocket at that address. Says what, and what to do. Nothing follows.
    Unusable(String),
}

/// Anything a platform reports.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// From a peer connection.
    Rtc(RtcId, RtcEvent),
    /// From a WebSocket.
    Socket(SocketId, SocketEvent),
    /// The network is back, or another one: the relay and other paths are worth a try at once.
    NetworkChanged,
}

/// Where a platform reports events, from any thread or callback. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Events(mpsc::UnboundedSender<Event>);

impl Events {
    /// A sender and its receiver.
    #[allow(clippy::disallowed_methods)] // bounded by credits: `Consumed`, `Written`, one description each
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (sender, receiver) = mpsc::unbounded();
        (Self(sender), receiver)
    }

    /// Reports an event. After the driver has ended, nothing happens.
    pub fn push(&self, event: Event) {
        let _ = self.0.unbounded_send(event);
    }
}

/// A peer connection of a platform. Dropping it ends it, as [`RtcCommand::Close`].
pub trait Rtc {
    /// Starts carrying out a command; never waits. Commands are carried out in the order given.
    fn execute(&self, command: RtcCommand);
}

/// A WebSocket of a platform. Dropping it closes it.
pub trait Socket {
    /// Queues a text frame; never waits.
    fn send(&self, text: String);
    /// Sends what is queued, then closes with code 1000.
    fn close(&self);
}

/// What the driver needs of the machine it runs on.
pub trait Platform {
    /// Its peer connections.
    type Rtc: Rtc;
    /// Its WebSockets.
    type Socket: Socket;
    /// Whether its peer connections acknowledge every packet at once, take a burst of 1 MiB, and keep to both when they
    /// send to a peer that does not. Peers of our own kind are told by the word `prompt`.
    const PROMPT: bool = false;
    /// Whether its peer connections read on only while [`RtcCommand::Consumed`] keeps up. One that hands over whatever
    /// comes, as browsers do, has its peers of our own kind wait for credit instead.
    const HOLDS_BACK: bool = true;
    /// Whether its peer connections can carry data over QUIC on the path that ICE has chosen. It needs a
    /// [certificate](Platform::fingerprint).
    const QUIC: bool = false;

    /// The certificate that all its peer connections use, which this peer's id is made of. `None` where each has one of
    /// its own: then the id is a random one.
    fn fingerprint(&self) -> Option<Fingerprint> {
        None
    }
    /// The time.
    fn now(&self) -> Instant;
    /// Ends at that time.
    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()>;
    /// A new peer connection that reports as `id`.
    fn open_rtc(&self, id: RtcId, config: &Config, events: Events) -> Self::Rtc;
    /// Starts opening a WebSocket that reports as `id`.
    fn open_socket(&self, id: SocketId, url: &str, config: &Config, events: Events) -> Self::Socket;
    /// Ends when every peer connection that was closed has told its peer, as far as it can be waited for: a program may
    /// end right afterwards.
    fn settled(&self) -> impl Future<Output = ()> {
        std::future::ready(())
    }
    /// This host's name, for the relay.
    fn host_name(&self) -> Option<String>;
}
