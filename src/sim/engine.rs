//! The WebRTC engine of a world: connects where both descriptions fit, carries frames reliably, and loses what is on
//! its way when a connection is closed.

use super::{Happening, NodeId, World};
use crate::description;
use crate::platform::{Event, READ_AHEAD_BYTES, RtcCommand, RtcEvent, RtcId, SdpType, SessionDescription};
use crate::{Fingerprint, Stage};
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use web_time::Instant;

/// When an engine that finds no path gives up.
const ICE_FAILS: Duration = Duration::from_secs(10);

pub(super) type Key = (NodeId, u64, RtcId);

pub(super) enum Step {
    /// Descriptions are exchanged: try to connect.
    Connect(Key),
    Report(Key, RtcEvent),
    /// A frame reaches the other engine.
    Arrive {
        to: Key,
        from: Key,
        channel: u16,
        data: Bytes,
    },
    /// The other side is found closed.
    Closed(Key),
}

struct Fake {
    remote: Option<String>,
    /// Whose certificate the remote description names.
    expects: Option<Fingerprint>,
    channels: u16,
    ordered: bool,
    peer: Option<Key>,
    /// Written, and waiting for the reader at the other side.
    waiting: VecDeque<(u16, BytesMut)>,
    on_the_way: usize,
    arrival: Vec<Instant>,
    /// When the first frame of each channel arrives; even those that overtake others do not overtake that one.
    first: Vec<Option<Instant>>,
    unconsumed: usize,
    /// Reads on whatever is consumed, as a page.
    floods: bool,
    flush: bool,
}

impl Fake {
    fn hear(&mut self, sdp: &str) {
        self.remote = description::ice_ufrag(sdp).map(str::to_owned);
        self.expects = Fingerprint::of_description(sdp);
    }
}

#[derive(Default)]
pub(super) struct Engine {
    fakes: BTreeMap<Key, Fake>,
    /// How many each node has had.
    opened: BTreeMap<NodeId, usize>,
}

fn ufrag(key: Key) -> String {
    format!("n{}l{}r{}", key.0.0, key.1, key.2.0)
}

fn sdp(key: Key, certificate: Fingerprint) -> String {
    let ufrag = ufrag(key);
    [
        "v=0",
        "o=- 1 1 IN IP4 0.0.0.0",
        "s=-",
        "t=0 0",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "a=mid:0",
        "a=max-message-size:262144",
        "a=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host",
        &format!("a=ice-ufrag:{ufrag}"),
        "a=ice-pwd:0000000000000000000000",
        &format!("a=fingerprint:sha-256 {certificate}"),
        "",
    ]
    .join("\r\n")
}

impl Engine {
    pub(super) fn open(&mut self, node: NodeId, life: u64, rtc: RtcId, floods: bool) {
        let fake = Fake {
            remote: None,
            expects: None,
            channels: 0,
            ordered: true,
            peer: None,
            waiting: VecDeque::new(),
            on_the_way: 0,
            arrival: Vec::new(),
            first: Vec::new(),
            unconsumed: 0,
            floods,
            flush: false,
        };
        self.fakes.insert((node, life, rtc), fake);
        *self.opened.entry(node).or_default() += 1;
    }

    pub(super) fn opened(&self, node: NodeId) -> usize {
        self.opened.get(&node).copied().unwrap_or_default()
    }

    /// Everything of a node is gone; who will notice.
    pub(super) fn kill(&mut self, node: NodeId) -> Vec<Key> {
        self.fakes.retain(|key, _| key.0 != node);
        self.ends_towards(node)
    }

    /// The other ends of a node's connections.
    pub(super) fn ends_towards(&self, node: NodeId) -> Vec<Key> {
        let towards = |fake: &Fake| fake.peer.is_some_and(|peer| peer.0 == node);
        let ends = self.fakes.iter().filter(|(_, fake)| towards(fake));
        ends.map(|(key, _)| *key).collect()
    }

    /// A node's ends of its connections.
    pub(super) fn ends_of(&self, node: NodeId) -> Vec<Key> {
        let up = self
            .fakes
            .iter()
            .filter(|(key, fake)| key.0 == node && fake.peer.is_some());
        up.map(|(key, _)| *key).collect()
    }

    /// Peer connections of a node, whatever became of them, that were not closed.
    pub(super) fn present(&self, node: NodeId) -> usize {
        self.fakes.keys().filter(|key| key.0 == node).count()
    }

    pub(super) fn connected(&self, node: NodeId) -> Vec<RtcId> {
        self.fakes
            .iter()
            .filter(|(key, fake)| key.0 == node && fake.peer.is_some())
            .map(|(key, _)| key.2)
            .collect()
    }

    pub(super) fn connected_to(&self, node: NodeId, peer: NodeId) -> Vec<RtcId> {
        let fakes = self
            .fakes
            .iter()
            .filter(|(key, fake)| key.0 == node && fake.peer.is_some_and(|other| other.0 == peer));
        fakes.map(|(key, _)| key.2).collect()
    }

    fn find(&self, remote: Option<&String>) -> Option<Key> {
        let remote = remote?;
        self.fakes.keys().find(|key| ufrag(**key) == *remote).copied()
    }
}

