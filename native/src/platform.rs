//! What the common code's driver needs of a machine with tokio.

use crate::rtc::NativeRtc;
use crate::socket::NativeSocket;
use crosspeer::Config;
use crosspeer::platform::{Events, Platform, RtcId, SocketId};
use tokio::runtime::Handle;
use web_time::Instant;

/// The native platform: tokio, the `webrtc` crate, tokio-tungstenite. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Native {
    runtime: Handle,
}

impl Native {
    /// A platform whose tasks run on this runtime, which needs its IO and time drivers enabled.
    pub fn new(runtime: Handle) -> Self {
        Self { runtime }
    }
}

impl Platform for Native {
    type Rtc = NativeRtc;
    type Socket = NativeSocket;

    #[allow(clippy::disallowed_methods)] // this is the platform that the others ask
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> {
        tokio::time::sleep_until(at.into())
    }

    fn open_rtc(&self, id: RtcId, config: &Config, events: Events) -> NativeRtc {
        NativeRtc::spawn(&self.runtime, id, config, events)
    }

    fn open_socket(&self, id: SocketId, url: &str, config: &Config, events: Events) -> NativeSocket {
        NativeSocket::spawn(&self.runtime, id, url, config, events)
    }

    fn host_name(&self) -> Option<String> {
        let name = gethostname::gethostname().to_string_lossy().into_owned();
        (!name.is_empty()).then_some(name)
    }
}
