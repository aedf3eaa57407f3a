//! When the engine's driver next wakes up, and when it has done a round of its work.
//!
//! The driver works in rounds and then sleeps on [`Runtime::sleep`](webrtc::runtime::Runtime::sleep), which is ours.
//! That is the one place where an unmodified engine can be made to look again: during set-up it leaves the SCTP INIT
//! and the channels' OPEN queued until its next timer, and after a slow reader has caught up it leaves the larger
//! window unannounced. It is also where a writer learns that acknowledgements have been counted.
//!
//! The driver also asks us for the time, when a datagram comes and when a timer may be due, and that mends another
//! wait. RFC 9260 lets a receiver delay the acknowledgement of a lone packet by up to 200 ms; the engine always does.
//! aiortc sends the last packet of every 32 KiB chunk alone and goes on only once it is acknowledged: 0.2 MiB/s. So
//! datagrams are given a time [`ACK_DELAY`] ago, and the delay is over when they have been dealt with. What else is
//! reckoned from a datagram's time (ICE's last sign of life, SCTP's retransmission timer of at least 1 s) ends as
//! much earlier, which does no harm.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

/// How often the driver looks again while hurried. At 20 ms set-up took 60 ms, at 2 ms it takes 29.
const TICK: Duration = Duration::from_millis(2);

/// SCTP's delay of acknowledgements, a constant in the engine.
pub(super) const ACK_DELAY: Duration = Duration::from_millis(200);

/// How long the engine waits for its driver to send the last packets. Its own 100 ms can pass on a busy machine.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Shared by one connection's driver, readers and writer.
#[derive(Debug)]
pub(super) struct Pace {
    origin: Instant,
    /// Milliseconds after `origin`.
    hurried_until: AtomicU64,
    nudged: Notify,
    turned: Notify,
    ending: AtomicBool,
    /// Whether acknowledgements are hastened: once connected, since ICE's and DTLS's set-up goes by the true time.
    hastening: AtomicBool,
    /// Whether the driver is dealing with datagrams.
    receiving: AtomicBool,
    /// Milliseconds that the driver's clock is ahead.
    ahead: AtomicU64,
    /// Milliseconds after `origin` when the last datagram came; 0 once it has been made use of.
    last_datagram: AtomicU64,
    /// Milliseconds after `origin` when the last datagram came.
    heard: AtomicU64,
}

impl Pace {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            origin: Instant::now(),
            hurried_until: AtomicU64::new(0),
            nudged: Notify::new(),
            turned: Notify::new(),
            ending: AtomicBool::new(false),
            hastening: AtomicBool::new(false),
            receiving: AtomicBool::new(false),
            ahead: AtomicU64::new(0),
            last_datagram: AtomicU64::new(0),
            heard: AtomicU64::new(0),
        })
    }

    /// The driver looks again every [`TICK`] for this long from now.
    pub(super) fn hurry_for(&self, time: Duration) {
        let until = (self.origin.elapsed() + time).as_millis();
        self.hurried_until
            .store(u64::try_from(until).unwrap_or(u64::MAX), Relaxed);
        self.nudge();
    }

    /// The driver looks again within one [`TICK`].
    pub(super) fn nudge(&self) {
        self.nudged.notify_one();
    }

    /// Ends with the driver's present round of work.
    pub(super) fn turn(&self) -> Notified<'_> {
        self.turned.notified()
    }

    /// From now on time runs plainly: the engine gives its driver 100 ms to send the last packets, which would be over
    /// at once if they were reckoned from [`ACK_DELAY`] ago.
    pub(super) fn end(&self) {
        self.ending.store(true, Relaxed);
        self.turned.notify_waiters();
    }

    /// From now on a lone packet is acknowledged at once.
    pub(super) fn hasten_acknowledgements(&self) {
        self.hastening.store(true, Relaxed);
    }

    /// The driver has been given a datagram.
    pub(super) fn received(&self) {
        let now = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard.store(now, Relaxed);
        if self.hastening.load(Relaxed) {
            self.receiving.store(true, Relaxed);
            self.last_datagram.store(now, Relaxed);
        }
    }

    /// For how long no datagram has come. This goes by the true time, whatever the driver's clock says.
    pub(super) fn silence(&self) -> Duration {
        let heard = Duration::from_millis(self.heard.load(Relaxed));
        self.origin.elapsed().saturating_sub(heard)
    }

    /// Sets the driver's clock forward, so that a timer that waits is due earlier by `time`. But never twice in a silence
    /// of the peer, nor when it has lasted for `silence` already, so that ICE does not take the peer for dead.
    pub(super) fn skip(&self, time: Duration, silence: Duration) -> bool {
        let last = Duration::from_millis(self.last_datagram.swap(0, Relaxed));
        let fresh = !last.is_zero() && self.origin.elapsed().saturating_sub(last) < silence;
        if fresh {
            let time = u64::try_from(time.as_millis()).unwrap_or(0);
            self.ahead.fetch_add(time, Relaxed);
            self.nudge();
        }
        fresh
    }

    /// The driver's clock.
    pub(super) fn now(&self) -> Instant {
        let now = Instant::now() + self.ahead();
        if self.receiving.load(Relaxed) && !self.ending.load(Relaxed) {
            now - ACK_DELAY
        } else {
            now
        }
    }

    fn ahead(&self) -> Duration {
        Duration::from_millis(self.ahead.load(Relaxed))
    }

    /// The driver's sleep, for a time reckoned from [`Pace::now`].
    pub(super) fn sleep(self: &Arc<Self>, time: Duration) -> impl Future<Output = ()> + Send + use<> {
        self.turned.notify_waiters();
        let wake = self.now() + time.min(Duration::from_secs(86_400)) - self.ahead();
        self.receiving.store(false, Relaxed);
        let this = Arc::clone(self);
        async move {
            let now = Instant::now();
            if wake <= now {
                return;
            }
            if wake <= now + TICK {
                return tokio::time::sleep_until(wake).await;
            }
            if this.ending.load(Relaxed) {
                return tokio::time::sleep_until(wake.max(now + LAST_WORDS)).await;
            }
            if !this.hurried() {
                tokio::select! {
                    () = tokio::time::sleep_until(wake) => return,
                    () = this.nudged.notified() => {}
                }
            }
            tokio::time::sleep_until(wake.min(Instant::now() + TICK)).await;
        }
    }

    fn hurried(&self) -> bool {
        self.origin.elapsed().as_millis() < u128::from(self.hurried_until.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_engine_has_its_own_time_to_close_even_while_datagrams_come() {
        let pace = Pace::new();
        pace.hasten_acknowledgements();
        pace.received();
        assert_eq!(pace.now(), Instant::now() - ACK_DELAY);
        pace.end();
        assert_eq!(pace.now(), Instant::now());
        let began = Instant::now();
        pace.sleep(Duration::from_millis(100)).await;
        assert!(began.elapsed() >= LAST_WORDS);
    }
}
