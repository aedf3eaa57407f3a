//! The timer of a driver. What a driver waits for changes with each message; to set and clear a timeout each time would cost
//! more than the message. So a timeout that is set stays: where it turns out to be too early, it is set again.

use gloo_timers::callback::Timeout;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use web_time::Instant;

/// The longest that `setTimeout` can wait; it takes anything longer for 0.
const LONGEST_MILLIS: u64 = i32::MAX as u64;

/// One that wakes one task. A clone is another one.
#[derive(Default)]
pub(crate) struct Alarm(Rc<State>);

#[derive(Default)]
struct State {
    /// When it rings, while it is set.
    at: Cell<Option<Instant>>,
    /// One that has rung stays until the next: it must not be dropped by its own callback.
    timeout: RefCell<Option<Timeout>>,
    waker: RefCell<Option<Waker>>,
}

impl Clone for Alarm {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Alarm {
    /// Ends at that time.
    pub(crate) async fn wait(&self, at: Instant) {
        poll_fn(|cx| self.0.poll(cx, at)).await;
    }
}

impl State {
    #[allow(clippy::disallowed_methods)] // it is the platform's
    fn poll(self: &Rc<Self>, cx: &Context<'_>, at: Instant) -> Poll<()> {
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Poll::Ready(());
        }
        self.waker.replace(Some(cx.waker().clone()));
        if self.at.get().is_none_or(|set| at < set) {
            self.set(at, left);
        }
        Poll::Pending
    }

    fn set(self: &Rc<Self>, at: Instant, left: Duration) {
        let state = Rc::downgrade(self);
        let ring = move || {
            if let Some(state) = state.upgrade() {
                state.at.set(None);
                state.waker.take().into_iter().for_each(Waker::wake);
            }
        };
        self.at.set(Some(at));
        let millis = millis(left).min(LONGEST_MILLIS);
        self.timeout.replace(Some(Timeout::new(millis as u32, ring)));
    }
}

/// Milliseconds, rounded up. (`as_millis` counts in 128 bits, for which wasm has no instructions.)
fn millis(time: Duration) -> u64 {
    let millis = u64::from(time.subsec_nanos().div_ceil(1_000_000));
    time.as_secs().saturating_mul(1000).saturating_add(millis)
}
