//! The kind of NAT, found and named as ProxyStore 1.1's `check-nat` does (RFC 5780: how it maps, not how it filters).

use super::stun::{Binding, bind_for, bindings};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// ProxyStore's `NatMapping`, by its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NatMapping {
    NoNat,
    EndpointIndependent,
    AddressDependent,
}

impl NatMapping {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::NoNat => "No NAT",
            Self::EndpointIndependent => "Endpoint-independent mapping",
            Self::AddressDependent => "Address-dependent mapping",
        }
    }

    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::NoNat => "this host is reachable as it is",
            Self::EndpointIndependent => "direct connections are likely to work",
            Self::AddressDependent => {
                "direct connections work only to peers without such a NAT; configure a TURN server (--turn)"
            }
        }
    }
}

/// A server and what it answered.
#[derive(Debug)]
pub(super) struct StunResult {
    pub(super) url: String,
    pub(super) server: Option<SocketAddr>,
    pub(super) answer: Result<Binding, String>,
}

/// Asks all servers at once, from one socket for each family so that the answers can be compared.
/// `servers` are URLs with what their names resolved to.
pub(super) async fn ask(servers: Vec<(String, Result<SocketAddr, String>)>, time: Duration) -> Vec<StunResult> {
    let of_family = |v4| {
        servers
            .iter()
            .filter_map(|(_, s)| s.clone().ok())
            .filter(move |s| s.is_ipv4() == v4)
    };
    let (v4, v6) = (
        of_family(true).collect::<Vec<_>>(),
        of_family(false).collect::<Vec<_>>(),
    );
    let (v4, v6) = tokio::join!(ask_family(&v4, time), ask_family(&v6, time));
    let (mut v4, mut v6) = (v4.into_iter(), v6.into_iter());
    let result = |(url, server): (String, Result<SocketAddr, String>)| {
        let answer = match &server {
            Ok(SocketAddr::V4(_)) => v4.next(),
            Ok(SocketAddr::V6(_)) => v6.next(),
            Err(error) => Some(Err(error.clone())),
        };
        let answer = answer.unwrap_or_else(|| Err("not asked".into()));
        StunResult {
            url,
            server: server.ok(),
            answer,
        }
    };
    servers.into_iter().map(result).collect()
}

/// `None` with fewer than two answers from different IPv4 addresses.
pub(super) fn mapping(results: &[StunResult]) -> Option<NatMapping> {
    let mut seen: Vec<(IpAddr, SocketAddr)> = Vec::new();
    for result in results {
        if let (Some(SocketAddr::V4(server)), Ok(binding)) = (result.server, &result.answer) {
            let ip = IpAddr::V4(*server.ip());
            if !seen.iter().any(|(known, _)| *known == ip) {
                seen.push((ip, binding.mapped));
            }
        }
    }
    let [(server, first), rest @ ..] = &seen[..] else {
        return None;
    };
    match rest {
        [] => None,
        _ if rest.iter().any(|(_, mapped)| mapped != first) => Some(NatMapping::AddressDependent),
        _ if local_address_towards(*server) == Some(first.ip()) => Some(NatMapping::NoNat),
        _ => Some(NatMapping::EndpointIndependent),
    }
}

async fn ask_family(servers: &[SocketAddr], time: Duration) -> Vec<Result<Binding, String>> {
    let Some(first) = servers.first() else {
        return Vec::new();
    };
    match bind_for(*first).await {
        Ok(socket) => bindings(&socket, servers, time).await,
        Err(error) => servers.iter().map(|_| Err(error.clone())).collect(),
    }
}

/// The address that the system would send from; connecting a UDP socket sends nothing.
fn local_address_towards(server: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = std::net::Ipv4Addr::UNSPECIFIED.into();
    let socket = std::net::UdpSocket::bind((any, 0)).ok()?;
    socket.connect((server, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(server: &str, mapped: &str) -> StunResult {
        let (mapped, round_trip) = (mapped.parse().unwrap(), Duration::ZERO);
        StunResult {
            url: server.into(),
            server: server.parse().ok(),
            answer: Ok(Binding { mapped, round_trip }),
        }
    }

    #[test]
    fn one_server_does_not_tell_the_kind() {
        let one = result("127.0.0.1:1", "10.0.0.1:5");
        let same_address = result("127.0.0.1:2", "10.0.0.1:5");
        assert_eq!(mapping(&[one, same_address]), None);
    }

    #[test]
    fn the_same_mapping_everywhere_is_endpoint_independent() {
        let results = [result("127.0.0.1:1", "10.9.9.9:5"), result("127.0.0.2:1", "10.9.9.9:5")];
        assert_eq!(mapping(&results), Some(NatMapping::EndpointIndependent));
    }

    #[test]
    fn another_mapping_for_each_server_is_address_dependent() {
        let results = [result("127.0.0.1:1", "10.9.9.9:5"), result("127.0.0.2:1", "10.9.9.9:6")];
        assert_eq!(mapping(&results), Some(NatMapping::AddressDependent));
    }

    #[test]
    fn being_seen_at_the_own_address_is_no_nat() {
        let results = [
            result("127.0.0.1:1", "127.0.0.1:5"),
            result("127.0.0.2:1", "127.0.0.1:5"),
        ];
        assert_eq!(mapping(&results), Some(NatMapping::NoNat));
    }
}
