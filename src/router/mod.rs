//! All connections of one peer and its way to the relay, without IO: told the time and what happened, it answers with
//! what to do.
//!
//! ```text
//! Input: request of a handle │ event of the platform │ the time      ──►  Router  ──►  Output
//! ```
//! Feed it by [`Router::handle`], carry out everything [`Router::poll_output`] gives, and come back at
//! [`Router::next_deadline`]. `driver.rs` does this with a platform, the simulator with a virtual clock.

mod budget;
mod held;
mod links;
mod request;
mod signaling;

use crate::config::LONGEST_TIME;
use crate::link::{Context, Link, earliest, window};
use crate::maps::SortedMap;
use crate::output::{Output, State};
use crate::platform::{Event, RtcId};
use crate::relay::{Registration, RelayState, Uplink, UplinkOutput, url};
use crate::request::{LinkId, Reply, Request, RequestId};
use crate::{Config, Error};
use links::Links;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;
use web_time::Instant;

/// A registration older than this is made again when the network has changed.
const NETWORK_CHANGE: Duration = Duration::from_secs(1);

/// Whom offers and answers from the relay go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The router answers and connects by itself: a `PeerManager`.
    Managed,
    /// The user carries them from the relay client to a connection: a `RelayClient`.
    Manual,
}

/// What a router is told.
#[derive(Debug)]
pub enum Input {
    /// A handle asks for something.
    Request(RequestId, Request),
    /// The platform reports something.
    Event(Event),
    /// The time of [`Router::next_deadline`] has come.
    Timeout,
}

/// All connections of one peer, and its way to the relay.
pub struct Router {
    config: Arc<Config>,
    /// Whether the platform is [`Platform::PROMPT`](crate::platform::Platform::PROMPT).
    pub(crate) prompt: bool,
    /// Whether it is [`Platform::HOLDS_BACK`](crate::platform::Platform::HOLDS_BACK).
    pub(crate) holds_back: bool,
    /// Whether the platform [has QUIC](crate::platform::Platform::QUIC).
    pub(crate) quic: bool,
    mode: Mode,
    /// For people: without secrets.
    url: String,
    me: Registration,
    uplink: Uplink,
    pub(crate) links: Links,
    by_peer: SortedMap<Uuid, LinkId>,
    by_rtc: SortedMap<RtcId, LinkId>,
    /// Of links that have ended: whose messages the user has yet to take, and their weight.
    unread: SortedMap<LinkId, (Uuid, usize)>,
    /// New links that wait for the end of the peer's old one, so that they do not overtake its last messages.
    deferred: Vec<(LinkId, LinkId)>,
    /// Bytes of messages that are not complete, over all links.
    held_bytes: u64,
    /// Offers with another certificate than that of the connection that is up.
    held: held::Held,
    out: VecDeque<Output>,
    next_rtc: u64,
    next_link: u64,
    /// What this side calls its sessions.
    numbers: fastrand::Rng,
    /// Whether the relay was away since it had us, and when it had us again after that.
    was_away: bool,
    returned: Option<Instant>,
    registering: Vec<(RequestId, Instant)>,
    refused: Option<Error>,
    closing: Option<Vec<RequestId>>,
    done: bool,
}

impl Router {
    /// For this peer, at the relay of this URL. `seed` decides the jitter of reconnects.
    pub fn new(mode: Mode, url: &str, me: Registration, config: impl Into<Arc<Config>>, seed: u64) -> Self {
        let (config, url) = (config.into(), url::shown(url));
        let uplink = Uplink::new(me.clone(), config.reconnect.clone(), seed);
        let mut uplink = uplink.asking(config.token.as_ref().is_some_and(|token| token.fixed().is_none()));
        if !config.relay_ice_servers {
            uplink = uplink.without_ice_servers();
        }
        Self {
            config,
            prompt: false,
            holds_back: true,
            quic: false,
            mode,
            url,
            me,
            uplink,
            links: Links::default(),
            by_peer: SortedMap::default(),
            by_rtc: SortedMap::default(),
            unread: SortedMap::default(),
            deferred: Vec::new(),
            held_bytes: 0,
            held: held::Held::default(),
            out: VecDeque::new(),
            next_rtc: 0,
            next_link: 0,
            numbers: fastrand::Rng::with_seed(!seed),
            was_away: false,
            returned: None,
            registering: Vec::new(),
            refused: None,
            closing: None,
            done: false,
        }
    }

    /// Starts to register at the relay.
    pub fn start(&mut self, now: Instant) {
        self.uplink.start(now);
        self.settle(now);
    }

