//! A connection over several lanes whose peer puts frames of its own among the others: no panic, no endless loop, and
//! what both say afterwards arrives in order or the connection has ended.
#![no_main]

use crosspeer::sim::{Weather, World};
use crosspeer::{Config, Message};
use libfuzzer_sys::fuzz_target;
use std::time::Duration;
use web_time::Instant;

fuzz_target!(|input: &[u8]| {
    let Some((&seed, mut rest)) = input.split_first() else {
        return;
    };
    let mut world = World::new(Instant::now(), u64::from(seed), Weather::default());
    let config = || Config::default().with_lanes(1 + seed % 4..=4);
    let (a, b) = (world.add(1, config(), false), world.add(2, config(), false));
    world.run_for(Duration::from_secs(1));
    world.send(a, b, "first");
    world.run_for(Duration::from_secs(5));
    // One byte for the size of each frame and one for its code; every third frame is given as it is.
    while let Some(([size, code], data)) = rest.split_first_chunk() {
        let (data, next) = data.split_at(data.len().min(usize::from(*size)));
        rest = next;
        let mut frame = Vec::new();
        if size % 3 != 0 {
            frame.extend([0, 3]);
            frame.extend((18 + data.len() as u32).to_be_bytes());
            frame.extend(u32::from(*code % 16).to_be_bytes());
            frame.extend([0, 0, 0, 0, 0, 0, 0, 1]);
        }
        frame.extend(data);
        world.inject_frame(b, &frame);
        world.run_for(Duration::from_millis(u64::from(*code)));
    }
    let ticket = world.send(a, b, "last");
    world.run_for(Duration::from_secs(120));
    assert!(world.reply(ticket).is_some(), "a request hangs");
    let texts: Vec<_> = world.received(b).iter().map(|(_, message)| message.clone()).collect();
    let (first, last) = (Message::from("first"), Message::from("last"));
    let place = |wanted: &Message| texts.iter().position(|text| text == wanted);
    assert!(place(&first).is_some());
    assert!(place(&last).is_none_or(|last| last > 0));
});
