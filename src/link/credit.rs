//! How far a sender may run ahead of the user who reads at the other side, where that side's platform takes whatever comes.
//!
//! A native program that is behind stops reading, and SCTP's window holds its peer back. A browser hands over everything
//! as it comes. So each side of our own kind says in its description `credit=N`, the bytes that may be sent to it at
//! first, and `holds` if its platform can be held back. Where both have said the former, and not both the latter, both
//! send no more than they were granted, and both read on at once: a grant must never wait behind what nobody reads.
//!
//! A grant is a control frame, [`CREDIT`](crate::wire::control::CREDIT): the sum that may be sent since the connection
//! came up, which is never less than before. Frames count with their header and [`FRAME_COST`], except control frames,
//! which need no credit. A frame may be begun while anything is left, so that the smallest window passes the largest frame.
//!
//! A message that is not complete does not count as unread, so that one larger than any window still passes. What is sent
//! again counts at neither side. The latest grant may be lost with its lane, and is then said again.

/// Bytes that a frame costs beside its own, at either side: a flood of tiny messages is memory too.
const FRAME_COST: u64 = 64;
/// Bytes that may be on their way beyond what has come. More than any SCTP window and send buffer that were seen (5 MiB in
/// Chromium, 4 MiB here), with what is granted late: it is they that limit a long path, never this. It costs nothing,
/// since what has come and is not read counts too.
const WINDOW_BYTES: u64 = 8 << 20;
/// What a peer may be beyond its credit by: the rest of its last frame, of the largest size there is.
const SLACK_BYTES: u64 = 512 << 10;

/// Both directions of one connection.
#[derive(Default)]
pub(super) struct Credit {
    /// Whether it is in force.
    counts: bool,
    /// Bytes that may be sent, and those that were.
    allowed: u64,
    sent: u64,
    /// Bytes that the peer may send, and those that have come.
    granted: u64,
    received: u64,
    window: u64,
    /// Whether the latest grant may have been lost.
    doubtful: bool,
}

/// Bytes that may be sent to this side at first.
pub(super) fn window(receive_buffer_bytes: usize) -> u64 {
    WINDOW_BYTES.min(receive_buffer_bytes as u64)
}

impl Credit {
    /// In force: the peer may be sent `allowed` bytes at first, and this side `window`.
    pub(super) fn new(allowed: u64, window: u64) -> Self {
        Self {
            counts: true,
            allowed,
            granted: window,
            window,
            ..Self::default()
        }
    }

    pub(super) fn counts(&self) -> bool {
        self.counts
    }

    pub(super) fn may_send(&self) -> bool {
        !self.counts || self.sent < self.allowed
    }

    pub(super) fn sent(&mut self, frame_bytes: usize) {
        self.sent += frame_bytes as u64 + FRAME_COST;
    }

    /// The peer lets us send so much in all.
    pub(super) fn allow(&mut self, sum: u64) {
        self.allowed = self.allowed.max(sum);
    }

    /// The latest grant may have been lost.
    pub(super) fn doubt(&mut self) {
        self.doubtful = self.counts;
    }

    /// The latest grant, if it is to be said again.
    pub(super) fn again(&mut self) -> Option<u64> {
        std::mem::take(&mut self.doubtful).then_some(self.granted)
    }

    /// Counts what has come; returns whether the peer keeps to its credit.
    pub(super) fn received(&mut self, frame_bytes: usize) -> bool {
        self.received += frame_bytes as u64 + FRAME_COST;
        !self.counts || self.received <= self.granted.saturating_add(SLACK_BYTES)
    }

    /// What to tell the peer, if it is time: with room for so many bytes more than have come. Little is told only to a
    /// peer that may be waiting for it. Without room nothing is, or what goes beyond the credit would be granted by coming.
    pub(super) fn grant(&mut self, room: usize) -> Option<u64> {
        let sum = self.received.saturating_add(self.window.min(room as u64));
        let more = sum.saturating_sub(self.granted);
        let is_due = more >= self.window.div_ceil(4) || self.received >= self.granted;
        (self.counts && room > 0 && more > 0 && is_due).then(|| {
            self.granted = sum;
            sum
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_not_agreed_sends_as_it_likes() {
        let mut credit = Credit::default();
        credit.sent(usize::MAX / 2);
        assert!(credit.may_send() && credit.received(usize::MAX / 2));
        assert_eq!(credit.grant(usize::MAX), None);
    }

    #[test]
    fn a_sender_waits_for_its_grant_and_an_older_one_takes_nothing_back() {
        let mut credit = Credit::new(100, 100);
        credit.sent(35);
        assert!(credit.may_send());
        credit.sent(1);
        assert!(!credit.may_send());
        credit.allow(165);
        assert!(credit.may_send());
        credit.allow(100);
        assert!(credit.may_send());
    }

    #[test]
    fn grants_are_few_while_there_is_credit_and_come_at_once_when_there_is_none() {
        let window = window(16 << 20);
        let mut credit = Credit::new(window, window);
        let frame = (64 << 10) - FRAME_COST as usize;
        let mut grants = 0;
        for _ in 0..1600 {
            assert!(credit.received(frame));
            grants += usize::from(credit.grant(16 << 20).is_some());
        }
        assert_eq!(grants, 50, "one for a quarter of the window");
        // The user reads nothing.
        while credit.received < credit.granted {
            assert_eq!(credit.grant(0), None);
            credit.received(frame);
        }
        assert_eq!(credit.grant(0), None);
        assert_eq!(credit.grant(1), Some(credit.received + 1));
        assert_eq!(credit.grant(1), None);
    }

    #[test]
    fn who_sends_beyond_its_credit_is_found_out() {
        let mut credit = Credit::new(1, 1000);
        assert!(credit.received(1000));
        let mut frames = 0;
        while credit.received(65_554) {
            frames += 1;
        }
        assert!((4..10).contains(&frames));
        assert_eq!(
            credit.grant(0),
            None,
            "what came without credit is not granted afterwards"
        );
    }
}
