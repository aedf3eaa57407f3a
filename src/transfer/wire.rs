//! The transfer protocol's messages: JSON text for control, bytes for data blocks.

use super::MAX_BLOCK;
use crate::printable;
use crate::{Error, Message, Result};
use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

/// Every control message starts with this; the version follows.
const PREFIX: &str = r#"{"crosspeer":"transfer/"#;
const PROTOCOL: &str = "transfer/1";
/// Bytes of a control message at most; a name has up to 4096, which JSON escapes may lengthen sixfold.
const MAX_CONTROL: usize = 32 << 10;
/// Characters of a peer's reason that are kept.
const MAX_REASON: usize = 300;
/// Characters of a stored file's path that are kept.
const MAX_STORED_NAME: usize = 4096;
/// Every data block starts with this; its first byte cannot start UTF-8 text, nor any common file format.
const MAGIC: [u8; 4] = *b"\xf5xp1";
const DATA_HEADER: usize = 16;

/// What a sender tells of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Offer {
    /// File name, or relative path with `/`. As sent it may be anything; a [`super::Receiver`] hands on only safe ones.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Last modified, in milliseconds since the Unix epoch, where known.
    pub modified: Option<u64>,
    /// Unix permission bits (`0o777` and no others), where known.
    pub mode: Option<u32>,
    /// `size` is only what was last known: the file ends where its bytes do, as a stream does.
    pub estimate: bool,
    /// An empty folder: `size` is 0. On the wire its name ends in `/`, which receivers that know no folders refuse.
    pub folder: bool,
}

/// Why a transfer ended before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopCode {
    /// The receiver does not want the file (or not under that name, or of that size).
    Refused,
    /// A person or program changed its mind.
    Cancelled,
    /// A disk, or the other end, failed.
    Failed,
    /// The bytes received are not the bytes sent.
    Checksum,
    /// More files are open than the receiver allows.
    TooMany,
    /// The other side broke the protocol.
    Misbehaved,
}

impl StopCode {
    const ALL: [Self; 6] = [
        Self::Refused,
        Self::Cancelled,
        Self::Failed,
        Self::Checksum,
        Self::TooMany,
        Self::Misbehaved,
    ];

    /// Its stable name, in kebab case, as on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Checksum => "checksum",
            Self::TooMany => "too-many",
            Self::Misbehaved => "misbehaved",
        }
    }

    /// A code this version does not know counts as [`StopCode::Failed`].
    fn parse(text: Option<&str>) -> Self {
        Self::ALL
            .into_iter()
            .find(|code| Some(code.as_str()) == text)
            .unwrap_or(Self::Failed)
    }
}

/// What a sender says to a receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToReceiver {
    /// A file, for the taking.
    Offer {
        /// The transfer; ids count up.
        id: u32,
        /// The file.
        offer: Offer,
    },
    /// The file's next bytes.
    Data {
        /// The transfer.
        id: u32,
        /// Where in the file.
        offset: u64,
        /// 1 to [`MAX_BLOCK`] bytes.
        data: Bytes,
    },
    /// All bytes were sent.
    End {
        /// The transfer.
        id: u32,
        /// BLAKE3 of the whole file.
        hash: [u8; 32],
    },
    /// The sender gives up.
    Cancel {
        /// The transfer.
        id: u32,
        /// Why.
        code: StopCode,
        /// Why, for people.
        reason: String,
    },
}

/// What a receiver says to a sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToSender {
    /// Send it.
    Accept {
        /// The transfer.
        id: u32,
        /// The first byte wanted; 0 for now.
        offset: u64,
        /// Bytes that may be unacknowledged over all of this sender's files.
        window: u64,
        /// It has understood that the size is an estimate.
        estimate: bool,
    },
    /// Bytes have been stored.
    Ack {
        /// The transfer.
        id: u32,
        /// How many of the file, in all.
        received: u64,
    },
    /// The whole file is stored and its checksum right.
    Done {
        /// The transfer.
        id: u32,
        /// The path it has there, if the receiver tells: it may differ from the one that was offered.
        name: Option<String>,
    },
    /// A plain message is stored or shown.
    Kept {
        /// Its number on this connection, from 0.
        id: u32,
    },
    /// A plain message is neither.
    Lost {
        /// Its number on this connection, from 0.
        id: u32,
        /// Why.
        code: StopCode,
        /// Why, for people.
        reason: String,
    },
    /// The receiver refuses the file, or gives up.
    Stop {
        /// The transfer.
        id: u32,
        /// Why.
        code: StopCode,
        /// Why, for people.
        reason: String,
    },
}

