//! What flows on a connection that is up, and how it ends in good order.
//!
//! Towards our own kind a close is announced (`bye`) and acknowledged once the peer has everything; both carry the number
//! of messages sent, since a control frame may overtake those on other channels. Only when both sides have everything
//! does the transport end. Towards ProxyStore its flush has to do.

use super::lanes::{Slot, is_counted};
use super::{Context, Link, Phase};
use crate::chunk::{Frame, HEADER_BYTES, Header, Kind};
use crate::counter::Statistics;
use crate::error::Period;
use crate::output::Output;
use crate::platform::{RtcCommand, RtcEvent, RtcId};
use crate::request::{Reply, RequestId};
use crate::wire::control::{CLOSE, CLOSE_ACK, CREDIT};
use crate::{Error, Stage, printable};
use bytes::Bytes;
use std::time::Duration;
use web_time::Instant;

impl Link {
    /// Takes what the platform reports of one of this link's peer connections.
    pub(crate) fn on_event(&mut self, cx: &mut Context<'_>, rtc: RtcId, event: RtcEvent) {
        let Some(at) = self.lanes.find(rtc) else { return };
        match event {
            RtcEvent::LocalDescription(local) if self.is_attempt(at) => self.on_attempt_description(cx, &local),
            RtcEvent::ChannelOpen { .. } if self.is_attempt(at) => self.on_attempt_open(cx, at),
            RtcEvent::LocalDescription(local) if self.is_further(at) => self.on_lane_description(cx, at, &local),
            RtcEvent::ChannelOpen { channel, .. } if self.is_further(at) => match channel {
                0 => self.on_lane_open(cx, at),
                _ => self.end(cx, Error::PeerMisbehaved("a lane has one data channel".into())),
            },
            RtcEvent::Path(path) if self.is_main(at) => cx.out.push_back(Output::Path(self.id, path)),
            RtcEvent::Path(_) => {}
            RtcEvent::Progress(_) | RtcEvent::ServerFailed { .. } if self.is_further(at) => {}
            RtcEvent::ServerFailed { url, reason } => self.on_server_failed(&url, &reason),
            RtcEvent::LocalDescription(local) => self.on_local_description(cx, local),
            RtcEvent::Progress(stage) => self.on_progress(stage),
            RtcEvent::ChannelOpen { channel, label } => self.on_channel_open(cx, channel, &label),
            RtcEvent::Frame { channel, data, binary } => self.on_frame(cx, at, channel, data, binary),
            RtcEvent::Written { channel, bytes } => {
                self.lanes.written(cx.now, at, channel, bytes);
                self.pump(cx);
                self.advance_close(cx);
            }
            RtcEvent::Flushed => self.on_flushed(cx),
            RtcEvent::ChannelClosed { channel } => self.on_channel_closed(cx, at, channel),
            RtcEvent::Silent(time) => {
                self.lanes.set_silent_since(at, Some(before(cx.now, time)));
                self.look_after_paths(cx);
            }
            RtcEvent::Responsive => {
                self.lanes.set_silent_since(at, None);
                self.look_after_paths(cx);
            }
            RtcEvent::Moved => self.on_moved(cx),
            RtcEvent::Failed { stage, reason } => {
                if !self.lose_lane(cx, at, &reason) {
                    self.on_failed(cx, stage, reason);
                }
            }
            RtcEvent::Closed => self.on_closed(cx, at),
        }
    }

    /// Gives the platform as many frames as the lanes have room for.
    pub(super) fn pump(&mut self, cx: &mut Context<'_>) {
        if self.is_broken() {
            return;
        }
        self.adjust_lanes(cx);
        while let Some((slot, frame, number)) = self.lanes.take_again(cx.now) {
            self.write(cx, slot, frame, Some(number));
        }
        while let Some(step) = self.outbox.next_step(|seq_id| {
            let slot = self.lanes.room(cx.now, seq_id, cx.window);
            slot.filter(|_| self.credit.may_send())
        }) {
            match step {
                Ok(step) => {
                    self.credit.sent(HEADER_BYTES + step.frame.payload.len());
                    self.write(cx, step.slot, step.frame, None);
                    if let Some(request) = step.completes {
                        cx.out.push_back(Output::Reply(request, Ok(Reply::Done)));
                    }
                }
                Err((request, error)) => cx.out.push_back(Output::Reply(request, Err(error))),
            }
        }
    }

