//! The server's side of the relay, without sockets: who is registered, and what each message leads to.
//!
//! The rules are ProxyStore's with these faults mended: a client speaks only for the UUID it registered; one that is closed
//! is unregistered at once; a socket has one UUID, the last it registered; a new registration is answered without waiting
//! for the old socket to close; a message that a receiver would refuse for its size is not forwarded; anything that is not
//! a message ends only its sender, with code 4000.
//!
//! Queues, limits on what is received, and dead sockets are the caller's: this never waits.

use super::wire::{Envelope, Frame};
use super::{MAX_FRAME_BYTES, Registration, RelayMessage, Response};
use std::collections::{HashMap, VecDeque};
use tracing::{debug, info, warn};
use uuid::Uuid;

/// The WebSocket close codes of a relay.
pub mod close_code {
    /// The relay is shutting down.
    pub const GOING_AWAY: u16 = 1001;
    /// The client does not read what is sent to it.
    pub const POLICY: u16 = 1008;
    /// A message above [`MAX_FRAME_BYTES`](super::MAX_FRAME_BYTES).
    pub const TOO_BIG: u16 = 1009;
    /// The relay cannot take the client now.
    pub const TRY_AGAIN_LATER: u16 = 1013;
    /// The client does not answer pings.
    pub const INTERNAL_ERROR: u16 = 1011;
    /// Not a message of the relay's protocol.
    pub const UNKNOWN_MESSAGE: u16 = 4000;
    /// Credentials are missing or malformed.
    pub const UNAUTHORIZED: u16 = 4001;
    /// Not registered, or not allowed.
    pub const FORBIDDEN: u16 = 4002;
    /// A message above the limit configured at the relay.
    pub const MESSAGE_TOO_LONG: u16 = 4003;
    /// Another socket has registered the same UUID.
    pub const REPLACED: u16 = 4004;
}

/// Bytes of a client's name, in UTF-8. A host's name has 253 at most.
pub const MAX_NAME_BYTES: usize = 256;
/// Lines of one client in the log, of what it may do as often as it likes.
const LINES: u64 = 10;
/// What is said of a client that was closed since it did not answer: its computer may sleep. Of one that has gone, as
/// ProxyStore's relay says it, that it is not registered.
pub(crate) const SILENT: &str = "it has not answered the relay for a while.";
/// Bytes of what a client sent that go into a log line.
const LOGGED_BYTES: usize = 200;
const UNKNOWN_MESSAGE: &str = "Unknown message type.";
const NOT_REGISTERED: &str = "ForbiddenError: Client has not registered and authenticated with the relay server.";
const LONG_NAME: &str = "The name is too long.";
const KEEPALIVE: &str = "keepalive ping timeout";
const TOO_BIG: &str = "frame exceeds limit of 1048576 bytes";
// A close reason holds 123 bytes (RFC 6455 §5.5); these are ProxyStore's, and fit.
const REPLACED: &str = "Relay received a registration with the same ID. \
                        This might mean that the endpoint is running in multiple locations.";

/// One client's socket. The caller chooses the numbers and never uses one again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// What the caller is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwitchboardOutput {
    /// Send a text frame.
    Send {
        /// To this client.
        conn: ConnId,
        /// The text.
        text: String,
    },
    /// Close the socket, after what was sent to it before. It is forgotten already: nothing it still sends counts.
    Close {
        /// Whose socket.
        conn: ConnId,
        /// The close code.
        code: u16,
        /// The close reason.
        reason: &'static str,
    },
    /// Pass a message on to whichever other relay has this peer, or else say that it is [unknown](Switchboard::unknown).
    /// Only of a relay that [has others](Switchboard::has_others).
    Elsewhere {
        /// Whose message.
        conn: ConnId,
        /// For whom it is.
        peer: Uuid,
        /// The text.
        text: String,
    },
}

/// What has happened since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Registrations that were accepted.
    pub registrations: u64,
    /// Messages passed on to clients of this relay.
    pub forwarded: u64,
    /// Bytes (UTF-8) of these.
    pub bytes: u64,
    /// Messages sent back: nobody has registered that UUID.
    pub unknown_peer: u64,
    /// Messages sent back: the client has not registered the UUID for which it speaks.
    pub spoofed: u64,
    /// Messages sent back: by a rule of the caller's.
    pub forbidden: u64,
    /// Clients closed because they sent a message before they registered.
    pub unregistered: u64,
    /// Clients closed because what they sent is no message.
    pub malformed: u64,
    /// Clients closed because of a message that its receiver would refuse for its size.
    pub too_big: u64,
}

