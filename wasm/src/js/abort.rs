//! `AbortSignal`: giving up waiting.

use super::error::{JsResult, error};
use crate::listener::Listener;
use futures_channel::oneshot;
use futures_util::future::{Either, select};
use std::pin::pin;
use web_sys::AbortSignal;

/// Waits, unless the signal says to stop: then what is waited for is dropped, and the signal's reason thrown.
pub(super) async fn abortable<T>(
    signal: Option<AbortSignal>,
    wait: impl Future<Output = crosspeer::Result<T>>,
) -> JsResult<T> {
    let Some(signal) = signal else {
        return wait.await.map_err(|e| error(&e));
    };
    if signal.aborted() {
        return Err(signal.reason());
    }
    let (abort, aborted) = oneshot::channel::<()>();
    let mut abort = Some(abort);
    let _listener = Listener::new(&signal, "abort", move |_: web_sys::Event| drop(abort.take()));
    match select(pin!(wait), aborted).await {
        Either::Left((result, _)) => result.map_err(|e| error(&e)),
        Either::Right(_) => Err(signal.reason()),
    }
}
