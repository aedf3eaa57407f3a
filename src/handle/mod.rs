//! What users hold: [`PeerManager`], [`PeerConnection`], [`RelayClient`]. They only talk to the driver, so they are
//! `Send`, `Sync` and cheap to clone on every target.

mod asking;
mod client;
mod connection;
pub(crate) mod hub;
mod manager;

pub use asking::Asking;
pub use client::RelayClient;
pub use connection::PeerConnection;
pub use manager::PeerManager;

use crate::driver::Driver;
use crate::json;
use crate::platform::Platform;
use crate::relay::Registration;
use crate::router::{Mode, Request, Router};
use crate::{Config, Error, Result};
use hub::{Caller, Hub};
use std::sync::Arc;
use uuid::Uuid;

/// What a manager and a client have in common.
#[derive(Clone)]
struct Node {
    caller: Caller,
    hub: Arc<Hub>,
    me: Arc<Registration>,
    config: Arc<Config>,
}

impl Node {
    /// A node that does nothing until its driver runs.
    fn new<P: Platform>(platform: P, mode: Mode, url: &str, config: Config) -> Result<(Self, Driver<P>)> {
        config.validate()?;
        check_url(url)?;
        let name = config
            .name
            .clone()
            .or_else(|| platform.host_name())
            .unwrap_or_else(|| "crosspeer".into());
        let me = Registration {
            name,
            uuid: config.uuid.unwrap_or_else(Uuid::new_v4),
        };
        let (caller, calls) = Caller::channel();
        let hub = Arc::new(Hub::new(config.receive_buffer_bytes));
        let config = Arc::new(config);
        let router = Router::new(mode, url.to_owned(), me.clone(), config.clone(), fastrand::u64(..));
        let driver = Driver::new(platform, router, url.to_owned(), config.clone(), calls, hub.clone());
        Ok((
            Self {
                caller,
                hub,
                me: Arc::new(me),
                config,
            },
            driver,
        ))
    }

    fn ask(&self, request: Request) -> Asking {
        Asking::new(&self.caller, request)
    }
}

fn check_url(url: &str) -> Result<()> {
    let rest = url.strip_prefix("ws://").or_else(|| url.strip_prefix("wss://"));
    match rest {
        Some(host) if !host.is_empty() && !host.starts_with('/') => Ok(()),
        _ => {
            let text = format!(
                "the relay's URL {} must look like ws://host:port or wss://host",
                json::string(url)
            );
            Err(Error::InvalidInput(text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_websocket_urls_are_relays() {
        for url in ["ws://localhost:8700", "wss://relay.example", "ws://[::1]:8700/path?x"] {
            assert_eq!(check_url(url), Ok(()));
        }
        for url in ["", "localhost:8700", "http://localhost", "ws://", "wss:///x"] {
            assert!(matches!(check_url(url), Err(Error::InvalidInput(_))), "{url}");
        }
    }
}
