//! How many lanes are worth it.
//!
//! Once more waits, or has gone without a pause, than a path without loss takes in a moment, or less has taken long, the
//! rate is measured. Their number is doubled for as long as that makes the transfer a fifth faster, and goes back where it
//! did not. A slow transfer gets all at once: losses vary its rate too much to be measured, and it cannot cost much. A fast
//! one gets no more: its path is neither long nor lossy, and a lane takes most of two cores there (loopback, 2 cores: to try
//! a second one cost up to 9 % of the rate and 10 MiB).

use std::ops::RangeInclusive;
use std::time::Duration;
use web_time::Instant;

/// Bytes that make a transfer large: some 30 ms on loopback, a third of a second at 200 Mbit/s.
const LARGE_BYTES: usize = 8 << 20;
/// Bytes that do after [`LONG`]: the path is long, lossy or narrow.
const SLOW_BYTES: usize = 1 << 20;
const LONG: Duration = Duration::from_millis(500);
/// Without a large transfer for this long, it is over.
const IDLE: Duration = Duration::from_secs(10);
/// A rate is measured over this time at least …
const PERIOD: Duration = Duration::from_millis(200);
/// … and over this many bytes, or [`LONG_PERIOD`].
const PERIOD_BYTES: u64 = 4 << 20;
const LONG_PERIOD: Duration = Duration::from_millis(400);
/// Bytes per second below which all lanes are taken unseen: with 1 % loss a lane has 1 to 6 MiB/s, second by second
/// between none and 30.
const SLOW: u64 = 32 << 20;
/// Bytes per second from which there are enough: somewhat more than a gigabit network has.
const FAST: u64 = 128 << 20;

#[derive(Default)]
pub(super) struct Demand {
    /// How many are wanted; 0 at first.
    wanted: usize,
    /// When the large transfer counts as over.
    ends: Option<Instant>,
    /// Since when a rate is measured, and the count of bytes then.
    since: Option<(Instant, u64)>,
    /// How many there were before, and their bytes per second.
    before: Option<(usize, u64)>,
    /// Whether more have been found to be of no use.
    settled: bool,
}

/// What the lanes are doing.
pub(super) struct Load {
    /// Bytes that wait, or have gone without a pause.
    pub(super) large: usize,
    /// For how long there has been no pause.
    pub(super) time: Duration,
    /// A count of all bytes that have gone.
    pub(super) gone: u64,
    /// How many lanes can be written to.
    pub(super) open: usize,
}

impl Demand {
    /// How many lanes are wanted now, within `range`.
    pub(super) fn look(&mut self, now: Instant, range: &RangeInclusive<usize>, load: &Load) -> usize {
        self.expire(now);
        self.wanted = self.wanted.clamp(*range.start(), *range.end());
        let enough = if load.time < LONG { LARGE_BYTES } else { SLOW_BYTES };
        if load.large < enough || range.start() == range.end() {
            self.since = None;
            return self.wanted;
        }
        self.ends = Some(now + IDLE);
        if load.open < self.wanted {
            self.since = None; // those that are wanted have yet to come
        } else if !self.settled {
            self.measure(now, *range.end(), load.gone);
        }
        self.wanted
    }

