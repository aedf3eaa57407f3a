//! What was sent over several lanes and has not arrived yet, as far as is known.

use crate::chunk::{Frame, Kind};
use bytes::Bytes;
use std::collections::VecDeque;
use web_time::Instant;

/// What keeping a frame aside costs the peer beside its payload, rounded up.
const FRAME_OVERHEAD: u64 = 256;

struct Entry {
    frame: Frame,
    /// What had been sent before, in bytes with overhead.
    position: u64,
    /// When it was last given to a lane.
    last: Instant,
}

/// Frames by number. Their payloads are slices of the messages, not copies.
#[derive(Default)]
pub(super) struct Log {
    /// From number `first` on; those that have arrived leave a hole, but not at the front.
    entries: VecDeque<Option<Entry>>,
    first: u64,
    sent: u64,
}

impl Log {
    /// Keeps a frame that is sent now; returns its number.
    pub(super) fn push(&mut self, now: Instant, frame: Frame) -> u64 {
        let (position, last) = (self.sent, now);
        self.sent += frame.payload.len() as u64 + FRAME_OVERHEAD;
        self.entries.push_back(Some(Entry { frame, position, last }));
        self.first + self.entries.len() as u64 - 1
    }

    /// A message has gone: what is kept of it must not keep all of it.
    pub(super) fn detach(&mut self, stream_id: u32) {
        let frames = self.entries.iter_mut().flatten().map(|entry| &mut entry.frame);
        for frame in frames.filter(|frame| frame.header.kind != Kind::Control && frame.header.stream_id == stream_id) {
            frame.payload = Bytes::copy_from_slice(&frame.payload);
        }
    }

    /// A frame that is sent again now, unless it has arrived.
    pub(super) fn touch(&mut self, now: Instant, number: u64) -> Option<Frame> {
        let entry = self.at(number)?.as_mut()?;
        entry.last = now;
        Some(entry.frame.clone())
    }

    /// Forgets a frame, for instance since it has arrived.
    pub(super) fn remove(&mut self, number: u64) -> Option<Frame> {
        let entry = self.at(number)?.take();
        while let Some(None) = self.entries.front() {
            self.entries.pop_front();
            self.first += 1;
        }
        Some(entry?.frame)
    }

    /// The oldest frame that was not given to any lane since `before`.
    pub(super) fn overdue(&self, before: Instant) -> Option<u64> {
        let is_overdue = |entry: &Option<Entry>| entry.as_ref().is_some_and(|entry| entry.last <= before);
        let at = self.entries.iter().position(is_overdue)?;
        Some(self.first + at as u64)
    }

    /// From the oldest frame to what comes next, in bytes with overhead.
    pub(super) fn span(&self) -> u64 {
        let oldest = self.entries.front().and_then(Option::as_ref);
        oldest.map_or(0, |oldest| self.sent - oldest.position)
    }

    /// From the oldest frame to what comes next.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn at(&mut self, number: u64) -> Option<&mut Option<Entry>> {
        let index = number.checked_sub(self.first)?;
        self.entries.get_mut(usize::try_from(index).ok()?)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // any time will do
mod tests {
    use super::*;
    use crate::chunk::Header;
    use std::time::Duration;

    fn frame(stream_id: u32) -> Frame {
        Frame {
            header: Header {
                kind: Kind::Bytes,
                stream_id,
                seq_id: 0,
                seq_len: 1,
            },
            payload: Bytes::from_static(b"abcd"),
        }
    }

    #[test]
    fn the_span_ends_at_the_oldest_frame_that_has_not_arrived() {
        let (mut log, now) = (Log::default(), Instant::now());
        let numbers: Vec<u64> = (0..4).map(|i| log.push(now, frame(i))).collect();
        assert_eq!((log.span(), log.len()), (4 * 260, 4));
        assert_eq!(log.remove(numbers[1]), Some(frame(1)));
        assert_eq!((log.span(), log.len()), (4 * 260, 4));
        assert_eq!(log.remove(numbers[0]), Some(frame(0)));
        assert_eq!((log.span(), log.len()), (2 * 260, 2));
        assert_eq!(log.remove(numbers[0]), None);
        assert_eq!(log.touch(now, numbers[1]), None);
        assert_eq!(log.push(now, frame(4)), 4);
    }

    #[test]
    fn what_is_kept_of_a_message_does_not_keep_all_of_it() {
        let (mut log, message) = (Log::default(), Bytes::from(vec![7; 100]));
        let of = |stream_id, payload| Frame {
            payload,
            ..frame(stream_id)
        };
        let numbers = [3, 4].map(|id| log.push(Instant::now(), of(id, message.slice(..10))));
        log.detach(3);
        log.remove(numbers[1]);
        assert!(message.is_unique());
        assert_eq!(log.remove(numbers[0]), Some(of(3, Bytes::from(vec![7; 10]))));
    }

    #[test]
    fn what_was_sent_again_is_no_longer_overdue() {
        let (mut log, now) = (Log::default(), Instant::now());
        let later = now + Duration::from_secs(1);
        let numbers = [
            log.push(now, frame(0)),
            log.push(now, frame(1)),
            log.push(later, frame(2)),
        ];
        assert_eq!(log.overdue(now), Some(numbers[0]));
        assert_eq!(log.touch(later, numbers[0]), Some(frame(0)));
        assert_eq!(log.overdue(now), Some(numbers[1]));
        log.remove(numbers[1]);
        assert_eq!(log.overdue(now), None);
    }
}
