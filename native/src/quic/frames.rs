//! Frames as they travel: each stream carries one large frame or some small ones, every frame after its length in four
//! bytes, and ends. So a stream never has more gaps than it has packets (a receiver ends the connection at some thousand).
//!
//! They are read in the order in which they were sent, as from a data channel: who counts them knows which have come. What is
//! ahead waits in the connection, within its window.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use crosspeer::chunk::{HEADER_BYTES, MAX_CHUNK_BYTES};
use quinn_proto::{Connection, Dir, ReadError, ReadableError, Side, StreamId, WriteError};
use std::collections::{BTreeSet, VecDeque};

/// Bytes of the largest frame.
const MAX_FRAME_BYTES: usize = MAX_CHUNK_BYTES + HEADER_BYTES;
/// Bytes of the length before each.
const LENGTH_BYTES: usize = 4;
/// Bytes of a stream: one frame of the largest size.
const MAX_STREAM_BYTES: usize = LENGTH_BYTES + MAX_FRAME_BYTES;
/// Bytes of a frame that is copied to the others of its stream rather than kept by itself.
const SMALL_BYTES: usize = 4 << 10;
/// Bytes that are made room for before they have come: a length alone costs nothing.
const FIRST_BYTES: usize = 8 << 10;

/// What cannot be gone on with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Violation(pub(super) String);

/// Frames on their way out.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    waiting: VecDeque<BytesMut>,
    /// The stream that is being written, what is left of it, and the frames in it.
    stream: Option<(StreamId, VecDeque<Bytes>, Vec<usize>)>,
    /// Streams that have been written and not acknowledged to their ends.
    unacknowledged: usize,
}

impl Outgoing {
    pub(super) fn push(&mut self, frame: BytesMut) {
        self.waiting.push_back(frame);
    }

    /// Writes what there is room for. Calls `written` with the bytes of each frame that is out of our hands.
    ///
    /// # Errors
    /// The peer does not take a stream.
    pub(super) fn write(
        &mut self,
        connection: &mut Connection,
        mut written: impl FnMut(usize),
    ) -> Result<(), Violation> {
        loop {
            if self.stream.is_none() && !self.begin(connection) {
                return Ok(());
            }
            let Some((id, chunks, frames)) = &mut self.stream else {
                return Ok(());
            };
            let mut stream = connection.send_stream(*id);
            while !chunks.is_empty() {
                match stream.write_chunks(chunks.make_contiguous()) {
                    Ok(done) => drop(chunks.drain(..done.chunks)),
                    Err(WriteError::Blocked) => return Ok(()),
                    Err(error) => return Err(Violation(format!("the peer refuses data: {error}"))),
                }
            }
            if let Err(error) = stream.finish() {
                return Err(Violation(format!("the peer refuses data: {error}")));
            }
            self.unacknowledged += 1;
            frames.drain(..).for_each(&mut written);
            self.stream = None;
        }
    }

    /// Puts what waits into a new stream. Returns whether there is one.
    fn begin(&mut self, connection: &mut Connection) -> bool {
        if self.waiting.is_empty() {
            return false;
        }
        let Some(id) = connection.streams().open(Dir::Uni) else {
            return false;
        };
        let (mut chunks, mut frames, mut small, mut bytes) = (VecDeque::new(), Vec::new(), BytesMut::new(), 0);
        let fits =
            |bytes: usize, frame: &BytesMut| bytes == 0 || bytes + LENGTH_BYTES + frame.len() <= MAX_STREAM_BYTES;
        while let Some(frame) = self.waiting.pop_front_if(|frame| fits(bytes, frame)) {
            bytes += LENGTH_BYTES + frame.len();
            frames.push(frame.len());
            small.put_u32(u32::try_from(frame.len()).unwrap_or(u32::MAX));
            if frame.len() <= SMALL_BYTES {
                small.extend_from_slice(&frame);
            } else {
                chunks.push_back(small.split().freeze());
                chunks.push_back(frame.freeze());
            }
        }
        if !small.is_empty() {
            chunks.push_back(small.freeze());
        }
        self.stream = Some((id, chunks, frames));
        true
    }

    /// A stream has arrived as a whole.
    pub(super) fn acknowledged(&mut self) {
        self.unacknowledged = self.unacknowledged.saturating_sub(1);
    }

    /// Whether everything has arrived.
    pub(super) fn is_empty(&self) -> bool {
        self.unacknowledged == 0 && self.stream.is_none() && self.waiting.is_empty()
    }
}

/// Frames on their way in.
#[derive(Debug)]
pub(super) struct Incoming {
    /// The stream that is read, by its number.
    next: u64,
    /// Whose streams they are.
    peer: Side,
    /// Streams that may have something to read.
    readable: BTreeSet<StreamId>,
    /// What has come of the frame that is not complete.
    begun: Partial,
    complete: VecDeque<Bytes>,
    /// Bytes that have been read.
    pub(super) read: u64,
}

impl Incoming {
    pub(super) fn new(own: Side) -> Self {
        Self {
            next: 0,
            peer: !own,
            readable: BTreeSet::new(),
            begun: Partial::default(),
            complete: VecDeque::new(),
            read: 0,
        }
    }

    pub(super) fn readable(&mut self, id: StreamId) {
        self.readable.insert(id);
    }

