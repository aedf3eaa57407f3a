//! How much may be on the path: a congestion controller that models it, by its bandwidth and its shortest round trip,
//! rather than going by each loss.
//!
//! A controller that takes every loss for a full queue (Cubic, as in TCP) carries 0.3 MiB/s over 50 ms with 1 % of loss,
//! whatever the bandwidth is. This one measures how fast data arrives, keeps about as much on the path as fits between
//! the two ends, and tries now and then whether there is more. Losses count only where they are many: above
//! [`MANY_LOST`] of a round's packets a queue is full somewhere, and others may be in it; then the window is bounded by
//! what was on the path. With a larger share it was faster on paths with much loss and left a TCP flow beside it too
//! little.
//!
//! What it does not do well: a flow that goes by losses keeps the queue filled, so that a [`Phase::Rest`] beside it
//! measures a round trip with that queue in it. As much more then seems to fit, and for a while the other may be left a
//! tenth of the line.
//!
//! It is told the time and has no other. The library spreads a window over a round trip by itself (1.25 times as fast), so
//! a rate is said as a window: `gain × bandwidth × round trip`.

use quinn_proto::RttEstimator;
use quinn_proto::congestion::{Controller, ControllerFactory, ControllerMetrics};
use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes before anything is known.
const INITIAL_WINDOW: u64 = 32 * 1200;
/// Packets that may always be on the path.
const LEAST_PACKETS: u64 = 4;
/// Rounds for which a measured bandwidth counts.
const MEMORY: u64 = 10;
/// The shortest round trip is measured anew, on a path with little on it, when it is as old as this …
const STALE: Duration = Duration::from_secs(10);
/// … for this long, or a round trip.
const REST: Duration = Duration::from_millis(200);
/// The share of a round's bytes above which losses mean a full queue, and packets of which so many may be chance.
const MANY_LOST: f64 = 0.02;
const FEW_PACKETS: u64 = 8;
/// Rounds in which the bandwidth must have grown by a quarter, or the path is full.
const FULL_ROUNDS: u8 = 3;
/// Rounds between two tries for more.
const CRUISE_ROUNDS: u8 = 5;

/// Makes a [`Model`] of each path.
#[derive(Debug)]
pub(super) struct ModelConfig;

impl ControllerFactory for ModelConfig {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        Box::new(Model::new(now, mtu))
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// Twice as much each round, until the path is full.
    Startup,
    /// What start-up has put into the queue leaves it.
    Drain,
    /// Is there more?
    Up,
    /// What that has put into the queue leaves it.
    Down,
    /// For so many rounds more.
    Cruise(u8),
    /// How long is an empty path?
    Rest(Instant),
}

impl Phase {
    fn gain(self) -> f64 {
        match self {
            Self::Startup => 2.0,
            Self::Up => 1.25,
            Self::Down => 0.8,
            Self::Cruise(_) => 1.0,
            Self::Drain | Self::Rest(_) => 0.5,
        }
    }
}

/// What was known when packets left.
#[derive(Debug, Clone, Copy)]
struct Departure {
    at: Instant,
    delivered: u64,
    delivered_at: Instant,
    /// When that left which was delivered last.
    first_sent: Instant,
}

/// A model of one path.
#[derive(Debug, Clone)]
pub(super) struct Model {
    mtu: u64,
    phase: Phase,
    /// The round in which the phase began.
    since: u64,
    departures: VecDeque<Departure>,
    /// Bytes that have arrived, and when the last did.
    delivered: u64,
    delivered_at: Instant,
    first_sent: Instant,
    /// When the latest of what is being acknowledged left.
    latest: Option<Instant>,
    round: u64,
    round_ends: u64,
    acknowledged_in_round: u64,
    lost_in_round: u64,
    /// The largest of the last rounds, in bytes a second, and those after it that may take its place.
    bandwidths: VecDeque<(u64, f64)>,
    /// Of start-up: the bandwidth that was last a quarter more than before, and rounds since.
    full: (f64, u8),
    shortest: Option<(Duration, Instant)>,
    smoothed: Duration,
    /// Bytes that are acknowledged at once, and at present.
    batch: f64,
    acknowledged_now: u64,
    /// Where many were lost.
    bound: f64,
    window: u64,
}

