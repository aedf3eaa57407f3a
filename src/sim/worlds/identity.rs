//! Worlds with a hostile relay: whoever dials an id that is a key gets that peer or an error, and what both sides agree on
//! cannot be changed.

use super::{LONG, Outcome, SECOND, Ticket, any_weather, check};
use crate::description::Description;
use crate::platform::SessionDescription;
use crate::relay::PeerConnectionMessage;
use crate::sim::{NodeId, Weather, World};
use crate::{Config, Error};
use std::time::Duration;
use uuid::Uuid;
use web_time::Instant;

struct Three {
    world: World,
    rng: fastrand::Rng,
    alice: NodeId,
    bob: NodeId,
    mallory: NodeId,
}

/// Three peers with keys, registered; the third is the relay's.
fn three(now: Instant, seed: u64) -> Three {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0x1d);
    let mut world = World::new(now, seed, any_weather(&mut rng));
    let config = || Config {
        channels: 1 + (seed % 3) as u16,
        ..Config::default()
    };
    let [alice, bob, mallory] = std::array::from_fn(|_| world.add_keyed(config()));
    if seed & 2 != 0 {
        world.make_page(alice);
    }
    if seed & 4 != 0 {
        world.make_page(bob);
    }
    world.run_for(SECOND);
    Three {
        world,
        rng,
        alice,
        bob,
        mallory,
    }
}

/// The message with another SDP.
fn with_sdp(mut message: PeerConnectionMessage, change: impl FnOnce(&str) -> String) -> PeerConnectionMessage {
    if let Ok(Description::Session(session)) = Description::decode(&message.description) {
        let sdp = change(&session.sdp);
        message.description = Description::Session(SessionDescription { sdp, ..session }).encode();
    }
    message
}

/// Nobody but those two was ever taken for one of them.
fn nobody_else(world: &World, nodes: &[NodeId]) -> Outcome {
    for node in nodes {
        for (from, message) in world.received(*node) {
            let said = message.as_text().unwrap_or_default();
            check(said == from.to_string(), || format!("{said:?} came as from {from}"))?;
        }
    }
    Ok(())
}

fn says_its_name(world: &mut World, from: NodeId, to: NodeId) -> crate::sim::Ticket {
    let name = world.uuid(from).to_string();
    world.send(from, to, name)
}

pub(super) fn peers_with_keys_verify_each_other(now: Instant, seed: u64) -> Outcome {
    let Three {
        mut world, alice, bob, ..
    } = three(now, seed);
    let ticket = says_its_name(&mut world, alice, bob);
    check(world.run_until(LONG, |w| w.received(bob).len() == 1), || {
        format!("{:?}", world.reply(ticket))
    })?;
    for (node, peer) in [(alice, bob), (bob, alice)] {
        let expected = vec![(world.uuid(peer), true)];
        check(world.verified(node) == expected, || {
            format!("{:?}", world.verified(node))
        })?;
    }
    nobody_else(&world, &[alice, bob])
}

/// Whatever the relay does with descriptions: an answer that is refused, or no effect.
pub(super) fn a_hostile_relay_deceives_nobody(now: Instant, seed: u64) -> Outcome {
    let Three {
        mut world,
        mut rng,
        alice,
        bob,
        mallory,
    } = three(now, seed);
    let [a, b, m] = [alice, bob, mallory].map(|node| world.uuid(node));
    let trick = rng.usize(0..TRICKS.len());
    let mut tamper = fastrand::Rng::with_seed(seed);
    let mut earlier: Vec<(Uuid, PeerConnectionMessage)> = Vec::new();
    world.set_tampering(move |message| {
        let changed = TRICKS[trick].1(&mut tamper, message.clone(), [a, b, m], &earlier);
        earlier.push((message.peer_uuid, message));
        changed
    });
    let tickets = [
        says_its_name(&mut world, alice, bob),
        says_its_name(&mut world, mallory, alice),
        says_its_name(&mut world, mallory, bob),
    ];
    world.run_for(LONG);
    let trick = TRICKS[trick].0;
    nobody_else(&world, &[alice, bob, mallory]).map_err(|error| format!("{trick}: {error}"))?;
    check(tickets.iter().all(|ticket| world.reply(*ticket).is_some()), || {
        format!("{trick}: a request hangs")
    })?;
    if TAMPERS.contains(&trick) {
        let named = |node| {
            world
                .ends(node)
                .any(|end| matches!(end, Error::IdentityMismatch { .. }))
        };
        check(named(alice) || named(bob), || {
            format!("{trick} is not named as tampering")
        })?;
    }
    Ok(())
}

