//! Setting a connection up: descriptions, stages, channels.

use super::candidates::Withheld;
use super::credit::{self, Credit};
use super::{Context, Link, Phase, Signal};
use crate::chunk::{HEADER_BYTES, PROXYSTORE_CHUNK_BYTES};
use crate::description::{self, Description, Words};
use crate::json;
use crate::output::{Output, State};
use crate::platform::{QUIC_LABEL, Receiver, RtcCommand, SdpType, SessionDescription};
use crate::request::Reply;
use crate::wire::word;
use crate::{Config, Error, Stage, identity};
use std::time::Duration;
use web_time::Instant;

/// A set-up that has taken longer may come to nothing.
const USUAL_SETUP: Duration = Duration::from_secs(5);
/// Bytes in the engine's hands towards our own kind. Larger gained nothing in throughput and cost its size in memory.
const SEND_BUFFER_BYTES: usize = 1 << 20;
/// The same towards ProxyStore: its 208 KiB UDP socket buffer overflows beyond, and each overflow costs a second.
const PROXYSTORE_SEND_BUFFER_BYTES: usize = 64 << 10;
/// The same from a native program to a page: Chromium's socket buffer takes some 56 packets, 64 KiB.
const PAGE_SEND_BUFFER_BYTES: usize = 48 << 10;
/// Data channels of one connection: more are nobody's honest wish.
const MAX_CHANNELS: usize = 64;

/// What both sides understand beyond ProxyStore's protocol.
#[derive(Debug, Default, Clone)]
pub(super) struct Agreed {
    /// The peer is of our own kind.
    pub(super) crosspeer: bool,
    /// Its program confirms plain messages, and ours does.
    confirms: bool,
    /// Messages are delivered in the order sent.
    pub(super) ordered: bool,
    /// Closing is announced and acknowledged.
    pub(super) close: bool,
    max_payload: usize,
    /// Of each lane.
    pub(super) to: Receiver,
    /// QUIC has come up.
    pub(super) over_quic: bool,
    /// The most lanes that both sides want; 1 means none but the first.
    pub(super) lanes: usize,
    /// Bytes of the largest message the peer takes, if it says so.
    max_message: Option<u64>,
    /// Bytes that the peer may be sent at first, where what it is sent is granted.
    credit: Option<u64>,
    /// The number that the peer has given the session, if it goes on without its path.
    pub(super) session: Option<u64>,
    /// What both have seen of the descriptions is compared.
    pub(super) seal: bool,
}

impl Agreed {
    /// From the peer's description; `own_prompt` and `own_holds` are whether our platform is
    /// [`Platform::PROMPT`](crate::platform::Platform::PROMPT) and
    /// [`Platform::HOLDS_BACK`](crate::platform::Platform::HOLDS_BACK), `own_quic` whether this side wants QUIC.
    fn new(remote: &str, config: &Config, own_prompt: bool, own_holds: bool, own_quic: bool) -> Self {
        let words = Words::parse(remote);
        let has = |word| words.as_ref().is_some_and(|words| words.contains(word));
        let crosspeer = words.is_some();
        let (ordered, close, prompt) = (
            config.ordered && has(word::ORDERED),
            has(word::CLOSE),
            has(word::PROMPT),
        );
        let number = |word| words.as_ref()?.get(word)?.parse::<u64>().ok();
        let credit = number(word::CREDIT).filter(|_| !(own_holds && has(word::HOLDS)));
        // Not with pages, as yet: making several connections at once takes a page's time.
        let lanes = number(word::LANES)
            .filter(|_| credit.is_none())
            .and_then(|lanes| usize::try_from(lanes).ok());
        let send_buffer = match crosspeer {
            false => PROXYSTORE_SEND_BUFFER_BYTES,
            true if own_prompt && !prompt => PAGE_SEND_BUFFER_BYTES,
            true => SEND_BUFFER_BYTES,
        };
        let largest = description::max_message_size(remote)
            .saturating_sub(HEADER_BYTES)
            .max(64);
        Self {
            crosspeer,
            confirms: config.confirms && has(word::CONFIRMS),
            ordered,
            close,
            // What is sent again can be told from what is new only in order.
            lanes: lanes
                .filter(|_| ordered && close)
                .unwrap_or(1)
                .min(usize::from(*config.lanes.end()))
                .max(1),
            max_payload: largest.min(if send_buffer == SEND_BUFFER_BYTES {
                config.chunk_bytes
            } else {
                PROXYSTORE_CHUNK_BYTES
            }),
            max_message: number(word::MAX),
            credit,
            session: words
                .as_ref()
                .and_then(|words| u64::from_str_radix(words.get(word::SESSION)?, 16).ok())
                .filter(|_| ordered && close),
            seal: has(word::SEAL),
            to: Receiver {
                send_buffer,
                prompt,
                quic: own_quic && has(word::QUIC),
            },
            over_quic: false,
        }
    }

