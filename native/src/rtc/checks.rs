//! How many of ICE's checks may leave before a connection is up. The engine checks each pair of addresses every 20 ms for
//! as long as set-up may take, and what addresses there are is said by a peer that may be a stranger: without this one
//! description sends 50,000 packets to whomever it names.
//!
//! After a burst that more than covers an honest set-up, checks go on at the pace of RFC 8445 (§14), shared evenly by the
//! addresses they go to, and all connections of the process together have such a pace too. Once the connection is up
//! nothing is held back: then each check is one to a peer that has answered.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Acquire, Ordering::Release};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Checks of one connection that are not held back.
const BURST: u32 = 300;
/// One check in this time, on average, after that: 1,200 in the 30 s that set-up may take.
const PACE: Duration = Duration::from_millis(25);
/// Addresses that are told apart; those beyond get no check.
const MAX_ADDRESSES: usize = 128;
/// Checks of all connections at once that are not held back, and how many more each second.
const BURST_OF_ALL: f64 = 10_000.0;
const PER_SECOND: f64 = 2_000.0;

/// Of one connection.
#[derive(Debug, Default)]
pub(super) struct Checks {
    connected: AtomicBool,
    sent: Mutex<Sent>,
}

#[derive(Debug, Default)]
struct Sent {
    count: u32,
    last: HashMap<SocketAddr, Instant>,
}

impl Checks {
    /// From now on nothing is held back.
    pub(super) fn connected(&self) {
        self.connected.store(true, Release);
    }

    /// Whether a check may leave for this address now.
    pub(super) fn may_leave(&self, now: Instant, to: SocketAddr) -> bool {
        if self.connected.load(Acquire) {
            return true;
        }
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let known = sent.last.len();
        if known >= MAX_ADDRESSES && !sent.last.contains_key(&to) {
            return false;
        }
        let each = PACE * u32::try_from(known.max(1)).unwrap_or(u32::MAX);
        let early = sent.last.get(&to).is_some_and(|last| now < *last + each);
        if (sent.count >= BURST && early) || !take_of_all(now) {
            return false;
        }
        sent.count = sent.count.saturating_add(1);
        sent.last.insert(to, now);
        true
    }
}

/// One of what all connections may send.
fn take_of_all(now: Instant) -> bool {
    static ALL: Mutex<Option<(Instant, f64)>> = Mutex::new(None);
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    let (before, left) = all.unwrap_or((now, BURST_OF_ALL));
    let gained = now.saturating_duration_since(before).as_secs_f64() * PER_SECOND;
    let left = (left + gained).min(BURST_OF_ALL);
    let passes = left >= 1.0;
    *all = Some((now.max(before), if passes { left - 1.0 } else { left }));
    passes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 1000 + number))
    }

    /// What leaves within 30 s when so many addresses are checked every 20 ms.
    fn leave(addresses: u16) -> Vec<usize> {
        let checks = Checks::default();
        let mut left = vec![0; usize::from(addresses)];
        let start = Instant::now();
        for round in 0..1500 {
            for number in 0..addresses {
                let now = start + Duration::from_millis(20) * round;
                left[usize::from(number)] += usize::from(checks.may_leave(now, address(number)));
            }
        }
        left
    }

    #[tokio::test]
    async fn one_description_sends_at_most_1500_and_each_address_gets_its_share() {
        for addresses in [1, 4, 32, 100, 1000] {
            let left = leave(addresses);
            let sum: usize = left.iter().sum();
            assert!(sum <= 1550, "{addresses} addresses: {sum}");
            assert!(sum >= 500, "{addresses} addresses: {sum}");
            let told_apart = &left[..left.len().min(MAX_ADDRESSES)];
            let (least, most) = (told_apart.iter().min(), told_apart.iter().max());
            assert!(most <= least.map(|least| least * 2 + 4).as_ref(), "{least:?} {most:?}");
        }
    }

    #[tokio::test]
    async fn an_honest_set_up_is_not_held_back() {
        let checks = Checks::default();
        let start = Instant::now();
        for round in 0..10 {
            for number in 0..30 {
                assert!(checks.may_leave(start + Duration::from_millis(20) * round, address(number)));
            }
        }
        checks.connected();
        assert!((0..2000).all(|_| checks.may_leave(start, address(1))));
    }
}
