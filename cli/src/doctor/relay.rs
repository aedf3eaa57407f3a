//! Whether a relay can be reached, step by step, so that the first step that fails says what to do.

use crate::args::RelayTlsArgs;
use crate::net;
use crosspeer::IceServer;
use crosspeer_native::Route;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What `/healthz` may answer at most.
const MAX_RESPONSE: u64 = 4096;

#[derive(Debug, Default)]
pub(super) struct RelayReport {
    /// The proxy in between, whose connection to the relay is its own matter.
    pub(super) proxy: Option<String>,
    /// The time for opening a TCP connection.
    pub(super) tcp: Option<Duration>,
    /// Whether `/healthz` answered 200; `None` where it was not asked (wss) or is not known there (ProxyStore's relay).
    pub(super) healthy: Option<bool>,
    /// The time for WebSocket and registration.
    pub(super) registered: Option<Duration>,
    /// The STUN and TURN servers that it gives its clients.
    pub(super) servers: Option<IceServer>,
    /// What failed, and what to do.
    pub(super) error: Option<String>,
}

pub(super) async fn check(url: &str, tls: &RelayTlsArgs, time: Duration) -> RelayReport {
    let mut report = RelayReport::default();
    if let Err(error) = run(url, tls, time, &mut report).await {
        report.error = Some(error);
    }
    report
}

#[allow(clippy::disallowed_methods)] // measures, and decides nothing
async fn run(url: &str, tls: &RelayTlsArgs, time: Duration, report: &mut RelayReport) -> Result<(), String> {
    let config = net::relay_config(tls).map_err(|failure| failure.to_string())?;
    let route = Route::to(url, &config).map_err(|error| error.to_string())?;
    match &route.proxy {
        Some(proxy) => report.proxy = Some(proxy.clone()),
        None => direct(&route, time, report).await?,
    }
    let started = Instant::now();
    report.servers = net::register(url, config, time)
        .await
        .map_err(|failure| failure.to_string())?;
    report.registered = Some(started.elapsed());
    Ok(())
}

#[allow(clippy::disallowed_methods)] // measures, and decides nothing
async fn direct(route: &Route, time: Duration, report: &mut RelayReport) -> Result<(), String> {
    let (host, port) = (&route.host, route.port);
    let started = Instant::now();
    let mut stream = match timeout(time, TcpStream::connect((host.as_str(), port))).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            return Err(format!(
                "cannot connect to {host}:{port}: {error}; check the URL, and that the relay is running"
            ));
        }
        Err(_) => {
            return Err(format!(
                "no connection to {host}:{port} within {time:?}; a firewall may be in the way"
            ));
        }
    };
    report.tcp = Some(started.elapsed());
    if !route.tls {
        report.healthy = timeout(time, health(&mut stream, host)).await.ok().flatten();
    }
    Ok(())
}

/// `None` where there is no such page.
async fn health(stream: &mut TcpStream, host: &str) -> Option<bool> {
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut response = Vec::new();
    stream.take(MAX_RESPONSE).read_to_end(&mut response).await.ok()?;
    let response = String::from_utf8_lossy(&response);
    match response.split_whitespace().nth(1)?.parse::<u16>().ok()? {
        200 => Some(true),
        500.. => Some(false),
        _ => None,
    }
}
