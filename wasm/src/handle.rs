//! The handles of [`crosspeer`], opened on this platform.

use crate::Web;
use crate::task::Task;
use crosspeer::{Config, PeerConnection, Result};
use std::ops::Deref;
use std::rc::Rc;

/// [`crosspeer::PeerManager`] on this platform.
#[derive(Debug, Clone)]
pub struct PeerManager(crosspeer::PeerManager, Web);

impl PeerManager {
    /// Registers at the relay and is then ready for peers; the relay is tried until `connect_timeout` is over.
    ///
    /// # Errors
    /// [`crosspeer::Error::InvalidInput`] for a URL or configuration that cannot work,
    /// [`crosspeer::Error::RelayUnreachable`] with the last failure, [`crosspeer::Error::RelayRefused`].
    pub async fn join(url: &str, config: Config) -> Result<Self> {
        let web = Web::of(&config, None).await;
        let (manager, _) = Self::start(url, config, web)?;
        manager.registered().await?;
        Ok(manager)
    }

    /// One that is yet to be registered, and its driver.
    pub(crate) fn start(url: &str, config: Config, web: Web) -> Result<(Self, Rc<Task>)> {
        let (manager, driver) = crosspeer::PeerManager::new(web.clone(), url, config)?;
        Ok((Self(manager, web), Task::spawn(driver.run())))
    }

    /// The browser's own object behind one of this manager's connections, while there is one: for its statistics.
    pub fn rtc_peer_connection(&self, connection: &PeerConnection) -> Option<web_sys::RtcPeerConnection> {
        self.1.rtc_peer_connection(connection.rtc_id()?)
    }
}

impl Deref for PeerManager {
    type Target = crosspeer::PeerManager;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// [`crosspeer::RelayClient`] on this platform.
#[derive(Debug, Clone)]
pub struct RelayClient(crosspeer::RelayClient);

impl RelayClient {
    /// Registers at the relay; it is tried until `connect_timeout` is over.
    ///
    /// # Errors
    /// As [`PeerManager::join`].
    pub async fn connect(url: &str, config: Config) -> Result<Self> {
        let web = Web::of(&config, None).await;
        let (client, _) = Self::start(url, config, web)?;
        client.registered().await?;
        Ok(client)
    }

    /// One that is yet to be registered, and its driver.
    pub(crate) fn start(url: &str, config: Config, web: Web) -> Result<(Self, Rc<Task>)> {
        let (client, driver) = crosspeer::RelayClient::new(web, url, config)?;
        Ok((Self(client), Task::spawn(driver.run())))
    }
}

impl Deref for RelayClient {
    type Target = crosspeer::RelayClient;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
