//! What a message costs in common code: chunks written and read, put together again, and a whole way through two
//! routers. `cargo bench -p crosspeer`; the allocations for each message are printed first.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods)] // it measures

mod pair;

use bytes::Bytes;
use criterion::{BatchSize, Bencher, Criterion, Throughput};
use crosspeer::Message;
use crosspeer::chunk::{Frame, Splitter};
use crosspeer::reassembly::{Limits, Reassembly};
use pair::Pair;
use std::hint::black_box;
use web_time::Instant;

/// Bytes of the messages that are measured.
const SIZES: [usize; 3] = [64, 64 << 10, 1 << 20];
/// Bytes of payload of a chunk, as by default between our own kind.
const CHUNK: usize = 64 << 10;
/// Messages of which the allocations are counted.
const COUNTED: u64 = 100;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for size in SIZES {
        let message = Message::Bytes(Bytes::from(vec![0; size]));
        encode(&mut criterion, &message);
        decode(&mut criterion, &message);
        reassemble(&mut criterion, &message);
        route(&mut criterion, &message);
    }
    criterion.final_summary();
}

fn chunks(message: &Message) -> Splitter {
    Splitter::new(message.clone(), 1, CHUNK)
}

fn frames(message: &Message) -> Vec<Bytes> {
    chunks(message).map(|chunk| chunk.freeze()).collect()
}

fn decoded(message: &Message) -> Vec<Frame> {
    let frames = frames(message).into_iter();
    frames.map(|data| Frame::decode(data).unwrap()).collect()
}

fn encode(criterion: &mut Criterion, message: &Message) {
    let split = || chunks(message).for_each(|chunk| drop(black_box(chunk)));
    count("encode", message, &split);
    group(criterion, "encode", message, |bencher| bencher.iter(&split));
}

fn decode(criterion: &mut Criterion, message: &Message) {
    let frames = frames(message);
    let read = || {
        frames
            .iter()
            .for_each(|data| drop(black_box(Frame::decode(data.clone()))))
    };
    count("decode", message, &read);
    group(criterion, "decode", message, |bencher| bencher.iter(&read));
}

fn reassemble(criterion: &mut Criterion, message: &Message) {
    let (now, mut reassembly) = (Instant::now(), Reassembly::new(Limits::default()));
    let mut number = 0;
    let mut insert = |mut frames: Vec<Frame>| {
        number += 1;
        let mut whole = None;
        for mut frame in frames.drain(..) {
            frame.header.stream_id = number;
            whole = reassembly.insert(now, frame).unwrap();
        }
        whole.unwrap()
    };
    let mut prepared: Vec<_> = (0..COUNTED).map(|_| decoded(message)).collect();
    count("reassemble", message, || drop(insert(prepared.pop().unwrap())));
    group(criterion, "reassemble", message, |bencher| {
        bencher.iter_batched(|| decoded(message), &mut insert, BatchSize::SmallInput);
    });
}

fn route(criterion: &mut Criterion, message: &Message) {
    let mut pair = Pair::new();
    count("route", message, || pair.pass(message.clone()));
    group(criterion, "route", message, |bencher| {
        bencher.iter(|| pair.pass(message.clone()))
    });
}

fn group(criterion: &mut Criterion, name: &str, message: &Message, measure: impl FnMut(&mut Bencher<'_>)) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(1));
    group.bench_function(message.len().to_string(), measure);
    group.finish();
}

/// Prints how much is allocated for each message.
fn count(name: &str, message: &Message, mut each: impl FnMut()) {
    let info = allocation_counter::measure(|| (0..COUNTED).for_each(|_| each()));
    let of = |total: u64| total as f64 / COUNTED as f64;
    println!(
        "{name}/{}: {:.1} allocations of {:.0} bytes in all for each message",
        message.len(),
        of(info.count_total),
        of(info.bytes_total)
    );
}
