//! A relay with a server of its own: listening, TLS, shutting down.

use crate::config::{RelayConfig, RelayError, TurnConfig};
use crate::hub::Hub;
use crate::strangers::Stranger;
use crate::turn::{self, Fronts, Handout, Secret, Turn};
use crate::{cluster, http, tls};
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

/// Bytes of a request's headers.
const MAX_HEADERS: usize = 16 << 10;

/// A relay that listens.
#[derive(Debug)]
pub struct Relay {
    hub: Hub,
    listeners: Vec<TcpListener>,
    local_addr: SocketAddr,
    acceptor: Option<Acceptor>,
    metrics: Option<TcpListener>,
    turn: Option<(Turn, Fronts)>,
}

/// TLS, by the certificate that was read last.
#[derive(Clone)]
struct Acceptor(Arc<RwLock<TlsAcceptor>>);

/// Reads again what may change while a relay runs: its certificate, and what judges tokens.
#[derive(Debug, Clone)]
pub struct Reload {
    hub: Hub,
    acceptor: Option<Acceptor>,
}

impl Reload {
    /// Reads the files that this configuration names. Clients stay, unless their tokens were taken back. Nothing else of
    /// the configuration is looked at.
    ///
    /// # Errors
    /// A file cannot be read or used, or there are no tokens any more; then all stays as it was.
    pub fn reload(&self, config: &RelayConfig) -> Result<(), RelayError> {
        let read = tls::acceptor(config)?;
        self.hub.reload_tokens(config)?;
        if let (Some(Acceptor(present)), Some(read)) = (&self.acceptor, read) {
            *present.write().unwrap_or_else(PoisonError::into_inner) = read;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor")
    }
}

impl Relay {
    /// Listens; clients are served from [`serve`](Self::serve) on.
    ///
    /// # Errors
    /// The configuration cannot be used, a certificate cannot be read, or the address cannot be bound.
    pub async fn bind(config: RelayConfig) -> Result<Self, RelayError> {
        config.validate()?;
        let acceptor = tls::acceptor(&config)?.map(|acceptor| Acceptor(Arc::new(RwLock::new(acceptor))));
        let hub = Hub::new(&config)?;
        if !config.cluster.servers.is_empty() {
            let weak = hub.downgrade();
            let (cluster, task) = cluster::join(move || weak.upgrade(), &config.cluster).await?;
            hub.set_cluster(cluster, task);
        }
        let failed = |source| RelayError::Bind {
            address: config.address(),
            source,
        };
        let (secret, turn) = turning(&config.turn)?;
        let (listeners, fronts) = listen_both(&config, turn.as_ref()).await.map_err(failed)?;
        let local_addr = listeners[0].local_addr().map_err(failed)?;
        if let Some(secret) = secret {
            hub.hand_out(Handout::new(
                &config.turn,
                secret,
                local_addr.port(),
                acceptor.is_some(),
            ));
        }
        let metrics = match config.metrics {
            Some(address) => Some(TcpListener::bind(address).await.map_err(|source| RelayError::Bind {
                address: format!("{address} (metrics)"),
                source,
            })?),
            None => None,
        };
        Ok(Self {
            hub,
            listeners,
            local_addr,
            acceptor,
            metrics,
            turn: turn.zip(fronts),
        })
    }

    /// Where it serves its metrics, if it does.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics.as_ref()?.local_addr().ok()
    }

    /// What reads its files again.
    pub fn reloader(&self) -> Reload {
        Reload {
            hub: self.hub.clone(),
            acceptor: self.acceptor.clone(),
        }
    }

