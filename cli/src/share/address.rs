//! Under which addresses this computer can be reached.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where this process reaches itself.
pub(super) fn own(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// `http://address:port` for other devices, IPv4 first; none if it listens on this computer only.
pub(super) fn for_others(listen: SocketAddr) -> Vec<String> {
    let mut addresses = match listen.ip() {
        ip if ip.is_loopback() => Vec::new(),
        ip if !ip.is_unspecified() => vec![ip],
        ip => interfaces(ip.is_ipv6()),
    };
    addresses.sort();
    addresses.dedup();
    let url = |ip| format!("http://{}", SocketAddr::new(ip, listen.port()));
    addresses.into_iter().map(url).collect()
}

fn interfaces(v6: bool) -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default().into_iter();
    interfaces
        .map(|interface| interface.ip())
        .filter(|ip| match ip {
            IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
            IpAddr::V6(ip) => v6 && !ip.is_loopback() && !ip.is_unicast_link_local(),
        })
        .collect()
}

/// This computer's name.
pub(super) fn host_name() -> String {
    let name = gethostname::gethostname().to_string_lossy().trim().to_owned();
    match name.is_empty() {
        true => "crosspeer".into(),
        false => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_reached_by_loopback_and_others_by_themselves() {
        let own = |text: &str| own(text.parse().unwrap()).to_string();
        assert_eq!(own("0.0.0.0:1"), "127.0.0.1:1");
        assert_eq!(own("[::]:1"), "[::1]:1");
        assert_eq!(own("192.0.2.1:1"), "192.0.2.1:1");
    }

    #[test]
    fn loopback_is_for_no_one_else() {
        assert!(for_others("127.0.0.1:8700".parse().unwrap()).is_empty());
        let addresses = for_others("192.0.2.1:8700".parse().unwrap());
        assert_eq!(addresses, ["http://192.0.2.1:8700"]);
    }
}
