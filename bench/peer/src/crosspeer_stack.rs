//! crosspeer, as its users get it.

use anyhow::Result;
use bench_stack::{Link, Place, Stack};
use bytes::Bytes;
use crosspeer_native::{Config, Message, PeerConnection, PeerManager};

pub struct Crosspeer(PeerManager);

impl Stack for Crosspeer {
    type Link = Connection;

    async fn open(place: &Place) -> Result<Self> {
        let mut config = Config::default();
        config.ice_servers.clear();
        if let Some(lanes) = place.lanes {
            config.lanes = lanes..=lanes;
        }
        Ok(Self(PeerManager::join(&place.relay, config).await?))
    }

    fn address(&self) -> String {
        self.0.uuid().to_string()
    }

    async fn accept(&self) -> Result<Connection> {
        Ok(Connection(self.0.accept().await?))
    }

    async fn connect(&self, address: &str) -> Result<Connection> {
        Ok(Connection(self.0.connect(address.parse()?).await?))
    }
}

/// One connection.
pub struct Connection(PeerConnection);

impl Link for Connection {
    async fn send(&self, message: Bytes) -> Result<()> {
        Ok(self.0.send(message).await?)
    }

    async fn recv(&self) -> Result<Bytes> {
        match self.0.recv().await? {
            Message::Bytes(bytes) => Ok(bytes),
            Message::Text(text) => Ok(text.into()),
        }
    }
}
