//! Lanes that stand still, do not come up or are spoken of by hostile peers.

use super::*;

/// Nothing waits for a lane that is neither dead nor alive, and what then comes late is not taken for more.
pub(in crate::sim::worlds) fn lanes_that_stand_still_hold_nothing_up(now: Instant, seed: u64) -> Outcome {
    let mut pair = connected(now, seed)?;
    let before = received(&pair);
    let still = SECOND * 60;
    let mut moves = pair.world.lanes(pair.a);
    let traffic = exchange(&mut pair, 40, |pair| {
        while moves > 1 && pair.rng.u8(0..4) == 0 {
            moves -= 1;
            pair.world.stall_lane(pair.a, moves, still);
        }
    });
    let counts = [before[0] + traffic.to_a.len(), before[1] + traffic.to_b.len()];
    let came = pair.world.run_until(still / 2, |w| {
        [w.received(pair.a).len(), w.received(pair.b).len()] == counts
    });
    check(came, || format!("{:?} of {counts:?} came", received(&pair)))?;
    pair.world.run_for(still);
    all_came(&mut pair, traffic, before)
}

/// Looking for addresses may take long where a STUN server does not answer.
pub(in crate::sim::worlds) fn a_transfer_does_not_wait_for_lanes_that_are_being_made(
    now: Instant,
    seed: u64,
) -> Outcome {
    if !seed.is_multiple_of(10) {
        return Ok(()); // these worlds take long
    }
    let took = |gathering, lanes| {
        let mut pair = lanes_with(now, seed, 1..=lanes);
        let (a, b) = (pair.a, pair.b);
        let (from, to) = if pair.rng.bool() { (a, b) } else { (b, a) };
        connect(&mut pair.world, a, b)?;
        pair.world.set_gathering(gathering);
        let start = pair.world.now;
        for _ in 0..20 {
            pair.world.send(from, to, vec![7; 4 << 20]);
        }
        let first = usize::from(to == b);
        let done = pair.world.run_until(LONG, |w| w.received(to).len() == first + 20);
        check(done, || "it did not arrive".into())?;
        Ok::<_, String>(pair.world.now - start)
    };
    let (one, many) = (took(Duration::ZERO, 1)?, took(SECOND * 20, 4)?);
    check(many < one * 2, || format!("{many:?} instead of {one:?}"))
}

fn lanes_with(now: Instant, seed: u64, range: RangeInclusive<u8>) -> Lanes {
    let mut pair = lanes(now, seed, range, 1..=8);
    pair.world.weather.path_delay = Duration::from_millis(200);
    pair
}

/// A few times at most, and not at once.
pub(in crate::sim::worlds) fn lanes_that_cannot_be_made_are_not_tried_for_ever(now: Instant, seed: u64) -> Outcome {
    let mut pair = lanes(now, seed, 8..=8, 1..=8);
    let (a, b) = (pair.a, pair.b);
    connect(&mut pair.world, a, b)?;
    let fail = |w: &mut World| match seed % 3 {
        0 => w.set_engines(false),
        1 => w.set_paths(false),
        _ => {}
    };
    fail(&mut pair.world);
    let mut most = 0;
    let made = pair.world.opened_rtcs(a);
    pair.world.run_for(SECOND / 2);
    check(pair.world.opened_rtcs(a) <= made.max(8), || {
        "tried again at once".into()
    })?;
    for _ in 0..20 {
        exchange(&mut pair, 5, |_| {});
        pair.world.run_for(SECOND * 30);
        if seed % 3 == 2 {
            for _ in 1..pair.world.lanes(a) {
                pair.world.cut_lane(a, 1);
            }
        }
        most = most.max(pair.world.open_rtcs(a)).max(pair.world.open_rtcs(b));
    }
    check(pair.world.live_links(a) == 1, || "the connection has ended".into())?;
    check(most <= 16, || format!("{most} at once"))?;
    for node in [a, b] {
        let opened = pair.world.opened_rtcs(node);
        check(opened <= 24, || format!("{opened} were tried"))?;
    }
    Ok(())
}

