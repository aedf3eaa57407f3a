//! What one client may cost the relay and the others.
#![allow(clippy::expect_used, clippy::panic)] // clippy sees only `#[test]` functions as tests

mod common;

use common::{Client, NEVER, Server, clustered, error_in, offer};
use crosspeer::relay::{Registration, RelayMessage};
use futures_util::{SinkExt, StreamExt};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio_tungstenite::tungstenite::Message;

const MIB: usize = 1 << 20;

#[tokio::test]
async fn a_message_above_1_mib_closes_with_1009_however_long_it_is() {
    let relay = Server::start().await;
    for bytes in [MIB + 1, 20 * MIB] {
        let mut a = relay.client(1).await;
        let _ = a.try_send("x".repeat(bytes)).await; // the relay may close before it has all been written
        assert_eq!(a.closed().await, (1009, "frame exceeds limit of 1048576 bytes".into()));
    }
}

#[tokio::test]
async fn a_message_of_1_mib_is_forwarded() {
    let relay = Server::start().await;
    let (mut a, mut b) = (relay.client(1).await, relay.client(2).await);
    let text = offer(1, 2, "x".repeat(MIB - offer(1, 2, "").len()));
    assert_eq!(text.len(), MIB);
    a.send(text.clone()).await;
    assert!(b.text().await == text);
}

#[tokio::test]
async fn a_message_above_the_configured_limit_closes_with_4003() {
    let relay = Server::with(|config| config.max_message_bytes = Some(1000)).await;
    let (mut a, mut b) = (relay.client(1).await, relay.client(2).await);
    let text = offer(1, 2, "x".repeat(1000 - offer(1, 2, "").len()));
    a.send(text.clone()).await;
    assert_eq!(b.text().await, text);
    a.send("x".repeat(1001)).await;
    assert_eq!(a.closed().await, (4003, "Message length exceeds limit.".into()));
    b.send(offer(2, 1, "x")).await;
    assert!(error_in(&b.text().await).contains("not registered"));
}

