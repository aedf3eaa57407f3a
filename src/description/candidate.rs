//! Which of a peer's candidates an engine may be given: one that it cannot read voids the whole description.

use std::net::IpAddr;

/// Candidates taken from one description. Nobody has as many addresses; each costs checks, perhaps to a third party.
pub(super) const MAX_CANDIDATES: usize = 32;

const TYPES: [&str; 4] = ["host", "srflx", "prflx", "relay"];

/// Whether a candidate, `candidate:…` without `a=`, can be read by every engine and leads to one host (RFC 8839).
///
/// What cannot: host names other than mDNS's (in lower case, as engines look for them, and of type `host`), addresses with a zone (`fe80::1%eth0`), ports above 65,535, unknown types and
/// transports, and addresses that are no host's: unspecified, multicast, broadcast.
pub fn is_usable_candidate(candidate: &str) -> bool {
    let mut fields = candidate.split_ascii_whitespace();
    let mut next = || fields.next().unwrap_or_default();
    let foundation = next().strip_prefix("candidate:");
    let component = next()
        .parse::<u16>()
        .is_ok_and(|component| (1..=256).contains(&component));
    let transport = ["udp", "tcp"].contains(&next().to_ascii_lowercase().as_str());
    let priority = next().parse::<u32>().is_ok();
    let address = next();
    let port = next().parse::<u16>().is_ok();
    let (typ, kind) = (next(), next());
    let rest: Vec<&str> = fields.collect();
    let related = match rest.first() {
        Some(&"raddr") => rest.get(2) == Some(&"rport") && rest.get(3).is_some_and(|port| port.parse::<u16>().is_ok()),
        Some(&"tcptype") => rest.len() > 1,
        _ => true,
    };
    foundation.is_some_and(|foundation| !foundation.is_empty())
        && component
        && transport
        && priority
        && is_host(address, kind)
        && port
        && typ == "typ"
        && TYPES.contains(&kind)
        && related
}

fn is_host(address: &str, kind: &str) -> bool {
    match address.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(IpAddr::V4(ip)) => !(ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast()),
        Ok(IpAddr::V6(ip)) => !(ip.is_unspecified() || ip.is_multicast()),
        Err(_) => kind == "host" && address.ends_with(".local"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_engines_and_browsers_write_is_usable() {
        for candidate in [
            "candidate:1 1 udp 2130706431 192.168.1.7 50000 typ host",
            "candidate:1 1 UDP 2130706431 2001:db8::7 50000 typ host generation 0 ufrag x network-id 1",
            "candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 0.0.0.0 rport 0 generation 0",
            "candidate:3 1 tcp 1518280447 192.168.1.7 9 typ host tcptype active generation 0",
            "candidate:0 1 UDP 2122252543 4f2a0b8e-0000-4000-8000-000000000000.local 50000 typ host",
            "candidate:5 1 udp 41885439 198.51.100.1 49152 typ relay raddr 203.0.113.7 rport 46154",
        ] {
            assert!(is_usable_candidate(candidate), "{candidate}");
        }
    }

    #[test]
    fn what_an_engine_cannot_read_or_leads_to_no_host_is_not() {
        for candidate in [
            "",
            "candidate:",
            "candidate:1 1 udp 1 192.168.1.7 50000",
            "candidate:1 1 udp 1 fe80::1%eth0 50000 typ host",
            "candidate:1 1 udp 1 host.example 50000 typ host",
            "candidate:1 1 udp 1 192.168.1.7 99999 typ host",
            "candidate:1 1 udp 1 192.168.1.7 50000 typ magic",
            "candidate:1 1 sctp 1 192.168.1.7 50000 typ host",
            "candidate:1 0 udp 1 192.168.1.7 50000 typ host",
            "candidate:1 1 udp 4294967296 192.168.1.7 50000 typ host",
            "candidate:1 1 udp 1 192.168.1.7 50000 typ srflx raddr 10.0.0.1",
            "candidate:1 1 udp 1 192.168.1.7 50000 typ srflx raddr 10.0.0.1 rport 70000",
            "candidate:1 1 udp 1 0.0.0.0 50000 typ host",
            "candidate:1 1 udp 1 255.255.255.255 50000 typ host",
            "candidate:1 1 udp 1 224.0.0.251 5353 typ host",
            "candidate:1 1 udp 1 ff02::1 50000 typ host",
            "candidate:1 1 udp 1 ::ffff:224.0.0.1 50000 typ host",
            "candidate:1 1 udp 1 ::ffff:255.255.255.255 50000 typ host",
            "candidate:1 1 udp 1 ::ffff:0.0.0.0 50000 typ host",
            "candidate: 1 udp 1 192.168.1.7 50000 typ host",
            "candidate:1 1 udp 1 x.local 50000 typ srflx raddr 0.0.0.0 rport 0",
            "candidate:1 1 udp 1 x.local 50000 typ relay",
            "candidate:1 1 udp 1 x.LOCAL 50000 typ host",
        ] {
            assert!(!is_usable_candidate(candidate), "{candidate}");
        }
    }
}
