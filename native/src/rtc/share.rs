//! What one connection may take of the memory that all have together. A peer can have the whole receive window filled, and
//! the engine makes its buffers before anybody has shown to be a peer: so the more connections there are, the smaller.

use crosspeer::platform::READ_AHEAD_BYTES;

/// The smallest receive window, in bytes: one message of the largest size, and some of the next, must fit.
pub(super) const MIN_WINDOW: usize = 320 << 10;
/// Datagrams that a socket takes at once. Each takes 2 KiB for the socket, and as much again for the connection.
const MAX_SEGMENTS: usize = 64;
const MIN_SEGMENTS: usize = 8;
const SEGMENT_BYTES: usize = 2 << 10;
/// Two chunks, about.
const LEAST_READ_AHEAD: usize = 128 << 10;

/// A connection's part of `Config::memory_budget_bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    bytes: usize,
}

impl Share {
    /// Of the budget, for the last of so many connections.
    pub(super) fn new(budget: u64, connections: usize) -> Self {
        let bytes = budget / connections.max(1) as u64;
        Self {
            bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
        }
    }

    /// Bytes of SCTP's receive window: a quarter, but at least [`MIN_WINDOW`] and at most what this system's sockets can hold.
    pub(super) fn receive_window(self, largest: usize) -> u32 {
        let window = (self.bytes / 4).min(largest).max(MIN_WINDOW);
        u32::try_from(window).unwrap_or(u32::MAX)
    }

    /// Bytes that may be on their way to a peer, which it may leave unacknowledged: as many.
    pub(super) fn send_buffer(self) -> usize {
        (self.bytes / 4).max(MIN_WINDOW)
    }

    /// Bytes of frames that are handed over before they have been dealt with: an eighth.
    pub(super) fn read_ahead(self) -> usize {
        (self.bytes / 8).clamp(LEAST_READ_AHEAD, READ_AHEAD_BYTES)
    }

    /// How many datagrams a socket takes at once.
    pub(super) fn segments(self) -> usize {
        (self.bytes / 32 / SEGMENT_BYTES).clamp(MIN_SEGMENTS, MAX_SEGMENTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_connections_have_all_they_can_use_and_many_together_not_much_more() {
        let first = Share::new(16 << 20, 1);
        assert_eq!(first.receive_window(8 << 20), 4 << 20);
        assert_eq!(first.receive_window(1 << 20), 1 << 20);
        assert_eq!(first.segments(), MAX_SEGMENTS);
        let of = |count: usize| (1..=count).map(|number| Share::new(16 << 20, number));
        let windows: usize = of(64).map(|share| share.receive_window(4 << 20) as usize).sum();
        assert!(windows <= 32 << 20, "{windows}");
        let buffers: usize = of(64).map(|share| share.segments() * SEGMENT_BYTES * 2).sum();
        assert!(buffers <= 8 << 20, "{buffers}");
        assert_eq!(first.read_ahead(), READ_AHEAD_BYTES);
        let ahead: usize = of(64).map(|share| share.read_ahead()).sum();
        assert!(ahead <= 16 << 20, "{ahead}");
        assert_eq!(
            Share::new(2 << 30, 128),
            Share::new(16 << 20, 1),
            "by default there is more"
        );
        assert_eq!(Share::new(0, 0).receive_window(4 << 20) as usize, MIN_WINDOW);
    }
}