/// A message of a connection, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// For this side's [`super::Receiver`].
    ToReceiver(ToReceiver),
    /// For this side's [`super::Sender`].
    ToSender(ToSender),
    /// A user's own message, untouched.
    NotTransfer(Message),
}

impl Packet {
    /// Sorts a received message. No copy is made of data.
    ///
    /// # Errors
    /// [`Error::PeerMisbehaved`]: it claims to be of this protocol, and is malformed or of another version.
    pub fn decode(message: Message) -> Result<Self> {
        match message {
            Message::Text(text) if text.starts_with(PREFIX) => decode_control(&text),
            Message::Bytes(bytes) if bytes.starts_with(&MAGIC) => decode_data(bytes).map(Self::ToReceiver),
            other => Ok(Self::NotTransfer(other)),
        }
    }

    /// Whether a user's own message would be taken for one of this protocol, and so must not be sent as it is.
    pub fn collides(message: &Message) -> bool {
        match message {
            Message::Text(text) => text.starts_with(PREFIX),
            Message::Bytes(bytes) => bytes.starts_with(&MAGIC),
        }
    }
}

impl ToReceiver {
    /// The message that carries it.
    pub fn encode(&self) -> Message {
        match self {
            Self::Offer { id, offer } => Control {
                name: Some(match offer.folder {
                    true => format!("{}/", offer.name),
                    false => offer.name.clone(),
                }),
                size: Some(offer.size),
                modified: offer.modified,
                mode: offer.mode,
                estimate: offer.estimate.then_some(true),
                ..Control::new("offer", *id)
            }
            .encode(),
            Self::Data { id, offset, data } => encode_data(*id, *offset, data),
            Self::End { id, hash } => Control {
                blake3: Some(blake3::Hash::from_bytes(*hash).to_hex().to_string()),
                ..Control::new("end", *id)
            }
            .encode(),
            Self::Cancel { id, code, reason } => Control::stop("cancel", *id, *code, reason).encode(),
        }
    }
}

impl ToSender {
    /// The message that carries it.
    pub fn encode(&self) -> Message {
        match self {
            Self::Accept {
                id,
                offset,
                window,
                estimate,
            } => Control {
                offset: Some(*offset),
                window: Some(*window),
                estimate: estimate.then_some(true),
                ..Control::new("accept", *id)
            },
            Self::Ack { id, received } => Control {
                received: Some(*received),
                ..Control::new("ack", *id)
            },
            Self::Done { id, name } => Control {
                name: name.clone(),
                ..Control::new("done", *id)
            },
            Self::Kept { id } => Control::new("kept", *id),
            Self::Lost { id, code, reason } => Control::stop("lost", *id, *code, reason),
            Self::Stop { id, code, reason } => Control::stop("stop", *id, *code, reason),
        }
        .encode()
    }
}

/// A data block: the header, then the file's bytes.
pub(super) fn encode_data(id: u32, offset: u64, data: &[u8]) -> Message {
    let mut block = BytesMut::with_capacity(DATA_HEADER + data.len());
    block.put_slice(&MAGIC);
    block.put_u32(id);
    block.put_u64(offset);
    block.put_slice(data);
    Message::Bytes(block.freeze())
}

/// All control messages' keys in one flat struct: small code in wasm, and `crosspeer` always comes first.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Control {
    crosspeer: String,
    #[serde(rename = "type")]
    kind: String,
    id: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    modified: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    estimate: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    window: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    received: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blake3: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Control {
    fn new(kind: &str, id: u32) -> Self {
        Self {
            crosspeer: PROTOCOL.into(),
            kind: kind.into(),
            id,
            ..Self::default()
        }
    }

    fn stop(kind: &str, id: u32, code: StopCode, reason: &str) -> Self {
        Self {
            code: Some(code.as_str().into()),
            reason: Some(printable(reason)),
            ..Self::new(kind, id)
        }
    }

    fn encode(&self) -> Message {
        // Strings and integers only: this cannot fail.
        Message::Text(serde_json::to_string(self).unwrap_or_default())
    }
}

