//! A sender that waits for each packet's acknowledgement before it sends the next (as aiortc does at the end of each
//! message) gets 5 packets a second.

use bench_upstream::{Pair, SENDER};
use std::time::Duration;

fn main() {
    let mut pair = Pair::new(Duration::from_micros(500), 1 << 20);
    for _ in 0..20 {
        pair.write(1000);
        pair.run_until(pair.now + Duration::from_secs(10), |pair| pair.unacknowledged() == 0);
        pair.read();
    }
    println!(
        "20 packets, one by one, took {} ms on a path of 1 ms; {} were sent",
        pair.elapsed(),
        pair.ends[SENDER].sent
    );
}
