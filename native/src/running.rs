//! Which peer connections a program still waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::sync::Notify;

/// How many peer connections have not ended yet.
#[derive(Debug, Default)]
pub(crate) struct Running {
    count: AtomicUsize,
    fewer: Notify,
}

impl Running {
    pub(crate) fn one(this: &Arc<Self>) -> OneRunning {
        this.count.fetch_add(1, Relaxed);
        OneRunning(Arc::clone(this))
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
pub(crate) struct OneRunning(Arc<Running>);

impl Drop for OneRunning {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Relaxed);
        self.0.fewer.notify_waiters();
    }
}
