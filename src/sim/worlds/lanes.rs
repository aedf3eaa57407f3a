//! Connections over several lanes, which open, close and die.

use super::*;
use std::ops::RangeInclusive;

mod harm;
mod sessions;

/// Every world of lanes.
pub(super) const ALL: &[Named] = &[
    ("lanes_carry_everything_in_order", lanes_carry_everything_in_order),
    ("lanes_that_die_lose_nothing", lanes_that_die_lose_nothing),
    (
        "the_death_of_all_lanes_is_a_clear_end",
        the_death_of_all_lanes_is_a_clear_end,
    ),
    (
        "a_close_with_many_lanes_delivers_everything",
        a_close_with_many_lanes_delivers_everything,
    ),
    ("lanes_come_and_go_as_wanted", lanes_come_and_go_as_wanted),
    ("lanes_need_both_sides", lanes_need_both_sides),
    (
        "a_peer_that_does_not_read_can_still_send",
        a_peer_that_does_not_read_can_still_send,
    ),
    (
        "lanes_that_do_not_come_up_harm_nothing",
        lanes_that_do_not_come_up_harm_nothing,
    ),
    (
        "lanes_that_stand_still_hold_nothing_up",
        harm::lanes_that_stand_still_hold_nothing_up,
    ),
    (
        "a_transfer_does_not_wait_for_lanes_that_are_being_made",
        harm::a_transfer_does_not_wait_for_lanes_that_are_being_made,
    ),
    (
        "lanes_that_cannot_be_made_are_not_tried_for_ever",
        harm::lanes_that_cannot_be_made_are_not_tried_for_ever,
    ),
    ("a_close_in_the_middle_ends_well", harm::a_close_in_the_middle_ends_well),
    (
        "hostile_words_about_lanes_hurt_only_their_own_connection",
        harm::hostile_words_about_lanes_hurt_only_their_own_connection,
    ),
    (
        "a_killed_peer_with_many_lanes_is_connected_again",
        harm::a_killed_peer_with_many_lanes_is_connected_again,
    ),
    ("no_lane_is_opened_while_all_die", harm::no_lane_is_opened_while_all_die),
    ("a_lane_has_one_channel", harm::a_lane_has_one_channel),
    ("lanes_take_no_callers_place", harm::lanes_take_no_callers_place),
    (
        "an_old_wish_for_lanes_is_ignored",
        harm::an_old_wish_for_lanes_is_ignored,
    ),
    (
        "paths_that_are_cut_lose_nothing",
        sessions::paths_that_are_cut_lose_nothing,
    ),
    (
        "processes_that_stand_still_lose_nothing",
        sessions::processes_that_stand_still_lose_nothing,
    ),
    (
        "a_killed_peer_is_soon_known_to_be_dead",
        sessions::a_killed_peer_is_soon_known_to_be_dead,
    ),
    (
        "a_peer_that_is_started_anew_is_connected_anew",
        sessions::a_peer_that_is_started_anew_is_connected_anew,
    ),
    (
        "a_path_that_never_comes_back_is_a_clear_end",
        sessions::a_path_that_never_comes_back_is_a_clear_end,
    ),
    (
        "a_network_that_changes_is_left_at_once",
        sessions::a_network_that_changes_is_left_at_once,
    ),
    (
        "a_silent_path_without_a_relay_is_waited_for",
        sessions::a_silent_path_without_a_relay_is_waited_for,
    ),
    (
        "a_close_without_a_path_ends_well",
        sessions::a_close_without_a_path_ends_well,
    ),
    (
        "lanes_in_bad_weather_lose_nothing",
        harm::lanes_in_bad_weather_lose_nothing,
    ),
];

struct Lanes {
    world: World,
    rng: fastrand::Rng,
    a: NodeId,
    b: NodeId,
}

/// Two peers that are not connected yet.
fn lanes(now: Instant, seed: u64, of_a: RangeInclusive<u8>, of_b: RangeInclusive<u8>) -> Lanes {
    lanes_kept_for(now, seed, [of_a, of_b], Config::default().session_timeout)
}

/// The same, with this much time for looking for a path when all are lost.
fn lanes_kept_for(now: Instant, seed: u64, [of_a, of_b]: [RangeInclusive<u8>; 2], session_timeout: Duration) -> Lanes {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0x1a7e5);
    let weather = Weather {
        relay_delay: Duration::from_millis(rng.u64(0..200)),
        path_delay: Duration::from_millis(rng.u64(0..100)),
        disorder: false,
    };
    let mut world = World::new(now, seed, weather);
    let config = |lanes| Config {
        lanes,
        session_timeout,
        ..Config::default()
    };
    let (a, b) = if rng.bool() { (1, 2) } else { (2, 1) };
    let a = world.add(a, config(of_a), false);
    let b = world.add(b, config(of_b), false);
    world.run_for(SECOND);
    Lanes { world, rng, a, b }
}

