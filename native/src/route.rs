//! How a relay would be reached, without reaching it; and how a TURN server is, without a peer.

use crate::proxy::Via;
use crate::rtc;
use crate::socket::prepare;
use crate::target::Target;
use crosspeer::{Config, Error, Result};
use tokio::io::{AsyncRead, AsyncWrite};

/// A connection to a TURN server of a `turn:…?transport=tcp` or `turns:…` URL, as this configuration (`proxy`, `tls`) makes
/// it: TCP, and TLS where the URL says so. Nothing has been said on it.
///
/// # Errors
/// [`Error::Platform`] says what failed.
pub async fn dial_turn(url: &str, config: &Config) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>> {
    rtc::dial(url, config).await.map_err(Error::Platform)
}

/// How a relay is reached from here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// The relay's host: a name, or an address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether it is a `wss://` relay.
    pub tls: bool,
    /// The proxy in between, if there is one, as a URL without its credentials.
    pub proxy: Option<String>,
}

impl Route {
    /// What this URL and configuration (`proxy`, `tls`, `relay_headers`) come to, with the environment as it is now.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for what can never work: the relay's or the proxy's URL, a header, a root certificate.
    pub fn to(url: &str, config: &Config) -> Result<Self> {
        let target = Target::parse(url.trim()).map_err(Error::InvalidInput)?;
        let via = Via::choose(&config.proxy, &target).map_err(Error::InvalidInput)?;
        prepare(&target, config).map_err(Error::InvalidInput)?;
        Ok(Self {
            proxy: via.map(|via| via.to_string()),
            tls: target.tls,
            port: target.port,
            host: target.host,
        })
    }
}
