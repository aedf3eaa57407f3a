//! Whom a `wss://` relay must prove to be, and what is said when it cannot.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crosspeer::{Error, Proxy};
use crosspeer_native::{Config, PeerManager};
use crosspeer_relay::{Relay, RelayConfig};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::timeout;

/// A self-signed certificate for these names, and a relay that shows it.
async fn relay(test: &str, names: &[&str], authority: bool) -> (String, String) {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    if authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}.pem"));
    std::fs::write(&file, key.serialize_pem() + &pem).unwrap();
    let mut config = RelayConfig::default();
    (config.host, config.port, config.certfile) = (Some("127.0.0.1".into()), 0, Some(file));
    let server = Relay::bind(config).await.unwrap();
    let url = format!("wss://{}", server.local_addr());
    tokio::spawn(server.serve(std::future::pending()));
    (url, pem)
}

/// Joins within less than what is tried for.
async fn join(url: &str, roots: &[&str], verify: bool) -> Result<(), Error> {
    let mut config = Config::default();
    config.proxy = Proxy::None;
    config.connect_timeout = Duration::from_secs(600);
    config.tls.verify = verify;
    config.tls.roots_pem = roots.iter().map(ToString::to_string).collect();
    let joined = timeout(Duration::from_secs(20), PeerManager::join(url, config)).await;
    joined.expect("told at once").map(drop)
}

fn told(result: Result<(), Error>, word: &str) {
    match result {
        Err(Error::RelayUnreachable { reason, .. }) if reason.contains(word) => {}
        other => panic!("{word}: {other:?}"),
    }
}

#[tokio::test]
async fn a_trusted_certificate_may_be_the_servers_own_even_if_it_calls_itself_an_authority() {
    for authority in [false, true] {
        let (url, pem) = relay(&format!("own-{authority}"), &["127.0.0.1"], authority).await;
        assert_eq!(join(&url, &[&pem], true).await, Ok(()), "{authority}");
        assert_eq!(join(&url, &[], false).await, Ok(()));
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_told_at_once() {
    for authority in [false, true] {
        let (url, _) = relay(&format!("foreign-{authority}"), &["127.0.0.1"], authority).await;
        told(join(&url, &[], true).await, "--insecure");
        let (_, other) = relay(&format!("other-{authority}"), &["127.0.0.1"], authority).await;
        told(join(&url, &[&other], true).await, "--insecure");
    }
}

#[tokio::test]
async fn a_trusted_certificate_for_another_name_is_told_at_once() {
    for authority in [false, true] {
        let (url, pem) = relay(&format!("name-{authority}"), &["relay.example"], authority).await;
        told(join(&url, &[&pem], true).await, "for other names");
    }
}
