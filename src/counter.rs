//! Numbers of a connection: message numbers, and statistics.

use crate::{Error, Result};

/// The numbers of the messages of one direction of one connection: 0, 1, 2 … 2³² − 2, as ProxyStore's.
#[derive(Debug, Clone, Default)]
pub struct StreamIds {
    next: u32,
}

impl StreamIds {
    /// From 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// From `first`, for tests of the end.
    pub fn starting_at(first: u32) -> Self {
        Self { next: first }
    }

    /// The next number.
    ///
    /// # Errors
    /// [`Error::StreamIdsExhausted`] after 2³² − 1 messages, for ever: a new connection counts from 0 again.
    #[allow(clippy::should_implement_trait)] // an iterator would end, which is easily mistaken for success
    pub fn next(&mut self) -> Result<u32> {
        if self.next == u32::MAX {
            return Err(Error::StreamIdsExhausted);
        }
        let id = self.next;
        self.next += 1;
        Ok(id)
    }
}

/// What has gone over a connection so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// Messages handed over whole.
    pub messages_sent: u64,
    /// Messages received whole.
    pub messages_received: u64,
    /// Bytes of the messages sent, without headers.
    pub bytes_sent: u64,
    /// Bytes of the messages received, without headers.
    pub bytes_received: u64,
    /// Received chunks that were malformed or contradictory and therefore dropped.
    pub frames_dropped: u64,
    /// Received messages that were given up because the rest of them did not come.
    pub messages_expired: u64,
    /// Lanes that carry the connection now, or are being opened; see [`Config::lanes`](crate::Config::lanes).
    pub lanes: usize,
    /// Whether it goes over QUIC, and not over data channels; see [`Config::quic`](crate::Config::quic).
    pub quic: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_from_zero() {
        let mut ids = StreamIds::new();
        assert_eq!([ids.next(), ids.next(), ids.next()], [Ok(0), Ok(1), Ok(2)]);
    }

    #[test]
    fn the_last_number_is_followed_by_an_error_for_ever() {
        let mut ids = StreamIds::starting_at(u32::MAX - 1);
        assert_eq!(ids.next(), Ok(0xffff_fffe));
        for _ in 0..3 {
            let error = ids.next().unwrap_err();
            assert_eq!(error.code(), "stream-ids-exhausted");
            assert!(error.to_string().contains("open a new connection"));
        }
    }
}
