//! A world of peers in one thread and no time: virtual clock, fake engine, in-memory relay. The same seed gives the
//! same world, on every target.
//!
//! It is as unkind as real networks allow: messages of the relay and frames take random times, frames of unordered
//! channels overtake each other, whatever is on its way when a connection is closed is lost, processes die without a
//! word. It drives the real [`Router`] and the real [`Switchboard`](crate::relay::Switchboard).

mod engine;
#[cfg(test)]
mod regressions;
mod relay;
pub mod worlds;

use crate::output::Output;
use crate::platform::{Event, RtcEvent, RtcId, SocketEvent};
use crate::relay::{PeerConnectionMessage, Registration};
use crate::request::{LinkId, Reply, Request, RequestId, Target};
use crate::router::{Input, Mode, Router};
use crate::{Config, Error, Fingerprint, IceServer, Message, State};
use engine::Engine;
use relay::Relay;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::time::Duration;
use uuid::Uuid;
use web_time::Instant;

/// A peer in the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(usize);

/// A request made in the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(NodeId, RequestId);

/// How slow and disorderly the world is.
#[derive(Debug, Clone)]
pub struct Weather {
    /// The longest way of a message to or from the relay.
    pub relay_delay: Duration,
    /// The longest way of a frame between peers.
    pub path_delay: Duration,
    /// Whether channels let frames overtake each other although they were asked to be ordered.
    pub disorder: bool,
}

impl Default for Weather {
    fn default() -> Self {
        Self {
            relay_delay: Duration::from_millis(50),
            path_delay: Duration::from_millis(30),
            disorder: false,
        }
    }
}

/// A peer: its router, and what its user has seen.
struct Node {
    uuid: Uuid,
    config: Config,
    router: Router,
    alive: bool,
    /// Speaks ProxyStore's protocol only.
    foreign: bool,
    /// The one that its id is made of.
    certificate: Option<Fingerprint>,
    /// Whether its user takes messages as they come.
    reads: bool,
    unread: Vec<(LinkId, usize)>,
    peers: HashMap<LinkId, Uuid>,
    /// Whether a link's peer was found to be the one of its id.
    verified: HashMap<LinkId, bool>,
    received: Vec<(Uuid, Message)>,
    replies: HashMap<RequestId, Result<Reply, Error>>,
    states: BTreeMap<LinkId, (State, Option<Error>)>,
    next_request: u64,
    /// Counts processes that lived here.
    life: u64,
    /// Until when the process stands still.
    frozen_until: Option<Instant>,
    /// The relay's STUN and TURN server, as its peer connections are opened with it.
    ice_server: Option<IceServer>,
    /// Peer connections that were opened with none while registered, or with credentials that had ended.
    opened_in_vain: usize,
}

impl Node {
    fn next_deadline(&self) -> Option<Instant> {
        let deadline = self.router.next_deadline()?;
        Some(self.frozen_until.map_or(deadline, |until| deadline.max(until)))
    }
}

enum Happening {
    /// Something reaches a node, if it still lives that life.
    Event(NodeId, u64, Event),
    /// Something reaches the relay.
    Relay(relay::ToRelay),
    /// Something goes on in an engine.
    Engine(engine::Step),
}

struct Entry(Instant, u64, Happening);

/// As many as happen in one moment, and more.
const STEPS: usize = 1_000_000;

/// The world. Nothing in it happens by itself: see [`World::run_until`].
pub struct World {
    now: Instant,
    rng: fastrand::Rng,
    weather: Weather,
    nodes: Vec<Node>,
    queue: BinaryHeap<Reverse<Entry>>,
    sequence: u64,
    engine: Engine,
    relay: Relay,
    /// Whether peer connections find a path.
    paths: bool,
    /// Whether they can be made at all.
    engines: bool,
    /// How long they look for their addresses.
    gathering: Duration,
}

impl World {
    /// From the next registration on the relay gives STUN and TURN servers whose credentials end after this time.
    pub fn give_ice_servers(&mut self, lifetime: Duration) {
        self.relay.ice_lifetime = Some(lifetime);
    }

