//! A connection that outlives its paths: when no lane is left that answers, another one is made, as the first one was, by
//! descriptions through the relay.
//!
//! Each side gives the session a number, and says it in its description (`session=N`). Where both have, whatever is sent is
//! kept until the peer has acknowledged it, over one lane too. A description for a further lane names the number that the
//! *peer* has given, and the lane's own (`resume=N.L`); whoever does not know it any more, since its process is another one,
//! takes the description back, and the session ends. When both offer, the offer of the larger UUID stands.
//!
//! A peer that the relay no longer knows is dead, unless that relay has only just come back itself.

use super::lanes::{Lanes, THROUGH_RELAY};
use super::traffic::by_peer;
use super::{Context, Link, Phase, Signal};
use crate::chunk::{Frame, Kind};
use crate::description::{self, Description, Words};
use crate::error::Period;
use crate::output::Output;
use crate::platform::{RtcCommand, RtcId, SdpType, SessionDescription};
use crate::wire::control::SEAL;
use crate::wire::word;
use crate::{Error, Fingerprint, identity};
use bytes::Bytes;
use std::time::Duration;
use web_time::Instant;

/// The time for one attempt: what it knows of this host's network gets old.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Between two attempts: one more of these after each, up to [`LONGEST_PAUSE`] of them.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: u32 = 6;
/// After the relay has come back, or has been found again, its other clients may need as long for it.
const OTHERS_RETURN: Duration = Duration::from_secs(20);
/// An offer that is not answered is said again: the relay may not have known yet that the peer has another socket.
const REPEAT: Duration = Duration::from_secs(1);
/// A registration at the relay that is younger than this is believed; longer after several attempts.
const FRESH: Duration = Duration::from_secs(2);
/// Lanes beyond those that are wanted, which have died and are not known to have.
const MAX_DEAD: usize = 8;

/// What this side knows of its session.
#[derive(Default)]
pub(super) struct Rescue {
    /// The number that this side has given it.
    own: u64,
    /// The one of the peer, from the connection's opening on, where both want it kept.
    peers: Option<u64>,
    attempt: Option<Attempt>,
    /// Since when no lane is open.
    lost_since: Option<Instant>,
    /// No attempt before.
    again: Option<Instant>,
    /// Attempts since then.
    tries: u32,
    /// Lanes that this side has numbered.
    numbered: u32,
    /// The latest number that the peer has offered.
    heard: Option<u32>,
    /// When a NAT was last heard to have forgotten this side.
    moved: Option<Instant>,
    /// The last lane has not fallen silent: the peer has closed it. Mostly since it has gone.
    closed: bool,
    /// The network has changed: another lane is worth it while the ones there are still seem to live.
    suspected: bool,
    /// What was sent by the relay is not answered: the way to it may have gone too. A registration older than this is
    /// not believed.
    doubt: Option<Duration>,
    /// Since when the relay does not know the peer.
    unknown_since: Option<Instant>,
    proof: Option<Proof>,
}

/// A lane that is being made through the relay.
struct Attempt {
    rtc: RtcId,
    number: u32,
    offering: bool,
    signal: Option<Signal>,
    /// When it is due once more.
    repeat: Option<Instant>,
    local: String,
    local_ufrag: Option<String>,
    remote: String,
    remote_ufrag: Option<String>,
}

/// What comes first over such a lane, as over the first one: that both have seen the same descriptions.
struct Proof {
    rtc: RtcId,
    transcript: String,
    heard: bool,
}

impl Rescue {
    pub(super) fn new(own: u64) -> Self {
        Self { own, ..Self::default() }
    }

    pub(super) fn is_kept(&self) -> bool {
        self.peers.is_some()
    }

    fn is_attempt(&self, rtc: RtcId) -> bool {
        self.attempt.as_ref().is_some_and(|attempt| attempt.rtc == rtc)
    }

    pub(super) fn next_deadline(&self, lanes: &Lanes, timeout: Duration) -> Option<Instant> {
        let end = self.lost_since.map(|since| since + timeout);
        let waits = self.is_kept() && self.attempt.is_none() && (self.suspected || !lanes.are_lively());
        let again = self.again.filter(|_| waits);
        let repeat = self.attempt.as_ref().and_then(|attempt| attempt.repeat);
        end.into_iter().chain(again).chain(repeat).min()
    }
}