fn decode_control(text: &str) -> Result<Packet> {
    if text.len() > MAX_CONTROL {
        return misbehaved(format!("a transfer message of {} bytes", text.len()));
    }
    let control: Control =
        serde_json::from_str(text).map_err(|e| Error::PeerMisbehaved(format!("malformed transfer message: {e}")))?;
    if control.crosspeer != PROTOCOL {
        let theirs = printable(&control.crosspeer);
        return misbehaved(format!(
            "it speaks {theirs}, this side {PROTOCOL}; use the same version on both sides"
        ));
    }
    packet(control)
}

fn packet(control: Control) -> Result<Packet> {
    let id = control.id;
    let code = StopCode::parse(control.code.as_deref());
    let reason = printable(control.reason.as_deref().unwrap_or_default());
    Ok(match control.kind.as_str() {
        "offer" => {
            let (mut name, size) = (need(control.name, "name")?, need(control.size, "size")?);
            let folder = size == 0 && name.ends_with('/');
            name.truncate(name.len() - usize::from(folder));
            let offer = Offer {
                name,
                size,
                modified: control.modified,
                mode: control.mode.map(|mode| mode & 0o777),
                estimate: control.estimate.unwrap_or(false),
                folder,
            };
            Packet::ToReceiver(ToReceiver::Offer { id, offer })
        }
        "end" => {
            let hash = blake3::Hash::from_hex(need(control.blake3, "blake3")?)
                .map_err(|_| Error::PeerMisbehaved("`blake3` in a transfer message is not 64 hex digits".into()))?;
            Packet::ToReceiver(ToReceiver::End { id, hash: hash.into() })
        }
        "cancel" => Packet::ToReceiver(ToReceiver::Cancel { id, code, reason }),
        "accept" => {
            let (offset, window) = (need(control.offset, "offset")?, need(control.window, "window")?);
            let estimate = control.estimate.unwrap_or(false);
            Packet::ToSender(ToSender::Accept {
                id,
                offset,
                window,
                estimate,
            })
        }
        "ack" => Packet::ToSender(ToSender::Ack {
            id,
            received: need(control.received, "received")?,
        }),
        "done" => {
            let name = control.name.map(|name| printable_up_to(&name, MAX_STORED_NAME));
            Packet::ToSender(ToSender::Done { id, name })
        }
        "kept" => Packet::ToSender(ToSender::Kept { id }),
        "lost" => Packet::ToSender(ToSender::Lost { id, code, reason }),
        "stop" => Packet::ToSender(ToSender::Stop { id, code, reason }),
        other => return misbehaved(format!("unknown transfer message {:?}", printable(other))),
    })
}

fn decode_data(mut bytes: Bytes) -> Result<ToReceiver> {
    let header = bytes.split_to(DATA_HEADER.min(bytes.len()));
    let Some((id, offset)) = header[MAGIC.len()..].split_first_chunk::<4>() else {
        return misbehaved("a transfer block without a whole header".into());
    };
    let Ok(offset) = <[u8; 8]>::try_from(offset) else {
        return misbehaved("a transfer block without a whole header".into());
    };
    if bytes.is_empty() || bytes.len() > MAX_BLOCK {
        return misbehaved(format!("a transfer block of {} bytes", bytes.len()));
    }
    Ok(ToReceiver::Data {
        id: u32::from_be_bytes(*id),
        offset: u64::from_be_bytes(offset),
        data: bytes,
    })
}

pub(super) fn need<T>(field: Option<T>, name: &str) -> Result<T> {
    field.ok_or_else(|| Error::PeerMisbehaved(format!("a message without `{name}`")))
}

/// A peer's text may end up on a terminal.
pub(super) fn printable(text: &str) -> String {
    printable_up_to(text, MAX_REASON)
}

fn printable_up_to(text: &str, characters: usize) -> String {
    text.chars().take(characters).map(printable::shown).collect()
}

pub(super) fn misbehaved<T>(what: String) -> Result<T> {
    Err(Error::PeerMisbehaved(what))
}

#[cfg(test)]
mod tests;
