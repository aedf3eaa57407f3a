//! Every kind and size of message, both ways between a crosspeer and a ProxyStore peer.

use crate::{ProxyStoreManager, assert_same, every_size, hundred_small, within};
use crosspeer::{Config, Message};
use crosspeer_native::PeerManager;
use std::time::Instant;
use uuid::Uuid;

/// The default configuration without a STUN server, which cannot be reached here.
pub fn config(channels: u16) -> Config {
    let mut config = Config::default();
    config.ice_servers.clear();
    config.channels = channels;
    config
}

/// Sends every sample each way, compares byte for byte, and prints how long each way took.
pub async fn exchange(rust: &PeerManager, python: &ProxyStoreManager) {
    let begun = Instant::now();
    to_python(rust, python).await;
    println!("rust to python: {} ms", begun.elapsed().as_millis());
    let begun = Instant::now();
    to_rust(python, rust).await;
    println!("python to rust: {} ms", begun.elapsed().as_millis());
}

async fn to_python(rust: &PeerManager, python: &ProxyStoreManager) {
    let sent = [every_size(), hundred_small()].concat();
    let sending = async {
        for message in sent.clone() {
            within("Rust sends", rust.send(python.uuid(), message))
                .await
                .expect("Rust can send");
        }
    };
    let receiving = async {
        let mut received = Vec::new();
        for _ in 0..sent.len() {
            received.push(from(python.recv().await, rust.uuid()));
        }
        received
    };
    let ((), received) = tokio::join!(sending, receiving);
    assert_same(received, sent);
}

/// ProxyStore never sends an empty message, and gives text that is not ASCII too small a length, which we see through.
async fn to_rust(python: &ProxyStoreManager, rust: &PeerManager) {
    let sent = [every_size(), hundred_small()].concat();
    let arriving: Vec<Message> = sent.iter().filter(|message| !message.is_empty()).cloned().collect();
    let sending = async {
        for message in &sent {
            python.send(rust.uuid(), message.clone()).await;
        }
    };
    let receiving = async {
        let mut received = Vec::new();
        for _ in 0..arriving.len() {
            let next = within("Rust receives", rust.recv()).await.expect("Rust can receive");
            received.push(from(next, python.uuid()));
        }
        received
    };
    let ((), received) = tokio::join!(sending, receiving);
    assert_same(received, arriving);
}

fn from((source, message): (Uuid, Message), expected: Uuid) -> Message {
    assert_eq!(source, expected, "who sent it");
    message
}
