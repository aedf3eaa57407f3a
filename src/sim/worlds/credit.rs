//! Peers whose platform takes whatever comes, as a page's does: what holds their senders back is credit.

use super::{LONG, NodeId, Outcome, SECOND, Ticket, Weather, World, all_ok, check, connect, in_order};
use crate::chunk::{self, Header, Kind};
use crate::{Config, Error, Message};
use std::time::Duration;
use web_time::Instant;

struct Pages {
    world: World,
    rng: fastrand::Rng,
    /// A page or a native peer.
    a: NodeId,
    /// A page.
    b: NodeId,
}

fn pages(now: Instant, seed: u64, receive_buffer_bytes: usize, weather: Weather) -> Result<Pages, String> {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0xc2ed17);
    let mut world = World::new(now, seed, weather);
    let config = Config {
        receive_buffer_bytes,
        channels: rng.u16(1..4),
        ordered: rng.bool(),
        ..Config::default()
    };
    let (a, b) = if rng.bool() { (1, 2) } else { (2, 1) };
    let (a, b) = (world.add(a, config.clone(), false), world.add(b, config, false));
    world.make_page(b);
    if rng.bool() {
        world.make_page(a);
    }
    world.run_for(SECOND);
    connect(&mut world, a, b)?;
    Ok(Pages { world, rng, a, b })
}

fn sizes(rng: &mut fastrand::Rng, count: usize, largest: usize) -> Vec<Message> {
    let message = |i| Message::from(vec![i as u8; rng.usize(1..=largest)]);
    (0..count).map(message).collect()
}

fn accepted(world: &World, tickets: &[Ticket], messages: &[Message]) -> usize {
    let done = tickets
        .iter()
        .zip(messages)
        .filter(|(ticket, _)| matches!(world.reply(**ticket), Some(Ok(_))));
    done.map(|(_, message)| message.len()).sum()
}

fn all_arrived(world: &World, to: NodeId, messages: &[Message]) -> Outcome {
    let mut got: Vec<&[u8]> = world
        .received(to)
        .iter()
        .map(|(_, message)| message.as_bytes())
        .collect();
    let mut sent: Vec<&[u8]> = messages.iter().map(Message::as_bytes).collect();
    got.retain(|message| *message != b"connect");
    got.sort_unstable();
    sent.sort_unstable();
    check(got == sent, || format!("{} of {} arrived", got.len(), sent.len()))
}

pub(super) fn a_reader_that_rests_gets_everything_and_never_much_at_once(now: Instant, seed: u64) -> Outcome {
    let buffer = 1 << (seed % 22);
    let Pages {
        mut world,
        mut rng,
        a,
        b,
    } = pages(now, seed, buffer, Weather::default())?;
    let largest = rng.usize(1..200_000);
    let count = (buffer * 4 / largest).clamp(20, 300);
    let messages = sizes(&mut rng, count, largest);
    world.run_for(SECOND);
    world.set_reads(b, false);
    let tickets: Vec<Ticket> = messages
        .iter()
        .map(|message| world.send(a, b, message.clone()))
        .collect();
    // Over several channels, later messages come in parts before an earlier one is complete: up to a window of them.
    let bound = 2 * buffer + largest + (80 << 10);
    for _ in 0..rng.usize(1..4) {
        world.set_reads(b, false);
        let (had, unread) = (accepted(&world, &tickets, &messages), world.unread_bytes(b));
        world.run_for(SECOND * 3);
        let more = accepted(&world, &tickets, &messages) - had;
        check(world.unread_bytes(b) <= bound + count * 32, || {
            format!("{} unread", world.unread_bytes(b))
        })?;
        check(more + unread <= 2 * bound, || format!("{more} were accepted"))?;
        check(world.live_links(a) == 1, || {
            "a resting reader was taken for a dead one".into()
        })?;
        world.set_reads(b, true);
        world.run_for(Duration::from_millis(rng.u64(0..300)));
    }
    let done = world.run_until(LONG, |w| tickets.iter().all(|ticket| w.reply(*ticket).is_some()));
    check(done, || "the sender waits for ever".into())?;
    world.run_for(SECOND);
    all_ok(&world, &tickets)?;
    all_arrived(&world, b, &messages)
}

