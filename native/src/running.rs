//! Which peer connections a program still waits for.

use crate::hoard::Hoard;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::sync::Notify;

/// How many peer connections have not ended yet.
#[derive(Debug, Default)]
pub(crate) struct Running {
    count: AtomicUsize,
    fewer: Notify,
    /// What they have that is not read yet.
    hoard: Arc<Hoard>,
}

impl Running {
    pub(crate) fn one(this: &Arc<Self>) -> OneRunning {
        let place = this.count.fetch_add(1, Relaxed) + 1;
        OneRunning {
            all: Arc::clone(this),
            place,
        }
    }

    pub(crate) async fn none(&self) {
        loop {
            let mut fewer = std::pin::pin!(self.fewer.notified());
            fewer.as_mut().enable();
            if self.count.load(Relaxed) == 0 {
                return;
            }
            fewer.await;
        }
    }
}

/// Held by the task of a peer connection to its end.
#[derive(Debug)]
pub(crate) struct OneRunning {
    all: Arc<Running>,
    place: usize,
}

impl OneRunning {
    /// What all of them have that is not read yet.
    pub(crate) fn hoard(&self) -> &Arc<Hoard> {
        &self.all.hoard
    }

    /// How many there were with it when it began.
    pub(crate) fn place(&self) -> usize {
        self.place
    }
}

impl Drop for OneRunning {
    fn drop(&mut self) {
        self.all.count.fetch_sub(1, Relaxed);
        self.all.fewer.notify_waiters();
    }
}