impl Link {
    /// The connection is up: from now on nothing is lost with a lane, if both want it so.
    pub(super) fn begin_session(&mut self, cx: &Context<'_>) {
        // Over QUIC no cut has been tried yet.
        let counts = self.open_channels.len() == 1 && !self.agreed.over_quic;
        let wanted = !self.by_hand && counts && !cx.config.session_timeout.is_zero();
        self.rescue.peers = self.agreed.session.filter(|_| wanted);
        if self.rescue.is_kept() {
            self.lanes.keep_all();
        }
    }

    /// The word for this side's number, and for the session that goes on.
    pub(super) fn session_words(&self, cx: &Context<'_>, words: &mut Words) {
        if self.by_hand || cx.config.session_timeout.is_zero() {
            return;
        }
        words.insert(&format!("{}={:x}", word::SESSION, self.rescue.own));
    }

    /// What is to be done about the paths: tells when the last one is lost, and looks for another one.
    pub(super) fn look_after_paths(&mut self, cx: &mut Context<'_>) {
        if !self.rescue.is_kept() || !matches!(self.phase, Phase::Open | Phase::Closing) {
            return;
        }
        self.repeat_offer(cx);
        if self.lanes.are_lively() {
            self.rescue.closed = false; // it was another one
        }
        let was_lost = self.rescue.lost_since.is_some();
        if self.lanes.are_open() == was_lost {
            self.rescue.lost_since = (!was_lost).then_some(cx.now);
            tracing::info!(link = self.id.0, peer = ?self.peer, state = %self.state(), tries = self.rescue.tries, "a path");
            cx.out.push_back(Output::State(self.id, self.state(), None));
        }
        if self.lanes.are_lively() && !self.rescue.suspected {
            self.rescue.unknown_since = None;
            return self.rescue.tries = 0;
        }
        if cx.relay_ended {
            self.rescue.again = None;
            if self.rescue.lost_since.is_some() {
                self.on_lost(
                    cx,
                    "the path to the peer is lost, and there is no relay to find another by".into(),
                );
            }
            return;
        }
        if self
            .rescue
            .lost_since
            .is_some_and(|since| since + cx.config.session_timeout <= cx.now)
        {
            let (time, tries) = (Period(cx.config.session_timeout), self.rescue.tries);
            return self.on_lost(
                cx,
                format!("no path to the peer was found for {time}, in {tries} attempts"),
            );
        }
        if self.rescue.attempt.is_none() && self.rescue.again.is_none_or(|at| at <= cx.now) {
            self.offer_lane(cx);
        }
    }

    fn repeat_offer(&mut self, cx: &Context<'_>) {
        let Some(attempt) = &mut self.rescue.attempt else {
            return;
        };
        if attempt.repeat.is_some_and(|at| at <= cx.now) {
            let waits = attempt.remote_ufrag.is_none();
            attempt.repeat = waits.then_some(cx.now + REPEAT);
            attempt.signal.iter_mut().for_each(|signal| signal.due |= waits);
            self.rescue.doubt = waits.then(|| match self.rescue.tries {
                ..2 => FRESH,
                2..5 => 2 * FRESH,
                _ => 5 * FRESH, // a slow network needs that long to open a socket
            });
        }
    }

    /// How old a registration may be to be believed; `None` while there is no reason for doubt.
    pub(crate) fn take_doubt(&mut self) -> Option<Duration> {
        self.rescue.doubt.take()
    }

    /// The relay has registered us again: what it has lost is said again. After it, or the network, was `away` an attempt
    /// that was made meanwhile knows nothing of the network there is now.
    pub(super) fn resume_attempt(&mut self, cx: &mut Context<'_>, away: bool) {
        self.rescue.again = self.rescue.again.map(|at| at.min(cx.now));
        let unanswered = |attempt: &Attempt| attempt.offering && attempt.remote_ufrag.is_none();
        if away && self.rescue.attempt.as_ref().is_some_and(unanswered) {
            self.drop_attempt(cx);
            self.rescue.suspected = true;
            self.rescue.again = None;
            return self.look_after_paths(cx);
        }
        if let Some(signal) = self.rescue.attempt.as_mut().and_then(|attempt| attempt.signal.as_mut()) {
            signal.due = true;
        }
    }

