//! Opening lanes, closing them, losing them, and what the peers say about them, in the control frames whose codes begin
//! with `LANE_` ([`control`](crate::wire::control)). A lane's number is not used again.

use super::super::{Context, Link, Phase};
use super::{MAX_FAILURES, PAUSE, THROUGH_RELAY};
use crate::chunk::{Frame, Header, Kind};
use crate::config::MAX_LANES;
use crate::description::{self, Words};
use crate::platform::{RtcCommand, SdpType, SessionDescription};
use crate::wire::control::{CLOSE, CLOSE_ACK, CREDIT, LANE_ACK, LANE_ANSWER, LANE_ASK, LANE_CHECK, LANE_OFFER};
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Whether both sides count a frame: it is sent again if it is lost.
pub(in crate::link) fn is_counted(header: &Header) -> bool {
    let words = [CLOSE, CLOSE_ACK, LANE_ASK, LANE_OFFER, LANE_ANSWER];
    header.kind != Kind::Control || words.contains(&header.stream_id)
}

impl Link {
    /// The most lanes this link may have.
    fn max_lanes(&self) -> usize {
        // A control frame's cumulative count needs one ordered channel.
        match self.open_channels.len() {
            1 => self.agreed.lanes,
            _ => 1,
        }
    }

    /// Opens and closes lanes, or asks the offerer to, until there are as many as are worth it.
    pub(in crate::link) fn adjust_lanes(&mut self, cx: &mut Context<'_>) {
        let most = self.max_lanes();
        if self.phase != Phase::Open || self.close.asked || (most == 1 && self.lanes.count() <= 1) {
            return;
        }
        let load = self.lanes.load(cx.now, self.outbox.queued_bytes());
        let least = usize::from(*cx.config.lanes.start()).min(most);
        let wanted = self.lanes.demand.look(cx.now, &(least..=most), &load);
        if self.is_answerer() {
            return self.ask_for_lanes(cx, wanted);
        }
        let wanted = wanted.max(self.lanes.asked.0).min(most);
        while self.lanes.all.len() < wanted && self.lanes.may_open() && !is_crowded(cx) {
            self.open_lane(cx);
        }
        while self.lanes.all.len() > wanted
            && let Some(at) = self.lanes.spare()
        {
            self.drop_lane(cx, at);
        }
    }

    fn ask_for_lanes(&mut self, cx: &mut Context<'_>, wanted: usize) {
        let (asked, count) = self.lanes.asked;
        if asked != wanted {
            self.lanes.asked = (wanted, count + 1);
            let mut payload = (count + 1).to_be_bytes().to_vec();
            payload.push(wanted as u8);
            self.control(cx, LANE_ASK, &payload);
        }
    }

    fn open_lane(&mut self, cx: &mut Context<'_>) {
        let rtc = cx.open_rtc(self.id);
        let number = self.lanes.next_number;
        let lane = self.lanes.add(rtc, number, Some(cx.now + cx.config.connect_timeout));
        lane.awaits_answer = true;
        // Its making may take long: the peer learns at once that it is to acknowledge.
        self.lanes.ack_due = Some(cx.now);
        let (channels, ordered) = (1, true);
        cx.command(rtc, RtcCommand::Offer { channels, ordered });
    }

    /// Lets go of a lane; what it had not delivered goes over the others.
    pub(in crate::link) fn drop_lane(&mut self, cx: &mut Context<'_>, at: usize) {
        let lane = self.lanes.remove(at);
        self.forget_attempt(lane.rtc);
        self.close.flushing = false; // it was over this one
        tracing::debug!(
            link = self.id.0,
            lane = lane.number,
            left = self.lanes.count(),
            "a lane has ended"
        );
        cx.close_rtc(lane.rtc);
        self.credit.doubt();
        self.lanes.pause = Some(cx.now + PAUSE);
        if self.lanes.acknowledging {
            // The last acknowledgement may have been lost with it.
            self.lanes.ack_due = Some(cx.now);
        }
    }