    /// As a further lane is told, which is data channels alone.
    pub(super) fn to_lanes(&self) -> Receiver {
        Receiver { quic: false, ..self.to }
    }

    pub(super) fn check_size(&self, size: u64) -> Result<(), Error> {
        match self.max_message {
            Some(limit) if size > limit => Err(Error::TooLarge { size, limit }),
            _ => Ok(()),
        }
    }
}

impl Link {
    /// Starts to connect by an offer of our own.
    pub(crate) fn offer(&mut self, cx: &mut Context<'_>) {
        self.start(cx, Phase::Offering);
        self.open_channels = vec![false; usize::from(self.channels)];
        self.command(
            cx,
            RtcCommand::Offer {
                channels: self.channels,
                ordered: true,
            },
        );
    }

    /// Answers a remote offer, with a fresh peer connection whatever there was before.
    pub(crate) fn accept_offer(&mut self, cx: &mut Context<'_>, offer: &str) {
        self.start(cx, Phase::Answering);
        self.open_channels.clear();
        self.remote_ufrag = description::ice_ufrag(offer).map(str::to_owned);
        self.agree(cx, offer);
        self.meet(offer);
        let (offer, to) = (description::prepare_remote(offer), self.agreed.to);
        self.candidates = description::candidates(&offer).count();
        self.command(cx, RtcCommand::Answer { offer, to });
    }

    /// Takes the answer to our offer; one that is for another offer, or comes twice, is ignored.
    pub(crate) fn accept_answer(&mut self, cx: &mut Context<'_>, answer: &str) {
        if self.accept_lane_answer(cx, answer) {
            return;
        }
        if !self.is_offering() || self.signal.is_none() {
            tracing::debug!(link = self.id.0, "ignored an answer that no offer waits for");
            return;
        }
        let words = Words::parse(answer);
        let answered = words.as_ref().and_then(|words| words.get(word::FOR));
        if answered.is_some() && answered != self.local_ufrag.as_deref() {
            tracing::debug!(link = self.id.0, "ignored the answer to an earlier offer");
            return;
        }
        if let Some(error) = self.peer.and_then(|peer| identity::check(peer, answer).err()) {
            return self.end(cx, error);
        }
        self.remote_ufrag = description::ice_ufrag(answer).map(str::to_owned);
        self.agree(cx, answer);
        self.meet(answer);
        self.phase = Phase::Establishing;
        self.stage = Stage::Ice;
        self.release_candidates();
        let (answer, to) = (description::prepare_remote(answer), self.agreed.to);
        self.candidates += description::candidates(&answer).count();
        self.command(cx, RtcCommand::Complete { answer, to });
    }

    /// The engine has described itself: this is to be signalled.
    pub(super) fn on_local_description(&mut self, cx: &Context<'_>, local: SessionDescription) {
        let offer = local.sdp_type == SdpType::Offer;
        let expected = if offer { Phase::Offering } else { Phase::Answering };
        if self.phase != expected {
            return;
        }
        self.local_ufrag = description::ice_ufrag(&local.sdp).map(str::to_owned);
        self.has_candidates = description::candidates(&local.sdp).next().is_some();
        let sdp = description::prepare_local(&local.sdp, &self.words(cx, offer));
        let sdp = self.withhold(sdp, offer);
        self.seal.sent(cx.me, &sdp);
        let description = Description::Session(SessionDescription {
            sdp_type: local.sdp_type,
            sdp,
        })
        .encode();
        self.signal = Some(Signal {
            offer,
            description,
            due: true,
        });
        if offer {
            self.stage = Stage::Peer;
        } else {
            self.phase = Phase::Establishing;
            self.stage = self.stage.max(Stage::Ice);
        }
    }

    pub(super) fn words(&self, cx: &Context<'_>, offer: bool) -> Words {
        let mut words = Words::new();
        words.insert(word::CLOSE);
        words.insert(word::SEAL);
        self.session_words(cx, &mut words);
        if cx.config.confirms {
            words.insert(word::CONFIRMS);
        }
        if cx.prompt {
            words.insert(word::PROMPT);
        }
        if cx.quic {
            words.insert(word::QUIC);
        }
        if cx.config.ordered {
            words.insert(word::ORDERED);
        }
        words.insert(&format!("{}={}", word::MAX, cx.config.max_message_bytes));
        words.insert(&format!(
            "{}={}",
            word::CREDIT,
            credit::window(cx.config.receive_buffer_bytes)
        ));
        if cx.holds_back {
            words.insert(word::HOLDS);
        }
        if *cx.config.lanes.end() > 1 {
            words.insert(&format!("{}={}", word::LANES, cx.config.lanes.end()));
        }
        if let (false, Some(ufrag)) = (offer, &self.remote_ufrag) {
            words.insert(&format!("{}={ufrag}", word::FOR));
        }
        words
    }

