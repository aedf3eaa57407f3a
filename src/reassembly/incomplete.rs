//! One message on its way in.

use crate::Message;
use crate::chunk::Kind;
use crate::maps::NumberMap;
use bytes::Bytes;
use std::string::FromUtf8Error;
use web_time::Instant;

/// Bytes that keeping a chunk aside takes, beside its payload: its map entry with the map's spare room, allocation and
/// header, rounded up.
const WAITING_CHUNK_OVERHEAD: usize = 192;

/// Bytes of a message that fit into its first buffer, if its first chunk has a sixteenth of them.
const FIRST_BUFFER_BYTES: usize = 1 << 20;

/// Bytes that keeping an incomplete message takes, beside its chunks, rounded up.
const MESSAGE_OVERHEAD: usize = 512;

/// The chunks of one message so far. Those in order are one growing buffer, so that it exists about once; only those
/// that came early wait aside.
#[derive(Debug)]
pub(super) struct Incomplete {
    pub(super) kind: Kind,
    pub(super) seq_len: u32,
    pub(super) last_progress: Instant,
    /// Chunks 0 to `merged` - 1.
    buffer: Vec<u8>,
    merged: u32,
    /// Later chunks, by number; as messages, so that pages download one kind of map.
    waiting: NumberMap<Message>,
    waiting_bytes: usize,
}

impl Incomplete {
    pub(super) fn new(now: Instant, kind: Kind, seq_len: u32) -> Self {
        Self {
            kind,
            seq_len,
            last_progress: now,
            buffer: Vec::new(),
            merged: 0,
            waiting: NumberMap::default(),
            waiting_bytes: 0,
        }
    }

    /// Bytes of memory, rounded up.
    pub(super) fn held_bytes(&self) -> usize {
        MESSAGE_OVERHEAD + self.buffer.capacity() + self.waiting_bytes + self.waiting.len() * WAITING_CHUNK_OVERHEAD
    }

    /// Bytes of payload.
    pub(super) fn received_bytes(&self) -> usize {
        self.buffer.len() + self.waiting_bytes
    }

    pub(super) fn has(&self, seq_id: u32) -> bool {
        seq_id < self.merged || self.waiting.contains_key(&seq_id)
    }

    pub(super) fn is_complete(&self) -> bool {
        self.merged == self.seq_len
    }

    /// Adds a chunk, unless it is there already. `room` is how many bytes more may be held, `max_bytes` the size of the
    /// largest message. Returns whether there was room.
    pub(super) fn add(&mut self, now: Instant, seq_id: u32, payload: Bytes, room: usize, max_bytes: usize) -> bool {
        if self.has(seq_id) {
            return true;
        }
        self.last_progress = now;
        if seq_id > self.merged {
            self.waiting_bytes += payload.len();
            let needed = payload.len() + WAITING_CHUNK_OVERHEAD;
            self.waiting.insert(seq_id, payload.into());
            return needed <= room;
        }
        let allowed = self.held_bytes() + room;
        if !self.append(&payload, allowed, max_bytes) {
            return false;
        }
        drop(payload);
        while let Some(payload) = self.waiting.remove(&self.merged) {
            self.waiting_bytes -= payload.len();
            if !self.append(payload.as_bytes(), allowed, max_bytes) {
                return false;
            }
        }
        true
    }

    /// Appends the next chunk, if all that is held then is within `allowed`.
    fn append(&mut self, payload: &[u8], allowed: usize, max_bytes: usize) -> bool {
        let len = self.buffer.len() + payload.len();
        if len > self.buffer.capacity() {
            let room = allowed.saturating_sub(self.held_bytes());
            if len - self.buffer.capacity() > room {
                return false;
            }
            self.buffer.reserve_exact(self.growth(payload.len(), room, max_bytes));
        }
        self.buffer.extend_from_slice(payload);
        self.merged += 1;
        true
    }

    /// By how many bytes beyond its length the buffer grows for a chunk: at first to 16 times as many, then by a quarter,
    /// so that each byte is moved a few times at most, but not beyond the message's likely or allowed size, nor by more
    /// than half the room.
    fn growth(&self, payload_len: usize, room: usize, max_bytes: usize) -> usize {
        let len = self.buffer.len() + payload_len;
        let likely = (len as u64).saturating_mul(self.seq_len.into()) / (u64::from(self.merged) + 1);
        let likely = usize::try_from(likely).unwrap_or(usize::MAX);
        let spare = self.buffer.capacity() - self.buffer.len();
        let first = len.saturating_mul(16).min(FIRST_BUFFER_BYTES).saturating_sub(len);
        let step = (len / 4)
            .max(first)
            .min(likely.saturating_sub(len))
            .min(max_bytes.saturating_sub(len))
            .min((room + spare).saturating_sub(payload_len) / 2);
        payload_len + step
    }

    /// The complete message, without copying it.
    pub(super) fn into_message(self) -> Result<Message, FromUtf8Error> {
        match self.kind {
            Kind::Text => String::from_utf8(self.buffer).map(Message::Text),
            Kind::Bytes | Kind::Control => Ok(Message::Bytes(self.buffer.into())),
        }
    }
}
