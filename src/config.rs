//! Everything that can be set, with units and defaults.

mod setters;
mod token;

use crate::chunk::MAX_CHUNK_BYTES;
use crate::error::Period;
use crate::{Error, Identity, Result};
use std::ops::RangeInclusive;
use std::time::Duration;
pub use token::Token;
use uuid::Uuid;

/// No wait is longer: a year. What is said to be longer, such as [`Duration::MAX`], means this.
pub(crate) const LONGEST_TIME: Duration = Duration::from_secs(365 * 86_400);

/// A STUN or TURN server, as WebRTC's `RTCIceServer` and ProxyStore's `ice_servers`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct IceServer {
    /// `stun:host:port`, `turn:host:port?transport=udp`, `turn:host:port?transport=tcp`, `turns:host:port` …
    pub urls: Vec<String>,
    /// For TURN.
    pub username: String,
    /// For TURN: the password.
    pub credential: String,
}

impl IceServer {
    /// A server that needs no credentials: `stun:host:port`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            urls: vec![url.into()],
            ..Self::default()
        }
    }

    /// The same server with credentials, for TURN.
    pub fn with_credentials(mut self, username: impl Into<String>, credential: impl Into<String>) -> Self {
        self.username = username.into();
        self.credential = credential.into();
        self
    }
}

/// Which paths to a peer may be taken, as WebRTC's `RTCIceTransportPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum IceTransportPolicy {
    /// Any: the best.
    #[default]
    All,
    /// Only those through a TURN server, so that the peer does not learn this host's addresses.
    Relay,
}

/// How a `wss://` relay is verified. In a browser the browser decides and these are ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsOptions {
    /// Further trusted root certificates, each PEM text. Default none (the public web roots).
    pub roots_pem: Vec<String>,
    /// Whether the relay's certificate is verified. Default `true`; `false` accepts any, for self-signed test relays.
    pub verify: bool,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self {
            roots_pem: Vec::new(),
            verify: true,
        }
    }
}

/// By which HTTP proxy the relay is reached, with `CONNECT`. In a browser the browser decides and this is ignored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Proxy {
    /// As the environment says: `HTTPS_PROXY` for `wss://`, `HTTP_PROXY` for `ws://`, else `ALL_PROXY`, except for hosts
    /// that `NO_PROXY` lists; in lower case too. As curl, also for hosts of this machine: list them in `NO_PROXY`.
    #[default]
    Environment,
    /// None, whatever the environment says.
    None,
    /// This one: `http://user:password@proxy:3128`, or `https://…` to speak TLS to the proxy too. `NO_PROXY` does not count.
    Url(String),
}

/// How a lost or refused relay is tried again: 1, 2, 4 … seconds, each shortened by up to a quarter at random.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reconnect {
    /// The first wait. Default 1 s (ProxyStore's).
    pub initial: Duration,
    /// The longest wait. Default 15 s: a relay that is back is not waited for as long as ProxyStore's 60 s, and a thousand
    /// clients still come one in some milliseconds.
    pub max: Duration,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(15),
        }
    }
}

