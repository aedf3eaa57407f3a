//! How much one user may have: relayed addresses, and bytes in a second.

use super::message::{NO_CAPACITY, QUOTA, Refusal};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A second's bytes may come at once.
const BURST_SECONDS: f64 = 1.0;

/// All users that have something.
#[derive(Debug)]
pub(super) struct Users {
    /// Of each, and of all together.
    allocations: [usize; 2],
    bytes_per_second: Option<u64>,
    present: Arc<Mutex<HashMap<String, Entry>>>,
}

#[derive(Debug)]
struct Entry {
    allocations: usize,
    bucket: Option<Arc<Mutex<Bucket>>>,
}

/// One relayed address of a user, which counts until this is dropped.
#[derive(Debug)]
pub(super) struct Share {
    name: String,
    present: Arc<Mutex<HashMap<String, Entry>>>,
    bucket: Option<Arc<Mutex<Bucket>>>,
}

/// Bytes that may pass now.
#[derive(Debug)]
struct Bucket {
    rate: f64,
    left: f64,
    at: Option<Instant>,
}

impl Users {
    pub(super) fn new(allocations: [usize; 2], bytes_per_second: Option<u64>) -> Self {
        Self {
            allocations,
            bytes_per_second,
            present: Arc::default(),
        }
    }

    /// One more relayed address for this user, unless it has as many as it may have, or all together have.
    pub(super) fn take(&self, name: &str) -> Result<Share, Refusal> {
        let [of_one, of_all] = self.allocations;
        let bucket = || {
            self.bytes_per_second.map(|rate| {
                let rate = rate as f64;
                let left = rate * BURST_SECONDS;
                Arc::new(Mutex::new(Bucket { rate, left, at: None }))
            })
        };
        let mut present = lock(&self.present);
        let all: usize = present.values().map(|entry| entry.allocations).sum();
        if all >= of_all {
            tracing::warn!("no relayed address is left: all users together have {of_all} (turn.allocations)");
            return Err(NO_CAPACITY);
        }
        let entry = present.entry(name.to_owned()).or_insert_with(|| Entry {
            allocations: 0,
            bucket: bucket(),
        });
        if entry.allocations >= of_one {
            return Err(QUOTA);
        }
        entry.allocations += 1;
        let bucket = entry.bucket.clone();
        drop(present);
        Ok(Share {
            name: name.to_owned(),
            present: Arc::clone(&self.present),
            bucket,
        })
    }
}

impl Share {
    /// Whether so many bytes may pass now.
    pub(super) fn passes(&self, now: Instant, bytes: usize) -> bool {
        let Some(bucket) = &self.bucket else { return true };
        let mut bucket = lock(bucket);
        let gained = bucket
            .at
            .map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64() * bucket.rate);
        bucket.left = (bucket.left + gained).min(bucket.rate * BURST_SECONDS);
        bucket.at = Some(now);
        let passes = bucket.left >= bytes as f64;
        if passes {
            bucket.left -= bytes as f64;
        }
        passes
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut present = lock(&self.present);
        if let Some(entry) = present.get_mut(&self.name) {
            entry.allocations -= 1;
            if entry.allocations == 0 {
                present.remove(&self.name);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn each_user_has_its_own_share_and_gives_it_back() {
        let users = Users::new([2, 3], None);
        let mine: Vec<_> = (0..2).map(|_| users.take("me").unwrap()).collect();
        assert_eq!(users.take("me").unwrap_err(), QUOTA);
        let yours = users.take("you").unwrap();
        assert_eq!(users.take("you").unwrap_err(), NO_CAPACITY, "all together have as many");
        assert_eq!(users.take("they").unwrap_err(), NO_CAPACITY);
        drop((mine, yours));
        assert!(users.take("me").is_ok());
        assert!(lock(&users.present).is_empty());
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // the first time; all others are computed
    fn bytes_are_of_all_addresses_of_a_user_together() {
        let users = Users::new([2, 9], Some(1000));
        let (one, other) = (users.take("me").unwrap(), users.take("me").unwrap());
        let start = Instant::now();
        assert!(one.passes(start, 600) && !other.passes(start, 600) && other.passes(start, 400));
        let later = start + Duration::from_millis(500);
        assert!(other.passes(later, 500) && !one.passes(later, 1));
        let much_later = start + Duration::from_secs(60);
        assert!(
            one.passes(much_later, 1000) && !one.passes(much_later, 1),
            "a second's bytes at most"
        );
        assert!(users.take("you").is_ok_and(|you| you.passes(start, 1000)));
    }
}
