//! More callers than there is room for.

use super::{Outcome, SECOND, check};
use crate::description::Description;
use crate::platform::{Event, RtcEvent, RtcId, SdpType, SessionDescription};
use crate::relay::{DescriptionType, PeerConnectionMessage, RelayMessage};
use crate::sim::{NodeId, Weather, World};
use crate::{Config, Stage};
use std::time::Duration;
use uuid::Uuid;
use web_time::Instant;

/// Attempts that are answered at once, whoever calls.
const MOST: usize = 32;

/// An offer that nothing comes of.
fn offer(world: &mut World, rng: &mut fastrand::Rng, to: NodeId) {
    let sdp = format!(
        "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:0\r\na=ice-ufrag:{}\r\n",
        rng.u32(..)
    );
    let sdp_type = SdpType::Offer;
    let message = PeerConnectionMessage {
        // None that looks like a key, which would be refused.
        source_uuid: Uuid::from_u128(rng.u64(1000..).into()),
        source_name: "nobody".into(),
        peer_uuid: world.uuid(to),
        description_type: DescriptionType::Offer,
        description: Description::Session(SessionDescription { sdp_type, sdp }).encode(),
        error: None,
    };
    world.inject(to, &RelayMessage::PeerConnection(message).encode());
}

/// Strangers answer checks, and begin DTLS or not, but no more; or there are few places, and strangers that answer nothing
/// have them all.
pub(super) fn strangers_that_go_no_further_keep_nobody_out(now: Instant, seed: u64) -> Outcome {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0xc0);
    let mut world = World::new(now, seed, Weather::default());
    let stage = rng.choice([None, Some(Stage::Dtls), Some(Stage::Channels)]).flatten();
    let places = stage.map_or(1 + rng.usize(..MOST - 1), |_| rng.usize(MOST..100));
    let crowd = places.min(MOST);
    let config = Config {
        max_connections: places,
        ..Config::default()
    };
    let alice = world.add_keyed(config);
    let bob = world.add(2, Config::default(), false);
    world.run_for(SECOND);
    (0..crowd).for_each(|_| offer(&mut world, &mut rng, alice));
    world.run_for(SECOND);
    for rtc in 0..world.opened_rtcs(alice) {
        if let Some(stage) = stage {
            let event = Event::Rtc(RtcId(rtc as u64), RtcEvent::Progress(stage));
            world.event_soon(alice, event, Duration::ZERO);
        }
    }
    world.run_for(SECOND);
    // Whoever has come further than its addresses is given some time.
    let before = world.ends(alice).count();
    offer(&mut world, &mut rng, alice);
    world.run_for(SECOND);
    let given_up = world.ends(alice).count() - before;
    check(given_up == usize::from(stage.is_none()), || {
        format!("{given_up} gave way at {stage:?}")
    })?;
    world.run_for(SECOND * 3);
    let ticket = world.send(bob, alice, "honest");
    world.run_for(SECOND);
    check(world.received(alice).len() == 1, || {
        format!(
            "{places} places, {stage:?}: the honest peer waits: {:?}",
            world.reply(ticket)
        )
    })?;
    let most = world.open_rtcs(alice);
    check(most <= crowd, || format!("{most} peer connections"))
}
