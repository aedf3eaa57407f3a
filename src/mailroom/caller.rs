//! The way of requests from the handles to the driver.

use super::Shared;
use crate::Result;
use crate::request::{Request, RequestId};
use futures_channel::{mpsc, oneshot};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A handle's request, and where its answer goes.
pub(crate) struct Call {
    pub(crate) id: RequestId,
    pub(crate) request: Request,
    pub(crate) answer: Option<oneshot::Sender<Result<Answer>>>,
}

/// The answer, with the connection itself instead of its id.
pub(crate) enum Answer {
    Done,
    Link(Arc<Shared>),
    Statistics(crate::counter::Statistics),
}

/// The handles' end of the driver: it ends when the last clone is gone.
#[derive(Clone)]
pub(crate) struct Caller {
    calls: mpsc::UnboundedSender<Call>,
    next: Arc<AtomicU64>,
}

impl Caller {
    #[allow(clippy::disallowed_methods)] // each caller waits for its answer, so a caller has one call in it
    pub(crate) fn channel() -> (Self, mpsc::UnboundedReceiver<Call>) {
        let (calls, receiver) = mpsc::unbounded();
        let next = Arc::default();
        (Self { calls, next }, receiver)
    }

    /// Asks the driver for something: which request that is, and its answer. Where nobody waits for the answer any
    /// more, tell it by [`Request::Cancel`].
    pub(crate) fn call(&self, request: Request) -> (RequestId, oneshot::Receiver<Result<Answer>>) {
        let (sender, receiver) = oneshot::channel();
        (self.push(request, Some(sender)), receiver)
    }

    /// Tells the driver something that has no answer.
    pub(crate) fn tell(&self, request: Request) {
        self.push(request, None);
    }

    /// After the driver has ended, an answer's sender is dropped, which its receiver notices.
    fn push(&self, request: Request, answer: Option<oneshot::Sender<Result<Answer>>>) -> RequestId {
        let id = RequestId(self.next.fetch_add(1, Ordering::Relaxed));
        let _ = self.calls.unbounded_send(Call { id, request, answer });
        id
    }
}
