//! One chunk of a message: ProxyStore's 18-byte header before the payload, and splitting messages into chunks.
//!
//! Each chunk is one binary data-channel message. Its header, in network byte order:
//!
//! | offset | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 2 | kind | [`Kind`] |
//! | 2 | 4 | length | of header and payload, in bytes |
//! | 6 | 4 | stream id | the message's number; each direction of a connection counts for itself |
//! | 10 | 4 | seq id | the chunk's number in its message, from 0 |
//! | 14 | 4 | seq len | how many chunks the message has, at least 1 |

use crate::Message;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::ops::Range;

#[cfg(test)]
mod tests;

/// Bytes of a chunk's header.
pub const HEADER_BYTES: usize = 18;

/// Bytes of payload that a ProxyStore sender puts into a chunk, and the most we send to one. Its receiver takes more.
pub const PROXYSTORE_CHUNK_BYTES: usize = 32768;

/// Bytes of payload in a chunk between peers of our own kind, at most.
pub const MAX_CHUNK_BYTES: usize = 64 << 10;

/// The smallest `max_payload` of a [`Splitter`]: the longest code point of UTF-8.
const LONGEST_CODE_POINT: usize = 4;

/// What a chunk carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Kind {
    /// A part of a [`Message::Bytes`].
    Bytes = 1,
    /// A part of a [`Message::Text`], in UTF-8.
    Text = 2,
    /// A word between peers of our own kind, such as a ping. ProxyStore drops it; it is not sent there.
    Control = 3,
}

impl Kind {
    /// The kind of a message's chunks.
    pub fn of(message: &Message) -> Self {
        match message {
            Message::Bytes(_) => Self::Bytes,
            Message::Text(_) => Self::Text,
        }
    }
}

impl TryFrom<u16> for Kind {
    type Error = FrameError;

    fn try_from(number: u16) -> Result<Self, FrameError> {
        match number {
            1 => Ok(Self::Bytes),
            2 => Ok(Self::Text),
            3 => Ok(Self::Control),
            _ => Err(FrameError::UnknownKind(number)),
        }
    }
}

/// A chunk's place. Its `length` field is not kept: it follows from the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// What the payload is.
    pub kind: Kind,
    /// The message's number.
    pub stream_id: u32,
    /// The chunk's number in its message, less than `seq_len`.
    pub seq_id: u32,
    /// How many chunks the message has, at least 1.
    pub seq_len: u32,
}

/// One received chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its place.
    pub header: Header,
    /// What it carries.
    pub payload: Bytes,
}

/// Why a data-channel message is not a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// It does not even hold a header.
    #[error("a chunk of {0} bytes is shorter than its {HEADER_BYTES}-byte header")]
    TooShort(usize),
    /// Its kind is none of [`Kind`].
    #[error("chunk kind {0} is unknown")]
    UnknownKind(u16),
    /// Its length field does not even cover the header.
    #[error("a chunk's length field says {0}, less than its {HEADER_BYTES}-byte header")]
    LengthTooSmall(u32),
    /// It holds less than its length field says.
    #[error("a chunk was cut off: its length field says {length}, it has {actual} bytes")]
    CutOff {
        /// What the field says, in bytes.
        length: u32,
        /// What came, in bytes.
        actual: usize,
    },
    /// Its number is not one of its message's.
    #[error("there is no chunk {seq_id} in a message of {seq_len} chunks")]
    NoSuchChunk {
        /// Its number.
        seq_id: u32,
        /// How many chunks it says its message has.
        seq_len: u32,
    },
}

impl Frame {
    /// Reads one data-channel message; the payload is a slice of it, not a copy.
    ///
    /// The length field counts for bytes and control: what follows it is padding and ignored; when it exceeds what
    /// came, the chunk is refused. For text ProxyStore writes the number of characters instead of bytes, and accepts
    /// any number that is not too small, so the data-channel message's own size counts.
    ///
    /// # Errors
    /// [`FrameError`]: the chunk is to be dropped, the connection can stay. ProxyStore accepts two of these, a length
    /// field below 18 as an empty chunk and one beyond the end as whole; wrong data is worse than none.
    pub fn decode(mut data: Bytes) -> Result<Self, FrameError> {
        let actual = data.len();
        if actual < HEADER_BYTES {
            return Err(FrameError::TooShort(actual));
        }
        let kind = Kind::try_from(data.get_u16())?;
        let length = data.get_u32();
        let header = Header {
            kind,
            stream_id: data.get_u32(),
            seq_id: data.get_u32(),
            seq_len: data.get_u32(),
        };
        if header.seq_id >= header.seq_len {
            let Header { seq_id, seq_len, .. } = header;
            return Err(FrameError::NoSuchChunk { seq_id, seq_len });
        }
        let Some(payload_bytes) = (length as usize).checked_sub(HEADER_BYTES) else {
            return Err(FrameError::LengthTooSmall(length));
        };
        if kind != Kind::Text {
            if payload_bytes > data.len() {
                return Err(FrameError::CutOff { length, actual });
            }
            if payload_bytes < data.len() {
                // A slice would keep the padding in memory, uncounted.
                data = Bytes::copy_from_slice(&data[..payload_bytes]);
            }
        }
        Ok(Self { header, payload: data })
    }
}