/// A text frame that has been read, so that this work can be done before the switchboard is locked.
#[derive(Debug)]
pub struct Incoming {
    request: Request,
    greeting: Option<String>,
}

#[derive(Debug)]
enum Request {
    Register(Registration),
    Forward {
        source: Uuid,
        peer: Uuid,
        text: String,
    },
    Refused(String),
    /// A registration by a name of so many bytes.
    LongName(usize),
}

impl Incoming {
    /// The UUID that it wants to register, if it does.
    pub fn registers(&self) -> Option<Uuid> {
        match &self.request {
            Request::Register(registration) => Some(registration.uuid),
            _ => None,
        }
    }

    /// The same; a registration that is accepted is answered by this text too, before the answer: what a client is to know
    /// once it is registered.
    #[must_use]
    pub fn with_greeting(mut self, text: Option<String>) -> Self {
        self.greeting = text;
        self
    }

    /// The peer to whom it is to be passed on, if it is.
    pub fn peer(&self) -> Option<Uuid> {
        match &self.request {
            Request::Forward { peer, .. } => Some(*peer),
            _ => None,
        }
    }

    /// Reads a text frame; what is malformed becomes a refusal.
    pub fn read(text: &str) -> Self {
        Self::of(match Frame::read(text) {
            Ok(Frame::Registration { name, uuid }) => match name.text() {
                name if name.len() > MAX_NAME_BYTES => Request::LongName(name.len()),
                name => Request::Register(Registration { name, uuid }),
            },
            Ok(Frame::PeerConnection(envelope)) => Request::Forward {
                source: envelope.source_uuid,
                peer: envelope.peer_uuid,
                text: envelope.encode(None),
            },
            Ok(Frame::Response { .. }) => Request::Refused("relay_response is for relays to send".into()),
            Ok(Frame::IceServers { .. }) => Request::Refused("ice_servers is for relays to send".into()),
            Err(error) => Request::Refused(error.to_string()),
        })
    }

    fn of(request: Request) -> Self {
        let greeting = None;
        Self { request, greeting }
    }
}

/// All clients of one relay.
#[derive(Debug, Default)]
pub struct Switchboard {
    conns: HashMap<ConnId, Option<Registration>>,
    /// How often each has made a line in the log, or would have.
    lines: HashMap<ConnId, u64>,
    by_uuid: HashMap<Uuid, ConnId>,
    /// Those that did not answer, until they are back or forgotten.
    silent: HashMap<Uuid, ConnId>,
    outputs: VecDeque<SwitchboardOutput>,
    counts: Counts,
    others: bool,
}

impl Switchboard {
    /// The reason that goes with [`close_code::REPLACED`].
    pub const REPLACED: &str = REPLACED;

    /// A relay without clients.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on other relays may have peers that this one has not.
    pub fn has_others(&mut self) {
        self.others = true;
    }

    /// What has happened so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// A socket was opened. How long it may stay unregistered is the caller's rule.
    pub fn on_open(&mut self, conn: ConnId) {
        self.conns.insert(conn, None);
    }

    /// A text frame came.
    pub fn on_text(&mut self, conn: ConnId, text: &str) {
        self.on_incoming(conn, Incoming::read(text));
    }

    /// A text frame came and has been read.
    pub fn on_incoming(&mut self, conn: ConnId, incoming: Incoming) {
        let Some(registered) = self.conns.get(&conn) else {
            return; // closed by us, and the other side did not know yet
        };
        match (incoming.request, registered) {
            (Request::Register(registration), _) => self.register(conn, registration, incoming.greeting),
            (Request::Forward { source, peer, text }, Some(client)) => {
                let own = client.uuid;
                self.forward(conn, own, source, peer, text);
            }
            (Request::Forward { .. }, None) => self.refuse_unregistered(conn),
            (Request::LongName(bytes), _) => self.refuse_name(conn, bytes),
            (Request::Refused(why), _) => {
                let end = why.floor_char_boundary(LOGGED_BYTES);
                warn!(conn = conn.0, why = &why[..end], "refused");
                self.counts.malformed += 1;
                self.close(conn, close_code::UNKNOWN_MESSAGE, UNKNOWN_MESSAGE);
            }
        }
    }

    /// A message came that the caller does not allow, and why not: it goes back, if it is the client's own.
    pub fn on_forbidden(&mut self, conn: ConnId, incoming: Incoming, why: &str) {
        match (incoming.request, self.conns.get(&conn)) {
            (Request::Forward { source, peer, text }, Some(Some(client))) if client.uuid == source => {
                self.forbidden(conn, peer, &text, why);
            }
            (request, _) => self.on_incoming(
                conn,
                Incoming {
                    request,
                    greeting: incoming.greeting,
                },
            ),
        }
    }

