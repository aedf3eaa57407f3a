//! Peers whose ids are their certificates, over the real relay.

#![allow(clippy::unwrap_used)]

use crosspeer_native::{Config, Error, Fingerprint, Message, PeerManager, fingerprint_of, generate_identity};
use crosspeer_relay::{Relay, RelayConfig};

async fn relay() -> String {
    let mut config = RelayConfig::default();
    (config.host, config.port) = (Some("127.0.0.1".into()), 0);
    let server = Relay::bind(config).await.unwrap();
    let url = format!("ws://{}", server.local_addr());
    tokio::spawn(server.serve(std::future::pending()));
    url
}

fn config() -> Config {
    let mut config = Config::default();
    config.ice_servers.clear();
    config
}

#[tokio::test]
async fn an_id_is_the_certificate_and_both_sides_verify_it() {
    let relay = relay().await;
    let one = PeerManager::join(&relay, config()).await.unwrap();
    let two = PeerManager::join(&relay, config()).await.unwrap();
    assert_eq!(one.uuid().get_version_num(), 8);
    assert_ne!(one.uuid(), two.uuid());
    let there = one.connect(two.uuid()).await.unwrap();
    let back = two.accept().await.unwrap();
    for (connection, peer) in [(&there, two.uuid()), (&back, one.uuid())] {
        assert!(connection.is_verified());
        assert_eq!(
            connection.remote_fingerprint().as_ref().map(Fingerprint::uuid),
            Some(peer)
        );
    }
    there.send("hello").await.unwrap();
    assert_eq!(back.recv().await.unwrap(), Message::from("hello"));
}

#[tokio::test]
async fn an_identity_that_is_kept_keeps_its_id() {
    let relay = relay().await;
    let identity = generate_identity().unwrap();
    let kept = || {
        let mut kept = config();
        kept.identity = Some(identity.clone());
        kept
    };
    let other = PeerManager::join(&relay, config()).await.unwrap();
    for _ in 0..2 {
        let one = PeerManager::join(&relay, kept()).await.unwrap();
        assert_eq!(one.uuid(), fingerprint_of(&identity).unwrap().uuid());
        let connection = other.connect(one.uuid()).await.unwrap();
        assert!(connection.is_verified());
        one.close().await.unwrap();
        connection.on_close().await;
    }
    let mut stolen = config();
    stolen.uuid = Some(fingerprint_of(&identity).unwrap().uuid());
    let refused = PeerManager::join(&relay, stolen).await.unwrap_err();
    assert!(matches!(refused, Error::InvalidInput(_)), "{refused}");
}

#[tokio::test]
async fn other_ids_are_not_verified_and_can_be_refused() {
    let relay = relay().await;
    let mut plain = config();
    plain.uuid = Some(uuid::Uuid::new_v4());
    let plain = PeerManager::join(&relay, plain).await.unwrap();
    let keyed = PeerManager::join(&relay, config()).await.unwrap();
    let there = plain.connect(keyed.uuid()).await.unwrap();
    let back = keyed.accept().await.unwrap();
    assert!(there.is_verified());
    assert!(!back.is_verified());
    assert!(back.remote_fingerprint().is_some());
    let mut strict = config();
    strict.require_verified = true;
    let strict = PeerManager::join(&relay, strict).await.unwrap();
    let refused = strict.connect(plain.uuid()).await.unwrap_err();
    assert_eq!(refused.code(), "not-verified");
    assert!(strict.connect(keyed.uuid()).await.unwrap().is_verified());
}
