//! Chunks in, messages out, in whatever order they come, with bounded memory.
//!
//! A peer that breaks the rules loses the message it broke them in and nothing else. What a peer declares
//! allocates little: at most 16 times what it has sent, and beyond 1 MiB a quarter more.

use crate::Message;
use crate::chunk::{Frame, Header, Kind};
use crate::maps::SortedMap;
use bytes::Bytes;
use finished::{Finished, Outcome};
use incomplete::Incomplete;
use std::time::Duration;
use web_time::Instant;

mod finished;
mod incomplete;
#[cfg(test)]
mod tests;

/// Bytes of incomplete messages beyond [`Limits::max_message_bytes`], so that a message of the largest size does not
/// keep small ones out.
pub const SLACK_BYTES: usize = 16 << 20;

/// What a peer may make us hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the largest message. Default 1 GiB. All incomplete messages together, with what it takes to keep
    /// them, are held to this and [`SLACK_BYTES`].
    pub max_message_bytes: u64,
    /// Messages that are incomplete at the same time. Default 4096.
    pub max_incomplete_messages: usize,
    /// An incomplete message without a further chunk for this long is given up. Default 60 s.
    pub incomplete_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message_bytes: 1 << 30,
            max_incomplete_messages: 4096,
            incomplete_timeout: Duration::from_secs(60),
        }
    }
}

/// What a peer did wrong. The message it did it in is dropped, what was held for it is freed and what else comes of
/// it is ignored. The connection can stay up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misbehaviour {
    /// Two chunks of a message disagree about its kind or number of chunks.
    #[error("the chunks of message {stream_id} contradict each other")]
    Contradiction {
        /// The message's number.
        stream_id: u32,
    },
    /// A message, or the number of chunks it is said to have, is larger than allowed.
    #[error("message {stream_id} is larger than the limit of {limit} bytes; raise `max_message_bytes` to receive it")]
    TooLarge {
        /// The message's number.
        stream_id: u32,
        /// [`Limits::max_message_bytes`].
        limit: u64,
    },
    /// There is no room for a chunk beside those of other incomplete messages.
    #[error("message {stream_id} does not fit beside the incomplete ones before it, in {limit} bytes in all")]
    TooMuchIncomplete {
        /// The message's number.
        stream_id: u32,
        /// Bytes of all incomplete messages.
        limit: usize,
    },
    /// More messages are incomplete than allowed.
    #[error("message {stream_id} was begun while {limit} others are incomplete")]
    TooManyIncomplete {
        /// The message's number.
        stream_id: u32,
        /// [`Limits::max_incomplete_messages`].
        limit: usize,
    },
    /// A text is not UTF-8.
    #[error("text message {stream_id} is not valid UTF-8")]
    InvalidText {
        /// The message's number.
        stream_id: u32,
    },
    /// A control chunk, which is not a part of a message.
    #[error("chunk {stream_id} is not a part of a message")]
    NotAMessage {
        /// The chunk's stream id.
        stream_id: u32,
    },
}

/// The messages of one connection that are on their way in, over all its channels.
///
/// A repeated chunk is ignored, the first of its number counts. The numbers of the last messages that had several
/// chunks are remembered, so that a late repetition neither makes a second message nor begins one that never
/// completes. A number can be used again at once for a message of one chunk or of another number of chunks or kind,
/// and for any message once 1024 others have gone by; ProxyStore counts up and never does.
#[derive(Debug)]
pub struct Reassembly {
    limits: Limits,
    incomplete: SortedMap<u32, Incomplete>,
    finished: Finished,
    /// Bytes held for `incomplete`.
    held: usize,
    /// No incomplete message is due before: progress only puts it off, so this need not follow each chunk.
    due: Option<Instant>,
}

