//! A client's side of the relay, without sockets: register, stay registered, try again.
//!
//! The caller opens the sockets it is told to and reports their events and the time. A lost relay is tried again after
//! 1, 2, 4 … seconds until [`Uplink::close`], or until the relay refuses for good: close codes 4001, 4002 and 4004, HTTP
//! 401 and 403, and an answer that says so. A relay that accepts and closes at once is not called in a loop.
//!
//! What trying again does not mend ends the uplink too, but only before its first registration: a bad URL, an untrusted
//! certificate, HTTP 404, an answer that no relay gives. Once a registration has held, these are as likely to pass as
//! anything else (a proxy in front of a relay that restarts, a certificate being renewed), and are tried again.

use super::{IceServers, PeerConnectionMessage, Registration, RelayMessage, Response, close_code};
use crate::config::LONGEST_TIME;
use crate::error::Period;
use crate::platform::{SocketEvent, SocketId};
use crate::{Error, IceServer, Reconnect, printable};
use std::collections::VecDeque;
use std::time::Duration;
use tracing::{debug, warn};
use uuid::Uuid;
use web_time::Instant;

/// The time for the WebSocket to open, and again for the answer to the registration. ProxyStore's.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// A registration that has held for this long starts the waits from the first again.
const STEADY_AFTER: Duration = Duration::from_secs(30);
/// Messages that wait for a registration.
const MAX_QUEUED: usize = 256;
/// An attempt that has not opened for so long is given up when a new one is asked for.
const STALE_AFTER: Duration = Duration::from_secs(2);

/// What the caller is to do, or to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UplinkOutput {
    /// Open a WebSocket to the relay.
    Open(SocketId),
    /// Send a text frame.
    Send(SocketId, String),
    /// Send what is queued, close the socket and forget it.
    CloseSocket(SocketId),
    /// The relay knows this client now.
    Registered,
    /// A message from a peer, or one of ours that came back with an error.
    Message(PeerConnectionMessage),
    /// The relay's STUN and TURN servers, for connections that are set up from here on; `None` once their credentials have
    /// ended without others.
    IceServers(Option<IceServer>),
    /// The registration is lost; it will be tried again.
    Lost {
        /// Why.
        reason: String,
    },
    /// There is no registration, and it will be tried again.
    Retrying {
        /// Why there is none.
        reason: String,
        /// In this time.
        wait: Duration,
    },
    /// The relay refused for good; nothing follows.
    Refused(Error),
    /// There is no relay to be had there, and why; nothing follows.
    Hopeless(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Opening { socket: SocketId, until: Instant },
    Registering { socket: SocketId, until: Instant },
    Registered { socket: SocketId, since: Instant },
    Waiting { until: Instant },
    Ended,
}

/// A second socket beside that of a registration.
#[derive(Debug, Clone, Copy)]
struct Renewal {
    socket: SocketId,
    until: Instant,
    opened: bool,
}

/// One client's registration at one relay, over as many sockets as it takes.
#[derive(Debug)]
pub struct Uplink {
    registration: Registration,
    reconnect: Reconnect,
    rng: fastrand::Rng,
    state: State,
    /// While registered: another registration that is to replace it.
    renewal: Option<Renewal>,
    /// The socket that was replaced by one: what is on its way over it still counts, until the relay closes it, or this time.
    retiring: Option<(SocketId, Instant)>,
    /// Whether a second socket was lost after it had asked to be registered: the first may have been replaced by it.
    replaced_by_own: bool,
    next_socket: u64,
    /// Attempts since a registration last held.
    failures: u32,
    /// Whether the relay has ever registered us: it exists, and lets us in.
    known: bool,
    /// Whether each call has a token of its own, and so a refusal need not be the last word.
    asks: bool,
    /// Whether the last call was refused, and one with another token is to follow.
    doubted: bool,
    last_failure: Option<String>,
    /// Whether servers are asked for, and until when those there are can be used.
    wants_ice: bool,
    ice_until: Option<Instant>,
    queue: VecDeque<PeerConnectionMessage>,
    outputs: VecDeque<UplinkOutput>,
}

