//! A ProxyStore peer calls a crosspeer peer.

use crosspeer_native::PeerManager;
use crosspeer_tests::{
    ProxyStoreManager, Relay, RelayKind, config, exchange, through_both_relays_with_1_and_4_channels, within,
};
use std::time::Instant;

through_both_relays_with_1_and_4_channels! {
    every_message_arrives_when_proxystore_offers,
}

async fn every_message_arrives_when_proxystore_offers(relay: RelayKind, channels: u16) {
    let relay = Relay::start(relay).await;
    let python = ProxyStoreManager::start(&relay.url(), channels).await;
    let rust = PeerManager::join(&relay.url(), config(1)).await.expect("Rust can join");

    let begun = Instant::now();
    python.send(rust.uuid(), "first").await;
    let first = within("Rust receives", rust.recv()).await.expect("Rust can receive");
    assert_eq!(first, (python.uuid(), "first".into()));
    println!(
        "python offers {channels} channels: first message after {} ms",
        begun.elapsed().as_millis()
    );

    exchange(&rust, &python).await;
    python.close().await;
    within("Rust closes", rust.close()).await.expect("Rust can close");
}
