//! The certificate of all of a peer's connections, as the browser has it.

use crosspeer::Fingerprint;
use js_sys::{Array, Function, Object, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{RtcConfiguration, RtcPeerConnection, RtcSessionDescriptionInit};

type Result<T> = std::result::Result<T, JsValue>;

/// The browser's `RTCCertificate`, whose private key nobody can read.
#[derive(Clone)]
pub(crate) struct Certificate {
    list: Array,
    pub(crate) fingerprint: Fingerprint,
}

impl Certificate {
    /// The given one, or a new one for this page only. `None` where the browser has none to give: then each connection
    /// has its own, and the id is a random one.
    pub(crate) async fn of(kept: Option<JsValue>) -> Option<Self> {
        let certificate = match kept {
            Some(certificate) => Ok(certificate),
            None => generate().await,
        };
        let list = Array::of1(&certificate.ok()?);
        let fingerprint = fingerprint(&list).await.ok()??;
        Some(Self { list, fingerprint })
    }

    /// Lets a connection use it.
    pub(crate) fn configure(&self, configuration: &RtcConfiguration) {
        configuration.set_certificates(&self.list);
    }
}

async fn generate() -> Result<JsValue> {
    let kind = Object::new();
    Reflect::set(&kind, &"name".into(), &"ECDSA".into())?;
    Reflect::set(&kind, &"namedCurve".into(), &"P-256".into())?;
    JsFuture::from(RtcPeerConnection::generate_certificate_with_object(&kind)?).await
}

async fn fingerprint(list: &Array) -> Result<Option<Fingerprint>> {
    match told(&list.get(0)) {
        // Firefox tells it only in an offer.
        None => offered(list).await,
        told => Ok(told),
    }
}

/// By `RTCCertificate.getFingerprints`.
fn told(certificate: &JsValue) -> Option<Fingerprint> {
    let get = |from: &JsValue, key: &str| Reflect::get(from, &key.into()).ok();
    let tell = get(certificate, "getFingerprints")?.dyn_into::<Function>().ok()?;
    let all = tell.call0(certificate).ok()?.dyn_into::<Array>().ok()?;
    let sha256 = all
        .iter()
        .find(|one| get(one, "algorithm").is_some_and(|name| name == "sha-256"))?;
    let value = get(&sha256, "value")?.as_string()?;
    Fingerprint::of_description(&format!("a=fingerprint:sha-256 {value}"))
}

async fn offered(list: &Array) -> Result<Option<Fingerprint>> {
    let configuration = RtcConfiguration::new();
    configuration.set_certificates(list);
    let pc = RtcPeerConnection::new_with_configuration(&configuration)?;
    pc.create_data_channel("");
    let offer = JsFuture::from(pc.create_offer()).await;
    pc.close();
    let sdp = offer?.unchecked_into::<RtcSessionDescriptionInit>().get_sdp();
    Ok(sdp.and_then(|sdp| Fingerprint::of_description(&sdp)))
}