    /// Whether the large transfer is over just now.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let over = self.ends.is_some_and(|at| at <= now);
        if over {
            *self = Self::default();
        }
        over
    }

    /// When to call [`Demand::expire`].
    pub(super) fn ends(&self) -> Option<Instant> {
        self.ends
    }

    fn measure(&mut self, now: Instant, most: usize, gone: u64) {
        let (since, gone_then) = *self.since.get_or_insert((now, gone));
        let (time, bytes) = (now - since, gone - gone_then);
        if time < PERIOD || (bytes < PERIOD_BYTES && time < LONG_PERIOD) {
            return;
        }
        self.since = None;
        let rate = bytes * 1000 / (time.as_millis() as u64).max(1);
        let useless = |(_, before): &(usize, u64)| rate < before + before / 5;
        self.settled = true;
        if rate < SLOW {
            self.wanted = most;
        } else if let Some((fewer, _)) = self.before.filter(useless) {
            self.wanted = fewer;
        } else if rate >= FAST {
            (self.settled, self.before) = (false, None); // until it gets slower
        } else if self.wanted < most {
            self.settled = false;
            self.before = Some((self.wanted, rate));
            self.wanted = (self.wanted * 2).min(most);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // any time will do
mod tests {
    use super::*;

    /// Lanes after a transfer of some seconds whose rate with n lanes is `rate(n)`.
    fn settle(rate: impl Fn(usize) -> u64) -> usize {
        let (mut demand, mut now, mut gone, mut open) = (Demand::default(), Instant::now(), 0, 1);
        for _ in 0..10_000 {
            let load = Load {
                large: LARGE_BYTES,
                time: Duration::ZERO,
                gone,
                open,
            };
            open = demand.look(now, &(1..=8), &load);
            now += Duration::from_millis(1);
            gone += rate(open) / 1000;
        }
        open
    }

    #[test]
    fn lanes_are_added_while_they_help() {
        assert_eq!(settle(|lanes| (lanes as u64) << 20), 8, "a lossy path");
        assert_eq!(settle(|lanes| (lanes as u64) << 24), 8, "a long path");
        assert_eq!(settle(|_| 100 << 20), 1, "a full path");
        assert_eq!(settle(|lanes| (lanes as u64) << 28), 1, "a fast path");
        assert_eq!(settle(|lanes| [0, 90, 130][lanes] << 20), 2, "fast enough with two");
        assert_eq!(
            settle(|lanes| [0, 40, 60, 0, 80, 0, 0, 0, 50][lanes] << 20),
            4,
            "few cores"
        );
    }

    fn load(large: usize, time: Duration) -> Load {
        let (gone, open) = (0, 1);
        Load {
            large,
            time,
            gone,
            open,
        }
    }

    #[test]
    fn a_fast_transfer_that_gets_slow_wants_more() {
        let (mut demand, mut now, mut gone) = (Demand::default(), Instant::now(), 0);
        for (rate, wanted) in [(FAST, 1), (FAST, 1), (SLOW * 2, 2)] {
            for _ in 0..2 {
                let load = Load {
                    gone,
                    ..load(LARGE_BYTES, Duration::ZERO)
                };
                demand.look(now, &(1..=8), &load);
                now += Duration::from_secs(1);
                gone += rate;
            }
            assert_eq!(demand.wanted, wanted, "{rate}");
        }
    }

    #[test]
    fn a_small_transfer_wants_none_and_a_past_one_none_any_more() {
        let (mut demand, now) = (Demand::default(), Instant::now());
        assert_eq!(demand.look(now, &(1..=8), &load(LARGE_BYTES - 1, Duration::ZERO)), 1);
        assert_eq!(demand.ends(), None);
        assert_eq!(demand.look(now, &(1..=8), &load(LARGE_BYTES, Duration::ZERO)), 1);
        let fast = Load {
            gone: SLOW * 2,
            ..load(LARGE_BYTES, LONG)
        };
        assert_eq!(demand.look(now + Duration::from_secs(1), &(1..=8), &fast), 2);
        let end = demand.ends().unwrap();
        assert_eq!(demand.look(end - PERIOD, &(1..=8), &load(0, LONG)), 2);
        assert_eq!(demand.look(end, &(1..=8), &load(0, LONG)), 1);
        assert_eq!(demand.ends(), None);
    }

    #[test]
    fn a_transfer_that_takes_long_counts_as_large() {
        let (mut demand, now) = (Demand::default(), Instant::now());
        assert_eq!(
            (demand.look(now, &(1..=8), &load(SLOW_BYTES - 1, LONG)), demand.ends()),
            (1, None)
        );
        assert_eq!(demand.look(now, &(1..=8), &load(SLOW_BYTES, LONG)), 1);
        assert!(demand.ends().is_some());
    }

    #[test]
    fn a_fixed_number_stays() {
        let (mut demand, now) = (Demand::default(), Instant::now());
        for large in [0, LARGE_BYTES] {
            let wanted = demand.look(now, &(3..=3), &load(large, LONG));
            assert_eq!((wanted, demand.ends()), (3, None));
        }
    }
}