    /// There is no relay any more by which another path could be found.
    pub(crate) fn on_relay_ended(&mut self, cx: &mut Context<'_>) {
        self.drop_attempt(cx);
        self.look_after_paths(cx);
    }

    /// The network has changed: the paths there are may be dead, and nobody has noticed.
    pub(crate) fn suspect(&mut self, cx: &mut Context<'_>) {
        let dated = self.rescue.attempt.as_ref().is_some_and(|attempt| attempt.offering);
        if !self.rescue.is_kept() {
            return;
        }
        if dated {
            self.drop_attempt(cx);
        }
        (self.rescue.suspected, self.rescue.again) = (true, None);
        self.look_after_paths(cx);
    }

    /// So has what connects this side with the relay, mostly.
    pub(super) fn on_moved(&mut self, cx: &mut Context<'_>) {
        let again = self.rescue.moved.is_some_and(|at| at + ATTEMPT > cx.now);
        if self.is_up() && !again {
            self.rescue.moved = Some(cx.now);
            self.suspect(cx);
            self.rescue.doubt = Some(FRESH);
        }
    }

    fn offer_lane(&mut self, cx: &mut Context<'_>) {
        // Those of the two sides are apart.
        let number = THROUGH_RELAY | u32::from(self.is_answerer()) << 30 | self.rescue.numbered;
        self.rescue.numbered += 1;
        self.begin_attempt(cx, number, true);
        let rtc = self.rescue.attempt.as_ref().map(|attempt| attempt.rtc);
        let (channels, ordered) = (1, true);
        rtc.into_iter()
            .for_each(|rtc| cx.command(rtc, RtcCommand::Offer { channels, ordered }));
    }

    fn begin_attempt(&mut self, cx: &mut Context<'_>, number: u32, offering: bool) {
        let rtc = cx.open_rtc(self.id);
        self.lanes.add_numbered(rtc, number, cx.now + ATTEMPT);
        self.rescue.suspected = false;
        self.rescue.tries += 1;
        self.rescue.again = Some(cx.now + PAUSE * self.rescue.tries.min(LONGEST_PAUSE));
        self.rescue.attempt = Some(Attempt {
            rtc,
            number,
            offering,
            signal: None,
            repeat: None,
            local: String::new(),
            local_ufrag: None,
            remote: String::new(),
            remote_ufrag: None,
        });
    }

    /// Whether an offer that goes on with a session means this one.
    pub(crate) fn is_session(&self, sdp: &str, fingerprint: Option<Fingerprint>) -> bool {
        let up = matches!(self.phase, Phase::Open | Phase::Closing);
        up && self.rescue.is_kept()
            && resumed(sdp).is_some_and(|(number, _)| number == self.rescue.own)
            && !self.is_another(fingerprint)
            && identity::names_one(sdp)
    }

    /// The peer offers another lane, through the relay.
    pub(crate) fn accept_lane(&mut self, cx: &mut Context<'_>, offer: &str) {
        let Some((_, number)) = resumed(offer) else { return };
        let ufrag = description::ice_ufrag(offer);
        // An older one, that was delayed or is said again by somebody else, must not stand in the way of the latest.
        let is_old = self.rescue.heard.is_some_and(|heard| number < heard);
        if is_old || number >> 30 != (THROUGH_RELAY >> 30 | u32::from(!self.is_answerer())) {
            return tracing::debug!(link = self.id.0, number, "ignored the offer of an old lane");
        }
        self.rescue.heard = Some(number);
        self.rescue.unknown_since = None;
        if let Some(attempt) = &mut self.rescue.attempt {
            if attempt.remote_ufrag.as_deref() == ufrag || (attempt.offering && Some(cx.me) > self.peer) {
                return attempt.signal.iter_mut().for_each(|signal| signal.due = true);
            }
            self.drop_attempt(cx);
        }
        let most = usize::from(*cx.config.lanes.end()) + MAX_DEAD;
        if self.lanes.has_number(number) || self.lanes.count() > most {
            return tracing::debug!(link = self.id.0, number, "ignored the offer of a lane");
        }
        self.begin_attempt(cx, number, false);
        if let Some(attempt) = &mut self.rescue.attempt {
            attempt.remote_ufrag = ufrag.map(str::to_owned);
            attempt.remote = identity::part(self.peer, offer);
            let (offer, to) = (description::prepare_remote(offer), self.agreed.to);
            cx.command(attempt.rtc, RtcCommand::Answer { offer, to });
        }
    }

