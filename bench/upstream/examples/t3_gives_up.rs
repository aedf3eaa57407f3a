//! After an outage of a bit more than 63 s nothing is ever sent again, though the path is back.

use bench_upstream::{Pair, SENDER};
use std::time::Duration;

fn main() {
    for outage in [30, 60, 70, 120] {
        let mut pair = Pair::new(Duration::from_millis(1), 1 << 20);
        pair.loses = Box::new(|_, _| true);
        pair.write(10_000);
        pair.run_for(Duration::from_secs(outage));
        let tried = pair.ends[SENDER].sent;
        pair.loses = Box::new(|_, _| false);
        pair.run_for(Duration::from_secs(3600));
        let (read, armed) = (pair.read(), pair.of(SENDER).poll_timeout().is_some());
        println!(
            "outage of {outage:>3} s, {tried} packets sent in it: an hour later {read:>5} of 10000 bytes have come, a timer is set: {armed}"
        );
    }
}
