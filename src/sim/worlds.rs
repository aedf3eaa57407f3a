//! Worlds that must end well for every seed. Each returns what went wrong.

use super::{NodeId, Ticket, Weather, World};
use crate::chunk::{self, Header, Kind};
use crate::request::{Reply, Request, Target};
use crate::{Config, Error, Message};
use bytes::Bytes;
use std::time::Duration;
use uuid::Uuid;
use web_time::Instant;

mod credit;
mod crowd;
mod ice;
mod identity;
mod impostor;
mod lanes;
mod silence;

/// What went wrong, if anything.
pub type Outcome = Result<(), String>;

/// A world by its name: the time its clock begins at, and the seed.
pub type Named = (&'static str, fn(Instant, u64) -> Outcome);

/// Every world that there is.
pub fn all() -> impl Iterator<Item = Named> {
    ALL.iter().chain(lanes::ALL).copied()
}

const ALL: &[Named] = &[
    ("both_call_at_once", both_call_at_once),
    (
        "a_foreign_call_is_answered_and_used",
        a_foreign_call_is_answered_and_used,
    ),
    (
        "order_is_kept_over_disorderly_channels",
        order_is_kept_over_disorderly_channels,
    ),
    ("everything_reaches_a_foreign_peer", everything_reaches_a_foreign_peer),
    (
        "a_killed_peer_that_is_back_connects_at_once",
        a_killed_peer_that_is_back_connects_at_once,
    ),
    ("close_delivers_everything", close_delivers_everything),
    ("both_close_at_once", both_close_at_once),
    (
        "a_send_after_the_other_side_closed_connects_again",
        a_send_after_the_other_side_closed_connects_again,
    ),
    ("a_send_to_a_dead_peer_fails", a_send_to_a_dead_peer_fails),
    (
        "a_lost_relay_touches_no_open_connection",
        a_lost_relay_touches_no_open_connection,
    ),
    (
        "an_unknown_peer_is_said_to_be_unknown",
        an_unknown_peer_is_said_to_be_unknown,
    ),
    (
        "a_slow_reader_holds_the_sender_back",
        a_slow_reader_holds_the_sender_back,
    ),
    (
        "hostile_relay_messages_change_nothing",
        hostile_relay_messages_change_nothing,
    ),
    (
        "hostile_frames_hurt_only_their_own_messages",
        hostile_frames_hurt_only_their_own_messages,
    ),
    ("many_peers_call_each_other", many_peers_call_each_other),
    (
        "a_reader_that_rests_gets_everything_and_never_much_at_once",
        credit::a_reader_that_rests_gets_everything_and_never_much_at_once,
    ),
    ("both_flood_before_they_read", credit::both_flood_before_they_read),
    (
        "a_message_larger_than_any_window_passes",
        credit::a_message_larger_than_any_window_passes,
    ),
    ("a_long_path_is_kept_busy", credit::a_long_path_is_kept_busy),
    ("who_ignores_its_credit_is_left", credit::who_ignores_its_credit_is_left),
    (
        "a_frozen_peer_is_lost_when_dead_after_is_over_and_not_before",
        silence::a_frozen_peer_is_lost_when_dead_after_is_over_and_not_before,
    ),
    (
        "peers_with_keys_verify_each_other",
        identity::peers_with_keys_verify_each_other,
    ),
    (
        "a_hostile_relay_deceives_nobody",
        identity::a_hostile_relay_deceives_nobody,
    ),
    (
        "a_taken_id_gets_nothing_of_a_connection_that_works",
        identity::a_taken_id_gets_nothing_of_a_connection_that_works,
    ),
    ("who_must_be_verified_is", identity::who_must_be_verified_is),
    (
        "new_connections_have_the_relays_servers_with_credentials_that_hold",
        ice::new_connections_have_the_relays_servers_with_credentials_that_hold,
    ),
    (
        "all_connections_share_one_budget",
        credit::all_connections_share_one_budget,
    ),
    ("empty_offers_keep_nobody_out", identity::empty_offers_keep_nobody_out),
    (
        "strangers_that_go_no_further_keep_nobody_out",
        crowd::strangers_that_go_no_further_keep_nobody_out,
    ),
    (
        "who_names_a_peers_certificate_beside_its_own_is_not_that_peer",
        impostor::who_names_a_peers_certificate_beside_its_own_is_not_that_peer,
    ),
];

const LONG: Duration = Duration::from_secs(120);
const SECOND: Duration = Duration::from_secs(1);

struct Pair {
    world: World,
    rng: fastrand::Rng,
    a: NodeId,
    b: NodeId,
}

fn any_weather(rng: &mut fastrand::Rng) -> Weather {
    Weather {
        relay_delay: Duration::from_millis(rng.u64(0..200)),
        path_delay: Duration::from_millis(rng.u64(0..100)),
        disorder: rng.bool(),
    }
}

fn pair(now: Instant, seed: u64, foreign: bool) -> Pair {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0x5eed);
    let mut world = World::new(now, seed, any_weather(&mut rng));
    let config = || Config {
        channels: 1 + (seed % 5) as u16,
        ..Config::default()
    };
    let (mut a, mut b) = (u128::from(rng.u64(1..)), u128::from(rng.u64(1..)));
    if a == b {
        (a, b) = (1, 2);
    }
    let a = world.add(a, config(), false);
    let b = world.add(b, config(), foreign);
    if seed & 2 != 0 {
        world.make_page(a);
    }
    if seed & 4 != 0 && !foreign {
        world.make_page(b);
    }
    world.run_for(SECOND);
    Pair { world, rng, a, b }
}