    /// Takes the answer to such an offer; `false` if it is for another one.
    pub(super) fn accept_lane_answer(&mut self, cx: &mut Context<'_>, answer: &str) -> bool {
        let words = Words::parse(answer);
        let answered = words.as_ref().and_then(|words| words.get(word::FOR));
        let Some(attempt) = self.rescue.attempt.as_mut().filter(|attempt| attempt.offering) else {
            return false;
        };
        if answered.is_none() || answered != attempt.local_ufrag.as_deref() {
            return false;
        }
        if attempt.remote_ufrag.is_some() {
            return true; // once more
        }
        let fingerprint = match self.peer.map_or(Ok(None), |peer| identity::check(peer, answer)) {
            Ok(fingerprint) => fingerprint,
            // The true one may still come.
            Err(error) => {
                tracing::warn!(link = self.id.0, %error, "ignored an answer");
                return true;
            }
        };
        self.rescue.unknown_since = None;
        attempt.remote_ufrag = description::ice_ufrag(answer).map(str::to_owned);
        attempt.remote = identity::part(self.peer, answer);
        let rtc = attempt.rtc;
        let is_session = resumed(answer).is_some_and(|(number, _)| number == self.rescue.own);
        if !is_session || self.is_another(fingerprint) || !identity::names_one(answer) {
            self.drop_attempt(cx);
            return true;
        }
        let (answer, to) = (description::prepare_remote(answer), self.agreed.to);
        cx.command(rtc, RtcCommand::Complete { answer, to });
        true
    }

    fn drop_attempt(&mut self, cx: &mut Context<'_>) {
        let at = self
            .rescue
            .attempt
            .as_ref()
            .and_then(|attempt| self.lanes.find(attempt.rtc));
        self.rescue.attempt = None;
        if let Some(at) = at {
            self.drop_lane(cx, at);
        }
    }

    /// The peer has closed a lane.
    pub(super) fn on_lane_closed(&mut self) {
        self.rescue.closed = self.lanes.are_lively();
    }

    /// A lane has gone.
    pub(super) fn forget_attempt(&mut self, rtc: RtcId) {
        self.rescue.attempt.take_if(|attempt| attempt.rtc == rtc);
        self.rescue.proof.take_if(|proof| proof.rtc == rtc);
    }

    /// Whether an event of this lane is about an attempt through the relay.
    pub(super) fn is_attempt(&self, at: usize) -> bool {
        self.lanes.rtc(at).is_some_and(|rtc| self.rescue.is_attempt(rtc))
    }

    pub(super) fn on_attempt_description(&mut self, cx: &Context<'_>, local: &SessionDescription) {
        let offer = local.sdp_type == SdpType::Offer;
        let mut words = self.words(cx, true);
        if let (Some(peers), Some(attempt)) = (self.rescue.peers, &self.rescue.attempt) {
            words.insert(&format!("{}={peers:x}.{}", word::RESUME, attempt.number));
            if let (false, Some(ufrag)) = (offer, &attempt.remote_ufrag) {
                words.insert(&format!("{}={ufrag}", word::FOR));
            }
        }
        let Some(attempt) = &mut self.rescue.attempt else {
            return;
        };
        let sdp = description::prepare_local(&local.sdp, &words);
        attempt.local_ufrag = description::ice_ufrag(&sdp).map(str::to_owned);
        attempt.local = identity::part(Some(cx.me), &sdp);
        let sdp_type = local.sdp_type;
        let description = Description::Session(SessionDescription { sdp_type, sdp }).encode();
        let due = true;
        attempt.repeat = offer.then_some(cx.now + REPEAT);
        attempt.signal = Some(Signal {
            offer,
            description,
            due,
        });
    }

