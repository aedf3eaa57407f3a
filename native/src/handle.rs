//! The handles of [`crosspeer`], opened on this platform.

use crate::{Native, Route};
use crosspeer::{Config, Result};
use std::ops::Deref;

/// [`crosspeer::PeerManager`] on this platform.
#[derive(Debug, Clone)]
pub struct PeerManager(crosspeer::PeerManager);

impl PeerManager {
    /// Registers at the relay and is then ready for peers. Call it within a tokio runtime, which carries it from then
    /// on; the relay is tried until `connect_timeout` is over.
    ///
    /// # Errors
    /// [`crosspeer::Error::InvalidInput`] for a URL or configuration that cannot work,
    /// [`crosspeer::Error::RelayUnreachable`] with the last failure, at once where trying again would not help;
    /// [`crosspeer::Error::RelayRefused`].
    pub async fn join(url: &str, config: Config) -> Result<Self> {
        Route::to(url, &config)?;
        let (manager, driver) = crosspeer::PeerManager::new(Native::of(&config)?, url, config)?;
        tokio::spawn(driver.run());
        manager.registered().await?;
        Ok(Self(manager))
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
    /// Registers at the relay. Call it within a tokio runtime, which carries it from then on; the relay is tried until
    /// `connect_timeout` is over.
    ///
    /// # Errors
    /// As [`PeerManager::join`].
    pub async fn connect(url: &str, config: Config) -> Result<Self> {
        Route::to(url, &config)?;
        let (client, driver) = crosspeer::RelayClient::new(Native::of(&config)?, url, config)?;
        tokio::spawn(driver.run());
        client.registered().await?;
        Ok(Self(client))
    }
}

impl Deref for RelayClient {
    type Target = crosspeer::RelayClient;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
