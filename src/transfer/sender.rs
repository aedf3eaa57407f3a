//! The side that offers files: all of one connection's outgoing transfers.

use super::wire::{Offer, StopCode, ToReceiver, ToSender, encode_data, misbehaved};
use super::{MAX_BLOCK, MAX_FILE_BYTES, MAX_OPEN};
use crate::{Error, Message, Result};
use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};

/// Bytes of a name at most, as sent.
const MAX_NAME: usize = 4096;
/// Bytes that may be unacknowledged even where the receiver allows more.
const MAX_WINDOW: u64 = 64 << 20;

const LONGER: &str =
    "the file became longer while it was sent, and the receiver's version takes only the size that was offered";

/// Sends any number of files over one connection, [`MAX_OPEN`] at a time, taking turns block by block.
///
/// After every call, [`Sender::poll`] until it returns `None`, carrying out each output before the next: then memory is
/// one block, plus a file's name for each that waits.
#[derive(Debug, Default)]
pub struct Sender {
    next_id: u32,
    waiting: VecDeque<(u32, Offer)>,
    open: BTreeMap<u32, Outgoing>,
    outbox: VecDeque<SenderOutput>,
    /// The smallest window any accept named; it is the receiver's, not a file's.
    window: Option<u64>,
    /// Whose turn it was to be read.
    last_read: u32,
}

/// What a [`Sender`] wants done, or tells.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SenderOutput {
    /// Send this to the peer.
    Send(Message),
    /// Read exactly this part of the file and give it to [`Sender::block`], or say [`Sender::read_failed`]. Of a file
    /// whose size is an estimate fewer bytes will do; none are its end.
    Read {
        /// The transfer.
        id: u32,
        /// Where to begin.
        offset: u64,
        /// Bytes, 1 to [`MAX_BLOCK`].
        len: usize,
    },
    /// The receiver wants the file.
    Accepted {
        /// The transfer.
        id: u32,
    },
    /// The receiver has stored more of it.
    Progress {
        /// The transfer.
        id: u32,
        /// Bytes stored so far.
        stored: u64,
    },
    /// The receiver has all of it, checksum verified. The id is of no further use.
    Done {
        /// The transfer.
        id: u32,
        /// BLAKE3 of the file.
        hash: [u8; 32],
        /// The path it has at the receiver, where that tells it.
        name: Option<String>,
    },
    /// It ended without success. The id is of no further use.
    Stopped {
        /// The transfer.
        id: u32,
        /// Why.
        code: StopCode,
        /// Why, for people.
        reason: String,
    },
}

#[derive(Debug)]
struct Outgoing {
    size: u64,
    /// The size is an estimate.
    estimate: bool,
    /// The receiver has understood that: the file ends where its bytes do. Otherwise it must prove right.
    open_ended: bool,
    hasher: blake3::Hasher,
    accepted: bool,
    /// Bytes asked for so far, sent or being read.
    read: u64,
    /// Bytes of `read` still being read.
    reading: usize,
    stored: u64,
    ended: Option<[u8; 32]>,
}

impl Sender {
    /// Nothing is sent before the first [`Sender::offer`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Queues a file; its transfer's id is returned.
    ///
    /// # Errors
    /// [`Error::InvalidInput`]: the name is empty or over 4096 bytes, the file over [`MAX_FILE_BYTES`], or 2³² files were sent.
    pub fn offer(&mut self, offer: Offer) -> Result<u32> {
        if offer.name.is_empty() || offer.name.len() > MAX_NAME {
            return invalid(format!(
                "a file name of {} bytes, must be 1 to {MAX_NAME}",
                offer.name.len()
            ));
        }
        if offer.size > MAX_FILE_BYTES {
            return invalid(format!(
                "{} has {} bytes, at most 2^53 - 1 can be sent",
                offer.name, offer.size
            ));
        }
        let id = self.next_id;
        let Some(next_id) = id.checked_add(1) else {
            return invalid("this connection has sent 2^32 files; use a new one".into());
        };
        self.next_id = next_id;
        self.waiting.push_back((id, offer));
        Ok(id)
    }