    /// The lane is there: what the others had not delivered goes over it.
    pub(super) fn on_attempt_open(&mut self, cx: &mut Context<'_>, at: usize) {
        let Some(attempt) = self.rescue.attempt.take() else {
            return;
        };
        let transcript = match attempt.offering {
            true => attempt.local + &attempt.remote,
            false => attempt.remote + &attempt.local,
        };
        if self.agreed.seal
            && let Some(slot) = self.lanes.slot(at)
        {
            self.control_on(cx, slot, SEAL, transcript.as_bytes());
            let (rtc, heard) = (attempt.rtc, false);
            self.rescue.proof = Some(Proof { rtc, transcript, heard });
        }
        self.rescue.closed = false;
        self.lanes.renew(cx.now);
        self.credit.doubt();
        self.on_lane_open(cx, at);
        self.look_after_paths(cx);
        self.acknowledge(cx);
        self.advance_close(cx);
    }

    /// Looks at what comes first over a lane that was made through the relay.
    ///
    /// # Errors
    /// The peer has not seen what we have.
    pub(super) fn check_proof(&mut self, at: usize, data: &Bytes) -> Result<(), Error> {
        let rtc = self.lanes.rtc(at);
        let Some(proof) = self
            .rescue
            .proof
            .as_mut()
            .filter(|proof| Some(proof.rtc) == rtc && !proof.heard)
        else {
            return Ok(());
        };
        proof.heard = true;
        let said = Frame::decode(data.clone()).ok();
        let said = said.filter(|frame| frame.header.kind == Kind::Control && frame.header.stream_id == SEAL);
        match said.is_some_and(|frame| frame.payload == proof.transcript.as_bytes()) {
            true => Ok(()),
            false => Err(identity::mismatch(
                self.peer.unwrap_or_default(),
                "both sides have seen different descriptions",
            )),
        }
    }

    /// What the relay should be given now.
    pub(super) fn take_attempt_signal(&mut self) -> Option<Signal> {
        let signal = self.rescue.attempt.as_mut()?.signal.as_mut()?;
        let due = std::mem::take(&mut signal.due);
        due.then(|| signal.clone())
    }

    /// The relay says that it does not know the peer, or that the peer has been `silent`, about this description; `false` if
    /// that is none of ours.
    pub(crate) fn on_unknown(&mut self, cx: &mut Context<'_>, description: &str, silent: bool) -> bool {
        let own = self.rescue.attempt.as_ref().and_then(|attempt| attempt.signal.as_ref());
        if own.is_none_or(|own| own.description != description) {
            return false;
        }
        self.drop_attempt(cx);
        if self.lanes.are_lively() {
            return true; // another path was wanted, not a first one
        }
        if silent {
            self.rescue.unknown_since = None; // as a computer that sleeps: it may be back in time
            return true;
        }
        let since = *self.rescue.unknown_since.get_or_insert(cx.now);
        let patience = match cx.returned {
            Some(returned) if returned + OTHERS_RETURN > cx.now => OTHERS_RETURN,
            _ if self.rescue.closed => Duration::ZERO,
            _ => cx.config.dead_after / 2,
        };
        if since + patience > cx.now {
            return true;
        }
        match self.rescue.closed {
            true => self.end(cx, by_peer()),
            false => self.on_lost(cx, "the relay no longer knows the peer".into()),
        }
        true
    }

    /// The peer does not know the session any more.
    pub(super) fn on_forgotten(&mut self, cx: &mut Context<'_>) -> bool {
        let asked = self.rescue.attempt.is_some();
        if asked && self.lanes.are_lively() {
            self.drop_attempt(cx);
        } else if asked {
            self.on_lost(cx, "the peer has ended the connection, or was started anew".into());
        }
        asked
    }
}

/// The session and the lane that a description names.
pub(crate) fn resumed(sdp: &str) -> Option<(u64, u32)> {
    let words = Words::parse(sdp)?;
    let (session, lane) = words.get(word::RESUME)?.split_once('.')?;
    Some((u64::from_str_radix(session, 16).ok()?, lane.parse().ok()?))
}
