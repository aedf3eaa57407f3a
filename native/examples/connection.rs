//! One connection made by hand, as ProxyStore's example does it.

use crosspeer_native::{Config, PeerConnection, RelayClient, Result};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<()> {
    let relay = std::env::args().nth(1).unwrap_or("ws://127.0.0.1:8700".into());
    let timeout = Duration::from_secs(30);

    let client1 = RelayClient::connect(&relay, Config::default()).await?;
    let connection1 = PeerConnection::new(&client1, 1)?;
    let client2 = RelayClient::connect(&relay, Config::default()).await?;
    let connection2 = PeerConnection::new(&client2, 1)?;

    connection1.send_offer(client2.uuid()).await?;
    connection2.handle_server_message(client2.recv().await?).await?;
    connection1.handle_server_message(client1.recv().await?).await?;
    connection1.ready(timeout).await?;
    connection2.ready(timeout).await?;

    connection1.send("hello").await?;
    assert_eq!(connection2.recv().await?, "hello".into());
    connection2.send("hello hello").await?;
    assert_eq!(connection1.recv().await?, "hello hello".into());

    connection1.close().await?;
    connection2.close().await?;
    client1.close().await?;
    client2.close().await
}
