//! `PeerManager`, as the wrapper sees it.

use super::connection::Connection;
use super::options::{config, time};
use super::{AbortSignal, JsResult, abortable, value};
use js_sys::Array;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// [`crate::PeerManager`] for the wrapper.
#[wasm_bindgen]
pub struct Manager(crate::PeerManager);

#[wasm_bindgen]
impl Manager {
    /// [`crate::PeerManager::join`].
    pub async fn join(url: String, options: JsValue, signal: Option<AbortSignal>) -> JsResult<Manager> {
        let config = config(&options)?;
        abortable(signal, crate::PeerManager::join(&url, config))
            .await
            .map(Self)
    }

    #[wasm_bindgen(getter)]
    pub fn uuid(&self) -> String {
        self.0.uuid().to_string()
    }

    #[wasm_bindgen(getter)]
    pub fn name(&self) -> String {
        self.0.name().to_owned()
    }

    #[wasm_bindgen(getter)]
    pub fn registered(&self) -> bool {
        self.0.is_registered()
    }

    pub async fn send(
        &self,
        peer: String,
        data: JsValue,
        timeout: JsValue,
        signal: Option<AbortSignal>,
    ) -> JsResult<()> {
        let (peer, message) = (value::uuid(&peer)?, value::message(&data)?);
        if timeout.is_undefined() {
            return abortable(signal, self.0.send(peer, message)).await;
        }
        let timeout = time("timeout", &timeout)?;
        abortable(signal, self.0.send_timeout(peer, message, timeout)).await
    }

    /// `[from, data]`.
    pub async fn recv(&self, signal: Option<AbortSignal>) -> JsResult<Array> {
        let (from, message) = abortable(signal, self.0.recv()).await?;
        Ok(Array::of2(&from.to_string().into(), &value::from_message(&message)))
    }

    pub async fn connect(&self, peer: String, signal: Option<AbortSignal>) -> JsResult<Connection> {
        let peer = value::uuid(&peer)?;
        abortable(signal, self.0.connect(peer)).await.map(Connection)
    }

    #[wasm_bindgen(js_name = closeConnection)]
    pub async fn close_connection(&self, peer: String, signal: Option<AbortSignal>) -> JsResult<()> {
        let peer = value::uuid(&peer)?;
        abortable(signal, self.0.close_connection(peer)).await
    }

    pub async fn close(&self, signal: Option<AbortSignal>) -> JsResult<()> {
        abortable(signal, self.0.close()).await
    }
}
