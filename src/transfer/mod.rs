//! File transfer over an ordinary connection between two crosspeer peers, as plain state machines.
//!
//! Many files may travel at once, both ways, among a user's own messages. The connection must be reliable and ordered.
//! [`Packet::decode`] tells transfer messages from others; [`Sender`] and [`Receiver`] take them and say, by `poll`,
//! what to send, read, write or report. Neither touches a disk, a clock or a network.
//!
//! ```text
//!  sender                                        receiver
//!  {"crosspeer":"transfer/1","type":"offer","id":0,"name":"a/b.txt","size":5,"modified":…} →
//!      ← {…,"type":"accept","id":0,"offset":0,"window":4194304}       or "stop"
//!  data: magic, id, offset, up to 256 KiB →        ← {…,"type":"ack","id":0,"received":5}
//!  {…,"type":"end","id":0,"blake3":"…"} →          ← {…,"type":"done","id":0,"name":"a/b (1).txt"}     or "stop"
//!  {…,"type":"cancel","id":0,"code":"cancelled","reason":"…"} →   at any time; the receiver may "stop" at any time
//! ```
//!
//! Ids count up from 0 for each sender; the two directions are apart, since each type of message belongs to one side
//! only. The receiver's `window` bounds the bytes not yet acknowledged over all of a sender's files, so the receiver's
//! disk sets the pace and memory stays bounded for files of any size. At most [`MAX_OPEN`] files are open at a time.
//! With `"estimate":true` in an offer and in its `accept` the size does not bind: the file ends where its bytes do.
//! `offset` leaves room for resuming; it is 0 for now. The `name` of a `done` is the path that the file has got, if the
//! receiver tells. Unknown keys are ignored.

pub mod catalog;
mod names;
mod receiver;
mod sender;
#[cfg(test)]
mod tests;
mod wire;

pub use crate::printable::printable;
pub use names::{NameError, numbered, sanitise};
pub use receiver::{Receiver, ReceiverLimits, ReceiverOutput};
pub use sender::{Sender, SenderOutput};
pub use wire::{Offer, Packet, StopCode, ToReceiver, ToSender};

/// Bytes of a data block at most. 256 KiB keeps acknowledgements rare and several blocks in a window.
pub const MAX_BLOCK: usize = 256 << 10;
/// Files that one side may have offered and not finished on one connection; a sender holds further ones back.
pub const MAX_OPEN: usize = 64;
/// The largest file: 2⁵³ − 1 bytes, the largest integer that JavaScript holds exactly.
pub const MAX_FILE_BYTES: u64 = (1 << 53) - 1;
