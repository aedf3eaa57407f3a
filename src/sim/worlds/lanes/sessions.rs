//! Connections that outlive their paths.

use super::*;

/// Two peers with one or some lanes, which are kept.
fn session(now: Instant, seed: u64) -> Result<Lanes, String> {
    connected_for(now, seed, 1 + (seed % 3) as u8, SECOND * 60)
}

/// All lanes die, as each side finds out in its own time, and there is no path for a while.
fn cut(pair: &mut Lanes, time: Duration) {
    for node in [pair.a, pair.b] {
        while pair.world.lanes(node) > 0 {
            pair.world.cut_lane(node, 0);
        }
    }
    pair.world.set_paths(false);
    pair.world.run_for(time);
    pair.world.set_paths(true);
    for node in [pair.a, pair.b] {
        if pair.rng.bool() {
            pair.world.change_network(node);
        }
    }
}

fn ends(pair: &Lanes) -> Outcome {
    for node in [pair.a, pair.b] {
        if let Some(error) = pair.world.ends(node).next() {
            return Err(format!("it has ended: {error}"));
        }
    }
    Ok(())
}

/// For up to 20 s, again and again, with the relay away now and then. What is sent waits for no longer than 30 s.
pub(in crate::sim::worlds) fn paths_that_are_cut_lose_nothing(now: Instant, seed: u64) -> Outcome {
    let mut pair = session(now, seed)?;
    let before = received(&pair);
    let mut cuts = pair.rng.usize(1..4);
    let traffic = exchange(&mut pair, 40, |pair| {
        if cuts > 0 && pair.rng.bool() {
            cuts -= 1;
            let relay_goes = pair.rng.u8(0..3) == 0;
            pair.world.set_relay_up(!relay_goes);
            let time = Duration::from_millis(pair.rng.u64(0..if relay_goes { 5_000 } else { 20_000 }));
            cut(pair, time);
            if relay_goes {
                let time = Duration::from_millis(pair.rng.u64(0..3_000));
                pair.world.run_for(time);
                pair.world.set_relay_up(true);
            }
            pair.world.run_for(SECOND * 20);
        }
    });
    all_came(&mut pair, traffic, before)?;
    ends(&pair)?;
    pair.world.run_for(LONG);
    let wanted = 1 + (seed % 3) as usize;
    let counts = [pair.a, pair.b].map(|node| (pair.world.lanes(node), pair.world.open_rtcs(node)));
    check(counts == [(wanted, wanted); 2], || {
        format!("{counts:?} lanes, not {wanted}")
    })
}

/// One or both, as a computer that sleeps, for so long that the relay gives it up.
pub(in crate::sim::worlds) fn processes_that_stand_still_lose_nothing(now: Instant, seed: u64) -> Outcome {
    let mut pair = session(now, seed)?;
    let before = received(&pair);
    let mut times = 2;
    let traffic = exchange(&mut pair, 40, |pair| {
        if times > 0 && pair.rng.bool() {
            times -= 1;
            let both = pair.rng.bool();
            let still = Duration::from_millis(pair.rng.u64(0..45_000));
            pair.world.freeze(pair.a, still);
            if both {
                let pause = Duration::from_millis(pair.rng.u64(0..3_000));
                pair.world.run_for(pause);
                pair.world.freeze(pair.b, still);
            }
            pair.world.run_for(SECOND * 70);
        }
    });
    all_came(&mut pair, traffic, before)?;
    ends(&pair)
}

/// The relay no longer knows it.
pub(in crate::sim::worlds) fn a_killed_peer_is_soon_known_to_be_dead(now: Instant, seed: u64) -> Outcome {
    let mut pair = session(now, seed)?;
    let (a, b) = (pair.a, pair.b);
    exchange(&mut pair, 10, |_| {});
    let (dead, other) = if pair.rng.bool() { (a, b) } else { (b, a) };
    pair.world.kill(dead, true);
    let sent = pair.world.send(other, dead, vec![7; 30 << 20]);
    let known = pair.world.run_until(SECOND * 9, |w| w.ends(other).next().is_some());
    check(known, || "it is not known in time".into())?;
    let reply = pair.world.reply(sent);
    let lost = matches!(reply, Some(Ok(_) | Err(Error::ConnectionLost { .. })));
    check(lost, || format!("{reply:?}"))?;
    check(pair.world.open_rtcs(other) == 0, || "a lane was left open".into())
}

/// Whoever calls first.
pub(in crate::sim::worlds) fn a_peer_that_is_started_anew_is_connected_anew(now: Instant, seed: u64) -> Outcome {
    let mut pair = session(now, seed)?;
    let (a, b) = (pair.a, pair.b);
    exchange(&mut pair, 10, |_| {});
    pair.world.kill(b, pair.rng.bool());
    let pause = Duration::from_millis(pair.rng.u64(0..6_000));
    pair.world.run_for(pause);
    pair.world.restart(b);
    pair.world.run_for(SECOND);
    let (from, to) = if pair.rng.bool() { (a, b) } else { (b, a) };
    if from == b {
        let back = pair.world.send(b, a, "back");
        check(pair.world.run_until(SECOND * 4, |w| w.reply(back).is_some()), || {
            "the returned peer waits".into()
        })?;
        return all_ok(&pair.world, &[back]);
    }
    // What is sent before the end is known may be lost, with an error; afterwards nothing is.
    pair.world.run_until(SECOND * 9, |w| w.ends(a).next().is_some());
    check(pair.world.ends(a).next().is_some(), || "the end is not known".into())?;
    let sent = pair.world.send(from, to, "welcome");
    check(pair.world.run_until(SECOND * 4, |w| w.reply(sent).is_some()), || {
        "a send waits".into()
    })?;
    all_ok(&pair.world, &[sent])
}

