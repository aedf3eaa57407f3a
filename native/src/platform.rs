//! What the common code's driver needs of a machine with tokio.

use crate::network::Watch;
use crate::rtc::{Certificate, NativeRtc};
use crate::running::Running;
use crate::socket::NativeSocket;
use crosspeer::platform::{Events, Platform, RtcId, SocketId};
use crosspeer::{Config, Fingerprint, Identity, Result};
use std::sync::{Arc, OnceLock};
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
    /// From the first relay socket on.
    network: Arc<OnceLock<Watch>>,
    certificate: Option<Certificate>,
}

impl Native {
    /// A platform whose tasks run on this runtime, which needs its IO and time drivers enabled. It has a new certificate,
    /// for all its connections.
    pub fn new(runtime: Handle) -> Self {
        let certificate = Certificate::generate().inspect_err(|error| tracing::warn!(%error));
        Self {
            runtime,
            running: Arc::default(),
            network: Arc::default(),
            certificate: certificate.ok(),
        }
    }

    /// The same with the certificate of this identity.
    ///
    /// # Errors
    /// [`crosspeer::Error::InvalidInput`] for what is no identity.
    pub fn with_identity(runtime: Handle, identity: &Identity) -> Result<Self> {
        Ok(Self {
            runtime,
            running: Arc::default(),
            network: Arc::default(),
            certificate: Some(Certificate::read(identity)?),
        })
    }

    /// As the configuration says.
    pub(crate) fn of(config: &Config) -> Result<Self> {
        match &config.identity {
            Some(identity) => Self::with_identity(Handle::current(), identity),
            None => Ok(Self::new(Handle::current())),
        }
    }
}

impl Platform for Native {
    type Rtc = NativeRtc;
    type Socket = NativeSocket;
    const PROMPT: bool = true;
    const QUIC: bool = true;

    fn fingerprint(&self) -> Option<Fingerprint> {
        Some(self.certificate.as_ref()?.fingerprint)
    }

    #[allow(clippy::disallowed_methods)] // this is the platform that the others ask
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> {
        tokio::time::sleep_until(at.into())
    }

    fn open_rtc(&self, id: RtcId, config: &Config, events: Events) -> NativeRtc {
        NativeRtc::spawn(
            &self.runtime,
            id,
            config,
            self.certificate.clone(),
            events,
            Running::one(&self.running),
        )
    }

    fn open_socket(&self, id: SocketId, url: &str, config: &Config, events: Events) -> NativeSocket {
        self.network.get_or_init(|| Watch::start(&self.runtime, events.clone()));
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
