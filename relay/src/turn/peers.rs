//! Whom packets may be relayed to: nobody who could not be reached from anywhere, so that a TURN server is no way into the
//! network that it stands in.

use crate::config::{RelayError, TurnConfig};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often this machine's interfaces are looked at, at most.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// What may be done about a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Packets may go there.
    Outside,
    /// It is this machine: only other relayed addresses of this server may be spoken to.
    Own,
    /// Nothing.
    Forbidden,
}

/// The rule.
#[derive(Debug)]
pub(super) struct Peers {
    allow: Vec<IpNet>,
    /// Addresses that lead to this machine though no interface has them.
    public: Vec<IpAddr>,
    here: Mutex<Here>,
    list: List,
}

/// What lists this machine's interfaces.
type List = fn() -> std::io::Result<Vec<IpNet>>;

/// This machine's interfaces.
#[derive(Debug)]
struct Here {
    at: Option<Instant>,
    networks: Vec<IpNet>,
}

impl Peers {
    /// # Errors
    /// This machine's interfaces cannot be listed: its networks would not be told from others.
    pub(super) fn new(config: &TurnConfig) -> Result<Self, RelayError> {
        Self::with(config, networks)
    }

    fn with(config: &TurnConfig, list: List) -> Result<Self, RelayError> {
        let wrong = |error| RelayError::Config(format!("TURN: cannot list this machine's network interfaces: {error}"));
        let networks = list().map_err(wrong)?;
        Ok(Self {
            allow: config.allow.clone(),
            public: config.addresses.clone(),
            here: Mutex::new(Here { at: None, networks }),
            list,
        })
    }

    pub(super) fn verdict(&self, now: Instant, ip: IpAddr) -> Verdict {
        let ip = ip.to_canonical();
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        if here.at.is_none_or(|at| now.saturating_duration_since(at) >= LOOK_AGAIN) {
            here.at = Some(now);
            match (self.list)() {
                Ok(networks) => here.networks = networks,
                Err(error) => tracing::warn!("cannot list this machine's network interfaces, as before: {error}"),
            }
        }
        match (self.of(&here.networks, ip), embedded(ip)) {
            // Whatever translates it sends it on to that address; of this machine, past what is checked here.
            (Verdict::Outside, Some(v4)) if !self.allows(ip) => match self.of(&here.networks, v4.into()) {
                Verdict::Outside => Verdict::Outside,
                Verdict::Own | Verdict::Forbidden => Verdict::Forbidden,
            },
            (verdict, _) => verdict,
        }
    }

    fn allows(&self, ip: IpAddr) -> bool {
        self.allow.iter().any(|network| network.contains(&ip))
    }

    fn of(&self, networks: &[IpNet], ip: IpAddr) -> Verdict {
        if self.allows(ip) {
            return Verdict::Outside;
        }
        let own = |network: &IpNet| network.addr() == ip;
        if self.public.contains(&ip) || networks.iter().any(own) {
            return Verdict::Own;
        }
        match is_special(ip) || networks.iter().any(|network| network.contains(&ip)) {
            true => Verdict::Forbidden,
            false => Verdict::Outside,
        }
    }

    /// An address of this machine of that family that others may know, if it has one.
    pub(super) fn own_address(v6: bool) -> Option<IpAddr> {
        let all: Vec<IpAddr> = networks().unwrap_or_default().iter().map(IpNet::addr).collect();
        let fits = |ip: &&IpAddr| ip.is_ipv6() == v6 && !ip.is_loopback() && !is_link_local(**ip);
        let mut fitting: Vec<IpAddr> = all.iter().filter(fits).copied().collect();
        fitting.sort_by_key(|ip| is_special(*ip));
        fitting.first().copied()
    }
}

fn networks() -> std::io::Result<Vec<IpNet>> {
    let found = if_addrs::get_if_addrs()?;
    let network = |interface: if_addrs::Interface| {
        let prefix = match &interface.addr {
            if_addrs::IfAddr::V4(v4) => v4.prefixlen,
            if_addrs::IfAddr::V6(v6) => v6.prefixlen,
        };
        IpNet::new(interface.ip(), prefix).ok()
    };
    Ok(found.into_iter().filter_map(network).collect())
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// Addresses that are not of the Internet.
fn is_special(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => is_special_v4(v4),
        IpAddr::V6(v6) => is_special_v6(v6),
    }
}

fn is_special_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let shared = a == 100 && b & 0xc0 == 64;
    let protocols = [a, b, c] == [192, 0, 0];
    let benchmarks = a == 198 && b & 0xfe == 18;
    v4.is_loopback() || v4.is_private() || v4.is_link_local() || shared || protocols || benchmarks || a == 0 || a >= 224
}

/// The IPv4 address that an IPv6 address stands for, to whatever translates it.
fn embedded(ip: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = ip else { return None };
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(v4(high, low)), // NAT64
        [0x2002, high, low, ..] => Some(v4(high, low)),               // 6to4
        [0, 0, 0, 0, 0xffff, 0, high, low] => Some(v4(high, low)),    // SIIT
        [0, 0, 0, 0, 0, 0, high, low] => Some(v4(high, low)),         // ::1, ::, and what was IPv4 once
        _ => None,
    }
}

