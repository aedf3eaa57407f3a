//! One request of a handle, as a future. There is one kind for all requests: every further kind of future is code of its
//! own, which pages have to download.

use crate::mailroom::{Answer, Caller, Shared};
use crate::request::{Request, RequestId};
use crate::{Error, Result};
use futures_channel::oneshot;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// What a handle was asked for: a future that ends when it is done, or could not be.
///
/// Nothing happens before it is awaited. When it is dropped, what has not been begun is left undone.
#[must_use = "nothing happens before it is awaited"]
pub struct Asking {
    caller: Caller,
    /// The connection it is about: one that has ended says why, whatever is asked of it.
    about: Option<Arc<Shared>>,
    /// It is fine if everything is closed already.
    closing: bool,
    /// Until it is first polled.
    request: Option<Request>,
    /// From then on until the answer has come.
    waiting: Option<(RequestId, oneshot::Receiver<Result<Answer>>)>,
}

impl Asking {
    pub(super) fn new(caller: &Caller, request: Request) -> Self {
        Self {
            caller: caller.clone(),
            about: None,
            closing: false,
            request: Some(request),
            waiting: None,
        }
    }

    pub(super) fn about(mut self, connection: &Arc<Shared>) -> Self {
        self.about = Some(connection.clone());
        self
    }

    pub(super) fn closing(mut self) -> Self {
        self.closing = true;
        self
    }

    /// The whole answer.
    pub(super) async fn answer(mut self) -> Result<Answer> {
        std::future::poll_fn(|cx| self.poll_answer(cx)).await
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer>> {
        if let Some(request) = self.request.take() {
            self.waiting = Some(self.caller.call(request));
        }
        let Some((_, answer)) = &mut self.waiting else {
            return Poll::Pending;
        };
        let answer = ready!(Pin::new(answer).poll(cx));
        self.waiting = None;
        let result = answer.unwrap_or_else(|_| Err(Error::closed("this side was closed")));
        Poll::Ready(match result {
            Err(Error::Closed { .. }) if self.closing => Ok(Answer::Done),
            Err(error @ Error::Closed { .. }) => {
                Err(self.about.as_ref().and_then(|shared| shared.error()).unwrap_or(error))
            }
            result => result,
        })
    }
}

impl Future for Asking {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_answer(cx).map_ok(|_| ())
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some((id, _)) = self.waiting {
            self.caller.tell(Request::Cancel(id));
        }
    }
}

impl std::fmt::Debug for Asking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asking").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailroom::Call;
    use futures_channel::mpsc::UnboundedReceiver;
    use futures_util::FutureExt;

    /// A request as the driver gets it.
    fn next(calls: &mut UnboundedReceiver<Call>) -> Option<Call> {
        calls.try_recv().ok()
    }

    #[test]
    fn it_is_asked_once_and_waits_however_often_it_is_polled() {
        let (caller, mut calls) = Caller::channel();
        let mut asking = Asking::new(&caller, Request::LeaveRelay);
        assert!(next(&mut calls).is_none(), "nothing happens before it is awaited");
        for _ in 0..3 {
            assert_eq!((&mut asking).now_or_never(), None);
        }
        let call = next(&mut calls).unwrap();
        assert!(matches!(call.request, Request::LeaveRelay));
        assert!(next(&mut calls).is_none());
        assert!(call.answer.unwrap().send(Ok(Answer::Done)).is_ok());
        assert_eq!((&mut asking).now_or_never(), Some(Ok(())));
        drop(asking);
        assert!(next(&mut calls).is_none(), "what is done is not taken back");
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_taken_back() {
        let (caller, mut calls) = Caller::channel();
        drop(Asking::new(&caller, Request::LeaveRelay));
        assert!(next(&mut calls).is_none());
        assert_eq!(Asking::new(&caller, Request::LeaveRelay).now_or_never(), None);
        let asked = next(&mut calls).unwrap().id;
        assert!(matches!(next(&mut calls).unwrap().request, Request::Cancel(id) if id == asked));
    }

    #[test]
    fn to_close_what_is_closed_is_no_error() {
        let (caller, calls) = Caller::channel();
        drop(calls);
        let closed = Some(Err(Error::closed("this side was closed")));
        assert_eq!(Asking::new(&caller, Request::LeaveRelay).now_or_never(), closed);
        assert_eq!(
            Asking::new(&caller, Request::LeaveRelay).closing().now_or_never(),
            Some(Ok(()))
        );
    }
}
