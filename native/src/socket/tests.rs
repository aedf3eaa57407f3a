use super::*;
use crosspeer::platform::{Event, SocketEvent};
use futures_channel::mpsc::UnboundedReceiver;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    (listener, url)
}

fn open(url: &str, config: &Config) -> (NativeSocket, UnboundedReceiver<Event>) {
    let (events, received) = Events::channel();
    let socket = NativeSocket::spawn(&Handle::current(), SocketId(7), url, config, events);
    (socket, received)
}

async fn next(events: &mut UnboundedReceiver<Event>) -> SocketEvent {
    match timeout(Duration::from_secs(20), events.next()).await.unwrap().unwrap() {
        Event::Socket(SocketId(7), event) => event,
        other => panic!("not this socket's: {other:?}"),
    }
}

async fn accept(listener: &TcpListener) -> (WebSocketStream<TcpStream>, Option<String>) {
    let (stream, _) = listener.accept().await.unwrap();
    let mut seen = None;
    #[allow(clippy::result_large_err)]
    let callback = |request: &tungstenite::handshake::server::Request, response| {
        seen = request
            .headers()
            .get("authorization")
            .map(|value| value.to_str().unwrap().to_owned());
        Ok(response)
    };
    let socket = accept_hdr_async(stream, callback).await.unwrap();
    (socket, seen)
}

#[tokio::test]
async fn text_goes_both_ways_with_extra_headers_and_what_is_queued_is_sent_before_closing() {
    let (listener, url) = listen().await;
    let mut config = Config::default();
    config.relay_headers.push(("Authorization".into(), "Bearer x".into()));
    let (socket, mut events) = open(&url, &config);
    socket.send("early".into());
    let (mut relay, header) = accept(&listener).await;
    assert_eq!(header.as_deref(), Some("Bearer x"));
    assert_eq!(next(&mut events).await, SocketEvent::Open);
    assert_eq!(relay.next().await.unwrap().unwrap(), Message::text("early"));
    relay.send(Message::text("hello")).await.unwrap();
    relay.send(Message::binary(vec![1])).await.unwrap();
    assert_eq!(next(&mut events).await, SocketEvent::Text("hello".into()));
    assert_eq!(next(&mut events).await, SocketEvent::Binary);
    socket.send("last".into());
    socket.close();
    socket.send("after the end".into());
    assert_eq!(relay.next().await.unwrap().unwrap(), Message::text("last"));
    let Message::Close(Some(frame)) = relay.next().await.unwrap().unwrap() else {
        panic!("no close frame")
    };
    assert_eq!(u16::from(frame.code), 1000);
    assert!(relay.next().await.is_none());
    let closed = next(&mut events).await;
    assert!(
        matches!(closed, SocketEvent::Closed { http_status: None, .. }),
        "{closed:?}"
    );
}

#[tokio::test]
async fn the_relays_close_code_and_reason_are_reported() {
    let (listener, url) = listen().await;
    let (_socket, mut events) = open(&url, &Config::default());
    let (mut relay, _) = accept(&listener).await;
    assert_eq!(next(&mut events).await, SocketEvent::Open);
    let frame = CloseFrame {
        code: CloseCode::Library(4001),
        reason: "no".into(),
    };
    relay.close(Some(frame)).await.unwrap();
    while relay.next().await.is_some() {}
    let expected = SocketEvent::Closed {
        code: Some(4001),
        reason: "no".into(),
        http_status: None,
    };
    assert_eq!(next(&mut events).await, expected);
}

#[tokio::test]
async fn a_refused_handshake_gives_its_http_status() {
    let (listener, url) = listen().await;
    let (_socket, mut events) = open(&url, &Config::default());
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = [0; 2048];
    assert!(stream.read(&mut request).await.unwrap() > 0);
    stream
        .write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    let expected = SocketEvent::Closed {
        code: None,
        reason: "HTTP 403 Forbidden".into(),
        http_status: Some(403),
    };
    assert_eq!(next(&mut events).await, expected);
}

#[tokio::test]
async fn who_refuses_may_be_there_later() {
    let (listener, url) = listen().await;
    drop(listener);
    let (_socket, mut events) = open(&url, &Config::default());
    let SocketEvent::Closed { reason, .. } = next(&mut events).await else {
        panic!("{url} was opened, or given up")
    };
    assert!(reason.contains("127.0.0.1:"), "{reason}");
}

