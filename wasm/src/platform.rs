//! What the common code's driver needs of a web page.

use crate::alarm::Alarm;
use crate::identity::Certificate;
use crate::listener::Listener;
use crate::rtc::{Peer, WebRtc};
use crate::socket::WebSocket;
use crosspeer::platform::{Event, Events, Platform, RtcId, SocketId};
use crosspeer::{Config, Fingerprint};
use js_sys::Function;
use std::cell::{OnceCell, RefCell};
use std::rc::{Rc, Weak};
use wasm_bindgen::{JsCast, JsValue};
use web_time::Instant;

/// The platform of web pages, and of whatever else has `RTCPeerConnection`, `WebSocket` and `setTimeout`.
#[derive(Clone, Default)]
pub struct Web {
    /// What is open, for looking at the browser's statistics.
    rtcs: Rc<RefCell<Vec<Open>>>,
    /// Hears that the network is back.
    network: Rc<OnceCell<Option<Listener>>>,
    certificate: Option<Certificate>,
    alarm: Alarm,
    /// Gives a token for the relay, or a promise of one.
    token: Option<Function>,
}

impl std::fmt::Debug for Web {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Web").finish_non_exhaustive()
    }
}

type Open = (RtcId, Weak<Peer>);

impl Web {
    /// The platform, without a certificate of its own: each connection has another, and the id is a random one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The platform with one certificate for all its connections, which its id is made of: this one
    /// (`RTCCertificate`), or a new one for this page only.
    pub async fn with_certificate(certificate: Option<JsValue>) -> Self {
        Self {
            certificate: Certificate::of(certificate).await,
            ..Self::default()
        }
    }

    /// The same, asking this function for a token at each call of the relay.
    #[cfg(feature = "js")]
    pub(crate) fn with_token(mut self, token: Option<Function>) -> Self {
        self.token = token;
        self
    }

    /// As the configuration says: whoever asks for another id than its certificate's has no use for one.
    pub(crate) async fn of(config: &Config, certificate: Option<JsValue>) -> Self {
        match config.uuid {
            Some(_) if certificate.is_none() => Self::new(),
            _ => Self::with_certificate(certificate).await,
        }
    }

    /// The browser's own object behind a connection, while there is one.
    pub fn rtc_peer_connection(&self, id: RtcId) -> Option<web_sys::RtcPeerConnection> {
        let rtcs = self.rtcs.borrow();
        let peer = rtcs.iter().find(|(of, _)| *of == id)?.1.upgrade()?;
        Some(peer.pc())
    }
}

impl Platform for Web {
    type Rtc = WebRtc;
    type Socket = WebSocket;
    const HOLDS_BACK: bool = false;

    fn fingerprint(&self) -> Option<Fingerprint> {
        Some(self.certificate.as_ref()?.fingerprint)
    }

    #[allow(clippy::disallowed_methods)] // this is the platform that the others ask
    fn now(&self) -> Instant {
        Instant::now()
    }

    async fn sleep_until(&self, at: Instant) {
        self.alarm.wait(at).await;
    }

    fn open_rtc(&self, id: RtcId, config: &Config, events: Events) -> WebRtc {
        let rtc = WebRtc::open(id, config, self.certificate.as_ref(), events);
        let mut rtcs = self.rtcs.borrow_mut();
        rtcs.retain(|(_, peer)| peer.strong_count() > 0);
        rtcs.extend(rtc.peer().map(|peer| (id, peer)));
        rtc
    }

    fn open_socket(&self, id: SocketId, url: &str, config: &Config, events: Events) -> WebSocket {
        self.network.get_or_init(|| listen_to_network(events.clone()));
        WebSocket::open(id, url, config, self.token.as_ref(), events)
    }

    /// Pages are not told their host's name.
    fn host_name(&self) -> Option<String> {
        None
    }
}

/// Windows and workers tell when the network is back; Node does not. (Chromium's `connection.onchange` tells of estimates of
/// its speed as well, which are no other network.)
fn listen_to_network(events: Events) -> Option<Listener> {
    let global = js_sys::global();
    let able = js_sys::Reflect::has(&global, &JsValue::from_str("addEventListener"));
    able.unwrap_or(false).then(|| {
        let target: &web_sys::EventTarget = global.unchecked_ref();
        Listener::new(target, "online", move |_: web_sys::Event| {
            events.push(Event::NetworkChanged)
        })
    })
}
