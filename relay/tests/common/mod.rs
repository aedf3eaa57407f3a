//! A relay on a free port and clients that speak to it by hand.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::expect_used, clippy::panic)] // each test binary uses its part

pub mod nodes;

use crosspeer::relay::{DescriptionType, PeerConnectionMessage, Registration, RelayMessage};
use crosspeer_relay::{Hub, Limits, Relay, RelayConfig, Reload};
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

/// A relay: one node, or, in the tests of clusters, three behind a load balancer.
pub struct Server {
    pub address: SocketAddr,
    /// Of the first node, as what follows.
    pub hub: Hub,
    pub metrics: Option<SocketAddr>,
    pub reload: Reload,
    pub hubs: Vec<Hub>,
    /// The nodes themselves.
    pub nodes: Vec<SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    _around: Option<(nodes::Nats, nodes::Balancer)>,
}

/// Whether these tests are about three nodes that are to be as good as one.
pub fn clustered() -> bool {
    env!("CARGO_CRATE_NAME") == "cluster" && nodes::nats_server().is_some()
}

impl Server {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn limited(change: impl FnOnce(&mut Limits)) -> Self {
        Self::with(|config| change(&mut config.limits)).await
    }

    pub async fn with(change: impl FnOnce(&mut RelayConfig)) -> Self {
        let mut config = nodes::local();
        change(&mut config);
        match clustered() {
            false => Self::of(vec![Relay::bind(config).await.expect("binds")], None).await,
            true => {
                let nats = nodes::Nats::start().await;
                let urls = [nats.url.clone(), nats.url.clone(), nats.url.clone()];
                let relays = nodes::bind(&config, &urls).await;
                let addresses = relays.iter().map(Relay::local_addr).collect();
                let balancer = nodes::Balancer::start(addresses).await;
                Self::of(relays, Some((nats, balancer))).await
            }
        }
    }

    async fn of(relays: Vec<Relay>, around: Option<(nodes::Nats, nodes::Balancer)>) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = futures_util::FutureExt::shared(stopped);
        let first = &relays[0];
        Self {
            address: around
                .as_ref()
                .map_or(first.local_addr(), |(_, balancer)| balancer.address),
            hub: first.hub().clone(),
            metrics: first.metrics_addr(),
            reload: first.reloader(),
            hubs: relays.iter().map(|relay| relay.hub().clone()).collect(),
            nodes: relays.iter().map(Relay::local_addr).collect(),
            stop: Some(stop),
            task: tokio::spawn(async move {
                let serving = relays.into_iter().map(|relay| {
                    let stopped = stopped.clone();
                    relay.serve(async {
                        let _ = stopped.await;
                    })
                });
                futures_util::future::join_all(serving).await;
            }),
            _around: around,
        }
    }

    /// How many clients are registered, at all nodes together.
    pub fn registered(&self) -> usize {
        self.hubs.iter().map(Hub::registered).sum()
    }

    /// A client that has not registered.
    pub async fn connect(&self) -> Client {
        Client::at(self.address).await
    }

    /// The same by another path and query.
    pub async fn connect_to(&self, path: &str) -> Client {
        Client::by(self.address, path).await
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

impl Client {
    /// One that has not registered.
    pub async fn at(address: SocketAddr) -> Self {
        Self::by(address, "/").await
    }

    /// The same by another path and query.
    pub async fn by(address: SocketAddr, path: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("connects");
        let (socket, _) = tokio_tungstenite::client_async(format!("ws://{address}{path}"), stream)
            .await
            .expect("opens");
        Self { socket }
    }

    /// One that has registered.
    pub async fn registered_at(address: SocketAddr, n: u8) -> Self {
        let mut client = Self::at(address).await;
        client.register(n).await;
        client
    }
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
