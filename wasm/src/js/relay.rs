//! `RelayClient`, as the wrapper sees it.

use super::options::config;
use super::{AbortSignal, JsResult, abortable, value};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// [`crate::RelayClient`] for the wrapper.
#[wasm_bindgen]
pub struct Client(pub(super) crate::RelayClient);

#[wasm_bindgen]
impl Client {
    /// [`crate::RelayClient::connect`].
    pub async fn connect(url: String, options: JsValue, signal: Option<AbortSignal>) -> JsResult<Client> {
        let config = config(&options)?;
        abortable(signal, crate::RelayClient::connect(&url, config))
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

    pub async fn send(&self, message: JsValue, signal: Option<AbortSignal>) -> JsResult<()> {
        let message = value::relay_message(&message)?;
        abortable(signal, self.0.send(message)).await
    }

    pub async fn recv(&self, signal: Option<AbortSignal>) -> JsResult<JsValue> {
        let message = abortable(signal, self.0.recv()).await?;
        Ok(value::from_relay_message(&message))
    }

    pub async fn close(&self, signal: Option<AbortSignal>) -> JsResult<()> {
        abortable(signal, self.0.close()).await
    }
}
