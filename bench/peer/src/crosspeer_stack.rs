//! crosspeer, as its users get it.

use crate::{Link, Stack};
use anyhow::Result;
use bytes::Bytes;
use crosspeer_native::{Config, Message, PeerConnection, PeerManager};

pub struct Crosspeer(PeerManager);

impl Stack for Crosspeer {
    type Link = PeerConnection;

    async fn open(relay: &str) -> Result<Self> {
        let mut config = Config::default();
        config.ice_servers.clear();
        Ok(Self(PeerManager::join(relay, config).await?))
    }

    fn address(&self) -> String {
        self.0.uuid().to_string()
    }

    async fn accept(&self) -> Result<PeerConnection> {
        Ok(self.0.accept().await?)
    }

    async fn connect(&self, address: &str) -> Result<PeerConnection> {
        Ok(self.0.connect(address.parse()?).await?)
    }
}

impl Link for PeerConnection {
    async fn send(&self, message: Bytes) -> Result<()> {
        Ok(PeerConnection::send(self, message).await?)
    }

    async fn recv(&self) -> Result<Bytes> {
        match PeerConnection::recv(self).await? {
            Message::Bytes(bytes) => Ok(bytes),
            Message::Text(text) => Ok(text.into()),
        }
    }
}
