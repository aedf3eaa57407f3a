//! What comes in on one connection: frames to messages, in order where both sides agreed to it, and held back
//! while the user does not take them.

use super::lanes::WINDOW_BYTES;
use crate::chunk::{Frame, Header};
use crate::counter::Statistics;
use crate::maps::NumberMap;
use crate::reassembly::{Limits, Reassembly, SLACK_BYTES};
use crate::{Config, Error, Message};
use std::time::Duration;
use web_time::Instant;

/// Frames in, messages out.
pub(crate) struct Inbox {
    reassembly: Reassembly,
    order: Option<Sequencer>,
    /// Bytes of messages delivered and not yet taken by the user.
    unread: usize,
    limit: usize,
    /// Since when the user is so far behind that the peer is held back.
    held_since: Option<Instant>,
    /// For how long it was before. The peer cannot be blamed for that time.
    held: Duration,
    statistics: Statistics,
}

impl Inbox {
    pub(crate) fn new(config: &Config) -> Self {
        let limits = Limits {
            max_message_bytes: config.max_message_bytes,
            ..Limits::default()
        };
        Self {
            reassembly: Reassembly::new(limits),
            order: None,
            unread: 0,
            limit: config.receive_buffer_bytes,
            held_since: None,
            held: Duration::ZERO,
            statistics: Statistics::default(),
        }
    }

    /// From now on messages are delivered by ascending stream id. Where chunks may be sent again, what waits for an
    /// earlier message can be more by what is on its way, and repetitions are dropped.
    pub(crate) fn keep_order(&mut self, max_bytes: u64, repetitions: bool) {
        let slack = if repetitions { SLACK_BYTES as u64 } else { 0 };
        self.order = Some(Sequencer {
            next: 0,
            held: NumberMap::default(),
            bytes: 0,
            max_bytes: max_bytes.saturating_add(slack),
            repetitions,
        });
    }

    /// Whether a chunk was sent again that has come.
    pub(crate) fn has(&self, header: &Header) -> bool {
        let mut order = self.order.iter().filter(|order| order.repetitions);
        order.any(|order| order.has(header.stream_id) || self.reassembly.has(header))
    }

    /// Takes a frame that has not come before; returns what became complete.
    ///
    /// # Errors
    /// Ends the connection. A frame that only hurts its own message is dropped and counted instead.
    pub(crate) fn frame(&mut self, now: Instant, frame: Frame) -> Result<Vec<Message>, Error> {
        let complete = match self.reassembly.insert(self.clock(now), frame) {
            Ok(complete) => complete,
            Err(misbehaviour) => return self.misbehaved(misbehaviour.to_string()),
        };
        let Some((stream_id, message)) = complete else {
            return Ok(Vec::new());
        };
        let ready = match &mut self.order {
            Some(order) => order.push(stream_id, message)?,
            None => vec![message],
        };
        for message in &ready {
            self.unread += message.weight();
            self.statistics.messages_received += 1;
            self.statistics.bytes_received += message.len() as u64;
        }
        Ok(ready)
    }

    fn misbehaved(&mut self, misbehaviour: String) -> Result<Vec<Message>, Error> {
        self.statistics.frames_dropped += 1;
        // Where order was agreed a lost message would hold back all later ones for ever, and our own kind does not
        // do this: better a clear end.
        if self.order.is_some() {
            return Err(Error::PeerMisbehaved(misbehaviour));
        }
        tracing::warn!(misbehaviour, "dropped what the peer sent");
        Ok(Vec::new())
    }

    /// Counts a frame that could not be read.
    ///
    /// # Errors
    /// Ends a connection to our own kind, where it cannot happen by accident.
    pub(crate) fn drop_frame(&mut self, reason: String) -> Result<Vec<Message>, Error> {
        self.misbehaved(reason)
    }

    /// The user has taken this much.
    pub(crate) fn consumed(&mut self, bytes: usize) {
        self.unread = self.unread.saturating_sub(bytes);
    }

    /// Forgets what an earlier peer connection had begun to bring.
    pub(crate) fn restart(&mut self, config: &Config) {
        let Self { unread, statistics, .. } = *self;
        *self = Self {
            unread,
            statistics,
            ..Self::new(config)
        };
    }

    /// Bytes delivered and not yet taken, as [`Inbox::consumed`] counts them.
    pub(crate) fn unread(&self) -> usize {
        self.unread
    }

    /// Bytes that wait for more to come.
    pub(crate) fn held(&self) -> usize {
        let ahead = self.order.as_ref().map_or(0, |order| order.bytes as usize);
        self.reassembly.incomplete_bytes() + ahead
    }

    /// Bytes that the user has yet to take of an earlier connection to the same peer.
    pub(crate) fn inherit(&mut self, unread: usize) {
        self.unread += unread;
    }

    /// Whether the peer is to be held back since the user is behind. While `closing` the peer's last words are let in,
    /// which its own limits bound; a peer that goes on and on is held back after all.
    pub(crate) fn is_behind(&mut self, now: Instant, closing: bool) -> bool {
        if self.unread >= self.limit(closing) {
            self.held_since.get_or_insert(now);
            return true;
        }
        if let Some(since) = self.held_since.take() {
            self.held += now - since;
        }
        false
    }

