//! Worlds for the model: paths as they are, each with several seeds.

use crate::quic::carrier::Control;
use crate::quic::network::{Network, Way};
use quinn_proto::congestion::CubicConfig;
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// Bytes a second of 50 Mbit/s.
const LINE: f64 = 6.25e6;
/// Bytes of its queue.
const QUEUE: usize = 125_000;
const CHUNK: usize = 65_554;

/// A path of this round trip, with what is special about it.
fn path(round_trip: u64, change: impl Fn(&mut Way)) -> Vec<Way> {
    let there = Way::new(round_trip / 2).with(|way| {
        (way.rate, way.queue) = (LINE, QUEUE);
        change(way);
    });
    vec![there, Way::new(round_trip / 2)]
}

/// The share of the line that one flow has from `warm` on, for some seconds, at the worst of some seeds.
fn share(ways: &[Way], warm: Duration, seconds: u32) -> f64 {
    let share = |seed| {
        let mut network = Network::new(seed, ways.to_vec());
        let [a, b] = network.connect([0, 1]);
        network.ends[b].keeps = false;
        network.ends[a].streams = Some(CHUNK);
        network.run(warm);
        let before = network.ends[b].bytes;
        network.run(SECOND * seconds);
        (network.ends[b].bytes - before) as f64 / f64::from(seconds) / LINE
    };
    seeds().map(share).fold(f64::MAX, f64::min)
}

/// The first few, or as many as `SEEDS` says.
fn seeds() -> std::ops::RangeInclusive<u64> {
    let count = std::env::var("SEEDS").ok().and_then(|count| count.parse().ok());
    1..=count.unwrap_or(2)
}

#[test]
fn a_seed_goes_the_same_way_each_time() {
    let run = |seed| {
        let bad = path(20, |way| (way.loss, way.jitter) = (0.01, Duration::from_millis(3)));
        let mut network = Network::new(seed, bad);
        let [a, b] = network.connect([0, 1]);
        network.ends[a].streams = Some(CHUNK);
        network.ends[b].keeps = false;
        network.run(SECOND);
        let ways = [0, 1].map(|at| {
            let way = &network.ways[at];
            (way.passed, way.lost, way.waited.to_bits())
        });
        (network.ends[b].bytes, ways)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn a_line_is_filled_within_ten_round_trips() {
    let share = share(&path(50, |_| {}), Duration::from_millis(500), 3);
    assert!(share > 0.9, "{share}");
}

#[test]
fn chance_losses_take_little_more_than_themselves() {
    let share = share(&path(50, |way| way.loss = 0.01), SECOND, 5);
    assert!(share > 0.85, "{share}");
}

#[test]
fn bursts_of_losses_leave_half_of_the_line() {
    let bursts = path(50, |way| (way.loss, way.burst) = (0.02, 4));
    let share = share(&bursts, SECOND, 5);
    assert!(share > 0.5, "{share}");
}

#[test]
fn the_queue_stays_short_and_little_is_dropped() {
    let mut network = Network::new(1, path(20, |_| {}));
    let [a, b] = network.connect([0, 1]);
    network.ends[b].keeps = false;
    network.ends[a].streams = Some(CHUNK);
    network.run(SECOND * 10);
    let way = &network.ways[0];
    let (waited, dropped) = (way.waited / way.passed as f64, way.dropped as f64 / way.passed as f64);
    assert!(
        waited < 30_000.0 && dropped < 0.01,
        "{waited} bytes wait, {dropped} dropped"
    );
    assert!(network.ends[b].bytes as f64 > 0.9 * 10.0 * LINE);
}

#[test]
fn a_line_that_shrinks_and_grows_is_followed() {
    let mut network = Network::new(1, path(40, |_| {}));
    let [a, b] = network.connect([0, 1]);
    network.ends[b].keeps = false;
    network.ends[a].streams = Some(CHUNK);
    network.run(SECOND * 2);
    for (rate, least) in [(LINE / 5.0, 0.75), (LINE, 0.7)] {
        network.ways[0].rate = rate;
        network.run(SECOND * 3);
        let before = network.ends[b].bytes;
        network.run(SECOND * 3);
        let share = (network.ends[b].bytes - before) as f64 / 3.0 / rate;
        assert!(share > least, "{share} of {rate}");
    }
}

/// What share of the line each of two flows has, the second of which begins later.
fn side_by_side(seed: u64, first: Option<Control>, later: Duration) -> [f64; 2] {
    let mut network = Network::new(seed, path(20, |_| {}));
    let flow = |network: &mut Network, control| {
        let [from, to] = network.connect_by([0, 1], control);
        network.ends[to].keeps = false;
        network.ends[from].streams = Some(CHUNK);
        to
    };
    let a = flow(&mut network, first);
    network.run(later);
    let b = flow(&mut network, None);
    network.run(SECOND * 4);
    let before = [a, b].map(|end| network.ends[end].bytes);
    network.run(SECOND * 10);
    let bytes = [a, b].map(|end| network.ends[end].bytes);
    [0, 1].map(|at| (bytes[at] - before[at]) as f64 / 10.0 / LINE)
}

/// Ten seconds soon after ours has begun, by each of a thousand seeds; on average ours has 0.39 of the line, and the other
/// 0.57. It is not promised for later, when the round trip has been measured in the other's queue.
#[test]
fn beside_a_flow_that_goes_by_losses_each_gets_a_fifth_at_first() {
    for seed in seeds() {
        let shares = side_by_side(seed, Some(Arc::new(CubicConfig::default())), SECOND * 2);
        assert!(shares.iter().all(|share| *share >= 0.2), "seed {seed}: {shares:?}");
    }
}

#[test]
fn two_flows_side_by_side_get_a_third_each_at_least() {
    for (seed, later) in seeds().flat_map(|seed| [(seed, Duration::ZERO), (seed, SECOND * 3)]) {
        let shares = side_by_side(seed, None, later);
        assert!(
            shares.iter().all(|share| *share >= 1.0 / 3.0),
            "seed {seed}, {later:?}: {shares:?}"
        );
    }
}

#[test]
fn a_fast_start_into_a_short_queue_ends_no_connection() {
    // 480 Mbit/s over 150 ms with 150 kB of queue: one long stream would get more gaps than a receiver keeps.
    let ways = path(150, |way| (way.rate, way.queue) = (60e6, 150_000));
    let share = share(&ways, SECOND * 2, 2) * LINE / 1e6;
    assert!(share > 6.0, "{share} MB/s");
}