    /// Nobody has the peer of a message that was to go [elsewhere](SwitchboardOutput::Elsewhere).
    pub fn unknown(&mut self, conn: ConnId, peer: Uuid, text: &str) {
        if self.conns.contains_key(&conn) {
            self.counts.unknown_peer += 1;
            let error = match self.silent.contains_key(&peer) {
                true => format!("Cannot forward peer connection message to peer {peer}: {SILENT}"),
                false => format!(
                    "Cannot forward peer connection message to peer {peer} because this peer is not registered this relay server."
                ),
            };
            self.send_back(conn, peer, text, &error);
        }
    }

    /// The peer of a message that was to go elsewhere may not have it, and why.
    pub fn forbidden(&mut self, conn: ConnId, peer: Uuid, text: &str, why: &str) {
        if self.conns.contains_key(&conn) {
            self.counts.forbidden += 1;
            let error = format!("Cannot forward peer connection message to peer {peer}: {why}");
            self.send_back(conn, peer, text, &error);
        }
    }

    /// A message of another relay's client, as that relay's [`SwitchboardOutput::Elsewhere`] had it. `false`: the peer is
    /// not here.
    pub fn deliver(&mut self, peer: Uuid, text: String) -> bool {
        let Some(&target) = self.by_uuid.get(&peer) else {
            return false;
        };
        self.pass_on(target, text);
        true
    }

    /// A binary frame came, which is no part of the protocol.
    pub fn on_binary(&mut self, conn: ConnId) {
        self.on_incoming(conn, Incoming::of(Request::Refused("binary frame".into())));
    }

    /// The socket is closed or broken.
    pub fn on_close(&mut self, conn: ConnId) {
        if let Some(Some(client)) = self.forget(conn) {
            info!(conn = conn.0, uuid = %client.uuid, name = client.name, "unregistered");
        }
    }

    /// Closes a client's socket for a reason of the caller's.
    pub fn close(&mut self, conn: ConnId, code: u16, reason: &'static str) {
        if let Some(client) = self.forget(conn) {
            let uuid = client.map(|client| client.uuid);
            info!(conn = conn.0, ?uuid, code, reason, "closing");
            self.outputs.push_back(SwitchboardOutput::Close { conn, code, reason });
        }
    }

    /// Closes the socket of a client that does not answer, and gives its UUID. Until it is back, or
    /// [forgotten](Switchboard::forget_silent), others learn that it was there a while ago.
    pub fn close_silent(&mut self, conn: ConnId) -> Option<Uuid> {
        let uuid = self.conns.get(&conn).and_then(|client| Some(client.as_ref()?.uuid));
        self.close(conn, close_code::INTERNAL_ERROR, KEEPALIVE);
        self.silent.extend(uuid.map(|uuid| (uuid, conn)));
        uuid
    }

    /// It is not expected back any more.
    pub fn forget_silent(&mut self, uuid: Uuid, conn: ConnId) {
        if self.silent.get(&uuid) == Some(&conn) {
            self.silent.remove(&uuid);
        }
    }

    /// Sends a text of the caller's to a client that is registered; others get nothing.
    pub fn notify(&mut self, conn: ConnId, text: String) {
        if self.is_registered(conn) {
            self.send(conn, text);
        }
    }

    /// Closes every socket, for a shutdown.
    pub fn close_all(&mut self, code: u16, reason: &'static str) {
        let conns: Vec<ConnId> = self.conns.keys().copied().collect();
        for conn in conns {
            self.close(conn, code, reason);
        }
    }

    /// What is to be done next, in order.
    pub fn poll_output(&mut self) -> Option<SwitchboardOutput> {
        self.outputs.pop_front()
    }

    /// Whether this socket has registered.
    pub fn is_registered(&self, conn: ConnId) -> bool {
        matches!(self.conns.get(&conn), Some(Some(_)))
    }

    /// What this socket has registered.
    pub fn uuid(&self, conn: ConnId) -> Option<Uuid> {
        Some(self.conns.get(&conn)?.as_ref()?.uuid)
    }

    /// Who has registered this UUID.
    pub fn holder(&self, uuid: Uuid) -> Option<ConnId> {
        self.by_uuid.get(&uuid).copied()
    }

    /// How many clients are registered.
    pub fn len(&self) -> usize {
        self.by_uuid.len()
    }