impl Model {
    fn new(now: Instant, mtu: u16) -> Self {
        Self {
            mtu: mtu.into(),
            phase: Phase::Startup,
            since: 0,
            departures: VecDeque::new(),
            delivered: 0,
            delivered_at: now,
            first_sent: now,
            latest: None,
            round: 0,
            round_ends: 0,
            acknowledged_in_round: 0,
            lost_in_round: 0,
            bandwidths: VecDeque::new(),
            full: (0.0, 0),
            shortest: None,
            smoothed: Duration::from_millis(100),
            batch: 0.0,
            acknowledged_now: 0,
            bound: f64::MAX,
            window: INITIAL_WINDOW,
        }
    }

    fn bandwidth(&self) -> f64 {
        self.bandwidths.front().map_or(0.0, |(_, rate)| *rate)
    }

    fn shortest(&self) -> Duration {
        self.shortest.map_or(self.smoothed, |(shortest, _)| shortest)
    }

    /// Bytes that fit on the path without a queue.
    fn fits(&self) -> f64 {
        self.bandwidth() * self.shortest().as_secs_f64()
    }

    fn enter(&mut self, phase: Phase) {
        (self.phase, self.since) = (phase, self.round);
    }

    /// What was known when the packet left that has just been acknowledged.
    fn departure(&mut self, sent: Instant) -> Option<Departure> {
        let after = self.departures.partition_point(|departure| departure.at <= sent);
        let found = *self.departures.get(after.checked_sub(1)?)?;
        // Of what left before, the acknowledgement is lost, or counts a little later.
        let keep = found.at.checked_sub(self.smoothed * 2).unwrap_or(found.at);
        while self.departures.len() > 1 && self.departures.front().is_some_and(|first| first.at < keep) {
            self.departures.pop_front();
        }
        Some(found)
    }

    /// Takes the rate at which data has arrived since.
    fn measure(&mut self, now: Instant, since: Departure, app_limited: bool) {
        let time = (now - since.delivered_at).max(since.at - since.first_sent);
        if time.is_zero() || time < self.shortest() / 2 {
            return;
        }
        let rate = (self.delivered - since.delivered) as f64 / time.as_secs_f64().max(2e-5);
        if app_limited && rate <= self.bandwidth() {
            return; // there was no more to be sent
        }
        while self.bandwidths.back().is_some_and(|(_, other)| *other <= rate) {
            self.bandwidths.pop_back();
        }
        self.bandwidths.push_back((self.round, rate));
        while self
            .bandwidths
            .front()
            .is_some_and(|(round, _)| round + MEMORY < self.round)
        {
            self.bandwidths.pop_front();
        }
    }

    fn end_round(&mut self, app_limited: bool, in_flight: f64) {
        let all = self.lost_in_round + self.acknowledged_in_round;
        let many = self.lost_in_round > FEW_PACKETS * self.mtu && self.lost_in_round as f64 > MANY_LOST * all as f64;
        (self.lost_in_round, self.acknowledged_in_round) = (0, 0);
        self.round += 1;
        self.round_ends = self.delivered;
        if many && self.phase != Phase::Startup {
            self.bound = (in_flight * 0.85).max(self.fits() * 0.7);
        }
        match self.phase {
            Phase::Startup if !app_limited => self.end_start_round(many),
            Phase::Up if many || in_flight >= 1.2 * self.fits() || self.round >= self.since + 3 => {
                if !many {
                    self.bound = (self.bound * 1.25).max(in_flight);
                }
                self.enter(Phase::Down);
            }
            Phase::Cruise(0) => self.enter(Phase::Up),
            Phase::Cruise(left) => self.phase = Phase::Cruise(left - 1),
            _ => {}
        }
    }