    fn write(&mut self, cx: &mut Context<'_>, slot: Slot, frame: Frame, again: Option<u64>) {
        let channel = slot.channel;
        let (rtc, frame) = self.lanes.write(cx.now, slot, frame, again);
        cx.command(rtc, RtcCommand::Write { channel, frame });
    }

    fn on_frame(&mut self, cx: &mut Context<'_>, at: usize, channel: u16, data: Bytes, binary: bool) {
        let seal = self.check_seal(at, channel, &data);
        if let Err(error) = seal.and_then(|()| self.check_proof(at, &data)) {
            return self.break_off(cx, error);
        }
        if self.is_broken() {
            return;
        }
        let size = data.len();
        let frame = if binary {
            Frame::decode(data).map_err(|e| e.to_string())
        } else {
            Err("a text frame".into())
        };
        let counted = frame.as_ref().is_ok_and(|frame| is_counted(&frame.header));
        let acknowledge = self.lanes.received(cx.now, at, size, counted);
        let result = match frame {
            Ok(frame) if frame.header.kind == Kind::Control => {
                self.on_control(cx, &frame);
                Ok(Vec::new())
            }
            Ok(frame) if self.inbox.has(&frame.header) => Ok(Vec::new()),
            _ if !self.credit.received(size) => {
                let text = "it sends more than it was granted".into();
                Err(Error::PeerMisbehaved(text))
            }
            Ok(frame) => self.inbox.frame(cx.now, frame),
            Err(reason) => self.inbox.drop_frame(reason),
        };
        if acknowledge {
            self.acknowledge(cx);
        }
        match result {
            Ok(messages) => {
                let id = self.id;
                cx.out
                    .extend(messages.into_iter().map(|message| Output::Deliver(id, message)));
                self.pay_credit(cx);
                self.advance_close(cx);
            }
            Err(error) => self.end(cx, error),
        }
    }

    /// The user has taken messages of this weight.
    pub(crate) fn consumed(&mut self, cx: &mut Context<'_>, bytes: usize) {
        self.inbox.consumed(bytes);
        self.pay_credit(cx);
    }

    fn pay_credit(&mut self, cx: &mut Context<'_>) {
        let closing = self.close.said && self.agreed.close;
        let behind = self.inbox.is_behind(cx.now, closing);
        if !behind {
            self.acknowledge_withheld(cx);
        }
        // Over several lanes the peer waits for acknowledgements: its own must not wait behind what nobody reads.
        let several = self.lanes.keeps_all() || self.lanes.count() > 1 || (closing && self.lanes.are_several());
        let waits = (behind && !several) || self.inbox.is_overrun(closing);
        if waits && !self.credit.counts() {
            return;
        }
        for (rtc, bytes) in self.lanes.take_owed() {
            cx.command(rtc, RtcCommand::Consumed { bytes });
        }
        if matches!(self.phase, Phase::Open | Phase::Closing)
            && let Some(sum) = self.credit.grant(self.inbox.room(closing))
        {
            // As an acknowledgement: one that is lost with its lane is said again only once that is known.
            match self.lanes.liveliest(cx.now) {
                Some(slot) => self.control_on(cx, slot, CREDIT, &sum.to_be_bytes()),
                None => self.control(cx, CREDIT, &sum.to_be_bytes()),
            }
        }
    }

    fn on_control(&mut self, cx: &mut Context<'_>, frame: &Frame) {
        if let (CREDIT, Ok(sum)) = (frame.header.stream_id, frame.payload.as_ref().try_into()) {
            self.credit.allow(u64::from_be_bytes(sum));
            return self.pump(cx);
        }
        match (frame.header.stream_id, frame.payload.as_ref().try_into()) {
            (CLOSE, Ok(count)) => self.close.heard = Some(u32::from_be_bytes(count)),
            (CLOSE_ACK, Ok(count)) if self.close.said => {
                let count = u32::from_be_bytes(count);
                self.close.acknowledged = Some(count);
                self.acknowledge(cx); // the peer waits for nothing else
                if self.lanes.are_several() {
                    // It may have overtaken the peer's own goodbye, and nothing follows it.
                    self.close.heard.get_or_insert(count);
                }
            }
            (CLOSE_ACK, Ok(_)) => self.acknowledge(cx), // its last word: it waits for nothing else
            // About lanes, or what a later version may say.
            _ => self.on_lane_word(cx, frame),
        }
    }