    /// A lane is of no further use. Returns whether the link lives on without it.
    pub(in crate::link) fn lose_lane(&mut self, cx: &mut Context<'_>, at: usize, reason: &str) -> bool {
        if !self.lanes.can_lose(at) {
            return false;
        }
        tracing::debug!(link = self.id.0, reason, "lost a lane");
        // Those that the peer opens it also closes.
        let is_failure = !self.is_attempt(at) && (!self.is_answerer() || !self.lanes.all[at].open);
        self.lanes.failures += usize::from(is_failure);
        self.drop_lane(cx, at);
        self.look_after_paths(cx);
        self.pump(cx);
        self.advance_close(cx);
        true
    }

    /// Whether an event of this lane is about its own set-up, not the link's.
    pub(in crate::link) fn is_further(&self, at: usize) -> bool {
        self.lanes.all[at].number > 0
    }

    /// Whether this lane is, or may become, what the connection goes over alone: the first one, or one made through the relay.
    pub(in crate::link) fn is_main(&self, at: usize) -> bool {
        let number = self.lanes.all[at].number;
        number == 0 || number & THROUGH_RELAY != 0
    }

    /// The engine has described a further lane: the peer is told over those that are open.
    pub(in crate::link) fn on_lane_description(&mut self, cx: &mut Context<'_>, at: usize, local: &SessionDescription) {
        let mut payload = self.lanes.all[at].number.to_be_bytes().to_vec();
        payload.extend(description::prepare_local(&local.sdp, &Words::new()).into_bytes());
        let code = match local.sdp_type {
            SdpType::Offer => LANE_OFFER,
            SdpType::Answer => LANE_ANSWER,
        };
        self.control(cx, code, &payload);
    }

    pub(in crate::link) fn on_lane_open(&mut self, cx: &mut Context<'_>, at: usize) {
        let lane = &mut self.lanes.all[at];
        tracing::debug!(link = self.id.0, lane = lane.number, "a lane is open");
        (lane.open, lane.deadline) = (true, None);
        if self.is_answerer() {
            self.lanes.failures = 0;
        }
        self.pump(cx);
    }

    /// Takes a control frame about lanes.
    pub(in crate::link) fn on_lane_word(&mut self, cx: &mut Context<'_>, frame: &Frame) {
        let (code, mut payload) = (frame.header.stream_id, frame.payload.clone());
        if self.max_lanes() == 1 && !(self.lanes.keeps && [LANE_ACK, LANE_CHECK].contains(&code)) {
            return;
        }
        match code {
            LANE_ASK if !self.is_answerer() && payload.len() >= 5 => {
                let count = payload.get_u32();
                // One that was sent again may come after a later one.
                if count > self.lanes.asked.1 {
                    self.lanes.asked = (usize::from(payload.get_u8()), count);
                    self.pump(cx);
                }
            }
            LANE_OFFER if self.is_answerer() => self.answer_lane(cx, payload),
            LANE_ANSWER if !self.is_answerer() => self.complete_lane(cx, payload),
            LANE_ACK => self.on_lane_acks(cx, payload),
            LANE_CHECK => self.lanes.ack_due = Some(cx.now),
            other => tracing::debug!(link = self.id.0, other, "ignored a control frame"),
        }
    }

    fn answer_lane(&mut self, cx: &mut Context<'_>, payload: Bytes) {
        let Some((number, offer)) = numbered_sdp(payload) else {
            return;
        };
        // One that the peer has closed may still be there.
        let too_many = self.lanes.count() >= 2 * self.max_lanes();
        let known = number == 0 || self.lanes.all.iter().any(|lane| lane.number == number);
        let futile = self.lanes.failures >= MAX_FAILURES;
        if self.phase != Phase::Open || known || too_many || futile || is_crowded(cx) {
            return tracing::debug!(link = self.id.0, number, "ignored the offer of a lane");
        }
        let rtc = cx.open_rtc(self.id);
        self.lanes.add(rtc, number, Some(cx.now + cx.config.connect_timeout));
        // Also of what has come so far: until then the first lane cannot be done without.
        self.lanes.ack_due = Some(cx.now);
        let to = self.agreed.to_lanes();
        cx.command(rtc, RtcCommand::Answer { offer, to });
    }