    /// Peer connections of a registered node that were opened without the relay's servers, and any with credentials that
    /// had ended.
    pub fn opened_in_vain(&self, node: NodeId) -> usize {
        self.nodes[node.0].opened_in_vain
    }

    /// An empty world with a running relay. `now` is where its clock begins.
    pub fn new(now: Instant, seed: u64, weather: Weather) -> Self {
        Self {
            now,
            rng: fastrand::Rng::with_seed(seed),
            weather,
            nodes: Vec::new(),
            queue: BinaryHeap::new(),
            sequence: 0,
            engine: Engine::default(),
            relay: Relay::default(),
            paths: true,
            engines: true,
            gathering: Duration::ZERO,
        }
    }

    /// A new peer, registering at the relay. `foreign` ones speak ProxyStore's protocol only.
    pub fn add(&mut self, uuid: u128, config: Config, foreign: bool) -> NodeId {
        self.add_node(Uuid::from_u128(uuid), None, config, foreign)
    }

    /// A new peer whose id is its certificate.
    pub fn add_keyed(&mut self, config: Config) -> NodeId {
        let certificate = engine::certificate_of(self.nodes.len() as u64, 0, self.rng.u64(..));
        self.add_node(certificate.uuid(), Some(certificate), config, false)
    }

    fn add_node(&mut self, uuid: Uuid, certificate: Option<Fingerprint>, config: Config, foreign: bool) -> NodeId {
        let id = NodeId(self.nodes.len());
        let router = self.router(uuid, &config);
        self.nodes.push(Node {
            uuid,
            config,
            router,
            alive: true,
            foreign,
            certificate,
            reads: true,
            unread: Vec::new(),
            peers: HashMap::new(),
            verified: HashMap::new(),
            received: Vec::new(),
            replies: HashMap::new(),
            states: BTreeMap::new(),
            next_request: 0,
            life: 0,
            frozen_until: None,
            ice_server: None,
            opened_in_vain: 0,
        });
        self.nodes[id.0].router.start(self.now);
        self.carry_out(id);
        id
    }

    /// From its next connection on a node takes whatever comes, as a page does.
    pub fn make_page(&mut self, node: NodeId) {
        self.nodes[node.0].router.holds_back = false;
    }

    fn router(&mut self, uuid: Uuid, config: &Config) -> Router {
        let me = Registration {
            name: "simulated".into(),
            uuid,
        };
        Router::new(Mode::Managed, "ws://simulated", me, config.clone(), self.rng.u64(..))
    }

    /// The peer's id at the relay.
    pub fn uuid(&self, node: NodeId) -> Uuid {
        self.nodes[node.0].uuid
    }

    /// Makes a request of a node.
    pub fn request(&mut self, node: NodeId, request: Request) -> Ticket {
        let peer = &mut self.nodes[node.0];
        peer.next_request += 1;
        let id = RequestId(peer.next_request);
        peer.router.handle(self.now, Input::Request(id, request));
        self.carry_out(node);
        Ticket(node, id)
    }

    /// Sends a message from one node to another.
    pub fn send(&mut self, from: NodeId, to: NodeId, message: impl Into<Message>) -> Ticket {
        let target = Target::Peer(self.uuid(to));
        self.request(
            from,
            Request::Send {
                target,
                message: message.into(),
                timeout: None,
            },
        )
    }

    /// What a request was answered, if it was.
    pub fn reply(&self, ticket: Ticket) -> Option<&Result<Reply, Error>> {
        self.nodes[ticket.0.0].replies.get(&ticket.1)
    }

    /// For each connection of a node that has come up: its peer, and whether that was verified.
    pub fn verified(&self, node: NodeId) -> Vec<(Uuid, bool)> {
        let node = &self.nodes[node.0];
        let verified = node.verified.iter();
        verified
            .filter_map(|(link, verified)| Some((*node.peers.get(link)?, *verified)))
            .collect()
    }

