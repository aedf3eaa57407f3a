//! The side that is offered files: all of one connection's incoming transfers.

use super::wire::{Offer, StopCode, ToReceiver, ToSender, misbehaved};
use super::{MAX_FILE_BYTES, MAX_OPEN, names};
use crate::{Message, Result};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// What a [`Receiver`] allows its peer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiverLimits {
    /// Bytes of the largest file. Default [`MAX_FILE_BYTES`].
    pub max_file_bytes: u64,
    /// Bytes received and not yet written, over all files. Default 4 MiB: at 50 ms round trip that carries 80 MiB/s.
    /// At least 1.
    pub window: u64,
    /// Whether files of unknown length and empty folders are taken. Default `false`.
    pub streams_and_folders: bool,
}

impl Default for ReceiverLimits {
    fn default() -> Self {
        Self {
            max_file_bytes: MAX_FILE_BYTES,
            window: 4 << 20,
            streams_and_folders: false,
        }
    }
}

/// Receives any number of files over one connection, up to [`MAX_OPEN`] at a time.
///
/// After every call, [`Receiver::poll`] until it returns `None`, carrying out each output before the next: then memory
/// is the window at most, whatever the peer does.
#[derive(Debug, Default)]
pub struct Receiver {
    limits: ReceiverLimits,
    /// Ids below have been offered.
    next_id: u64,
    open: BTreeMap<u32, Incoming>,
    outbox: VecDeque<ReceiverOutput>,
}

/// What a [`Receiver`] wants done, or tells.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiverOutput {
    /// Send this to the peer.
    Send(Message),
    /// A file is offered, its name [sanitised](names::sanitise): [`Receiver::accept`] it or [`Receiver::stop`] it.
    Offered {
        /// The transfer.
        id: u32,
        /// The file.
        offer: Offer,
    },
    /// An offer was refused at once: its name leads out of the folder, it is too large, or too many are open. The sender
    /// is told; there is nothing to do.
    Refused {
        /// The transfer.
        id: u32,
        /// Why.
        code: StopCode,
        /// Why, for people.
        reason: String,
    },
    /// Write this part, then say [`Receiver::written`] (or [`Receiver::stop`]). Parts of a file come in order, without gaps.
    Write {
        /// The transfer.
        id: u32,
        /// Where it begins.
        offset: u64,
        /// The bytes.
        data: Bytes,
    },
    /// All is written and the checksum right: give the file its name, then say [`Receiver::finish`] (or [`Receiver::stop`]).
    Complete {
        /// The transfer.
        id: u32,
        /// BLAKE3 of the file.
        hash: [u8; 32],
    },
    /// It ended without success: remove what was written. The id is of no further use.
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
struct Incoming {
    size: u64,
    /// `size` is an estimate that does not bind.
    estimate: bool,
    hasher: blake3::Hasher,
    accepted: bool,
    received: u64,
    written: u64,
    ended: bool,
}

impl Receiver {
    /// For one connection.
    pub fn new(limits: ReceiverLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Takes a message of the sender.
    ///
    /// # Errors
    /// [`crate::Error::PeerMisbehaved`] for what no sender may say. A single file's fault stops that file only, by an output.
    pub fn handle(&mut self, packet: ToReceiver) -> Result<()> {
        match packet {
            ToReceiver::Offer { id, offer } => self.on_offer(id, offer),
            ToReceiver::Data { id, offset, data } => self.on_data(id, offset, data),
            ToReceiver::End { id, hash } => self.on_end(id, hash),
            ToReceiver::Cancel { id, code, reason } => {
                if self.find(id)?.is_some() {
                    self.forget(id, code, reason);
                }
                Ok(())
            }
        }
    }

    /// The file is wanted: its bytes will come. Does nothing if it is not open, or accepted already.
    pub fn accept(&mut self, id: u32) {
        let window = self.limits.window.max(1);
        if let Some(file) = self.open.get_mut(&id)
            && !file.accepted
        {
            file.accepted = true;
            let estimate = file.estimate;
            self.send(ToSender::Accept {
                id,
                offset: 0,
                window,
                estimate,
            });
        }
    }

    /// Refuses or ends a transfer; the sender is told, [`ReceiverOutput::Stopped`] follows. Does nothing after its end.
    pub fn stop(&mut self, id: u32, code: StopCode, reason: &str) {
        if self.open.contains_key(&id) {
            let reason = reason.to_owned();
            self.forget(id, code, reason.clone());
            self.send(ToSender::Stop { id, code, reason });
        }
    }

    /// So many bytes of a [`ReceiverOutput::Write`] are written.
    pub fn written(&mut self, id: u32, bytes: usize) {
        let Some(file) = self.open.get_mut(&id) else {
            return; // stopped meanwhile
        };
        file.written = file.received.min(file.written + bytes as u64);
        if file.written < file.size || (file.estimate && !file.ended) {
            let received = file.written;
            self.send(ToSender::Ack { id, received });
        } else {
            self.complete_if_written(id);
        }
    }

    /// The file has its name and place: the sender learns that it is done.
    pub fn finish(&mut self, id: u32) {
        self.end(id, None);
    }

    /// As [`Receiver::finish`], and tells the sender the path that the file has got, which may not be the offered one.
    pub fn finish_as(&mut self, id: u32, path: String) {
        self.end(id, Some(path));
    }

    fn end(&mut self, id: u32, name: Option<String>) {
        if self.open.remove(&id).is_some() {
            self.send(ToSender::Done { id, name });
        }
    }

    /// The files that are open, for reporting them when the connection ends.
    pub fn open_ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.open.keys().copied()
    }

