//! Peers that die, close and come back, and a relay that is lost, with real ProxyStore on the other side.
//!
//! What cannot be mended on our side: a crosspeer process that is killed and comes back with the same UUID. ProxyStore
//! holds its old connection until ICE consent expires, 30 to 40 s, takes a new offer for a renegotiation of it, and
//! never answers. Nor two offers that cross: a ProxyStore peer that receives an offer while it waits for an answer ends
//! its process.

use crosspeer_native::PeerManager;
use crosspeer_tests::{ProxyStoreManager, Relay, RelayKind, bytes_of, config, through_both_relays, within};
use std::time::Instant;
use uuid::Uuid;

through_both_relays! {
    a_killed_python_is_noticed,
    a_send_that_a_killed_python_was_taking_fails,
    a_python_that_closes_is_noticed_and_can_be_called_again,
    a_python_restarted_with_the_same_uuid_connects_at_once,
    python_notices_a_close_and_can_be_called_again,
    a_close_delivers_everything_to_python,
    a_lost_relay_touches_no_connection_and_is_found_again,
}

/// Python has no event for it that a test could wait for: it is asked until it says so.
async fn has_no_connection(python: &ProxyStoreManager) {
    while !python.connections().await.is_empty() {}
}

/// A relay, and two peers that are connected, Rust having offered.
async fn connected(kind: RelayKind) -> (Relay, PeerManager, ProxyStoreManager) {
    let relay = Relay::start(kind).await;
    let python = ProxyStoreManager::start(&relay.url(), 1).await;
    let rust = PeerManager::join(&relay.url(), config(1)).await.expect("Rust can join");
    to_python(&rust, &python, "first").await;
    (relay, rust, python)
}

async fn to_python(rust: &PeerManager, python: &ProxyStoreManager, text: &str) {
    within("Rust sends", rust.send(python.uuid(), text))
        .await
        .expect("Rust can send");
    assert_eq!(python.recv().await, (rust.uuid(), text.into()));
}

async fn to_rust(python: &ProxyStoreManager, rust: &PeerManager, text: &str) {
    python.send(rust.uuid(), text).await;
    let received = within("Rust receives", rust.recv()).await.expect("Rust can receive");
    assert_eq!(received, (python.uuid(), text.into()));
}

async fn a_killed_python_is_noticed(kind: RelayKind) {
    let (_relay, rust, python) = connected(kind).await;
    let uuid = python.uuid();
    let connection = rust.connect(uuid).await.expect("it is connected");
    python.kill().await;
    let killed = Instant::now();
    let reason = within("Rust notices", connection.on_close()).await;
    println!("noticed after {} ms: {reason}", killed.elapsed().as_millis());
    let error = within("a send ends", rust.send(uuid, "anybody there?"))
        .await
        .expect_err("it is dead");
    println!("a send to it: {error}");
}

async fn a_send_that_a_killed_python_was_taking_fails(kind: RelayKind) {
    let (_relay, rust, python) = connected(kind).await;
    let uuid = python.uuid();
    let sender = tokio::spawn(async move {
        let mut sent = 0;
        loop {
            match rust.send(uuid, bytes_of(7, 1 << 20)).await {
                Ok(()) => sent += 1,
                Err(error) => return (sent, error),
            }
        }
    });
    python.recv().await; // it is in the middle of them
    python.kill().await;
    let (sent, error) = within("the send fails", sender).await.expect("the task ends");
    println!("{sent} messages were handed over, then: {error}");
    assert_eq!(error.code(), "connection-lost");
}

async fn a_python_that_closes_is_noticed_and_can_be_called_again(kind: RelayKind) {
    let (_relay, rust, python) = connected(kind).await;
    let connection = rust.connect(python.uuid()).await.expect("it is connected");
    let closing = Instant::now();
    python.close_connection(rust.uuid()).await;
    let reason = within("Rust notices", connection.on_close()).await;
    println!("noticed after {} ms: {reason}", closing.elapsed().as_millis());
    to_python(&rust, &python, "again").await;
}

async fn a_python_restarted_with_the_same_uuid_connects_at_once(kind: RelayKind) {
    let (relay, rust, python) = connected(kind).await;
    let uuid = python.uuid();
    python.kill().await;
    let python = ProxyStoreManager::start_as(uuid, &relay.url(), 1).await;
    let begun = Instant::now();
    to_rust(&python, &rust, "I am back").await;
    println!("back after {} ms", begun.elapsed().as_millis());
    to_python(&rust, &python, "welcome").await;
}

async fn python_notices_a_close_and_can_be_called_again(kind: RelayKind) {
    let (_relay, rust, python) = connected(kind).await;
    within("Rust closes", rust.close_connection(python.uuid()))
        .await
        .expect("Rust can close");
    let closed = Instant::now();
    within("Python notices", has_no_connection(&python)).await;
    println!("Python noticed after {} ms", closed.elapsed().as_millis());
    to_python(&rust, &python, "again").await;
    within("Rust closes", rust.close_connection(python.uuid()))
        .await
        .expect("Rust can close");
    within("Python notices", has_no_connection(&python)).await;
    to_rust(&python, &rust, "and the other way").await;
}

async fn a_close_delivers_everything_to_python(kind: RelayKind) {
    let (_relay, rust, python) = connected(kind).await;
    let sent: Vec<_> = (0..4).map(|seed| bytes_of(seed, 1 << 20)).collect();
    for message in &sent {
        within("Rust sends", rust.send(python.uuid(), message.clone()))
            .await
            .expect("Rust can send");
    }
    within("Rust closes", rust.close())
        .await
        .expect("everything could be delivered");
    for message in sent {
        assert!(python.recv().await.1 == message);
    }
}

async fn a_lost_relay_touches_no_connection_and_is_found_again(kind: RelayKind) {
    let (relay, rust, python) = connected(kind).await;
    let port = relay.port();
    relay.stop().await;
    to_python(&rust, &python, "without a relay").await;
    to_rust(&python, &rust, "neither do I need it").await;

    let relay = Relay::start_at(kind, port).await;
    let restarted = Instant::now();
    let newcomer = ProxyStoreManager::start_as(Uuid::new_v4(), &relay.url(), 1).await;
    let registered = async {
        while !rust.is_registered() {
            tokio::task::yield_now().await;
        }
    };
    within("Rust registers again", registered).await;
    println!("registered again after {} ms", restarted.elapsed().as_millis());
    to_rust(&newcomer, &rust, "new here").await;
    to_python(&rust, &python, "still connected").await;
}