/// In the middle of messages either way, also where lanes die or stand still: whoever closes has delivered everything
/// and is told so, the other side whatever it was told had been sent.
pub(in crate::sim::worlds) fn a_close_in_the_middle_ends_well(now: Instant, seed: u64) -> Outcome {
    let mut pair = connected(now, seed)?;
    let (a, b, before) = (pair.a, pair.b, received(&pair));
    let mut traffic = exchange(&mut pair, 20, |_| {});
    for _ in 0..3 {
        let large = Message::from(vec![7; pair.rng.usize(1..4 << 20)]);
        traffic.tickets.push(pair.world.send(a, b, large.clone()));
        traffic.to_b.push(large.clone());
        traffic.tickets.push(pair.world.send(b, a, large.clone()));
        traffic.to_a.push(large);
    }
    let harm = |pair: &mut Lanes| {
        let lanes = pair.world.lanes(a);
        match pair.rng.u8(0..4) {
            0 if lanes > 1 => pair.world.cut_lane(a, 0),
            1 if lanes > 1 => pair.world.cut_lane(a, lanes - 1),
            2 if lanes > 1 => pair.world.stall_lane(a, 0, SECOND * 2),
            _ => {}
        }
        let pause = Duration::from_millis(pair.rng.u64(0..100));
        pair.world.run_for(pause);
    };
    harm(&mut pair);
    let closed = pair.world.request(a, Request::Close(Target::Peer(pair.world.uuid(b))));
    harm(&mut pair);
    check(pair.world.run_until(SECOND * 25, |w| w.reply(closed).is_some()), || {
        "close hangs".into()
    })?;
    all_ok(&pair.world, &[closed])?;
    pair.world.run_for(SECOND * 20);
    for (node, before, sent) in [(a, before[0], &traffic.to_a), (b, before[1], &traffic.to_b)] {
        check(pair.world.live_links(node) == 0, || "a connection is left".into())?;
        check(pair.world.open_rtcs(node) == 0, || "a lane was left open".into())?;
        let clean = pair.world.ends(node).all(|end| matches!(end, Error::Closed { .. }));
        check(clean, || format!("{:?}", pair.world.ends(node).collect::<Vec<_>>()))?;
        let received = &pair.world.received(node)[before..];
        check(
            received.iter().zip(sent).all(|((_, received), sent)| received == sent),
            || "not as sent".into(),
        )?;
    }
    check(pair.world.received(b).len() == before[1] + traffic.to_b.len(), || {
        "something was not delivered".into()
    })?;
    let said = traffic
        .tickets
        .iter()
        .filter(|t| t.0 == b && matches!(pair.world.reply(**t), Some(Ok(_))));
    check(pair.world.received(a).len() >= before[0] + said.count(), || {
        "something that was sent was not delivered".into()
    })
}

/// Whatever a peer says about lanes: no other peer's connection is touched, and it does not get more than its share.
pub(in crate::sim::worlds) fn hostile_words_about_lanes_hurt_only_their_own_connection(
    now: Instant,
    seed: u64,
) -> Outcome {
    if !seed.is_multiple_of(4) {
        return Ok(()); // these worlds take long
    }
    let mut pair = connected(now, seed)?;
    let (a, b) = (pair.a, pair.b);
    let c = pair.world.add(3, Config::default(), false);
    pair.world.run_for(SECOND);
    connect(&mut pair.world, c, b)?;
    let mut messages = Vec::new();
    for i in 0..200 {
        let frame = hostile_word(&mut pair.rng);
        let (node, peer) = if pair.rng.u8(0..4) == 0 { (a, b) } else { (b, a) };
        pair.world.inject_frame_of(node, peer, &frame);
        if i % 10 == 0 {
            let message = random_message(&mut pair.rng, i);
            pair.world.send(c, b, message.clone());
            pair.world.send(a, b, "go on");
            messages.push(message);
        }
        let pause = Duration::from_millis(pair.rng.u64(0..300));
        pair.world.run_for(pause);
        check(pair.world.open_rtcs(b) <= 20, || {
            format!("{} peer connections", pair.world.open_rtcs(b))
        })?;
    }
    pair.world.run_for(SECOND * 60);
    check(pair.world.opened_rtcs(b) <= 80, || {
        format!("{} peer connections were made", pair.world.opened_rtcs(b))
    })?;
    let from_c = pair.world.uuid(c);
    let received = pair
        .world
        .received(b)
        .iter()
        .filter(|(from, _)| *from == from_c)
        .skip(1);
    check(received.map(|(_, message)| message).eq(messages.iter()), || {
        "another peer's messages are not as sent".into()
    })
}

