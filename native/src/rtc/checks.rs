//! How many of ICE's checks may leave before a connection is up. The engine checks each pair of addresses every 20 ms for
//! as long as set-up may take, and what addresses there are is said by a peer that may be a stranger: without this one
//! description sends 50,000 packets to whomever it names.
//!
//! After a burst that more than covers an honest set-up, checks go on at the pace of RFC 8445 (§14), shared evenly by the
//! pairs, until there were [`MOST`]; and all connections of the process together have such a pace too. Those that a TURN
//! server passes on count as well. Once the connection is up nothing is held back: then each check is one to a peer that has
//! answered.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering::Acquire, Ordering::Release};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Checks of one connection that are not held back.
const BURST: u32 = 300;
/// Checks of one connection in all.
const MOST: u32 = 1500;
/// One check in this time after the burst at the earliest; in a set-up that may take longer, so that they last for it.
const PACE: Duration = Duration::from_millis(25);
/// Pairs that are checked, as RFC 8445 (§6.1.2.5) has it. The last of them are for addresses that are in no other pair.
const MAX_PAIRS: usize = 100;
const RESERVED: usize = 40;
/// Checks of all connections at once that are not held back, and how many more each second.
const BURST_OF_ALL: f64 = 10_000.0;
const PER_SECOND: f64 = 2_000.0;

/// From where a check leaves, and for where.
pub(super) type Pair = (SocketAddr, Target);

/// For where a check leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Target {
    Address(SocketAddr),
    /// Of a TURN server, which knows whose it is.
    Channel(SocketAddr, u16),
}

/// Of one connection.
#[derive(Debug)]
pub(super) struct Checks {
    connected: AtomicBool,
    pace: Duration,
    sent: Mutex<Sent>,
}

#[derive(Debug, Default)]
struct Sent {
    count: u32,
    last: HashMap<Pair, Instant>,
}

impl Default for Checks {
    fn default() -> Self {
        Self::new(Duration::ZERO)
    }
}

impl Checks {
    /// For a set-up that may take so long.
    pub(super) fn new(connect_timeout: Duration) -> Self {
        Self {
            connected: AtomicBool::new(false),
            pace: PACE.max(connect_timeout / (MOST - BURST)),
            sent: Mutex::default(),
        }
    }

    /// From now on nothing is held back.
    pub(super) fn connected(&self) {
        self.connected.store(true, Release);
    }

    /// Whether a check may leave for this pair now.
    pub(super) fn may_leave(&self, now: Instant, pair: Pair) -> bool {
        if self.connected.load(Acquire) {
            return true;
        }
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.count >= MOST || !sent.admits(pair) {
            return false;
        }
        let each = self.pace * u32::try_from(sent.last.len().max(1)).unwrap_or(u32::MAX);
        let early = sent.last.get(&pair).is_some_and(|last| now < *last + each);
        if (sent.count >= BURST && early) || !take_of_all(now) {
            return false;
        }
        sent.count += 1;
        sent.last.insert(pair, now);
        true
    }
}

impl Sent {
    fn admits(&self, pair: Pair) -> bool {
        let pairs = self.last.len();
        let is_new = || self.last.keys().all(|(_, to)| *to != pair.1);
        self.last.contains_key(&pair) || pairs < MAX_PAIRS - RESERVED || (pairs < MAX_PAIRS && is_new())
    }
}

/// Whither a check goes, if this datagram to `to` is one: a binding request, also one that a TURN server is to pass on.
pub(super) fn target(datagram: &[u8], to: SocketAddr) -> Option<Target> {
    if is_binding_request(datagram) {
        return Some(Target::Address(to));
    }
    match datagram {
        // ChannelData (RFC 8656, §12.4).
        [0x40..=0x4f, _, high, low, data @ ..] => {
            let data = data.get(..usize::from(u16::from_be_bytes([*high, *low])))?;
            let channel = u16::from_be_bytes([datagram[0], datagram[1]]);
            is_binding_request(data).then_some(Target::Channel(to, channel))
        }
        // A Send indication.
        [0x00, 0x16, _, _, 0x21, 0x12, 0xA4, 0x42, ..] if datagram.len() >= 20 => {
            let (mut peer, mut is_check) = (None, false);
            let mut rest = &datagram[20..];
            while let [kind0, kind1, high, low, value @ ..] = rest {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                let value = value.get(..length)?;
                match [*kind0, *kind1] {
                    [0x00, 0x12] => peer = peer_address(value, datagram),
                    [0x00, 0x13] => is_check = is_binding_request(value),
                    _ => {}
                }
                rest = rest.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
            }
            peer.filter(|_| is_check).map(Target::Address)
        }
        _ => None,
    }
}

/// XOR-PEER-ADDRESS of a message that begins with cookie and transaction.
fn peer_address(value: &[u8], message: &[u8]) -> Option<SocketAddr> {
    let [_, _, port0, port1, address @ ..] = value else {
        return None;
    };
    let mask = &message[4..20];
    let port = u16::from_be_bytes([port0 ^ mask[0], port1 ^ mask[1]]);
    let plain: Vec<u8> = address.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect();
    let ip = match (<[u8; 4]>::try_from(&*plain), <[u8; 16]>::try_from(&*plain)) {
        (Ok(v4), _) => IpAddr::from(v4),
        (_, Ok(v6)) => IpAddr::from(v6),
        _ => return None,
    };
    Some((ip, port).into())
}