#[tokio::test]
async fn a_burst_reaches_a_client_that_reads_whole_and_in_order() {
    let relay = Server::limited(|limits| limits.stall_timeout = NEVER).await;
    let (mut a, mut b) = (relay.client(1).await, relay.client(2).await);
    let sending = tokio::spawn(async move {
        for i in 0..3000 {
            a.send(offer(1, 2, format!("{i} {}", "x".repeat(2000)))).await;
        }
        a
    });
    for i in 0..3000 {
        assert_eq!(b.text().await, offer(1, 2, format!("{i} {}", "x".repeat(2000))));
    }
    sending.await.expect("sends");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_and_blocks_nobody() {
    // Three nodes and their clients share one thread here, and half a MiB of JSON takes it a while.
    let patience = Duration::from_millis(if common::clustered() { 2000 } else { 100 });
    the_deaf_are_closed(|limits| limits.stall_timeout = patience).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_whoever_waits_for_it() {
    the_deaf_are_closed(|limits| {
        limits.stall_timeout = NEVER;
        limits.ping_interval = NEVER;
        limits.ping_timeout = Duration::from_secs(2);
    })
    .await;
}

async fn the_deaf_are_closed(change: impl FnOnce(&mut crosspeer_relay::Limits)) {
    let relay = Server::limited(|limits| {
        limits.close_timeout = Duration::from_millis(100);
        change(limits);
    })
    .await;
    let deaf = relay.client(9).await;
    let (mut sink, mut stream) = relay.client(1).await.socket.split();
    let flood = tokio::spawn(async move {
        let text = Message::text(offer(1, 9, "x".repeat(MIB / 2)));
        // Answers come only after the deaf one is gone, one for each message from then on.
        tokio::select! {
            answer = stream.next() => answer,
            error = async {
                loop {
                    if let Err(error) = sink.send(text.clone()).await {
                        break error;
                    }
                }
            } => panic!("{error}"),
        }
    });
    let (mut b, mut c) = (relay.client(2).await, relay.client(3).await);
    for _ in 0..100 {
        b.send(offer(2, 3, "x")).await;
        assert_eq!(c.text().await, offer(2, 3, "x"));
    }
    match flood.await.expect("ends") {
        Some(Ok(Message::Text(text))) => assert!(error_in(&text).contains("not registered")),
        other => panic!("{other:?}"),
    }
    drop(deaf);
}

#[tokio::test]
async fn a_client_that_does_not_answer_pings_is_closed_with_1011() {
    let relay = Server::limited(|limits| {
        limits.ping_interval = Duration::from_millis(10);
        limits.ping_timeout = Duration::from_millis(10);
        limits.close_timeout = Duration::from_millis(10);
    })
    .await;
    let mut raw = relay.connect().await.socket.into_inner();
    let mut bytes = Vec::new();
    raw.read_to_end(&mut bytes)
        .await
        .expect("the relay closes the connection");
    assert_eq!(bytes[..2], [0x89, 0]);
    assert_eq!(bytes[2], 0x88);
    assert_eq!(bytes[4..6], 1011u16.to_be_bytes());
    assert_eq!(&bytes[6..], b"keepalive ping timeout");
}

/// A computer that sleeps may be back soon, one that has left the relay is not.
#[tokio::test]
async fn of_a_client_that_does_not_answer_others_are_told_so() {
    if clustered() {
        return; // only its own node knows
    }
    let relay = Server::limited(|limits| {
        limits.ping_interval = Duration::from_millis(10);
        limits.ping_timeout = Duration::from_secs(1);
        limits.close_timeout = Duration::from_millis(10);
    })
    .await;
    let mut asleep = relay.client(1).await.socket.into_inner();
    asleep
        .read_to_end(&mut Vec::new())
        .await
        .expect("the relay closes the connection");
    let mut b = relay.client(2).await;
    let silent = "has not answered the relay for a while.";
    b.send(offer(2, 1, "x")).await;
    assert!(error_in(&b.text().await).ends_with(silent));
    let mut back = relay.client(1).await;
    b.send(offer(2, 1, "y")).await;
    assert_eq!(back.text().await, offer(2, 1, "y"));
    back.socket.close(None).await.expect("closes");
    while back.socket.next().await.is_some() {}
    b.send(offer(2, 1, "z")).await;
    assert!(error_in(&b.text().await).contains("not registered"));
}

#[tokio::test]
async fn a_client_that_answers_pings_stays() {
    let relay = Server::limited(|limits| {
        limits.ping_interval = Duration::from_millis(10);
        limits.ping_timeout = Duration::from_millis(500);
    })
    .await;
    let mut a = relay.client(1).await;
    for _ in 0..3 {
        assert!(matches!(a.socket.next().await, Some(Ok(Message::Ping(_)))));
    }
    assert_eq!(relay.registered(), 1);
}

#[tokio::test]
async fn shutting_down_closes_everyone_with_1001() {
    let mut relay = Server::limited(|limits| limits.close_timeout = NEVER).await;
    let (mut a, mut b) = (relay.client(1).await, relay.connect().await);
    let stopped = relay.stop();
    for client in [&mut a, &mut b] {
        assert_eq!(client.closed().await, (1001, "The relay is shutting down.".into()));
        assert!(client.socket.next().await.is_none());
    }
    stopped.await.expect("ends");
}

#[tokio::test]
async fn shutting_down_does_not_wait_for_the_deaf() {
    let mut relay = Server::limited(|limits| limits.close_timeout = Duration::from_millis(50)).await;
    let deaf: Client = relay.client(1).await;
    relay.stop().await.expect("ends");
    drop(deaf);
}

#[tokio::test]
async fn a_client_that_does_not_register_in_time_is_closed_and_others_stay() {
    let relay = Server::limited(|limits| limits.register_timeout = Duration::from_millis(50)).await;
    let mut known = relay.client(1).await;
    let mut mute = relay.connect().await;
    assert_eq!(mute.closed().await, (1008, "No registration came in time.".into()));
    known.send(offer(1, 1, "still here")).await;
    assert_eq!(known.text().await, offer(1, 1, "still here"));
}

#[tokio::test]
async fn an_address_has_a_share_of_those_that_are_nobody_yet() {
    if common::clustered() {
        return; // its share is of each node
    }
    let relay = Server::limited(|limits| {
        limits.register_timeout = NEVER;
        limits.strangers_per_address = 3;
    })
    .await;
    // Registered ones do not count.
    let _known = [relay.client(1).await, relay.client(2).await, relay.client(3).await];
    let idle = [relay.connect().await, relay.connect().await];
    let mut silent = tokio::net::TcpStream::connect(relay.address).await.expect("connects");
    // The third place is the silent one's: the server sees it before it sees the next.
    let mut turned_away = tokio::net::TcpStream::connect(relay.address).await.expect("connects");
    let mut bytes = Vec::new();
    let _ = turned_away.read_to_end(&mut bytes).await;
    assert_eq!(bytes, b"");
    drop(idle);
    let mut next = relay.client(4).await;
    next.send(offer(4, 4, "in")).await;
    assert_eq!(next.text().await, offer(4, 4, "in"));
    tokio::io::AsyncWriteExt::shutdown(&mut silent).await.expect("ends");
}

#[tokio::test]
async fn a_name_of_more_than_256_bytes_is_refused() {
    let relay = Server::start().await;
    let register = |name: String| {
        RelayMessage::Registration(Registration {
            name,
            uuid: common::uuid(1),
        })
        .encode()
    };
    let mut client = relay.connect().await;
    client.send(register("é".repeat(128))).await;
    assert_eq!(client.text().await, common::SUCCESS);
    for bytes in [257, 10_000] {
        let mut client = relay.connect().await;
        client.send(register("n".repeat(bytes))).await;
        let answer = client.text().await;
        assert!(
            answer.contains(&format!("The name has {bytes} bytes, 256 are allowed.")),
            "{answer}"
        );
        assert_eq!(client.closed().await.0, 1008);
        assert_eq!(relay.registered(), 1);
    }
}

#[tokio::test]
async fn whoever_has_not_registered_may_send_little() {
    let relay = Server::start().await;
    let mut stranger = relay.connect().await;
    let _ = stranger.try_send("x".repeat(MIB)).await; // the relay may close before it has all been written
    assert_eq!(
        stranger.closed().await,
        (1009, "Too much came before a registration.".into())
    );
    // What comes right behind a registration is a client's.
    let mut a = relay.connect().await;
    let long = offer(1, 1, "x".repeat(MIB / 2));
    a.socket
        .feed(Message::text(common::registration(1)))
        .await
        .expect("feeds");
    a.send(long.clone()).await;
    assert_eq!(a.text().await, common::SUCCESS);
    assert!(a.text().await == long);
}

#[tokio::test]
async fn an_address_may_use_so_much_and_no_more() {
    if common::clustered() {
        return; // of each node
    }
    let relay = Server::with(|config| {
        config.per_address = "connections=3,registrations=1,messages=1".parse().expect("rates");
    })
    .await;
    let (mut a, _b, _c) = (relay.client(1).await, relay.connect().await, relay.connect().await);
    let request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut fourth = tokio::net::TcpStream::connect(relay.address).await.expect("connects");
    tokio::io::AsyncWriteExt::write_all(&mut fourth, request.as_bytes())
        .await
        .expect("writes");
    let mut answer = vec![0; 512];
    let length = fourth.read(&mut answer).await.expect("reads");
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    assert!(answer.contains("Too many connections from this address."), "{answer}");
    // Ten seconds' worth comes at once; somewhat more is read slowly, much more is not read at all.
    for _ in 0..200 {
        let _ = a.try_send(offer(1, 1, "x")).await;
    }
    let (code, reason) = a.closed().await;
    assert_eq!(
        (code, reason.as_str()),
        (1008, "More messages from this address than it may send.")
    );
}

#[tokio::test]
async fn who_makes_no_request_in_time_is_closed_and_a_long_answer_goes_on() {
    let mut config = crosspeer_relay::RelayConfig::default();
    config.limits.request_timeout = Duration::from_millis(500);
    config.limits.strangers_per_address = 3;
    let hub = crosspeer_relay::Hub::new(&config).expect("a hub");
    let (parts, coming) = tokio::sync::mpsc::channel::<&str>(1);
    let body = futures_util::stream::unfold(coming, async |mut coming| {
        Some((Ok::<_, std::io::Error>(coming.recv().await?), coming))
    });
    let body = std::sync::Arc::new(std::sync::Mutex::new(Some(axum::body::Body::from_stream(body))));
    let long = async move || body.lock().expect("unlocked").take().expect("asked once");
    let routes = axum::Router::new().route("/long", axum::routing::get(long));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { hub.serve(listener, routes).await });
    let connect = async |text: &str| {
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("connects");
        let written = tokio::io::AsyncWriteExt::write_all(&mut stream, text.as_bytes()).await;
        written.expect("writes");
        stream
    };
    let whole = async |mut stream: tokio::net::TcpStream| {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        String::from_utf8(bytes).expect("text")
    };
    let download = connect("GET /long HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    parts.send("first").await.expect("asked for");
    let (silent, half) = (connect("").await, connect("GET / HTTP/1.1\r\nHo").await);
    assert_eq!(whole(connect("").await).await, "", "no more from one address");
    assert_eq!(whole(silent).await, "");
    assert!(!whole(half).await.contains("200 OK"));
    parts.send("last").await.expect("still there");
    drop(parts);
    let download = whole(download).await;
    assert!(download.contains("first") && download.contains("last"), "{download}");
}
