//! Peers that say nothing for a while, or for ever.

use super::{LONG, Outcome, SECOND, check, connect, rng_bool};
use crate::sim::{Weather, World};
use crate::{Config, Error};
use std::time::Duration;
use web_time::Instant;

/// What the world's network may add to a silence.
const DELAY: Duration = Duration::from_millis(50);

pub(super) fn a_frozen_peer_is_lost_when_dead_after_is_over_and_not_before(now: Instant, seed: u64) -> Outcome {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0xf0);
    let dead_after = SECOND * rng.choice([2, 8, 30]).unwrap_or(2);
    let weather = Weather {
        path_delay: DELAY,
        ..Weather::default()
    };
    let mut world = World::new(now, seed, weather);
    let config = Config {
        dead_after,
        session_timeout: Duration::ZERO,
        lanes: if rng.bool() { 1..=1 } else { 3..=3 },
        ..Config::default()
    };
    let (a, b) = (
        world.add(1, config.clone(), false),
        world.add(2, config, rng_bool(seed)),
    );
    world.run_for(SECOND);
    connect(&mut world, a, b)?;
    world.run_for(SECOND);
    let (lives, dies) = (dead_after - SECOND - DELAY, dead_after + SECOND);
    let before = world.received(b).len();
    let survives = rng.bool();
    world.freeze(b, if survives { lives } else { dies + SECOND });
    let ticket = world.send(a, b, "while it stands still");
    world.run_for(dead_after - SECOND);
    check(world.ends(a).count() == 0, || {
        format!("lost too early: {:?}", world.ends(a).next())
    })?;
    world.run_for(SECOND * 2);
    if survives {
        world.run_for(LONG);
        check(world.ends(a).count() + world.ends(b).count() == 0, || {
            "lost though it was back in time".into()
        })?;
        return check(world.received(b).len() == before + 1, || {
            format!("{:?}", world.reply(ticket))
        });
    }
    let lost = matches!(world.ends(a).next(), Some(Error::ConnectionLost { .. }));
    check(lost, || "not lost in time".into())
}