fn both_call_at_once(now: Instant, seed: u64) -> Outcome {
    let Pair {
        mut world,
        mut rng,
        a,
        b,
    } = pair(now, seed, false);
    let count = rng.usize(1..5);
    let mut tickets = Vec::new();
    for i in 0..count {
        tickets.push(world.send(a, b, format!("a{i}")));
        world.run_for(Duration::from_millis(rng.u64(0..60)));
        tickets.push(world.send(b, a, format!("b{i}")));
    }
    let done = world.run_until(LONG, |w| w.received(a).len() == count && w.received(b).len() == count);
    check(done, || "not everything arrived".into())?;
    all_ok(&world, &tickets)?;
    world.run_for(LONG);
    check(world.live_links(a) == 1 && world.live_links(b) == 1, || {
        "not one connection".into()
    })?;
    in_order(&world, b, (0..count).map(|i| format!("a{i}").into()))?;
    in_order(&world, a, (0..count).map(|i| format!("b{i}").into()))
}

fn a_foreign_call_is_answered_and_used(now: Instant, seed: u64) -> Outcome {
    let Pair {
        mut world,
        mut rng,
        a,
        b,
    } = pair(now, seed, true);
    let call = world.send(b, a, "foreign");
    check(world.run_until(LONG, |w| w.live_links(a) == 1), || {
        "the call does not arrive".into()
    })?;
    world.run_for(Duration::from_millis(rng.u64(0..100)));
    let reply = world.send(a, b, "ours");
    let done = world.run_until(LONG, |w| w.received(a).len() == 1 && w.received(b).len() == 1);
    check(done, || format!("{:?}", [call, reply].map(|t| world.reply(t).cloned())))?;
    check(world.live_links(a) == 1 && world.live_links(b) == 1, || {
        "not one connection".into()
    })
}

fn order_is_kept_over_disorderly_channels(now: Instant, seed: u64) -> Outcome {
    let Pair {
        mut world,
        mut rng,
        a,
        b,
    } = pair(now, seed, false);
    let messages: Vec<Message> = (0..40).map(|i| random_message(&mut rng, i)).collect();
    let tickets: Vec<Ticket> = messages
        .iter()
        .map(|message| world.send(a, b, message.clone()))
        .collect();
    let done = world.run_until(LONG, |w| w.received(b).len() == messages.len());
    check(done, || {
        format!("{} of {} arrived", world.received(b).len(), messages.len())
    })?;
    all_ok(&world, &tickets)?;
    in_order(&world, b, messages)
}