    /// Closes in good order: everything sent before is delivered first. The request is answered at the end.
    pub(crate) fn close(&mut self, cx: &mut Context<'_>, request: Option<RequestId>) {
        if self.phase == Phase::Ended {
            return request
                .into_iter()
                .for_each(|request| cx.reply(request, Ok(Reply::Done)));
        }
        self.close.waiting.extend(request);
        if self.is_closing() {
            return;
        }
        let hopeless = self.phase == Phase::New && self.by_hand;
        if hopeless || (self.phase != Phase::Open && self.outbox.is_empty()) {
            return self.end(cx, Error::closed("this side closed the connection"));
        }
        self.close.asked = true;
        self.close.deadline.get_or_insert(cx.now + cx.config.close_timeout);
        self.advance_close(cx);
        self.pay_credit(cx);
    }

    /// Takes the close as far as it can go now.
    pub(super) fn advance_close(&mut self, cx: &mut Context<'_>) {
        if !matches!(self.phase, Phase::Open | Phase::Closing) || self.is_broken() {
            return;
        }
        if self.close.asked && !self.close.said && self.outbox.is_empty() {
            self.phase = Phase::Closing;
            self.close.said = true;
            match self.agreed.close {
                true => self.control(cx, CLOSE, &self.outbox.next_stream_id().to_be_bytes()),
                false => self.command(cx, RtcCommand::Flush),
            }
        }
        let all_heard = self.close.heard.is_some_and(|count| self.inbox.has_all_before(count));
        // Asked to close as well, this side first says everything it has to say.
        if all_heard && !self.close.answered && (self.close.said || !self.close.asked) {
            self.close.answered = true;
            self.hear_out(cx);
            self.acknowledge(cx); // the peer waits for nothing else
            self.control(cx, CLOSE_ACK, &self.outbox.next_stream_id().to_be_bytes());
        }
        self.leave_when_settled(cx);
    }

    /// Each side has everything, as both know: what is left is that the peer hears this side's last word.
    fn leave_when_settled(&mut self, cx: &mut Context<'_>) {
        if !self.is_settled() || self.close.flushing {
            return;
        }
        let kept = self.lanes.keeps_all() || self.lanes.count() > 1;
        if kept && !self.lanes.are_empty() {
            return; // it counts as heard once all lanes are acknowledged
        }
        match self.lanes.count() {
            1 if self.lanes.are_open() => {
                self.close.flushing = true;
                self.acknowledge(cx);
                self.command(cx, RtcCommand::Flush);
            }
            _ => {
                self.close.flushed = true;
                self.end(cx, Error::closed("this side closed the connection"));
            }
        }
    }

    /// The peer says goodbye: nothing more can be sent to it, and it will end the transport soon.
    fn hear_out(&mut self, cx: &mut Context<'_>) {
        if self.close.asked {
            return;
        }
        self.phase = Phase::Closing;
        self.close.deadline = Some(cx.now + cx.config.close_timeout);
        let error = by_peer();
        let unsent = self.outbox.take_unsent().into_iter().map(|outgoing| outgoing.request);
        for request in self.outbox.take_begun().into_iter().chain(unsent) {
            cx.out.push_back(Output::Reply(request, Err(error.clone())));
        }
    }

    pub(super) fn control(&mut self, cx: &mut Context<'_>, code: u32, payload: &[u8]) {
        match self.lanes.any(cx.now) {
            Some(slot) => self.control_on(cx, slot, code, payload),
            None => self.lanes.postpone_control(cx.now, control_frame(code, payload)),
        }
    }

    pub(super) fn control_on(&mut self, cx: &mut Context<'_>, slot: Slot, code: u32, payload: &[u8]) {
        self.write(cx, slot, control_frame(code, payload), None);
    }

    fn on_flushed(&mut self, cx: &mut Context<'_>) {
        if self.is_broken() || self.close.flushing || (self.close.said && !self.agreed.close) {
            self.close.flushed = true;
            self.end(cx, Error::closed("this side closed the connection"));
        }
    }