/// A certificate of its own for each of these.
pub(super) fn certificate_of(node: u64, life: u64, rtc: u64) -> Fingerprint {
    let mut rng = fastrand::Rng::with_seed(node << 40 ^ life << 20 ^ rtc);
    Fingerprint::new(std::array::from_fn(|_| rng.u8(..)))
}

impl World {
    /// The path of a peer connection breaks: what is on its way is lost, both sides learn of it later.
    pub(super) fn engine_cut(&mut self, node: NodeId, rtc: RtcId) {
        let key = (node, self.nodes[node.0].life, rtc);
        let peer = self.engine.fakes.get(&key).and_then(|fake| fake.peer);
        for key in [Some(key), peer].into_iter().flatten() {
            self.edit(key, |fake| fake.peer = None);
            let dead_after = self.nodes[key.0.0].config.dead_after;
            let delay = self.random(dead_after / 2);
            let event = match self.rng.u8(0..3) {
                0 => RtcEvent::Silent(delay),
                1 => RtcEvent::Closed,
                _ => RtcEvent::Failed {
                    stage: Stage::Channels,
                    reason: "the path broke".into(),
                },
            };
            self.schedule(delay, Happening::Engine(Step::Report(key, event)));
        }
    }

    /// Nothing that is sent over a peer connection, either way, comes before this time has passed.
    pub(super) fn engine_stall(&mut self, node: NodeId, rtc: RtcId, time: Duration) {
        let (key, until) = ((node, self.nodes[node.0].life, rtc), self.now + time);
        let peer = self.engine.fakes.get(&key).and_then(|fake| fake.peer);
        for key in [Some(key), peer].into_iter().flatten() {
            self.edit(key, |fake| fake.arrival.iter_mut().for_each(|at| *at = until.max(*at)));
        }
    }

    pub(super) fn engine_command(&mut self, node: NodeId, rtc: RtcId, command: RtcCommand) {
        let key = (node, self.nodes[node.0].life, rtc);
        let foreign = self.nodes[node.0].foreign;
        if !self.engine.fakes.contains_key(&key) {
            return;
        }
        match command {
            RtcCommand::Offer { channels, ordered } => {
                self.edit(key, |fake| (fake.channels, fake.ordered) = (channels, ordered));
                self.describe(key, SdpType::Offer);
            }
            RtcCommand::Answer { offer, .. } => {
                self.edit(key, |fake| fake.hear(&offer));
                self.describe(key, SdpType::Answer);
            }
            RtcCommand::Complete { answer, .. } => {
                self.edit(key, |fake| fake.hear(&answer));
                let delay = self.random(self.weather.path_delay * 4);
                self.schedule(delay, Happening::Engine(Step::Connect(key)));
            }
            RtcCommand::Write { channel, frame } => {
                let keep = !(foreign && frame.get(1) == Some(&3));
                debug_assert!(keep, "a control frame towards a peer that does not know it");
                self.edit(key, |fake| fake.waiting.push_back((channel, frame)));
                self.move_on(key);
            }
            RtcCommand::Consumed { bytes } => {
                self.edit(key, |fake| fake.unconsumed = fake.unconsumed.saturating_sub(bytes));
                if let Some(peer) = self.engine.fakes.get(&key).and_then(|fake| fake.peer) {
                    self.move_on(peer);
                }
            }
            RtcCommand::Flush => {
                self.edit(key, |fake| fake.flush = true);
                self.check_flush(key);
            }
            RtcCommand::Close => {
                let peer = self.engine.fakes.remove(&key).and_then(|fake| fake.peer);
                if let Some(peer) = peer {
                    let delay = self.random(self.weather.path_delay);
                    self.schedule(delay, Happening::Engine(Step::Closed(peer)));
                }
            }
            RtcCommand::AddCandidate { .. } => {}
        }
    }

    /// A keyed node's is always the same, another's that of its process, a foreign one's that of the connection.
    fn certificate(&self, (node, life, rtc): Key) -> Fingerprint {
        let of = &self.nodes[node.0];
        match (of.certificate, of.foreign) {
            (Some(certificate), _) => certificate,
            (None, false) => certificate_of(node.0 as u64, life + 1, 0),
            (None, true) => certificate_of(node.0 as u64, life + 1, rtc.0 + 1),
        }
    }

    fn edit(&mut self, key: Key, edit: impl FnOnce(&mut Fake)) {
        if let Some(fake) = self.engine.fakes.get_mut(&key) {
            edit(fake);
        }
    }

    fn describe(&mut self, key: Key, sdp_type: SdpType) {
        if !self.engines {
            let (stage, reason) = (Stage::Candidates, "the engine does not work".into());
            return self.report(key, RtcEvent::Failed { stage, reason });
        }
        let event = RtcEvent::LocalDescription(SessionDescription {
            sdp_type,
            sdp: sdp(key, self.certificate(key)),
        });
        let delay = self.gathering + self.random(self.weather.path_delay);
        self.schedule(delay, Happening::Engine(Step::Report(key, event)));
    }