    pub(super) fn on_progress(&mut self, stage: Stage) {
        self.stage = self.stage.max(stage);
    }

    pub(super) fn on_channel_open(&mut self, cx: &mut Context<'_>, channel: u16, label: &str) {
        let channel = usize::from(channel);
        if self.agreed.to.quic && label == QUIC_LABEL {
            // It is one channel, whatever was offered; and a second connection beside it would gain nothing.
            (self.open_channels, self.agreed.lanes) = (vec![false], 1);
            self.agreed.over_quic = true;
        }
        if self.open_channels.is_empty() {
            match channels_of(label) {
                Some(count) => self.open_channels = vec![false; count],
                None => return self.end(cx, bad_channel(label)),
            }
        }
        match self.open_channels.get_mut(channel) {
            Some(open) => *open = true,
            None => return self.end(cx, bad_channel(label)),
        }
        if self.open_channels.iter().all(|open| *open) && self.phase == Phase::Establishing {
            self.open(cx);
        }
    }

    fn open(&mut self, cx: &mut Context<'_>) {
        self.phase = Phase::Open;
        self.stage = Stage::Channels;
        self.setup_deadline = None;
        let channels = self.open_channels.len();
        self.lanes
            .open_first(channels, (self.agreed.to.send_buffer / 2 / channels).max(1));
        self.begin_session(cx);
        self.outbox.open(self.agreed.max_payload);
        tracing::debug!(link = self.id.0, peer = ?self.peer, crosspeer = self.agreed.crosspeer, "connected");
        self.send_seal(cx);
        let (verified, fingerprint) = self.seal.identity();
        cx.out.push_back(Output::Identity(self.id, verified, fingerprint));
        cx.out.push_back(Output::State(self.id, self.state(), None));
        for (request, ..) in std::mem::take(&mut self.waiting_ready) {
            cx.reply(request, Ok(Reply::Link(self.id)));
        }
        if let Some(limit) = self.agreed.max_message {
            for (request, size) in self.outbox.take_larger(limit) {
                cx.reply(request, Err(Error::TooLarge { size, limit }));
            }
        }
        self.pump(cx);
        self.advance_close(cx);
    }

    fn start(&mut self, cx: &mut Context<'_>, phase: Phase) {
        self.drop_rtcs(cx);
        let rtc = cx.open_rtc(self.id);
        self.lanes.restart(rtc);
        let began = self.state();
        (self.phase, self.stage, self.signal) = (phase, Stage::Candidates, None);
        self.inbox.restart(cx.config);
        (self.candidates, self.withheld) = (0, Withheld::default());
        self.setup_deadline = Some(cx.now + cx.config.connect_timeout);
        if self.state() != began {
            cx.out.push_back(Output::State(self.id, self.state(), None));
        }
    }

    fn agree(&mut self, cx: &mut Context<'_>, remote: &str) {
        self.agreed = Agreed::new(remote, cx.config, cx.prompt, cx.holds_back, cx.quic);
        let window = credit::window(cx.config.receive_buffer_bytes);
        let agreed = self.agreed.credit.map(|allowed| Credit::new(allowed, window));
        self.credit = agreed.unwrap_or_default();
        if self.agreed.ordered {
            self.inbox.keep_order(
                cx.config.max_message_bytes,
                self.agreed.lanes > 1 || self.agreed.session.is_some(),
            );
        }
        cx.out
            .push_back(Output::Kind(self.id, self.agreed.crosspeer, self.agreed.confirms));
        let largest = self.agreed.max_message.map(|bytes| Output::Largest(self.id, bytes));
        cx.out.extend(largest);
    }

    /// Whether our own offer is made, or out, and not answered.
    pub(crate) fn is_offering(&self) -> bool {
        self.phase == Phase::Offering
    }

    /// Whether this is the remote description that is in use already.
    pub(crate) fn knows(&self, sdp: &str) -> bool {
        self.remote_ufrag.is_some() && self.remote_ufrag.as_deref() == description::ice_ufrag(sdp)
    }

    /// Whether this is the offer we have out.
    pub(crate) fn is_own_offer(&self, description: &str) -> bool {
        let own = self.signal.as_ref().filter(|signal| signal.offer);
        self.is_offering() && own.is_some_and(|own| own.description == description)
    }

    /// What the relay should be given now.
    pub(crate) fn take_signals(&mut self) -> Vec<Signal> {
        let description = self.signal.as_mut().filter(|signal| signal.due);
        let description = description.map(|signal| {
            signal.due = false;
            signal.clone()
        });
        let mut signals = self.take_candidates();
        signals.extend(self.take_attempt_signal());
        if let Some(description) = description {
            signals.insert(0, description);
        }
        signals
    }

