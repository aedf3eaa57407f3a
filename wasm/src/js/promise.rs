//! Everything that waits: one promise, given up by an `AbortSignal`.

use super::JsResult;
use crate::listener::Listener;
use js_sys::Promise;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::future_to_promise;
use web_sys::{AbortSignal, Event};

/// A promise of what this results in. A signal that says to stop drops what is waited for, and the promise is rejected
/// with its reason.
pub(super) fn promise(
    signal: Option<AbortSignal>,
    mut wait: Pin<Box<dyn Future<Output = JsResult<JsValue>>>>,
) -> Promise {
    let mut listener = None;
    future_to_promise(poll_fn(move |cx| {
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
    }))
}
