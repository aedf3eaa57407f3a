//! The peer connections that carry one link at once, each with a congestion window and a core of its own.
//!
//! Every link has a first lane, number 0, which the relay has helped to set up. Between two peers of our own kind that
//! have both said `lanes=N` the offerer may open more, whose descriptions go over the lanes there are (`open`), when
//! that is worth it (`demand`). Then any chunk may go over any lane. What was sent is kept (`log`) until the peer has
//! acknowledged it (`ledger`), so that the other lanes can send it again when one dies, or stands still: SCTP waits a
//! second and more for a packet that was lost twice. What comes twice is dropped, and the order of messages is restored
//! behind reassembly.
//!
//! A link whose session does not go on without its path (`rescue`) keeps nothing while it has a single lane, acknowledges
//! nothing and has no further timers.

mod demand;
mod ledger;
mod log;
mod open;
mod send;

use crate::chunk::Frame;
use crate::platform::RtcId;
use demand::Demand;
use ledger::Ledger;
use log::Log;
use std::collections::VecDeque;
use std::time::Duration;
use web_time::Instant;

pub(super) use open::is_counted;

/// Bytes from the oldest frame that the peer has not acknowledged to the newest, each frame with what it costs to keep
/// aside, while there are several lanes: what waits at the peer for a slow lane. Below
/// [`SLACK_BYTES`](crate::reassembly::SLACK_BYTES), since reassembly takes a quarter more than it holds.
pub(super) const WINDOW_BYTES: usize = 12 << 20;
/// Not fewer, however many connections there are: at a round trip of 50 ms that is 10 MiB/s for each.
const LEAST_WINDOW_BYTES: usize = 512 << 10;
/// Bytes received before they are acknowledged: few acknowledgements, and well below the window.
const ACK_BYTES: usize = 1 << 20;
/// The longest that less than that waits for its acknowledgement.
const ACK_DELAY: Duration = Duration::from_millis(20);
/// After so many losses no more lanes are opened: the path does not carry them.
const MAX_FAILURES: usize = 8;
/// After the end of a lane none is opened for this long: they may all be about to end.
const PAUSE: Duration = Duration::from_secs(1);
/// Set in the number of a lane that was made through the relay.
pub(super) const THROUGH_RELAY: u32 = 1 << 31;
/// How long frames take, before it is known.
const LIKELY_LATENCY: Duration = Duration::from_millis(100);

/// All lanes of a link.
pub(super) struct Lanes {
    /// In the order of their opening; the first is not always number 0.
    all: Vec<Lane>,
    next_number: u32,
    /// Bytes that each channel may have in the platform's hands.
    high_water: usize,
    /// Whether everything is kept until it has arrived, over a single lane too.
    keeps: bool,
    /// What was sent while there were several, or is kept anyway, and has not arrived.
    log: Log,
    /// What dead lanes had not delivered.
    again: VecDeque<u64>,
    /// How long frames take that are not held up.
    latency: Duration,
    /// When to look for what stands still.
    look_due: Option<Instant>,
    /// Whether there may be some.
    looking: bool,
    /// Whether there ever was a second lane: what comes is acknowledged from then on.
    acknowledging: bool,
    /// Received since the last acknowledgement.
    unacknowledged: usize,
    ack_due: Option<Instant>,
    /// Whether an acknowledgement waits for the user.
    withheld: bool,
    /// Bytes of large frames written without a pause, and since when.
    busy: (usize, Option<Instant>),
    /// Since when the platform has taken everything.
    idle_since: Option<Instant>,
    /// Bytes the platform has taken.
    taken: u64,
    demand: Demand,
    /// As many as the peer asks for, or was asked for; and how often that was said.
    asked: (usize, u32),
    /// How many were lost; at the answerer, how many in a row did not come up.
    failures: usize,
    /// Since one has just ended, no other is opened before.
    pause: Option<Instant>,
    /// The number of the lane that has brought the latest frame.
    latest: u32,
}

/// One peer connection.
struct Lane {
    number: u32,
    rtc: RtcId,
    /// Whether it can be written to.
    open: bool,
    /// Whether its offer is out, or being made.
    awaits_answer: bool,
    /// By channel; only a single lane may have several.
    in_flight: Vec<usize>,
    /// Bytes of frames not yet acknowledged to the platform.
    owed: usize,
    silent_since: Option<Instant>,
    /// Of a further lane's set-up.
    deadline: Option<Instant>,
    ledger: Ledger,
}