fn everything_reaches_a_foreign_peer(now: Instant, seed: u64) -> Outcome {
    let Pair {
        mut world,
        mut rng,
        a,
        b,
    } = pair(now, seed, true);
    let (from, to) = if rng.bool() { (a, b) } else { (b, a) };
    let messages: Vec<Message> = (0..20).map(|i| random_message(&mut rng, i)).collect();
    for message in &messages {
        world.send(from, to, message.clone());
    }
    let close = world.request(from, Request::Close(Target::Peer(world.uuid(to))));
    check(world.run_until(LONG, |w| w.reply(close).is_some()), || {
        "close hangs".into()
    })?;
    world.run_for(SECOND);
    let mut sent: Vec<&[u8]> = messages.iter().map(Message::as_bytes).collect();
    let mut received: Vec<&[u8]> = world
        .received(to)
        .iter()
        .map(|(_, message)| message.as_bytes())
        .collect();
    sent.sort_unstable();
    received.sort_unstable();
    check(sent == received, || {
        format!("{} of {} arrived", received.len(), sent.len())
    })
}

fn a_killed_peer_that_is_back_connects_at_once(now: Instant, seed: u64) -> Outcome {
    let Pair {
        mut world,
        mut rng,
        a,
        b,
    } = pair(now, seed, false);
    connect(&mut world, a, b)?;
    world.kill(b, rng.bool());
    world.run_for(Duration::from_millis(rng.u64(0..3000)));
    world.restart(b);
    world.run_for(SECOND);
    let ticket = world.send(b, a, "back");
    let arrived = |w: &World| {
        w.received(a)
            .iter()
            .any(|(_, message)| message.as_text() == Some("back"))
    };
    check(world.run_until(SECOND * 3, arrived), || {
        "the returned peer is not heard".into()
    })?;
    all_ok(&world, &[ticket])?;
    let ticket = world.send(a, b, "welcome");
    let heard = world.run_until(SECOND * 3, |w| !w.received(b).is_empty() && w.reply(ticket).is_some());
    check(heard, || "the returned peer does not hear".into())?;
    world.run_for(LONG);
    check(world.live_links(a) == 1 && world.live_links(b) == 1, || {
        "not one connection".into()
    })
}

fn close_delivers_everything(now: Instant, seed: u64) -> Outcome {
    let Pair {
        mut world,
        mut rng,
        a,
        b,
    } = pair(now, seed, false);
    let messages: Vec<Message> = (0..30).map(|i| random_message(&mut rng, i)).collect();
    let tickets: Vec<Ticket> = messages
        .iter()
        .map(|message| world.send(a, b, message.clone()))
        .collect();
    if rng.bool() {
        world.run_for(Duration::from_millis(rng.u64(0..1000)));
    }
    let close = match rng.bool() {
        true => world.request(a, Request::Close(Target::Peer(world.uuid(b)))),
        false => world.request(a, Request::CloseAll),
    };
    check(world.run_until(LONG, |w| w.reply(close).is_some()), || {
        "close hangs".into()
    })?;
    all_ok(&world, &tickets)?;
    all_ok(&world, &[close])?;
    world.run_for(SECOND);
    check(world.live_links(a) == 0 && world.live_links(b) == 0, || {
        "a connection is left".into()
    })?;
    in_order(&world, b, messages)
}

fn both_close_at_once(now: Instant, seed: u64) -> Outcome {
    let Pair {
        mut world,
        mut rng,
        a,
        b,
    } = pair(now, seed, false);
    connect(&mut world, a, b)?;
    let closed = [(a, b), (b, a)].map(|(from, to)| {
        world.send(from, to, "last");
        let close = world.request(from, Request::Close(Target::Peer(world.uuid(to))));
        world.run_for(Duration::from_millis(rng.u64(0..50)));
        close
    });
    check(
        world.run_until(LONG, |w| closed.iter().all(|t| w.reply(*t).is_some())),
        || "close hangs".into(),
    )?;
    world.run_for(SECOND * 20);
    check(world.live_links(a) == 0 && world.live_links(b) == 0, || {
        "a connection is left".into()
    })?;
    check(world.received(b).len() == 2, || {
        "the last message of the first to close is lost".into()
    })
}

