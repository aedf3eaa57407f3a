//! What each address, and each token, may use of the relay.

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use serde::Deserialize;
use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::sleep;

/// So many seconds' worth may come at once.
const BURST_SECONDS: u32 = 10;
/// Bytes that may always come at once: the largest message.
const BURST_BYTES: u32 = 1 << 20;
/// A client that is held back for longer than this, from one message to the next, is closed.
const PATIENCE: Duration = Duration::from_secs(2);
/// So many accounts are remembered when nobody uses them, so that leaving does not fill an allowance.
const REMEMBERED: usize = 4096;

/// Limits that clients share: those of one address (of IPv6, one /64), or of one token. Default none.
///
/// Ten seconds' worth may come at once. A client that sends more is read more slowly; after 2 s of that it is closed with
/// 1008.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Rates {
    /// Connections at once.
    pub connections: Option<NonZeroU32>,
    /// Registrations a second.
    pub registrations: Option<NonZeroU32>,
    /// Messages a second.
    pub messages: Option<NonZeroU32>,
    /// Bytes of messages a second.
    pub bytes: Option<NonZeroU32>,
}

impl std::str::FromStr for Rates {
    type Err = String;

    /// Reads `connections=100,messages=50`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut rates = Self::default();
        for word in text.split(',') {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            let field = match key.trim() {
                "connections" => &mut rates.connections,
                "registrations" => &mut rates.registrations,
                "messages" => &mut rates.messages,
                "bytes" => &mut rates.bytes,
                _ => {
                    return Err(format!(
                        "{word:?} is none of connections=N, registrations=N, messages=N, bytes=N (N for each second)"
                    ));
                }
            };
            let number = value.trim().parse();
            *field = Some(number.map_err(|_| format!("{word:?} needs a number from 1 to {}", u32::MAX))?);
        }
        Ok(rates)
    }
}

/// What is limited by the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Registration,
    Message,
}

/// All accounts of one sort.
#[derive(Debug)]
pub(crate) struct Accounts<K: Hash + Eq + Clone + Debug> {
    rates: Rates,
    /// How the close reasons call it.
    words: &'static Words,
    known: Arc<Mutex<HashMap<K, Arc<Account>>>>,
}

/// Close reasons.
#[derive(Debug)]
pub(crate) struct Words {
    pub(crate) connections: &'static str,
    pub(crate) registrations: &'static str,
    pub(crate) messages: &'static str,
}

pub(crate) const ADDRESS: Words = Words {
    connections: "Too many connections from this address.",
    registrations: "Too many registrations from this address.",
    messages: "More messages from this address than it may send.",
};
pub(crate) const TOKEN: Words = Words {
    connections: "Too many connections with this token.",
    registrations: "Too many registrations with this token.",
    messages: "More messages with this token than it may send.",
};

#[derive(Debug)]
struct Account {
    connections: Mutex<u32>,
    registrations: Option<DefaultDirectRateLimiter>,
    messages: Option<DefaultDirectRateLimiter>,
    bytes: Option<DefaultDirectRateLimiter>,
}

/// A connection's share of an account, until it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    account: Arc<Account>,
    words: &'static Words,
    /// Milliseconds for which it has been held back since it last was not.
    held: AtomicU64,
}

impl Account {
    fn new(rates: Rates) -> Self {
        let limiter = |rate: NonZeroU32, least: u32| {
            let burst = rate.get().saturating_mul(BURST_SECONDS).max(least);
            let quota = Quota::per_second(rate);
            RateLimiter::direct(NonZeroU32::new(burst).map_or(quota, |burst| quota.allow_burst(burst)))
        };
        Self {
            connections: Mutex::new(0),
            registrations: rates.registrations.map(|rate| limiter(rate, 1)),
            messages: rates.messages.map(|rate| limiter(rate, 1)),
            bytes: rates.bytes.map(|rate| limiter(rate, BURST_BYTES)),
        }
    }

    fn connections(&self) -> MutexGuard<'_, u32> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq + Clone + Debug> Accounts<K> {
    pub(crate) fn new(rates: Rates, words: &'static Words) -> Self {
        Self {
            rates,
            words,
            known: Arc::default(),
        }
    }