    /// Where it listens; with a configured port of 0, the port the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Its clients.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Serves until `shutdown`, then closes every client with 1001 and waits for them for a moment
    /// ([`Limits::close_timeout`](crate::Limits::close_timeout)).
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let Self {
            hub,
            listeners,
            acceptor,
            metrics,
            turn,
            ..
        } = self;
        let _watched = metrics.map(|listener| Served::start(listener, &hub));
        let scheme = if acceptor.is_some() { "wss" } else { "ws" };
        info!("listening on {scheme}://{}", self.local_addr);
        let (turn, fronts) = turn.unzip();
        let ending = turn.clone().map(Ending);
        let door = Door {
            hub: hub.clone(),
            acceptor,
            turn,
        };
        let accepting = listeners.into_iter().map(|listener| accept(listener, &door));
        let accepting = futures_util::future::join_all(accepting);
        let mut accepting = std::pin::pin!(futures_util::future::join(accepting, door.relay_packets(fronts)));
        tokio::select! {
            _ = &mut accepting => {}
            () = shutdown => {}
        }
        info!(clients = hub.registered(), "shutting down");
        // Whoever still comes is sent elsewhere in words, not refused.
        tokio::select! {
            _ = accepting => {}
            () = hub.shut_down() => {}
        }
        if let Some(Ending(turn)) = &ending {
            turn.close().await;
        }
    }
}

/// Ends the TURN server when it is dropped: its clients' tasks are not those of whoever serves.
struct Ending(Turn);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The metrics' server, until it is dropped.
struct Served(tokio::task::JoinHandle<()>);

impl Served {
    fn start(listener: TcpListener, hub: &Hub) -> Self {
        let router = http::operators(hub);
        Self(tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                warn!("the metrics are no longer served: {error}");
            }
        }))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What STUN and TURN credentials are made of, where clients are given any, and this relay's own server.
fn turning(config: &TurnConfig) -> Result<(Option<Secret>, Option<Turn>), RelayError> {
    if !config.is_used() {
        return Ok((None, None));
    }
    let secret = Secret::load(config.secret_file.as_deref())?;
    let turn = match config.serve {
        true => Some(Turn::new(config, secret.clone())?),
        false => None,
    };
    Ok((Some(secret), turn))
}

/// Binds every address of the host that can be bound, and at least one, all with one port.
async fn listen(config: &RelayConfig) -> std::io::Result<Vec<TcpListener>> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut failure = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for mut address in config.addresses().await? {
        if let Some(first) = listeners.first() {
            if config.one_host().is_none() {
                break;
            }
            address.set_port(first.local_addr()?.port());
        }
        match TcpListener::bind(address).await {
            Ok(listener) => listeners.push(listener),
            Err(error) => failure = error,
        }
    }
    match listeners.is_empty() {
        true => Err(failure),
        false => Ok(listeners),
    }
}

/// Binds TCP, and UDP at the same port if there is a TURN server. Where the system chooses the port, one is looked for
/// that is free for both.
async fn listen_both(config: &RelayConfig, turn: Option<&Turn>) -> std::io::Result<(Vec<TcpListener>, Option<Fronts>)> {
    let mut tries = if config.port == 0 { 16 } else { 1 };
    loop {
        let listeners = listen(config).await?;
        let Some(turn) = turn else {
            return Ok((listeners, None));
        };
        let addresses: std::io::Result<Vec<_>> = listeners.iter().map(TcpListener::local_addr).collect();
        tries -= 1;
        match turn.listen(&addresses?) {
            Ok(fronts) => return Ok((listeners, Some(fronts))),
            Err(error) if tries == 0 => return Err(error),
            Err(_) => {}
        }
    }
}

/// What every connection comes to.
#[derive(Clone)]
struct Door {
    hub: Hub,
    acceptor: Option<Acceptor>,
    turn: Option<Turn>,
}

impl Door {
    /// Serves the TURN server's clients that come by UDP, for ever; without one nobody, and at once.
    async fn relay_packets(&self, fronts: Option<Fronts>) {
        if let (Some(turn), Some(fronts)) = (&self.turn, fronts) {
            info!("STUN and TURN at the same port");
            turn.serve(fronts).await;
        }
    }
}

