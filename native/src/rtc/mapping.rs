//! Notices that a NAT on the way has forgotten a socket, and gives it another address than before.
//!
//! Whoever is asked by ICE tells as which address it sees the socket. While this side's checks are answered it takes the
//! path for alive, but what the peer sends to the old address is lost, and a relay's connection through the same NAT as
//! well: only the answer's text says so.

use rtc_stun::message::{BINDING_SUCCESS, Getter, Message};
use rtc_stun::xoraddr::XorMappedAddress;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;

/// Hosts whose answers are compared, for each socket: the peer's addresses and some servers.
const MAX_HOSTS: usize = 32;
/// Requests whose answers are waited for: those of some seconds.
const MAX_ASKED: usize = 256;
/// Where a STUN message has its transaction's id.
const TRANSACTION: Range<usize> = 8..20;
/// Bytes of the largest answer that is looked at; they have about 100.
const MAX_ANSWER_BYTES: usize = 256;

/// As what each host has seen a socket.
#[derive(Debug, Default)]
pub(super) struct Mappings {
    seen: Vec<(SocketAddr, SocketAddr)>,
    asked: VecDeque<[u8; 12]>,
}

impl Mappings {
    /// A request leaves. What answers none is anybody's.
    pub(super) fn asked(&mut self, request: &[u8]) {
        let id = request.get(TRANSACTION).and_then(|id| id.try_into().ok());
        self.asked.truncate(MAX_ASKED - 1);
        id.into_iter().for_each(|id| self.asked.push_front(id));
    }

    /// Takes a datagram that came from there; returns whether it is an answer that names another address than before.
    pub(super) fn take(&mut self, from: SocketAddr, datagram: &[u8]) -> bool {
        let Some(seen) = seen_as(datagram) else { return false };
        let answered = self.asked.iter().position(|id| datagram[TRANSACTION] == *id);
        if answered.and_then(|at| self.asked.remove(at)).is_none() {
            return false;
        }
        match self.seen.iter_mut().find(|(host, _)| *host == from) {
            Some((_, before)) => std::mem::replace(before, seen) != seen,
            None => {
                if self.seen.len() < MAX_HOSTS {
                    self.seen.push((from, seen));
                }
                false
            }
        }
    }
}

fn seen_as(datagram: &[u8]) -> Option<SocketAddr> {
    // By its first bytes, since this is asked of everything that comes.
    let may_be = datagram.len() <= MAX_ANSWER_BYTES && datagram.starts_with(&[0x01, 0x01]);
    if !may_be {
        return None;
    }
    let mut message = Message::new();
    message.unmarshal_binary(datagram).ok()?;
    let mut address = XorMappedAddress::default();
    address.get_from(&message).ok()?;
    (message.typ == BINDING_SUCCESS).then_some(SocketAddr::new(address.ip, address.port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc_stun::message::{BINDING_REQUEST, MessageType, Setter, TransactionId};

    const PEER: &str = "192.0.2.1:5000";

    fn message(kind: MessageType, address: &str) -> Vec<u8> {
        let address: SocketAddr = address.parse().unwrap();
        let (ip, port) = (address.ip(), address.port());
        let setters: [Box<dyn Setter>; 3] = [
            Box::new(TransactionId::new()),
            Box::new(kind),
            Box::new(XorMappedAddress { ip, port }),
        ];
        let mut message = Message::new();
        message.build(&setters).unwrap();
        message.raw
    }

    #[test]
    fn only_an_answer_that_names_another_address_than_the_same_hosts_before_is_news() {
        let mut mappings = Mappings::default();
        let mut take = |from: &str, kind, address| {
            let message = message(kind, address);
            mappings.asked(&message);
            mappings.take(from.parse().unwrap(), &message)
        };
        assert!(!take(PEER, BINDING_SUCCESS, "203.0.113.7:1"));
        assert!(!take(PEER, BINDING_SUCCESS, "203.0.113.7:1"));
        assert!(!take(PEER, BINDING_REQUEST, "203.0.113.7:2"));
        assert!(!take("192.0.2.2:3478", BINDING_SUCCESS, "203.0.113.7:3"));
        assert!(take(PEER, BINDING_SUCCESS, "203.0.113.7:4"));
        assert!(!take(PEER, BINDING_SUCCESS, "203.0.113.7:4"));
        assert!(take(PEER, BINDING_SUCCESS, "[2001:db8::7]:4"));
    }

    #[test]
    fn answers_of_a_thousand_hosts_are_not_kept() {
        let mut mappings = Mappings::default();
        for port in 1..1000 {
            let message = message(BINDING_SUCCESS, PEER);
            mappings.asked(&message);
            mappings.asked(&message);
            mappings.take(SocketAddr::new([192, 0, 2, 1].into(), port), &message);
        }
        assert_eq!(mappings.seen.len(), MAX_HOSTS);
        assert!(mappings.asked.len() <= MAX_ASKED);
    }

    #[test]
    fn what_nobody_has_asked_for_is_no_news_and_neither_is_the_second_answer() {
        let mut mappings = Mappings::default();
        let [first, second] = ["203.0.113.7:1", "203.0.113.7:2"].map(|address| message(BINDING_SUCCESS, address));
        mappings.asked(&first);
        let mut take = |message: &[u8]| mappings.take(PEER.parse().unwrap(), message);
        assert!(!take(&first) && !take(&second) && !take(&first));
        mappings.asked(&[]);
        mappings.asked(&second);
        assert!(mappings.take(PEER.parse().unwrap(), &second));
    }

    #[test]
    fn what_is_cut_off_or_changed_is_no_news() {
        let whole = message(BINDING_SUCCESS, PEER);
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0xff;
            for datagram in [&whole[..at], &changed] {
                assert!(!Mappings::default().take(PEER.parse().unwrap(), datagram));
            }
        }
    }
}