#[tokio::test]
async fn what_can_never_be_opened_is_unusable() {
    for url in ["ftp://example", "not a url", "ws://", "ws://host:99999"] {
        let (_socket, mut events) = open(url, &Config::default());
        let SocketEvent::Unusable(reason) = next(&mut events).await else {
            panic!("{url} may come true")
        };
        assert!(reason.contains("URL"), "{reason}");
    }
    let mut config = Config::default();
    config.relay_headers.push(("X-Key".into(), "secret\n".into()));
    let (_socket, mut events) = open("ws://127.0.0.1:1", &config);
    let SocketEvent::Unusable(reason) = next(&mut events).await else {
        panic!("it may come true")
    };
    assert!(reason.contains("X-Key") && !reason.contains("secret"), "{reason}");
}

#[tokio::test]
async fn a_urls_user_and_password_become_a_header_unless_there_is_one() {
    let (listener, url) = listen().await;
    let url = url.replace("ws://", "ws://user:pass@");
    let (_socket, _events) = open(&url, &Config::default());
    assert_eq!(accept(&listener).await.1.as_deref(), Some("Basic dXNlcjpwYXNz"));
    let mut config = Config::default();
    config.relay_headers.push(("authorization".into(), "Bearer x".into()));
    let (_socket, _events) = open(&url, &config);
    assert_eq!(accept(&listener).await.1.as_deref(), Some("Bearer x"));
}

#[tokio::test]
async fn dropping_the_handle_closes_the_socket() {
    let (listener, url) = listen().await;
    let (socket, mut events) = open(&url, &Config::default());
    let (mut relay, _) = accept(&listener).await;
    assert_eq!(next(&mut events).await, SocketEvent::Open);
    drop(socket);
    assert!(matches!(relay.next().await.unwrap().unwrap(), Message::Close(Some(_))));
}

#[tokio::test]
async fn a_message_above_the_limit_is_refused() {
    let (listener, url) = listen().await;
    let (_socket, mut events) = open(&url, &Config::default());
    let (mut relay, _) = accept(&listener).await;
    assert_eq!(next(&mut events).await, SocketEvent::Open);
    relay.send(Message::text("x".repeat(1 << 20))).await.unwrap();
    assert!(matches!(next(&mut events).await, SocketEvent::Text(_)));
    let _ = relay.send(Message::text("x".repeat(2 << 20))).await;
    assert!(matches!(next(&mut events).await, SocketEvent::Closed { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_falls_silent_is_given_up() {
    let nothing = futures_util::stream::pending();
    let end = read(nothing, &|_| {}).await;
    assert!(end.reason.contains("silent"), "{}", end.reason);
}

#[tokio::test]
async fn a_token_is_asked_for_at_each_call_and_goes_before_the_urls_password() {
    use std::sync::atomic::{AtomicU32, Ordering};
    let (listener, url) = listen().await;
    let url = url.replace("ws://", "ws://user:pass@");
    let asked = std::sync::Arc::new(AtomicU32::new(0));
    let config = Config::default().with_token(crosspeer::Token::provider(move || {
        let number = asked.fetch_add(1, Ordering::Relaxed);
        async move {
            match number {
                2 => Err("the key chain is locked".to_owned()),
                3 => Ok("two\nlines".to_owned()),
                number => Ok(format!("token-{number}")),
            }
        }
    }));
    for number in 0..2 {
        let (_socket, _events) = open(&url, &config);
        let expected = format!("Bearer token-{number}");
        assert_eq!(accept(&listener).await.1, Some(expected));
    }
    for word in ["the key chain is locked", "characters"] {
        let (_socket, mut events) = open(&url, &config);
        let SocketEvent::Closed { reason, .. } = next(&mut events).await else {
            panic!("it is tried again")
        };
        assert!(reason.contains(word) && !reason.contains("two"), "{reason}");
    }
    let fixed = Config::default()
        .with_token("t")
        .with_relay_header("authorization", "Bearer own");
    let (_socket, _events) = open(&url, &fixed);
    assert_eq!(accept(&listener).await.1.as_deref(), Some("Bearer own"));
    assert!(!format!("{:?}", Config::default().with_token("hidden")).contains("hidden"));
    assert!(Config::default().with_token("a b").validate().is_err());
}
