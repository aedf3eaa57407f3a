//! Files on their way from the disk to one peer: the same for `send` and `share`.

mod streams;

use crosspeer::transfer::{Offer, Sender, SenderOutput, StopCode, ToSender};
use crosspeer::{Error, PeerConnection};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::time::SystemTime;
use streams::{Reads, Streams};
use tokio::task::block_in_place;

/// Where the bytes come from, and who is told what became of them.
pub(crate) trait Stock {
    /// Opens a transfer's file; called when it is first read.
    fn open(&mut self, id: u32) -> io::Result<Source>;
    /// What the peer is told of such an error.
    fn explain(&self, error: &io::Error) -> String;
    /// So many bytes of it are stored there.
    fn progress(&mut self, _id: u32, _stored: u64) {}
    /// The peer has it, whole.
    fn sent(&mut self, id: u32, sent: Sent);
    /// The peer does not have it.
    fn not_sent(&mut self, id: u32, code: StopCode, reason: &str);
}

/// How something is read.
pub(crate) enum Source {
    File(File),
    /// A pipe or a device: it may keep its reader waiting, opening it too, and ends when it likes.
    Stream(Box<dyn FnOnce() -> io::Result<Box<dyn Read>> + Send>),
}

/// What was sent.
pub(crate) struct Sent {
    pub(crate) bytes: u64,
    pub(crate) blake3: [u8; 32],
    /// Somebody wrote to the file meanwhile.
    pub(crate) changed: bool,
}

/// One peer's files.
pub(crate) struct Outlet<S> {
    pub(crate) stock: S,
    sender: Sender,
    open: HashMap<u32, Opened>,
    streams: Streams,
    reads: Reads,
    buffer: Vec<u8>,
}

struct Opened {
    /// `None`: a stream.
    file: Option<File>,
    modified: Option<SystemTime>,
    bytes: u64,
    changed: bool,
}

impl<S: Stock> Outlet<S> {
    pub(crate) fn new(stock: S) -> Self {
        let (streams, reads) = Streams::new();
        Self {
            stock,
            sender: Sender::new(),
            open: HashMap::new(),
            streams,
            reads,
            buffer: Vec::new(),
        }
    }

    /// Offers something; its id, which no other offer to this peer has.
    pub(crate) fn offer(&mut self, offer: Offer) -> Result<u32, Error> {
        self.sender.offer(offer)
    }

    /// Takes one packet of the peer.
    pub(crate) fn handle(&mut self, packet: ToSender) -> Result<(), Error> {
        self.sender.handle(packet)
    }

    /// Whether nothing is on its way.
    pub(crate) fn is_idle(&self) -> bool {
        self.sender.is_idle()
    }

    /// Does the next thing; `false` if there is nothing to do before the peer answers, or [`Outlet::streamed`].
    pub(crate) async fn step(&mut self, connection: &PeerConnection) -> Result<bool, Error> {
        let Some(output) = self.sender.poll() else {
            return Ok(false);
        };
        match output {
            SenderOutput::Send(message) => connection.send(message).await?,
            SenderOutput::Read { id, len, .. } => self.read(id, len),
            SenderOutput::Progress { id, stored } => self.stock.progress(id, stored),
            SenderOutput::Done { id, hash, .. } => self.done(id, hash),
            SenderOutput::Stopped { id, code, reason } => {
                self.forget(id);
                self.stock.not_sent(id, code, &reason);
            }
            _ => {}
        }
        Ok(true)
    }

    /// Takes what a stream has; without any it never ends.
    pub(crate) async fn streamed(&mut self) {
        let Some((id, read)) = self.reads.recv().await else {
            return std::future::pending().await;
        };
        match read {
            Ok(data) => {
                self.count(id, data.len());
                self.sender.block(id, &data);
            }
            Err(error) => self.sender.read_failed(id, &self.stock.explain(&error)),
        }
    }

    /// Tells the peer why these do not come, and nothing else.
    pub(crate) async fn give_up(&mut self, ids: impl Iterator<Item = u32>, reason: &str, connection: &PeerConnection) {
        let mut ids: Vec<_> = ids.collect();
        ids.sort_unstable_by(|a, b| b.cmp(a)); // the last first: none takes the place of one that ends
        for id in ids {
            self.sender.cancel(id, reason);
        }
        while let Some(next) = self.sender.poll() {
            if let SenderOutput::Send(message) = next
                && connection.send(message).await.is_err()
            {
                return;
            }
        }
    }

    /// A stream's bytes come later, when it has some.
    fn read(&mut self, id: u32, len: usize) {
        match block_in_place(|| self.try_read(id, len)) {
            Ok(Some(read)) => self.sender.block(id, &self.buffer[..read]),
            Ok(None) => self.streams.read(id, len),
            Err(error) => self.sender.read_failed(id, &self.stock.explain(&error)),
        }
    }

    /// Blocks of a file are asked for in order. No bytes are its end.
    fn try_read(&mut self, id: u32, len: usize) -> io::Result<Option<usize>> {
        if !self.open.contains_key(&id) {
            self.open(id)?;
        }
        let Some(opened) = self.open.get_mut(&id) else {
            return Ok(Some(0));
        };
        let Some(file) = &mut opened.file else {
            return Ok(None);
        };
        self.buffer.clear();
        let read = file.take(len as u64).read_to_end(&mut self.buffer)?;
        opened.bytes += read as u64;
        if read == 0 {
            opened.changed = modified(file) != opened.modified;
        }
        Ok(Some(read))
    }

    fn open(&mut self, id: u32) -> io::Result<()> {
        let mut opened = Opened {
            file: None,
            modified: None,
            bytes: 0,
            changed: false,
        };
        match self.stock.open(id)? {
            Source::File(file) => {
                opened.modified = modified(&file);
                opened.file = Some(file);
            }
            Source::Stream(open) => self.streams.open(id, open),
        }
        self.open.insert(id, opened);
        Ok(())
    }

    fn count(&mut self, id: u32, bytes: usize) {
        if let Some(opened) = self.open.get_mut(&id) {
            opened.bytes += bytes as u64;
        }
    }

    fn done(&mut self, id: u32, blake3: [u8; 32]) {
        let (bytes, changed) = self.forget(id).map_or((0, false), |open| (open.bytes, open.changed));
        let sent = Sent { bytes, blake3, changed };
        self.stock.sent(id, sent);
    }

    fn forget(&mut self, id: u32) -> Option<Opened> {
        self.streams.forget(id);
        self.open.remove(&id)
    }
}

fn modified(file: &File) -> Option<SystemTime> {
    file.metadata().and_then(|metadata| metadata.modified()).ok()
}