/// RFC 8489: type 0x0001, magic cookie.
pub(super) fn is_binding_request(datagram: &[u8]) -> bool {
    (20..=MAX_CHECK_BYTES).contains(&datagram.len())
        && datagram[..2] == [0x00, 0x01]
        && datagram[4..8] == [0x21, 0x12, 0xA4, 0x42]
}

/// Bytes of the largest check; ours have about 100.
const MAX_CHECK_BYTES: usize = 1500;

/// One of what all connections may send.
fn take_of_all(now: Instant) -> bool {
    static ALL: Mutex<Option<(Instant, f64)>> = Mutex::new(None);
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    let (before, left) = all.unwrap_or((now, BURST_OF_ALL));
    let gained = now.saturating_duration_since(before).as_secs_f64() * PER_SECOND;
    let left = (left + gained).min(BURST_OF_ALL);
    let passes = left >= 1.0;
    *all = Some((now.max(before), if passes { left - 1.0 } else { left }));
    passes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 1000 + number))
    }

    fn pair(from: u16, to: u16) -> Pair {
        (SocketAddr::from(([10, 0, 0, 1], from)), Target::Address(address(to)))
    }

    /// What leaves within `seconds` when so many addresses are checked every 20 ms.
    fn leave(addresses: u16, seconds: u32) -> Vec<usize> {
        let checks = Checks::new(Duration::from_secs(seconds.into()));
        let mut left = vec![0; usize::from(addresses)];
        let start = Instant::now();
        for round in 0..50 * seconds {
            for number in 0..addresses {
                let now = start + Duration::from_millis(20) * round;
                left[usize::from(number)] += usize::from(checks.may_leave(now, pair(1, number)));
            }
        }
        left
    }

    #[tokio::test]
    async fn one_description_sends_at_most_1500_and_each_address_gets_its_share() {
        for (addresses, seconds) in [(1, 30), (4, 30), (32, 30), (100, 30), (1000, 30), (32, 300)] {
            let left = leave(addresses, seconds);
            let sum: usize = left.iter().sum();
            assert!(sum <= 1500, "{addresses} addresses: {sum}");
            assert!(sum >= 500, "{addresses} addresses: {sum}");
            assert!(left.iter().filter(|count| **count > 0).count() <= MAX_PAIRS);
            let told_apart = &left[..left.len().min(MAX_PAIRS)];
            let (least, most) = (told_apart.iter().min(), told_apart.iter().max());
            assert!(most <= least.map(|least| least * 2 + 4).as_ref(), "{least:?} {most:?}");
        }
    }

    #[tokio::test]
    async fn many_addresses_of_our_own_leave_room_for_each_of_the_peers() {
        let (checks, now) = (Checks::new(Duration::from_secs(30)), Instant::now());
        // In the engine's order: the last of the peer's addresses is the one that leads there.
        let all = (0..32).flat_map(|to| (0..16).map(move |from| pair(from, to)));
        let left: Vec<Pair> = all.filter(|pair| checks.may_leave(now, *pair)).collect();
        assert!(left.len() <= MAX_PAIRS, "{}", left.len());
        assert!((0..32).all(|to| left.iter().any(|pair| pair.1 == Target::Address(address(to)))));
    }

    #[tokio::test]
    async fn an_honest_set_up_is_not_held_back() {
        let checks = Checks::default();
        let start = Instant::now();
        for round in 0..10 {
            for number in 0..30 {
                assert!(checks.may_leave(start + Duration::from_millis(20) * round, pair(1, number)));
            }
        }
        checks.connected();
        assert!((0..2000).all(|_| checks.may_leave(start, pair(1, 1))));
    }

    #[test]
    fn a_check_that_a_turn_server_is_to_pass_on_is_one() {
        let mut check = vec![0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xA4, 0x42];
        check.extend([7; 12]);
        let server = address(1);
        assert_eq!(target(&check, server), Some(Target::Address(server)));
        let mut channel = vec![0x40, 0x05, 0x00, check.len() as u8];
        channel.extend(&check);
        assert_eq!(target(&channel, server), Some(Target::Channel(server, 0x4005)));
        for (peer, mask) in [
            ("192.0.2.9:4660", vec![0x21, 0x12, 0xA4, 0x42]),
            ("[2001:db8::9]:4660", [&[0x21, 0x12, 0xA4, 0x42][..], &[9; 12]].concat()),
        ] {
            let peer: SocketAddr = peer.parse().unwrap();
            let octets = match peer.ip() {
                IpAddr::V4(v4) => v4.octets().to_vec(),
                IpAddr::V6(v6) => v6.octets().to_vec(),
            };
            let mut value = vec![0, if octets.len() == 4 { 1 } else { 2 }, 0x12 ^ 0x21, 0x34 ^ 0x12];
            value.extend(octets.iter().zip(&mask).map(|(byte, mask)| byte ^ mask));
            let mut send = vec![0x00, 0x16, 0, 0, 0x21, 0x12, 0xA4, 0x42];
            send.extend([9; 12]);
            for (kind, value) in [(0x12, &value), (0x13, &check)] {
                send.extend([0x00, kind, 0x00, value.len() as u8]);
                send.extend(value);
            }
            assert_eq!(target(&send, server), Some(Target::Address(peer)));
            // Cut off, it is none, and hurts nobody.
            (0..send.len()).for_each(|at| assert_ne!(target(&send[..at], server), Some(Target::Address(server))));
        }
        for other in [&[][..], &[0x40], &[0x40, 0, 0, 9, 1], &[22; 100], &check[..19]] {
            assert_eq!(target(other, server), None);
        }
    }
}