/// Two peers with some lanes open.
fn connected(now: Instant, seed: u64) -> Result<Lanes, String> {
    connected_for(now, seed, 2 + (seed % 7) as u8, Config::default().session_timeout)
}

/// The same, for as long as there is a path.
fn connected_once(now: Instant, seed: u64) -> Result<Lanes, String> {
    connected_for(now, seed, 2 + (seed % 7) as u8, Duration::ZERO)
}

fn connected_for(now: Instant, seed: u64, count: u8, session_timeout: Duration) -> Result<Lanes, String> {
    let mut pair = lanes_kept_for(now, seed, [count..=count, 1..=8], session_timeout);
    let (world, a, b) = (&mut pair.world, pair.a, pair.b);
    if pair.rng.bool() {
        connect(world, a, b)?;
    } else {
        connect(world, b, a)?;
    }
    let open = |w: &World| w.lanes(a) == usize::from(count) && w.lanes(b) == usize::from(count);
    check(world.run_until(LONG, open), || {
        format!("{} of {count} lanes", world.lanes(a))
    })?;
    // What was sent before is acknowledged.
    world.run_for(SECOND);
    Ok(pair)
}

struct Traffic {
    tickets: Vec<Ticket>,
    to_a: Vec<Message>,
    to_b: Vec<Message>,
}

/// Messages both ways, some at once and some later; `meanwhile` is called in between.
fn exchange(pair: &mut Lanes, count: usize, mut meanwhile: impl FnMut(&mut Lanes)) -> Traffic {
    let mut traffic = Traffic {
        tickets: Vec::new(),
        to_a: Vec::new(),
        to_b: Vec::new(),
    };
    for i in 0..count {
        let message = random_message(&mut pair.rng, i);
        let to_a = pair.rng.bool();
        let (from, to, list) = match to_a {
            true => (pair.b, pair.a, &mut traffic.to_a),
            false => (pair.a, pair.b, &mut traffic.to_b),
        };
        list.push(message.clone());
        traffic.tickets.push(pair.world.send(from, to, message));
        if pair.rng.u8(0..4) == 0 {
            let pause = Duration::from_millis(pair.rng.u64(0..200));
            pair.world.run_for(pause);
            meanwhile(pair);
        }
    }
    traffic
}

/// Everything has come, once and in order, after the word that made the connection.
fn all_came(pair: &mut Lanes, traffic: Traffic, before: [usize; 2]) -> Outcome {
    let (a, b) = (pair.a, pair.b);
    let counts = [before[0] + traffic.to_a.len(), before[1] + traffic.to_b.len()];
    let came = |w: &World| [w.received(a).len(), w.received(b).len()];
    check(pair.world.run_until(LONG, |w| came(w) == counts), || {
        let bad = traffic
            .tickets
            .iter()
            .filter_map(|ticket| pair.world.reply(*ticket)?.as_ref().err());
        format!(
            "{:?} of {counts:?} arrived; {:?}",
            came(&pair.world),
            bad.collect::<Vec<_>>()
        )
    })?;
    pair.world.run_for(SECOND * 5);
    check(came(&pair.world) == counts, || "something came twice".into())?;
    all_ok(&pair.world, &traffic.tickets)?;
    for (node, before, expected) in [(a, before[0], traffic.to_a), (b, before[1], traffic.to_b)] {
        let received = pair.world.received(node)[before..].iter().map(|(_, message)| message);
        check(received.eq(expected.iter()), || "not as sent, or not in order".into())?;
    }
    check(pair.world.live_links(a) == 1 && pair.world.live_links(b) == 1, || {
        "not one connection".into()
    })
}

/// What came is what was sent first, in order; the end may be missing.
fn came_as_sent(pair: &Lanes, traffic: &Traffic, before: [usize; 2]) -> Outcome {
    for (node, before, sent) in [(pair.a, before[0], &traffic.to_a), (pair.b, before[1], &traffic.to_b)] {
        let received = pair.world.received(node)[before..].iter().map(|(_, message)| message);
        check(received.zip(sent).all(|(received, sent)| received == sent), || {
            "something is missing, or came twice".into()
        })?;
    }
    Ok(())
}

fn received(pair: &Lanes) -> [usize; 2] {
    [pair.a, pair.b].map(|node| pair.world.received(node).len())
}

