//! Everything that waits: one promise, given up by an `AbortSignal`.

use super::JsResult;
use crate::listener::Listener;
use crate::task::Task;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::future_to_promise;
use web_sys::{AbortSignal, Event};

/// What is waited for.
pub(super) type Waiting = Pin<Box<dyn Future<Output = JsResult<JsValue>>>>;

/// What this results in, where it is there at once, else a promise of it. A signal that says to stop drops what is waited
/// for, and the promise is rejected with its reason.
pub(super) fn promise(driver: Option<&Task>, signal: Option<AbortSignal>, mut wait: Waiting) -> JsResult<JsValue> {
    if let Some(signal) = &signal
        && signal.aborted()
    {
        return Err(signal.reason());
    }
    let mut look = || wait.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    if let Some(Poll::Ready(result)) = driver.map(|driver| driver.ask(&mut look)) {
        return result;
    }
    let mut listener = None;
    let later = future_to_promise(poll_fn(move |cx| {
        if let Some(signal) = &signal {
            if signal.aborted() {
                return Poll::Ready(Err(signal.reason()));
            }
            listener.get_or_insert_with(|| {
                let waker = cx.waker().clone();
                Listener::new(signal, "abort", move |_: Event| waker.wake_by_ref())
            });
        }
        wait.as_mut().poll(cx)
    }));
    Ok(later.into())
}
