//! A QUIC connection as a state machine: datagrams, frames and the time in; datagrams, frames and news out. It has no
//! socket, no clock and no task.
//!
//! The peer has one address here that never changes, and is none: where datagrams really go, ICE decides.

use super::frames::{Incoming, Outgoing, Violation};
use super::identity::Credentials;
use super::model::ModelConfig;
use bytes::{Bytes, BytesMut};
use crosspeer::Fingerprint;
use quinn_proto::congestion::ControllerFactory;
use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn_proto::{
    ClientConfig, Connection, ConnectionError, ConnectionHandle, DatagramEvent, Dir, EcnCodepoint, Endpoint,
    EndpointConfig, Event, RandomConnectionIdGenerator, ServerConfig, Side, StreamEvent, TransportConfig, VarInt,
};
use std::collections::VecDeque;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The peer, as QUIC knows it: an address for documentation (RFC 3849).
const PEER: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    443,
);
/// Bytes that the peer may send before they have been read: at first, and on a path that needs more.
const WINDOWS: std::ops::RangeInclusive<u64> = 2 << 20..=16 << 20;
/// Bytes of a stream before they have been read: more than any stream of ours has.
const STREAM_WINDOW: u32 = 128 << 10;
/// Streams at once. With a frame of the largest size in each it is the largest window.
const MAX_STREAMS: u32 = 256;
/// Bytes written that are neither on the path nor acknowledged, at least: enough until this side's task comes around.
const AHEAD_BYTES: u64 = 512 << 10;
/// The round trip that is assumed is at least this long: the peer has to compute for some milliseconds.
const LEAST_ROUND_TRIP: Duration = Duration::from_millis(30);
/// Attempts at this side that may fail: whoever can send from the peer's address must not use up all.
const MAX_ATTEMPTS: usize = 8;
/// Packets that are too early for their connection; the peer sends them again.
const MAX_RESPONSES: usize = 4;

/// What makes a connection's congestion control.
pub(super) type Control = Arc<dyn ControllerFactory + Send + Sync>;

/// What the library's chance begins with; where there is none, the system gives it.
pub(super) type Seed = Option<[u8; 32]>;

/// What has become of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// It is up, and the peer is the one that was meant.
    Connected,
    /// This many bytes of a frame have been taken.
    Written(usize),
    /// Everything written has arrived.
    Flushed,
    /// The peer has closed it.
    Closed,
    /// It is of no further use.
    Failed(String),
}

/// One connection, or the attempt at it.
pub(crate) struct Carrier {
    endpoint: Endpoint,
    seed: Seed,
    /// Of the side that waits.
    server: Option<Arc<ServerConfig>>,
    connection: Option<(ConnectionHandle, Connection)>,
    attempts: usize,
    connected: bool,
    ended: Option<News>,
    outgoing: Outgoing,
    incoming: Incoming,
    flushing: bool,
    news: VecDeque<News>,
    responses: VecDeque<Vec<u8>>,
    window: Window,
}

impl Carrier {
    /// The side that begins; `round_trip` is what ICE has measured.
    ///
    /// # Errors
    /// The library's words; nothing that a peer could cause.
    pub(crate) fn client(
        now: Instant,
        own: &Credentials,
        peer: Fingerprint,
        round_trip: Duration,
    ) -> Result<Self, String> {
        Self::client_by(now, own, peer, round_trip, Arc::new(ModelConfig), None)
    }

    /// The same, with this congestion control and this seed.
    pub(super) fn client_by(
        now: Instant,
        own: &Credentials,
        peer: Fingerprint,
        round_trip: Duration,
        control: Control,
        seed: Seed,
    ) -> Result<Self, String> {
        let crypto = own.client(peer).map_err(|error| error.to_string())?;
        let crypto = QuicClientConfig::try_from(crypto).map_err(|error| error.to_string())?;
        let mut config = ClientConfig::new(Arc::new(crypto));
        config.transport_config(transport(round_trip, control));
        let mut this = Self::new(None, Side::Client, seed);
        let connected = this.endpoint.connect(now, config, PEER, "crosspeer");
        this.connection = Some(connected.map_err(|error| error.to_string())?);
        Ok(this)
    }

    /// The other side.
    ///
    /// # Errors
    /// As [`Carrier::client`].
    pub(crate) fn server(own: &Credentials, peer: Fingerprint, round_trip: Duration) -> Result<Self, String> {
        Self::server_by(own, peer, round_trip, None)
    }

