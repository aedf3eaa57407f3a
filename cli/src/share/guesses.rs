//! Wrong tokens: each address may try a few, then one a second.

use crosspeer_relay::site;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Wrong tokens that an address may try before it has to wait.
const BURST: u32 = 10;
/// After this long it has one more try.
const EACH: Duration = Duration::from_secs(1);
/// Addresses that are remembered.
const MAX_ADDRESSES: usize = 4096;

/// Who has guessed lately. For each address, when its tries will all be back.
#[derive(Debug, Default)]
pub(super) struct Guesses(Mutex<HashMap<IpAddr, Instant>>);

impl Guesses {
    /// Whether a token from this address is looked at.
    pub(super) fn may_try(&self, from: IpAddr, now: Instant) -> bool {
        let until = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&site(from))
            .copied();
        until.is_none_or(|until| until.saturating_duration_since(now) <= EACH * (BURST - 1))
    }

    /// It was wrong.
    pub(super) fn failed(&self, from: IpAddr, now: Instant) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_ADDRESSES {
            known.retain(|_, until| *until > now);
        }
        if known.len() >= MAX_ADDRESSES
            && let Some(oldest) = known.iter().min_by_key(|(_, until)| **until).map(|(ip, _)| *ip)
        {
            known.remove(&oldest);
        }
        let until = known.entry(site(from)).or_insert(now);
        *until = (*until).max(now) + EACH;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_some_wrong_ones_an_address_waits_and_others_do_not() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let tries = |from, now| {
            (0..100)
                .take_while(|_| {
                    guesses.may_try(ip(from), now) && {
                        guesses.failed(ip(from), now);
                        true
                    }
                })
                .count()
        };
        assert_eq!(tries("192.0.2.1", now), 10);
        assert_eq!(tries("::ffff:192.0.2.1", now), 0);
        assert_eq!(tries("192.0.2.2", now), 10);
        assert_eq!(tries("192.0.2.1", now + 3 * EACH), 3);
        assert_eq!((tries("2001:db8::1", now), tries("2001:db8::2", now)), (10, 0));
        for other in 0..2 * MAX_ADDRESSES as u32 {
            guesses.failed(IpAddr::V4((0x0a00_0000 + other).into()), now);
        }
        assert!(guesses.0.lock().unwrap().len() <= MAX_ADDRESSES);
    }
}
