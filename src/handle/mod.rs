//! What users hold: [`PeerManager`], [`PeerConnection`], [`RelayClient`]. They only talk to the driver, so they are
//! `Send`, `Sync` and cheap to clone on every target.

mod asking;
mod client;
mod connection;
mod manager;

pub use asking::Asking;
pub use client::RelayClient;
pub use connection::PeerConnection;
pub use manager::PeerManager;

use crate::driver::Driver;
use crate::mailroom::{Caller, Mailroom};
use crate::platform::Platform;
use crate::relay::{MAX_NAME_BYTES, Registration, url};
use crate::request::Request;
use crate::router::{Mode, Router};
use crate::{Config, Error, Fingerprint, Result, identity};
use std::sync::Arc;
use uuid::Uuid;

/// What a manager and a client have in common.
#[derive(Clone)]
struct Node {
    caller: Caller,
    mailroom: Arc<Mailroom>,
    me: Arc<Registration>,
    config: Arc<Config>,
}

impl Node {
    /// A node that does nothing until its driver runs.
    fn new<P: Platform>(platform: P, mode: Mode, url: &str, config: Config) -> Result<(Self, Driver<P>)> {
        config.validate()?;
        let mut url = url::with_secret(&url::usable(url)?, &Uuid::new_v4().simple().to_string());
        if config.relay_ice_servers {
            url = url::asking_for_ice(&url);
        }
        let name = config
            .name
            .clone()
            .or_else(|| platform.host_name())
            .unwrap_or_else(|| "crosspeer".into());
        let me = Registration {
            name: check_name(name)?,
            uuid: own_id(config.uuid, platform.fingerprint())?,
        };
        let (caller, calls) = Caller::channel();
        let mailroom = Arc::new(Mailroom::new(config.receive_buffer_bytes));
        let config = Arc::new(config);
        let router = Router::new(mode, &url, me.clone(), config.clone(), fastrand::u64(..));
        let driver = Driver::new(platform, router, url, config.clone(), calls, mailroom.clone());
        Ok((
            Self {
                caller,
                mailroom,
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

/// The id that was asked for, or that the certificate gives.
fn own_id(asked: Option<Uuid>, certificate: Option<Fingerprint>) -> Result<Uuid> {
    let own = certificate.map(|fingerprint| fingerprint.uuid());
    match asked {
        Some(id) if identity::is_key(id) && own != Some(id) => Err(Error::InvalidInput(format!(
            "the UUID {id} belongs to another certificate than this peer's: leave it out, or use that certificate's identity"
        ))),
        Some(id) => Ok(id),
        None => Ok(own.unwrap_or_else(Uuid::new_v4)),
    }
}

fn check_name(name: String) -> Result<String> {
    match name.len() {
        0..=MAX_NAME_BYTES => Ok(name),
        bytes => {
            let text = format!("the name has {bytes} bytes, relays take {MAX_NAME_BYTES}");
            Err(Error::InvalidInput(text))
        }
    }
}
