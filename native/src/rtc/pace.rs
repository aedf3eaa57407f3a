//! When the engine's driver next wakes up, and when it has done a round of its work.
//!
//! The driver works in rounds and then sleeps on [`Runtime::sleep`](webrtc::runtime::Runtime::sleep), which is ours.
//! That is the one place where an unmodified engine can be made to look again: during set-up it leaves the SCTP INIT
//! and the channels' OPEN queued until its next timer, and after a slow reader has caught up it leaves the larger
//! window unannounced. It is also where a writer learns that acknowledgements have been counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

/// How often the driver looks again while hurried. At 20 ms set-up took 60 ms, at 2 ms it takes 29.
const TICK: Duration = Duration::from_millis(2);

/// Shared by one connection's driver, readers and writer.
#[derive(Debug)]
pub(super) struct Pace {
    origin: Instant,
    /// Milliseconds after `origin`.
    hurried_until: AtomicU64,
    nudged: Notify,
    turned: Notify,
    ending: AtomicBool,
}

impl Pace {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            origin: Instant::now(),
            hurried_until: AtomicU64::new(0),
            nudged: Notify::new(),
            turned: Notify::new(),
            ending: AtomicBool::new(false),
        })
    }

    /// The driver looks again every [`TICK`] for this long from now.
    pub(super) fn hurry_for(&self, time: Duration) {
        let until = (self.origin.elapsed() + time).as_millis();
        self.hurried_until.store(u64::try_from(until).unwrap_or(u64::MAX), Relaxed);
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

    /// From now on time runs plainly, so that the engine has its own time to close.
    pub(super) fn end(&self) {
        self.ending.store(true, Relaxed);
        self.turned.notify_waiters();
    }

    /// The driver's sleep.
    pub(super) fn sleep(self: &Arc<Self>, time: Duration) -> impl Future<Output = ()> + Send + use<> {
        self.turned.notify_waiters();
        let this = Arc::clone(self);
        let wake = Instant::now() + time.min(Duration::from_secs(86_400));
        async move {
            let soon = Instant::now() + TICK;
            if wake <= soon || this.ending.load(Relaxed) {
                return tokio::time::sleep_until(wake).await;
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