/// Everything that can be set. `Config::default()` is meant to be right.
///
/// ```
/// use crosspeer::{Config, IceServer};
/// use std::time::Duration;
///
/// let turn = IceServer::new("turn:turn.example.org:3478").with_credentials("me", "secret");
/// let config = Config::default()
///     .with_name("alice")
///     .with_ice_servers([turn])
///     .with_connect_timeout(Duration::from_secs(10));
/// assert!(config.validate().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The name the relay shows to other peers. Default: the host's name, or `crosspeer` where there is none.
    pub name: Option<String>,
    /// This peer's id at the relay. Default: the one that its certificate gives, by which other peers can verify it; any
    /// other cannot be verified.
    pub uuid: Option<Uuid>,
    /// The certificate that this peer keeps, and with it its id. Default: a new one for each manager or client. In a page
    /// it is kept by the browser instead, and this is ignored.
    pub identity: Option<Identity>,
    /// Whether only peers whose ids are keys may connect and be connected to. Default `false`: others, such as ProxyStore's,
    /// are [not verified](crate::PeerConnection::is_verified).
    pub require_verified: bool,
    /// Data channels of a connection that this side offers, 1–64. Default 1: more only help peers that
    /// send one chunk at a time per channel, as ProxyStore does.
    pub channels: u16,
    /// Further headers of the relay's WebSocket request, such as `Authorization`. Default none. Not possible in a browser.
    pub relay_headers: Vec<(String, String)>,
    /// What shows the relay that this peer may use it, or where to ask for that. Default none. An `Authorization` among
    /// `relay_headers` goes before it.
    pub token: Option<Token>,
    /// How a `wss://` relay is verified.
    pub tls: TlsOptions,
    /// By which HTTP proxy the relay is reached, and TURN servers over TCP and TLS. Default: as the environment says. Peers are
    /// reached directly, or by TURN.
    pub proxy: Proxy,
    /// How a lost relay is tried again.
    pub reconnect: Reconnect,
    /// STUN and TURN servers, beside the relay's own (`relay_ice_servers`). Default ProxyStore's
    /// `stun:stun.l.google.com:19302`; empty uses none.
    pub ice_servers: Vec<IceServer>,
    /// Whether the relay is asked for its own STUN and TURN servers, which come before `ice_servers`. A crosspeer relay
    /// with `--turn` or `--turn-url` has some, and gives short-lived credentials for them; others, and ProxyStore's, give
    /// none. Default `true`.
    pub relay_ice_servers: bool,
    /// Which paths to a peer may be taken. Default all. [`IceTransportPolicy::Relay`] needs a TURN server: the relay's, or
    /// one among `ice_servers`.
    pub ice_transport_policy: IceTransportPolicy,
    /// The longest wait for STUN and TURN servers before set-up goes on without them, both sides together (each waits
    /// half as long). Default 1 s.
    pub gather_timeout: Duration,
    /// The time for setting up a connection. Default 30 s (ProxyStore's).
    pub connect_timeout: Duration,
    /// A peer that is silent for this long is dead, within a second; whatever waits for it fails. One that answers again
    /// before that has lost nothing. Default 8 s, at least 500 ms.
    ///
    /// In a page the browser decides when a peer is silent: Chromium after 5 to 7 s, Firefox after 6 to 11 s (measured),
    /// and gives it up after some 30 s at the latest. Shorter and longer times are theirs there.
    pub dead_after: Duration,
    /// How long a connection between peers of our own kind goes on without a path, from the loss of the last one: another
    /// is looked for, through the relay, and what is sent waits ([`State::Reconnecting`](crate::State::Reconnecting)).
    /// Default 60 s; zero ends the connection with its path. It needs `ordered` and a single channel, and each side keeps up to
    /// 12 MiB of what it has sent until that has arrived. Over QUIC a connection ends with its path, as yet.
    pub session_timeout: Duration,
    /// The time for `close` to deliver what was sent before it. Default 30 s.
    pub close_timeout: Duration,
    /// Bytes of the largest message sent or accepted. Default 1 GiB.
    pub max_message_bytes: u64,
    /// Bytes of received messages that wait to be taken, for each peer, before its sender is held back. Default 16 MiB.
    /// A single larger message is still delivered, and from a peer of our own kind what is on its way, up to 24 MiB more.
    pub receive_buffer_bytes: usize,
    /// Bytes of messages that have come in part, over all connections together, and natively of what has come and waits to
    /// be read. Beyond that the connection with the most of them is ended. Half as much is kept until peers have
    /// acknowledged it: at most 12 MiB for each, less the more connections there are, but 512 KiB. Natively the other
    /// windows of many connections become smaller for it, too. Default 2 GiB.
    pub memory_budget_bytes: u64,
    /// Bytes of a message's chunk towards peers of our own kind, 1–64 KiB. Default 64 KiB, where throughput
    /// peaks. ProxyStore peers always get its 32 KiB.
    pub chunk_bytes: usize,
    /// Connections at once that other peers may have made; calls beyond are not answered. Further lanes are opened only while
    /// there are no more of all than this, or than 32. Default 1024.
    pub max_connections: usize,
    /// Whether messages between peers of our own kind arrive in the order sent. Default `true`. Both must agree.
    /// From ProxyStore peers they arrive as they complete.
    pub ordered: bool,
    /// Whether this program confirms each plain message by [`Kept`](crate::transfer::ToSender::Kept) or
    /// [`Lost`](crate::transfer::ToSender::Lost) once it has dealt with it, and takes such confirmations. Default `false`.
    /// It is only told to the peer ([`PeerConnection::peer_confirms`](crate::PeerConnection::peer_confirms)).
    pub confirms: bool,
    /// Lanes of a connection between peers of our own kind: the WebRTC connections that carry it at once, each with a
    /// congestion window and a core of its own. Default 1 to 8: more than one while a large transfer (8 MiB, or 1 MiB that
    /// takes half a second) is on its way at less than 128 MiB/s, as many as make it faster. `4..=4` are always four, for
    /// instance where a fast transfer has cores to spare; `1..=1` turns lanes off; at most 32. Of two peers' largest
    /// numbers the smaller counts, of their smallest the larger. Without `ordered`, or with several `channels`, there is
    /// one, as in a browser. A further lane takes 1 MiB of memory and, while it carries much, up to 5 at the sender.
    pub lanes: RangeInclusive<u8>,
    /// Whether data goes over QUIC to peers that want it too, on the path that ICE has found: many times as fast where
    /// there is loss or distance, twice on a fast network. Where QUIC does not get through, data channels are used as
    /// always. Native programs only. Default `false`.
    pub quic: bool,
}

