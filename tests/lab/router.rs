//! What routers between a host and the public side do to packets.

use super::run;

/// How a host is connected to the public side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nat {
    /// Directly, with a public address.
    None,
    /// Directly, with an IPv6 address only.
    Ipv6Only,
    /// Not at all: it has only its loopback interface.
    Loopback,
    /// Every destination sees the same port (RFC 4787: endpoint-independent mapping), and everybody gets in by it.
    FullCone,
    /// Every destination sees the same port; whom the host has sent to gets in, from whatever port (address-dependent
    /// filtering).
    AddressRestricted,
    /// Every destination sees the same port; only whom the host has sent to gets in (address- and port-dependent
    /// filtering).
    Cone,
    /// Every destination sees another port, at random.
    Symmetric,
    /// No UDP passes, only TCP.
    UdpBlocked,
    /// Nothing passes but TCP to port 443.
    OnlyHttps,
    /// As [`Nat::Cone`], and this many of a hundred UDP packets are lost, each way.
    Lossy(u8),
    /// As [`Nat::Cone`], and what goes to STUN's port is lost.
    StunBlocked,
}

/// Makes the namespace a router between its interfaces `lan` and `wan`.
///
/// It drops what comes to itself, as routers do: accepted, it would take the port that a host behind it is about to use.
pub(super) fn rules(namespace: &str, host: &str, nat: Nat) {
    let mapping = match nat {
        Nat::Symmetric => "masquerade fully-random",
        _ => "masquerade",
    };
    let filter = match nat {
        Nat::UdpBlocked => "meta l4proto udp drop;".to_owned(),
        Nat::OnlyHttps => "iifname lan meta l4proto != tcp drop; iifname lan tcp dport != 443 drop;".to_owned(),
        Nat::FullCone => "iifname wan meta l4proto udp accept;".to_owned(),
        Nat::AddressRestricted => {
            "iifname lan meta l4proto udp add @known { ip daddr }; iifname wan ct status dnat accept;".to_owned()
        }
        Nat::Lossy(percent) => format!("meta l4proto udp numgen random mod 100 < {percent} drop;"),
        Nat::StunBlocked => "udp dport 3478 drop;".to_owned(),
        _ => String::new(),
    };
    // Who comes in unasked is sent on to the host, at the port that it has used: masquerading keeps ports.
    let inwards = match nat {
        Nat::FullCone => format!("iifname wan meta l4proto udp dnat to {host};"),
        Nat::AddressRestricted => format!("iifname wan meta l4proto udp ip saddr @known dnat to {host};"),
        _ => String::new(),
    };
    let rules = format!(
        "table ip router {{
            set known {{ type ipv4_addr; flags dynamic; size 1024; }};
            chain inwards {{ type nat hook prerouting priority -100; {inwards} }};
            chain translate {{ type nat hook postrouting priority 100; oifname wan {mapping}; }};
            chain itself {{ type filter hook input priority 0; iifname wan meta l4proto udp drop; }};
            chain through {{
                type filter hook forward priority 0; policy drop;
                {filter}
                ct state established,related accept;
                iifname lan accept;
            }};
        }};"
    );
    let script = "echo 1 > /proc/sys/net/ipv4/ip_forward && exec nft -f -";
    run("ip", &["netns", "exec", namespace, "sh", "-c", script], &rules);
}