/// Bytes of the window of each of so many connections, which all have half of a budget: peers can leave all of it
/// unacknowledged.
pub(crate) fn window(budget: u64, connections: usize) -> usize {
    let share = budget / 2 / connections.max(1) as u64;
    usize::try_from(share)
        .unwrap_or(usize::MAX)
        .clamp(LEAST_WINDOW_BYTES, WINDOW_BYTES)
}

/// Where a frame goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    lane: usize,
    pub(super) channel: u16,
}

impl Lanes {
    pub(super) fn new() -> Self {
        Self {
            all: Vec::new(),
            next_number: 0,
            high_water: 0,
            keeps: false,
            log: Log::default(),
            again: VecDeque::new(),
            latency: LIKELY_LATENCY,
            look_due: None,
            looking: false,
            acknowledging: false,
            unacknowledged: 0,
            ack_due: None,
            withheld: false,
            busy: (0, None),
            idle_since: None,
            taken: 0,
            demand: Demand::default(),
            asked: (1, 0),
            failures: 0,
            pause: None,
            latest: 0,
        }
    }

    /// From now on there is one lane, which is being set up.
    pub(super) fn restart(&mut self, rtc: RtcId) {
        *self = Self::new();
        self.add(rtc, 0, None);
    }

    /// The first lane is up; each channel may have `high_water` bytes in the platform's hands.
    pub(super) fn open_first(&mut self, channels: usize, high_water: usize) {
        self.high_water = high_water;
        if let Some(first) = self.all.first_mut() {
            (first.open, first.in_flight) = (true, vec![0; channels]);
        }
    }

    /// From now on everything is kept until it has arrived. Nothing has been sent yet.
    pub(super) fn keep_all(&mut self) {
        (self.keeps, self.acknowledging) = (true, true);
    }

    pub(super) fn keeps_all(&self) -> bool {
        self.keeps
    }

    pub(super) fn rtc(&self, at: usize) -> Option<RtcId> {
        Some(self.all.get(at)?.rtc)
    }

    pub(super) fn slot(&self, at: usize) -> Option<Slot> {
        let (lane, channel) = (at, 0);
        (at < self.all.len()).then_some(Slot { lane, channel })
    }

    pub(super) fn has_number(&self, number: u32) -> bool {
        self.all.iter().any(|lane| lane.number == number)
    }

    /// Whether any can be written to.
    pub(super) fn are_open(&self) -> bool {
        self.all.iter().any(|lane| lane.open)
    }

    /// Whether the peer answers on any.
    pub(super) fn are_lively(&self) -> bool {
        self.all.iter().any(|lane| lane.open && lane.silent_since.is_none())
    }

    /// One that is being made through the relay, of a number that has been agreed on.
    pub(super) fn add_numbered(&mut self, rtc: RtcId, number: u32, deadline: Instant) {
        let next = self.next_number;
        self.add(rtc, number, Some(deadline));
        self.next_number = next;
    }

    /// What other lanes still have may be lost: whatever stands still is looked for at once.
    pub(super) fn renew(&mut self, now: Instant) {
        (self.look_due, self.ack_due, self.failures) = (Some(now), Some(now), 0);
    }

    pub(super) fn find(&self, rtc: RtcId) -> Option<usize> {
        self.all.iter().position(|lane| lane.rtc == rtc)
    }

    /// The one that set-up is about, and all there is until it is up.
    pub(super) fn first(&self) -> Option<RtcId> {
        Some(self.all.first()?.rtc)
    }

    /// How many there are, with those that are being set up.
    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// Whether there are, or were, more than one: then frames overtake each other.
    pub(super) fn are_several(&self) -> bool {
        self.acknowledging
    }

