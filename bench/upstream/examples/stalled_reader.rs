//! A reader stalls until the window is closed, then reads everything. Nobody tells the sender: it goes on only with its
//! next probe, at intervals of 1, 2, 4 … s; and after the sixth there is none (see t3_gives_up).

use bench_upstream::Pair;
use std::time::Duration;

fn main() {
    for stall in [1, 5, 20, 70] {
        let mut pair = Pair::new(Duration::from_micros(500), 256 << 10);
        for _ in 0..32 {
            pair.write(16 << 10);
        }
        pair.run_for(Duration::from_secs(stall));
        let mut read = pair.read();
        pair.start = pair.now;
        let all = pair.run_until(pair.now + Duration::from_secs(3600), |pair| {
            read += pair.read();
            read == 32 * (16 << 10)
        });
        match all {
            true => println!(
                "stalled for {stall:>2} s: all has come {} ms after the reader read",
                pair.elapsed()
            ),
            false => println!(
                "stalled for {stall:>2} s: an hour later {} of 512 KiB have come",
                read >> 10
            ),
        }
    }
}
