//! A lone packet that is lost on a path of 1 ms costs a second, whatever round trips have been measured.

use bench_upstream::{Pair, SENDER};
use std::time::Duration;

fn main() {
    let mut pair = Pair::new(Duration::from_micros(500), 1 << 20);
    for _ in 0..50 {
        pair.write(2000);
        pair.run_for(Duration::from_secs(1));
        pair.read();
    }
    println!("measured round trip: {:?}", pair.of(SENDER).rtt());
    pair.start = pair.now;
    let first = pair.ends[SENDER].sent + 1;
    pair.loses = Box::new(move |end, number| end == SENDER && number == Some(first));
    pair.write(1000);
    pair.run_until(pair.now + Duration::from_secs(60), |pair| pair.read() > 0);
    println!("1000 bytes whose packet was lost once came after {} ms", pair.elapsed());
}