/// Writes one chunk, header and payload, with one copy into one allocation.
///
/// The length field is in bytes for text too, so that ProxyStore does not truncate it. `payload` is far below 4 GiB;
/// it is at most [`MAX_CHUNK_BYTES`].
pub fn encode(header: &Header, payload: &[u8]) -> BytesMut {
    let bytes = HEADER_BYTES + payload.len();
    let mut frame = BytesMut::with_capacity(bytes);
    frame.put_u16(header.kind as u16);
    frame.put_u32(u32::try_from(bytes).unwrap_or(u32::MAX));
    frame.put_u32(header.stream_id);
    frame.put_u32(header.seq_id);
    frame.put_u32(header.seq_len);
    frame.put_slice(payload);
    frame
}

/// The chunks of one message, encoded one at a time, so that the message never exists twice.
///
/// Text is split between code points, since ProxyStore decodes each chunk by itself. An empty message is one empty
/// chunk: ProxyStore's receiver takes it, though its sender never sends one.
#[derive(Debug, Clone)]
pub struct Splitter {
    body: Bytes,
    max_payload: usize,
    /// Where the next chunk begins.
    offset: usize,
    /// The next chunk's place.
    header: Header,
}

impl Splitter {
    /// Chunks of at most `max_payload` bytes of payload each (at least 4, the longest code point; less counts as 4).
    ///
    /// Takes a step for each chunk of a text and no time for bytes. A message of more than 2³² − 1 chunks (4 TiB at
    /// 1 KiB each) cannot be sent; the message size limit is far below.
    pub fn new(message: Message, stream_id: u32, max_payload: usize) -> Self {
        let max_payload = max_payload.max(LONGEST_CODE_POINT);
        let kind = Kind::of(&message);
        let chunks = match kind {
            Kind::Text => count_text_chunks(message.as_bytes(), max_payload),
            _ => message.len().div_ceil(max_payload),
        };
        let header = Header {
            kind,
            stream_id,
            seq_id: 0,
            seq_len: u32::try_from(chunks.max(1)).unwrap_or(u32::MAX),
        };
        Self {
            body: message.into_bytes(),
            max_payload,
            offset: 0,
            header,
        }
    }

    /// Bytes of payload that have not been handed out.
    pub fn remaining_bytes(&self) -> usize {
        self.body.len() - self.offset
    }

    /// The next chunk as it is; its payload is a slice of the message, not a copy.
    pub fn next_frame(&mut self) -> Option<Frame> {
        let (header, payload) = self.advance()?;
        let payload = self.body.slice(payload);
        Some(Frame { header, payload })
    }

    /// The next chunk, as its header and its place in the message.
    fn advance(&mut self) -> Option<(Header, Range<usize>)> {
        self.next_seq_id()?;
        let (start, header) = (self.offset, self.header);
        let rest = &self.body[start..];
        let bytes = match header.kind {
            Kind::Text => text_chunk_end(rest, self.max_payload),
            _ => rest.len().min(self.max_payload),
        };
        self.offset += bytes;
        self.header.seq_id += 1;
        Some((header, start..self.offset))
    }

    /// The number of the chunk that comes next, or `None` after the last. ProxyStore sends it on channel number
    /// `seq_id` modulo the number of channels.
    pub fn next_seq_id(&self) -> Option<u32> {
        (self.header.seq_id < self.header.seq_len).then_some(self.header.seq_id)
    }

    /// How many chunks the message has.
    pub fn seq_len(&self) -> u32 {
        self.header.seq_len
    }
}

impl Iterator for Splitter {
    type Item = BytesMut;

    fn next(&mut self) -> Option<BytesMut> {
        let (header, payload) = self.advance()?;
        Some(encode(&header, &self.body[payload]))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.header.seq_len - self.header.seq_id) as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Splitter {}

fn count_text_chunks(text: &[u8], max_payload: usize) -> usize {
    let (mut chunks, mut rest) = (0, text);
    while !rest.is_empty() {
        rest = &rest[text_chunk_end(rest, max_payload)..];
        chunks += 1;
    }
    chunks
}

/// Where the first chunk of UTF-8 ends: not at its start, since `max_payload` holds any code point.
fn text_chunk_end(text: &[u8], max_payload: usize) -> usize {
    let mut end = max_payload;
    // Bytes 10xxxxxx are inside a code point.
    while text.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
        end -= 1;
    }
    end.min(text.len())
}