fn is_special_v6(v6: Ipv6Addr) -> bool {
    let s = v6.segments();
    let [first, ..] = s;
    let site_local = first & 0xffc0 == 0xfec0;
    let local_nat64 = s[..3] == [0x64, 0xff9b, 1];
    v6.is_loopback()
        || v6.is_unspecified()
        || v6.is_multicast()
        || v6.is_unicast_link_local()
        || v6.is_unique_local()
        || site_local
        || local_nat64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn no_packet_goes_where_the_internet_does_not_reach() {
        for special in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "198.18.0.1",
            "192.0.0.8",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fdff::1",
            "ff02::1",
            "64:ff9b:1::1",
        ] {
            assert!(is_special(ip(special)), "{special}");
        }
        for public in ["1.1.1.1", "100.128.0.1", "172.32.0.1", "192.1.0.1", "2001:db8::1"] {
            assert!(!is_special(ip(public)), "{public}");
        }
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // any time does
    fn this_machine_is_told_apart_and_what_is_allowed_is() {
        let now = Instant::now();
        let peers = Peers::new(&TurnConfig::default()).unwrap();
        assert_eq!(peers.verdict(now, ip("127.0.0.1")), Verdict::Own, "an interface has it");
        assert_eq!(
            peers.verdict(now, ip("::ffff:127.0.0.1")),
            Verdict::Own,
            "however it is written"
        );
        assert_eq!(peers.verdict(now, ip("127.0.0.2")), Verdict::Forbidden);
        assert_eq!(peers.verdict(now, ip("::ffff:10.255.0.1")), Verdict::Forbidden);
        assert_eq!(peers.verdict(now, ip("1.1.1.1")), Verdict::Outside);
        let config = TurnConfig {
            allow: vec!["127.0.0.0/8".parse().unwrap()],
            addresses: vec![ip("1.1.1.1")],
            ..TurnConfig::default()
        };
        let peers = Peers::new(&config).unwrap();
        assert_eq!(peers.verdict(now, ip("127.0.0.1")), Verdict::Outside);
        assert_eq!(peers.verdict(now, ip("1.1.1.1")), Verdict::Own, "it leads here");
        assert_eq!(peers.verdict(now, ip("10.0.0.1")), Verdict::Forbidden);
    }

    /// A machine in a public network.
    fn listed() -> std::io::Result<Vec<IpNet>> {
        Ok(vec!["198.51.100.7/24".parse().unwrap(), "::1/128".parse().unwrap()])
    }

    fn unlisted() -> std::io::Result<Vec<IpNet>> {
        Err(std::io::ErrorKind::PermissionDenied.into())
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // any time does
    fn ipv4_within_ipv6_is_judged_as_ipv4() {
        let config = TurnConfig {
            allow: vec!["10.1.0.0/16".parse().unwrap(), "2002:a02:1::/48".parse().unwrap()],
            addresses: vec![ip("203.0.113.1")],
            ..TurnConfig::default()
        };
        let (now, peers) = (Instant::now(), Peers::with(&config, listed).unwrap());
        for (high, low, verdict) in [
            ("7f00", "1", Verdict::Forbidden),
            ("a9fe", "a9fe", Verdict::Forbidden),
            ("c0a8", "101", Verdict::Forbidden),
            ("c633", "6407", Verdict::Forbidden), // an interface's own
            ("c633", "6408", Verdict::Forbidden), // in its network
            ("cb00", "7101", Verdict::Forbidden), // leads here
            ("101", "101", Verdict::Outside),
            ("a01", "1", Verdict::Outside), // allowed
        ] {
            for written in [
                format!("64:ff9b::{high}:{low}"),
                format!("2002:{high}:{low}::1"),
                format!("::ffff:0:{high}:{low}"),
                format!("::{high}:{low}"),
            ] {
                assert_eq!(peers.verdict(now, ip(&written)), verdict, "{written}");
            }
        }
        assert_eq!(
            peers.verdict(now, ip("2002:a02:1::5")),
            Verdict::Outside,
            "allowed as it is"
        );
        assert_eq!(peers.verdict(now, ip("::1")), Verdict::Own, "and no IPv4");
        assert_eq!(peers.verdict(now, ip("::")), Verdict::Forbidden);
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // any time does
    fn networks_that_cannot_be_listed_stay_as_they_were() {
        let config = TurnConfig::default();
        assert!(
            Peers::with(&config, unlisted).is_err(),
            "nothing is served without them"
        );
        let mut peers = Peers::with(&config, listed).unwrap();
        peers.list = unlisted;
        let now = Instant::now();
        for at in [now, now + LOOK_AGAIN] {
            assert_eq!(peers.verdict(at, ip("198.51.100.8")), Verdict::Forbidden);
            assert_eq!(peers.verdict(at, ip("198.51.100.7")), Verdict::Own);
        }
    }
}
