//! The one error type, sorted by whose fault it is.

use std::time::Duration;
use uuid::Uuid;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How far the set-up of a connection had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Reaching the relay and registering there.
    Relay,
    /// Waiting for the other peer's answer (or offer).
    Peer,
    /// Gathering our own addresses.
    Candidates,
    /// Finding a pair of addresses that reach each other.
    Ice,
    /// The encrypted handshake.
    Dtls,
    /// Opening the data channels.
    Channels,
}

impl Stage {
    /// What to try when set-up stops at this stage.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Relay => "check the relay's URL and that it is running (`crosspeer doctor --relay URL`)",
            Self::Peer => "check that the other peer is running, on the same relay, under this UUID",
            Self::Candidates => {
                "this host has no usable network address; connect it to a network or configure a STUN or TURN server"
            }
            Self::Ice => {
                "the peers found no path to each other: a firewall or NAT is between them; configure a TURN server that both can reach (`crosspeer doctor` tells the NAT kind)"
            }
            Self::Dtls => "something on the path drops or alters packets, or the peer runs an incompatible version",
            Self::Channels => {
                "the peer accepted the connection but not its data channels; check its version and `channels`"
            }
        }
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Relay => "relay",
            Self::Peer => "peer",
            Self::Candidates => "candidates",
            Self::Ice => "ICE",
            Self::Dtls => "DTLS",
            Self::Channels => "channels",
        })
    }
}

/// Everything that can go wrong, by whose fault it is; each message says what to do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something did not happen in the time given for it.
    #[error("timed out after {} at the {stage} stage: {}", Period(*after), stage.hint())]
    Timeout {
        /// How far it had come.
        stage: Stage,
        /// The time it was given.
        after: Duration,
    },
    /// A message could not be handed over in the time given for it; it was not sent.
    #[error(
        "the message was not handed over within {}: the peer reads too slowly; allow more time or send less at once",
        Period(*after)
    )]
    SendTimeout {
        /// The time it was given.
        after: Duration,
    },
    /// The connection, manager or client was closed, by this side or in good order by the other.
    #[error("closed: {reason}")]
    Closed {
        /// By whom, or why.
        reason: String,
    },
    /// The connection was up and broke: the peer vanished or the network did.
    #[error("connection lost: {reason}; connect again when the peer is back")]
    ConnectionLost {
        /// How it was noticed.
        reason: String,
    },
    /// The relay does not know the peer, or may not forward to it.
    #[error("peer {peer} is not available: {reason} (check its UUID, that it is running and registered at this relay)")]
    PeerUnavailable {
        /// The peer that was asked for.
        peer: Uuid,
        /// What the relay said.
        reason: String,
    },
    /// Another program registered this peer's UUID at the relay, which has forgotten this one. Connections that are up
    /// go on; nobody can call any more.
    #[error(
        "displaced at the relay: another program has registered this peer's UUID, so this one hears no more calls; end one of the two, or give each a UUID of its own"
    )]
    Displaced,
    /// The relay refused us, for good: it is not tried again.
    #[error(
        "the relay refused: {reason}{}; check the token or the credentials it wants",
        code.map(|c| format!(" (close code {c})")).unwrap_or_default()
    )]
    RelayRefused {
        /// The WebSocket close code, if there was one.
        code: Option<u16>,
        /// What the relay said.
        reason: String,
    },
    /// The relay could not be reached.
    #[error("the relay {url} cannot be reached: {reason} (check the URL, and that the relay is running)")]
    RelayUnreachable {
        /// The relay's URL.
        url: String,
        /// The last failure.
        reason: String,
    },
    /// The set-up of a connection failed, and where.
    #[error("set-up failed at the {stage} stage: {reason}; {}", stage.hint())]
    SetupFailed {
        /// How far it had come.
        stage: Stage,
        /// What happened.
        reason: String,
    },
    /// What answers is not the peer that was asked for, or what it said was changed on its way: somebody in between, such
    /// as the relay, has tampered with the connection.
    #[error(
        "somebody between you and the peer {peer} has tampered with the connection: {reason}; it was ended, do not trust this relay"
    )]
    IdentityMismatch {
        /// The peer that was asked for.
        peer: Uuid,
        /// What does not fit.
        reason: String,
    },
    /// [`Config::require_verified`](crate::Config::require_verified) is set, and this peer's id does not say which
    /// certificate it has.
    #[error(
        "the peer {peer} cannot be verified: its id is not a key; use the id that it has by itself, or do not require it"
    )]
    NotVerified {
        /// The peer.
        peer: Uuid,
    },
    /// The other peer broke the protocol.
    #[error("the peer misbehaved: {0}")]
    PeerMisbehaved(String),
    /// A message is larger than this side allows.
    #[error(
        "a message of {size} bytes is larger than the limit of {limit} bytes; send it in parts or raise `max_message_bytes` on both sides"
    )]
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// All 2³² − 1 message numbers of the connection have been used.
    #[error("the connection has sent as many messages as it can number; close it and open a new connection")]
    StreamIdsExhausted,
    /// An argument cannot be used; nothing was done.
    #[error("invalid argument: {0}")]
    InvalidInput(String),
    /// The platform's WebRTC or WebSocket implementation failed.
    #[error("platform error: {0}")]
    Platform(String),
}

impl Error {
    /// A short stable name for programs, in kebab case; JavaScript sees it as `err.code`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "timeout",
            Self::SendTimeout { .. } => "send-timeout",
            Self::Closed { .. } => "closed",
            Self::ConnectionLost { .. } => "connection-lost",
            Self::PeerUnavailable { .. } => "peer-unavailable",
            Self::Displaced => "displaced",
            Self::RelayRefused { .. } => "relay-refused",
            Self::RelayUnreachable { .. } => "relay-unreachable",
            Self::SetupFailed { .. } => "setup-failed",
            Self::IdentityMismatch { .. } => "identity-mismatch",
            Self::NotVerified { .. } => "not-verified",
            Self::PeerMisbehaved(_) => "peer-misbehaved",
            Self::TooLarge { .. } => "too-large",
            Self::StreamIdsExhausted => "stream-ids-exhausted",
            Self::InvalidInput(_) => "invalid-input",
            Self::Platform(_) => "platform",
        }
    }

    pub(crate) fn closed(reason: impl Into<String>) -> Self {
        Self::Closed { reason: reason.into() }
    }
}

/// A time for people: `30s`, `1500ms`. (`Duration`'s own text takes 3 kB of what pages download.)
pub(crate) struct Period(pub(crate) Duration);

impl std::fmt::Display for Period {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.subsec_nanos() {
            0 => write!(f, "{}s", self.0.as_secs()),
            _ => write!(f, "{}ms", self.0.as_millis() as u64),
        }
    }
}