    /// Whether even a peer that knows it is to wait could not have sent so much: what was on its way, and what waited for
    /// it and had been acknowledged.
    pub(crate) fn is_overrun(&self, closing: bool) -> bool {
        self.unread >= self.limit(closing).saturating_add(2 * WINDOW_BYTES)
    }

    /// Bytes that may come before the peer is to be held back.
    pub(crate) fn room(&self, closing: bool) -> usize {
        self.limit(closing).saturating_sub(self.unread)
    }

    fn limit(&self, closing: bool) -> usize {
        self.limit.saturating_mul(1 + usize::from(closing))
    }

    /// The time, less the times the peer was held back.
    fn clock(&self, now: Instant) -> Instant {
        self.held_since.unwrap_or(now) - self.held
    }

    /// Whether every message before this stream id has been delivered.
    pub(crate) fn has_all_before(&self, stream_id: u32) -> bool {
        match &self.order {
            Some(order) => order.next >= stream_id,
            None => self.statistics.messages_received >= u64::from(stream_id),
        }
    }

    /// Frees messages that make no progress.
    pub(crate) fn expire(&mut self, now: Instant) {
        // In order nothing is given up: reliable channels deliver, or the connection ends.
        if self.order.is_none() {
            self.statistics.messages_expired += self.reassembly.expire(self.clock(now)) as u64;
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        match (&self.order, self.held_since) {
            (None, None) => Some(self.reassembly.next_deadline()? + self.held),
            _ => None,
        }
    }

    /// The receiving half of the counts.
    pub(crate) fn statistics(&self) -> Statistics {
        self.statistics
    }
}

/// What keeping a message aside takes: its map entry and the map's spare room too, rounded up.
fn held_bytes(message: &Message) -> u64 {
    message.weight() as u64 + 128
}

/// Restores the order of sending, which striping over channels loses.
struct Sequencer {
    next: u32,
    held: NumberMap<Message>,
    bytes: u64,
    max_bytes: u64,
    /// Whether the peer may send again what has come.
    repetitions: bool,
}

impl Sequencer {
    fn has(&self, stream_id: u32) -> bool {
        stream_id < self.next || self.held.contains_key(&stream_id)
    }

    fn push(&mut self, stream_id: u32, message: Message) -> Result<Vec<Message>, Error> {
        if self.has(stream_id) {
            return Err(Error::PeerMisbehaved(format!("message number {stream_id} came twice")));
        }
        if stream_id != self.next {
            self.bytes += held_bytes(&message);
            self.held.insert(stream_id, message);
            if self.bytes > self.max_bytes {
                let text = format!("message number {} did not come before too many later ones", self.next);
                return Err(Error::PeerMisbehaved(text));
            }
            return Ok(Vec::new());
        }
        let mut ready = vec![message];
        self.next = self.next.wrapping_add(1);
        while let Some(message) = self.held.remove(&self.next) {
            self.bytes -= held_bytes(&message);
            ready.push(message);
            self.next = self.next.wrapping_add(1);
        }
        if self.held.is_empty() {
            // A map does not shrink by itself.
            self.held = NumberMap::default();
        }
        Ok(ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Kind;
    use bytes::Bytes;

    fn sequencer() -> Sequencer {
        Sequencer {
            next: 0,
            held: NumberMap::default(),
            bytes: 0,
            max_bytes: 1000,
            repetitions: false,
        }
    }

    fn small(stream_id: u32, payload: &'static [u8]) -> Frame {
        Frame {
            header: Header {
                kind: Kind::Bytes,
                stream_id,
                seq_id: 0,
                seq_len: 1,
            },
            payload: Bytes::from_static(payload),
        }
    }

    #[test]
    fn messages_come_out_in_the_order_of_their_numbers() {
        let mut order = sequencer();
        assert_eq!(order.push(1, "b".into()), Ok(vec![]));
        assert_eq!(order.push(2, "c".into()), Ok(vec![]));
        assert_eq!(order.push(0, "a".into()), Ok(vec!["a".into(), "b".into(), "c".into()]));
        assert_eq!(order.bytes, 0);
    }

    #[test]
    fn a_number_that_comes_twice_is_misbehaviour() {
        let mut order = sequencer();
        assert!(order.push(0, "a".into()).is_ok());
        assert!(matches!(order.push(0, "a".into()), Err(Error::PeerMisbehaved(_))));
        assert!(order.push(5, "a".into()).is_ok());
        assert!(matches!(order.push(5, "a".into()), Err(Error::PeerMisbehaved(_))));
    }

    #[test]
    fn a_gap_that_never_closes_cannot_fill_the_memory() {
        let mut order = sequencer();
        let refused = (1..100).find_map(|id| order.push(id, vec![0; 10].into()).err());
        assert!(matches!(refused, Some(Error::PeerMisbehaved(_))));
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // any time will do
    fn the_peer_is_held_back_while_the_user_is_behind() {
        let config = Config {
            receive_buffer_bytes: 100,
            ..Config::default()
        };
        let mut inbox = Inbox::new(&config);
        let now = Instant::now();
        assert_eq!(inbox.frame(now, small(0, b"abc")), Ok(vec![b"abc".into()]));
        assert!(!inbox.is_behind(now, false));
        assert_eq!(inbox.frame(now, small(1, b"abc")), Ok(vec![b"abc".into()]));
        assert!(inbox.is_behind(now, false));
        inbox.consumed(67);
        assert!(!inbox.is_behind(now, false));
    }
}