    /// From now on the relay's messages to peers go through this: for each, what reaches whom.
    pub fn set_tampering(
        &mut self,
        tamper: impl FnMut(PeerConnectionMessage) -> Vec<(Uuid, PeerConnectionMessage)> + 'static,
    ) {
        self.relay.tamper = Some(Box::new(tamper));
    }

    /// What a node's user has received so far, in order.
    pub fn received(&self, node: NodeId) -> &[(Uuid, Message)] {
        &self.nodes[node.0].received
    }

    /// Connections of a node that are connected, or being set up.
    pub fn live_links(&self, node: NodeId) -> usize {
        let live =
            |(state, _): &&(State, _)| matches!(state, State::Connecting | State::Connected | State::Reconnecting);
        self.nodes[node.0].states.values().filter(live).count()
    }

    /// Whether the node's user takes messages as they come. Those that came meanwhile are taken at once.
    pub fn set_reads(&mut self, node: NodeId, reads: bool) {
        self.nodes[node.0].reads = reads;
        if reads {
            for (link, bytes) in std::mem::take(&mut self.nodes[node.0].unread) {
                self.request(node, Request::Consumed { link, bytes });
            }
        }
    }

    /// How the node's connections have ended.
    pub fn ends(&self, node: NodeId) -> impl Iterator<Item = &Error> {
        self.nodes[node.0]
            .states
            .values()
            .filter_map(|(_, error)| error.as_ref())
    }

    /// Bytes of messages that were delivered and not taken.
    pub fn unread_bytes(&self, node: NodeId) -> usize {
        self.nodes[node.0].unread.iter().map(|(_, bytes)| bytes).sum()
    }

    /// The process dies without a word. Its relay connection is found broken at once, or stays half open.
    pub fn kill(&mut self, node: NodeId, relay_notices: bool) {
        self.nodes[node.0].alive = false;
        for end in self.engine.kill(node) {
            self.silence(end);
        }
        if relay_notices {
            self.relay.drop_node(node);
        }
    }

    /// The other side of a connection says nothing any more; the platform notices after a while.
    fn silence(&mut self, end: engine::Key) {
        let time = self.nodes[end.0.0].config.dead_after / 4;
        self.schedule(
            time,
            Happening::Engine(engine::Step::Report(end, RtcEvent::Silent(time))),
        );
    }

    /// The process stands still for so long, as a stopped one or a computer that sleeps: what comes waits for it.
    pub fn freeze(&mut self, node: NodeId, time: Duration) {
        let until = self.now + time;
        self.nodes[node.0].frozen_until = Some(until);
        self.relay_freeze(node, until);
        for end in self.engine.ends_towards(node) {
            if self.nodes[end.0.0].config.dead_after / 4 < time {
                self.silence(end);
            }
            self.respond(end, until);
        }
        for end in self.engine.ends_of(node) {
            let silent = engine::Step::Report(end, RtcEvent::Silent(time));
            self.schedule_at(until, Happening::Engine(silent));
            self.respond(end, until);
        }
    }

    fn respond(&mut self, end: engine::Key, from: Instant) {
        let at = from + self.random(self.weather.path_delay) + Duration::from_nanos(1);
        let step = engine::Step::Report(end, RtcEvent::Responsive);
        self.schedule_at(at, Happening::Engine(step));
    }

    /// A new process with the same UUID takes a dead one's place.
    pub fn restart(&mut self, node: NodeId) {
        let (uuid, config) = (self.nodes[node.0].uuid, self.nodes[node.0].config.clone());
        let router = self.router(uuid, &config);
        let peer = &mut self.nodes[node.0];
        let holds_back = peer.router.holds_back;
        peer.router = router;
        peer.router.holds_back = holds_back;
        peer.alive = true;
        peer.life += 1;
        peer.states.clear();
        peer.unread.clear();
        peer.ice_server = None;
        peer.router.start(self.now);
        self.carry_out(node);
    }