impl Reassembly {
    /// Nothing received yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            incomplete: SortedMap::default(),
            finished: Finished::default(),
            held: 0,
            due: None,
        }
    }

    /// Takes a chunk; returns its message and the message's number if that is now complete.
    ///
    /// # Errors
    /// [`Misbehaviour`] of the peer, to be counted; the connection can stay up.
    pub fn insert(&mut self, now: Instant, frame: Frame) -> Result<Option<(u32, Message)>, Misbehaviour> {
        let header = frame.header;
        if header.kind == Kind::Control {
            let stream_id = header.stream_id;
            return Err(Misbehaviour::NotAMessage { stream_id });
        }
        if self.is_left_over(&header) {
            return Ok(None);
        }
        let result = self.admit(now, &frame).and_then(|()| match header.seq_len {
            1 => whole(header, &frame.payload).map(Some),
            _ => self.add(now, frame),
        });
        match &result {
            Ok(None) => {}
            Ok(Some(_)) => self.finish(&header, Outcome::Complete(header.kind, header.seq_len)),
            Err(_) => self.finish(&header, Outcome::Refused),
        }
        result.map(|message| Some((header.stream_id, message?)))
    }

    /// Gives up messages that have had no further chunk for [`Limits::incomplete_timeout`]; returns how many.
    /// Cheap when nothing is due.
    pub fn expire(&mut self, now: Instant) -> usize {
        if self.due.is_none_or(|due| now < due) {
            return 0;
        }
        let timeout = self.limits.incomplete_timeout;
        let is_over = |message: &Incomplete| now.saturating_duration_since(message.last_progress) >= timeout;
        let over: Vec<u32> = self
            .incomplete
            .iter()
            .filter(|(_, m)| is_over(m))
            .map(|(id, _)| *id)
            .collect();
        for stream_id in &over {
            self.remove(*stream_id);
            self.finished.insert(*stream_id, Outcome::Refused);
        }
        self.due = self
            .incomplete
            .values()
            .filter_map(|m| m.last_progress.checked_add(timeout))
            .min();
        over.len()
    }

    /// When to call [`Reassembly::expire`] next, or `None` while nothing is incomplete. It may then find nothing due
    /// and put this off.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Bytes held now for incomplete messages, with what it takes to keep them.
    pub fn incomplete_bytes(&self) -> usize {
        self.held
    }

    /// How many messages are incomplete now.
    pub fn incomplete_messages(&self) -> usize {
        self.incomplete.len()
    }

    /// Whether this chunk of an incomplete message has come.
    pub(crate) fn has(&self, header: &Header) -> bool {
        let message = self.incomplete.get(header.stream_id);
        message.is_some_and(|message| message.has(header.seq_id))
    }

    /// Whether a chunk belongs to a message that was completed or refused before.
    fn is_left_over(&self, header: &Header) -> bool {
        if header.seq_len == 1 {
            return false; // over a reliable channel it is not a repetition; a number used again is fine
        }
        match self.finished.get(header.stream_id) {
            Some(Outcome::Refused) => true,
            Some(Outcome::Complete(kind, seq_len)) => (kind, seq_len) == (header.kind, header.seq_len),
            None => false,
        }
    }

    /// Checks a chunk against the limits and the chunks before it.
    fn admit(&mut self, now: Instant, frame: &Frame) -> Result<(), Misbehaviour> {
        let Header {
            kind,
            stream_id,
            seq_len,
            ..
        } = frame.header;
        let limit = self.limits.max_message_bytes;
        let known = self.incomplete.get(stream_id);
        if known.is_some_and(|message| (message.kind, message.seq_len) != (kind, seq_len)) {
            return Err(Misbehaviour::Contradiction { stream_id });
        }
        let received = known.map_or(0, Incomplete::received_bytes);
        let is_new = known.is_none_or(|message| !message.has(frame.header.seq_id));
        let total = (received + if is_new { frame.payload.len() } else { 0 }) as u64;
        if total > limit || u64::from(seq_len) > limit.saturating_add(1) {
            return Err(Misbehaviour::TooLarge { stream_id, limit });
        }
        if known.is_none() && seq_len > 1 {
            self.begin(now, &frame.header)?;
        }
        Ok(())
    }

    fn begin(&mut self, now: Instant, header: &Header) -> Result<(), Misbehaviour> {
        let stream_id = header.stream_id;
        let limit = self.limits.max_incomplete_messages;
        if self.incomplete.len() >= limit {
            return Err(Misbehaviour::TooManyIncomplete { stream_id, limit });
        }
        let message = Incomplete::new(now, header.kind, header.seq_len);
        self.held += message.held_bytes();
        self.incomplete.insert(stream_id, message);
        self.finished.forget(stream_id);
        if self.due.is_none() {
            self.due = now.checked_add(self.limits.incomplete_timeout);
        }
        Ok(())
    }

    /// Adds a chunk to its incomplete message; returns the message if that completes it.
    fn add(&mut self, now: Instant, frame: Frame) -> Result<Option<Message>, Misbehaviour> {
        let stream_id = frame.header.stream_id;
        let limit = self.max_held_bytes();
        let room = limit.saturating_sub(self.held);
        let max_message_bytes = usize::try_from(self.limits.max_message_bytes).unwrap_or(usize::MAX);
        let Some(message) = self.incomplete.get_mut(stream_id) else {
            return Ok(None);
        };
        let before = message.held_bytes();
        let fitted = message.add(now, frame.header.seq_id, frame.payload, room, max_message_bytes);
        self.held = self.held - before + message.held_bytes();
        if !fitted {
            return Err(Misbehaviour::TooMuchIncomplete { stream_id, limit });
        }
        if !message.is_complete() {
            return Ok(None);
        }
        let message = self.remove(stream_id).map(Incomplete::into_message);
        message.transpose().map_err(|_| Misbehaviour::InvalidText { stream_id })
    }

    fn max_held_bytes(&self) -> usize {
        usize::try_from(self.limits.max_message_bytes)
            .unwrap_or(usize::MAX)
            .saturating_add(SLACK_BYTES)
    }

    /// Frees what is held for a message and remembers what became of it.
    fn finish(&mut self, header: &Header, outcome: Outcome) {
        let was_incomplete = self.remove(header.stream_id).is_some();
        if was_incomplete || header.seq_len > 1 {
            self.finished.insert(header.stream_id, outcome);
        }
    }

    fn remove(&mut self, stream_id: u32) -> Option<Incomplete> {
        let message = self.incomplete.remove(stream_id)?;
        self.held -= message.held_bytes();
        if self.incomplete.is_empty() {
            self.due = None;
        }
        Some(message)
    }
}

/// A message of one chunk: bytes are not copied.
fn whole(header: Header, payload: &Bytes) -> Result<Message, Misbehaviour> {
    if header.kind == Kind::Bytes {
        return Ok(Message::Bytes(payload.clone()));
    }
    let stream_id = header.stream_id;
    let text = std::str::from_utf8(payload).map_err(|_| Misbehaviour::InvalidText { stream_id })?;
    Ok(Message::Text(text.to_owned()))
}