    /// Takes a message of the receiver.
    ///
    /// # Errors
    /// [`Error::PeerMisbehaved`] for what no receiver may say. A single file's fault stops that file only, by an output.
    pub fn handle(&mut self, packet: ToSender) -> Result<()> {
        match packet {
            ToSender::Accept {
                id,
                offset,
                window,
                estimate,
            } => self.on_accept(id, offset, window, estimate),
            ToSender::Ack { id, received } => self.on_ack(id, received),
            ToSender::Done { id, name } => self.on_done(id, name),
            // About plain messages, which are not sent from here.
            ToSender::Kept { .. } | ToSender::Lost { .. } => Ok(()),
            ToSender::Stop { id, code, reason } => {
                if self.find(id)?.is_some() {
                    self.open.remove(&id);
                    self.outbox.push_back(SenderOutput::Stopped { id, code, reason });
                }
                Ok(())
            }
        }
    }

    /// The bytes that a [`SenderOutput::Read`] asked for. Fewer mean that the file shrank, which ends its transfer; of
    /// one whose size is an estimate none do, where the receiver knows of no estimates.
    pub fn block(&mut self, id: u32, data: &[u8]) {
        let Some(file) = self.open.get_mut(&id) else {
            return; // stopped meanwhile
        };
        if data.len() > file.reading || (!file.estimate && (data.len() < file.reading || data.is_empty())) {
            return self.fail(id, StopCode::Failed, "the file became shorter while it was sent");
        }
        file.read -= (file.reading - data.len()) as u64;
        file.reading = 0;
        if file.estimate && !file.open_ended && (data.is_empty() || file.read > file.size) {
            match file.read.cmp(&file.size) {
                Ordering::Less => self.fail(id, StopCode::Failed, "the file became shorter while it was sent"),
                Ordering::Equal => self.end(id),
                Ordering::Greater => self.fail(id, StopCode::Failed, LONGER),
            }
            return;
        }
        if data.is_empty() {
            return self.end(id);
        }
        let offset = file.read - data.len() as u64;
        file.hasher.update(data);
        self.outbox.push_back(SenderOutput::Send(encode_data(id, offset, data)));
        self.end_if_sent(id);
    }

    /// The answer to a [`SenderOutput::Read`] that could not be carried out; the transfer ends.
    pub fn read_failed(&mut self, id: u32, reason: &str) {
        self.fail(id, StopCode::Failed, reason);
    }

    /// Ends a transfer; the receiver is told, [`SenderOutput::Stopped`] follows. Does nothing after its end.
    pub fn cancel(&mut self, id: u32, reason: &str) {
        self.fail(id, StopCode::Cancelled, reason);
    }