    /// Our description is to be signalled once more: it may not have arrived. Never an answer to a ProxyStore peer,
    /// which would not survive a second one.
    pub(crate) fn repeat_signal(&mut self) {
        let harmless = self.is_offering() || self.agreed.crosspeer;
        if let Some(signal) = self.signal.as_mut().filter(|_| harmless) {
            signal.due = true;
        }
        self.repeat_candidates();
    }

    /// The relay has lost what was said just before: a description that the peer may not have is repeated.
    pub(crate) fn on_registered(&mut self, cx: &mut Context<'_>, away: bool) {
        if self.state() == State::Connecting {
            self.repeat_signal();
        }
        self.resume_attempt(cx, away);
    }

    /// The peer, of our own kind, has given up the attempt that we answered.
    pub(crate) fn on_withdrawn(&mut self, cx: &mut Context<'_>) {
        if self.on_forgotten(cx) || self.state() != State::Connecting || !self.is_answerer() || !self.agreed.crosspeer {
            return;
        }
        if self.outbox.is_empty() && self.waiting_ready.is_empty() {
            let reason = "the peer gave up connecting".into();
            return self.end(
                cx,
                Error::SetupFailed {
                    stage: Stage::Peer,
                    reason,
                },
            );
        }
        self.offer(cx);
    }

    /// Whether our description has not been given to the relay yet.
    pub(super) fn waits_for_relay(&self) -> bool {
        self.signal.as_ref().is_some_and(|signal| signal.due)
    }

    /// Whether set-up cannot go on without the relay.
    pub(crate) fn needs_relay(&self) -> bool {
        matches!(self.phase, Phase::Offering | Phase::Answering)
            || (self.state() == State::Connecting && self.waits_for_relay())
    }

    /// Whether no address of the peer has answered yet, or nothing else came of it in time, and nobody here waits for it.
    pub(crate) fn is_unheard(&self, now: Instant, config: &Config) -> bool {
        let late = self
            .setup_deadline
            .is_some_and(|at| at + USUAL_SETUP <= now + config.connect_timeout);
        (self.stage <= Stage::Ice || late) && self.waiting_ready.is_empty() && self.outbox.is_empty()
    }

    /// Whether the peer offered.
    pub(crate) fn is_answerer(&self) -> bool {
        self.phase == Phase::Answering || self.signal.as_ref().is_some_and(|signal| !signal.offer)
    }
}

fn bad_channel(label: &str) -> Error {
    Error::PeerMisbehaved(format!(
        "its data channel {} does not fit `p2p-<i>-<n>` with n of 1 to {MAX_CHANNELS}",
        json::string(label)
    ))
}

/// The number of channels that a label `…<i>-<n>` promises.
fn channels_of(label: &str) -> Option<usize> {
    let (rest, count) = label.rsplit_once('-')?;
    let index = rest.rsplit(|c: char| !c.is_ascii_digit()).next()?;
    let (index, count): (u64, u64) = (index.parse().ok()?, count.parse().ok()?);
    let count = usize::try_from(count).ok()?;
    ((1..=MAX_CHANNELS).contains(&count) && index < count as u64).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_platform_sends_smaller_bursts_to_whoever_is_not() {
        let sent_to = |words: &str, own_prompt| {
            let remote = format!(
                "v=0\r\n{words}m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=max-message-size:262144\r\n"
            );
            let agreed = Agreed::new(&remote, &Config::default(), own_prompt, true, false);
            (agreed.to.send_buffer, agreed.to.prompt, agreed.max_payload)
        };
        let (native, page) = ("a=x-crosspeer:1 prompt\r\n", "a=x-crosspeer:1\r\n");
        assert_eq!(sent_to(native, true), (1 << 20, true, 64 << 10));
        assert_eq!(sent_to(page, true), (48 << 10, false, 32 << 10));
        assert_eq!(sent_to(page, false), (1 << 20, false, 64 << 10));
        assert_eq!(sent_to("", true), (64 << 10, false, 32 << 10));
    }

    #[test]
    fn the_number_of_channels_is_read_from_any_label_that_ends_in_two_numbers() {
        for (label, count) in [
            ("p2p-0-1", Some(1)),
            ("p2p-3-4", Some(4)),
            ("0-1", Some(1)),
            ("anything-0-64", Some(64)),
        ] {
            assert_eq!(channels_of(label), count, "{label}");
        }
        for label in [
            "",
            "p2p",
            "p2p-0",
            "p2p-1-1",
            "p2p-0-0",
            "p2p-0-65",
            "p2p-0-99999999999999999999",
            "p2p-x-1",
            "é-1",
        ] {
            assert_eq!(channels_of(label), None, "{label}");
        }
    }
}
