//! Which lane takes the next frame, and what is sent again.

use super::demand::Load;
use super::{LIKELY_LATENCY, Lane, Lanes, Slot, is_counted};
use crate::chunk::{self, Frame};
use crate::platform::RtcId;
use bytes::BytesMut;
use std::time::Duration;
use web_time::Instant;

/// Bytes that a lane may have on their way and still take what stands still on others.
const SPARE_BYTES: usize = 256 << 10;
/// After this long without anything to write a transfer is another one.
const PAUSE: Duration = Duration::from_millis(100);
/// Frames of fewer bytes are bound by the work for each, which is the same with more lanes.
const LARGE_FRAME_BYTES: usize = 4096;
/// A message of so many is larger than what is kept of it by far.
const MANY_CHUNKS: u32 = 256;
/// Frames that are not acknowledged: each may be the one that a message of the peer's 4096 incomplete ones lacks.
const WINDOW_FRAMES: usize = 4000;

impl Lanes {
    /// Where the next chunk can go now, while no more than the window is kept. Without further lanes ProxyStore's rule holds:
    /// by its number.
    pub(in crate::link) fn room(&self, now: Instant, seq_id: u32, window: usize) -> Option<Slot> {
        if let ([only], false) = (&self.all[..], self.keeps) {
            let channel = seq_id as usize % only.in_flight.len();
            let has_room = only.open && only.in_flight[channel] < self.high_water;
            return has_room.then_some(Slot {
                lane: 0,
                channel: channel as u16,
            });
        }
        let may_send = self.again.is_empty() && self.log.len() < WINDOW_FRAMES && self.log.span() < window as u64;
        may_send.then(|| self.least_loaded(now, self.high_water)).flatten()
    }

    /// The open lane that has the least to deliver, of those with room; one that is silent, or stands still, only where all do.
    fn least_loaded(&self, now: Instant, high_water: usize) -> Option<Slot> {
        let lanes = self.all.iter().enumerate();
        let free = lanes.filter(|(_, lane)| lane.open && lane.in_flight[0] < high_water);
        let load = |lane: &Lane| lane.ledger.bytes().max(lane.in_flight[0]);
        let doubt = |lane: &Lane| (lane.silent_since.is_some(), self.stands_still(now, lane));
        let (lane, _) = free.min_by_key(|(_, lane)| (doubt(lane), load(lane)))?;
        Some(Slot { lane, channel: 0 })
    }

    fn stands_still(&self, now: Instant, lane: &Lane) -> bool {
        lane.ledger.since().is_some_and(|since| since + self.patience() <= now)
    }

    pub(super) fn all_stand_still(&self, now: Instant) -> bool {
        let mut open = self.all.iter().filter(|lane| lane.open);
        self.all.len() > 1 && open.all(|lane| self.stands_still(now, lane))
    }

    /// All that can be written to.
    pub(super) fn slots(&self) -> Vec<Slot> {
        let open = self.all.iter().enumerate().filter(|(_, lane)| lane.open);
        open.map(|(lane, _)| Slot { lane, channel: 0 }).collect()
    }

    /// A frame on its way for longer is held up.
    fn patience(&self) -> Duration {
        self.latency * 2 + LIKELY_LATENCY
    }

    /// Where a word to the peer goes, room or not.
    pub(in crate::link) fn any(&self, now: Instant) -> Option<Slot> {
        self.least_loaded(now, usize::MAX)
    }

    /// Where an acknowledgement goes: over the lane that is alive for sure, since it would not be sent again.
    pub(in crate::link) fn liveliest(&self, now: Instant) -> Option<Slot> {
        let latest = |lane: &Lane| lane.open && lane.silent_since.is_none() && lane.number == self.latest;
        let slot = self.all.iter().position(latest).map(|lane| Slot { lane, channel: 0 });
        slot.or_else(|| self.any(now))
    }

    /// A frame of a dead lane, or one that is held up by another, if it can be sent now; and its number.
    pub(in crate::link) fn take_again(&mut self, now: Instant) -> Option<(Slot, Frame, u64)> {
        while let Some(number) = self.again.front().copied() {
            let slot = self.least_loaded(now, self.high_water)?;
            self.again.pop_front();
            let frame = match self.all.len() {
                1 if !self.keeps => self.log.remove(number),
                _ => self.log.touch(now, number),
            };
            if let Some(frame) = frame {
                return Some((slot, frame, number));
            }
        }
        self.take_held_up(now)
    }