    fn report(&mut self, key: Key, event: RtcEvent) {
        self.schedule(Duration::ZERO, Happening::Event(key.0, key.1, Event::Rtc(key.2, event)));
    }

    pub(super) fn engine_step(&mut self, step: Step) {
        match step {
            Step::Connect(key) => self.connect(key),
            Step::Report(key, event) => {
                if self.engine.fakes.contains_key(&key) {
                    self.report(key, event);
                }
            }
            Step::Arrive {
                to,
                from,
                channel,
                data,
            } => self.arrive(to, from, channel, data),
            Step::Closed(key) => {
                if self.engine.fakes.contains_key(&key) {
                    self.report(key, RtcEvent::Closed);
                }
            }
        }
    }

    fn connect(&mut self, offerer: Key) {
        let Some(fake) = self.engine.fakes.get(&offerer) else {
            return;
        };
        let (channels, ordered) = (fake.channels, fake.ordered);
        let answerer = self.engine.find(fake.remote.as_ref()).filter(|_| self.paths);
        let mutual = |key: &Key| self.engine.fakes.get(key).and_then(|f| f.remote.clone()) == Some(ufrag(offerer));
        let Some(answerer) = answerer.filter(mutual) else {
            let failed = RtcEvent::Failed {
                stage: Stage::Ice,
                reason: "no pair of candidates".into(),
            };
            return self.schedule(ICE_FAILS, Happening::Engine(Step::Report(offerer, failed)));
        };
        for (key, peer) in [(offerer, answerer), (answerer, offerer)] {
            let expects = self.engine.fakes.get(&key).and_then(|fake| fake.expects);
            if expects.is_some_and(|expected| expected != self.certificate(peer)) {
                let reason = "the certificate is not the one of the description".into();
                let stage = Stage::Dtls;
                self.report(offerer, RtcEvent::Failed { stage, reason });
                return;
            }
        }
        for (key, peer) in [(offerer, answerer), (answerer, offerer)] {
            let arrival = vec![self.now; usize::from(channels)];
            let ordered = ordered && !self.weather.disorder;
            self.edit(key, |fake| {
                (fake.peer, fake.channels, fake.ordered, fake.arrival) = (Some(peer), channels, ordered, arrival);
                fake.first = vec![None; usize::from(channels)];
            });
            self.report(key, RtcEvent::Progress(Stage::Dtls));
            self.report(key, RtcEvent::Progress(Stage::Channels));
            for channel in 0..channels {
                self.report(
                    key,
                    RtcEvent::ChannelOpen {
                        channel,
                        label: format!("p2p-{channel}-{channels}"),
                    },
                );
            }
        }
    }

    /// Sends what the other side's reader has room for.
    fn move_on(&mut self, key: Key) {
        loop {
            let Some(fake) = self.engine.fakes.get(&key) else {
                return;
            };
            let Some(peer) = fake.peer else { return };
            let on_the_way = fake.on_the_way;
            let full = self
                .engine
                .fakes
                .get(&peer)
                // One that is gone acknowledges nothing.
                .is_none_or(|p| !p.floods && p.unconsumed + on_the_way >= READ_AHEAD_BYTES);
            if full {
                return;
            }
            let delay = self.random(self.weather.path_delay);
            let now = self.now;
            let Some(fake) = self.engine.fakes.get_mut(&key) else {
                return;
            };
            let Some((channel, frame)) = fake.waiting.pop_front() else {
                return self.check_flush(key);
            };
            let bytes = frame.len();
            fake.on_the_way += bytes;
            let slot = &mut fake.arrival[usize::from(channel)];
            let at = if fake.ordered {
                (*slot).max(now + delay) + Duration::from_nanos(1)
            } else {
                match &mut fake.first[usize::from(channel)] {
                    Some(first) => (*first).max(now + delay) + Duration::from_nanos(1),
                    first => *first.insert(now + delay),
                }
            };
            *slot = at;
            let data = frame.freeze();
            self.schedule_at(
                at,
                Happening::Engine(Step::Arrive {
                    to: peer,
                    from: key,
                    channel,
                    data,
                }),
            );
            self.report(key, RtcEvent::Written { channel, bytes });
        }
    }

    fn arrive(&mut self, to: Key, from: Key, channel: u16, data: Bytes) {
        // A closed sender aborts: what was still on its way is lost.
        let is_to = |from: &Fake| from.peer == Some(to);
        if !self.engine.fakes.get(&from).is_some_and(is_to) || !self.engine.fakes.contains_key(&to) {
            return;
        }
        let bytes = data.len();
        self.edit(to, |fake| fake.unconsumed += bytes);
        self.edit(from, |fake| fake.on_the_way -= bytes);
        self.report(
            to,
            RtcEvent::Frame {
                channel,
                data,
                binary: true,
            },
        );
        self.move_on(from);
    }

    fn check_flush(&mut self, key: Key) {
        let Some(fake) = self.engine.fakes.get_mut(&key) else {
            return;
        };
        if fake.flush && fake.waiting.is_empty() && fake.on_the_way == 0 {
            fake.flush = false;
            self.report(key, RtcEvent::Flushed);
        }
    }
}
