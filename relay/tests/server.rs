//! The server around the protocol: HTTP, TLS, the program.
#![allow(clippy::expect_used, clippy::panic)] // clippy sees only `#[test]` functions as tests

#[path = "server/access.rs"]
mod access;
mod common;

use common::{Client, NEVER, Server, offer};
use crosspeer_relay::{Hub, RelayConfig};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// The whole answer to a request without a body.
async fn http(address: SocketAddr, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    let request = format!("GET {path} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("reads");
    answer
}

#[tokio::test]
async fn healthz_counts_clients() {
    let relay = Server::start().await;
    let _a = relay.client(1).await;
    let _unregistered = relay.connect().await;
    let answer = http(relay.address, "/healthz", "").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    let health: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(health["status"], "ok");
    assert_eq!(health["clients"], 1);
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn a_plain_request_is_told_to_use_a_websocket() {
    let relay = Server::start().await;
    let answer = http(relay.address, "/", "").await;
    assert!(answer.starts_with("HTTP/1.1 426"), "{answer}");
    assert!(answer.contains("connect with a WebSocket"), "{answer}");
    let answer = http(relay.address, "/", "Upgrade: websocket\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn a_hub_serves_beside_other_routes() {
    let hub = Hub::new(&RelayConfig::default()).expect("a hub");
    let page = axum::Router::new().route("/", axum::routing::get(|| async { "the page" }));
    let router = page.nest("/relay", hub.router());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("an address");
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    assert!(http(address, "/", "").await.ends_with("the page"));
    assert!(http(address, "/relay/healthz", "").await.contains("\"ok\""));
    let stream = TcpStream::connect(address).await.expect("connects");
    let url = format!("ws://{address}/relay");
    let (socket, _) = tokio_tungstenite::client_async(url, stream).await.expect("opens");
    Client { socket }.register(1).await;
    server.abort();
}

struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("crosspeer-relay-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        Self(directory)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("writes");
        path
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_certificate_makes_it_wss() {
    let files = Files::new("tls");
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (certificate, key) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    let apart = (
        files.write("cert.pem", &certificate),
        Some(files.write("key.pem", &key)),
    );
    let together = (files.write("both.pem", &format!("{key}{certificate}")), None);
    for (certfile, keyfile) in [apart, together] {
        let relay = Server::with(|config| {
            config.certfile = Some(certfile);
            config.keyfile = keyfile;
        })
        .await;
        let mut a = tls_client(relay.address, certified.cert.der()).await;
        a.register(1).await;
        a.send(offer(1, 1, "to myself")).await;
        assert_eq!(a.text().await, offer(1, 1, "to myself"));
        let _ = a.try_send("x".repeat(2 << 20)).await;
        assert_eq!(a.closed().await.0, 1009);
    }
}

#[tokio::test]
async fn a_new_certificate_is_taken_without_losing_a_client() {
    let files = Files::new("renewal");
    let certified = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let both = |of: &rcgen::CertifiedKey<rcgen::KeyPair>| of.signing_key.serialize_pem() + &of.cert.pem();
    let (first, second) = (certified(), certified());
    let path = files.write("both.pem", &both(&first));
    let mut config = RelayConfig::default();
    config.certfile = Some(path);
    let certfile = config.certfile.clone();
    let relay = Server::with(|config| config.certfile = certfile).await;
    let mut a = tls_client(relay.address, first.cert.der()).await;
    a.register(1).await;
    files.write("both.pem", "cut off");
    relay.reload.reload(&config).expect_err("no certificate");
    files.write("both.pem", &both(&second));
    relay.reload.reload(&config).expect("a certificate");
    let mut b = tls_client(relay.address, second.cert.der()).await;
    b.register(2).await;
    b.send(offer(2, 1, "still there")).await;
    assert_eq!(a.text().await, offer(2, 1, "still there"));
}

async fn tls_client(
    address: SocketAddr,
    root: &CertificateDer<'static>,
) -> Client<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).expect("a root");
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.expect("connects");
    let stream = TlsConnector::from(Arc::new(config))
        .connect("localhost".try_into().expect("a name"), stream)
        .await
        .expect("TLS");
    let (socket, _) = tokio_tungstenite::client_async("wss://localhost/", stream)
        .await
        .expect("opens");
    Client { socket }
}

#[tokio::test]
async fn an_unusable_certificate_is_named() {
    let files = Files::new("badtls");
    let mut config = RelayConfig::default();
    config.port = 0;
    config.certfile = Some(files.write("empty.pem", ""));
    let error = crosspeer_relay::Relay::bind(config)
        .await
        .expect_err("no certificate")
        .to_string();
    assert!(error.contains("empty.pem") && error.contains("certificate"), "{error}");
}

fn program(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_crosspeer-relay"))
        .args(arguments)
        .env_remove("RUST_LOG")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("starts")
}

#[cfg(unix)]
#[tokio::test]
async fn sigterm_drains_the_program() {
    let files = Files::new("sigterm");
    let config = files.write(
        "relay.toml",
        "host = \"127.0.0.1\"\nport = 1\n[logging]\ndefault_level = 20\n",
    );
    let mut child = program(&[
        "--config",
        config.to_str().expect("UTF-8"),
        "--port",
        "0",
        "--json-logs",
    ]);
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let line = lines.next_line().await.expect("reads").expect("a line");
    let log: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    let message = log["fields"]["message"].as_str().expect("a message");
    let address: SocketAddr = message
        .strip_prefix("listening on ws://")
        .expect("the address")
        .parse()
        .expect("an address");

    let stream = TcpStream::connect(address).await.expect("connects");
    let (socket, _) = tokio_tungstenite::client_async(format!("ws://{address}"), stream)
        .await
        .expect("opens");
    let mut client = Client { socket };
    client.register(1).await;
    let pid = child.id().expect("runs").to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .await
            .expect("kill")
            .success()
    );
    assert_eq!(client.closed().await.0, 1001);
    drop(client);
    assert!(child.wait().await.expect("ends").success());
    let mut last = String::new();
    while let Some(line) = lines.next_line().await.expect("reads") {
        last = line;
    }
    assert!(last.contains("stopped"), "{last}");
}

#[cfg(unix)]
#[tokio::test]
async fn sighup_reads_tokens_again_and_no_log_shows_one() {
    let files = Files::new("sighup");
    let hash = |hash: &str| format!("alice sha256:{hash}\n");
    // Of `secret-one` and of `secret-two`.
    let [one, two] = [
        "ea77193cc4e6f18656f3130e296203880c4b9b3772afc855211b82fdd46e9185",
        "cebdf378f2d2bd60d3e3693349e8f20f329daf11a276f849996f0a6377e2155b",
    ];
    let tokens = files.write("tokens", &hash(one));
    let path = tokens.to_str().expect("UTF-8");
    let mut child = program(&["--port", "0", "--tokens", path, "--log-level", "trace", "--json-logs"]);
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut seen = Vec::new();
    let address = loop {
        let line = lines.next_line().await.expect("reads").expect("a line");
        seen.push(line.clone());
        let found = line
            .split("ws://")
            .nth(1)
            .map(|rest| rest.split('"').next().unwrap_or_default().to_owned());
        if let Some(address) = found {
            break address.parse::<SocketAddr>().expect("an address");
        }
    };
    let client = async |token: &str| {
        let stream = TcpStream::connect(address).await.expect("connects");
        let url = format!("ws://{address}/?token={token}");
        let (socket, _) = tokio_tungstenite::client_async(url, stream).await.expect("opens");
        Client { socket }
    };
    let mut first = client("secret-one").await;
    first.register(1).await;
    files.write("tokens", &(hash(one) + &hash(two).replace("alice", "bob")));
    let pid = child.id().expect("runs").to_string();
    let hangup = Command::new("kill").args(["-HUP", &pid]).status().await.expect("kill");
    assert!(hangup.success());
    while !seen.last().is_some_and(|line| line.contains("were read again")) {
        seen.push(lines.next_line().await.expect("reads").expect("a line"));
    }
    client("secret-two").await.register(2).await;
    first.send(offer(1, 1, "still there")).await;
    assert_eq!(first.text().await, offer(1, 1, "still there"));
    child.kill().await.expect("ends");
    while let Ok(Some(line)) = lines.next_line().await {
        seen.push(line);
    }
    assert!(seen.len() > 4, "{seen:?}");
    assert!(!seen.iter().any(|line| line.contains("secret-")), "{seen:?}");
}

#[tokio::test]
async fn the_program_names_what_it_cannot_use() {
    let files = Files::new("badconfig");
    let globus = files.write("globus.toml", "[auth]\nmethod = \"globus\"\n");
    let typo = files.write("typo.toml", "prot = 8700\n");
    for (path, expected) in [
        (globus, "not supported: use"),
        (typo, "prot"),
        (files.0.join("none.toml"), "none.toml"),
    ] {
        let child = program(&["--config", path.to_str().expect("UTF-8")]);
        let output = child.wait_with_output().await.expect("ends");
        assert_eq!(output.status.code(), Some(1));
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            error.starts_with("crosspeer-relay: ") && error.contains(expected),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_port_in_use_is_explained() {
    let relay = Server::limited(|limits| limits.close_timeout = NEVER).await;
    let mut config = RelayConfig::default();
    config.host = Some("127.0.0.1".into());
    config.port = relay.address.port();
    let error = crosspeer_relay::Relay::bind(config)
        .await
        .expect_err("in use")
        .to_string();
    assert!(error.contains("cannot listen on 127.0.0.1:"), "{error}");
}