    fn complete_lane(&mut self, cx: &mut Context<'_>, payload: Bytes) {
        let Some((number, answer)) = numbered_sdp(payload) else {
            return;
        };
        let to = self.agreed.to_lanes();
        let mut lanes = self.lanes.all.iter_mut();
        if let Some(lane) = lanes.find(|lane| lane.number == number && lane.awaits_answer) {
            lane.awaits_answer = false;
            cx.command(lane.rtc, RtcCommand::Complete { answer, to });
        }
    }

    /// Tells the peer what has come; not while the user is behind, so that it waits.
    pub(in crate::link) fn acknowledge(&mut self, cx: &mut Context<'_>) {
        (self.lanes.unacknowledged, self.lanes.ack_due) = (0, None);
        if !self.lanes.acknowledging {
            return;
        }
        let goodbye = self.close.heard.is_some();
        self.lanes.withheld = !goodbye && self.inbox.is_behind(cx.now, self.close.said);
        if self.lanes.withheld {
            return;
        }
        let mut payload = BytesMut::new();
        for lane in &self.lanes.all {
            payload.put_u32(lane.number);
            payload.put_u64(lane.ledger.received_count());
        }
        let Some(slot) = self.lanes.liveliest(cx.now) else {
            return;
        };
        self.control_on(cx, slot, LANE_ACK, &payload);
        if let Some(sum) = self.credit.again() {
            self.control_on(cx, slot, CREDIT, &sum.to_be_bytes());
        }
    }

    /// The user has caught up.
    pub(in crate::link) fn acknowledge_withheld(&mut self, cx: &mut Context<'_>) {
        if std::mem::take(&mut self.lanes.withheld) {
            self.acknowledge(cx);
        }
    }

    fn on_lane_acks(&mut self, cx: &mut Context<'_>, mut payload: Bytes) {
        if !std::mem::replace(&mut self.lanes.acknowledging, true) {
            self.lanes.ack_due = Some(cx.now);
        }
        while payload.len() >= 12 {
            let (number, count) = (payload.get_u32(), payload.get_u64());
            self.lanes.acknowledged(cx.now, number, count);
        }
        self.pump(cx);
        self.advance_close(cx);
    }

    /// What is due of the lanes.
    pub(in crate::link) fn on_lanes_timeout(&mut self, cx: &mut Context<'_>) {
        let (now, dead_after) = (cx.now, cx.config.dead_after);
        let lanes = &self.lanes;
        if lanes.ack_due.is_some_and(|at| at <= now) {
            self.acknowledge(cx);
        }
        let is_over = |lane: &super::Lane| {
            lane.deadline.is_some_and(|at| at <= now)
                || lane.silent_since.is_some_and(|since| since + dead_after <= now)
        };
        while let Some(at) = self.lanes.all.iter().position(is_over) {
            if !self.lose_lane(cx, at, "silent, or not up in time") {
                return self.on_silence(cx);
            }
        }
        let looked = self.lanes.look(now);
        if looked && self.lanes.all_stand_still(now) {
            self.check_lanes(cx);
        }
        let paused = self.lanes.pause.take_if(|until| *until <= now).is_some();
        if self.lanes.demand.expire(now) || looked || paused {
            self.pump(cx);
        }
    }

    /// An acknowledgement may be stuck in a lane that stands still, and then those that live seem to as well.
    fn check_lanes(&mut self, cx: &mut Context<'_>) {
        for slot in self.lanes.slots() {
            self.control_on(cx, slot, LANE_CHECK, &[]);
        }
    }
}

/// Whether all connections together have so many lanes that further ones would take the place of callers.
fn is_crowded(cx: &Context<'_>) -> bool {
    cx.by_rtc.len() >= cx.config.max_connections.max(MAX_LANES.into())
}

/// A lane's number, and a description of it.
fn numbered_sdp(mut payload: Bytes) -> Option<(u32, String)> {
    let number = payload.try_get_u32().ok()?;
    let sdp = std::str::from_utf8(&payload).ok()?;
    Some((number, description::prepare_remote(sdp)))
}
