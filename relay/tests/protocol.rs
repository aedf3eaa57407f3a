//! ProxyStore's protocol over real sockets, row by row, and the faults that are mended.
#![allow(clippy::expect_used, clippy::panic)] // clippy sees only `#[test]` functions as tests

mod common;

use common::{Client, NEVER, SUCCESS, Server, error_in, offer, registration, uuid};
use crosspeer::IceServer;
use crosspeer::relay::{IceServers, RelayMessage};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

#[tokio::test]
async fn two_clients_exchange_descriptions() {
    let relay = Server::start().await;
    let (mut a, mut b) = (relay.client(1).await, relay.client(2).await);
    a.send(offer(1, 2, "ping")).await;
    assert_eq!(b.text().await, offer(1, 2, "ping"));
    b.send(offer(2, 1, "pong é✓")).await;
    assert_eq!(a.text().await, offer(2, 1, "pong é✓"));
    assert_eq!(relay.registered(), 2);
}

#[tokio::test]
async fn any_path_origin_and_subprotocol_will_do_and_no_subprotocol_is_selected() {
    let relay = Server::start().await;
    let mut request = format!("ws://{}/any/path?query=1", relay.address)
        .into_client_request()
        .expect("a request");
    let headers = request.headers_mut();
    headers.insert("Origin", "https://elsewhere.example".parse().expect("a value"));
    headers.insert(
        "Sec-WebSocket-Extensions",
        "permessage-deflate".parse().expect("a value"),
    );
    let stream = tokio::net::TcpStream::connect(relay.address).await.expect("connects");
    let (socket, response) = tokio_tungstenite::client_async(request, stream).await.expect("opens");
    assert!(!response.headers().contains_key("Sec-WebSocket-Extensions"));
    common::Client { socket }.register(1).await;

    let mut raw = tokio::net::TcpStream::connect(relay.address).await.expect("connects");
    let request = "GET /x HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                   Sec-WebSocket-Protocol: chat\r\n\r\n";
    raw.write_all(request.as_bytes()).await.expect("writes");
    let mut head = vec![0; 1024];
    let length = raw.read(&mut head).await.expect("reads");
    let head = String::from_utf8_lossy(&head[..length]).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101"), "{head}");
    assert!(head.contains("s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}"); // RFC 6455 §1.3
    assert!(!head.contains("sec-websocket-protocol"), "{head}");
}

#[tokio::test]
async fn a_message_to_an_unknown_peer_comes_back() {
    let relay = Server::start().await;
    let mut a = relay.client(1).await;
    a.send(offer(1, 9, "x")).await;
    assert_eq!(
        error_in(&a.text().await),
        format!(
            "Cannot forward peer connection message to peer {} because this peer is not registered this relay server.",
            uuid(9)
        )
    );
}

#[tokio::test]
async fn a_spoofed_source_comes_back_and_the_socket_stays_open() {
    let relay = Server::start().await;
    let (mut a, mut b) = (relay.client(1).await, relay.client(2).await);
    a.send(offer(7, 2, "x")).await;
    assert!(error_in(&a.text().await).contains(&format!("registered as {}", uuid(1))));
    a.send(offer(1, 2, "y")).await;
    assert_eq!(b.text().await, offer(1, 2, "y"));
}

#[tokio::test]
async fn a_message_before_registration_closes_with_4002() {
    let relay = Server::start().await;
    let mut a = relay.connect().await;
    a.send(offer(1, 2, "x")).await;
    let reason = "ForbiddenError: Client has not registered and authenticated with the relay server.";
    assert_eq!(a.closed().await, (4002, reason.into()));
}

#[tokio::test]
async fn nonsense_closes_with_4000_and_leaves_no_ghost() {
    let relay = Server::start().await;
    let mut b = relay.client(2).await;
    let bad = [
        Message::text("x"),
        Message::text("[]"),
        Message::text(SUCCESS),
        Message::text(r#"{"message_type": []}"#),
        Message::binary(registration(1)),
    ];
    for bad in bad {
        let mut a = relay.client(1).await;
        a.socket.send(bad).await.expect("sends");
        assert_eq!(a.closed().await, (4000, "Unknown message type.".into()));
        b.send(offer(2, 1, "x")).await;
        assert!(error_in(&b.text().await).contains("not registered"));
    }
}

#[tokio::test]
async fn a_dead_old_socket_does_not_delay_a_new_registration() {
    let relay = Server::limited(|limits| limits.close_timeout = NEVER).await;
    let mut old = relay.client(1).await; // does not read, so never answers the closing
    let mut new = relay.client(1).await;
    let mut b = relay.client(2).await;
    b.send(offer(2, 1, "x")).await;
    assert_eq!(new.text().await, offer(2, 1, "x"));
    let (code, reason) = old.closed().await;
    assert_eq!(code, 4004);
    assert!(
        reason.starts_with("Relay received a registration with the same ID."),
        "{reason}"
    );
    drop(old);
    b.send(offer(2, 1, "y")).await;
    assert_eq!(new.text().await, offer(2, 1, "y"));
}

#[tokio::test]
async fn a_second_uuid_on_a_socket_replaces_the_first() {
    let relay = Server::start().await;
    let (mut a, mut b) = (relay.client(1).await, relay.client(2).await);
    a.register(5).await;
    b.send(offer(2, 1, "x")).await;
    assert!(error_in(&b.text().await).contains("not registered"));
    b.send(offer(2, 5, "x")).await;
    assert_eq!(a.text().await, offer(2, 5, "x"));
}

#[tokio::test]
async fn a_client_that_leaves_or_vanishes_is_unregistered() {
    let relay = Server::start().await;
    let mut b = relay.client(2).await;
    let mut polite = relay.client(1).await;
    polite.socket.close(None).await.expect("closes");
    while polite.socket.next().await.is_some() {}
    b.send(offer(2, 1, "x")).await;
    assert!(error_in(&b.text().await).contains("not registered"));

    drop(relay.client(3).await);
    // The relay learns of it in its own time: until then it forwards into nothing, and answers nothing.
    while relay.registered() > 1 {
        tokio::task::yield_now().await;
    }
    b.send(offer(2, 3, "x")).await;
    assert!(error_in(&b.text().await).contains("not registered"));
}

#[tokio::test]
async fn what_breaks_the_websocket_protocol_is_closed_with_its_codes() {
    let relay = Server::start().await;
    let cases: [(&[u8], u16); 2] = [
        (&[0x81, 0x81, 0, 0, 0, 0, 0xff], 1007), // a text frame that is not UTF-8
        (&[0x81, 0x01, b'x'], 1002),             // a frame without a mask
    ];
    for (bytes, code) in cases {
        let mut client = relay.connect().await;
        client.socket.get_mut().write_all(bytes).await.expect("writes");
        assert_eq!(client.closed().await.0, code);
    }
}

/// A client with a secret in its URL, registered unless it is refused.
async fn with_secret(relay: &Server, secret: &str, n: u8) -> Client {
    let url = format!("ws://{}/?token=x&resume={secret}", relay.address);
    let stream = tokio::net::TcpStream::connect(relay.address).await.expect("connects");
    let (socket, _) = tokio_tungstenite::client_async(url, stream).await.expect("opens");
    let mut client = Client { socket };
    client.send(registration(n)).await;
    client
}

#[tokio::test]
async fn a_client_that_is_held_back_keeps_its_uuid() {
    let relay = Server::limited(|limits| limits.stall_timeout = NEVER).await;
    let deaf = relay.client(9).await;
    let mut owner = with_secret(&relay, "owner", 1).await;
    assert_eq!(owner.text().await, SUCCESS);
    let (mut sink, mut stream) = owner.socket.split();
    let flood = tokio::spawn(async move {
        let text = Message::text(offer(1, 9, "x".repeat(1 << 19)));
        let sending = async { while sink.send(text.clone()).await.is_ok() {} };
        let reading = async { while stream.next().await.is_some_and(|message| message.is_ok()) {} }; // answers pings
        tokio::join!(sending, reading)
    });
    for _ in 0..10 {
        let mut thief = with_secret(&relay, "other", 1).await;
        assert_eq!(thief.closed().await.0, 4002);
    }
    flood.abort();
    drop(deaf);
}

#[tokio::test]
async fn a_uuid_is_taken_with_its_secret_or_when_its_owner_is_silent() {
    let relay = Server::start().await;
    let mut first = with_secret(&relay, "first", 1).await;
    assert_eq!(first.text().await, SUCCESS);
    // While it answers (its socket is read), neither another secret nor none is enough.
    let reading = tokio::spawn(async move { first.closed().await });
    for secret in ["other", ""] {
        let mut thief = with_secret(&relay, secret, 1).await;
        assert_eq!(thief.closed().await.0, 4002, "{secret:?}");
    }
    let mut again = with_secret(&relay, "first", 1).await;
    assert_eq!(again.text().await, SUCCESS);
    assert_eq!(reading.await.expect("ends").0, 4004);
    // Nobody reads `again` any more: it does not answer.
    let mut other = with_secret(&relay, "other", 1).await;
    assert_eq!(other.text().await, SUCCESS);
    assert_eq!(again.closed().await.0, 4004);
    // Those without a secret replace each other, as at ProxyStore's relay.
    let mut python = relay.client(2).await;
    let _another = relay.client(2).await;
    assert_eq!(python.closed().await.0, 4004);
}

/// A client of a page of this origin.
async fn from_page(relay: &Server, origin: &str) -> Client {
    let mut request = format!("ws://{}/", relay.address).into_client_request().expect("a URL");
    request
        .headers_mut()
        .insert("Origin", origin.parse().expect("a header"));
    let stream = tokio::net::TcpStream::connect(relay.address).await.expect("connects");
    let (socket, _) = tokio_tungstenite::client_async(request, stream).await.expect("opens");
    Client { socket }
}

#[tokio::test]
async fn pages_of_other_origins_are_turned_away_if_told() {
    let relay = Server::with(|config| config.origins = vec!["https://page.example".into()]).await;
    let mut own = from_page(&relay, "https://page.example").await;
    own.register(1).await;
    let _program = relay.client(2).await;
    for origin in ["https://evil.example", "http://page.example", "null"] {
        let (code, reason) = from_page(&relay, origin).await.closed().await;
        assert_eq!((code, reason.contains("origin")), (4001, true), "{origin}");
    }
    let open = Server::start().await;
    from_page(&open, "https://anywhere.example").await.register(1).await;
}

/// A client that asks is told of the servers before it is told that it is registered, and again before the credentials
/// end; others, as ProxyStore's, are told nothing that they do not know.
#[tokio::test]
async fn who_asks_is_given_stun_and_turn_servers() {
    let file = secret_file("asks");
    let server = Server::with(|config| {
        config.turn.serve = true;
        config.turn.lifetime = 2;
        config.turn.secret_file = Some(file.clone()); // also where several nodes are one relay
    })
    .await;
    std::fs::remove_file(file).expect("removable");
    server.client(1).await;
    for query in ["?ice=0", "?ice=", "?nice=1"] {
        server.connect_to(&format!("/{query}")).await.register(2).await;
    }
    let mut asking = server.connect_to("/?resume=S&ice=1").await;
    asking.send(registration(3)).await;
    let first = ice_servers(&asking.text().await);
    assert_eq!(asking.text().await, SUCCESS);
    let address = server.address;
    assert_eq!(
        first.urls,
        [
            format!("stun:{address}"),
            format!("turn:{address}?transport=udp"),
            format!("turn:{address}?transport=tcp")
        ]
    );
    let second = ice_servers(&asking.text().await);
    assert_ne!(second.username, first.username);
    assert!(second.username.ends_with(&uuid(3).simple().to_string()), "{second:?}");
}

/// A second registration beside the first one, which it replaces, is given credentials too, and goes on to be.
#[tokio::test]
async fn who_registers_again_is_given_them_again() {
    let file = secret_file("again");
    let server = Server::with(|config| {
        config.turn.serve = true;
        config.turn.lifetime = 2;
        config.turn.secret_file = Some(file.clone());
    })
    .await;
    std::fs::remove_file(file).expect("removable");
    let mut first = server.connect_to("/?resume=S&ice=1").await;
    first.send(registration(3)).await;
    ice_servers(&first.text().await);
    assert_eq!(first.text().await, SUCCESS);
    let mut second = server.connect_to("/?resume=S&ice=1").await;
    second.send(registration(3)).await;
    let given = ice_servers(&second.text().await);
    assert_eq!(second.text().await, SUCCESS);
    assert_eq!(first.closed().await.0, 4004);
    let renewed = ice_servers(&second.text().await);
    assert_ne!(renewed.username, given.username);
}

/// What credentials are made of, until the relay has read it.
fn secret_file(name: &str) -> std::path::PathBuf {
    let (process, kind) = (std::process::id(), common::clustered());
    let file = std::env::temp_dir().join(format!("crosspeer-relay-{name}-{process}-{kind}"));
    std::fs::write(&file, "north").expect("writable");
    file
}

#[tokio::test]
async fn another_turn_server_is_named_with_credentials_for_it() {
    let file = secret_file("other");
    let server = Server::with(|config| {
        config.turn.urls = vec!["turn:turn.example:3478".into(), "turns:turn.example:5349".into()];
        config.turn.secret_file = Some(file.clone());
    })
    .await;
    let mut asking = server.connect_to("/?ice=1").await;
    asking.send(registration(3)).await;
    let servers = ice_servers(&asking.text().await);
    assert_eq!(servers.urls, ["turn:turn.example:3478", "turns:turn.example:5349"]);
    std::fs::remove_file(file).expect("removable");
}

fn ice_servers(text: &str) -> IceServer {
    match RelayMessage::decode(text) {
        Ok(RelayMessage::IceServers(IceServers { server, lifetime })) => {
            assert!(!lifetime.is_zero());
            server
        }
        other => panic!("{other:?}"),
    }
}