    /// Whether every offered file has been dealt with.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.open.is_empty() && self.outbox.is_empty()
    }

    /// The next thing to do, `None` until something happens.
    pub fn poll(&mut self) -> Option<SenderOutput> {
        if let Some(output) = self.outbox.pop_front() {
            return Some(output);
        }
        if self.open.len() < MAX_OPEN
            && let Some((id, offer)) = self.waiting.pop_front()
        {
            self.open.insert(id, Outgoing::new(&offer));
            return Some(SenderOutput::Send(ToReceiver::Offer { id, offer }.encode()));
        }
        self.next_read()
    }

    fn on_accept(&mut self, id: u32, offset: u64, window: u64, estimate: bool) -> Result<()> {
        let Some(file) = self.find(id)? else {
            return Ok(());
        };
        if file.accepted || window == 0 {
            self.fail(id, StopCode::Misbehaved, "it was accepted twice, or with no window");
        } else if offset != 0 {
            self.fail(id, StopCode::Failed, "this side cannot resume transfers yet");
        } else {
            file.accepted = true;
            file.open_ended = file.estimate && estimate;
            let window = window.min(MAX_WINDOW);
            self.window = Some(self.window.map_or(window, |known| known.min(window)));
            self.outbox.push_back(SenderOutput::Accepted { id });
            self.end_if_sent(id);
        }
        Ok(())
    }

    fn on_ack(&mut self, id: u32, stored: u64) -> Result<()> {
        let Some(file) = self.find(id)? else {
            return Ok(());
        };
        if stored < file.stored || stored > file.read - file.reading as u64 {
            self.fail(id, StopCode::Misbehaved, "it acknowledged bytes that were not sent");
        } else {
            file.stored = stored;
            self.outbox.push_back(SenderOutput::Progress { id, stored });
        }
        Ok(())
    }

    fn on_done(&mut self, id: u32, name: Option<String>) -> Result<()> {
        match self.find(id)?.map(|file| file.ended) {
            Some(Some(hash)) => {
                self.open.remove(&id);
                self.outbox.push_back(SenderOutput::Done { id, hash, name });
            }
            Some(None) => self.fail(id, StopCode::Misbehaved, "it was called done before its end"),
            None => {}
        }
        Ok(())
    }

    /// The open file; `None` for one that has ended, whose late messages mean nothing.
    fn find(&mut self, id: u32) -> Result<Option<&mut Outgoing>> {
        let never_offered = id >= self.next_id || self.waiting.front().is_some_and(|(first, _)| id >= *first);
        if never_offered {
            return misbehaved(format!("it answers an offer, number {id}, that was not made"));
        }
        Ok(self.open.get_mut(&id))
    }

    fn end_if_sent(&mut self, id: u32) {
        let Some(file) = self.open.get_mut(&id) else {
            return;
        };
        if file.read == file.size && !file.estimate {
            self.end(id);
        }
    }

    fn end(&mut self, id: u32) {
        if let Some(file) = self.open.get_mut(&id) {
            let hash = file.hasher.finalize().into();
            file.ended = Some(hash);
            let end = ToReceiver::End { id, hash };
            self.outbox.push_back(SenderOutput::Send(end.encode()));
        }
    }

    fn fail(&mut self, id: u32, code: StopCode, reason: &str) {
        if self.open.remove(&id).is_some() {
            let reason = reason.to_owned();
            let cancel = ToReceiver::Cancel { id, code, reason };
            self.outbox.push_back(SenderOutput::Send(cancel.encode()));
        } else if let Some(at) = self.waiting.iter().position(|(waiting, _)| *waiting == id) {
            self.waiting.remove(at);
        } else {
            return;
        }
        let reason = reason.to_owned();
        self.outbox.push_back(SenderOutput::Stopped { id, code, reason });
    }

    /// The next block by turns, if the window has room for it. One block of each file is read at a time.
    fn next_read(&mut self) -> Option<SenderOutput> {
        let window = self.window?;
        let in_flight: u64 = self.open.values().map(|file| file.read - file.stored).sum();
        let after = self.last_read.wrapping_add(1);
        let turns = self.open.range(after..).chain(self.open.range(..after));
        let turns = turns.filter(|(_, file)| file.is_readable());
        // Probes first: bytes that wait for room in the window may wait for those of a file that is only to be probed.
        let (id, _) = turns
            .clone()
            .find(|(_, file)| file.is_probe())
            .or(turns.clone().next())?;
        let id = *id;
        let file = self.open.get_mut(&id)?;
        let len = file.next_len(window);
        if in_flight + len > window && !file.is_probe() {
            return None;
        }
        let offset = file.read;
        file.reading = len as usize;
        file.read += len;
        self.last_read = id;
        Some(SenderOutput::Read {
            id,
            offset,
            len: len as usize,
        })
    }
}

impl Outgoing {
    fn new(offer: &Offer) -> Self {
        Self {
            size: offer.size,
            estimate: offer.estimate,
            open_ended: false,
            hasher: blake3::Hasher::new(),
            accepted: false,
            read: 0,
            reading: 0,
            stored: 0,
            ended: None,
        }
    }

    fn is_readable(&self) -> bool {
        self.accepted && self.reading == 0 && self.ended.is_none() && (self.estimate || self.read < self.size)
    }

    /// Whether all that may be sent was, and only the end is to be seen: nothing of it goes out.
    fn is_probe(&self) -> bool {
        self.estimate && !self.open_ended && self.read >= self.size
    }

    /// Bytes of the next block. Where a file's end is not known each may only take its share of the window, or those
    /// that wait for bytes would keep it from the others.
    fn next_len(&self, window: u64) -> u64 {
        let left = match self.size.saturating_sub(self.read) {
            0 if self.is_probe() => 1,
            0 => (window / MAX_OPEN as u64).max(1),
            left => left,
        };
        left.min(MAX_BLOCK as u64).min(window)
    }
}

fn invalid<T>(text: String) -> Result<T> {
    Err(Error::InvalidInput(text))
}