    /// Takes one input. Afterwards carry out every output.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Request(id, request) => self.on_request(now, id, request),
            Input::Event(Event::Socket(socket, event)) => self.uplink.on_event(now, socket, event),
            Input::Event(Event::NetworkChanged) => self.on_network(now),
            Input::Event(Event::Rtc(rtc, event)) => {
                if let Some(&link) = self.by_rtc.get(rtc) {
                    self.with_link(now, link, |link, cx| link.on_event(cx, rtc, event));
                }
            }
            Input::Timeout => self.on_timeout(now),
        }
        self.keep_budget(now);
        self.settle(now);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When [`Input::Timeout`] is due, unless something else happens before.
    pub fn next_deadline(&self) -> Option<Instant> {
        let mut next = self.uplink.next_deadline();
        for link in self.links.values() {
            next = earliest(&[next, link.next_deadline(&self.config)]);
        }
        for (_, until) in &self.registering {
            next = earliest(&[next, Some(*until)]);
        }
        next
    }

    /// Whom a link connects to, once that is known.
    pub(crate) fn peer(&self, link: LinkId) -> Option<Uuid> {
        self.links.get(&link)?.peer
    }

    /// Whether the relay knows this peer now.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn is_registered(&self) -> bool {
        self.uplink.is_registered()
    }

    /// Whether everything was closed and nothing more will happen.
    pub fn is_done(&self) -> bool {
        self.done
    }

    fn on_timeout(&mut self, now: Instant) {
        self.uplink.on_timeout(now);
        let due = |link: &Link| link.next_deadline(&self.config).is_some_and(|at| at <= now);
        let late: Vec<LinkId> = self
            .links
            .values()
            .filter(|link| due(link))
            .map(|link| link.id)
            .collect();
        for link in late {
            self.with_link(now, link, Link::on_timeout);
        }
        let error = self.unreachable();
        let out = &mut self.out;
        self.registering.retain(|&(request, until)| {
            if until <= now {
                out.push_back(Output::Reply(request, Err(error.clone())));
            }
            until > now
        });
    }

    fn unreachable(&self) -> Error {
        self.unreachable_by(self.uplink.last_failure().unwrap_or("no answer").to_owned())
    }

    fn unreachable_by(&self, reason: String) -> Error {
        let url = self.url.clone();
        Error::RelayUnreachable { url, reason }
    }

    /// Lets a link take a step, and keeps the books about it.
    fn with_link<T>(
        &mut self,
        now: Instant,
        id: LinkId,
        step: impl FnOnce(&mut Link, &mut Context<'_>) -> T,
    ) -> Option<T> {
        let window = window(self.config.memory_budget_bytes, self.links.len());
        let link = self.links.get_mut(&id)?;
        let mut cx = Context {
            window,
            now,
            me: self.me.uuid,
            config: &self.config,
            prompt: self.prompt,
            holds_back: self.holds_back,
            returned: self.returned,
            relay_ended: self.refused.is_some(),
            quic: self.quic && self.config.quic,
            out: &mut self.out,
            next_rtc: &mut self.next_rtc,
            by_rtc: &mut self.by_rtc,
        };
        let result = step(link, &mut cx);
        if let Some(age) = link.take_doubt() {
            self.uplink.renew(now, age);
        }
        self.keep_books(id);
        Some(result)
    }

    /// After a link's step: whether it is history.
    fn keep_books(&mut self, id: LinkId) {
        self.count(id);
        let Some(link) = self.links.get_mut(&id) else { return };
        if link.is_ended() {
            let deserted = link.peer.filter(|_| std::mem::take(&mut link.owes_withdrawal));
            if let Some(peer) = deserted {
                self.withdraw(peer);
            }
            self.forget(id);
        }
    }

    /// In managed mode an ended link is history; in manual mode the user's handle may still ask for it.
    fn forget(&mut self, id: LinkId) {
        let manual = self.mode == Mode::Manual;
        if self.links.get(&id).is_none_or(|link| manual && !link.forgotten) {
            return;
        }
        let Some(link) = self.links.remove(&id) else { return };
        if let (Some(peer), 1..) = (link.peer, link.unread()) {
            self.unread.insert(id, (peer, link.unread()));
        }
        if let Some(peer) = link.peer.filter(|peer| self.by_peer.get(*peer) == Some(&id)) {
            self.by_peer.remove(peer);
        }
    }

    fn add_link(&mut self, id: LinkId, peer: Option<Uuid>, channels: u16) -> &mut Link {
        let (config, links, numbers) = (&self.config, &mut self.links, &mut self.numbers);
        links.get_or_insert_with(id, || Link::new(id, peer, channels, config, numbers.u64(..)))
    }

    /// A new managed link to a peer, which replaces whatever there was in the books.
    fn new_link(&mut self, peer: Uuid, incoming: bool) -> LinkId {
        let id = LinkId(self.next_link);
        self.next_link += 1;
        let unread = self
            .unread
            .values()
            .filter(|(of, _)| *of == peer)
            .map(|(_, bytes)| bytes)
            .sum();
        let channels = self.config.channels;
        self.add_link(id, Some(peer), channels).inherit(unread);
        self.by_peer.insert(peer, id);
        self.out.push_back(Output::NewLink {
            link: id,
            peer,
            incoming,
        });
        id
    }

    /// After every input: what the uplink said, what links have to signal, whether all is closed.
    fn settle(&mut self, now: Instant) {
        while let Some(output) = self.uplink.poll_output() {
            self.on_uplink(now, output);
        }
        self.offer_deferred(now);
        self.take_held(now);
        if self.uplink.is_registered() {
            self.send_signals();
            while let Some(output) = self.uplink.poll_output() {
                self.on_uplink(now, output);
            }
        }
        self.finish_closing();
    }

    fn offer_deferred(&mut self, now: Instant) {
        let links = &self.links;
        let due: Vec<LinkId> = self
            .deferred
            .iter()
            .filter(|(_, old)| links.get(old).is_none_or(Link::is_ended))
            .map(|(new, _)| *new)
            .collect();
        self.deferred.retain(|(new, _)| !due.contains(new));
        for new in due {
            self.with_link(now, new, |link, cx| {
                if link.state() == State::New {
                    link.offer(cx);
                }
            });
        }
    }

    /// The user has taken messages of this weight, from a link that may have ended since.
    fn on_consumed(&mut self, now: Instant, id: LinkId, bytes: usize) {
        let mut present = Some(id);
        if let Some((peer, left)) = self.unread.get_mut(id) {
            *left = left.saturating_sub(bytes);
            present = self.by_peer.get(*peer).copied();
            if *left == 0 {
                self.unread.remove(id);
            }
        }
        if let Some(link) = present {
            self.with_link(now, link, |link, cx| link.consumed(cx, bytes));
        }
    }

    fn on_uplink(&mut self, now: Instant, output: UplinkOutput) {
        match output {
            UplinkOutput::Open(socket) => self.out.push_back(Output::OpenSocket(socket)),
            UplinkOutput::Send(socket, text) => self.out.push_back(Output::SendSocket(socket, text)),
            UplinkOutput::CloseSocket(socket) => self.out.push_back(Output::CloseSocket(socket)),
            UplinkOutput::Message(message) => self.on_relay_message(now, message),
            UplinkOutput::IceServers(server) => self.out.push_back(Output::IceServers(server)),
            UplinkOutput::Registered => self.on_registered(now),
            UplinkOutput::Lost { reason } => {
                self.was_away = true;
                tracing::warn!(url = %self.url, reason, "lost the relay");
            }
            UplinkOutput::Retrying { reason, wait } => {
                tracing::info!(url = %self.url, reason, ?wait, "the relay is not reachable; trying again");
                let error = Some(self.unreachable_by(reason));
                self.out.push_back(Output::Relay(RelayState::Connecting(error)));
            }
            UplinkOutput::Refused(error) => self.on_refused(now, error),
            UplinkOutput::Hopeless(reason) => self.on_refused(now, self.unreachable_by(reason)),
        }
    }

    fn on_registered(&mut self, now: Instant) {
        self.out.push_back(Output::Relay(RelayState::Registered));
        for (request, _) in self.registering.drain(..) {
            self.out.push_back(Output::Reply(request, Ok(Reply::Done)));
        }
        let away = std::mem::take(&mut self.was_away);
        if away {
            self.returned = Some(now);
        }
        for link in self.link_ids() {
            self.with_link(now, link, |link, cx| link.on_registered(cx, away));
        }
    }

    /// The network has changed, or is back.
    fn on_network(&mut self, now: Instant) {
        self.uplink.renew(now, NETWORK_CHANGE);
        for link in self.link_ids() {
            self.with_link(now, link, Link::suspect);
        }
    }

    fn link_ids(&self) -> Vec<LinkId> {
        self.links.values().map(|link| link.id).collect()
    }

    /// The relay will not have us: set-ups end, open connections go on.
    fn on_refused(&mut self, now: Instant, error: Error) {
        tracing::warn!(%error, "gave up the relay");
        self.refused = Some(error.clone());
        self.out.push_back(Output::Relay(RelayState::Ended(error.clone())));
        for (request, _) in self.registering.drain(..) {
            self.out.push_back(Output::Reply(request, Err(error.clone())));
        }
        let waiting: Vec<LinkId> = self
            .links
            .values()
            .filter(|link| link.needs_relay())
            .map(|link| link.id)
            .collect();
        for link in waiting {
            self.with_link(now, link, |link, cx| link.end(cx, error.clone()));
        }
        for link in self.link_ids() {
            self.with_link(now, link, Link::on_relay_ended);
        }
    }

    fn finish_closing(&mut self) {
        if self.done || self.links.values().any(|link| !link.is_ended()) {
            return;
        }
        if let Some(requests) = self.closing.take() {
            self.uplink.close();
            while let Some(output) = self.uplink.poll_output() {
                match output {
                    UplinkOutput::Send(socket, text) => self.out.push_back(Output::SendSocket(socket, text)),
                    UplinkOutput::CloseSocket(socket) => self.out.push_back(Output::CloseSocket(socket)),
                    _ => {}
                }
            }
            self.done = true;
            let replies = requests
                .into_iter()
                .map(|request| Output::Reply(request, Ok(Reply::Done)));
            self.out.extend(replies);
        }
    }

    fn timeout_or(&self, timeout: Option<Duration>) -> Duration {
        timeout.unwrap_or(self.config.connect_timeout).min(LONGEST_TIME)
    }
}
