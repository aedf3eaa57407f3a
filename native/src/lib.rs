//! crosspeer for native programs: peer connections by the [`webrtc`] crate on tokio, the relay's WebSocket by
//! tokio-tungstenite.
//!
//! ```
//! use crosspeer_native::{Config, PeerManager};
//!
//! # use crosspeer_relay::{Relay, RelayConfig};
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let mut config = RelayConfig::default();
//! # (config.host, config.port) = (Some("127.0.0.1".into()), 0);
//! # let server = Relay::bind(config).await?;
//! # let relay = &format!("ws://{}", server.local_addr());
//! # tokio::spawn(server.serve(std::future::pending()));
//! # let echo = PeerManager::join(relay, Config::default()).await?;
//! # let other = echo.uuid();
//! # tokio::spawn(async move {
//! #     while let Ok((from, message)) = echo.recv().await {
//! #         let _ = echo.send(from, message).await;
//! #     }
//! # });
//! let peers = PeerManager::join(relay, Config::default()).await?; // "wss://relay.example"
//! peers.send(other, "hello").await?; // connects where needed
//! let (from, message) = peers.recv().await?; // from any peer
//! # assert_eq!((from, message), (other, "hello".into()));
//!
//! let connection = peers.connect(other).await?; // one peer's own stream of messages
//! connection.send(vec![1, 2, 3]).await?;
//! assert_eq!(connection.recv().await?, vec![1, 2, 3].into());
//! peers.close().await?; // delivers what was sent
//! # Ok(()) }
//! ```
//!
//! All rules are in [`crosspeer`]; this crate only carries its commands out and reports events, behind
//! [`Platform`](crosspeer::platform::Platform).
//!
//! ```text
//!   crosspeer's driver
//!     │ Platform            Native      this crate's front door
//!     ├─ open_rtc      ──→  rtc/        the only place that knows the engine
//!     └─ open_socket   ──→  socket      the relay's WebSocket; target: whither, proxy: which way, tls: whom it trusts
//! ```
#![forbid(unsafe_code)]

mod handle;
mod hoard;
mod identity;
mod known;
mod network;
mod platform;
mod proxy;
mod quic;
mod route;
mod rtc;
mod running;
mod socket;
mod target;
mod tls;

pub use crosspeer::{
    Config, Error, Fingerprint, IceServer, IceTransportPolicy, Identity, Message, Path, PeerConnection, Proxy,
    Reconnect, RelayState, Result, Stage, State, TlsOptions, Token,
};
pub use handle::{PeerManager, RelayClient};
pub use identity::{fingerprint_of, generate_identity, load_identity};
pub use known::{load_known_peers, update_known_peers};
pub use platform::Native;
pub use route::{Route, dial_turn};
pub use rtc::NativeRtc;
pub use socket::NativeSocket;