impl Uplink {
    /// An uplink that does nothing before [`start`](Self::start). The seed is for the waits' jitter.
    pub fn new(registration: Registration, reconnect: Reconnect, seed: u64) -> Self {
        Self {
            registration,
            reconnect,
            rng: fastrand::Rng::with_seed(seed),
            state: State::Idle,
            renewal: None,
            retiring: None,
            replaced_by_own: false,
            next_socket: 0,
            failures: 0,
            known: false,
            asks: false,
            doubted: false,
            last_failure: None,
            wants_ice: true,
            ice_until: None,
            queue: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Whether somebody is asked for a token at each call of the relay. A known client whose token is refused is then
    /// refused for good only the second time in a row: the first token may have ended on its way.
    #[must_use]
    pub fn asking(mut self, asks: bool) -> Self {
        self.asks = asks;
        self
    }

    /// Servers that the relay gives are not taken.
    #[must_use]
    pub fn without_ice_servers(mut self) -> Self {
        self.wants_ice = false;
        self
    }

    /// Goes to the relay. Later calls do nothing.
    pub fn start(&mut self, now: Instant) {
        if self.state == State::Idle {
            self.open(now);
        }
    }

    /// A socket reports something; of a socket that is no longer this uplink's, nothing counts.
    pub fn on_event(&mut self, now: Instant, socket: SocketId, event: SocketEvent) {
        if self.renewal.is_some_and(|renewal| renewal.socket == socket) {
            return self.on_renewal(now, event);
        }
        if self.retiring.is_some_and(|(retiring, _)| retiring == socket) {
            return self.on_retiring(&event);
        }
        if self.socket() != Some(socket) {
            return;
        }
        match event {
            SocketEvent::Open => self.on_open(now, socket),
            SocketEvent::Text(text) => self.on_text(now, socket, &text),
            SocketEvent::Binary => warn!("ignored a binary frame from the relay"),
            SocketEvent::Closed {
                code,
                reason,
                http_status,
            } => self.on_closed(now, code, reason, http_status),
            SocketEvent::Unusable(reason) => self.fail_for_good(now, printable::printable(&reason)),
        }
    }

    /// Tries again at once instead of waiting; an attempt that takes long is begun anew. Otherwise does nothing.
    pub fn reconnect_now(&mut self, now: Instant) {
        self.reopen(now, STALE_AFTER);
    }

    fn reopen(&mut self, now: Instant, stale_after: Duration) {
        match self.state {
            State::Opening { socket, until } if until + stale_after <= now + STEP_TIMEOUT => {
                self.outputs.push_back(UplinkOutput::CloseSocket(socket));
                if self.known {
                    let reason = "it does not answer".into();
                    self.outputs.push_back(UplinkOutput::Lost { reason });
                }
            }
            State::Waiting { .. } => {}
            _ => return,
        }
        self.failures = 0;
        self.open(now);
    }

    /// What was sent by the relay is not answered, or the network has changed: the way to it may have gone without a
    /// word. A registration older than `age` is made again over another socket, beside the one it replaces, so that peers always
    /// find this client; an attempt that has taken so long is begun anew, and one that waits is made at once.
    pub fn renew(&mut self, now: Instant, age: Duration) {
        match self.state {
            State::Registered { since, .. } if since + age <= now => {
                let is_young = |renewal: Renewal| renewal.until + age > now + STEP_TIMEOUT;
                if self.renewal.is_some_and(is_young) {
                    return;
                }
                debug!("registers again, to be sure of the relay");
                self.drop_renewal();
                let (socket, until, opened) = (self.new_socket(), now + STEP_TIMEOUT, false);
                self.renewal = Some(Renewal { socket, until, opened });
            }
            _ => self.reopen(now, age),
        }
    }

    /// Time has passed: see [`next_deadline`](Self::next_deadline). Early calls do nothing.
    pub fn on_timeout(&mut self, now: Instant) {
        if self.ice_until.is_some_and(|until| until <= now) {
            self.ice_until = None;
            self.outputs.push_back(UplinkOutput::IceServers(None));
        }
        match self.state {
            State::Opening { socket, until } if until <= now => {
                self.give_up(now, socket, "the connection did not open");
            }
            State::Registering { socket, until } if until <= now => {
                self.give_up(now, socket, "the relay did not answer the registration");
            }
            State::Waiting { until } if until <= now => self.open(now),
            _ => {}
        }
        if self.renewal.is_some_and(|renewal| renewal.until <= now) {
            self.drop_renewal();
        }
        if self.retiring.is_some_and(|(_, until)| until <= now) {
            self.retire();
        }
    }

    /// Sends a message, or keeps it until registered (256 at most). `false`: it was dropped.
    pub fn send(&mut self, message: PeerConnectionMessage) -> bool {
        match self.state {
            State::Registered { socket, .. } => {
                self.push_send(socket, message);
                true
            }
            State::Ended => false,
            _ if self.queue.len() == MAX_QUEUED => {
                warn!(peer = %message.peer_uuid, "dropped a message: {MAX_QUEUED} others wait for the relay");
                false
            }
            _ => {
                self.queue.push_back(message);
                true
            }
        }
    }

    /// Drops what waits for a registration and is for this peer.
    pub fn cancel(&mut self, peer: Uuid) {
        self.queue.retain(|message| message.peer_uuid != peer);
    }

    /// Ends it, after what was sent before. Nothing follows but its last outputs.
    pub fn close(&mut self) {
        if let Some(socket) = self.socket() {
            self.outputs.push_back(UplinkOutput::CloseSocket(socket));
        }
        self.end();
    }

    /// What is to be done next, in order.
    pub fn poll_output(&mut self) -> Option<UplinkOutput> {
        self.outputs.pop_front()
    }

    /// When to call [`on_timeout`](Self::on_timeout) next.
    pub fn next_deadline(&self) -> Option<Instant> {
        let until = match self.state {
            State::Opening { until, .. } | State::Registering { until, .. } | State::Waiting { until } => Some(until),
            State::Idle | State::Registered { .. } | State::Ended => None,
        };
        let renewal = self.renewal.map(|renewal| renewal.until);
        let retiring = self.retiring.map(|(_, until)| until);
        let others = renewal.into_iter().chain(retiring).chain(self.ice_until);
        until.into_iter().chain(others).min()
    }

    /// Whether the relay knows this client now.
    pub fn is_registered(&self) -> bool {
        matches!(self.state, State::Registered { .. })
    }

    /// Why the last attempt failed or the last registration was lost; `None` while registered.
    pub fn last_failure(&self) -> Option<&str> {
        self.last_failure.as_deref()
    }

    fn socket(&self) -> Option<SocketId> {
        match self.state {
            State::Opening { socket, .. } | State::Registering { socket, .. } | State::Registered { socket, .. } => {
                Some(socket)
            }
            State::Idle | State::Waiting { .. } | State::Ended => None,
        }
    }

    fn open(&mut self, now: Instant) {
        let (socket, until) = (self.new_socket(), now + STEP_TIMEOUT);
        self.state = State::Opening { socket, until };
    }

    fn new_socket(&mut self) -> SocketId {
        let socket = SocketId(self.next_socket);
        self.next_socket += 1;
        self.outputs.push_back(UplinkOutput::Open(socket));
        socket
    }

    fn on_open(&mut self, now: Instant, socket: SocketId) {
        if let State::Opening { .. } = self.state {
            let until = now + STEP_TIMEOUT;
            self.state = State::Registering { socket, until };
            self.register(socket);
        }
    }

    fn register(&mut self, socket: SocketId) {
        let text = RelayMessage::Registration(self.registration.clone()).encode();
        self.outputs.push_back(UplinkOutput::Send(socket, text));
    }

    /// What the second socket reports. Without success all is as it was.
    fn on_renewal(&mut self, now: Instant, event: SocketEvent) {
        let Some(renewal) = self.renewal.as_mut() else { return };
        let socket = renewal.socket;
        match event {
            SocketEvent::Open => {
                renewal.opened = true;
                self.register(socket);
            }
            SocketEvent::Text(text) => {
                // These come before the answer.
                if let Ok(RelayMessage::IceServers(servers)) = RelayMessage::decode(&text) {
                    return self.on_ice_servers(now, servers);
                }
                let old = self.socket();
                self.take_renewal();
                self.retire();
                self.retiring = old.map(|old| (old, now + STEP_TIMEOUT));
                self.on_text(now, socket, &text);
            }
            SocketEvent::Binary => {}
            SocketEvent::Closed { .. } | SocketEvent::Unusable(_) => self.forget_renewal(),
        }
    }

    fn on_retiring(&mut self, event: &SocketEvent) {
        match event {
            SocketEvent::Text(text) => {
                if let Ok(RelayMessage::PeerConnection(message)) = RelayMessage::decode(text) {
                    self.outputs.push_back(UplinkOutput::Message(message));
                }
            }
            SocketEvent::Closed { .. } | SocketEvent::Unusable(_) => self.retiring = None,
            SocketEvent::Open | SocketEvent::Binary => {}
        }
    }

    fn retire(&mut self) {
        if let Some((socket, _)) = self.retiring.take() {
            self.outputs.push_back(UplinkOutput::CloseSocket(socket));
        }
    }

    /// The second socket is the one from now on; `false` if there is none.
    fn take_renewal(&mut self) -> bool {
        let Some(Renewal { socket, until, opened }) = self.renewal.take() else {
            return false;
        };
        self.state = match opened {
            true => State::Registering { socket, until },
            false => State::Opening { socket, until },
        };
        true
    }

    fn drop_renewal(&mut self) {
        if let Some(Renewal { socket, .. }) = self.renewal {
            self.outputs.push_back(UplinkOutput::CloseSocket(socket));
        }
        self.forget_renewal();
    }

    fn forget_renewal(&mut self) {
        self.replaced_by_own |= self.renewal.take().is_some_and(|renewal| renewal.opened);
    }

    fn on_text(&mut self, now: Instant, socket: SocketId, text: &str) {
        let registering = matches!(self.state, State::Registering { .. });
        match RelayMessage::decode(text) {
            Ok(RelayMessage::Response(response)) if registering => self.on_reply(now, socket, response),
            Ok(RelayMessage::Response(Response { success: true, .. })) => debug!("the relay says success again"),
            Ok(RelayMessage::Response(Response { message, .. })) => {
                warn!("the relay reports: {}", printable::reason(&message.unwrap_or_default()));
            }
            Ok(RelayMessage::PeerConnection(message)) => self.outputs.push_back(UplinkOutput::Message(message)),
            Ok(RelayMessage::IceServers(servers)) => self.on_ice_servers(now, servers),
            Ok(RelayMessage::Registration(_)) => self.on_nonsense(now, socket, "a registration, which no relay sends"),
            Err(error) => self.on_nonsense(now, socket, &error.0),
        }
    }

    /// They come before the answer to the registration, and again before their credentials end. They have been under way for
    /// a while, and so will be what they are used for: the last eighth of the time does not count.
    fn on_ice_servers(&mut self, now: Instant, IceServers { server, lifetime }: IceServers) {
        if self.wants_ice && !server.urls.is_empty() && !lifetime.is_zero() {
            self.ice_until = Some(now + lifetime.min(LONGEST_TIME) / 8 * 7);
            self.outputs.push_back(UplinkOutput::IceServers(Some(server)));
        }
    }

    /// What answers a first registration so is no relay.
    fn on_nonsense(&mut self, now: Instant, socket: SocketId, what: &str) {
        if self.known || !matches!(self.state, State::Registering { .. }) {
            return warn!("ignored a text frame of the relay: {}", printable::reason(what));
        }
        self.outputs.push_back(UplinkOutput::CloseSocket(socket));
        self.fail_for_good(
            now,
            format!("what answers there is not a relay: {}", printable::reason(what)),
        );
    }

    fn on_reply(&mut self, now: Instant, socket: SocketId, response: Response) {
        if !response.success {
            self.outputs.push_back(UplinkOutput::CloseSocket(socket));
            let reason = response.message.map(|message| printable::reason(&message));
            let reason = reason.unwrap_or_else(|| "it gave no reason".into());
            return self.refuse(None, reason);
        }
        self.state = State::Registered { socket, since: now };
        self.replaced_by_own = false;
        self.last_failure = None;
        (self.known, self.doubted) = (true, false);
        self.outputs.push_back(UplinkOutput::Registered);
        for message in std::mem::take(&mut self.queue) {
            self.push_send(socket, message);
        }
    }

    fn on_closed(&mut self, now: Instant, code: Option<u16>, reason: String, http_status: Option<u16>) {
        // The relay may close what a second socket of this client replaces before it answers that.
        let reason = printable::reason(&reason);
        if self.take_renewal() {
            if code != Some(close_code::REPLACED) {
                self.outputs.push_back(UplinkOutput::Lost { reason });
            }
            return;
        }
        if code == Some(close_code::REPLACED) && std::mem::take(&mut self.replaced_by_own) {
            return self.fail(now, describe(code, reason, http_status));
        }
        const FINAL: [u16; 3] = [close_code::UNAUTHORIZED, close_code::FORBIDDEN, close_code::REPLACED];
        let refused = code.filter(|code| FINAL.contains(code));
        if refused.is_some() || matches!(http_status, Some(401 | 403)) {
            if self.asks && self.known && refused != Some(close_code::REPLACED) && !self.doubted {
                self.doubted = true;
                return self.fail(now, describe(code, reason, http_status));
            }
            return self.refuse(refused, describe(None, reason, http_status));
        }
        let reason = describe(code, reason, http_status);
        match http_status {
            // Too early, too slow, too often: these pass.
            Some(408 | 425 | 429) | None => self.fail(now, reason),
            Some(..500) => self.fail_for_good(now, format!("{reason}: there is no relay at this address")),
            Some(_) => self.fail(now, reason),
        }
    }

    /// Something that trying again does not mend, unless there has been a relay.
    fn fail_for_good(&mut self, now: Instant, reason: String) {
        if self.known {
            return self.fail(now, reason);
        }
        self.last_failure = Some(reason.clone());
        self.end();
        self.outputs.push_back(UplinkOutput::Hopeless(reason));
    }

    fn give_up(&mut self, now: Instant, socket: SocketId, what: &str) {
        self.outputs.push_back(UplinkOutput::CloseSocket(socket));
        self.fail(now, format!("{what} within {}", Period(STEP_TIMEOUT)));
    }

    fn fail(&mut self, now: Instant, reason: String) {
        if let State::Registered { since, .. } = self.state {
            let reason = reason.clone();
            self.outputs.push_back(UplinkOutput::Lost { reason });
            if now.saturating_duration_since(since) >= STEADY_AFTER {
                self.failures = 0;
            }
        }
        let wait = self.next_wait();
        self.last_failure = Some(reason.clone());
        self.state = State::Waiting { until: now + wait };
        self.outputs.push_back(UplinkOutput::Retrying { reason, wait });
    }

    /// The next wait: doubled with each failure, shortened by up to a quarter, so that the clients of a relay that
    /// comes back do not all come at once.
    fn next_wait(&mut self) -> Duration {
        let factor = 1u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        let wait = self.reconnect.initial.saturating_mul(factor).min(self.reconnect.max);
        wait - wait / 4096 * self.rng.u32(..1024)
    }

    fn refuse(&mut self, code: Option<u16>, reason: String) {
        self.last_failure = Some(reason.clone());
        self.end();
        let error = match code {
            Some(close_code::REPLACED) => Error::Displaced,
            _ => Error::RelayRefused { code, reason },
        };
        self.outputs.push_back(UplinkOutput::Refused(error));
    }

    fn end(&mut self) {
        self.drop_renewal();
        self.retire();
        self.state = State::Ended;
        self.ice_until = None;
        self.queue.clear();
    }

    fn push_send(&mut self, socket: SocketId, message: PeerConnectionMessage) {
        let text = RelayMessage::PeerConnection(message).encode();
        self.outputs.push_back(UplinkOutput::Send(socket, text));
    }
}

/// One sentence from what is known of the end of a socket.
fn describe(code: Option<u16>, reason: String, http_status: Option<u16>) -> String {
    match (http_status, code) {
        (Some(status), _) if numbers(&reason).any(|number| number == u64::from(status)) => reason,
        (Some(status), _) => format!("HTTP status {status} {reason}").trim_end().to_owned(),
        (None, Some(code)) => format!("closed with code {code} {reason}").trim_end().to_owned(),
        (None, None) if reason.is_empty() => "the connection was lost".into(),
        (None, None) => reason,
    }
}

fn numbers(text: &str) -> impl Iterator<Item = u64> {
    text.split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
}

#[cfg(test)]
mod tests;
