//! Who gets in, and what they may do.

use super::{Files, http};
use crate::common::{Client, Server, error_in, offer, registration, uuid};
use axum::http::StatusCode;
use crosspeer_relay::{AuthConfig, RelayConfig};
use futures_util::StreamExt;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderMap;

/// SHA-256 of `alice's`, `bob's`, `carol's`.
const HASHES: [&str; 3] = [
    "339f694afaae46da6ea82f200af9b636304d534bc92054419f5688ea53171240",
    "ee27442e4ca26b4c7944f1ac68c9fd5c995e84a2cd04b2bad3c41e4b232478f2",
    "f5a249502cf14c8be2fb81b4aaf484a0a7810a51b3fc93d2d70baf738260edb9",
];

fn auth(method: &str, settings: &[(&str, &str)]) -> AuthConfig {
    let mut auth = AuthConfig::default();
    auth.method = Some(method.to_owned());
    for (key, value) in settings {
        auth.kwargs
            .insert((*key).to_owned(), toml::Value::String((*value).to_owned()));
    }
    auth
}

fn tokens(files: &Files, lines: &str) -> AuthConfig {
    let path = files.write("tokens", lines);
    auth("tokens", &[("file", path.to_str().expect("a path"))])
}

/// A client with this header, or query.
async fn knock(relay: &Server, header: Option<(&'static str, &str)>, query: &str) -> (Client, HeaderMap) {
    let mut request = format!("ws://{}/{query}", relay.address)
        .into_client_request()
        .expect("a URL");
    if let Some((name, value)) = header {
        request.headers_mut().insert(name, value.parse().expect("a header"));
    }
    let stream = TcpStream::connect(relay.address).await.expect("connects");
    let (socket, response) = tokio_tungstenite::client_async(request, stream).await.expect("opens");
    (Client { socket }, response.headers().clone())
}

async fn bearer(relay: &Server, token: &str) -> Client {
    knock(relay, Some(("authorization", &format!("Bearer {token}"))), "")
        .await
        .0
}

#[tokio::test]
async fn a_token_gets_in_wherever_a_client_can_put_it() {
    let files = Files::new("tokens");
    let auth = tokens(&files, &format!("alice sha256:{}\n", HASHES[0]));
    let relay = Server::with(|config| config.auth = auth).await;
    bearer(&relay, "alice's").await.register(1).await;
    knock(&relay, None, "?token=alice%27s&resume=x")
        .await
        .0
        .register(2)
        .await;
    let mut request = format!("ws://{}/", relay.address).into_client_request().expect("a URL");
    let offered = "crosspeer, crosspeer.bearer.YWxpY2Uncw";
    request
        .headers_mut()
        .insert("sec-websocket-protocol", offered.parse().expect("a header"));
    let stream = TcpStream::connect(relay.address).await.expect("connects");
    let (socket, response) = tokio_tungstenite::client_async(request, stream).await.expect("opens");
    assert_eq!(response.headers()["sec-websocket-protocol"], "crosspeer");
    Client { socket }.register(3).await;

    for (header, query, code) in [
        (None, "", 4001),
        (Some(("authorization", "Basic YTpi")), "", 4001),
        (Some(("authorization", "Bearer ")), "", 4001),
        (Some(("authorization", "Bearer alice")), "", 4002),
        (Some(("authorization", "Bearer bob's")), "?token=alice%27s", 4002),
        (None, "?token=bob%27s", 4002),
    ] {
        let (mut client, _) = knock(&relay, header, query).await;
        let (closed, reason) = client.closed().await;
        assert_eq!(closed, code, "{header:?} {query}");
        assert!(reason.contains("oken") && !reason.contains("bob"), "{reason}");
    }
}

#[tokio::test]
async fn a_token_lets_do_what_it_says_and_no_more() {
    let files = Files::new("rights");
    let lines = format!(
        "alice sha256:{} id={} peer={}\nbob sha256:{} room=lab room=hall\ncarol sha256:{} room=hall\n",
        HASHES[0],
        uuid(1),
        uuid(2),
        HASHES[1],
        HASHES[2]
    );
    let auth = tokens(&files, &lines);
    let relay = Server::with(|config| config.auth = auth).await;
    let mut other = bearer(&relay, "alice's").await;
    other.send(registration(9)).await;
    assert_eq!(other.closed().await.0, 4002);
    let mut alice = bearer(&relay, "alice's").await;
    alice.register(1).await;
    let mut bob = bearer(&relay, "bob's").await;
    bob.register(2).await;
    let mut carol = bearer(&relay, "carol's").await;
    carol.register(3).await;
    bob.send(offer(2, 3, "same room")).await;
    assert_eq!(carol.text().await, offer(2, 3, "same room"));
    for (client, from, to) in [(&mut alice, 1, 3), (&mut bob, 2, 1)] {
        client.send(offer(from, to, "not allowed")).await;
        let error = error_in(&client.text().await);
        assert!(error.contains("token does not allow"), "{error}");
    }
    // A room keeps those out who have none, though the sender's token names the peer.
    alice.send(offer(1, 2, "x")).await;
    assert!(error_in(&alice.text().await).contains("does not allow"));
    // What is refused for another reason is so still.
    alice.send(offer(7, 3, "spoofed")).await;
    assert!(error_in(&alice.text().await).contains("registered as"));
}

#[tokio::test]
async fn tokens_are_taken_back_without_losing_anybody_else() {
    let files = Files::new("reload");
    let both = format!("alice sha256:{}\nbob sha256:{}\n", HASHES[0], HASHES[1]);
    let auth = tokens(&files, &both);
    let mut config = RelayConfig::default();
    config.auth = auth.clone();
    let relay = Server::with(|config| config.auth = auth).await;
    let mut alice = bearer(&relay, "alice's").await;
    alice.register(1).await;
    let mut bob = bearer(&relay, "bob's").await;
    bob.register(2).await;
    files.write("tokens", "nonsense");
    let everybody = relay.reload.reload(&RelayConfig::default()).expect_err("no tokens");
    assert!(everybody.to_string().contains("no tokens any more"), "{everybody}");
    let error = relay.reload.reload(&config).expect_err("is not read").to_string();
    assert!(error.contains("line 1"), "{error}");
    bob.send(offer(2, 1, "still")).await;
    assert_eq!(alice.text().await, offer(2, 1, "still"));
    files.write(
        "tokens",
        &format!("alice sha256:{}\ncarol sha256:{}\n", HASHES[0], HASHES[2]),
    );
    relay.reload.reload(&config).expect("is read");
    assert_eq!(bob.closed().await, (4002, "This token is no longer valid.".into()));
    bearer(&relay, "carol's").await.register(3).await;
    assert_eq!(bearer(&relay, "bob's").await.closed().await.0, 4002);
    alice.send(offer(1, 1, "here")).await;
    assert_eq!(alice.text().await, offer(1, 1, "here"));
}

#[tokio::test]
#[allow(clippy::disallowed_methods)] // tokens end by the wall's clock
async fn a_client_is_closed_when_its_token_ends_and_may_come_back_with_another() {
    let files = Files::new("expiry");
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    let lines = format!(
        "alice sha256:{} until={}\nbob sha256:{} until=1\n",
        HASHES[0],
        now + 2,
        HASHES[1]
    );
    let auth = tokens(&files, &lines);
    let relay = Server::with(|config| config.auth = auth).await;
    let mut alice = bearer(&relay, "alice's").await;
    assert_eq!(bearer(&relay, "bob's").await.closed().await.0, 4002);
    // 1008: its program asks for a new token and tries again.
    assert_eq!(alice.closed().await, (1008, "The token has expired.".into()));
}

#[tokio::test]
async fn a_web_service_decides_and_without_it_nobody_gets_in() {
    let judge = axum::routing::post(|question: String| async move {
        let question: serde_json::Value = serde_json::from_str(&question).expect("JSON");
        assert_eq!(question["address"], "127.0.0.1");
        match question["token"].as_str() {
            Some("good") => (StatusCode::OK, format!(r#"{{"sub": "x", "ids": ["{}"]}}"#, uuid(1))),
            Some("nonsense") => (StatusCode::OK, "yes".into()),
            Some("nobody") => (StatusCode::OK, r#"{"active": false}"#.into()),
            Some("broken") => (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
            Some("large") => (StatusCode::OK, format!(r#"{{"sub": "{}"}}"#, "x".repeat(1 << 20))),
            _ => (StatusCode::FORBIDDEN, String::new()),
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("http://{}/judge?x=1", listener.local_addr().expect("an address"));
    let service = tokio::spawn(async move { axum::serve(listener, axum::Router::new().route("/judge", judge)).await });
    let relay = Server::with(|config| config.auth = auth("http", &[("url", &url)])).await;
    bearer(&relay, "good").await.register(1).await;
    let mut other = bearer(&relay, "good").await;
    other.send(registration(2)).await;
    assert_eq!(other.closed().await.0, 4002);
    for (token, code) in [
        ("bad", 4002),
        ("nonsense", 1013),
        ("nobody", 1013),
        ("broken", 1013),
        ("large", 1013),
    ] {
        assert_eq!(bearer(&relay, token).await.closed().await.0, code, "{token}");
    }
    service.abort();
    let _ = service.await;
    let (code, reason) = bearer(&relay, "good").await.closed().await;
    assert_eq!((code, reason.contains("try again later")), (1013, true), "{reason}");
}

#[tokio::test]
async fn metrics_say_what_was_refused_and_why() {
    let files = Files::new("metrics");
    let auth = tokens(&files, &format!("alice sha256:{}\n", HASHES[0]));
    let mut relay = Server::with(|config| {
        config.auth = auth;
        config.metrics = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    let address = relay.metrics.expect("a metrics' port");
    let mut alice = bearer(&relay, "alice's").await;
    alice.register(1).await;
    alice.send(offer(1, 1, "to myself")).await;
    alice.text().await;
    alice.send(offer(1, 2, "nobody")).await;
    alice.text().await;
    assert_eq!(bearer(&relay, "x").await.closed().await.0, 4002);
    let text = http(address, "/metrics", "").await;
    for line in [
        "crosspeer_relay_clients 1",
        "crosspeer_relay_registrations_total 1",
        "crosspeer_relay_messages_total{way=\"local\"} 1",
        "crosspeer_relay_refused_total{reason=\"unknown_peer\"} 1",
        "crosspeer_relay_closed_total{code=\"4002\"} 1",
        "crosspeer_relay_tokens_total{outcome=\"invalid\"} 1",
        "crosspeer_relay_forward_seconds_count{way=\"local\"} 1",
        "crosspeer_relay_cluster_nodes 1",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("alice"), "metrics name nobody");
    assert!(http(address, "/readyz", "").await.starts_with("HTTP/1.1 200"));
    assert!(http(address, "/healthz", "").await.contains("\"clients\":1"));
    assert!(
        http(relay.address, "/metrics", "").await.starts_with("HTTP/1.1 426"),
        "not for everyone"
    );
    relay.stop();
    assert_eq!(alice.closed().await.0, 1001);
}

#[tokio::test]
async fn draining_sends_clients_away_little_by_little_and_says_so() {
    let mut relay = Server::with(|config| {
        config.metrics = Some(([127, 0, 0, 1], 0).into());
        config.drain_seconds = 1;
    })
    .await;
    let mut clients = Vec::new();
    for n in 1..=8 {
        clients.push(relay.client(n).await);
    }
    let ready = relay.metrics.expect("a metrics' port");
    relay.stop();
    let mut any = futures_util::future::select_all(clients.iter_mut().map(|client| Box::pin(client.closed())));
    let ((code, _), ..) = (&mut any).await;
    assert_eq!(code, 1001);
    drop(any);
    assert!(
        http(ready, "/readyz", "").await.starts_with("HTTP/1.1 503"),
        "no new ones"
    );
    assert!(relay.hub.registered() > 0, "others are still there");
    let mut late = relay.connect().await;
    assert_eq!(late.closed().await.0, 1001);
    for client in &mut clients {
        while client.socket.next().await.is_some_and(|next| next.is_ok()) {}
    }
}
