//! What flows on a connection that is up, and how it ends in good order.
//!
//! Towards our own kind a close is announced (`bye`) and acknowledged once the peer has everything; both carry the number
//! of messages sent, since a control frame may overtake those on other channels. Only when both sides have everything
//! does the transport end. Towards ProxyStore its flush has to do.

use super::{Context, Link, Phase};
use crate::chunk::{self, Frame, Header, Kind};
use crate::counter::Statistics;
use crate::platform::{RtcCommand, RtcEvent};
use crate::router::{Output, Reply, RequestId};
use crate::{Error, Stage};
use bytes::Bytes;

/// What a control frame says; written in its header's `stream_id`.
const BYE: u32 = 1;
const BYE_ACK: u32 = 2;

impl Link {
    /// Takes what the platform reports of this link's peer connection.
    pub(crate) fn on_event(&mut self, cx: &mut Context<'_>, event: RtcEvent) {
        match event {
            RtcEvent::LocalDescription(local) => self.on_local_description(cx, local),
            RtcEvent::Progress(stage) => self.on_progress(stage),
            RtcEvent::ChannelOpen { channel, label } => self.on_channel_open(cx, channel, &label),
            RtcEvent::Frame { data, binary, .. } => self.on_frame(cx, data, binary),
            RtcEvent::Written { channel, bytes } => {
                self.outbox.written(channel, bytes);
                self.pump(cx);
                self.advance_close(cx);
            }
            RtcEvent::Flushed => self.on_flushed(cx),
            RtcEvent::ChannelClosed { channel } => self.on_channel_closed(cx, channel),
            RtcEvent::Responsive(true) => self.silent_since = None,
            RtcEvent::Responsive(false) => {
                self.silent_since.get_or_insert(cx.now);
            }
            RtcEvent::Failed { stage, reason } => self.on_failed(cx, stage, reason),
            RtcEvent::Closed => self.on_closed(cx),
        }
    }

    /// Gives the platform as many frames as its channels have room for.
    pub(super) fn pump(&mut self, cx: &mut Context<'_>) {
        while let Some(step) = self.outbox.next_step() {
            match step {
                Ok(step) => {
                    self.command(
                        cx,
                        RtcCommand::Write {
                            channel: step.channel,
                            frame: step.frame,
                        },
                    );
                    if let Some(request) = step.completes {
                        cx.out.push_back(Output::Reply(request, Ok(Reply::Done)));
                    }
                }
                Err((request, error)) => cx.out.push_back(Output::Reply(request, Err(error))),
            }
        }
    }

    fn on_frame(&mut self, cx: &mut Context<'_>, data: Bytes, binary: bool) {
        let size = data.len();
        let frame = if binary {
            Frame::decode(data).map_err(|e| e.to_string())
        } else {
            Err("a text frame".into())
        };
        let result = match frame {
            Ok(frame) if frame.header.kind == Kind::Control => {
                self.inbox.control(size);
                self.on_control(&frame);
                Ok(Vec::new())
            }
            Ok(frame) => self.inbox.frame(cx.now, frame, size),
            Err(reason) => self.inbox.drop_frame(size, reason),
        };
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
        let bytes = self.inbox.credit(cx.now, self.close.said && self.agreed.bye);
        if bytes > 0 {
            self.command(cx, RtcCommand::Consumed { bytes });
        }
    }

    fn on_control(&mut self, frame: &Frame) {
        match (frame.header.stream_id, frame.payload.as_ref().try_into()) {
            (BYE, Ok(count)) => self.close.heard = Some(u32::from_be_bytes(count)),
            (BYE_ACK, Ok(count)) if self.close.said => self.close.acknowledged = Some(u32::from_be_bytes(count)),
            // A later version may say more.
            (other, _) => tracing::debug!(link = self.id.0, other, "ignored a control frame"),
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
        if !matches!(self.phase, Phase::Open | Phase::Closing) {
            return;
        }
        if self.close.asked && !self.close.said && self.outbox.is_empty() {
            self.phase = Phase::Closing;
            self.close.said = true;
            match self.agreed.bye {
                true => self.control(cx, BYE, &self.outbox.next_stream_id().to_be_bytes()),
                false => self.command(cx, RtcCommand::Flush),
            }
        }
        let all_heard = self.close.heard.is_some_and(|count| self.inbox.has_all_before(count));
        // Asked to close as well, this side first says everything it has to say.
        if all_heard && !self.close.answered && (self.close.said || !self.close.asked) {
            self.close.answered = true;
            self.hear_out(cx);
            self.control(cx, BYE_ACK, &self.outbox.next_stream_id().to_be_bytes());
        }
        let settled = self
            .close
            .acknowledged
            .is_some_and(|count| self.inbox.has_all_before(count));
        if settled && !self.close.flushing {
            self.close.flushing = true;
            self.command(cx, RtcCommand::Flush);
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

    fn control(&mut self, cx: &mut Context<'_>, code: u32, payload: &[u8]) {
        let header = Header {
            kind: Kind::Control,
            stream_id: code,
            seq_id: 0,
            seq_len: 1,
        };
        let frame = chunk::encode(&header, payload);
        self.outbox.wrote(0, frame.len());
        self.command(cx, RtcCommand::Write { channel: 0, frame });
    }

    fn on_flushed(&mut self, cx: &mut Context<'_>) {
        if self.close.flushing || (self.close.said && !self.agreed.bye) {
            self.close.flushed = true;
            self.end(cx, Error::closed("this side closed the connection"));
        }
    }

    fn on_channel_closed(&mut self, cx: &mut Context<'_>, channel: u16) {
        tracing::debug!(link = self.id.0, channel, "the peer closed a data channel");
        self.close.channels += 1;
        // Others may still have messages to deliver.
        if self.close.channels < self.open_channels.len() {
            if self.phase == Phase::Open {
                self.hear_out(cx);
            }
            return;
        }
        self.on_closed(cx);
    }

    fn on_closed(&mut self, cx: &mut Context<'_>) {
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
        match self.phase {
            // All that is left to do was to hear the peer out.
            Phase::Closing if self.close.answered && !self.close.asked => self.end(cx, by_peer()),
            Phase::Open | Phase::Closing => self.end(cx, Error::ConnectionLost { reason }),
            _ => {
                self.on_progress(stage);
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
        statistics
    }
}

pub(super) fn by_peer() -> Error {
    Error::closed("the peer closed the connection")
}
