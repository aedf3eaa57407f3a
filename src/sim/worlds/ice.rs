//! Peers that have their STUN and TURN servers from the relay.

use super::{Outcome, SECOND, check};
use crate::Config;
use crate::sim::{Weather, World};
use std::time::Duration;
use web_time::Instant;

/// Connections come and go, and so does the relay, for many times the credentials' lifetime.
pub(super) fn new_connections_have_the_relays_servers_with_credentials_that_hold(now: Instant, seed: u64) -> Outcome {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0x1ce);
    let mut world = World::new(now, seed, Weather::default());
    world.give_ice_servers(Duration::from_secs(rng.u64(2..60)));
    let config = Config {
        lanes: 1..=2,
        ..Config::default()
    };
    let nodes = [1, 2, 3].map(|uuid| world.add(uuid, config.clone(), false));
    world.run_for(SECOND);
    let mut opened = 0;
    for _ in 0..12 {
        let (from, to) = (rng.usize(0..3), rng.usize(1..3));
        let (from, to) = (nodes[from], nodes[(from + to) % 3]);
        match rng.u8(0..6) {
            0 => world.set_relay_up(false),
            1 => world.set_relay_up(true),
            2 => {
                world.kill(from, rng.bool());
                world.run_for(SECOND);
                world.restart(from);
            }
            _ => {
                world.send(from, to, "hello");
            }
        }
        world.run_for(Duration::from_millis(rng.u64(10..40_000)));
        opened += nodes.iter().map(|node| world.opened_rtcs(*node)).sum::<usize>();
    }
    let in_vain: usize = nodes.iter().map(|node| world.opened_in_vain(*node)).sum();
    check(in_vain == 0, || {
        format!("{in_vain} connections of {opened} without servers that hold")
    })
}
