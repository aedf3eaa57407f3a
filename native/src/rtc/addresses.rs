//! Which of this host's addresses peers are told of, the most useful first: there is a socket for each.

use rtc::shared::ifaces::ifaces;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Sockets of one connection; a host with more addresses than this leaves the least useful out.
const MAX_ADDRESSES: usize = 16;

/// How useful an address is to a peer, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Where packets to the Internet leave from.
    Routed,
    Global,
    /// RFC 1918, 6598 and 4193: a network of one's own.
    Private,
    /// Of a network that nobody has given addresses to, such as a cable between two laptops.
    LinkLocal,
    /// Of virtual machines and containers on this host.
    Virtual,
}

/// Every address a peer may reach us at: all interfaces, both families. Loopback only where there is nothing else.
pub(super) fn addresses() -> Vec<SocketAddr> {
    let found = ifaces().unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot list this host's network interfaces");
        Vec::new()
    });
    let found = found
        .into_iter()
        .filter_map(|interface| Some((interface.addr?.ip(), is_virtual(&interface.name))));
    let chosen = choose(found, &routed());
    chosen.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect()
}

/// What tells one network from another: this host's addresses, sorted, without those of loopback, of virtual machines and
/// of nobody's networks.
pub(crate) fn network() -> Vec<IpAddr> {
    let interfaces = ifaces().unwrap_or_default().into_iter();
    let real = interfaces.filter(|interface| !is_virtual(&interface.name));
    let mut found: Vec<IpAddr> = real
        .filter_map(|interface| Some(interface.addr?.ip()))
        .filter(|ip| rank(*ip, false, &[]).is_some_and(|rank| rank < Rank::LinkLocal))
        .collect();
    found.sort();
    found.dedup();
    found
}

fn choose(found: impl Iterator<Item = (IpAddr, bool)>, routed: &[IpAddr]) -> Vec<IpAddr> {
    let mut ranked: Vec<(Rank, IpAddr)> = Vec::new();
    for (ip, is_virtual) in found {
        let known = ranked.iter().any(|(_, other)| *other == ip);
        if let Some(rank) = rank(ip, is_virtual, routed).filter(|_| !known) {
            ranked.push((rank, ip));
        }
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    if ranked.iter().any(|(rank, _)| *rank < Rank::LinkLocal) {
        ranked.retain(|(rank, _)| *rank != Rank::LinkLocal);
    }
    if let Some((_, left_out)) = ranked.split_at_checked(MAX_ADDRESSES) {
        tracing::debug!(?left_out, "more addresses than a connection uses");
    }
    let chosen: Vec<IpAddr> = ranked.into_iter().take(MAX_ADDRESSES).map(|(_, ip)| ip).collect();
    match chosen.is_empty() {
        true => vec![Ipv4Addr::LOCALHOST.into()],
        false => chosen,
    }
}

/// `None` for what no peer can use. IPv6's link-local addresses mean nothing without their interface, which a candidate
/// cannot name.
fn rank(ip: IpAddr, is_virtual: bool, routed: &[IpAddr]) -> Option<Rank> {
    let (link_local, private) = match ip {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
            (v4.is_link_local(), v4.is_private() || shared)
        }
        IpAddr::V6(v6) if v6.is_unicast_link_local() => return None,
        IpAddr::V6(v6) => (false, v6.is_unique_local()),
    };
    match ip {
        _ if ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() => None,
        _ if routed.contains(&ip) => Some(Rank::Routed),
        _ if is_virtual => Some(Rank::Virtual),
        _ if link_local => Some(Rank::LinkLocal),
        _ if private => Some(Rank::Private),
        _ => Some(Rank::Global),
    }
}

/// The addresses that the system would send from to the Internet, one a family. Nothing is sent.
fn routed() -> Vec<IpAddr> {
    // Any global address will do: DNS root servers'.
    let anywhere: [(IpAddr, IpAddr); 2] = [
        (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(198, 41, 0, 4).into()),
        (
            Ipv6Addr::UNSPECIFIED.into(),
            Ipv6Addr::new(0x2001, 0x503, 0xba3e, 0, 0, 0, 2, 0x30).into(),
        ),
    ];
    let source = |(any, there): (IpAddr, IpAddr)| {
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect((there, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    anywhere.into_iter().filter_map(source).collect()
}

/// Whether an interface belongs to virtual machines or containers: by what Linux says of it, else by the usual names.
fn is_virtual(name: &str) -> bool {
    const NAMES: [&str; 9] = [
        "docker", "br-", "veth", "virbr", "vmnet", "vboxnet", "lxc", "cni", "podman",
    ];
    let bridge = std::path::Path::new("/sys/class/net").join(name).join("bridge");
    NAMES.iter().any(|prefix| name.starts_with(prefix)) || bridge.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_interface_that_leads_out_is_kept_however_many_bridges_there_are() {
        let bridges = (0..20).map(|i| (ip(&format!("172.{}.0.1", 17 + i)), true));
        let found = bridges.chain([(ip("192.168.1.7"), false), (ip("10.0.0.2"), false)]);
        let chosen = choose(found, &[ip("10.0.0.2")]);
        assert_eq!(chosen.len(), MAX_ADDRESSES);
        assert_eq!(chosen[..3], [ip("10.0.0.2"), ip("192.168.1.7"), ip("172.17.0.1")]);
    }

    #[test]
    fn link_local_addresses_are_for_hosts_that_have_no_other_network() {
        let cable = (ip("169.254.3.4"), false);
        let docker = (ip("172.17.0.1"), true);
        assert_eq!(choose([docker, cable].into_iter(), &[]), [cable.0, docker.0]);
        let lan = (ip("192.168.1.7"), false);
        assert_eq!(choose([cable, lan].into_iter(), &[]), [lan.0]);
    }

    #[test]
    fn what_no_peer_can_use_is_left_out_and_loopback_is_the_last_resort() {
        let useless = ["127.0.0.1", "::1", "0.0.0.0", "224.0.0.1", "fe80::1"].map(|text| (ip(text), false));
        assert_eq!(choose(useless.into_iter(), &[]), [ip("127.0.0.1")]);
        let twice = [(ip("2001:db8::7"), false); 2];
        assert_eq!(choose(twice.into_iter().chain(useless), &[]), [ip("2001:db8::7")]);
    }
}
