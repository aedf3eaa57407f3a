//! A crosspeer peer calls a ProxyStore peer.

use crosspeer_native::PeerManager;
use crosspeer_tests::{
    ProxyStoreManager, Relay, RelayKind, config, exchange, through_both_relays_with_1_and_4_channels, within,
};
use std::time::Instant;

through_both_relays_with_1_and_4_channels! {
    every_message_arrives_when_crosspeer_offers,
}

async fn every_message_arrives_when_crosspeer_offers(relay: RelayKind, channels: u16) {
    let relay = Relay::start(relay).await;
    let python = ProxyStoreManager::start(&relay.url(), 1).await;
    let rust = PeerManager::join(&relay.url(), config(channels))
        .await
        .expect("Rust can join");

    let begun = Instant::now();
    within("Rust connects", rust.send(python.uuid(), "first"))
        .await
        .expect("Rust can connect");
    assert_eq!(python.recv().await, (rust.uuid(), "first".into()));
    println!(
        "rust offers {channels} channels: first message after {} ms",
        begun.elapsed().as_millis()
    );

    exchange(&rust, &python).await;
    within("Rust closes", rust.close()).await.expect("Rust can close");
}