fn hostile_word(rng: &mut fastrand::Rng) -> Vec<u8> {
    let code = rng.u32(7..13);
    let number = *rng.choice(&[0, 1, 2, 7, 255, u32::MAX]).unwrap_or(&0);
    let mut payload = number.to_be_bytes().to_vec();
    match rng.u8(0..4) {
        0 => payload.extend((0..rng.usize(0..40)).map(|_| rng.u8(..))),
        1 => payload.extend(u64::MAX.to_be_bytes()),
        2 => payload.extend(rng.u64(0..100).to_be_bytes()),
        _ => payload.extend(b"v=0\r\na=ice-ufrag:nobody\r\n"),
    }
    if rng.u8(0..8) == 0 {
        payload.truncate(rng.usize(0..4));
    }
    control(code, &payload)
}

fn control(code: u32, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        kind: Kind::Control,
        stream_id: code,
        seq_id: 0,
        seq_len: 1,
    };
    chunk::encode(&header, payload).to_vec()
}

/// The process of one of them dies, and another takes its place.
pub(in crate::sim::worlds) fn a_killed_peer_with_many_lanes_is_connected_again(now: Instant, seed: u64) -> Outcome {
    let mut pair = connected(now, seed)?;
    exchange(&mut pair, 10, |_| {});
    let (a, b) = (pair.a, pair.b);
    let (dead, other) = if pair.rng.bool() { (a, b) } else { (b, a) };
    pair.world.kill(dead, pair.rng.bool());
    pair.world.run_for(Duration::from_millis(pair.rng.u64(0..10_000)));
    pair.world.restart(dead);
    pair.world.run_for(SECOND * 3);
    let (from, to) = if pair.rng.bool() { (dead, other) } else { (other, dead) };
    // It may have been handed to what is left of the old connection; then it fails.
    let first = pair.world.send(from, to, vec![7; 1 << 20]);
    let replied = |w: &World| w.reply(first).is_some();
    check(pair.world.run_until(LONG, replied), || "a send hangs".into())?;
    pair.world.run_for(SECOND * 20);
    let before = pair.world.received(to).len();
    let sent: Vec<Ticket> = (0..10).map(|_| pair.world.send(from, to, vec![7; 1 << 20])).collect();
    let done = pair.world.run_until(LONG, |w| w.received(to).len() == before + 10);
    check(done, || {
        format!("{} of 10 arrived", pair.world.received(to).len() - before)
    })?;
    all_ok(&pair.world, &sent)?;
    check(pair.world.live_links(a) == 1 && pair.world.live_links(b) == 1, || {
        "not one connection".into()
    })
}

/// The connection is as dead as its last lane: none is opened in vain.
pub(in crate::sim::worlds) fn no_lane_is_opened_while_all_die(now: Instant, seed: u64) -> Outcome {
    let mut pair = connected_once(now, seed)?;
    let (a, b) = (pair.a, pair.b);
    exchange(&mut pair, 10, |_| {});
    let (dead, other) = if pair.rng.bool() { (a, b) } else { (b, a) };
    let made = pair.world.opened_rtcs(other);
    pair.world.kill(dead, true);
    pair.world.run_for(SECOND * 30);
    let more = pair.world.opened_rtcs(other) - made;
    check(more == 0, || format!("{more} lanes were opened"))?;
    check(pair.world.open_rtcs(other) == 0, || "a lane was left open".into())
}

