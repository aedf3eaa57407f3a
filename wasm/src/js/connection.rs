//! `PeerConnection`, as the wrapper sees it.

use super::options::time;
use super::relay::Client;
use super::{AbortSignal, JsResult, abortable, error, value};
use crosspeer::{PeerConnection, State};
use js_sys::{Object, Reflect};
use std::time::Duration;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// [`crosspeer::PeerConnection`] for the wrapper.
#[wasm_bindgen]
pub struct Connection(pub(super) PeerConnection);

#[wasm_bindgen]
impl Connection {
    #[wasm_bindgen(constructor)]
    pub fn new(client: &Client, channels: u16) -> JsResult<Connection> {
        PeerConnection::new(&client.0, channels).map(Self).map_err(|e| error(&e))
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
    pub async fn changed(&self, seen: String) -> String {
        let all = [State::New, State::Connecting, State::Connected, State::Closed];
        let seen = all.into_iter().find(|state| state.to_string() == seen);
        self.0.changed(seen.unwrap_or(State::Failed)).await.to_string()
    }

    /// Ends with the reason once the connection has ended.
    pub async fn ended(&self) -> JsValue {
        error(&self.0.on_close().await)
    }

    #[wasm_bindgen(js_name = sendOffer)]
    pub async fn send_offer(&self, peer: String, signal: Option<AbortSignal>) -> JsResult<()> {
        let peer = value::uuid(&peer)?;
        abortable(signal, self.0.send_offer(peer)).await
    }

    #[wasm_bindgen(js_name = sendAnswer)]
    pub async fn send_answer(&self, peer: String, signal: Option<AbortSignal>) -> JsResult<()> {
        let peer = value::uuid(&peer)?;
        abortable(signal, self.0.send_answer(peer)).await
    }

    #[wasm_bindgen(js_name = handleServerMessage)]
    pub async fn handle_server_message(&self, message: JsValue, signal: Option<AbortSignal>) -> JsResult<()> {
        let message = value::relay_message(&message)?;
        abortable(signal, self.0.handle_server_message(message)).await
    }

    pub async fn ready(&self, timeout: JsValue, signal: Option<AbortSignal>) -> JsResult<()> {
        let timeout = match timeout.is_undefined() {
            true => Duration::from_secs(30),
            false => time("timeout", &timeout)?,
        };
        abortable(signal, self.0.ready(timeout)).await
    }

    pub async fn send(&self, data: JsValue, timeout: JsValue, signal: Option<AbortSignal>) -> JsResult<()> {
        let message = value::message(&data)?;
        if timeout.is_undefined() {
            return abortable(signal, self.0.send(message)).await;
        }
        let timeout = time("timeout", &timeout)?;
        abortable(signal, self.0.send_timeout(message, timeout)).await
    }

    pub async fn recv(&self, signal: Option<AbortSignal>) -> JsResult<JsValue> {
        let message = abortable(signal, self.0.recv()).await?;
        Ok(value::from_message(&message))
    }

    pub async fn statistics(&self, signal: Option<AbortSignal>) -> JsResult<JsValue> {
        let statistics = abortable(signal, self.0.statistics()).await?;
        let object = Object::new();
        for (key, number) in [
            ("messagesSent", statistics.messages_sent),
            ("messagesReceived", statistics.messages_received),
            ("bytesSent", statistics.bytes_sent),
            ("bytesReceived", statistics.bytes_received),
        ] {
            let _ = Reflect::set(&object, &key.into(), &JsValue::from_f64(number as f64));
        }
        Ok(object.into())
    }

    pub async fn close(&self, signal: Option<AbortSignal>) -> JsResult<()> {
        abortable(signal, self.0.close()).await
    }
}