    /// One more connection of this account; `Ok(None)` where nothing is limited.
    pub(crate) fn enter(&self, key: K) -> Result<Option<Seat>, &'static str> {
        if self.rates == Rates::default() {
            return Ok(None);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED && !known.contains_key(&key) {
            known.retain(|_, account| *account.connections() > 0);
        }
        let account = known.entry(key).or_insert_with(|| Arc::new(Account::new(self.rates)));
        let account = account.clone();
        let mut connections = account.connections();
        if self.rates.connections.is_some_and(|most| *connections >= most.get()) {
            return Err(self.words.connections);
        }
        *connections += 1;
        drop((connections, known));
        Ok(Some(Seat {
            account,
            words: self.words,
            held: AtomicU64::new(0),
        }))
    }
}

impl Seat {
    /// Waits for the account's turn; `Err`: it uses more than it may, and this is the close reason.
    pub(crate) async fn spend(&self, kind: Kind, bytes: usize) -> Result<(), &'static str> {
        let one = NonZeroU32::MIN;
        if kind == Kind::Registration
            && let Some(registrations) = &self.account.registrations
            && registrations.check().is_err()
        {
            return Err(self.words.registrations);
        }
        let bytes = NonZeroU32::new(u32::try_from(bytes).unwrap_or(u32::MAX)).unwrap_or(one);
        for (limiter, amount) in [(&self.account.messages, one), (&self.account.bytes, bytes)] {
            if let Some(limiter) = limiter {
                self.take(limiter, amount).await.map_err(|()| self.words.messages)?;
            }
        }
        Ok(())
    }

    async fn take(&self, limiter: &DefaultDirectRateLimiter, amount: NonZeroU32) -> Result<(), ()> {
        let clock = DefaultClock::default();
        let mut waited = false;
        loop {
            let Err(not_yet) = limiter.check_n(amount).map_err(|_| ())? else {
                if !waited {
                    self.held.store(0, Ordering::Relaxed);
                }
                return Ok(());
            };
            let wait = not_yet.wait_time_from(clock.now()).max(Duration::from_millis(1));
            let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            let held = self.held.load(Ordering::Relaxed).saturating_add(millis);
            if Duration::from_millis(held) > PATIENCE {
                return Err(());
            }
            self.held.store(held, Ordering::Relaxed);
            waited = true;
            sleep(wait).await;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        *self.account.connections() -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_from_words() {
        let rates: Rates = "connections=100, bytes=5".parse().unwrap();
        assert_eq!((rates.connections.unwrap().get(), rates.bytes.unwrap().get()), (100, 5));
        assert_eq!((rates.messages, rates.registrations), (None, None));
        for (text, word) in [
            ("", "connections=N"),
            ("messages=0", "1 to"),
            ("calls=1", "calls"),
            ("bytes", "1 to"),
        ] {
            let error = text.parse::<Rates>().unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[tokio::test]
    async fn accounts_are_apart_and_are_not_emptied_by_leaving() {
        let accounts = Accounts::new("connections=2,registrations=1".parse().unwrap(), &ADDRESS);
        let first = accounts.enter(1).unwrap().unwrap();
        let second = accounts.enter(1).unwrap().unwrap();
        assert_eq!(accounts.enter(1).unwrap_err(), ADDRESS.connections);
        assert!(accounts.enter(2).unwrap().is_some());
        for _ in 0..BURST_SECONDS {
            first.spend(Kind::Registration, 1).await.unwrap();
        }
        drop((first, second));
        let again = accounts.enter(1).unwrap().unwrap();
        assert_eq!(again.spend(Kind::Registration, 1).await, Err(ADDRESS.registrations));
        again.spend(Kind::Message, usize::MAX).await.unwrap();
        for key in 10..10 + 2 * REMEMBERED {
            drop(accounts.enter(key));
        }
        assert!(accounts.known.lock().unwrap().len() <= REMEMBERED);
        assert!(Accounts::new(Rates::default(), &TOKEN).enter(1).unwrap().is_none());
    }

    #[tokio::test]
    async fn whoever_sends_too_much_is_held_back_and_then_refused() {
        let accounts = Accounts::new("bytes=100000".parse().unwrap(), &TOKEN);
        let seat = accounts.enter("token").unwrap().unwrap();
        seat.spend(Kind::Message, 1 << 20).await.unwrap();
        seat.spend(Kind::Message, 10).await.unwrap(); // after some moment
        assert_eq!(seat.spend(Kind::Message, 1 << 20).await, Err(TOKEN.messages));
        assert_eq!(seat.spend(Kind::Message, 2 << 20).await, Err(TOKEN.messages));
    }
}
