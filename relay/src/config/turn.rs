//! What can be set of the TURN server.

use super::RelayError;
use ipnet::IpNet;
use serde::Deserialize;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// STUN and TURN: the table `[turn]` of the configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TurnConfig {
    /// Whether the relay is a STUN and TURN server too, at its own port: UDP, TCP, and TLS where it has a certificate.
    /// Default `false`.
    pub serve: bool,
    /// This machine's public addresses, at most one IPv4 and one IPv6, where they are not its own: behind a NAT that
    /// forwards the ports. Default: the address at which a client reaches it.
    pub addresses: Vec<IpAddr>,
    /// The ports of relayed addresses, as `49152-65535`, which is the default.
    pub ports: String,
    /// A file with the secret that credentials are made of, as coturn's `static-auth-secret`. Default: a new one at each
    /// start.
    pub secret_file: Option<PathBuf>,
    /// The URLs that clients are given, in place of this server's own: for another TURN server with the same secret, or
    /// for one that clients reach by another name. Default none.
    pub urls: Vec<String>,
    /// Networks (`10.0.0.0/8`) that packets may be relayed to though they are private, link-local, loopback or this
    /// machine's. Default none.
    pub allow: Vec<IpNet>,
    /// Relayed addresses that one user (who has a token's subject, or else an address: of IPv6, a /64) may have at once: a connection keeps one for each of UDP and TCP or TLS. Default 256.
    pub allocations_per_user: usize,
    /// Relayed addresses that all users together may have at once, at most. Default: one for each port, but for no more
    /// than half of the files that the process may have open.
    pub allocations: Option<usize>,
    /// Bytes that one user may send and receive in a second, over all its relayed addresses; what exceeds them is dropped.
    /// Default: no limit.
    pub bytes_per_second: Option<u64>,
    /// For how many seconds credentials can be used; clients get others when half of them are over. Default 3600.
    pub lifetime: u64,
}

impl Default for TurnConfig {
    fn default() -> Self {
        Self {
            serve: false,
            addresses: Vec::new(),
            ports: "49152-65535".into(),
            secret_file: None,
            urls: Vec::new(),
            allow: Vec::new(),
            allocations_per_user: 256,
            allocations: None,
            bytes_per_second: None,
            lifetime: 3600,
        }
    }
}

impl TurnConfig {
    /// Whether clients are given any servers.
    pub(crate) fn is_used(&self) -> bool {
        self.serve || !self.urls.is_empty()
    }

    pub(crate) fn validate(&self) -> Result<(), RelayError> {
        self.port_range()?;
        let schemes = ["stun:", "turn:", "turns:"];
        let bad = |url: &&String| !schemes.iter().any(|scheme| url.starts_with(scheme)) || url.contains(' ');
        let twice = |of: fn(&&IpAddr) -> bool| self.addresses.iter().filter(of).count() > 1;
        let error = if let Some(url) = self.urls.iter().find(bad) {
            format!("turn.urls: {url:?} is no STUN or TURN server's: it must look like turn:host:port?transport=udp")
        } else if twice(|address| address.is_ipv4()) || twice(|address| address.is_ipv6()) {
            "turn.addresses: one IPv4 and one IPv6 address at most".into()
        } else if !self.urls.is_empty() && !self.serve && self.secret_file.is_none() {
            "turn.urls of another server need its secret: turn.secret_file (--turn-secret-file)".into()
        } else if self.lifetime < 2 || self.lifetime > u64::from(u32::MAX) {
            "turn.lifetime must be at least 2 seconds, and fit into 32 bits".into()
        } else if self.allocations_per_user == 0 || self.allocations == Some(0) || self.bytes_per_second == Some(0) {
            "turn.allocations_per_user, turn.allocations and turn.bytes_per_second must be above 0".into()
        } else {
            return Ok(());
        };
        Err(RelayError::Config(error))
    }

    /// The ports of relayed addresses; `validate` has found them to be some.
    pub(crate) fn port_range(&self) -> Result<RangeInclusive<u16>, RelayError> {
        let ports = self.ports.split_once('-').and_then(|(from, to)| {
            let (from, to): (u16, u16) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
            (0 < from && from <= to).then_some(from..=to)
        });
        let wrong = || RelayError::Config(format!("turn.ports: {:?} must look like 49152-65535", self.ports));
        ports.ok_or_else(wrong)
    }

    pub(crate) fn lifetime(&self) -> Duration {
        Duration::from_secs(self.lifetime)
    }
}
