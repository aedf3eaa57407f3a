//! What the common code's driver needs of a machine with tokio.

use crate::rtc::NativeRtc;
use crate::running::Running;
use crate::socket::NativeSocket;
use crosspeer::Config;
use crosspeer::platform::{Events, Platform, RtcId, SocketId};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use web_time::Instant;

/// The longest that the engine is given to tell peers that a connection has ended.
const GOODBYE: Duration = Duration::from_secs(2);

/// The native platform: tokio, the `webrtc` crate, tokio-tungstenite. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Native {
    runtime: Handle,
    running: Arc<Running>,
}

impl Native {
    /// A platform whose tasks run on this runtime, which needs its IO and time drivers enabled.
    pub fn new(runtime: Handle) -> Self {
        let running = Arc::default();
        Self { runtime, running }
    }
}

impl Platform for Native {
    type Rtc = NativeRtc;
    type Socket = NativeSocket;
    const PROMPT: bool = true;

    #[allow(clippy::disallowed_methods)] // this is the platform that the others ask
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> {
        tokio::time::sleep_until(at.into())
    }

    fn open_rtc(&self, id: RtcId, config: &Config, events: Events) -> NativeRtc {
        NativeRtc::spawn(&self.runtime, id, config, events, Running::one(&self.running))
    }

    fn open_socket(&self, id: SocketId, url: &str, config: &Config, events: Events) -> NativeSocket {
        NativeSocket::spawn(&self.runtime, id, url, config, events)
    }

    async fn settled(&self) {
        if tokio::time::timeout(GOODBYE, self.running.none()).await.is_err() {
            tracing::debug!("a peer connection takes long to close");
        }
    }

    fn host_name(&self) -> Option<String> {
        let name = gethostname::gethostname().to_string_lossy().into_owned();
        (!name.is_empty()).then_some(name)
    }
}