/// What one side does not read must not keep from it the grants that its own sending waits for.
pub(super) fn both_flood_before_they_read(now: Instant, seed: u64) -> Outcome {
    let buffer = 100_000;
    let Pages {
        mut world,
        mut rng,
        a,
        b,
    } = pages(now, seed, buffer, Weather::default())?;
    let (to_a, to_b) = (sizes(&mut rng, 60, 100_000), sizes(&mut rng, 60, 100_000));
    let (rests, reads) = if rng.bool() { (a, b) } else { (b, a) };
    let (to_rests, to_reads) = if rests == a { (to_a, to_b) } else { (to_b, to_a) };
    world.set_reads(rests, false);
    let first: Vec<Ticket> = to_rests
        .iter()
        .map(|message| world.send(reads, rests, message.clone()))
        .collect();
    world.run_for(SECOND);
    let second: Vec<Ticket> = to_reads
        .iter()
        .map(|message| world.send(rests, reads, message.clone()))
        .collect();
    let sent = world.run_until(SECOND * 20, |w| second.iter().all(|ticket| w.reply(*ticket).is_some()));
    check(sent, || "who does not read cannot send".into())?;
    world.set_reads(rests, true);
    let sent = world.run_until(LONG, |w| first.iter().all(|ticket| w.reply(*ticket).is_some()));
    check(sent, || "the other side cannot send".into())?;
    all_ok(&world, &first)?;
    all_ok(&world, &second)?;
    world.run_for(SECOND);
    all_arrived(&world, reads, &to_reads)?;
    all_arrived(&world, rests, &to_rests)
}

pub(super) fn a_message_larger_than_any_window_passes(now: Instant, seed: u64) -> Outcome {
    let buffer = 1 << (seed % 17);
    let Pages {
        mut world,
        mut rng,
        a,
        b,
    } = pages(now, seed, buffer, Weather::default())?;
    world.run_for(SECOND);
    world.set_reads(b, false);
    let messages = [rng.usize(1..1000), rng.usize(1..6 << 20), 1].map(|size| Message::from(vec![7; size]));
    let tickets = messages.clone().map(|message| world.send(a, b, message));
    world.run_for(SECOND * 5);
    world.set_reads(b, true);
    let done = world.run_until(LONG, |w| w.received(b).len() == 4);
    check(done, || format!("{} of 4 arrived", world.received(b).len()))?;
    all_ok(&world, &tickets)?;
    all_arrived(&world, b, &messages)
}

pub(super) fn a_long_path_is_kept_busy(now: Instant, seed: u64) -> Outcome {
    let weather = Weather {
        path_delay: Duration::from_millis(100),
        ..Weather::default()
    };
    let buffer = Config::default().receive_buffer_bytes;
    let Pages { mut world, a, b, .. } = pages(now, seed, buffer, weather)?;
    let messages = vec![Message::from(vec![1; 1 << 20]); 64];
    let tickets: Vec<Ticket> = messages
        .iter()
        .map(|message| world.send(a, b, message.clone()))
        .collect();
    let done = world.run_until(SECOND * 3, |w| w.received(b).len() == 65);
    check(done, || format!("only {} MiB in 3 s", world.received(b).len()))?;
    all_ok(&world, &tickets)?;
    in_order(&world, b, std::iter::once("connect".into()).chain(messages))
}

pub(super) fn who_ignores_its_credit_is_left(now: Instant, seed: u64) -> Outcome {
    let Pages { mut world, b, .. } = pages(now, seed, 1 << 20, Weather::default())?;
    world.run_for(SECOND);
    world.set_reads(b, false);
    for stream_id in 1..64 {
        let header = Header {
            kind: Kind::Bytes,
            stream_id,
            seq_id: 0,
            seq_len: 1,
        };
        world.inject_frame(b, &chunk::encode(&header, &vec![0; 64 << 10]));
    }
    world.run_for(SECOND);
    let end = world.ends(b).next();
    check(matches!(end, Some(Error::PeerMisbehaved(_))), || format!("{end:?}"))?;
    check(world.unread_bytes(b) < 2 << 20, || "too much was taken".into())
}

/// Some begin messages and never end them: together they get no more than the budget, and others are heard.
pub(super) fn all_connections_share_one_budget(now: Instant, seed: u64) -> Outcome {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut world = World::new(now, seed, Weather::default());
    let budget = Config {
        memory_budget_bytes: 8 << 20,
        ..Config::default()
    };
    let a = world.add(1, budget, false);
    let crowd: Vec<_> = (0..10)
        .map(|number| world.add(10 + number, Config::default(), rng.bool()))
        .collect();
    let honest = world.add(2, Config::default(), false);
    world.run_for(SECOND);
    for node in crowd.iter().chain([&honest]) {
        world.send(*node, a, "hello");
    }
    check(world.run_until(LONG, |w| w.received(a).len() == 11), || {
        "not connected".into()
    })?;
    for seq_id in 0..30 {
        for node in &crowd {
            let header = Header {
                kind: Kind::Bytes,
                stream_id: 1,
                seq_id,
                seq_len: 1000,
            };
            world.inject_frame_of(a, *node, &chunk::encode(&header, &[7; 60_000]));
        }
        world.run_for(Duration::from_millis(10));
    }
    let misbehaved = |end: &&Error| matches!(end, Error::PeerMisbehaved(text) if text.contains("together"));
    let gone = world.ends(a).filter(misbehaved).count();
    check((3..10).contains(&gone), || format!("{gone} of 10 had to go"))?;
    let ticket = world.send(honest, a, "still here");
    world.run_for(SECOND * 5);
    check(matches!(world.reply(ticket), Some(Ok(_))), || {
        format!("{:?}", world.reply(ticket))
    })
}