    fn take_held_up(&mut self, now: Instant) -> Option<(Slot, Frame, u64)> {
        if !self.looking || self.all.len() < 2 {
            return None;
        }
        let slot = self.least_loaded(now, SPARE_BYTES)?;
        let lane = &self.all[slot.lane];
        if lane.ledger.bytes() >= SPARE_BYTES || self.stands_still(now, lane) {
            return None;
        }
        let number = self.log.overdue(now.checked_sub(self.patience())?);
        self.looking = number.is_some();
        Some((slot, self.log.touch(now, number?)?, number?))
    }

    /// Accounts for a frame that is given to the platform; returns the lane's peer connection, and the bytes. One that is
    /// sent `again` has the number of [`Lanes::take_again`].
    pub(in crate::link) fn write(
        &mut self,
        now: Instant,
        slot: Slot,
        frame: Frame,
        again: Option<u64>,
    ) -> (RtcId, BytesMut) {
        let encoded = chunk::encode(&frame.header, &frame.payload);
        let bytes = encoded.len();
        if bytes >= LARGE_FRAME_BYTES {
            self.end_pause(now);
            self.busy.0 = self.busy.0.saturating_add(bytes);
            self.busy.1.get_or_insert(now);
            self.idle_since = None;
        }
        let (several, look_due) = (self.all.len() > 1, now + self.patience());
        let keeps = several || self.keeps;
        let lane = &mut self.all[slot.lane];
        lane.in_flight[usize::from(slot.channel)] += bytes;
        if is_counted(&frame.header) {
            lane.ledger.wrote();
            if keeps {
                let (header, bytes) = (frame.header, frame.payload.len());
                let number = again.unwrap_or_else(|| self.log.push(now, frame));
                lane.ledger.note(now, number, bytes);
                if several {
                    self.look_due.get_or_insert(look_due);
                }
                if header.seq_len >= MANY_CHUNKS && header.seq_id + 1 == header.seq_len {
                    self.log.detach(header.stream_id);
                }
            }
        }
        (lane.rtc, encoded)
    }

    /// The platform has taken this much.
    pub(in crate::link) fn written(&mut self, now: Instant, at: usize, channel: u16, bytes: usize) {
        if let Some(in_flight) = self.all[at].in_flight.get_mut(usize::from(channel)) {
            *in_flight = in_flight.saturating_sub(bytes);
        }
        self.taken += bytes as u64;
        if self
            .all
            .iter()
            .all(|lane| lane.in_flight.iter().all(|bytes| *bytes == 0))
        {
            self.idle_since.get_or_insert(now);
        }
    }

    /// A path catches up for a moment now and then; longer than that is a pause.
    fn end_pause(&mut self, now: Instant) {
        if self.idle_since.is_some_and(|since| since + PAUSE <= now) {
            self.busy = (0, None);
        }
    }

    /// With this many bytes waiting for them.
    pub(super) fn load(&mut self, now: Instant, queued: usize) -> Load {
        self.end_pause(now);
        Load {
            large: self.busy.0 + queued,
            time: self.busy.1.map_or(Duration::ZERO, |since| now - since),
            gone: self.taken,
            open: self.all.iter().filter(|lane| lane.open).count(),
        }
    }

    /// The peer has received so many frames over a lane.
    pub(super) fn acknowledged(&mut self, now: Instant, number: u32, count: u64) {
        let Some(lane) = self.all.iter_mut().find(|lane| lane.number == number) else {
            return;
        };
        lane.ledger.acknowledge(count);
        while let Some(frame) = lane.ledger.next_arrived() {
            self.log.remove(frame.number);
            // Those that were held up count little.
            let took = now - frame.since;
            self.latency = match took < self.latency {
                true => (self.latency * 3 + took) / 4,
                false => (self.latency * 31 + took) / 32,
            };
        }
    }

    /// Whether it is time to look for what stands still.
    pub(super) fn look(&mut self, now: Instant) -> bool {
        let due = self.look_due.is_some_and(|at| at <= now);
        if due {
            self.looking = self.log.len() > 0 && self.all.len() > 1;
            self.look_due = self.looking.then(|| now + self.patience());
        }
        due
    }
}