    fn end_start_round(&mut self, many: bool) {
        let (now, (before, rounds)) = (self.bandwidth(), self.full);
        self.full = match now >= before * 1.25 {
            true => (now, 0),
            false => (before, rounds + 1),
        };
        if self.full.1 >= FULL_ROUNDS || (many && self.full.1 >= 1) {
            self.enter(Phase::Drain);
        }
    }

    /// Phases that do not end with a round.
    fn advance(&mut self, now: Instant, in_flight: f64) {
        let least = (LEAST_PACKETS * self.mtu) as f64;
        match self.phase {
            Phase::Drain | Phase::Down if in_flight <= self.fits().max(least) || self.round >= self.since + 4 => {
                self.enter(Phase::Cruise(CRUISE_ROUNDS));
            }
            Phase::Rest(until) if now >= until => self.enter(Phase::Cruise(CRUISE_ROUNDS / 2)),
            Phase::Cruise(_) if self.shortest.is_some_and(|(_, at)| now - at > STALE) => {
                self.enter(Phase::Rest(now + REST.max(self.smoothed)));
                self.shortest = None;
            }
            _ => {}
        }
    }

    fn resize(&mut self) {
        let bandwidth = self.bandwidth();
        if bandwidth == 0.0 {
            self.window = self.window.max(INITIAL_WINDOW + self.delivered);
            return;
        }
        // What is acknowledged at once, and what a busy machine takes to come around.
        let extra = self.batch.min(bandwidth * 0.005) + bandwidth * 0.001;
        // While there is a queue, all phases but those that look for more leave half of it: it goes away.
        let (smoothed, shortest) = (self.smoothed.as_secs_f64(), self.shortest().as_secs_f64());
        let round_trip = match self.phase {
            Phase::Startup => smoothed,
            _ => (smoothed + shortest) / 2.0,
        };
        let window = self.phase.gain() * bandwidth * round_trip + extra;
        let window = match self.phase {
            Phase::Startup => window.max(self.window as f64),
            _ => window.min(2.0 * self.fits() + extra).min(self.bound + extra),
        };
        self.window = (window as u64).max(LEAST_PACKETS * self.mtu);
    }
}

impl Controller for Model {
    fn on_sent(&mut self, now: Instant, _bytes: u64, _last: u64) {
        if self.departures.is_empty() {
            (self.first_sent, self.delivered_at) = (now, now);
        }
        if self.departures.back().is_none_or(|last| last.at != now) {
            self.departures.push_back(Departure {
                at: now,
                delivered: self.delivered,
                delivered_at: self.delivered_at,
                first_sent: self.first_sent,
            });
        }
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, _app_limited: bool, round_trip: &RttEstimator) {
        self.delivered += bytes;
        self.delivered_at = now;
        self.acknowledged_in_round += bytes;
        self.acknowledged_now += bytes;
        self.smoothed = round_trip.get();
        self.latest = self.latest.max(Some(sent));
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, _largest: Option<u64>) {
        self.batch = (self.batch * 0.98).max(self.acknowledged_now as f64);
        self.acknowledged_now = 0;
        let Some(sent) = self.latest.take() else { return };
        let Some(departure) = self.departure(sent) else { return };
        self.first_sent = departure.at;
        let round_trip = now - sent;
        if !round_trip.is_zero() && self.shortest.is_none_or(|(shortest, _)| round_trip <= shortest) {
            self.shortest = Some((round_trip, now));
        }
        self.measure(now, departure, app_limited);
        if departure.delivered >= self.round_ends {
            self.end_round(app_limited, in_flight as f64);
        }
        self.advance(now, in_flight as f64);
        self.resize();
    }

    fn on_congestion_event(&mut self, _now: Instant, _sent: Instant, persistent: bool, lost: u64) {
        self.lost_in_round += lost;
        if persistent {
            self.window = LEAST_PACKETS * self.mtu;
        }
    }

    fn on_mtu_update(&mut self, mtu: u16) {
        self.mtu = mtu.into();
    }

    fn window(&self) -> u64 {
        self.window
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = ControllerMetrics::default();
        metrics.congestion_window = self.window;
        metrics.pacing_rate = Some((self.bandwidth() * 8.0) as u64);
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        INITIAL_WINDOW
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests;
