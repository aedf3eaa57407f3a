//! One peer-to-peer connection API for native programs and the browser.
#![forbid(unsafe_code)]

pub mod chunk;
mod config;
pub mod counter;
pub mod description;
pub mod driver;
mod error;
mod handle;
mod json;
mod link;
mod message;
pub mod platform;
pub mod reassembly;
pub mod relay;
pub mod router;
#[cfg(any(test, feature = "sim"))]
#[cfg_attr(test, allow(clippy::disallowed_methods))]
pub mod sim;
pub mod transfer;

pub use config::{Config, IceServer, Reconnect, TlsOptions};
pub use error::{Error, Result, Stage};
pub use handle::{PeerConnection, PeerManager, RelayClient};
pub use link::{LinkId, State};
pub use message::Message;
