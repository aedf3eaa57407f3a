//! The relay's protocol: its messages, its client side and its server side, all without sockets.

mod message;

pub use message::{DecodeError, DescriptionType, PeerConnectionMessage, Registration, RelayMessage, Response};
