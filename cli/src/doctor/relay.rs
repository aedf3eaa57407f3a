//! Whether a relay can be reached, step by step, so that the first step that fails says what to do.

use crate::args::RelayTlsArgs;
use crate::net;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What `/healthz` may answer at most.
const MAX_RESPONSE: u64 = 4096;

#[derive(Debug, Default)]
pub(super) struct RelayReport {
    /// The time for opening a TCP connection.
    pub(super) tcp: Option<Duration>,
    /// Whether `/healthz` answered 200; `None` where it was not asked (wss) or is not known there (ProxyStore's relay).
    pub(super) healthy: Option<bool>,
    /// The time for WebSocket and registration.
    pub(super) registered: Option<Duration>,
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
    let (host, port) = authority(url)?;
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
    if url.starts_with("ws://") {
        report.healthy = timeout(time, health(&mut stream, &host)).await.ok().flatten();
    }
    drop(stream);
    let started = Instant::now();
    net::register(url, tls, time)
        .await
        .map_err(|failure| failure.to_string())?;
    report.registered = Some(started.elapsed());
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

fn authority(url: &str) -> Result<(String, u16), String> {
    let (scheme, rest) = url
        .split_once("://")
        .ok_or("the relay's URL must start with ws:// or wss://")?;
    let default = match scheme {
        "ws" => 80,
        "wss" => 443,
        _ => {
            return Err(format!(
                "the relay's URL must start with ws:// or wss://, not {scheme}://"
            ));
        }
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let authority = authority.rsplit('@').next().unwrap_or(authority);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !authority.ends_with(']') => {
            (host, port.parse().map_err(|_| format!("`{port}` is not a port"))?)
        }
        _ => (authority, default),
    };
    match host.trim_matches(['[', ']']) {
        "" => Err("the relay's URL has no host".into()),
        host => Ok((host.to_owned(), port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_url_names_host_and_port() {
        for (url, host, port) in [
            ("ws://127.0.0.1:8700", "127.0.0.1", 8700),
            ("wss://relay.example/path?x=1", "relay.example", 443),
            ("ws://[::1]:8700/", "::1", 8700),
            ("ws://[::1]", "::1", 80),
        ] {
            assert_eq!(authority(url), Ok((host.to_owned(), port)), "{url}");
        }
        for url in ["relay.example", "http://relay.example", "ws://", "ws://host:port"] {
            assert!(authority(url).is_err(), "{url}");
        }
    }
}
