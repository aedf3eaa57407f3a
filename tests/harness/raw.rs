//! A WebSocket without a protocol on it, to say to a relay what no client would.

use crate::within;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use uuid::Uuid;

/// What the relay did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// It sent this text.
    Text(String),
    /// It closed the socket with this code and reason.
    Closed(u16, String),
}

/// An open WebSocket.
#[derive(Debug)]
pub struct RawClient(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl RawClient {
    /// Opens a socket and says nothing.
    pub async fn connect(url: &str) -> Self {
        let (socket, _) = within("the WebSocket opens", connect_async(url))
            .await
            .expect("the relay accepts sockets");
        Self(socket)
    }

    /// Opens a socket and registers.
    pub async fn register(url: &str, name: &str, uuid: Uuid) -> Self {
        let mut client = Self::connect(url).await;
        let registration = format!(r#"{{"name": "{name}", "uuid": "{uuid}", "message_type": "relay_registration"}}"#);
        client.send(registration).await;
        let success = r#"{"success": true, "message": null, "error": false, "message_type": "relay_response"}"#;
        assert_eq!(client.next().await, Received::Text(success.into()));
        client
    }

    /// Sends a text frame.
    pub async fn send(&mut self, text: impl Into<String>) {
        self.0
            .send(Message::text(text.into()))
            .await
            .expect("the socket is open");
    }

    /// Sends a binary frame.
    pub async fn send_binary(&mut self, bytes: &'static [u8]) {
        self.0.send(Message::binary(bytes)).await.expect("the socket is open");
    }

    /// What the relay does next; pings are answered on the way.
    pub async fn next(&mut self) -> Received {
        loop {
            match within("the relay answers", self.0.next()).await {
                Some(Ok(Message::Text(text))) => return Received::Text(text.to_string()),
                Some(Ok(Message::Close(Some(frame)))) => {
                    // The relay waits for our answer, and then for the end of our half of the connection.
                    while within("the relay ends the connection", self.0.next()).await.is_some() {}
                    let _ = self.0.get_mut().shutdown().await;
                    return Received::Closed(frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("neither text nor a close with a code: {other:?}"),
            }
        }
    }
}
