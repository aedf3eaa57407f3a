//! What waits to be sent on one connection: messages in order, cut into frames as the lanes have room.

use super::lanes::Slot;
use crate::chunk::{Frame, Splitter};
use crate::counter::StreamIds;
use crate::request::RequestId;
use crate::{Error, Message};
use std::collections::VecDeque;
use std::time::Duration;
use web_time::Instant;

/// A message that waits for its turn.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) request: RequestId,
    pub(crate) message: Message,
    /// When it must have begun.
    pub(crate) expires: Instant,
    /// How long that is after it was asked for.
    pub(crate) timeout: Duration,
}

/// One frame to write, and the request that is complete with it.
pub(crate) struct Step {
    pub(crate) slot: Slot,
    pub(crate) frame: Frame,
    pub(crate) completes: Option<RequestId>,
}

struct Current {
    request: RequestId,
    splitter: Splitter,
}

/// Messages in, frames out.
pub(crate) struct Outbox {
    queue: VecDeque<Outgoing>,
    /// No message expires before this; looking at all of them every time would take too long.
    expiry: Option<Instant>,
    current: Option<Current>,
    ids: StreamIds,
    next_id: u32,
    /// Of each frame; 0 until the connection is up.
    max_payload: usize,
    messages: u64,
    bytes: u64,
}

impl Outbox {
    pub(crate) fn new(ids: StreamIds) -> Self {
        Self {
            queue: VecDeque::new(),
            expiry: None,
            current: None,
            ids,
            next_id: 0,
            max_payload: 0,
            messages: 0,
            bytes: 0,
        }
    }

    /// From now on frames may be taken, with this many bytes of payload at most.
    pub(crate) fn open(&mut self, max_payload: usize) {
        self.max_payload = max_payload;
    }

    pub(crate) fn push(&mut self, outgoing: Outgoing) {
        self.expiry = self.expiry.into_iter().chain([outgoing.expires]).min();
        self.queue.push_back(outgoing);
    }

    /// Whether everything has been written.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.current.is_none()
    }

    /// Bytes that wait, as far as a few messages tell.
    pub(crate) fn queued_bytes(&self) -> usize {
        let begun = self.current.as_ref();
        let queued = self.queue.iter().take(16).map(|outgoing| outgoing.message.len());
        queued.sum::<usize>() + begun.map_or(0, |current| current.splitter.remaining_bytes())
    }

    /// The next frame, if there is room for it, by its number in its message. An error is that of one request; go on
    /// after it.
    pub(crate) fn next_step(
        &mut self,
        room: impl FnOnce(u32) -> Option<Slot>,
    ) -> Option<Result<Step, (RequestId, Error)>> {
        if self.max_payload == 0 {
            return None;
        }
        if self.current.is_none() {
            let Outgoing { request, message, .. } = self.queue.pop_front()?;
            let (messages, bytes) = (self.messages + 1, self.bytes + message.len() as u64);
            match self.ids.next() {
                Ok(id) => {
                    let splitter = Splitter::new(message, id, self.max_payload);
                    self.current = Some(Current { request, splitter });
                    self.next_id = id + 1;
                    (self.messages, self.bytes) = (messages, bytes);
                }
                Err(error) => return Some(Err((request, error))),
            }
        }
        self.step(room).map(Ok)
    }

    fn step(&mut self, room: impl FnOnce(u32) -> Option<Slot>) -> Option<Step> {
        let current = self.current.as_mut()?;
        let slot = room(current.splitter.next_seq_id()?)?;
        let frame = current.splitter.next_frame()?;
        let completes = current.splitter.next_seq_id().is_none().then_some(current.request);
        if completes.is_some() {
            self.current = None;
        }
        Some(Step { slot, frame, completes })
    }

    /// Messages that no frame was taken of; they can still go another way.
    pub(crate) fn take_unsent(&mut self) -> VecDeque<Outgoing> {
        std::mem::take(&mut self.queue)
    }

    /// Drops a message whose sender no longer waits, unless it was begun.
    pub(crate) fn cancel(&mut self, request: RequestId) {
        self.queue.retain(|outgoing| outgoing.request != request);
    }

    /// Requests whose message is larger than the peer takes.
    pub(crate) fn take_larger(&mut self, limit: u64) -> Vec<(RequestId, u64)> {
        let mut larger = Vec::new();
        self.queue.retain(|outgoing| {
            let size = outgoing.message.len() as u64;
            if size > limit {
                larger.push((outgoing.request, size));
            }
            size <= limit
        });
        larger
    }

    /// The request whose message is half written, which can only fail now.
    pub(crate) fn take_begun(&mut self) -> Option<RequestId> {
        let current = self.current.take()?;
        // The peer will never have all of it: it does not count.
        self.next_id -= 1;
        Some(current.request)
    }

    /// Requests whose time was up before their message's first frame.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Vec<(RequestId, Duration)> {
        let mut expired = Vec::new();
        self.queue.retain(|outgoing| {
            let keep = outgoing.expires > now;
            if !keep {
                expired.push((outgoing.request, outgoing.timeout));
            }
            keep
        });
        self.expiry = self.queue.iter().map(|outgoing| outgoing.expires).min();
        expired
    }

    /// When to call [`Outbox::take_expired`], which may then find nothing and put this off.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.expiry.filter(|_| !self.queue.is_empty())
    }

    /// The number the next message will have.
    pub(crate) fn next_stream_id(&self) -> u32 {
        self.next_id
    }

    /// Messages begun so far, and their bytes.
    pub(crate) fn sent(&self) -> (u64, u64) {
        (self.messages, self.bytes)
    }
}
