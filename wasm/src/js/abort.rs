//! Everything that waits: one promise, given up by an `AbortSignal`.

use super::error::{JsResult, error};
use crate::listener::Listener;
use futures_channel::oneshot;
use futures_util::future::{Either, select};
use js_sys::Promise;
use std::pin::Pin;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::future_to_promise;
use web_sys::AbortSignal;

type Wait = Pin<Box<dyn Future<Output = JsResult<JsValue>>>>;

/// A promise of what this results in. A signal that says to stop drops what is waited for, and the promise is rejected
/// with its reason.
pub(super) fn promise<T: 'static>(
    signal: Option<AbortSignal>,
    wait: impl Future<Output = crosspeer::Result<T>> + 'static,
    result: fn(T) -> JsValue,
) -> Promise {
    start(
        signal,
        Box::pin(async move { wait.await.map(result).map_err(|e| error(&e)) }),
    )
}

/// [`promise`] of nothing.
pub(super) fn done(
    signal: Option<AbortSignal>,
    wait: impl Future<Output = crosspeer::Result<()>> + 'static,
) -> Promise {
    promise(signal, wait, |()| JsValue::UNDEFINED)
}

// Compiled once: each further kind of future given to `future_to_promise` costs 2.4 kB.
fn start(signal: Option<AbortSignal>, wait: Wait) -> Promise {
    future_to_promise(async move {
        let Some(signal) = signal else {
            return wait.await;
        };
        if signal.aborted() {
            return Err(signal.reason());
        }
        let (abort, aborted) = oneshot::channel::<()>();
        let mut abort = Some(abort);
        let _listener = Listener::new(&signal, "abort", move |_: web_sys::Event| drop(abort.take()));
        match select(wait, aborted).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => Err(signal.reason()),
        }
    })
}