fn a_send_after_the_other_side_closed_connects_again(now: Instant, seed: u64) -> Outcome {
    let Pair {
        mut world,
        mut rng,
        a,
        b,
    } = pair(now, seed, false);
    connect(&mut world, a, b)?;
    world.request(a, Request::Close(Target::Peer(world.uuid(b))));
    world.run_for(Duration::from_millis(rng.u64(0..300)));
    let ticket = world.send(b, a, "again");
    check(world.run_until(LONG, |w| w.reply(ticket).is_some()), || {
        "send hangs".into()
    })?;
    world.run_for(SECOND * 20);
    let again = world
        .received(a)
        .iter()
        .any(|(_, message)| message.as_text() == Some("again"));
    // Sent before the goodbye was heard it may fail, but not in silence.
    check(
        again || matches!(world.reply(ticket), Some(Err(Error::Closed { .. }))),
        || "lost in silence".into(),
    )
}

fn a_send_to_a_dead_peer_fails(now: Instant, seed: u64) -> Outcome {
    let Pair {
        mut world,
        mut rng,
        a,
        b,
    } = pair(now, seed, rng_bool(seed));
    connect(&mut world, a, b)?;
    world.set_reads(b, false);
    let tickets: Vec<Ticket> = (0..100).map(|_| world.send(a, b, vec![7; 1 << 20])).collect();
    world.run_for(Duration::from_millis(rng.u64(0..2000)));
    world.kill(b, true);
    let dead_after = Config::default().dead_after;
    let done = world.run_until(dead_after, |w| tickets.iter().all(|t| w.reply(*t).is_some()));
    check(done, || "a send hangs".into())?;
    let lost = tickets
        .iter()
        .filter(|t| matches!(world.reply(**t), Some(Err(Error::ConnectionLost { .. }))))
        .count();
    check(lost > 0, || "no send failed".into())?;
    check(world.live_links(a) == 0, || "the dead connection is left".into())
}

fn a_lost_relay_touches_no_open_connection(now: Instant, seed: u64) -> Outcome {
    let Pair {
        mut world,
        mut rng,
        a,
        b,
    } = pair(now, seed, false);
    connect(&mut world, a, b)?;
    world.set_relay_up(false);
    world.run_for(Duration::from_secs(rng.u64(1..300)));
    let ticket = world.send(a, b, "without relay");
    check(world.run_until(SECOND, |w| w.received(b).len() == 2), || {
        "the connection broke with the relay".into()
    })?;
    all_ok(&world, &[ticket])?;
    world.request(b, Request::Close(Target::Peer(world.uuid(a))));
    world.run_for(SECOND);
    let early = world.send(b, a, "early");
    world.run_for(Duration::from_millis(rng.u64(0..5000)));
    world.set_relay_up(true);
    check(world.run_until(LONG, |w| w.reply(early).is_some()), || {
        "send hangs".into()
    })?;
    world.run_for(Config::default().reconnect.max);
    let late = world.send(a, b, "late");
    check(world.run_until(LONG, |w| w.reply(late).is_some()), || {
        "send hangs".into()
    })?;
    all_ok(&world, &[late])
}

fn an_unknown_peer_is_said_to_be_unknown(now: Instant, seed: u64) -> Outcome {
    let Pair { mut world, a, b, .. } = pair(now, seed, false);
    let target = Target::Peer(Uuid::from_u128(u128::MAX));
    let ticket = world.request(
        a,
        Request::Send {
            target,
            message: "x".into(),
            timeout: None,
        },
    );
    check(world.run_until(SECOND * 2, |w| w.reply(ticket).is_some()), || {
        "no answer".into()
    })?;
    let reply = world.reply(ticket).cloned();
    check(matches!(reply, Some(Err(Error::PeerUnavailable { .. }))), || {
        format!("{reply:?}")
    })?;
    connect(&mut world, a, b)
}