/// What is sent again may come late.
pub(in crate::sim::worlds) fn an_old_wish_for_lanes_is_ignored(now: Instant, seed: u64) -> Outcome {
    let mut pair = lanes(now, seed, 1..=4, 1..=4);
    let (a, b) = (pair.a, pair.b);
    connect(&mut pair.world, a, b)?;
    pair.world.run_for(SECOND); // what a has to say first has come
    let (mut ask, mut lanes) = (1_u32.to_be_bytes().to_vec(), Vec::new());
    for wanted in [(1, 3), (2, 1), (1, 3)] {
        ask.clear();
        ask.extend(u32::to_be_bytes(wanted.0));
        ask.push(wanted.1);
        pair.world.inject_frame_of(a, b, &control(8, &ask));
        pair.world.run_for(SECOND * 5);
        lanes.push(pair.world.lanes(a));
    }
    check(lanes == [3, 1, 1], || format!("{lanes:?} lanes"))
}

/// Further channels on a lane would each cost memory, and carry nothing.
pub(in crate::sim::worlds) fn a_lane_has_one_channel(now: Instant, seed: u64) -> Outcome {
    let mut pair = connected(now, seed)?;
    let nth = 1 + pair.rng.usize(0..pair.world.lanes(pair.a) - 1);
    pair.world.open_channel(pair.a, nth, 1);
    pair.world.run_for(SECOND);
    let ended = pair
        .world
        .ends(pair.a)
        .any(|end| matches!(end, crate::Error::PeerMisbehaved(_)));
    check(ended && pair.world.lanes(pair.a) == 0, || "it is taken".into())
}

/// However many lanes callers want, all have no more together than there is room for.
pub(in crate::sim::worlds) fn lanes_take_no_callers_place(now: Instant, seed: u64) -> Outcome {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0x9a7);
    let weather = Weather {
        relay_delay: Duration::from_millis(rng.u64(0..200)),
        path_delay: Duration::from_millis(rng.u64(0..100)),
        disorder: false,
    };
    let mut world = World::new(now, seed, weather);
    let config = |lanes, max_connections| Config {
        lanes,
        max_connections,
        ..Config::default()
    };
    let a = world.add(1, config(1..=8, 6 + rng.usize(0..20)), false);
    let callers: Vec<NodeId> = (10..16)
        .map(|number| world.add(number, config(8..=8, 1024), false))
        .collect();
    world.run_for(SECOND);
    for caller in &callers {
        world.send(*caller, a, crate::Message::from("hello"));
    }
    let came = |world: &World| world.received(a).len() == callers.len();
    check(world.run_until(LONG, came), || "not all came".into())?;
    world.run_for(SECOND * 30);
    let count = world.lanes(a);
    check((6..=32).contains(&count), || format!("{count} lanes"))
}

/// Everything that may happen to lanes, in any order.
pub(in crate::sim::worlds) fn lanes_in_bad_weather_lose_nothing(now: Instant, seed: u64) -> Outcome {
    let mut pair = connected(now, seed)?;
    let before = received(&pair);
    let traffic = exchange(&mut pair, 60, |pair| {
        let time = Duration::from_millis(pair.rng.u64(0..5000));
        let (node, count) = (if pair.rng.bool() { pair.a } else { pair.b }, pair.world.lanes(pair.a));
        match pair.rng.u8(0..8) {
            0 => pair.world.set_reads(node, false),
            1 => pair.world.set_reads(node, true),
            2 => pair.world.set_gathering(time),
            3 | 4 => pair.world.stall_lane(node, pair.rng.usize(0..count), time),
            // One of those that both sides know has to live.
            5 if count > 2 => {
                pair.world.run_for(SECOND * 10);
                if pair.world.lanes(pair.a) > 2 {
                    pair.world.cut_lane(pair.a, pair.rng.usize(0..2));
                    pair.world.run_for(SECOND * 10);
                }
            }
            _ => {}
        }
    });
    for node in [pair.a, pair.b] {
        pair.world.set_reads(node, true);
    }
    all_came(&mut pair, traffic, before)
}
