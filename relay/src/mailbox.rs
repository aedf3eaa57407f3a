//! What waits to be written to one client: bounded, filled by other clients' tasks, emptied by its own.

use crate::config::Limits;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// Why a client is closed that takes nothing of what it is sent.
pub(crate) const DEAF: &str = "The client does not read what is sent to it.";

/// The next thing to write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Mail {
    Text(Utf8Bytes),
    Ping,
    /// The last: a close frame.
    Close(u16, &'static str),
}

#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    inner: Mutex<Inner>,
    /// Something was put in.
    filled: Notify,
    /// Something was taken out, or it is closed.
    taken: Notify,
    /// Its client was heard.
    heard: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    queue: VecDeque<Utf8Bytes>,
    bytes: usize,
    ping: bool,
    close: Option<(u16, &'static str)>,
    closing: bool,
    /// Its client is not read from.
    held_back: bool,
    /// When the oldest in the queue became that.
    since: Option<Instant>,
}

impl Mailbox {
    /// Puts a message in; `true`: now it is full. It is never refused: who fills it [waits](Self::wait_for_room).
    pub(crate) fn put(&self, text: String, limits: &Limits) -> bool {
        let mut inner = self.lock();
        if inner.closing {
            return false;
        }
        inner.bytes += text.len();
        inner.queue.push_back(text.into());
        inner.since.get_or_insert_with(Instant::now);
        let full = inner.is_full(limits);
        drop(inner);
        self.filled.notify_one();
        full
    }

    pub(crate) fn ping(&self) {
        self.lock().ping = true;
        self.filled.notify_one();
    }

    /// Its client has said something.
    pub(crate) fn hear(&self) {
        self.heard.notify_waiters();
    }

    /// Whether its client waits for what it has said to be taken: nothing else of it is heard until then.
    pub(crate) fn hold_back(&self, held_back: bool) {
        self.lock().held_back = held_back;
    }

    /// Pings the client, and ends when it is heard. One that is held back has been, and its answer would wait.
    pub(crate) async fn answered(&self) {
        let heard = self.heard.notified(); // hears of what comes from here on
        self.ping();
        if !self.lock().held_back {
            heard.await;
        }
    }

    /// Closes it: what is in it still goes out, then a close frame.
    pub(crate) fn close(&self, code: u16, reason: &'static str) {
        let mut inner = self.lock();
        if !inner.closing {
            inner.closing = true;
            inner.close = Some((code, reason));
        }
        drop(inner);
        self.filled.notify_one();
        self.taken.notify_waiters();
    }

    /// The next thing to write, when there is one.
    pub(crate) async fn next(&self) -> Mail {
        loop {
            if let Some(mail) = self.try_next() {
                return mail;
            }
            self.filled.notified().await;
        }
    }

    /// The next thing to write, if there is one.
    pub(crate) fn try_next(&self) -> Option<Mail> {
        let mut inner = self.lock();
        if std::mem::take(&mut inner.ping) {
            return Some(Mail::Ping);
        }
        if let Some(text) = inner.queue.pop_front() {
            inner.bytes -= text.len();
            inner.since = (!inner.queue.is_empty()).then(Instant::now);
            drop(inner);
            self.taken.notify_waiters();
            return Some(Mail::Text(text));
        }
        inner.queue = VecDeque::new(); // an idle client costs nothing
        inner.close.take().map(|(code, reason)| Mail::Close(code, reason))
    }

    /// Waits until there is room, or its client has taken nothing for [`Limits::stall_timeout`] (`false`).
    pub(crate) async fn wait_for_room(&self, limits: &Limits) -> bool {
        loop {
            let taken = self.taken.notified(); // hears of what is taken from here on
            if !self.lock().is_full(limits) {
                return true;
            }
            if tokio::time::timeout(limits.stall_timeout, taken).await.is_err() {
                return false;
            }
        }
    }

    /// Ends when there was something in it, and its client has taken nothing, for so long, or twice as long at most.
    pub(crate) async fn stalled(&self, patience: Duration) {
        loop {
            let since = self.lock().since;
            let left = patience.saturating_sub(since.map_or(Duration::ZERO, |since| since.elapsed()));
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
    }

    /// Waits until it is closed.
    pub(crate) async fn closed(&self) {
        loop {
            let taken = self.taken.notified();
            if self.lock().closing {
                return;
            }
            taken.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn is_full(&self, limits: &Limits) -> bool {
        !self.closing && (self.queue.len() > limits.queue_messages || self.bytes > limits.queue_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    #[tokio::test(start_paused = true)]
    async fn only_who_takes_nothing_for_long_has_stalled() {
        let (mailbox, limits, patience) = (Mailbox::default(), Limits::default(), Duration::from_secs(20));
        let stalled = async |time| {
            timeout(Duration::from_secs(time), mailbox.stalled(patience))
                .await
                .is_ok()
        };
        assert!(!stalled(100).await, "an idle one");
        (0..10).for_each(|_| assert!(!mailbox.put("text".into(), &limits)));
        for _ in 0..9 {
            assert!(!stalled(15).await, "a slow one");
            assert!(mailbox.try_next().is_some());
        }
        assert!(stalled(40).await);
        assert!(mailbox.try_next().is_some());
        assert!(!stalled(100).await, "an empty one");
    }
}
