//! ProxyStore with itself, to prove the harness and to state its own bugs: what a Python peer cannot do to another
//! Python peer is no fault of ours.

use crosspeer::Message;
use crosspeer_tests::{ProxyStoreConnection, ProxyStoreManager, Relay, RelayKind, assert_same, every_size};
use std::time::Instant;

/// Python never sends an empty message, and cuts off text that is not ASCII.
fn survives_python(message: &Message) -> bool {
    !message.is_empty() && message.as_text().is_none_or(str::is_ascii)
}

async fn python_to_python(relay: RelayKind, channels: u16) {
    let relay = Relay::start(relay).await;
    let offerer = ProxyStoreManager::start(&relay.url(), channels).await;
    let answerer = ProxyStoreManager::start(&relay.url(), channels).await;
    let begun = Instant::now();
    offerer.send(answerer.uuid(), "first").await;
    assert_eq!(answerer.recv().await, (offerer.uuid(), "first".into()));
    println!(
        "python to python, {channels} channels: first message after {} ms",
        begun.elapsed().as_millis()
    );

    for (from, to) in [(&offerer, &answerer), (&answerer, &offerer)] {
        let sent: Vec<Message> = every_size().into_iter().filter(survives_python).collect();
        let mut received = Vec::new();
        for message in &sent {
            from.send(to.uuid(), message.clone()).await;
            received.push(to.recv().await.1);
        }
        assert_same(received, sent);
    }
    offerer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_reaches_python_through_proxystore_relay_with_1_channel() {
    python_to_python(RelayKind::ProxyStore, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_reaches_python_through_proxystore_relay_with_4_channels() {
    python_to_python(RelayKind::ProxyStore, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_cuts_off_its_own_text_and_never_sends_empty_messages() {
    let relay = Relay::start(RelayKind::ProxyStore).await;
    let offerer = ProxyStoreConnection::start(&relay.url(), 1).await;
    let answerer = ProxyStoreConnection::start(&relay.url(), 1).await;
    offerer.send_offer(answerer.uuid()).await;
    answerer.handle_server_message().await;
    offerer.handle_server_message().await;
    tokio::join!(offerer.ready(), answerer.ready());

    offerer.send("").await;
    offerer.send(&b""[..]).await;
    offerer.send("héllo ✓ 漢字").await;
    assert_eq!(
        answerer.recv().await,
        "héllo ✓".into(),
        "its header counts characters where bytes are meant"
    );

    answerer.close().await;
    offerer.close().await;
    assert_eq!(offerer.state().await, "closed");
}
