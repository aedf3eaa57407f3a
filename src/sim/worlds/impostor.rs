//! Somebody under the id of a peer that is connected, which names that peer's certificate too.

use super::{Outcome, SECOND, identity};
use crate::Config;
use crate::description::Description;
use crate::platform::SessionDescription;
use crate::relay::PeerConnectionMessage;
use crate::sim::{Weather, World, engine};
use std::time::Duration;
use web_time::Instant;

/// An offer that has this line after its last one.
fn with_line(mut message: PeerConnectionMessage, line: &str) -> PeerConnectionMessage {
    if let Ok(Description::Session(SessionDescription { sdp_type, sdp })) = Description::decode(&message.description) {
        let sdp = format!("{sdp}{line}\r\n");
        message.description = Description::Session(SessionDescription { sdp_type, sdp }).encode();
    }
    message
}

/// An engine may take another of two certificates than is looked at here.
pub(super) fn who_names_a_peers_certificate_beside_its_own_is_not_that_peer(now: Instant, seed: u64) -> Outcome {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0x11);
    let mut world = World::new(now, seed, Weather::default());
    let [alice, bob] = identity::friends(&mut world, 1, false)?;
    let mallory = world.add(2, Config::default(), false);
    world.run_for(SECOND);
    let line = format!(
        "a=fingerprint:sha-256 {}",
        engine::certificate_of(bob.0 as u64, world.nodes[bob.0].life + 1, 0)
    );
    let to = world.uuid(alice);
    world.set_tampering(move |message| {
        let peer = message.peer_uuid;
        let changed = if peer == to { with_line(message, &line) } else { message };
        vec![(peer, changed)]
    });
    let tickets: Vec<_> = (0..40).map(|_| world.send(alice, bob, vec![7; 100_000])).collect();
    world.send(mallory, alice, "I am Bob");
    world.run_for(Duration::from_millis(rng.u64(..100)));
    world.run_for(SECOND * 20);
    identity::went_to(&world, bob, mallory, &tickets)
}
