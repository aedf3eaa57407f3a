//! The one place that asks for the time.
#![allow(clippy::disallowed_methods)]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

pub(super) fn now() -> Instant {
    Instant::now()
}

/// Seconds since 1970, by which credentials end.
pub(super) fn unix_time() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