fn a_slow_reader_holds_the_sender_back(now: Instant, seed: u64) -> Outcome {
    let Pair {
        mut world,
        mut rng,
        a,
        b,
    } = pair(now, seed, rng_bool(seed));
    connect(&mut world, a, b)?;
    world.set_reads(b, false);
    let size = rng.usize(1..1 << 20);
    let count = (64 << 20) / size.max(1 << 16);
    let tickets: Vec<Ticket> = (0..count)
        .map(|_| world.send(a, b, vec![1; size.max(1 << 16)]))
        .collect();
    world.run_for(LONG);
    let (unread, limit) = (world.unread_bytes(b), Config::default().receive_buffer_bytes);
    // What is on its way, or waits for an earlier message, comes on top.
    check(unread <= limit + (26 << 20), || format!("{unread} bytes are unread"))?;
    check(tickets.iter().any(|t| !matches!(world.reply(*t), Some(Ok(_)))), || {
        "the sender was not held back".into()
    })?;
    let before = world.received(b).len();
    check(before < count, || "everything was delivered".into())?;
    check(world.live_links(a) == 1, || {
        "a slow reader was taken for a dead one".into()
    })?;
    world.set_reads(b, true);
    world.run_for(LONG);
    let sent = tickets
        .iter()
        .filter(|t| matches!(world.reply(**t), Some(Ok(_))))
        .count();
    check(world.received(b).len() == sent + 1, || {
        format!("{} of {sent} arrived", world.received(b).len())
    })
}