/// Both call at once; each has its own idea of how many.
pub(super) fn lanes_carry_everything_in_order(now: Instant, seed: u64) -> Outcome {
    let mut rng = fastrand::Rng::with_seed(seed);
    let [of_a, of_b] = [(); 2].map(|()| {
        let least = rng.u8(1..=5);
        least..=rng.u8(least..=8)
    });
    let expected = of_a.start().max(of_b.start()).min(of_a.end()).min(of_b.end());
    let mut pair = lanes(now, seed, of_a.clone(), of_b.clone());
    let traffic = exchange(&mut pair, 30, |_| {});
    all_came(&mut pair, traffic, [0, 0])?;
    let counts = [pair.a, pair.b].map(|node| pair.world.lanes(node));
    check(counts == [usize::from(*expected); 2], || {
        format!("{counts:?} lanes, not {expected}")
    })
}

/// Down to a single one, the first included.
pub(super) fn lanes_that_die_lose_nothing(now: Instant, seed: u64) -> Outcome {
    let mut pair = connected(now, seed)?;
    let before = received(&pair);
    let traffic = exchange(&mut pair, 40, |pair| {
        // One of those that both sides know has to live.
        let mut known = pair.world.lanes(pair.a);
        pair.world.run_for(SECOND);
        while known > 1 && pair.rng.bool() {
            let nth = if pair.rng.bool() { 0 } else { pair.rng.usize(0..known) };
            pair.world.cut_lane(pair.a, nth);
            known -= 1;
        }
    });
    all_came(&mut pair, traffic, before)
}

pub(super) fn the_death_of_all_lanes_is_a_clear_end(now: Instant, seed: u64) -> Outcome {
    let mut pair = connected_once(now, seed)?;
    let before = received(&pair);
    let traffic = exchange(&mut pair, 20, |_| {});
    let (a, b) = (pair.a, pair.b);
    while pair.world.lanes(a) > 0 {
        pair.world.cut_lane(a, 0);
        let pause = Duration::from_millis(pair.rng.u64(0..20));
        pair.world.run_for(pause);
    }
    pair.world.set_paths(false);
    let dead_after = Config::default().dead_after;
    let done = |w: &World| traffic.tickets.iter().all(|ticket| w.reply(*ticket).is_some());
    check(pair.world.run_until(dead_after * 2, done), || "a send hangs".into())?;
    pair.world.run_for(dead_after * 2);
    for ticket in &traffic.tickets {
        let reply = pair.world.reply(*ticket);
        let clear = matches!(
            reply,
            Some(Ok(_) | Err(Error::ConnectionLost { .. } | Error::Closed { .. }))
        );
        check(clear, || format!("{reply:?}"))?;
    }
    came_as_sent(&pair, &traffic, before)?;
    for node in [a, b] {
        check(pair.world.open_rtcs(node) == 0, || "a lane was left open".into())?;
    }
    pair.world.set_paths(true);
    let again = pair.world.send(a, b, "again");
    check(pair.world.run_until(LONG, |w| w.reply(again).is_some()), || {
        "no new connection".into()
    })?;
    all_ok(&pair.world, &[again])
}

/// While they open, while they carry, while some of them die.
pub(super) fn a_close_with_many_lanes_delivers_everything(now: Instant, seed: u64) -> Outcome {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut pair = match rng.bool() {
        true => connected(now, seed)?,
        false => lanes(now, seed, 4..=4, 1..=8),
    };
    let (a, b, before) = (pair.a, pair.b, received(&pair));
    let messages: Vec<Message> = (0..20).map(|i| random_message(&mut pair.rng, i)).collect();
    let mut tickets: Vec<Ticket> = messages.iter().map(|m| pair.world.send(a, b, m.clone())).collect();
    let pause = Duration::from_millis(pair.rng.u64(0..800));
    pair.world.run_for(pause);
    tickets.push(pair.world.request(a, Request::Close(Target::Peer(pair.world.uuid(b)))));
    if before != [0, 0] {
        if pair.rng.bool() {
            pair.world.run_for(Duration::from_millis(rng.u64(0..200)));
            pair.world.request(b, Request::Close(Target::Peer(pair.world.uuid(a))));
        }
        while pair.rng.bool() && pair.world.lanes(a) > 1 {
            pair.world.cut_lane(a, 0);
            pair.world.run_for(Duration::from_millis(rng.u64(0..100)));
        }
    }
    let done = |w: &World| tickets.iter().all(|ticket| w.reply(*ticket).is_some());
    check(pair.world.run_until(LONG, done), || "close hangs".into())?;
    all_ok(&pair.world, &tickets)?;
    pair.world.run_for(SECOND * 10);
    for node in [a, b] {
        check(pair.world.live_links(node) == 0, || "a connection is left".into())?;
        check(pair.world.open_rtcs(node) == 0, || "a lane was left open".into())?;
    }
    let received = pair.world.received(b)[before[1]..].iter().map(|(_, message)| message);
    check(received.eq(messages.iter()), || "not as sent, or not in order".into())
}