    /// The next thing to do, `None` until something happens.
    pub fn poll(&mut self) -> Option<ReceiverOutput> {
        self.outbox.pop_front()
    }

    fn on_offer(&mut self, id: u32, mut offer: Offer) -> Result<()> {
        if u64::from(id) < self.next_id {
            return misbehaved(format!("it offers files out of order (number {id})"));
        }
        self.next_id = u64::from(id) + 1;
        let limit = self.limits.max_file_bytes.min(MAX_FILE_BYTES);
        if self.open.len() >= MAX_OPEN {
            let reason = format!("more than {MAX_OPEN} files at a time");
            self.refuse(id, StopCode::TooMany, reason);
        } else if offer.size > limit {
            let reason = format!("{} bytes, at most {limit} are taken", offer.size);
            self.refuse(id, StopCode::Refused, reason);
        } else {
            let name = match offer.folder && !self.limits.streams_and_folders {
                true => Err(names::NameError::Empty),
                false => names::sanitise(&offer.name),
            };
            match name {
                Ok(name) => {
                    offer.name = name;
                    offer.estimate &= self.limits.streams_and_folders;
                    self.open.insert(id, Incoming::new(offer.size, offer.estimate));
                    self.outbox.push_back(ReceiverOutput::Offered { id, offer });
                }
                Err(error) => self.refuse(id, StopCode::Refused, error.to_string()),
            }
        }
        Ok(())
    }

    fn refuse(&mut self, id: u32, code: StopCode, reason: String) {
        let told = reason.clone();
        self.send(ToSender::Stop { id, code, reason });
        self.outbox
            .push_back(ReceiverOutput::Refused { id, code, reason: told });
    }

    fn on_data(&mut self, id: u32, offset: u64, data: Bytes) -> Result<()> {
        let pending: u64 = self.open.values().map(|file| file.received - file.written).sum();
        let window = self.limits.window.max(1);
        let limit = self.limits.max_file_bytes.min(MAX_FILE_BYTES);
        let Some(file) = self.find(id)? else {
            return Ok(());
        };
        let len = data.len() as u64;
        let fault = if !file.accepted {
            "it was sent before it was accepted"
        } else if offset != file.received || file.ended {
            "its bytes came out of order, or after its end"
        } else if file.estimate && len > limit - file.received {
            "more bytes came than a file may have"
        } else if !file.estimate && len > file.size - file.received {
            "more bytes came than were offered"
        } else if pending + len > window {
            "more bytes came than the window allows"
        } else {
            file.hasher.update(&data);
            file.received += len;
            self.outbox.push_back(ReceiverOutput::Write { id, offset, data });
            return Ok(());
        };
        self.stop(id, StopCode::Misbehaved, fault);
        Ok(())
    }

    fn on_end(&mut self, id: u32, hash: [u8; 32]) -> Result<()> {
        let Some(file) = self.find(id)? else {
            return Ok(());
        };
        if !file.accepted || file.ended || (file.received != file.size && !file.estimate) {
            self.stop(id, StopCode::Misbehaved, "it ended too early, or twice");
        } else if file.hasher.finalize() != hash {
            self.stop(
                id,
                StopCode::Checksum,
                "the bytes that arrived are not those that were sent",
            );
        } else {
            file.ended = true;
            file.size = file.received;
            self.complete_if_written(id);
        }
        Ok(())
    }

    fn complete_if_written(&mut self, id: u32) {
        if let Some(file) = self.open.get(&id)
            && file.ended
            && file.written == file.size
        {
            let hash = file.hasher.finalize().into();
            self.outbox.push_back(ReceiverOutput::Complete { id, hash });
        }
    }

    /// The open file; `None` for one that has ended, whose late messages mean nothing.
    fn find(&mut self, id: u32) -> Result<Option<&mut Incoming>> {
        if u64::from(id) >= self.next_id {
            return misbehaved(format!("it sends a file, number {id}, that it did not offer"));
        }
        Ok(self.open.get_mut(&id))
    }

    /// Drops a file with everything of it that waits to be carried out.
    fn forget(&mut self, id: u32, code: StopCode, reason: String) {
        self.open.remove(&id);
        self.outbox.retain(|output| match output {
            ReceiverOutput::Write { id: of, .. } | ReceiverOutput::Complete { id: of, .. } => *of != id,
            _ => true,
        });
        self.outbox.push_back(ReceiverOutput::Stopped { id, code, reason });
    }

    fn send(&mut self, packet: ToSender) {
        self.outbox.push_back(ReceiverOutput::Send(packet.encode()));
    }
}

impl Incoming {
    fn new(size: u64, estimate: bool) -> Self {
        Self {
            size,
            estimate,
            hasher: blake3::Hasher::new(),
            accepted: false,
            received: 0,
            written: 0,
            ended: false,
        }
    }
}