fn hostile_relay_messages_change_nothing(now: Instant, seed: u64) -> Outcome {
    let Pair {
        mut world,
        mut rng,
        a,
        b,
    } = pair(now, seed, false);
    let (ua, ub) = (world.uuid(a), world.uuid(b));
    let stranger = Uuid::from_u128(3);
    let connected = rng.bool();
    if connected {
        connect(&mut world, a, b)?;
    }
    for source in [ua, ub, stranger] {
        for (description, error) in [
            ("null", "null"),
            (r#""""#, "null"),
            (r#""{}""#, "null"),
            (r#""{\"type\":\"bye\"}""#, "null"),
            (r#""{\"sdp\":\"\",\"type\":\"answer\"}""#, "null"),
            (r#""{\"sdp\":\"v=0\\r\\n\",\"type\":\"pranswer\"}""#, "null"),
            (
                r#""{\"candidate\":\"\",\"id\":\"0\",\"label\":0,\"type\":\"candidate\"}""#,
                "null",
            ),
            (r#""x""#, r#""no such peer""#),
        ] {
            let text = format!(
                r#"{{"source_uuid": "{source}", "source_name": "x", "peer_uuid": "{ua}", "description_type": "offer", "description": {description}, "error": {error}, "message_type": "peer_connection"}}"#
            );
            world.inject(a, &text);
        }
    }
    for text in [
        "",
        "[]",
        "{",
        "\u{feff}{}",
        r#"{"message_type": 1}"#,
        r#"{"message_type": "relay_response"}"#,
    ] {
        world.inject(a, text);
    }
    world.run_for(SECOND);
    let count = world.received(b).len();
    let ticket = world.send(a, b, "still here");
    check(world.run_until(LONG, |w| w.reply(ticket).is_some()), || {
        "send hangs".into()
    })?;
    all_ok(&world, &[ticket])?;
    world.run_for(SECOND);
    check(world.received(b).len() == count + 1, || "not delivered".into())
}

fn hostile_frames_hurt_only_their_own_messages(now: Instant, seed: u64) -> Outcome {
    let Pair {
        mut world,
        mut rng,
        a,
        b,
    } = pair(now, seed, true);
    connect(&mut world, b, a)?;
    let header = |stream_id, seq_id, seq_len| Header {
        kind: Kind::Bytes,
        stream_id,
        seq_id,
        seq_len,
    };
    for _ in 0..200 {
        let random: Vec<u8> = (0..rng.usize(0..40)).map(|_| rng.u8(..)).collect();
        let frame = match rng.u8(0..4) {
            0 => Bytes::from(random),
            1 => chunk::encode(&header(rng.u32(100..200), rng.u32(0..3), rng.u32(2..5)), &random).freeze(),
            2 => chunk::encode(&header(rng.u32(100..), 0, u32::MAX), &random).freeze(),
            _ => chunk::encode(&header(rng.u32(100..200), rng.u32(..), rng.u32(..)), &random).freeze(),
        };
        world.inject_frame(a, &frame);
    }
    world.run_for(SECOND);
    let ticket = world.send(b, a, "still here");
    let arrived = |w: &World| {
        w.received(a)
            .iter()
            .any(|(_, message)| message.as_text() == Some("still here"))
    };
    check(world.run_until(SECOND * 5, arrived), || {
        format!("{:?}", world.reply(ticket))
    })
}

fn many_peers_call_each_other(now: Instant, seed: u64) -> Outcome {
    let mut world = World::new(now, seed, Weather::default());
    let nodes: Vec<NodeId> = (1..=6).map(|uuid| world.add(uuid, Config::default(), false)).collect();
    world.run_for(SECOND);
    let mut tickets = Vec::new();
    for &from in &nodes {
        for &to in nodes.iter().filter(|to| **to != from) {
            tickets.push(world.send(from, to, "hello"));
        }
    }
    let done = world.run_until(LONG, |w| {
        nodes.iter().all(|node| w.received(*node).len() == nodes.len() - 1)
    });
    check(done, || "not everybody heard everybody".into())?;
    all_ok(&world, &tickets)?;
    world.run_for(LONG);
    check(
        nodes.iter().all(|node| world.live_links(*node) == nodes.len() - 1),
        || "connections are doubled".into(),
    )
}

fn connect(world: &mut World, from: NodeId, to: NodeId) -> Outcome {
    let before = world.received(to).len();
    let ticket = world.send(from, to, "connect");
    check(world.run_until(LONG, |w| w.received(to).len() > before), || {
        format!("{:?}", world.reply(ticket))
    })?;
    all_ok(world, &[ticket])
}

fn random_message(rng: &mut fastrand::Rng, i: usize) -> Message {
    let size = match rng.u8(0..4) {
        0 => 0,
        1 => rng.usize(1..100),
        2 => rng.usize(60_000..70_000),
        _ => rng.usize(0..500_000),
    };
    match rng.bool() {
        true => Message::Bytes(std::iter::repeat_n(i as u8, size).collect()),
        false => Message::Text(["é", "漢", "a", "🙂"][i % 4].repeat(size / 4)),
    }
}

fn rng_bool(seed: u64) -> bool {
    seed.count_ones().is_multiple_of(2)
}

fn check(condition: bool, what: impl FnOnce() -> String) -> Outcome {
    if condition { Ok(()) } else { Err(what()) }
}

fn all_ok(world: &World, tickets: &[Ticket]) -> Outcome {
    for ticket in tickets {
        match world.reply(*ticket) {
            Some(Ok(Reply::Done | Reply::Link(_) | Reply::Statistics(_))) => {}
            other => return Err(format!("a request was answered {other:?}")),
        }
    }
    Ok(())
}

fn in_order(world: &World, node: NodeId, expected: impl IntoIterator<Item = Message>) -> Outcome {
    let received = world.received(node).iter().map(|(_, message)| message);
    check(received.eq(expected.into_iter().collect::<Vec<_>>().iter()), || {
        "not as sent, or not in order".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_world_ends_well_for_many_seeds() {
        let seeds: u64 = std::env::var("SEEDS")
            .ok()
            .and_then(|seeds| seeds.parse().ok())
            .unwrap_or(100);
        let mut problems = Vec::new();
        let only = std::env::var("WORLD").unwrap_or_default();
        for (name, world) in all().filter(|(name, _)| name.contains(&only)) {
            let outcome = |seed| Some((seed, world(Instant::now(), seed).err()?));
            let bad: Vec<(u64, String)> = (0..seeds).filter_map(outcome).collect();
            if let Some((seed, problem)) = bad.first() {
                problems.push(format!(
                    "{name}: {} of {seeds} seeds; seed {seed}: {problem}",
                    bad.len()
                ));
            }
        }
        assert!(problems.is_empty(), "{problems:#?}");
    }
}