/// For a large transfer, either way; none is left afterwards.
pub(super) fn lanes_come_and_go_as_wanted(now: Instant, seed: u64) -> Outcome {
    if !seed.is_multiple_of(10) {
        return Ok(()); // these worlds take long
    }
    let mut pair = lanes(now, seed, 1..=3, 1..=8);
    pair.world.weather.path_delay = Duration::from_millis(100);
    let (a, b) = (pair.a, pair.b);
    let (from, to) = if pair.rng.bool() { (a, b) } else { (b, a) };
    connect(&mut pair.world, a, b)?;
    pair.world.run_for(SECOND);
    check(pair.world.lanes(a) == 1, || "a lane that nobody needs".into())?;
    for round in 0..2 {
        let before = pair.world.received(to).len();
        let large = Message::from(vec![7; 64 << 20]);
        let sent = pair.world.send(from, to, large.clone());
        let mut most = 0;
        let done = pair.world.run_until(LONG, |w| {
            most = most.max(w.lanes(a));
            w.received(to).len() > before
        });
        check(done, || "it did not arrive".into())?;
        all_ok(&pair.world, &[sent])?;
        check((2..=3).contains(&most), || format!("{most} lanes in round {round}"))?;
        check(pair.world.received(to)[before].1 == large, || "not as sent".into())?;
        pair.world.run_for(SECOND * 15);
        let counts = [a, b].map(|node| (pair.world.lanes(node), pair.world.open_rtcs(node)));
        check(counts == [(1, 1); 2], || format!("{counts:?} lanes are left"))?;
    }
    Ok(())
}

pub(super) fn lanes_need_both_sides(now: Instant, seed: u64) -> Outcome {
    let mut pair = lanes(now, seed, 4..=8, 1..=1);
    let (a, b) = (pair.a, pair.b);
    let (from, to) = if pair.rng.bool() { (a, b) } else { (b, a) };
    let sent = pair.world.send(from, to, vec![7; 10 << 20]);
    let mut most = 0;
    let done = pair.world.run_until(LONG, |w| {
        most = most.max(w.open_rtcs(a)).max(w.open_rtcs(b));
        w.received(to).len() == 1
    });
    check(done, || format!("{:?}", pair.world.reply(sent)))?;
    check(most == 1, || format!("{most} lanes"))
}

/// And is not sent more than it has room for.
pub(super) fn a_peer_that_does_not_read_can_still_send(now: Instant, seed: u64) -> Outcome {
    if !seed.is_multiple_of(4) {
        return Ok(()); // these worlds take long
    }
    let mut pair = connected(now, seed)?;
    let (a, b) = (pair.a, pair.b);
    let before = received(&pair);
    pair.world.set_reads(b, false);
    let large = Message::from(vec![7; 1 << 20]);
    let to_b: Vec<Ticket> = (0..40).map(|_| pair.world.send(a, b, large.clone())).collect();
    let to_a: Vec<Ticket> = (0..20).map(|_| pair.world.send(b, a, large.clone())).collect();
    pair.world.run_for(SECOND * 20);
    check(received(&pair)[0] == before[0] + to_a.len(), || {
        format!("{:?} arrived", received(&pair))
    })?;
    let (unread, limit) = (pair.world.unread_bytes(b), Config::default().receive_buffer_bytes);
    check(unread <= limit + (12 << 20), || format!("{unread} bytes are unread"))?;
    pair.world.set_reads(b, true);
    let done = pair
        .world
        .run_until(LONG, |w| w.received(b).len() == before[1] + to_b.len());
    check(done, || format!("{:?} arrived", received(&pair)))?;
    all_ok(&pair.world, &to_a)?;
    all_ok(&pair.world, &to_b)
}

pub(super) fn lanes_that_do_not_come_up_harm_nothing(now: Instant, seed: u64) -> Outcome {
    let mut pair = lanes(now, seed, 4..=4, 1..=8);
    let (a, b) = (pair.a, pair.b);
    pair.world.send(a, b, "connect");
    check(
        pair.world.run_until(LONG, |w| w.live_links(b) == 1 && w.lanes(b) == 1),
        || "no connection".into(),
    )?;
    pair.world.set_paths(false);
    check(pair.world.run_until(LONG, |w| w.received(b).len() == 1), || {
        "not connected".into()
    })?;
    let traffic = exchange(&mut pair, 30, |pair| pair.world.run_for(SECOND * 5));
    all_came(&mut pair, traffic, [0, 1])?;
    pair.world.run_for(LONG);
    let counts = [a, b].map(|node| pair.world.open_rtcs(node));
    check(counts == [1, 1], || format!("{counts:?} lanes are left"))
}
