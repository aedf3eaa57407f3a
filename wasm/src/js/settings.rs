//! [`Config`] from the wrapper's options, which it has checked.

use super::JsResult;
use super::handle::uuid;
use crate::Config;
use crosspeer::{IceServer, IceTransportPolicy, Token};
use js_sys::{Array, Function, Reflect};
use std::time::Duration;
use wasm_bindgen::{JsCast, JsValue};

/// The options that are there, in place of the defaults; the certificate that the browser has kept; who gives tokens.
pub(super) fn config(options: &JsValue) -> JsResult<(Config, Option<JsValue>, Option<Function>)> {
    let mut config = Config::default();
    config.session_timeout = Duration::ZERO; // until it has been tried for longer in pages
    let get = |key: &str| Reflect::get(options, &key.into()).unwrap_or_default();
    let number = |key, set: &mut dyn FnMut(f64)| get(key).as_f64().into_iter().for_each(set);
    let time = |key, field: &mut Duration| number(key, &mut |ms| *field = millis(ms));
    config.name = get("name").as_string();
    config.uuid = get("uuid").as_string().map(|text| uuid(&text)).transpose()?;
    number("channels", &mut |n| config.channels = n as u16);
    number("maxMessageBytes", &mut |n| config.max_message_bytes = n as u64);
    number("receiveBufferBytes", &mut |n| config.receive_buffer_bytes = n as usize);
    number("chunkBytes", &mut |n| config.chunk_bytes = n as usize);
    time("gatherTimeout", &mut config.gather_timeout);
    time("connectTimeout", &mut config.connect_timeout);
    time("deadAfter", &mut config.dead_after);
    time("sessionTimeout", &mut config.session_timeout);
    time("closeTimeout", &mut config.close_timeout);
    time("reconnectInitial", &mut config.reconnect.initial);
    time("reconnectMax", &mut config.reconnect.max);
    config.ordered = get("ordered").as_bool().unwrap_or(config.ordered);
    config.relay_ice_servers = get("relayIceServers").as_bool().unwrap_or(true);
    config.require_verified = get("requireVerified").as_bool().unwrap_or_default();
    if get("iceTransportPolicy").as_string().as_deref() == Some("relay") {
        config.ice_transport_policy = IceTransportPolicy::Relay;
    }
    if let Some(list) = get("iceServers").dyn_ref::<Array>() {
        config.ice_servers = list.iter().map(|entry| ice_server(&entry)).collect();
    }
    let certificate = Some(get("certificate")).filter(JsValue::is_object);
    let token = get("token");
    config.token = token.as_string().map(Token::new);
    let ask = token.dyn_into().ok();
    if ask.is_some() {
        config.token = Some(Token::of_platform());
    }
    Ok((config, certificate, ask))
}

/// A number of milliseconds, which may have a fraction.
pub(super) fn millis(number: f64) -> Duration {
    Duration::from_micros((number * 1000.0) as u64)
}

/// As `[username, credential, ...urls]`.
fn ice_server(entry: &JsValue) -> IceServer {
    let texts: &Array = entry.unchecked_ref();
    let mut texts = texts.iter().map(|text| text.as_string().unwrap_or_default());
    let mut next = || texts.next().unwrap_or_default();
    let mut server = IceServer::default().with_credentials(next(), next());
    server.urls = texts.collect();
    server
}
