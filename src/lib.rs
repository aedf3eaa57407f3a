//! What crosspeer's platforms have in common: programs use `crosspeer-native`, pages the npm package `crosspeer` or
//! `crosspeer-wasm`.
//!
//! Two peers meet through a small relay, then send messages directly over WebRTC data channels. This crate is what all
//! platforms have in common: every rule, as state machines that are told the time and what happened, and the handles
//! that users hold. It has no sockets and no clock; programs use it through `crosspeer-native`, pages through the npm
//! package `crosspeer`.
//!
//! ```text
//!   PeerManager │ PeerConnection │ RelayClient     handles: only channel ends, Send + Sync everywhere
//!         │ requests      ▲ messages, state
//!   driver::Driver<P: Platform>                    the one async loop; spawned by the platform's crate
//!         │ Input         ▲ Output
//!   router::Router                                 all links and the uplink to the relay: registration, glare, deadlines
//!     └ Link                                       one peer: set-up, chunking, flow control, closing
//!         │ RtcCommand    ▲ RtcEvent
//!   platform::{Platform, Rtc, Socket}              webrtc-rs on tokio │ the browser │ the simulator
//! ```
//!
//! # Hello
//! A native program begins with `crosspeer_native::PeerManager::join(url, config)`, a page with
//! `PeerManager.join(url, options)`. Here two peers meet in a simulated world (feature `sim`), which is this crate alone:
#![cfg_attr(feature = "sim", doc = "```")]
#![cfg_attr(not(feature = "sim"), doc = "```ignore")]
//! use crosspeer::sim::{Weather, World};
//! use crosspeer::{Config, Message};
//! use std::time::Duration;
//!
//! let mut world = World::new(web_time::Instant::now(), 1, Weather::default());
//! let alice = world.add(1, Config::default(), false);
//! let bob = world.add(2, Config::default(), false);
//! world.run_for(Duration::from_secs(1)); // both register at the relay
//!
//! world.send(alice, bob, "hello");
//! assert!(world.run_until(Duration::from_secs(1), |world| world.received(bob).len() == 1));
//! assert_eq!(world.received(bob), [(world.uuid(alice), Message::from("hello"))]);
//! ```
//!
//! # Where to start
//! - [`PeerManager`]: many peers, connects and answers by itself. [`PeerConnection`] and [`RelayClient`]: the same by
//!   hand, as in ProxyStore.
//! - [`Config`]: everything that can be set, with units and defaults. [`Error`]: what can go wrong, and what to do.
//! - [`platform`]: what a new platform has to provide.
//! - [`description`], [`relay`]: ProxyStore's wire format.
//! - `sim` (feature `sim`): whole worlds of peers by seed.
#![forbid(unsafe_code)]

mod certificate;
#[doc(hidden)] // for benches and fuzz targets, as those below
pub mod chunk;
mod config;
pub mod counter;
pub mod description;
pub mod driver;
mod error;
mod handle;
mod identity;
mod json;
pub mod known;
mod link;
mod mailroom;
mod maps;
mod message;
#[doc(hidden)]
pub mod output;
pub mod platform;
mod printable;
#[doc(hidden)]
pub mod reassembly;
pub mod relay;
#[doc(hidden)]
pub mod request;
#[doc(hidden)]
pub mod router;
#[cfg(any(test, feature = "sim"))]
#[cfg_attr(test, allow(clippy::disallowed_methods))]
pub mod sim;
pub mod transfer;
mod wire;

pub use certificate::{Fingerprint, Identity};
pub use config::{Config, IceServer, IceTransportPolicy, Proxy, Reconnect, TlsOptions, Token};
pub use error::{Error, Result, Stage};
pub use handle::{Asking, PeerConnection, PeerManager, RelayClient};
pub use message::Message;
pub use output::State;
pub use platform::Path;
pub use relay::RelayState;
pub use request::LinkId;
