//! The one peer connection of each link, where this is built without the feature `lanes`: the same face, with nothing to
//! choose, to keep or to acknowledge. Pages have it, for the size of what they download.

use super::{Context, Link};
use crate::chunk::{self, Frame, HEADER_BYTES, Header, Splitter};
use crate::platform::{RtcId, SessionDescription};
use bytes::BytesMut;
use std::time::Duration;
use web_time::Instant;

pub(super) const MAY_BE_SEVERAL: bool = false;
pub(super) const WINDOW_BYTES: usize = 0;

/// A frame to be sent; nothing but its bytes is needed.
pub(super) type Piece = BytesMut;

pub(super) fn piece(header: Header, payload: &[u8]) -> Piece {
    chunk::encode(&header, payload)
}

pub(super) fn payload_bytes(piece: &Piece) -> usize {
    piece.len() - HEADER_BYTES
}

pub(super) fn next_piece(splitter: &mut Splitter) -> Option<Piece> {
    splitter.next()
}

/// At most one.
pub(super) struct Lanes {
    only: Option<RtcId>,
    /// By channel; none until they are open.
    in_flight: Vec<usize>,
    /// Bytes that each channel may have in the platform's hands.
    high_water: usize,
    /// Bytes of frames not yet acknowledged to the platform.
    owed: usize,
    silent_since: Option<Instant>,
}

/// Where a frame goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    rtc: RtcId,
    pub(super) channel: u16,
}

impl Lanes {
    pub(super) fn new() -> Self {
        Self {
            only: None,
            in_flight: Vec::new(),
            high_water: 0,
            owed: 0,
            silent_since: None,
        }
    }

    pub(super) fn restart(&mut self, rtc: RtcId) {
        *self = Self::new();
        self.only = Some(rtc);
    }

    pub(super) fn open_first(&mut self, channels: usize, high_water: usize) {
        (self.in_flight, self.high_water) = (vec![0; channels], high_water);
    }

    /// Only the events of the one that there is are the link's.
    pub(super) fn find(&self, _: RtcId) -> Option<usize> {
        Some(0)
    }

    pub(super) fn first(&self) -> Option<RtcId> {
        self.only
    }

    pub(super) fn count(&self) -> usize {
        1
    }

    pub(super) fn are_several(&self) -> bool {
        false
    }

    pub(super) fn are_empty(&self) -> bool {
        true
    }

    pub(super) fn take_owed(&mut self) -> impl Iterator<Item = (RtcId, usize)> {
        let bytes = std::mem::take(&mut self.owed);
        self.only.filter(|_| bytes > 0).map(|rtc| (rtc, bytes)).into_iter()
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = RtcId> {
        self.silent_since = None;
        self.only.take().into_iter()
    }

    pub(super) fn set_silent_since(&mut self, _: usize, since: Option<Instant>) {
        self.silent_since = since;
    }

    pub(super) fn is_silent(&self) -> bool {
        self.silent_since.is_some()
    }

    pub(super) fn received(&mut self, now: Instant, _: usize, bytes: usize, _: bool) -> bool {
        self.owed += bytes;
        self.silent_since = self.silent_since.map(|_| now);
        false
    }

    pub(super) fn next_deadline(&self, dead_after: Duration) -> Option<Instant> {
        Some(self.silent_since? + dead_after)
    }

    /// Where the next chunk can go now: by ProxyStore's rule, by its number.
    pub(super) fn room(&self, _: Instant, seq_id: u32) -> Option<Slot> {
        let channel = (seq_id as usize).checked_rem(self.in_flight.len())?;
        (self.in_flight[channel] < self.high_water).then_some(Slot {
            rtc: self.only?,
            channel: channel as u16,
        })
    }

    pub(super) fn any(&self, _: Instant) -> Option<Slot> {
        let (rtc, channel) = (self.only?, 0);
        Some(Slot { rtc, channel })
    }

    pub(super) fn take_again(&mut self, _: Instant) -> Option<(Slot, Piece, u64)> {
        None
    }

    pub(super) fn write(&mut self, _: Instant, slot: Slot, piece: Piece, _: Option<u64>) -> (RtcId, BytesMut) {
        if let Some(in_flight) = self.in_flight.get_mut(usize::from(slot.channel)) {
            *in_flight += piece.len();
        }
        (slot.rtc, piece)
    }

    pub(super) fn written(&mut self, _: Instant, _: usize, channel: u16, bytes: usize) {
        if let Some(in_flight) = self.in_flight.get_mut(usize::from(channel)) {
            *in_flight = in_flight.saturating_sub(bytes);
        }
    }
}

pub(super) fn is_counted(_: &Header) -> bool {
    false
}

impl Link {
    pub(super) fn adjust_lanes(&mut self, _: &mut Context<'_>) {}

    pub(super) fn lose_lane(&mut self, _: &mut Context<'_>, _: usize, _: &str) -> bool {
        false
    }

    pub(super) fn is_further(&self, _: usize) -> bool {
        false
    }

    pub(super) fn on_lane_description(&mut self, _: &mut Context<'_>, _: usize, _: &SessionDescription) {}

    pub(super) fn on_lane_open(&mut self, _: &mut Context<'_>, _: usize) {}

    pub(super) fn on_lane_word(&mut self, _: &mut Context<'_>, frame: &Frame) {
        tracing::debug!(
            link = self.id.0,
            other = frame.header.stream_id,
            "ignored a control frame"
        );
    }

    pub(super) fn acknowledge(&mut self, _: &mut Context<'_>) {}

    pub(super) fn acknowledge_withheld(&mut self, _: &mut Context<'_>) {}

    pub(super) fn on_lanes_timeout(&mut self, cx: &mut Context<'_>) {
        let dead_at = self.lanes.next_deadline(cx.config.dead_after);
        if dead_at.is_some_and(|at| at <= cx.now) {
            self.on_silence(cx);
        }
    }
}
