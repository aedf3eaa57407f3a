//! [`Config`] from a JavaScript object in camelCase; times are milliseconds.

use super::value::get;
use super::{JsResult, invalid};
use crate::Config;
use crosspeer::IceServer;
use js_sys::{Array, Object, Reflect};
use std::time::Duration;
use wasm_bindgen::{JsCast, JsValue};

/// Reads the options. A key that is not known is an error: it is a misspelt one.
pub(super) fn config(options: &JsValue) -> JsResult<Config> {
    let mut config = Config::default();
    let Some(object) = options.dyn_ref::<Object>() else {
        return Ok(config);
    };
    for key in Reflect::own_keys(object)?.iter().filter_map(|key| key.as_string()) {
        let value = get(object, &key);
        if !value.is_undefined() {
            set(&mut config, &key, &value)?;
        }
    }
    Ok(config)
}

fn set(config: &mut Config, key: &str, value: &JsValue) -> JsResult<()> {
    let number = |most: f64| number(key, value, most);
    let time = || time(key, value);
    match key {
        "name" => config.name = Some(string(key, value)?),
        "uuid" => config.uuid = Some(super::value::uuid(&string(key, value)?)?),
        "channels" => config.channels = number(f64::from(u16::MAX))? as u16,
        "iceServers" => config.ice_servers = ice_servers(value)?,
        "gatherTimeout" => config.gather_timeout = time()?,
        "connectTimeout" => config.connect_timeout = time()?,
        "deadAfter" => config.dead_after = time()?,
        "closeTimeout" => config.close_timeout = time()?,
        "reconnectInitial" => config.reconnect.initial = time()?,
        "reconnectMax" => config.reconnect.max = time()?,
        "maxMessageBytes" => config.max_message_bytes = number(MAX_SAFE_INTEGER)? as u64,
        "receiveBufferBytes" => config.receive_buffer_bytes = number(f64::from(u32::MAX))? as usize,
        "chunkBytes" => config.chunk_bytes = number(f64::from(u32::MAX))? as usize,
        "ordered" => {
            config.ordered = value
                .as_bool()
                .ok_or_else(|| invalid("`ordered` must be true or false"))?;
        }
        "signal" => {}
        other => return Err(invalid(format!("there is no option `{other}`"))),
    }
    Ok(())
}

/// `Number.MAX_SAFE_INTEGER`.
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

fn string(key: &str, value: &JsValue) -> JsResult<String> {
    value
        .as_string()
        .ok_or_else(|| invalid(format!("`{key}` must be a string")))
}

// Numbers are not repeated in the text: writing floats would cost 40 kB of code.
fn number(key: &str, value: &JsValue, most: f64) -> JsResult<f64> {
    match value.as_f64() {
        Some(number) if (0.0..=most).contains(&number) => Ok(number),
        _ => Err(invalid(format!("`{key}` must be a number from 0 to {}", most as u64))),
    }
}

/// The option `timeout`, where there is one.
pub(super) fn timeout(value: &JsValue) -> JsResult<Option<Duration>> {
    match value.is_undefined() {
        true => Ok(None),
        false => time("timeout", value).map(Some),
    }
}

/// A time in milliseconds. `Infinity` and whatever else is longer than a month is a month.
fn time(key: &str, value: &JsValue) -> JsResult<Duration> {
    const MONTH: f64 = 31.0 * 24.0 * 3600.0 * 1000.0;
    match value.as_f64() {
        Some(millis) if millis >= 0.0 => Ok(Duration::from_micros((millis.min(MONTH) * 1000.0) as u64)),
        _ => Err(invalid(format!("`{key}` must be a number of milliseconds, 0 or more"))),
    }
}

/// As `RTCIceServer[]`: `urls` is a string or an array of them.
fn ice_servers(value: &JsValue) -> JsResult<Vec<IceServer>> {
    let list = value
        .dyn_ref::<Array>()
        .ok_or_else(|| invalid("`iceServers` must be an array"))?;
    list.iter().map(|entry| ice_server(&entry)).collect()
}

fn ice_server(entry: &JsValue) -> JsResult<IceServer> {
    let urls = get(entry, "urls");
    let optional = |key| get(entry, key).as_string().unwrap_or_default();
    let mut server = IceServer::default().with_credentials(optional("username"), optional("credential"));
    server.urls = match urls.dyn_ref::<Array>() {
        Some(list) => list.iter().filter_map(|url| url.as_string()).collect(),
        None => urls.as_string().into_iter().collect(),
    };
    if server.urls.is_empty() {
        return Err(invalid("an entry of `iceServers` has no `urls`"));
    }
    Ok(server)
}
