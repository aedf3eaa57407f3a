//! The relay's protocol: its messages, its client side and its server side, all without sockets.
//!
//! A relay knows its clients by UUID and carries session descriptions between them, as JSON in WebSocket text frames.
//! [`RelayMessage`] is what is said, [`Uplink`] is a client's part (register, try again), [`Switchboard`] is the
//! server's (register, forward, refuse). All three are ProxyStore's, byte for byte, without its faults.

mod message;
mod state;
mod switchboard;
mod uplink;
pub(crate) mod url;
mod wire;

pub use message::{DescriptionType, IceServers, PeerConnectionMessage, Registration, RelayMessage, Response};
pub use state::RelayState;
pub(crate) use switchboard::SILENT;
pub use switchboard::{ConnId, Counts, Incoming, MAX_NAME_BYTES, Switchboard, SwitchboardOutput, close_code};
#[doc(hidden)] // for the fuzz targets
pub use uplink::{Uplink, UplinkOutput};
pub use url::refused_in_page;
#[doc(hidden)] // for the fuzz target
pub use url::{shown as shown_url, usable as usable_url, with_secret as url_with_secret};
pub use wire::{DecodeError, parse_uuid};

/// Bytes of the largest WebSocket message that a relay or a client takes: ProxyStore's (1 MiB, from `websockets`).
pub const MAX_FRAME_BYTES: usize = 1 << 20;