    /// The relay goes away, or comes back.
    pub fn set_relay_up(&mut self, up: bool) {
        for (node, socket) in self.relay.set_up(up) {
            let lost = SocketEvent::Closed {
                code: None,
                reason: "connection reset".into(),
                http_status: None,
            };
            self.event_soon(node, Event::Socket(socket, lost), Duration::ZERO);
        }
    }

    /// A node is told that its network has changed.
    pub fn change_network(&mut self, node: NodeId) {
        self.event_soon(node, Event::NetworkChanged, Duration::ZERO);
    }

    /// Puts a text on a node's relay connection, as a hostile relay or client could.
    pub fn inject(&mut self, node: NodeId, text: &str) {
        if let Some(socket) = self.relay.socket_of(node) {
            self.event_soon(
                node,
                Event::Socket(socket, SocketEvent::Text(text.into())),
                Duration::ZERO,
            );
        }
    }

    /// Puts a frame on channel 0 of every connection of a node, as a hostile peer could.
    pub fn inject_frame(&mut self, node: NodeId, frame: &[u8]) {
        self.inject_into(node, self.engine.connected(node), frame);
    }

    /// The same for those to one peer.
    pub fn inject_frame_of(&mut self, node: NodeId, peer: NodeId, frame: &[u8]) {
        self.inject_into(node, self.engine.connected_to(node, peer), frame);
    }

    fn inject_into(&mut self, node: NodeId, rtcs: Vec<RtcId>, frame: &[u8]) {
        for rtc in rtcs {
            let data = bytes::Bytes::copy_from_slice(frame);
            let event = RtcEvent::Frame {
                channel: 0,
                data,
                binary: true,
            };
            self.event_soon(node, Event::Rtc(rtc, event), Duration::ZERO);
        }
    }

    /// Peer connections of a node that carry frames now: one for each lane.
    pub fn lanes(&self, node: NodeId) -> usize {
        self.engine.connected(node).len()
    }

    /// The peer opens a data channel of this number on one of them, by the order of their opening.
    pub fn open_channel(&mut self, node: NodeId, nth: usize, channel: u16) {
        if let Some(rtc) = self.engine.connected(node).get(nth).copied() {
            let label = "p2p-0-1".to_owned();
            self.event_soon(
                node,
                Event::Rtc(rtc, RtcEvent::ChannelOpen { channel, label }),
                Duration::ZERO,
            );
        }
    }

    /// The path of one of them breaks, by the order of their opening; what is on its way over it is lost.
    pub fn cut_lane(&mut self, node: NodeId, nth: usize) {
        if let Some(rtc) = self.engine.connected(node).get(nth) {
            self.engine_cut(node, *rtc);
        }
    }

    /// The path of one of them stands still for a while: what is sent over it comes late.
    pub fn stall_lane(&mut self, node: NodeId, nth: usize, time: Duration) {
        if let Some(rtc) = self.engine.connected(node).get(nth) {
            self.engine_stall(node, *rtc, time);
        }
    }

    /// Whether new peer connections can be made at all; if not, they fail at once.
    pub fn set_engines(&mut self, work: bool) {
        self.engines = work;
    }

    /// How long new peer connections look for their addresses.
    pub fn set_gathering(&mut self, time: Duration) {
        self.gathering = time;
    }

    /// Peer connections that a node has made so far.
    pub fn opened_rtcs(&self, node: NodeId) -> usize {
        self.engine.opened(node)
    }

    /// Whether new peer connections find a path.
    pub fn set_paths(&mut self, paths: bool) {
        self.paths = paths;
    }

    /// Peer connections of a node that it has not closed.
    pub fn open_rtcs(&self, node: NodeId) -> usize {
        self.engine.present(node)
    }