    /// Whether no client is registered.
    pub fn is_empty(&self) -> bool {
        self.by_uuid.is_empty()
    }

    /// Everyone who is registered, in no order.
    pub fn clients(&self) -> impl Iterator<Item = &Registration> {
        self.conns.values().flatten()
    }

    fn register(&mut self, conn: ConnId, registration: Registration, greeting: Option<String>) {
        let uuid = registration.uuid;
        if let Some(&old) = self.by_uuid.get(&uuid)
            && old != conn
        {
            self.close(old, close_code::REPLACED, REPLACED);
        }
        if self.may_log(conn) {
            info!(conn = conn.0, %uuid, name = registration.name, "registered");
        }
        self.counts.registrations += 1;
        if let Some(Some(before)) = self.conns.insert(conn, Some(registration)) {
            self.by_uuid.remove(&before.uuid);
        }
        self.by_uuid.insert(uuid, conn);
        self.silent.remove(&uuid);
        if let Some(text) = greeting {
            self.send(conn, text);
        }
        let response = Response {
            success: true,
            message: None,
            error: false,
        };
        self.send(conn, RelayMessage::Response(response).encode());
    }

    fn refuse_name(&mut self, conn: ConnId, bytes: usize) {
        warn!(conn = conn.0, bytes, "refused: its name is too long");
        let response = Response {
            success: false,
            message: Some(format!(
                "BadRequestError: The name has {bytes} bytes, {MAX_NAME_BYTES} are allowed."
            )),
            error: true,
        };
        self.send(conn, RelayMessage::Response(response).encode());
        self.close(conn, close_code::POLICY, LONG_NAME);
    }

    fn forward(&mut self, conn: ConnId, own: Uuid, source: Uuid, peer: Uuid, text: String) {
        if source != own {
            self.counts.spoofed += 1;
            let error = format!(
                "Cannot forward peer connection message from {source} because this client is registered as {own}."
            );
            return self.send_back(conn, peer, &text, &error);
        }
        if text.len() > MAX_FRAME_BYTES {
            // It grew by escapes. The receiver would close its own socket (1009), so that the sender's goes instead.
            return self.refuse_size(conn);
        }
        match self.by_uuid.get(&peer) {
            Some(&target) => {
                debug!(%source, %peer, bytes = text.len(), "forwarded");
                self.pass_on(target, text);
            }
            None if self.others => self
                .outputs
                .push_back(SwitchboardOutput::Elsewhere { conn, peer, text }),
            None => self.unknown(conn, peer, &text),
        }
    }

    fn pass_on(&mut self, target: ConnId, text: String) {
        self.counts.forwarded += 1;
        self.counts.bytes += text.len() as u64;
        self.send(target, text);
    }

    fn refuse_unregistered(&mut self, conn: ConnId) {
        self.counts.unregistered += 1;
        self.close(conn, close_code::FORBIDDEN, NOT_REGISTERED);
    }

    fn refuse_size(&mut self, conn: ConnId) {
        self.counts.too_big += 1;
        self.close(conn, close_code::TOO_BIG, TOO_BIG);
    }

    /// The message goes back to its sender, saying what was wrong with it.
    fn send_back(&mut self, conn: ConnId, peer: Uuid, text: &str, error: &str) {
        if self.may_log(conn) {
            warn!(conn = conn.0, %peer, "not forwarded: {error}");
        }
        let answer = match Frame::read(text) {
            Ok(Frame::PeerConnection(envelope)) => Envelope::encode(&envelope, Some(error)),
            _ => return,
        };
        match answer.len() {
            0..=MAX_FRAME_BYTES => self.send(conn, answer),
            _ => self.refuse_size(conn),
        }
    }

    /// Whether what a client may do as often as it likes makes one more line.
    fn may_log(&mut self, conn: ConnId) -> bool {
        let lines = self.lines.entry(conn).or_default();
        *lines += 1;
        *lines <= LINES
    }

    fn send(&mut self, conn: ConnId, text: String) {
        self.outputs.push_back(SwitchboardOutput::Send { conn, text });
    }

    fn forget(&mut self, conn: ConnId) -> Option<Option<Registration>> {
        let client = self.conns.remove(&conn)?;
        let unsaid = self.lines.remove(&conn).unwrap_or_default().saturating_sub(LINES);
        if unsaid > 0 {
            info!(conn = conn.0, unsaid, "it made no more lines here than its first");
        }
        if let Some(client) = &client {
            self.by_uuid.remove(&client.uuid);
        }
        Some(client)
    }
}

#[cfg(test)]
mod tests;