    /// The same, with this seed.
    pub(super) fn server_by(
        own: &Credentials,
        peer: Fingerprint,
        round_trip: Duration,
        seed: Seed,
    ) -> Result<Self, String> {
        let crypto = own.server(peer).map_err(|error| error.to_string())?;
        let crypto = QuicServerConfig::try_from(crypto).map_err(|error| error.to_string())?;
        let mut config = ServerConfig::with_crypto(Arc::new(crypto));
        let transport = transport(round_trip, Arc::new(ModelConfig));
        config.transport_config(transport).migration(false);
        Ok(Self::new(Some(Arc::new(config)), Side::Server, seed))
    }

    fn new(server: Option<Arc<ServerConfig>>, side: Side, seed: Seed) -> Self {
        Self {
            endpoint: Endpoint::new(endpoint_config(seed), server.clone(), true, None),
            seed,
            server,
            connection: None,
            attempts: 0,
            connected: false,
            ended: None,
            outgoing: Outgoing::default(),
            incoming: Incoming::new(side),
            flushing: false,
            news: VecDeque::new(),
            responses: VecDeque::new(),
            window: Window::default(),
        }
    }

    /// Takes a datagram that has come over the path.
    pub(crate) fn receive(&mut self, now: Instant, datagram: BytesMut, ecn: Option<EcnCodepoint>) {
        let mut response = Vec::new();
        match self.endpoint.handle(now, PEER, None, ecn, datagram, &mut response) {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                if let Some((_, connection)) = self.connection.as_mut().filter(|(mine, _)| *mine == handle) {
                    connection.handle_event(event);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                if self.connection.is_some() || self.attempts == MAX_ATTEMPTS {
                    return self.endpoint.ignore(incoming);
                }
                self.attempts += 1;
                match self.endpoint.accept(incoming, now, &mut response, None) {
                    Ok(connected) => self.connection = Some(connected),
                    Err(refused) if refused.response.is_some() => self.respond(response),
                    Err(_) => {}
                }
            }
            Some(DatagramEvent::Response(_)) => self.respond(response),
            None => {}
        }
    }

    fn respond(&mut self, response: Vec<u8>) {
        if self.responses.len() < MAX_RESPONSES {
            self.responses.push_back(response);
        }
    }

    /// When [`Carrier::on_timeout`] wants to be called.
    pub(crate) fn timeout(&mut self) -> Option<Instant> {
        self.connection.as_mut()?.1.poll_timeout()
    }

    pub(crate) fn on_timeout(&mut self, now: Instant) {
        if let Some((_, connection)) = &mut self.connection {
            connection.handle_timeout(now);
        }
    }

    /// The next datagrams to be sent: fills `buffer` with at most `most` of them, each of the returned size but the last.
    pub(crate) fn transmit(
        &mut self,
        now: Instant,
        most: usize,
        buffer: &mut Vec<u8>,
    ) -> Option<(Option<usize>, Option<EcnCodepoint>)> {
        if let Some(response) = self.responses.pop_front() {
            buffer.extend_from_slice(&response);
            return Some((None, None));
        }
        let (_, connection) = self.connection.as_mut()?;
        let transmit = connection.poll_transmit(now, most, buffer)?;
        buffer.truncate(transmit.size);
        Some((transmit.segment_size, transmit.ecn))
    }

    /// Queues a frame.
    pub(crate) fn send(&mut self, frame: BytesMut) {
        self.outgoing.push(frame);
    }

    /// Asks for [`News::Flushed`].
    pub(crate) fn flush(&mut self) {
        self.flushing = true;
    }

    /// Tells the peer that it is over. What is still on its way may be lost.
    pub(crate) fn close(&mut self, now: Instant) {
        if let Some((_, connection)) = &mut self.connection {
            connection.close(now, VarInt::from_u32(0), Bytes::new());
        }
    }

    /// A whole frame, if one has come.
    pub(crate) fn next_frame(&mut self) -> Option<Bytes> {
        if !self.connected {
            return None;
        }
        let (_, connection) = self.connection.as_mut()?;
        match self.incoming.next(connection) {
            Ok(frame) => frame,
            Err(violation) => {
                self.violated(violation);
                None
            }
        }
    }