    /// Lets the world go on until `done`, at most for `limit` of its time. Returns whether it was done.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        let (mut time, mut steps) = (self.now, 0);
        while !done(self) {
            if self.now > time {
                (time, steps) = (self.now, 0);
            }
            steps += 1;
            assert!(steps < STEPS, "time stands still: something is due again and again");
            let deadlines = self.nodes.iter().enumerate().filter(|(_, node)| node.alive);
            let timer = deadlines
                .filter_map(|(i, node)| Some((node.next_deadline()?, NodeId(i))))
                .min();
            let next = self.queue.peek().map(|Reverse(entry)| entry.0);
            match (next, timer) {
                (None, None) => return false,
                (next, Some((at, node))) if next.is_none_or(|next| at < next) => {
                    if at > end {
                        self.now = end;
                        return false;
                    }
                    self.now = self.now.max(at);
                    self.nodes[node.0].router.handle(self.now, Input::Timeout);
                    self.carry_out(node);
                }
                _ => match self.queue.pop() {
                    Some(Reverse(Entry(at, _, happening))) if at <= end => {
                        self.now = at;
                        self.happen(happening);
                    }
                    late => {
                        self.queue.extend(late);
                        self.now = end;
                        return false;
                    }
                },
            }
        }
        true
    }

    /// Lets the world go on for some of its time.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Event(node, life, event) => {
                let peer = &mut self.nodes[node.0];
                if let Some(until) = peer.frozen_until.filter(|until| *until > self.now) {
                    return self.schedule_at(until, Happening::Event(node, life, event));
                }
                if peer.alive && peer.life == life {
                    peer.router.handle(self.now, Input::Event(event));
                    self.carry_out(node);
                }
            }
            Happening::Relay(message) => self.relay_step(message),
            Happening::Engine(step) => self.engine_step(step),
        }
    }

    /// Carries a node's outputs out.
    fn carry_out(&mut self, node: NodeId) {
        while let Some(output) = self.nodes[node.0].router.poll_output() {
            let peer = &mut self.nodes[node.0];
            match output {
                Output::OpenRtc(rtc, _) => {
                    peer.opened_in_vain += usize::from(!self.relay.serves(self.now, peer));
                    self.engine.open(node, peer.life, rtc, !peer.router.holds_back);
                }
                Output::Rtc(rtc, command) => self.engine_command(node, rtc, command),
                Output::OpenSocket(socket) => self.open_socket(node, socket),
                Output::SendSocket(socket, text) => self.send_socket(node, socket, text),
                Output::CloseSocket(socket) => self.close_socket(node, socket),
                Output::NewLink { link, peer: uuid, .. } => {
                    peer.peers.insert(link, uuid);
                }
                Output::State(link, state, error) => {
                    peer.states.insert(link, (state, error));
                }
                Output::Deliver(link, message) => {
                    let bytes = message.weight();
                    peer.received
                        .push((peer.peers.get(&link).copied().unwrap_or_default(), message));
                    if peer.reads {
                        peer.router.handle(
                            self.now,
                            Input::Request(RequestId(0), Request::Consumed { link, bytes }),
                        );
                    } else {
                        peer.unread.push((link, bytes));
                    }
                }
                Output::Reply(request, result) => {
                    let twice = peer.replies.insert(request, result);
                    debug_assert!(twice.is_none() || request.0 == 0, "answered twice");
                }
                Output::Identity(link, verified, _) => {
                    peer.verified.insert(link, verified);
                }
                Output::IceServers(server) => self.nodes[node.0].ice_server = server,
                Output::Kind(..)
                | Output::Path(..)
                | Output::Largest(..)
                | Output::RelayMessage(_)
                | Output::Relay(_) => {}
            }
        }
    }

    fn event_soon(&mut self, node: NodeId, event: Event, delay: Duration) {
        let life = self.nodes[node.0].life;
        self.schedule(delay, Happening::Event(node, life, event));
    }

    fn schedule(&mut self, delay: Duration, happening: Happening) {
        self.schedule_at(self.now + delay, happening);
    }

    fn schedule_at(&mut self, at: Instant, happening: Happening) {
        self.sequence += 1;
        self.queue.push(Reverse(Entry(at, self.sequence, happening)));
    }

    fn random(&mut self, longest: Duration) -> Duration {
        Duration::from_micros(self.rng.u64(0..=longest.as_micros() as u64))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}
