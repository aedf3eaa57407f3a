//! STUN messages as a server reads and writes them; the codec is the engine's.

use rtc_stun::attributes::{ATTR_ERROR_CODE, ATTR_NONCE, ATTR_REALM, ATTR_UNKNOWN_ATTRIBUTES, AttrType};
use rtc_stun::crypto::RTCCryptoProvider;
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{
    CLASS_ERROR_RESPONSE, CLASS_INDICATION, CLASS_SUCCESS_RESPONSE, METHOD_DATA, Message, MessageClass, MessageType,
    Setter, TransactionId,
};
use rtc_stun::xoraddr::XorMappedAddress;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;

/// Bytes of a STUN header, and of an attribute's.
pub(super) const HEADER: usize = 20;
const ATTRIBUTE: usize = 4;
/// Attributes of one message; those with more are not read.
const MAX_ATTRIBUTES: usize = 32;

/// Why a request is refused: the code and the phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) u16, pub(super) &'static str);

pub(super) const BAD_REQUEST: Refusal = Refusal(400, "Bad Request");
pub(super) const UNAUTHORIZED: Refusal = Refusal(401, "Unauthorized");
pub(super) const EXPIRED: Refusal = Refusal(401, "Credentials have expired");
pub(super) const FORBIDDEN: Refusal = Refusal(403, "Peer address is not allowed");
pub(super) const UNKNOWN_ATTRIBUTE: Refusal = Refusal(420, "Unknown Attribute");
pub(super) const ALLOCATION_MISMATCH: Refusal = Refusal(437, "Allocation Mismatch");
pub(super) const STALE_NONCE: Refusal = Refusal(438, "Stale Nonce");
pub(super) const NO_SUCH_FAMILY: Refusal = Refusal(440, "Address Family not Supported");
pub(super) const WRONG_CREDENTIALS: Refusal = Refusal(441, "Wrong Credentials");
pub(super) const NOT_UDP: Refusal = Refusal(442, "Unsupported Transport Protocol");
pub(super) const FAMILY_MISMATCH: Refusal = Refusal(443, "Peer Address Family Mismatch");
pub(super) const QUOTA: Refusal = Refusal(486, "Allocation Quota Reached");
pub(super) const NO_CAPACITY: Refusal = Refusal(508, "Insufficient Capacity");

/// Reads a message that fills these bytes.
pub(super) fn read(bytes: &[u8]) -> Option<Message> {
    let length = usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]));
    if bytes.len() != HEADER + length || !length.is_multiple_of(4) || length > MAX_MESSAGE {
        return None;
    }
    let mut message = Message::new();
    message.unmarshal_binary(bytes).ok()?;
    (message.attributes.0.len() <= MAX_ATTRIBUTES).then_some(message)
}

/// Bytes of a message's attributes: what a datagram carries at most, in whole words.
const MAX_MESSAGE: usize = u16::MAX as usize - 3;

/// An answer that has yet to be finished.
pub(super) struct Answer(Message);

impl Answer {
    pub(super) fn success(to: &Message) -> Self {
        Self(begin(
            MessageType::new(to.typ.method, CLASS_SUCCESS_RESPONSE),
            to.transaction_id,
        ))
    }

    pub(super) fn refusal(to: &Message, Refusal(code, phrase): Refusal) -> Self {
        let mut answer = begin(MessageType::new(to.typ.method, CLASS_ERROR_RESPONSE), to.transaction_id);
        let [class, number] = [code / 100, code % 100].map(|part| u8::try_from(part).unwrap_or_default());
        let mut value = vec![0, 0, class, number];
        value.extend(phrase.as_bytes());
        answer.add(ATTR_ERROR_CODE, &value);
        Self(answer)
    }

    pub(super) fn with(mut self, attribute: AttrType, value: &[u8]) -> Self {
        self.0.add(attribute, value);
        self
    }

    pub(super) fn with_address(mut self, attribute: AttrType, address: SocketAddr) -> Self {
        let (ip, port) = (address.ip().to_canonical(), address.port());
        let _ = XorMappedAddress { ip, port }.add_to_as(&mut self.0, attribute);
        self
    }

