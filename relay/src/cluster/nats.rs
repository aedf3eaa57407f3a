//! NATS as the link between nodes.

use super::bus::{Bus, Letter};
use crate::config::{ClusterConfig, RelayError};
use async_nats::{Client, ConnectOptions, Event, Message, ServerAddr, StatusCode};
use axum::body::Bytes;
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::BoxStream;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tracing::{info, warn};

/// Letters of one subject that wait here. Memory is bounded by what clients may have under way.
const WAITING: usize = 8192;
/// Commands that wait while the link is down.
const COMMANDS: usize = 65_536;
/// A server that answers two pings in a row with silence is gone.
const PING: Duration = Duration::from_secs(3);
/// The longest wait before another try.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Nats {
    client: Client,
    state: watch::Receiver<(bool, u64)>,
}

impl Nats {
    /// Goes to the first of the servers that answers; until one does, and whenever none does, it tries again.
    pub(super) async fn connect(config: &ClusterConfig) -> Result<Arc<dyn Bus>, RelayError> {
        let addresses: Vec<ServerAddr> = config
            .servers
            .iter()
            .map(|url| address(url))
            .collect::<Result<_, _>>()?;
        let (changes, state) = watch::channel((false, 0));
        let changes = Arc::new(changes);
        let options = options(config).await?.event_callback(move |event| {
            on_event(&changes, &event);
            std::future::ready(())
        });
        let client = options
            .connect(addresses)
            .await
            .map_err(|error| RelayError::Config(format!("the cluster's NATS: {error}")))?;
        Ok(Arc::new(Self { client, state }))
    }
}

/// A password in it is not shown.
fn address(url: &str) -> Result<ServerAddr, RelayError> {
    url.parse().map_err(|error| {
        let shown = url.rsplit('@').next().unwrap_or_default();
        RelayError::Config(format!(
            "{shown:?} is not a NATS server's URL ({error}): use nats://host:4222 or tls://host"
        ))
    })
}

async fn options(config: &ClusterConfig) -> Result<ConnectOptions, RelayError> {
    let mut options = ConnectOptions::new()
        .name("crosspeer-relay")
        .retry_on_initial_connect()
        .ping_interval(PING)
        .subscription_capacity(WAITING)
        .client_capacity(COMMANDS)
        .reconnect_delay_callback(|tries| {
            let tries = u32::try_from(tries).unwrap_or(u32::MAX);
            LONGEST_WAIT.min(Duration::from_millis(50).saturating_mul(tries))
        });
    let failed = |path: &std::path::Path| {
        let path = path.to_owned();
        move |source| RelayError::File { path, source }
    };
    if let Some(path) = &config.credentials {
        options = options.credentials_file(path).await.map_err(failed(path))?;
    }
    if let Some(path) = &config.nkey {
        let seed = std::fs::read_to_string(path).map_err(failed(path))?;
        options = options.nkey(seed.trim().to_owned());
    }
    if let Some(path) = &config.ca {
        options = options.add_root_certificates(path.clone()).require_tls(true);
    }
    Ok(options)
}

fn on_event(changes: &watch::Sender<(bool, u64)>, event: &Event) {
    match event {
        Event::Connected => {
            info!("the link to the cluster is up");
            changes.send_modify(|(up, times)| (*up, *times) = (true, *times + 1));
        }
        Event::Disconnected | Event::Closed => {
            warn!("the link to the cluster is down");
            changes.send_modify(|(up, _)| *up = false);
        }
        other => warn!("the cluster's NATS: {other}"),
    }
}

impl Bus for Nats {
    fn state(&self) -> watch::Receiver<(bool, u64)> {
        self.state.clone()
    }

    fn subscribe(&self, subject: String) -> BoxFuture<'_, Result<BoxStream<'static, Letter>, String>> {
        async move {
            let letters = self
                .client
                .subscribe(subject)
                .await
                .map_err(|error| error.to_string())?;
            Ok(letters.map(letter).boxed())
        }
        .boxed()
    }

    fn send(&self, subject: String, reply: Option<String>, payload: Bytes) -> BoxFuture<'_, Result<(), String>> {
        async move {
            let sent = match reply {
                Some(reply) => self.client.publish_with_reply(subject, reply, payload).await,
                None => self.client.publish(subject, payload).await,
            };
            sent.map_err(|error| error.to_string())
        }
        .boxed()
    }
}

fn letter(message: Message) -> Letter {
    Letter {
        subject: message.subject.to_string(),
        reply: message.reply.map(|reply| reply.to_string()),
        nobody: message.status == Some(StatusCode::NO_RESPONDERS),
        payload: message.payload,
    }
}
