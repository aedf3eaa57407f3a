//! What has come for all connections of a peer and has not been read yet. The engine keeps up to 256 messages for a reader
//! that is behind, of up to 256 KiB each, before it closes the window: 64 MiB for each connection. So all together are
//! counted, and beyond the budget the one that holds the most is ended.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::Notify;

/// Of all connections.
#[derive(Debug, Default)]
pub(crate) struct Hoard {
    bytes: AtomicUsize,
    heaps: Mutex<Vec<Weak<Heap>>>,
}

/// Of one.
#[derive(Debug, Default)]
pub(crate) struct Heap {
    bytes: AtomicUsize,
    all: Arc<Hoard>,
    /// Bytes that all may have together.
    budget: u64,
    /// All have too much, and this one the most.
    pub(crate) too_much: Notify,
}

impl Heap {
    /// One more, among those that may have so many bytes together.
    pub(crate) fn new(all: &Arc<Hoard>, budget: u64) -> Arc<Self> {
        let heap = Arc::new(Self {
            all: Arc::clone(all),
            budget,
            bytes: AtomicUsize::default(),
            too_much: Notify::default(),
        });
        let mut heaps = all.heaps();
        heaps.retain(|heap| heap.strong_count() > 0);
        heaps.push(Arc::downgrade(&heap));
        drop(heaps);
        heap
    }

    /// So many bytes have come. Beyond the budget whoever has the most is told.
    pub(crate) fn more(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Relaxed);
        let all = self.all.bytes.fetch_add(bytes, Relaxed) + bytes;
        if all as u64 <= self.budget {
            return;
        }
        let heaps: Vec<Arc<Self>> = self.all.heaps().iter().filter_map(Weak::upgrade).collect();
        if let Some(worst) = heaps.iter().max_by_key(|heap| heap.bytes.load(Relaxed)) {
            worst.too_much.notify_one();
        }
    }

    /// So many of them, about, have been read.
    pub(crate) fn fewer(&self, bytes: usize) {
        let before = self
            .bytes
            .fetch_update(Relaxed, Relaxed, |own| Some(own.saturating_sub(bytes)));
        self.all.fewer(bytes.min(before.unwrap_or_default()));
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        self.all.fewer(self.bytes.load(Relaxed));
    }
}

impl Hoard {
    fn fewer(&self, bytes: usize) {
        let less = |all: usize| Some(all.saturating_sub(bytes));
        let _ = self.bytes.fetch_update(Relaxed, Relaxed, less);
    }

    fn heaps(&self) -> MutexGuard<'_, Vec<Weak<Heap>>> {
        self.heaps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn beyond_the_budget_the_one_that_holds_the_most_has_to_go() {
        let hoard = Arc::new(Hoard::default());
        let [one, other] = [1, 2].map(|_| Heap::new(&hoard, 10_000));
        let told = |heap: &Heap| heap.too_much.notified().now_or_never().is_some();
        one.more(4000);
        other.more(6000);
        assert!(!told(&one) && !told(&other));
        other.fewer(5000);
        one.more(4000);
        assert!(!told(&one) && !told(&other));
        other.more(2000);
        assert!(told(&one) && !told(&other));
        drop(one);
        other.more(7000);
        assert!(!told(&other), "what is gone counts no more");
        other.fewer(usize::MAX);
        assert_eq!(hoard.bytes.load(Relaxed), 0);
    }
}
