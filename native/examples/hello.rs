//! Two peers in one program, through the relay given on the command line.

use crosspeer_native::{Config, PeerManager, Result};

#[tokio::main]
async fn main() -> Result<()> {
    let relay = std::env::args().nth(1).unwrap_or("ws://127.0.0.1:8700".into());
    let alice = PeerManager::join(&relay, Config::default()).await?;
    let bob = PeerManager::join(&relay, Config::default()).await?;

    alice.send(bob.uuid(), "hello").await?;
    let (from, message) = bob.recv().await?;
    assert_eq!((from, message), (alice.uuid(), "hello".into()));

    alice.close().await?;
    bob.close().await
}