    fn on_channel_closed(&mut self, cx: &mut Context<'_>, at: usize, channel: u16) {
        tracing::debug!(link = self.id.0, channel, "the peer closed a data channel");
        if self.lanes.keeps_all() || self.lanes.count() > 1 {
            return self.on_closed(cx, at);
        }
        self.close.channels += 1;
        // Others may still have messages to deliver.
        if self.close.channels < self.open_channels.len() {
            if self.phase == Phase::Open {
                self.hear_out(cx);
            }
            return;
        }
        self.on_closed(cx, at);
    }

    fn on_closed(&mut self, cx: &mut Context<'_>, at: usize) {
        // After a goodbye that was answered and heard it is the end of all lanes. Where a session is kept, who leaves has
        // acknowledged the last word; otherwise whoever ends the last lane has everything.
        let said = self.close.answered || self.is_settled();
        let is_over = said && (self.lanes.are_empty() || (self.lanes.count() == 1 && !self.lanes.keeps_all()));
        self.on_lane_closed();
        if !is_over && self.lose_lane(cx, at, "the peer closed it") {
            return;
        }
        match self.phase {
            Phase::Open | Phase::Closing => self.end(cx, by_peer()),
            _ => {
                let reason = "the peer closed the connection during set-up".into();
                self.end(
                    cx,
                    Error::SetupFailed {
                        stage: self.stage_now(),
                        reason,
                    },
                );
            }
        }
    }

    fn on_failed(&mut self, cx: &mut Context<'_>, stage: Stage, reason: String) {
        let reason = printable::reason(&reason);
        match self.phase {
            Phase::Open | Phase::Closing => self.on_lost(cx, reason),
            _ => {
                self.on_progress(stage);
                let stage = self.stage_now();
                let reason = self.with_servers(stage, reason);
                self.end(cx, Error::SetupFailed { stage, reason });
            }
        }
    }

    /// A peer that is silent for `dead_after` is dead. The platform reports silence long before that.
    pub(super) fn on_silence(&mut self, cx: &mut Context<'_>) {
        let reason = format!("the peer has been silent for {}", Period(cx.config.dead_after));
        self.on_failed(cx, self.stage, reason);
    }

    /// The transport has broken. That is no fault where all that was left was to hear the peer out, or to know that it
    /// has heard.
    pub(super) fn on_lost(&mut self, cx: &mut Context<'_>, reason: String) {
        let error = match (self.close.asked, self.is_settled()) {
            (false, _) if self.close.answered => by_peer(),
            (true, true) => Error::closed("this side closed the connection"),
            _ => Error::ConnectionLost { reason },
        };
        self.end(cx, error);
    }

    /// Whether each side has everything, as both know.
    fn is_settled(&self) -> bool {
        let count = self.close.acknowledged;
        count.is_some_and(|count| self.inbox.has_all_before(count))
    }

    /// What `close` answers when the connection ends with this error.
    pub(super) fn close_result(&self, error: &Error) -> Result<Reply, Error> {
        let nothing_was_open = !self.close.asked;
        if self.close.acknowledged.is_some() || self.close.flushed || nothing_was_open {
            return Ok(Reply::Done);
        }
        match error {
            Error::Closed { .. } => {
                let reason = "the peer closed before it had taken everything".into();
                Err(Error::ConnectionLost { reason })
            }
            error => Err(error.clone()),
        }
    }

    /// The counts so far.
    pub(crate) fn statistics(&self) -> Statistics {
        let mut statistics = self.inbox.statistics();
        (statistics.messages_sent, statistics.bytes_sent) = self.outbox.sent();
        statistics.lanes = self.lanes.count();
        statistics.quic = self.agreed.over_quic;
        statistics
    }
}

fn control_frame(code: u32, payload: &[u8]) -> Frame {
    let header = Header {
        kind: Kind::Control,
        stream_id: code,
        seq_id: 0,
        seq_len: 1,
    };
    let payload = Bytes::copy_from_slice(payload);
    Frame { header, payload }
}

/// So long before that, or as far back as the clock goes.
fn before(now: Instant, time: Duration) -> Instant {
    now.checked_sub(time).unwrap_or(now)
}

pub(super) fn by_peer() -> Error {
    Error::closed("the peer closed the connection")
}
