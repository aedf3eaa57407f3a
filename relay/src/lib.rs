//! The relay server: sockets around [`crosspeer::relay::Switchboard`].
//!
//! Peers meet here. A relay carries only session descriptions, a few KiB for each connection; what peers say to each other
//! never passes it. It speaks ProxyStore's protocol, so that Python peers can use it and it can replace
//! `proxystore-relay`, configuration file and all.
//!
//! ```no_run
//! # async fn example() -> Result<(), crosspeer_relay::RelayError> {
//! use crosspeer_relay::{Relay, RelayConfig};
//!
//! let relay = Relay::bind(RelayConfig::default()).await?; // every interface, port 8700
//! println!("ws://{}", relay.local_addr());
//! relay.serve(std::future::pending()).await; // or until some future is ready
//! # Ok(()) }
//! ```
//!
//! [`Relay`] is a server of its own; a [`Hub`] is the same relay as an axum router, beside other routes of a server you
//! have. [`run`] is the whole program behind `crosspeer-relay` and `crosspeer relay`.
#![forbid(unsafe_code)]

mod access;
mod accounts;
mod args;
mod claims;
mod client;
mod cluster;
mod config;
mod files;
mod http;
mod hub;
mod logging;
mod mailbox;
mod metrics;
mod server;
mod strangers;
mod tls;
mod trickle;
mod turn;

pub use accounts::Rates;
pub use args::{RelayArgs, run};
pub use client::Unauthorized;
pub use config::{AuthConfig, ClusterConfig, Level, Limits, LoggingConfig, RelayConfig, RelayError, TurnConfig};
pub use files::raise_file_limit;
pub use hub::Hub;
pub use server::{Relay, Reload};
pub use strangers::site;