    /// What is to be acknowledged to the platform, by lane.
    pub(super) fn take_owed(&mut self) -> impl Iterator<Item = (RtcId, usize)> {
        let owed = self.all.iter_mut().filter(|lane| lane.owed > 0);
        owed.map(|lane| (lane.rtc, std::mem::take(&mut lane.owed)))
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = RtcId> {
        std::mem::replace(self, Self::new())
            .all
            .into_iter()
            .map(|lane| lane.rtc)
    }

    fn add(&mut self, rtc: RtcId, number: u32, deadline: Option<Instant>) -> &mut Lane {
        self.next_number = number.wrapping_add(1);
        self.acknowledging |= number > 0;
        let at = self.all.len();
        self.all.push(Lane {
            number,
            rtc,
            open: false,
            awaits_answer: false,
            in_flight: vec![0],
            owed: 0,
            silent_since: None,
            deadline,
            ledger: Ledger::default(),
        });
        &mut self.all[at]
    }

    /// Whether another lane may be opened now: the path carries them, and none is in doubt or has just ended.
    fn may_open(&self) -> bool {
        let in_doubt = !self.are_open() || self.all.iter().any(|lane| lane.silent_since.is_some());
        self.failures < MAX_FAILURES && self.pause.is_none() && !in_doubt
    }

    /// Whether the link lives on without this lane: another is open, and all that it may lose is kept.
    pub(super) fn can_lose(&self, at: usize) -> bool {
        if self.keeps {
            return true;
        }
        let mut others = self.all.iter().enumerate().filter(|(other, _)| *other != at);
        others.any(|(_, lane)| lane.open) && self.all[at].ledger.is_covered()
    }

    /// The one to let go of where there are more than are wanted: one that does not answer; else, where the latest was made
    /// through the relay, the oldest, which may be dead; else the latest. Never the last that answers.
    fn spare(&self) -> Option<usize> {
        let lively = |lane: &Lane| lane.open && lane.silent_since.is_none();
        let silent = self.all.iter().rposition(|lane| lane.silent_since.is_some());
        let latest = self.all.len().checked_sub(1)?;
        let through_relay = |lane: &Lane| lane.number & THROUGH_RELAY != 0;
        let at = match silent {
            Some(silent) => silent,
            None if through_relay(&self.all[latest]) => 0,
            None => latest,
        };
        let mut others = self.all.iter().enumerate().filter(|(other, _)| *other != at);
        others
            .any(|(_, lane)| lively(lane))
            .then_some(at)
            .filter(|at| self.can_lose(*at))
    }

    /// Keeps a control frame that no lane can take now, if it is one that must not be lost.
    pub(super) fn postpone_control(&mut self, now: Instant, frame: Frame) {
        if self.keeps && is_counted(&frame.header) {
            let number = self.log.push(now, frame);
            self.again.push_back(number);
        }
    }

    /// Takes a lane out; what it had not delivered is to be sent again.
    fn remove(&mut self, at: usize) -> Lane {
        let mut lane = self.all.remove(at);
        self.again.extend(lane.ledger.take());
        if let ([only], false) = (&mut self.all[..], self.keeps) {
            for number in only.ledger.take() {
                self.log.remove(number);
            }
            self.look_due = None;
        }
        lane
    }

    /// The peer answers on a lane, or has stopped to.
    pub(super) fn set_silent_since(&mut self, at: usize, since: Option<Instant>) {
        self.all[at].silent_since = since;
    }

    /// Accounts for a received frame; returns whether an acknowledgement is due now.
    pub(super) fn received(&mut self, now: Instant, at: usize, bytes: usize, counted: bool) -> bool {
        let lane = &mut self.all[at];
        lane.owed += bytes;
        lane.silent_since = lane.silent_since.map(|_| now);
        self.latest = lane.number;
        if !counted {
            return false;
        }
        lane.ledger.received();
        if self.acknowledging {
            self.unacknowledged += bytes;
            self.ack_due.get_or_insert(now + ACK_DELAY);
        }
        self.unacknowledged >= ACK_BYTES
    }

    /// Whether the peer has acknowledged everything that was kept.
    pub(super) fn are_empty(&self) -> bool {
        self.log.len() == 0
    }

    /// The earliest time at which one of them, or their number, wants to be looked at. One that is silent for
    /// `dead_after` is dead.
    pub(super) fn next_deadline(&self, dead_after: Duration) -> Option<Instant> {
        let silent = |lane: &Lane| Some(lane.silent_since? + dead_after);
        let of_lanes = self.all.iter().flat_map(|lane| [lane.deadline, silent(lane)]);
        let of_all = [self.ack_due, self.look_due, self.demand.ends(), self.pause];
        of_lanes.chain(of_all).flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_for_all_follows_the_budget() {
        assert_eq!(window(2 << 30, 1), WINDOW_BYTES);
        assert_eq!(window(2 << 30, 64), WINDOW_BYTES, "by default few are none too many");
        assert_eq!(window(24 << 20, 1), WINDOW_BYTES);
        for connections in 2..=24 {
            assert!(window(24 << 20, connections) * connections <= 12 << 20, "{connections}");
        }
        assert_eq!(window(24 << 20, 48), LEAST_WINDOW_BYTES);
        assert_eq!(window(0, 0), LEAST_WINDOW_BYTES);
    }
}