async fn accept(listener: TcpListener, door: &Door) {
    each(listener, &door.hub, |stream, remote, stranger| {
        tokio::spawn(connection(stream, remote, door.clone(), stranger));
    })
    .await;
}

/// Gives on whoever comes, for ever. Each counts until it is a client's, which counts for itself, or gone.
async fn each(listener: TcpListener, hub: &Hub, comes: impl Fn(TcpStream, SocketAddr, Stranger)) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => match hub.stranger(remote.ip()) {
                Some(stranger) => {
                    let _ = stream.set_nodelay(true);
                    comes(stream, remote, stranger);
                }
                None => debug!(%remote, "turned away: too many from this address have not registered"),
            },
            Err(error) => {
                // Out of file descriptors, mostly: it passes when a client leaves.
                warn!("cannot accept a connection: {error}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

impl Hub {
    /// Serves your own routes, with or around its [`router`](Self::router), as a [`Relay`] serves its own: requests have to
    /// come in time, and an address has so many connections that are no clients
    /// ([`Limits::strangers_per_address`](crate::Limits::strangers_per_address)). Never ends.
    pub async fn serve(&self, listener: TcpListener, routes: Router) {
        each(listener, self, |stream, remote, stranger| {
            let routes = routes.clone().layer(Extension(ConnectInfo(remote)));
            let kept = (self.limits().request_timeout, stranger);
            tokio::spawn(http(stream, remote, TowerToHyperService::new(routes), kept));
        })
        .await;
    }
}

async fn connection(stream: TcpStream, remote: SocketAddr, door: Door, stranger: Stranger) {
    let patience = door.hub.limits().request_timeout;
    let local = stream.local_addr().unwrap_or(remote);
    let Some(Acceptor(acceptor)) = &door.acceptor else {
        return speak(stream, [remote, local], &door, stranger).await;
    };
    if door.turn.is_some() {
        // TURN without TLS may come here too; what TLS says first is no STUN.
        let mut first = [0];
        match timeout(patience, stream.peek(&mut first)).await {
            Ok(Ok(1)) if turn::is_stun(first[0]) => return speak(stream, [remote, local], &door, stranger).await,
            Ok(Ok(1)) => {}
            _ => return debug!(%remote, "said nothing"),
        }
    }
    let acceptor = acceptor.read().unwrap_or_else(PoisonError::into_inner).clone();
    match timeout(patience, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => speak(stream, [remote, local], &door, stranger).await,
        Ok(Err(error)) => debug!(%remote, "TLS handshake failed: {error}"),
        Err(_) => debug!(%remote, "TLS handshake timed out"),
    }
}

/// Serves what the first byte says that this is.
async fn speak<S>(stream: S, ends: [SocketAddr; 2], door: &Door, stranger: Stranger)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let [remote, _] = ends;
    let Some(turn) = &door.turn else {
        return requests(stream, remote, door.hub.clone(), stranger).await;
    };
    // Its buffer is passed by once it is empty.
    let mut stream = BufReader::with_capacity(1, stream);
    match timeout(door.hub.limits().request_timeout, stream.fill_buf()).await {
        Ok(Ok([first, ..])) if turn::is_stun(*first) => turn.serve_stream(stream, ends, stranger).await,
        Ok(Ok([_, ..])) => requests(stream, remote, door.hub.clone(), stranger).await,
        _ => debug!(%remote, "said nothing"),
    }
}

async fn requests<S>(stream: S, remote: SocketAddr, hub: Hub, stranger: Stranger)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let patience = hub.limits().request_timeout;
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let response = http::answer(&hub, request.map(Body::new), Some(remote));
        std::future::ready(Ok::<_, Infallible>(response))
    });
    http(stream, remote, service, (patience, stranger)).await;
}

/// Serves requests, of which each has to come in time.
async fn http<S, H>(stream: S, remote: SocketAddr, service: H, (patience, _stranger): (Duration, Stranger))
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: HttpService<Incoming, ResBody = Body>,
    H::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        debug!(%remote, "HTTP: {error}");
    }
}