    pub(super) fn with_unknown(self, unknown: &[AttrType]) -> Self {
        let value: Vec<u8> = unknown.iter().flat_map(|typ| typ.value().to_be_bytes()).collect();
        self.with(ATTR_UNKNOWN_ATTRIBUTES, &value)
    }

    pub(super) fn with_challenge(self, realm: &str, nonce: &str) -> Self {
        self.with(ATTR_REALM, realm.as_bytes())
            .with(ATTR_NONCE, nonce.as_bytes())
    }

    /// Its bytes, signed by this key.
    pub(super) fn signed(mut self, key: &[u8], crypto: &dyn RTCCryptoProvider) -> Vec<u8> {
        let integrity = MessageIntegrity::new_raw_integrity_with_provider(key.to_vec(), crypto.crypto());
        let _ = integrity.add_to(&mut self.0);
        self.plain()
    }

    /// Its bytes.
    pub(super) fn plain(mut self) -> Vec<u8> {
        let _ = FINGERPRINT.add_to(&mut self.0);
        self.0.raw
    }
}

fn begin(typ: MessageType, transaction_id: TransactionId) -> Message {
    let mut message = Message::new();
    message.transaction_id = transaction_id;
    message.set_type(typ);
    message.write_header();
    message
}

/// A Data indication: what a peer without a channel has sent. `None` for what is so long that its length would not fit
/// into the header: what is behind it would be read as a message of its own.
pub(super) fn data_indication(peer: SocketAddr, data: &[u8]) -> Option<Vec<u8>> {
    use rtc_stun::attributes::{ATTR_DATA, ATTR_XOR_PEER_ADDRESS};
    let class: MessageClass = CLASS_INDICATION;
    let indication = begin(MessageType::new(METHOD_DATA, class), TransactionId::new());
    let Answer(indication) = Answer(indication)
        .with_address(ATTR_XOR_PEER_ADDRESS, peer)
        .with(ATTR_DATA, data);
    (indication.raw.len() - HEADER <= MAX_MESSAGE).then_some(indication.raw)
}

/// Where an attribute's value is in the message's bytes.
pub(super) fn range(message: &Message, attribute: AttrType) -> Option<Range<usize>> {
    let mut offset = HEADER;
    for found in &message.attributes.0 {
        let value = offset + ATTRIBUTE;
        if found.typ == attribute {
            return Some(value..value + found.value.len());
        }
        offset = value + found.value.len().next_multiple_of(4);
    }
    None
}

/// All values of an attribute as addresses; `None` for one that is none.
pub(super) fn addresses(message: &Message, attribute: AttrType) -> impl Iterator<Item = Option<SocketAddr>> {
    let all = message.attributes.0.iter();
    all.filter(move |found| found.typ == attribute)
        .map(|found| address(&message.raw, &found.value))
}

/// XOR-PEER-ADDRESS and its like (RFC 8489 §14.2): xored with the cookie and the transaction's id, which are bytes 4 to 20.
fn address(raw: &[u8], value: &[u8]) -> Option<SocketAddr> {
    let key = raw.get(4..HEADER)?;
    let [_, family, p1, p2, ip @ ..] = value else {
        return None;
    };
    let port = u16::from_be_bytes([p1 ^ key[0], p2 ^ key[1]]);
    let mut plain = [0; 16];
    for ((plain, byte), key) in plain.iter_mut().zip(ip).zip(key) {
        *plain = byte ^ key;
    }
    let ip: IpAddr = match (family, ip.len()) {
        (1, 4) => Ipv4Addr::new(plain[0], plain[1], plain[2], plain[3]).into(),
        (2, 16) => Ipv6Addr::from(plain).into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_indication_is_longer_than_its_header_says() {
        for (peer, most) in [("192.0.2.1:1", 65_516), ("[2001:db8::1]:1", 65_504)] {
            let peer = peer.parse().unwrap();
            for length in [0, 1, 1200, most - 1, most] {
                let indication = data_indication(peer, &vec![7; length]).unwrap();
                let message = read(&indication).unwrap();
                let data = range(&message, rtc_stun::attributes::ATTR_DATA).unwrap();
                assert_eq!(data.len(), length);
            }
            for length in [most + 1, 65_524, 65_528, 65_535] {
                assert!(data_indication(peer, &vec![7; length]).is_none(), "{length}");
            }
        }
    }
}
