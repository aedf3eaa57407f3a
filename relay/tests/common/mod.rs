//! A relay on a free port and clients that speak to it by hand.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::expect_used, clippy::panic)] // each test binary uses its part

use crosspeer::relay::{DescriptionType, PeerConnectionMessage, Registration, RelayMessage};
use crosspeer_relay::{Hub, Limits, Relay, RelayConfig};
use futures_util::{SinkExt, StreamExt};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use uuid::Uuid;

pub const SUCCESS: &str = r#"{"success": true, "message": null, "error": false, "message_type": "relay_response"}"#;
/// Long enough that a test which waits for it fails by its runner's limit.
pub const NEVER: Duration = Duration::from_secs(3600);

pub struct Server {
    pub address: SocketAddr,
    pub hub: Hub,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn limited(change: impl FnOnce(&mut Limits)) -> Self {
        Self::with(|config| change(&mut config.limits)).await
    }

    pub async fn with(change: impl FnOnce(&mut RelayConfig)) -> Self {
        let mut config = RelayConfig::default();
        config.host = Some("127.0.0.1".into());
        config.port = 0;
        change(&mut config);
        let relay = Relay::bind(config).await.expect("binds");
        let (stop, stopped) = oneshot::channel();
        Self {
            address: relay.local_addr(),
            hub: relay.hub().clone(),
            stop: Some(stop),
            task: tokio::spawn(relay.serve(async {
                let _ = stopped.await;
            })),
        }
    }

    /// A client that has not registered.
    pub async fn connect(&self) -> Client {
        let url = format!("ws://{}/", self.address);
        let stream = TcpStream::connect(self.address).await.expect("connects");
        let (socket, _) = tokio_tungstenite::client_async(url, stream).await.expect("opens");
        Client { socket }
    }

    /// A client that has registered.
    pub async fn client(&self, n: u8) -> Client {
        let mut client = self.connect().await;
        client.register(n).await;
        client
    }

    /// Starts the shutdown; the server's end can be awaited.
    pub fn stop(&mut self) -> &mut JoinHandle<()> {
        drop(self.stop.take());
        &mut self.task
    }
}

pub struct Client<S = TcpStream> {
    pub socket: WebSocketStream<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub async fn register(&mut self, n: u8) {
        self.send(registration(n)).await;
        assert_eq!(self.text().await, SUCCESS);
    }

    pub async fn send(&mut self, text: impl Into<String>) {
        self.try_send(text).await.expect("sends");
    }

    pub async fn try_send(&mut self, text: impl Into<String>) -> Result<(), Error> {
        self.socket.send(Message::text(text.into())).await
    }

    /// The next text.
    pub async fn text(&mut self) -> String {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return text.to_string(),
                Some(Ok(Message::Ping(_))) => {}
                other => panic!("expected a text, got {other:?}"),
            }
        }
    }

    /// The code and reason with which the relay closes, whatever comes before.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return (frame.code.into(), frame.reason.to_string()),
                Some(Ok(_)) => {}
                other => panic!("expected a close frame, got {other:?}"),
            }
        }
    }
}

pub fn uuid(n: u8) -> Uuid {
    Uuid::from_u128(u128::from(n))
}

pub fn registration(n: u8) -> String {
    let (name, uuid) = (format!("peer {n}"), uuid(n));
    RelayMessage::Registration(Registration { name, uuid }).encode()
}

pub fn offer(source: u8, peer: u8, description: impl Into<String>) -> String {
    RelayMessage::PeerConnection(PeerConnectionMessage {
        source_uuid: uuid(source),
        source_name: format!("peer {source}"),
        peer_uuid: uuid(peer),
        description_type: DescriptionType::Offer,
        description: description.into(),
        error: None,
    })
    .encode()
}

/// The error with which the relay sent a message back.
pub fn error_in(text: &str) -> String {
    match RelayMessage::decode(text) {
        Ok(RelayMessage::PeerConnection(message)) => message.error.unwrap_or_default(),
        other => panic!("{other:?}"),
    }
}
