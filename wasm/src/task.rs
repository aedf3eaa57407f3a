//! A driver as a task of the page that can also be run at once.
//!
//! Where a task is only woken, each of its steps waits for the page's next microtask. A message that is sent takes several
//! such steps, which cost more than sending it. So who has asked a driver for something may run it on the spot.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use wasm_bindgen_futures::spawn_local;

/// A driver that runs.
pub(crate) struct Task {
    /// Until it has ended.
    driver: RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>>,
    bell: Arc<Bell>,
}

/// Wakes the driver's task, except while somebody runs the driver anyway.
#[derive(Default)]
struct Bell {
    task: Mutex<Option<Waker>>,
    attended: AtomicBool,
    rung: AtomicBool,
}

impl Task {
    pub(crate) fn spawn(driver: impl Future<Output = ()> + 'static) -> Rc<Self> {
        let this = Rc::new(Self {
            driver: RefCell::new(Some(Box::pin(driver))),
            bell: Arc::default(),
        });
        let task = Rc::clone(&this);
        spawn_local(poll_fn(move |cx| {
            task.bell.belongs_to(cx.waker());
            task.poll()
        }));
        this
    }

    /// Whether it has ended.
    fn poll(&self) -> Poll<()> {
        let Ok(mut driver) = self.driver.try_borrow_mut() else {
            // The driver itself has called whoever wants to run it.
            self.bell.wake_task();
            return Poll::Pending;
        };
        let Some(running) = driver.as_mut() else {
            return Poll::Ready(());
        };
        let waker = Waker::from(Arc::clone(&self.bell));
        let polled = running.as_mut().poll(&mut Context::from_waker(&waker));
        if polled.is_ready() {
            *driver = None;
        }
        polled
    }

    /// Asks, runs the driver, and looks for the answer: unless it takes somebody else, it is there.
    #[cfg(feature = "js")]
    pub(crate) fn ask<T>(&self, mut ask: impl FnMut() -> Poll<T>) -> Poll<T> {
        self.bell.attended.store(true, Ordering::Relaxed);
        let mut answer = ask();
        if answer.is_pending() && self.bell.take() {
            if self.poll().is_ready() {
                // Its task has yet to learn that.
                self.bell.wake_task();
            }
            // It has told itself what it then looked at: it always looks at everything before it waits.
            self.bell.take();
            answer = ask();
        }
        self.bell.attended.store(false, Ordering::Relaxed);
        if self.bell.take() {
            self.bell.wake_task();
        }
        answer
    }
}

impl Bell {
    fn belongs_to(&self, waker: &Waker) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if !task.as_ref().is_some_and(|task| task.will_wake(waker)) {
            *task = Some(waker.clone());
        }
    }

    #[cfg(feature = "js")]
    fn take(&self) -> bool {
        self.rung.swap(false, Ordering::Relaxed)
    }

    fn wake_task(&self) {
        if let Some(task) = &*self.task.lock().unwrap_or_else(PoisonError::into_inner) {
            task.wake_by_ref();
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.attended.load(Ordering::Relaxed) {
            self.rung.store(true, Ordering::Relaxed);
        } else {
            self.wake_task();
        }
    }
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task").finish_non_exhaustive()
    }
}
