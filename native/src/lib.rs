//! crosspeer for native programs: peer connections by the [`webrtc`] crate on tokio, the relay's WebSocket by
//! tokio-tungstenite.
//!
//! All rules are in [`crosspeer`]; this crate only carries its commands out and reports events, behind
//! [`Platform`](crosspeer::platform::Platform).
//!
//! ```text
//!   crosspeer's driver
//!     │ Platform            Native      this crate's front door
//!     ├─ open_rtc      ──→  rtc/        the only place that knows the engine
//!     └─ open_socket   ──→  socket      the relay's WebSocket; tls: whom it trusts
//! ```

mod handle;
mod platform;
mod rtc;
mod socket;
mod tls;

pub use crosspeer::{Config, Error, Message, PeerConnection, Result, State};
pub use handle::{PeerManager, RelayClient};
pub use platform::Native;
pub use rtc::NativeRtc;
pub use socket::NativeSocket;
