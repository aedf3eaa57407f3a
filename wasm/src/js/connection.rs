//! `PeerConnection`, as the wrapper sees it.

use super::options::timeout;
use super::relay::Client;
use super::{AbortSignal, JsResult, Promise, done, error, promise, value};
use crosspeer::counter::Statistics;
use crosspeer::{PeerConnection, State};
use js_sys::{Object, Reflect};
use std::time::Duration;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// How long `ready` waits by default, as ProxyStore's.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// [`PeerConnection`] for the wrapper.
#[wasm_bindgen]
pub struct Connection(pub(super) PeerConnection);

#[wasm_bindgen]
impl Connection {
    #[wasm_bindgen(constructor)]
    pub fn new(client: &Client, channels: u16) -> JsResult<Connection> {
        PeerConnection::new(&client.0, channels)
            .map(Self)
            .map_err(|e| error(&e))
    }

    #[wasm_bindgen(getter)]
    pub fn state(&self) -> String {
        self.0.state().to_string()
    }

    #[wasm_bindgen(getter)]
    pub fn peer(&self) -> Option<String> {
        self.0.peer().map(|peer| peer.to_string())
    }

    #[wasm_bindgen(getter, js_name = isCrosspeer)]
    pub fn is_crosspeer(&self) -> bool {
        self.0.is_crosspeer()
    }

    /// Ends with the new state once it is another than `seen`.
    pub fn changed(&self, seen: &str) -> Promise {
        let all = [State::New, State::Connecting, State::Connected, State::Closed];
        let seen = all.into_iter().find(|state| state.to_string() == seen);
        let connection = self.0.clone();
        let changed = async move { Ok(connection.changed(seen.unwrap_or(State::Failed)).await) };
        promise(None, changed, |state| state.to_string().into())
    }

    /// Ends with the reason once the connection has ended.
    pub fn ended(&self) -> Promise {
        let connection = self.0.clone();
        promise(None, async move { Ok(connection.on_close().await) }, |e| error(&e))
    }

    #[wasm_bindgen(js_name = sendOffer)]
    pub fn send_offer(&self, peer: &str, signal: Option<AbortSignal>) -> JsResult<Promise> {
        let (connection, peer) = (self.0.clone(), value::uuid(peer)?);
        Ok(done(signal, async move { connection.send_offer(peer).await }))
    }

    #[wasm_bindgen(js_name = sendAnswer)]
    pub fn send_answer(&self, peer: &str, signal: Option<AbortSignal>) -> JsResult<Promise> {
        let (connection, peer) = (self.0.clone(), value::uuid(peer)?);
        Ok(done(signal, async move { connection.send_answer(peer).await }))
    }

    #[wasm_bindgen(js_name = handleServerMessage)]
    pub fn handle_server_message(&self, message: JsValue, signal: Option<AbortSignal>) -> JsResult<Promise> {
        let (connection, message) = (self.0.clone(), value::relay_message(&message)?);
        Ok(done(
            signal,
            async move { connection.handle_server_message(message).await },
        ))
    }

    pub fn ready(&self, limit: JsValue, signal: Option<AbortSignal>) -> JsResult<Promise> {
        let (connection, limit) = (self.0.clone(), timeout(&limit)?.unwrap_or(READY_TIMEOUT));
        Ok(done(signal, async move { connection.ready(limit).await }))
    }

    pub fn send(&self, data: JsValue, limit: JsValue, signal: Option<AbortSignal>) -> JsResult<Promise> {
        let (connection, message, limit) = (self.0.clone(), value::message(&data)?, timeout(&limit)?);
        let send = async move {
            match limit {
                Some(limit) => connection.send_timeout(message, limit).await,
                None => connection.send(message).await,
            }
        };
        Ok(done(signal, send))
    }

    pub fn recv(&self, signal: Option<AbortSignal>) -> Promise {
        let connection = self.0.clone();
        promise(signal, async move { connection.recv().await }, |message| {
            value::from_message(&message)
        })
    }

    pub fn statistics(&self, signal: Option<AbortSignal>) -> Promise {
        let connection = self.0.clone();
        promise(signal, async move { connection.statistics().await }, from_statistics)
    }

    pub fn close(&self, signal: Option<AbortSignal>) -> Promise {
        let connection = self.0.clone();
        done(signal, async move { connection.close().await })
    }
}

fn from_statistics(statistics: Statistics) -> JsValue {
    let object = Object::new();
    for (key, number) in [
        ("messagesSent", statistics.messages_sent),
        ("messagesReceived", statistics.messages_received),
        ("bytesSent", statistics.bytes_sent),
        ("bytesReceived", statistics.bytes_received),
    ] {
        let _ = Reflect::set(&object, &key.into(), &JsValue::from_f64(number as f64));
    }
    object.into()
}
