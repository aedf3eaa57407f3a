//! QUIC between native peers, on the socket and the pair of addresses that ICE has chosen.
//!
//! The engine of `rtc/` does ICE as always. Once it has a pair, the answerer begins a QUIC connection on it, and DTLS is
//! held back meanwhile. If QUIC is up in time it carries all frames, and no data channel is ever opened; if not, DTLS
//! goes its way. Both sides show the certificate that their descriptions name, as they would in DTLS.
//!
//! Here is all of it that has no socket and no task; those are the engine's neighbours, `rtc/quic` and `rtc/mux`.
//!
//! - `carrier`: a connection, by quinn-proto
//! - `frames`: a frame and its stream
//! - `identity`: certificates, pinned by the descriptions
//! - `model`: how much may be on the path
//! - `sort`: whose a datagram is

mod carrier;
mod frames;
mod identity;
mod model;
#[cfg(test)]
mod network;
mod sort;

pub(crate) use carrier::{Carrier, News};
pub(crate) use identity::Credentials;
pub(crate) use sort::{Owner, is_all_quic, sort};