/// Another client has its id: no further path is looked for, and nobody turns in circles for that.
pub(in crate::sim::worlds) fn a_silent_path_without_a_relay_is_waited_for(now: Instant, seed: u64) -> Outcome {
    let mut pair = session(now, seed)?;
    let (a, b) = (pair.a, pair.b);
    cut(&mut pair, SECOND * 10);
    let back = |w: &World| w.lanes(a) > 0 && w.lanes(b) > 0;
    check(pair.world.run_until(LONG, back), || "no path was found".into())?;
    let uuid = pair.world.uuid(a).as_u128();
    pair.world.add(uuid, Config::default(), false);
    pair.world.run_for(SECOND);
    let before = received(&pair);
    pair.world.freeze(b, SECOND * (3 + seed % 4) as u32);
    let traffic = exchange(&mut pair, 5, |_| {});
    pair.world.run_for(LONG);
    came_as_sent(&pair, &traffic, before)
}

/// Whoever is told of it does not wait until the path is silent; and one that was told of nothing new keeps its lanes.
pub(in crate::sim::worlds) fn a_network_that_changes_is_left_at_once(now: Instant, seed: u64) -> Outcome {
    let mut pair = session(now, seed)?;
    let (a, b, before) = (pair.a, pair.b, received(&pair));
    let traffic = exchange(&mut pair, 40, |pair| {
        if pair.rng.u8(0..3) == 0 {
            let node = if pair.rng.bool() { a } else { b };
            if pair.rng.bool() {
                let still = SECOND * 60;
                (0..pair.world.lanes(node)).for_each(|nth| pair.world.stall_lane(node, nth, still));
            }
            pair.world.change_network(node);
            let time = Duration::from_millis(pair.rng.u64(0..3_000));
            pair.world.run_for(time);
        }
    });
    all_came(&mut pair, traffic, before)?;
    ends(&pair)?;
    pair.world.run_for(LONG);
    let wanted = 1 + (seed % 3) as usize;
    let counts = [a, b].map(|node| (pair.world.lanes(node), pair.world.open_rtcs(node)));
    check(counts == [(wanted, wanted); 2], || {
        format!("{counts:?} lanes, not {wanted}")
    })
}

/// Nobody waits for longer than it was said.
pub(in crate::sim::worlds) fn a_path_that_never_comes_back_is_a_clear_end(now: Instant, seed: u64) -> Outcome {
    let mut pair = session(now, seed)?;
    let before = received(&pair);
    let traffic = exchange(&mut pair, 20, |_| {});
    let (a, b) = (pair.a, pair.b);
    cut(&mut pair, SECOND * 90);
    for ticket in &traffic.tickets {
        let reply = pair.world.reply(*ticket);
        let clear = matches!(
            reply,
            Some(Ok(_) | Err(Error::ConnectionLost { .. } | Error::SendTimeout { .. }))
        );
        check(clear, || format!("{reply:?}"))?;
    }
    came_as_sent(&pair, &traffic, before)?;
    for node in [a, b] {
        check(pair.world.ends(node).count() == 1, || "it has not ended".into())?;
        check(pair.world.open_rtcs(node) == 0, || "a lane was left open".into())?;
    }
    let again = pair.world.send(a, b, "again");
    check(pair.world.run_until(LONG, |w| w.reply(again).is_some()), || {
        "no new connection".into()
    })?;
    all_ok(&pair.world, &[again])
}

/// It delivers everything once there is a path again, or says that it could not.
pub(in crate::sim::worlds) fn a_close_without_a_path_ends_well(now: Instant, seed: u64) -> Outcome {
    let mut pair = session(now, seed)?;
    let (a, b, before) = (pair.a, pair.b, received(&pair));
    let messages: Vec<Message> = (0..20).map(|i| random_message(&mut pair.rng, i)).collect();
    let mut tickets: Vec<Ticket> = messages.iter().map(|m| pair.world.send(a, b, m.clone())).collect();
    let pause = Duration::from_millis(pair.rng.u64(0..300));
    pair.world.run_for(pause);
    let close = |pair: &mut Lanes, from, to| {
        let target = Target::Peer(pair.world.uuid(to));
        pair.world.request(from, Request::Close(target))
    };
    let early = pair.rng.bool();
    if early {
        tickets.push(close(&mut pair, a, b));
        let pause = Duration::from_millis(pair.rng.u64(0..300));
        pair.world.run_for(pause);
    }
    let time = Duration::from_millis(pair.rng.u64(0..15_000));
    for node in [a, b] {
        while pair.world.lanes(node) > 0 {
            pair.world.cut_lane(node, 0);
        }
    }
    pair.world.set_paths(false);
    pair.world.run_for(time / 2);
    if !early {
        tickets.push(close(&mut pair, a, b));
    }
    if pair.rng.bool() {
        close(&mut pair, b, a);
    }
    pair.world.run_for(time / 2);
    pair.world.set_paths(true);
    let done = |w: &World| tickets.iter().all(|ticket| w.reply(*ticket).is_some());
    check(pair.world.run_until(LONG, done), || "close hangs".into())?;
    pair.world.run_for(LONG);
    for node in [a, b] {
        check(pair.world.live_links(node) == 0, || "a connection is left".into())?;
        check(pair.world.open_rtcs(node) == 0, || "a lane was left open".into())?;
    }
    let received = pair.world.received(b)[before[1]..].iter().map(|(_, message)| message);
    all_ok(&pair.world, &tickets)?;
    check(received.eq(messages.iter()), || "not as sent, or not in order".into())
}
