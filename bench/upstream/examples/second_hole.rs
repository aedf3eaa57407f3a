//! Two packets of one window are lost: the second waits for T3, though later packets are acknowledged all the time.

use bench_upstream::{Pair, SENDER};
use std::time::Duration;

fn main() {
    for lost in [vec![20], vec![20, 24], vec![20, 24, 28]] {
        let mut pair = Pair::new(Duration::from_micros(500), 1 << 20);
        // Open the congestion window first.
        for _ in 0..20 {
            pair.write(64 << 10);
        }
        pair.run_until(pair.now + Duration::from_secs(10), |pair| {
            pair.read() == 0 && pair.unacknowledged() == 0
        });
        pair.run_for(Duration::from_secs(1));
        pair.read();
        (pair.start, pair.ends[SENDER].sent) = (pair.now, 0);
        let which = lost.clone();
        pair.loses = Box::new(move |end, number| end == SENDER && number.is_some_and(|n| which.contains(&n)));
        for _ in 0..4 {
            pair.write(64 << 10);
        }
        let (before, mut read) = (pair.of(SENDER).stats().get_num_t3timeouts(), 0);
        pair.run_until(pair.now + Duration::from_secs(60), |pair| {
            read += pair.read();
            read == 4 * (64 << 10)
        });
        let waits = pair.of(SENDER).stats().get_num_t3timeouts() - before;
        println!(
            "packets lost {lost:?}: 256 KiB came after {} ms, T3 expired {waits} times",
            pair.elapsed()
        );
    }
}
