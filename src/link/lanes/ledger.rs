//! What one lane has sent and received: the peer says how many frames have come.
//!
//! Both sides count the same frames, and a lane delivers in order: a count says which.

use std::collections::VecDeque;
use web_time::Instant;

/// A frame on its way.
pub(super) struct OnWay {
    /// Its number in the log.
    pub(super) number: u64,
    bytes: usize,
    pub(super) since: Instant,
}

#[derive(Default)]
pub(super) struct Ledger {
    written: u64,
    acknowledged: u64,
    received: u64,
    /// The last frames written.
    on_way: VecDeque<OnWay>,
    bytes: usize,
}

impl Ledger {
    /// Counts a frame given to the platform.
    pub(super) fn wrote(&mut self) {
        self.written += 1;
    }

    /// Notes the frame just counted. Once begun, this is done for each, up to [`Ledger::take`].
    pub(super) fn note(&mut self, now: Instant, number: u64, bytes: usize) {
        self.bytes += bytes;
        self.on_way.push_back(OnWay {
            number,
            bytes,
            since: now,
        });
    }

    /// Counts a frame of the peer.
    pub(super) fn received(&mut self) {
        self.received += 1;
    }

    /// How many have come.
    pub(super) fn received_count(&self) -> u64 {
        self.received
    }

    /// The peer has so many frames: call [`Ledger::next_arrived`] until it has no more. What cannot be is ignored.
    pub(super) fn acknowledge(&mut self, count: u64) {
        if count <= self.written {
            self.acknowledged = self.acknowledged.max(count);
        }
    }

    /// The next frame that the peer has.
    pub(super) fn next_arrived(&mut self) -> Option<OnWay> {
        if self.written - self.on_way.len() as u64 >= self.acknowledged {
            return None;
        }
        let arrived = self.on_way.pop_front()?;
        self.bytes -= arrived.bytes;
        Some(arrived)
    }

    /// Whether every frame has been acknowledged or noted.
    pub(super) fn is_covered(&self) -> bool {
        self.written - self.on_way.len() as u64 <= self.acknowledged
    }

    /// Takes the numbers of what has not arrived.
    pub(super) fn take(&mut self) -> impl Iterator<Item = u64> + use<> {
        self.bytes = 0;
        std::mem::take(&mut self.on_way).into_iter().map(|frame| frame.number)
    }

    /// Since when the oldest frame is on its way.
    pub(super) fn since(&self) -> Option<Instant> {
        Some(self.on_way.front()?.since)
    }

    /// Bytes of payload on their way.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // any time will do
mod tests {
    use super::*;

    fn ledger(not_noted: u64, noted: u64) -> Ledger {
        let mut ledger = Ledger::default();
        for i in 0..not_noted + noted {
            ledger.wrote();
            if i >= not_noted {
                ledger.note(Instant::now(), i, 3);
            }
        }
        ledger
    }

    fn arrived(ledger: &mut Ledger, count: u64) -> Vec<u64> {
        ledger.acknowledge(count);
        std::iter::from_fn(|| ledger.next_arrived())
            .map(|frame| frame.number)
            .collect()
    }

    #[test]
    fn a_count_says_which_frames_have_arrived() {
        let mut ledger = ledger(1, 4);
        assert_eq!(arrived(&mut ledger, 1), [0; 0]);
        assert_eq!(arrived(&mut ledger, 3), [1, 2]);
        assert_eq!(arrived(&mut ledger, 2), [0; 0]);
        assert_eq!((ledger.bytes(), ledger.take().collect::<Vec<_>>()), (6, vec![3, 4]));
        assert_eq!(ledger.bytes(), 0);
    }

    #[test]
    fn a_lane_can_be_lost_once_all_before_its_first_noted_frame_has_arrived() {
        let mut ledger = ledger(4, 2);
        for (count, covered) in [(0, false), (3, false), (2, false), (4, true), (3, true), (6, true)] {
            arrived(&mut ledger, count);
            assert_eq!(ledger.is_covered(), covered, "{count}");
        }
    }

    #[test]
    fn a_count_of_frames_never_sent_changes_nothing() {
        let mut ledger = ledger(1, 2);
        assert_eq!(arrived(&mut ledger, 4), [0; 0]);
        assert_eq!(arrived(&mut ledger, u64::MAX), [0; 0]);
        assert!(!ledger.is_covered());
    }
}
