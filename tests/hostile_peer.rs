//! What a stranger with a connection can do to a native peer.

use crosspeer_native::PeerManager;
use crosspeer_tests::{ProxyStoreManager, Relay, RelayKind, config, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_without_an_end_ends_the_connection_before_it_costs_memory() {
    ends(100 << 20, 1100).await;
    // Nor do small pieces go unnoticed. One after the other, since it is this process's memory that is looked at.
    ends(50 << 20, 500).await;
}

async fn ends(size: usize, piece: usize) {
    let relay = Relay::start(RelayKind::Crosspeer).await;
    let peer = PeerManager::join(&relay.url(), config(1)).await.expect("joins");
    let stranger = ProxyStoreManager::start(&relay.url(), 1).await;
    stranger.send(peer.uuid(), "hello").await;
    let (from, _) = within("the first message", peer.recv()).await.expect("arrives");
    let connection = peer.connect(from).await.expect("is up");
    let before = resident();
    stranger.send_raw(peer.uuid(), size, piece).await;
    let end = within("the end", connection.on_close()).await;
    assert!(end.to_string().contains("without an end"), "{end}");
    let grown = resident().saturating_sub(before);
    assert!(grown < 40 << 20, "{} MiB", grown >> 20);
}

/// Bytes of this process that are in memory.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or_default() * 4096
}
