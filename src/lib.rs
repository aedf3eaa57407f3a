//! One peer-to-peer connection API for native programs and the browser.
#![forbid(unsafe_code)]

mod config;
mod error;
mod message;
pub mod platform;
pub mod relay;
pub mod transfer;

pub use config::{Config, IceServer, Reconnect, TlsOptions};
pub use error::{Error, Result, Stage};
pub use message::Message;
