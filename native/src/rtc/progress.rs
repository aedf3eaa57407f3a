//! Notices that written data no longer gets through, long before the engine does.
//!
//! The engine waits at least 1 s (SCTP's minimum RTO, a constant there) before it sends again what its fast
//! retransmission has missed, and after a second lost packet in one window that is the rule (docs/upstream). On a short
//! path nothing is on its way any more after a few milliseconds. What is seen from outside is the count of bytes that
//! the peer has not acknowledged: while it stands still for longer than a round trip can take, its timer is due.
//!
//! A path that has become slower is not taken for a lossy one for long: what an idle engine's first bytes took counts as
//! a round trip even if it was disturbed.

use std::time::Duration;
use tokio::time::Instant;

/// Beyond round trips: a busy machine does not answer at once.
const PATIENCE: Duration = Duration::from_millis(10);
/// Beyond that for a peer that is not prompt: it may keep back the acknowledgement of a lone packet, by RFC 9260 200 ms.
const DELAYED_ACK: Duration = Duration::from_millis(230);
/// Where no round trip is known.
const UNKNOWN: Duration = Duration::from_millis(250);
/// Times in a row that the engine's timer is hastened. A peer that does not read looks the same, and gains nothing.
const MAX_TRIES: u32 = 4;
/// Bytes that may be on their way for every millisecond of the shortest round trip: 20 MiB/s, and to a prompt peer,
/// which has larger socket buffers, 80.
const BYTES_PER_MS: u128 = 20 << 10;
const PROMPT_BYTES_PER_MS: u128 = 80 << 10;
/// After data got lost it is half as many, down to 1/64, until so many round trips have gone well.
const CALM: u32 = 100;
const MAX_HALVINGS: u32 = 6;
/// The largest send buffer that a long path gives.
const MAX_SEND_BUFFER: usize = 4 << 20;
/// What is written ahead at any rate: two chunks, and half of one.
const LEAST_AHEAD: usize = 160 << 10;
/// The same before the rate is known.
const FIRST_AHEAD: usize = 256 << 10;
/// Beside one and a half round trips, which lets the rate grow by half in each: what a busy machine needs.
const AHEAD: Duration = Duration::from_millis(5);

/// What one connection's writer has seen of its data's way.
#[derive(Debug)]
pub(super) struct Progress {
    prompt: bool,
    /// Smoothed.
    round_trip: Option<Duration>,
    /// Bytes written, and some of them with the time when they were, until they are acknowledged.
    written: u64,
    marked: Option<Mark>,
    /// Bytes a second that were acknowledged of late while more waited.
    rate: Option<u64>,
    /// The shortest time from a write to its acknowledgement, which is longer than a round trip while others wait too.
    shortest: Option<Duration>,
    /// At least what the peer has not acknowledged.
    outstanding: usize,
    /// When something was acknowledged last, or the first byte was written.
    since: Instant,
    /// When the first byte was written into an idle engine, until something is acknowledged.
    began: Option<Instant>,
    tries: u32,
    /// How often what a long path gives to the send buffer has been halved, and round trips since the last time.
    halvings: u32,
    calm: u32,
}

#[derive(Debug)]
struct Mark {
    written: u64,
    acknowledged: u64,
    at: Instant,
}

