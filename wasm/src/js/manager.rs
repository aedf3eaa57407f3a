//! `PeerManager`, as the wrapper sees it.

use super::connection::Connection;
use super::options::{config, timeout};
use super::{AbortSignal, JsResult, Promise, done, promise, value};
use crate::PeerManager;
use js_sys::Array;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// [`PeerManager`] for the wrapper.
#[wasm_bindgen]
pub struct Manager(PeerManager);

#[wasm_bindgen]
impl Manager {
    /// [`PeerManager::join`].
    pub fn join(url: String, options: JsValue, signal: Option<AbortSignal>) -> JsResult<Promise> {
        let config = config(&options)?;
        let join = async move { PeerManager::join(&url, config).await };
        Ok(promise(signal, join, |manager| Self(manager).into()))
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

    pub fn send(&self, peer: &str, data: JsValue, limit: JsValue, signal: Option<AbortSignal>) -> JsResult<Promise> {
        let (manager, peer, message) = (self.0.clone(), value::uuid(peer)?, value::message(&data)?);
        let limit = timeout(&limit)?;
        let send = async move {
            match limit {
                Some(limit) => manager.send_timeout(peer, message, limit).await,
                None => manager.send(peer, message).await,
            }
        };
        Ok(done(signal, send))
    }

    /// `[from, data]`.
    pub fn recv(&self, signal: Option<AbortSignal>) -> Promise {
        let manager = self.0.clone();
        promise(signal, async move { manager.recv().await }, |(from, message)| {
            Array::of2(&from.to_string().into(), &value::from_message(&message)).into()
        })
    }

    pub fn connect(&self, peer: &str, signal: Option<AbortSignal>) -> JsResult<Promise> {
        let (manager, peer) = (self.0.clone(), value::uuid(peer)?);
        let connect = async move { manager.connect(peer).await };
        Ok(promise(signal, connect, |connection| Connection(connection).into()))
    }

    /// The browser's own object behind a connection.
    pub fn rtc(&self, connection: &Connection) -> Option<web_sys::RtcPeerConnection> {
        self.0.rtc_peer_connection(&connection.0)
    }

    #[wasm_bindgen(js_name = closeConnection)]
    pub fn close_connection(&self, peer: &str, signal: Option<AbortSignal>) -> JsResult<Promise> {
        let (manager, peer) = (self.0.clone(), value::uuid(peer)?);
        Ok(done(signal, async move { manager.close_connection(peer).await }))
    }

    pub fn close(&self, signal: Option<AbortSignal>) -> Promise {
        let manager = self.0.clone();
        done(signal, async move { manager.close().await })
    }
}