/// Those that cannot remain without effect.
const TAMPERS: &[&str] = &["another fingerprint", "a word less", "no words in answers"];

type Trick = fn(
    &mut fastrand::Rng,
    PeerConnectionMessage,
    [Uuid; 3],
    &[(Uuid, PeerConnectionMessage)],
) -> Vec<(Uuid, PeerConnectionMessage)>;

fn as_it_is(message: PeerConnectionMessage) -> Vec<(Uuid, PeerConnectionMessage)> {
    vec![(message.peer_uuid, message)]
}

fn is_answer(message: &PeerConnectionMessage) -> bool {
    message.description.contains(r#""type": "answer""#)
}

fn without_word(sdp: &str, word: &str) -> String {
    sdp.replacen(&format!(" {word}"), "", 1)
}

/// Each a way of the relay to deal with the message at hand.
const TRICKS: &[(&str, Trick)] = &[
    ("nothing", |_, message, _, _| as_it_is(message)),
    ("another fingerprint", |_, message, [_, _, m], _| {
        let answers = is_answer(&message) && message.source_uuid != m;
        let flip = |sdp: &str| {
            let at = sdp.find("sha-256 ").map_or(0, |at| at + 8);
            let digit = if sdp[at..].starts_with('0') { "1" } else { "0" };
            format!("{}{digit}{}", &sdp[..at], &sdp[at + 1..])
        };
        as_it_is(if answers { with_sdp(message, flip) } else { message })
    }),
    ("a further fingerprint", |_, message, _, _| {
        let further = |sdp: &str| {
            let zeros = ["00"; 32].join(":");
            format!("{sdp}a=fingerprint:sha-256 {zeros}\r\n")
        };
        as_it_is(with_sdp(message, further))
    }),
    ("a word less", |_, message, [_, _, m], _| {
        let touched = message.source_uuid != m && message.peer_uuid != m;
        as_it_is(if touched {
            with_sdp(message, |sdp| without_word(sdp, "ordered"))
        } else {
            message
        })
    }),
    ("not sealed", |_, message, _, _| {
        as_it_is(with_sdp(message, |sdp| without_word(sdp, "seal")))
    }),
    ("no words in answers", |_, message, _, _| {
        let strip = |sdp: &str| {
            let lines = sdp.split_inclusive('\n');
            lines.filter(|line| !line.starts_with("a=x-crosspeer")).collect()
        };
        as_it_is(if is_answer(&message) {
            with_sdp(message, strip)
        } else {
            message
        })
    }),
    ("no words at all", |_, message, _, _| {
        let strip = |sdp: &str| {
            let lines = sdp.split_inclusive('\n');
            lines.filter(|line| !line.starts_with("a=x-crosspeer")).collect()
        };
        as_it_is(with_sdp(message, strip))
    }),
    ("Mallory as Bob", |_, mut message, [_, b, m], _| {
        // What is for Bob goes to Mallory, and what Mallory says is Bob's.
        if message.peer_uuid == b {
            message.peer_uuid = m;
        } else if message.source_uuid == m {
            message.source_uuid = b;
        }
        as_it_is(message)
    }),
    ("in the middle", |_, mut message, [a, b, m], _| {
        // Each speaks with Mallory under the other's name.
        let (to, from) = match (message.source_uuid, message.peer_uuid) {
            (from, to) if from == a && to == b => (m, from),
            (from, to) if from == m && to == a => (to, b),
            (from, to) => (to, from),
        };
        (message.peer_uuid, message.source_uuid) = (to, from);
        as_it_is(message)
    }),
    ("replays", |rng, message, _, earlier| {
        let mut all = as_it_is(message);
        for _ in 0..rng.usize(0..3) {
            all.extend(rng.choice(earlier).cloned());
        }
        all
    }),
    ("replays under other names", |rng, message, names, earlier| {
        let mut all = as_it_is(message);
        if let Some((_, mut old)) = rng.choice(earlier).cloned() {
            old.source_uuid = names[rng.usize(0..3)];
            old.peer_uuid = names[rng.usize(0..3)];
            all.push((old.peer_uuid, old));
        }
        all
    }),
    ("loses and doubles", |rng, message, _, _| match rng.u8(0..3) {
        0 => Vec::new(),
        1 => [as_it_is(message.clone()), as_it_is(message)].concat(),
        _ => as_it_is(message),
    }),
];

/// Alice and Bob, who have no key; she has sent him one message.
pub(super) fn friends(world: &mut World, alice: u128, foreign: bool) -> Result<[NodeId; 2], String> {
    let alice = world.add(alice, Config::default(), false);
    let bob = world.add(2, Config::default(), foreign);
    world.run_for(SECOND);
    let first = world.send(alice, bob, "first");
    check(world.run_until(LONG, |w| w.reply(first).is_some()), || {
        "no connection".into()
    })?;
    world.run_for(SECOND);
    Ok([alice, bob])
}

/// What Alice sent then went to Bob alone.
pub(super) fn went_to(world: &World, bob: NodeId, mallory: NodeId, tickets: &[Ticket]) -> Outcome {
    check(world.received(mallory).is_empty(), || "it went to Mallory".into())?;
    let (arrived, sent) = (world.received(bob).len(), 1 + tickets.len());
    check(arrived == sent, || format!("{arrived} of {sent} arrived"))?;
    check(tickets.iter().all(|t| matches!(world.reply(*t), Some(Ok(_)))), || {
        "a send failed".into()
    })
}

/// A peer without a key that is connected; somebody else takes its id.
pub(super) fn a_taken_id_gets_nothing_of_a_connection_that_works(now: Instant, seed: u64) -> Outcome {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut world = World::new(now, seed, Weather::default());
    let foreign = rng.bool();
    let [alice, bob] = friends(&mut world, 1 + 2 * rng.u128(0..2), foreign)?;
    // Mallory's process registers Bob's id.
    let mallory = world.add(2, Config::default(), rng.bool());
    world.run_for(SECOND);
    let call = world.send(mallory, alice, "I am Bob");
    world.run_for(SECOND);
    let tickets: Vec<_> = (0..20).map(|_| world.send(alice, bob, vec![7; 100_000])).collect();
    world.run_for(SECOND * 20);
    went_to(&world, bob, mallory, &tickets)?;
    world.run_for(LONG);
    check(world.reply(call).is_some_and(Result::is_err), || {
        format!("{:?}", world.reply(call))
    })
}

/// Only peers with keys are let in, or called.
pub(super) fn who_must_be_verified_is(now: Instant, seed: u64) -> Outcome {
    let mut world = World::new(now, seed, Weather::default());
    let strict = Config {
        require_verified: true,
        ..Config::default()
    };
    let alice = world.add_keyed(strict);
    let bob = world.add_keyed(Config::default());
    let other = world.add(3, Config::default(), seed & 1 == 0);
    world.run_for(SECOND);
    let good = says_its_name(&mut world, bob, alice);
    let bad = [world.send(other, alice, "?"), world.send(alice, other, "?")];
    world.run_for(LONG);
    check(matches!(world.reply(good), Some(Ok(_))), || "not let in".into())?;
    for ticket in bad {
        check(world.reply(ticket).is_some_and(Result::is_err), || "let in".into())?;
    }
    let refused = matches!(world.reply(bad[1]), Some(Err(Error::NotVerified { .. })));
    check(refused && world.received(other).is_empty(), || {
        format!("{:?}", world.reply(bad[1]))
    })
}

/// Offers of peers that do not exist, in numbers: somebody who does gets an answer nevertheless.
pub(super) fn empty_offers_keep_nobody_out(now: Instant, seed: u64) -> Outcome {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut world = World::new(now, seed, Weather::default());
    let alice = world.add_keyed(Config::default());
    let bob = world.add(2, Config::default(), false);
    world.run_for(SECOND);
    let offer = |rng: &mut fastrand::Rng, to: Uuid| {
        let sdp = format!(
            "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:0\r\na=ice-ufrag:{}\r\n",
            rng.u32(..)
        );
        let sdp_type = crate::platform::SdpType::Offer;
        let message = PeerConnectionMessage {
            source_uuid: Uuid::from_u128(rng.u128(1000..)),
            source_name: "nobody".into(),
            peer_uuid: to,
            description_type: crate::relay::DescriptionType::Offer,
            description: Description::Session(SessionDescription { sdp_type, sdp }).encode(),
            error: None,
        };
        // Some of the random ids look like keys, and are refused at once.
        crate::relay::RelayMessage::PeerConnection(message).encode()
    };
    for _ in 0..300 {
        let text = offer(&mut rng, world.uuid(alice));
        world.inject(alice, &text);
    }
    world.run_for(Duration::from_millis(100));
    let most = world.open_rtcs(alice);
    check(most <= 32, || format!("{most} peer connections at once"))?;
    let ticket = world.send(bob, alice, "honest");
    // Some ten a second go on meanwhile.
    for _ in 0..20 {
        let text = offer(&mut rng, world.uuid(alice));
        world.inject(alice, &text);
        world.run_for(Duration::from_millis(100));
    }
    check(world.received(alice).len() == 1, || {
        format!("the honest peer waits: {:?}", world.reply(ticket))
    })
}