    /// What has happened since. To be asked after every other call, until there is nothing more.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<News> {
        self.exchange(now);
        if self.connected && self.ended.is_none() {
            self.write();
            self.tune(now);
            if self.flushing && self.outgoing.is_empty() {
                self.flushing = false;
                self.news.push_back(News::Flushed);
            }
        }
        self.news.pop_front()
    }

    /// How it has ended. What came before is still to be read.
    pub(crate) fn ended(&self) -> Option<&News> {
        self.ended.as_ref()
    }

    /// Between the connection and its endpoint, and what has become of it.
    fn exchange(&mut self, now: Instant) {
        let Some((handle, connection)) = &mut self.connection else {
            return;
        };
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                connection.handle_event(event);
            }
        }
        let mut lost = None;
        while let Some(event) = connection.poll() {
            match event {
                Event::Connected => {
                    self.connected = true;
                    self.news.push_back(News::Connected);
                }
                Event::Stream(StreamEvent::Opened { dir: Dir::Uni }) => {
                    while let Some(id) = connection.streams().accept(Dir::Uni) {
                        self.incoming.readable(id);
                    }
                }
                Event::Stream(StreamEvent::Readable { id }) => self.incoming.readable(id),
                Event::Stream(StreamEvent::Finished { .. }) => self.outgoing.acknowledged(),
                Event::ConnectionLost { reason } => lost = Some(reason),
                _ => {}
            }
        }
        match lost {
            Some(_) if !self.connected && self.server.is_some() => self.wait_again(now),
            Some(ConnectionError::ApplicationClosed(_)) => self.ended = Some(News::Closed),
            Some(ConnectionError::LocallyClosed) | None => {}
            Some(reason) => self.ended = Some(News::Failed(reason.to_string())),
        }
    }

    /// An attempt has failed; who made it is told. Whoever can send from the peer's address may have come before the peer.
    fn wait_again(&mut self, now: Instant) {
        if let Some((_, mut connection)) = self.connection.take() {
            let mut farewell = Vec::new();
            if connection.poll_transmit(now, 1, &mut farewell).is_some() {
                self.respond(farewell);
            }
        }
        self.endpoint = Endpoint::new(endpoint_config(self.seed), self.server.clone(), true, None);
    }

    fn write(&mut self) {
        if let Some((_, connection)) = &mut self.connection {
            let news = &mut self.news;
            let written = self
                .outgoing
                .write(connection, |bytes| news.push_back(News::Written(bytes)));
            if let Err(violation) = written {
                self.violated(violation);
            }
        }
    }

    fn violated(&mut self, Violation(reason): Violation) {
        self.ended.get_or_insert(News::Failed(reason));
    }

    /// Keeps as much on the path as it holds, and little more in memory.
    fn tune(&mut self, now: Instant) {
        let Some((_, connection)) = &mut self.connection else {
            return;
        };
        let on_path = connection.congestion_state().window();
        let sent = (on_path + AHEAD_BYTES.max(on_path / 2)).min(*WINDOWS.end());
        if self.window.sent.abs_diff(sent) > self.window.sent / 8 {
            self.window.sent = sent;
            connection.set_send_window(sent);
        }
        if let Some(window) = self.window.received(now, connection.rtt(), self.incoming.read) {
            connection.set_receive_window(VarInt::from_u64(window).unwrap_or(VarInt::MAX));
        }
    }
}

/// How much may be on its way, each way.
struct Window {
    sent: u64,
    received: u64,
    /// When a round trip began, and what had been read.
    began: Option<(Instant, u64)>,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            sent: *WINDOWS.start(),
            received: *WINDOWS.start(),
            began: None,
        }
    }
}

impl Window {
    /// The larger window that the peer gets, if it has used half of the present one in a round trip.
    fn received(&mut self, now: Instant, round_trip: Duration, read: u64) -> Option<u64> {
        let (began, before) = *self.began.get_or_insert((now, read));
        if now.saturating_duration_since(began) < round_trip {
            return None;
        }
        self.began = Some((now, read));
        let small = self.received < *WINDOWS.end() && (read - before) * 2 > self.received;
        small.then(|| {
            self.received = (self.received * 2).min(*WINDOWS.end());
            self.received
        })
    }
}

fn endpoint_config(seed: Seed) -> Arc<EndpointConfig> {
    let mut config = EndpointConfig::default();
    config
        .rng_seed(seed)
        // STUN, DTLS and TURN are told apart by the first byte (RFC 9443 §3): the bit must stay what it is.
        .grease_quic_bit(false)
        // There is one connection.
        .cid_generator(|| Box::new(RandomConnectionIdGenerator::new(0)))
        .supported_versions(vec![1]);
    Arc::new(config)
}

fn transport(round_trip: Duration, control: Control) -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    config
        .initial_rtt(round_trip.max(LEAST_ROUND_TRIP))
        // Whether the peer is alive, ICE says.
        .max_idle_timeout(None)
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(MAX_STREAMS))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u64(*WINDOWS.start()).unwrap_or(VarInt::MAX))
        .send_window(*WINDOWS.start())
        // First come, first sent.
        .send_fairness(false)
        .datagram_receive_buffer_size(None)
        .congestion_controller_factory(control);
    Arc::new(config)
}

#[cfg(test)]
mod tests;