    /// Reads until there is a whole frame.
    ///
    /// # Errors
    /// What came is none.
    pub(super) fn next(&mut self, connection: &mut Connection) -> Result<Option<Bytes>, Violation> {
        while self.complete.is_empty() {
            let id = StreamId::new(self.peer, Dir::Uni, self.next);
            if !self.readable.remove(&id) {
                return Ok(None);
            }
            self.read(connection, id)?;
        }
        Ok(self.complete.pop_front())
    }

    fn read(&mut self, connection: &mut Connection, id: StreamId) -> Result<(), Violation> {
        let mut stream = connection.recv_stream(id);
        let mut chunks = match stream.read(true) {
            Ok(chunks) => chunks,
            // Reported as readable once more than there was something.
            Err(ReadableError::ClosedStream) => return Ok(()),
            Err(error @ ReadableError::IllegalOrderedRead) => return Err(Violation(error.to_string())),
        };
        let over = loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => {
                    self.read += chunk.bytes.len() as u64;
                    self.begun.push(chunk.bytes, &mut self.complete)?;
                }
                Ok(None) => break true,
                Err(ReadError::Blocked) => break false,
                Err(ReadError::Reset(_)) => return Err(Violation("a frame was taken back".into())),
            }
        };
        // Whether there is something to be sent is asked anyway.
        let _ = chunks.finalize();
        if over && !self.begun.is_empty() {
            return Err(Violation("a stream ends within a frame".into()));
        }
        self.next += u64::from(over);
        Ok(())
    }
}

/// The beginning of a frame.
#[derive(Debug, Default)]
struct Partial {
    /// Of its length, until that is known.
    length: [u8; LENGTH_BYTES],
    length_bytes: usize,
    frame: BytesMut,
}

impl Partial {
    fn is_empty(&self) -> bool {
        self.length_bytes == 0
    }

    fn push(&mut self, mut bytes: Bytes, complete: &mut VecDeque<Bytes>) -> Result<(), Violation> {
        while !bytes.is_empty() {
            if self.length_bytes < LENGTH_BYTES {
                self.length[self.length_bytes] = bytes.get_u8();
                self.length_bytes += 1;
                continue;
            }
            let length = self.checked_length()?;
            let missing = length - self.frame.len();
            if self.frame.is_empty() && bytes.len() >= missing {
                // Copied, so that it does not keep a whole batch of datagrams.
                complete.push_back(Bytes::copy_from_slice(&bytes.split_to(missing)));
            } else {
                if self.frame.is_empty() {
                    self.frame.reserve(length.min(FIRST_BYTES));
                } else if self.frame.capacity() < length && self.frame.len() + bytes.len() > self.frame.capacity() {
                    self.frame.reserve(missing);
                }
                self.frame.extend_from_slice(&bytes.split_to(missing.min(bytes.len())));
                if self.frame.len() < length {
                    return Ok(());
                }
                complete.push_back(self.frame.split().freeze());
            }
            self.length_bytes = 0;
        }
        Ok(())
    }

    fn checked_length(&self) -> Result<usize, Violation> {
        match usize::try_from(u32::from_be_bytes(self.length)) {
            Ok(length) if (1..=MAX_FRAME_BYTES).contains(&length) => Ok(length),
            _ => Err(Violation(format!(
                "a frame of {} bytes, must be 1 to {MAX_FRAME_BYTES}",
                u32::from_be_bytes(self.length)
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Frames of what came in these pieces.
    fn frames(pieces: impl IntoIterator<Item = Bytes>) -> Result<(Vec<Bytes>, bool), Violation> {
        let (mut partial, mut complete) = (Partial::default(), VecDeque::new());
        for piece in pieces {
            partial.push(piece, &mut complete)?;
        }
        Ok((complete.into(), partial.is_empty()))
    }

    fn stream(frames: &[Vec<u8>]) -> Bytes {
        let mut stream = BytesMut::new();
        for frame in frames {
            stream.put_u32(frame.len() as u32);
            stream.extend_from_slice(frame);
        }
        stream.freeze()
    }

    proptest! {
        #[test]
        fn frames_come_out_however_the_stream_is_cut(
            sent in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..3000), 0..20),
            size in 1usize..2000,
        ) {
            let whole = stream(&sent);
            let pieces = whole.chunks(size).map(Bytes::copy_from_slice);
            let (came, ended) = frames(pieces).unwrap();
            prop_assert!(ended);
            prop_assert_eq!(came, sent);
        }
    }

    #[test]
    fn lengths_that_no_frame_has_are_refused_before_anything_is_kept() {
        for length in [0, MAX_FRAME_BYTES as u32 + 1, u32::MAX] {
            let refused = frames([Bytes::copy_from_slice(&length.to_be_bytes()), Bytes::from_static(b"x")]);
            assert_eq!(
                refused,
                Err(Violation(format!("a frame of {length} bytes, must be 1 to 65554")))
            );
        }
    }

    #[test]
    fn a_length_alone_takes_little_memory() {
        let (mut partial, mut complete) = (Partial::default(), VecDeque::new());
        partial
            .push(Bytes::from_static(&[0, 1, 0, 0, 7]), &mut complete)
            .unwrap();
        assert!(partial.frame.capacity() <= FIRST_BYTES);
        assert!(!partial.is_empty() && complete.is_empty());
    }
}
