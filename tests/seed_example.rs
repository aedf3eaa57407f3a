//! The example of ProxyStore's `PeerConnection`, line for line: among crosspeer peers, and with ProxyStore on each side.

use crosspeer::{PeerConnection, Result};
use crosspeer_native::RelayClient;
use crosspeer_tests::{ProxyStoreConnection, Relay, RelayKind, config, through_both_relays, within};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

through_both_relays! {
    two_connections_say_hello,
    crosspeer_offers_to_proxystore,
    proxystore_offers_to_crosspeer,
}

async fn two_connections_say_hello(relay: RelayKind) {
    let relay = Relay::start(relay).await;
    within("the seed's example", seed_example(&relay.url()))
        .await
        .expect("every step works");
}

async fn seed_example(url: &str) -> Result<()> {
    let client1 = RelayClient::connect(url, config(1)).await?;
    let connection1 = PeerConnection::new(&client1, 1)?;

    let client2 = RelayClient::connect(url, config(1)).await?;
    let connection2 = PeerConnection::new(&client2, 1)?;

    connection1.send_offer(client2.uuid()).await?;
    connection2.handle_server_message(client2.recv().await?).await?;
    connection1.handle_server_message(client1.recv().await?).await?;

    connection1.ready(PATIENCE).await?;
    connection2.ready(PATIENCE).await?;

    connection1.send("hello").await?;
    assert_eq!(connection2.recv().await?, "hello".into());
    connection2.send("hello hello").await?;
    assert_eq!(connection1.recv().await?, "hello hello".into());

    client1.close().await?;
    client2.close().await?;
    connection1.close().await?;
    connection2.close().await
}

async fn crosspeer_offers_to_proxystore(relay: RelayKind) {
    let relay = Relay::start(relay).await;
    let python = ProxyStoreConnection::start(&relay.url(), 1).await;
    let offer = async {
        let client = RelayClient::connect(&relay.url(), config(4)).await?;
        let connection = PeerConnection::new(&client, 4)?;
        connection.send_offer(python.uuid()).await?;
        python.handle_server_message().await;
        connection.handle_server_message(client.recv().await?).await?;
        connection.ready(PATIENCE).await?;
        say_hello(&connection, &python).await?;
        connection.close().await?;
        client.close().await
    };
    within("Rust offers", offer).await.expect("every step works");
}

async fn proxystore_offers_to_crosspeer(relay: RelayKind) {
    let relay = Relay::start(relay).await;
    let python = ProxyStoreConnection::start(&relay.url(), 4).await;
    let answer = async {
        let client = RelayClient::connect(&relay.url(), config(1)).await?;
        let connection = PeerConnection::new(&client, 1)?;
        python.send_offer(client.uuid()).await;
        connection.handle_server_message(client.recv().await?).await?;
        python.handle_server_message().await;
        connection.ready(PATIENCE).await?;
        say_hello(&connection, &python).await?;
        python.close().await;
        println!("closed by Python: {}", connection.on_close().await);
        client.close().await
    };
    within("Python offers", answer).await.expect("every step works");
}

async fn say_hello(rust: &PeerConnection, python: &ProxyStoreConnection) -> Result<()> {
    python.ready().await;
    rust.send("hello").await?;
    assert_eq!(python.recv().await, "hello".into());
    python.send("hello hello").await;
    assert_eq!(rust.recv().await?, "hello hello".into());
    Ok(())
}
