//! `RelayClient`, as the wrapper sees it.

use super::options::config;
use super::{AbortSignal, JsResult, Promise, done, promise, value};
use crate::RelayClient;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// [`RelayClient`] for the wrapper.
#[wasm_bindgen]
pub struct Client(pub(super) RelayClient);

#[wasm_bindgen]
impl Client {
    /// [`RelayClient::connect`].
    pub fn connect(url: String, options: JsValue, signal: Option<AbortSignal>) -> JsResult<Promise> {
        let config = config(&options)?;
        let connect = async move { RelayClient::connect(&url, config).await };
        Ok(promise(signal, connect, |client| Self(client).into()))
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

    pub fn send(&self, message: JsValue, signal: Option<AbortSignal>) -> JsResult<Promise> {
        let (client, message) = (self.0.clone(), value::relay_message(&message)?);
        Ok(done(signal, async move { client.send(message).await }))
    }

    pub fn recv(&self, signal: Option<AbortSignal>) -> Promise {
        let client = self.0.clone();
        promise(signal, async move { client.recv().await }, |message| {
            value::from_relay_message(&message)
        })
    }

    pub fn close(&self, signal: Option<AbortSignal>) -> Promise {
        let client = self.0.clone();
        done(signal, async move { client.close().await })
    }
}