impl Progress {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            prompt: false,
            round_trip: None,
            written: 0,
            marked: None,
            rate: None,
            shortest: None,
            outstanding: 0,
            since: now,
            began: None,
            tries: 0,
            halvings: 0,
            calm: 0,
        }
    }

    /// The connection is up: whether its peer acknowledges at once, and the round trip that ICE has measured.
    pub(super) fn connected(&mut self, prompt: bool, round_trip: Option<Duration>) {
        self.prompt = prompt;
        self.round_trip = round_trip;
    }

    /// At least what is outstanding, in bytes.
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding
    }

    pub(super) fn wrote(&mut self, now: Instant, bytes: usize) {
        if self.outstanding == 0 {
            (self.since, self.began, self.tries) = (now, Some(now), 0);
        }
        let acknowledged = self.acknowledged();
        self.outstanding += bytes;
        self.written += bytes as u64;
        self.marked.get_or_insert(Mark {
            written: self.written,
            acknowledged,
            at: now,
        });
    }

    /// What is really outstanding now. `at_once` if the news would have come as soon as there was any.
    pub(super) fn counted(&mut self, now: Instant, outstanding: usize, at_once: bool) {
        if outstanding < self.outstanding {
            if let Some(began) = self.began.take().filter(|_| at_once) {
                self.measured(now - began);
            }
            (self.since, self.tries) = (now, 0);
        }
        self.outstanding = outstanding;
        let acknowledged = self.acknowledged();
        if let Some(mark) = self.marked.take_if(|mark| mark.written <= acknowledged)
            && at_once
        {
            self.passed(now - mark.at, acknowledged - mark.acknowledged);
        }
    }

    fn acknowledged(&self) -> u64 {
        self.written.saturating_sub(self.outstanding as u64)
    }

    /// What was marked has been acknowledged after this time, and so many bytes in it.
    fn passed(&mut self, took: Duration, bytes: u64) {
        self.calm += 1;
        if self.calm >= CALM {
            (self.calm, self.halvings) = (0, self.halvings.saturating_sub(1));
        }
        self.shortest = Some(self.shortest.map_or(took, |shortest| shortest.min(took)));
        let rate = bytes.saturating_mul(1_000_000) / u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        self.rate = Some(self.rate.map_or(rate, |before| rate.max(before / 8 * 7)));
    }

    fn measured(&mut self, round_trip: Duration) {
        let round_trip = round_trip.saturating_sub(self.delay());
        self.round_trip = Some(match self.round_trip {
            Some(before) => (before * 7 + round_trip) / 8,
            None => round_trip,
        });
    }

    /// What the peer may keep an acknowledgement back.
    fn delay(&self) -> Duration {
        if self.prompt { Duration::ZERO } else { DELAYED_ACK }
    }

    /// When the engine's timer should be hastened, unless something is acknowledged before.
    pub(super) fn overdue_at(&self) -> Option<Instant> {
        let waits = self.outstanding > 0 && self.tries < MAX_TRIES;
        let patience = match self.round_trip {
            Some(round_trip) => round_trip * 4 + PATIENCE,
            None => UNKNOWN,
        };
        waits.then(|| self.since + (patience + self.delay()) * (1 << self.tries))
    }

    /// The engine's timer has been hastened.
    pub(super) fn hastened(&mut self, now: Instant) {
        self.since = now;
        self.tries += 1;
        (self.calm, self.halvings) = (0, (self.halvings + 1).min(MAX_HALVINGS));
    }

    /// Bytes that may be outstanding, for a send buffer meant for a short path. A burst must fit into the receiver's
    /// socket buffer, but on a longer path its packets do not come all at once. And more than the path carries in a
    /// round trip only fills the queues on it, or waits in the engine in the way of what is urgent.
    pub(super) fn send_buffer(&self, on_short_path: usize) -> usize {
        let per_ms = if self.prompt { PROMPT_BYTES_PER_MS } else { BYTES_PER_MS };
        let micros = self.shortest.map_or(0, |shortest| shortest.as_micros());
        let more = usize::try_from(micros * per_ms / 1000).unwrap_or(usize::MAX);
        on_short_path
            .saturating_add(more >> self.halvings)
            .min(MAX_SEND_BUFFER.max(on_short_path))
            .min(self.carried())
    }

    /// Bytes that keep the path busy.
    fn carried(&self) -> usize {
        let Some(rate) = self.rate else {
            return FIRST_AHEAD;
        };
        let round_trip = self.round_trip.or(self.shortest).unwrap_or_default();
        let micros = (round_trip * 3 / 2 + AHEAD).as_micros();
        LEAST_AHEAD.saturating_add(usize::try_from(micros * u128::from(rate) / 1_000_000).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn connected(prompt: bool, round_trip: Duration) -> (Progress, Instant) {
        let now = Instant::now();
        let mut progress = Progress::new(now);
        progress.connected(prompt, Some(round_trip));
        (progress, now)
    }

    #[test]
    fn what_stands_still_for_longer_than_a_round_trip_is_overdue_a_few_times() {
        let (mut progress, began) = connected(true, MS);
        assert_eq!(progress.overdue_at(), None);
        progress.wrote(began, 1000);
        let mut now = began;
        for wait in [14, 28, 56, 112] {
            assert_eq!(progress.overdue_at(), Some(now + wait * MS));
            now += wait * MS;
            progress.counted(now, 1000, true);
            progress.hastened(now);
        }
        assert_eq!(progress.overdue_at(), None);
        progress.counted(now, 400, false);
        assert_eq!(progress.overdue_at(), Some(now + 14 * MS));
        progress.counted(now, 0, true);
        assert_eq!(progress.overdue_at(), None);
    }

    #[test]
    fn a_peer_may_delay_its_acknowledgements_unless_it_says_that_it_does_not() {
        for (prompt, wait) in [(true, 14), (false, 244)] {
            let (mut progress, now) = connected(prompt, MS);
            progress.wrote(now, 1);
            assert_eq!(progress.overdue_at(), Some(now + wait * MS));
        }
    }

    #[test]
    fn a_path_that_has_become_slower_is_soon_not_taken_for_a_lossy_one() {
        let (mut progress, mut now) = connected(true, MS);
        let mut disturbed = 0;
        for _ in 0..20 {
            progress.wrote(now, 100);
            let answer = now + 200 * MS;
            while progress.overdue_at().is_some_and(|at| at < answer) {
                progress.hastened(progress.overdue_at().unwrap());
                disturbed += 1;
            }
            now = answer;
            progress.counted(now, 0, true);
        }
        assert!(disturbed <= 4, "{disturbed}");
    }

    #[test]
    fn a_long_path_may_hold_more_than_a_short_one_until_data_is_lost() {
        let (mut progress, now) = connected(false, 40 * MS);
        assert_eq!(progress.send_buffer(48 << 10), 48 << 10);
        progress.wrote(now, 4 << 20);
        progress.counted(now + 40 * MS, 0, true);
        let long = progress.send_buffer(48 << 10);
        assert_eq!(long, (48 << 10) + 40 * (20 << 10));
        progress.hastened(now);
        assert!(progress.send_buffer(48 << 10) < long * 11 / 20);
        assert_eq!(progress.send_buffer(5 << 20), 5 << 20);
    }

    #[test]
    fn a_slow_path_is_not_filled_with_what_it_takes_long_to_carry() {
        let (mut progress, mut now) = connected(true, 50 * MS);
        assert_eq!(progress.send_buffer(1 << 20), FIRST_AHEAD);
        for _ in 0..3 {
            progress.wrote(now, 100 << 10);
            now += 100 * MS;
            progress.counted(now, 0, true);
        }
        assert!(progress.send_buffer(1 << 20) < 2 * LEAST_AHEAD);
    }
}
