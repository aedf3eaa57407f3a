//! crosspeer for the browser: peer connections by `RTCPeerConnection`, the relay by `WebSocket`.
//!
//! All rules are in `crosspeer`; this crate only carries its commands out and reports events, behind `Platform`.
//! Everything runs on the page's one thread. Elsewhere than on wasm this crate is empty.
//!
//! ```text
//!   crosspeer's driver              js/         the facade of the npm package (feature `js`)
//!     │ Platform            Web     platform    this crate's front door
//!     ├─ open_rtc      ──→  rtc/    RTCPeerConnection and its data channels
//!     └─ open_socket   ──→  socket  the relay's WebSocket
//! ```
#![cfg(target_family = "wasm")]
#![forbid(unsafe_code)]

mod alarm;
mod handle;
mod identity;
#[cfg(feature = "js")]
mod js;
mod listener;
mod platform;
mod rtc;
mod socket;
mod task;
#[cfg(feature = "transfer")]
mod transfer;

/// A third of the standard one's code, for pages to download.
#[cfg(feature = "js")]
#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();

pub use crosspeer::{Config, Error, Message, PeerConnection, Result, State};
pub use handle::{PeerManager, RelayClient};
pub use platform::Web;
pub use rtc::WebRtc;
pub use socket::WebSocket;