/// On a path that is long and lossy each lane still added its share at 32.
pub(crate) const MAX_LANES: u8 = 32;

impl Default for Config {
    fn default() -> Self {
        Self {
            name: None,
            uuid: None,
            identity: None,
            require_verified: false,
            channels: 1,
            relay_headers: Vec::new(),
            token: None,
            tls: TlsOptions::default(),
            proxy: Proxy::default(),
            reconnect: Reconnect::default(),
            ice_servers: vec![IceServer::new("stun:stun.l.google.com:19302")],
            relay_ice_servers: true,
            ice_transport_policy: IceTransportPolicy::All,
            gather_timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(30),
            dead_after: Duration::from_secs(8),
            session_timeout: Duration::from_secs(60),
            close_timeout: Duration::from_secs(30),
            max_message_bytes: 1 << 30,
            receive_buffer_bytes: 16 << 20,
            memory_budget_bytes: 2 << 30,
            chunk_bytes: MAX_CHUNK_BYTES,
            max_connections: 1024,
            ordered: true,
            confirms: false,
            lanes: 1..=8,
            quic: false,
        }
    }
}

impl Config {
    /// Checks what types cannot: ranges.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] names the field and its range.
    pub fn validate(&self) -> Result<()> {
        check_channels(self.channels)?;
        if !(1 << 10..=MAX_CHUNK_BYTES).contains(&self.chunk_bytes) {
            return invalid(format!("chunk_bytes is {}, must be 1024 to 65536", self.chunk_bytes));
        }
        let (least, most) = (*self.lanes.start(), *self.lanes.end());
        if least == 0 || least > most || most > MAX_LANES {
            return invalid(format!("lanes is {least} to {most}, must be within 1 to {MAX_LANES}"));
        }
        let times = [
            ("gather_timeout", self.gather_timeout),
            ("connect_timeout", self.connect_timeout),
            ("dead_after", self.dead_after),
            ("session_timeout", self.session_timeout),
            ("close_timeout", self.close_timeout),
            ("reconnect.initial", self.reconnect.initial),
            ("reconnect.max", self.reconnect.max),
        ];
        if let Some((name, time)) = times.iter().find(|(_, time)| *time > LONGEST_TIME) {
            return invalid(format!("{name} is {}, must be at most a year", Period(*time)));
        }
        if self.dead_after < Duration::from_millis(500) {
            return invalid(format!(
                "dead_after is {}, must be at least 500 ms",
                Period(self.dead_after)
            ));
        }
        if let Some(token) = self.token.as_ref().and_then(Token::fixed)
            && (token.is_empty() || !token.bytes().all(|c| c.is_ascii_graphic()))
        {
            return invalid("token must be of visible ASCII characters, without spaces, and not empty".into());
        }
        if self.max_message_bytes == 0 || self.receive_buffer_bytes == 0 {
            return invalid("max_message_bytes and receive_buffer_bytes must be above 0".into());
        }
        Ok(())
    }
}

pub(crate) fn check_channels(channels: u16) -> Result<()> {
    match channels {
        1..=64 => Ok(()),
        n => invalid(format!("channels is {n}, must be 1 to 64")),
    }
}

fn invalid(text: String) -> Result<()> {
    Err(Error::InvalidInput(text))
}
