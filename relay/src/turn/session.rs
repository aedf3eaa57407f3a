//! One client of the TURN server: what its packets lead to, and which of its peers' packets reach it. Without sockets.

use super::message::{
    ALLOCATION_MISMATCH, Answer, BAD_REQUEST, FAMILY_MISMATCH, FORBIDDEN, NO_CAPACITY, NO_SUCH_FAMILY, NOT_UDP,
    Refusal, UNKNOWN_ATTRIBUTE, WRONG_CREDENTIALS, addresses, range, read,
};
use super::peers::Verdict;
use super::quota::Share;
use super::rules::{Rules, User};
use rtc_stun::attributes::{
    ATTR_CHANNEL_NUMBER, ATTR_DATA, ATTR_LIFETIME, ATTR_MESSAGE_INTEGRITY, ATTR_NONCE, ATTR_REALM,
    ATTR_REQUESTED_ADDRESS_FAMILY, ATTR_REQUESTED_TRANSPORT, ATTR_USERNAME, ATTR_XOR_PEER_ADDRESS,
    ATTR_XOR_RELAYED_ADDRESS, ATTR_XORMAPPED_ADDRESS, AttrType,
};
use rtc_stun::message::{
    CLASS_INDICATION, CLASS_REQUEST, METHOD_ALLOCATE, METHOD_BINDING, METHOD_CHANNEL_BIND, METHOD_CREATE_PERMISSION,
    METHOD_REFRESH, METHOD_SEND, Message, TransactionId,
};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// RFC 8656's times: of an allocation (§3.2, §7.2), a permission (§9), a channel (§12).
const LIFETIME: Duration = Duration::from_secs(600);
const MAX_LIFETIME: Duration = Duration::from_secs(3600);
const PERMISSION: Duration = Duration::from_secs(300);
const CHANNEL: Duration = Duration::from_secs(600);
/// Peers of one allocation; more than ICE ever names.
const MAX_PERMISSIONS: usize = 256;
const MAX_CHANNELS: usize = 256;
/// Channels' numbers. RFC 8656 has fewer (to 0x4FFF), and clients of RFC 5766 these.
const CHANNELS: Range<u16> = 0x4000..0x8000;
/// What requests may hold that must be understood.
const KNOWN: [AttrType; 9] = [
    ATTR_USERNAME,
    ATTR_REALM,
    ATTR_NONCE,
    ATTR_MESSAGE_INTEGRITY,
    ATTR_LIFETIME,
    ATTR_REQUESTED_TRANSPORT,
    ATTR_REQUESTED_ADDRESS_FAMILY,
    ATTR_XOR_PEER_ADDRESS,
    ATTR_CHANNEL_NUMBER,
];
/// REQUESTED-TRANSPORT's only value: UDP's number (§18.8).
const UDP: u8 = 17;

/// What a client's packet leads to.
pub(super) enum Step {
    /// Nothing.
    Nothing,
    /// This is sent to the client.
    Reply(Vec<u8>),
    /// A socket is opened, and [`Session::grant`] or [`Session::deny`] called.
    Open(Box<Wanted>),
    /// That part of the packet is sent to a peer.
    Relay(Peer, Range<usize>),
    /// This is sent to the client, and its socket closed.
    Release(Vec<u8>),
}

/// Whom a client may send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// Whether it is this machine, where only other relayed addresses may be spoken to.
    pub(super) own: bool,
}

/// What a permission is for, until when.
#[derive(Debug, Clone, Copy)]
struct Permission {
    until: Instant,
    own: bool,
}

/// A relayed address that a client may have.
pub(super) struct Wanted {
    request: Message,
    user: User,
    pub(super) share: Arc<Share>,
    lifetime: Duration,
    /// The family that it must be of, if the client says.
    pub(super) v6: Option<bool>,
}

/// How a peer's packet reaches the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// As ChannelData of this channel.
    Channel(u16),
    /// As a Data indication.
    Indication,
    /// Not at all.
    None,
}

/// One client's.
pub(super) struct Session {
    /// The client, as it is seen here.
    client: SocketAddr,
    allocation: Option<Allocation>,
}

struct Allocation {
    user: User,
    share: Arc<Share>,
    relayed: SocketAddr,
    expires: Instant,
    /// The request that made it and its answer, which may be asked for again.
    made_by: (TransactionId, Vec<u8>),
    permissions: HashMap<IpAddr, Permission>,
    channels: HashMap<u16, (Peer, Instant)>,
    numbers: HashMap<SocketAddr, u16>,
}

impl Session {
    pub(super) fn new(client: SocketAddr) -> Self {
        let client = SocketAddr::new(client.ip().to_canonical(), client.port());
        let allocation = None;
        Self { client, allocation }
    }

    /// When its allocation ends.
    pub(super) fn expires(&self) -> Option<Instant> {
        self.allocation.as_ref().map(|allocation| allocation.expires)
    }

    /// The client has sent a packet.
    pub(super) fn on_packet(&mut self, rules: &Rules, now: Instant, packet: &[u8]) -> Step {
        if self.expires().is_some_and(|expires| expires <= now) {
            self.allocation = None;
        }
        match packet.first() {
            Some(0..4) => match read(packet) {
                Some(message) => self.on_message(rules, now, message),
                None => Step::Nothing,
            },
            Some(0x40..0x80) => self.on_channel_data(now, packet),
            _ => Step::Nothing,
        }
    }

    /// How what a peer has sent reaches the client.
    pub(super) fn on_peer(&mut self, now: Instant, peer: SocketAddr, bytes: usize) -> Delivery {
        let Some(allocation) = self.allocation.as_ref().filter(|allocation| now < allocation.expires) else {
            return Delivery::None;
        };
        if allocation.permits(now, peer.ip()).is_none() || !allocation.share.passes(now, bytes) {
            return Delivery::None;
        }
        match allocation.numbers.get(&peer) {
            Some(number) if allocation.channels.get(number).is_some_and(|(_, until)| now < *until) => {
                Delivery::Channel(*number)
            }
            _ => Delivery::Indication,
        }
    }

    /// The relayed address is this one.
    pub(super) fn grant(&mut self, rules: &Rules, now: Instant, wanted: Wanted, relayed: SocketAddr) -> Vec<u8> {
        let answer = Answer::success(&wanted.request)
            .with_address(ATTR_XOR_RELAYED_ADDRESS, relayed)
            .with(ATTR_LIFETIME, &seconds(wanted.lifetime))
            .with_address(ATTR_XORMAPPED_ADDRESS, self.client)
            .signed(&wanted.user.key, rules.crypto());
        self.allocation = Some(Allocation {
            user: wanted.user,
            share: wanted.share,
            relayed,
            expires: now + wanted.lifetime,
            made_by: (wanted.request.transaction_id, answer.clone()),
            permissions: HashMap::new(),
            channels: HashMap::new(),
            numbers: HashMap::new(),
        });
        answer
    }

    /// There is no relayed address to be had.
    pub(super) fn deny(rules: &Rules, wanted: &Wanted, family: bool) -> Vec<u8> {
        let refusal = if family { NO_SUCH_FAMILY } else { NO_CAPACITY };
        Answer::refusal(&wanted.request, refusal).signed(&wanted.user.key, rules.crypto())
    }

    fn on_message(&mut self, rules: &Rules, now: Instant, mut message: Message) -> Step {
        match (message.typ.class, message.typ.method) {
            (CLASS_INDICATION, METHOD_SEND) => self.on_send(now, &message),
            (CLASS_REQUEST, METHOD_BINDING) => Step::Reply(match unknown(&message) {
                Some(refusal) => refusal.plain(),
                None => Answer::success(&message)
                    .with_address(ATTR_XORMAPPED_ADDRESS, self.client)
                    .plain(),
            }),
            (CLASS_REQUEST, _) => self.on_request(rules, now, &mut message).unwrap_or_else(Step::Reply),
            _ => Step::Nothing,
        }
    }

    /// An error is the answer.
    fn on_request(&mut self, rules: &Rules, now: Instant, request: &mut Message) -> Result<Step, Vec<u8>> {
        let known = self.allocation.as_ref().map(|allocation| &allocation.user);
        let user = rules.authenticate(request, self.client, known)?;
        let refuse = |refusal: Refusal| Answer::refusal(request, refusal).signed(&user.key, rules.crypto());
        if let Some(answer) = unknown(request) {
            return Err(answer.signed(&user.key, rules.crypto()));
        }
        if let Some(allocation) = &self.allocation
            && allocation.user.name != user.name
        {
            return Err(refuse(WRONG_CREDENTIALS));
        }
        if request.typ.method == METHOD_ALLOCATE {
            return self.allocate(rules, request, &user).map_err(refuse);
        }
        let Some(allocation) = &mut self.allocation else {
            return Err(refuse(ALLOCATION_MISMATCH));
        };
        let success = Answer::success(request);
        let (answer, ends) = match request.typ.method {
            METHOD_REFRESH => {
                let lifetime = allocation.refresh(now, request).map_err(refuse)?;
                (success.with(ATTR_LIFETIME, &seconds(lifetime)), lifetime.is_zero())
            }
            METHOD_CREATE_PERMISSION => {
                allocation.permit(rules, now, request).map_err(refuse)?;
                (success, false)
            }
            METHOD_CHANNEL_BIND => {
                allocation.bind(rules, now, request).map_err(refuse)?;
                (success, false)
            }
            _ => return Err(refuse(BAD_REQUEST)),
        };
        let answer = answer.signed(&user.key, rules.crypto());
        if ends {
            self.allocation = None;
            return Ok(Step::Release(answer));
        }
        Ok(Step::Reply(answer))
    }

    fn allocate(&self, rules: &Rules, request: &Message, user: &User) -> Result<Step, Refusal> {
        if let Some(allocation) = &self.allocation {
            let (made_by, answer) = &allocation.made_by;
            return match *made_by == request.transaction_id {
                true => Ok(Step::Reply(answer.clone())), // it got lost
                false => Err(ALLOCATION_MISMATCH),
            };
        }
        match request.get(ATTR_REQUESTED_TRANSPORT).ok().as_deref() {
            Some([UDP, _, _, _]) => {}
            Some([_, _, _, _]) => return Err(NOT_UDP),
            _ => return Err(BAD_REQUEST),
        }
        let share = rules.share(user)?;
        let asked = lifetime(request)?.unwrap_or(LIFETIME);
        Ok(Step::Open(Box::new(Wanted {
            v6: family(request)?,
            request: request.clone(),
            user: user.clone(),
            share: Arc::new(share),
            lifetime: asked.clamp(LIFETIME, MAX_LIFETIME),
        })))
    }

    /// An indication: what is wrong with it is not said.
    fn on_send(&mut self, now: Instant, message: &Message) -> Step {
        let peer = addresses(message, ATTR_XOR_PEER_ADDRESS).next().flatten();
        let (Some(allocation), Some(peer), Some(data)) = (&self.allocation, peer, range(message, ATTR_DATA)) else {
            return Step::Nothing;
        };
        match allocation.permits(now, peer.ip()) {
            Some(own) if allocation.share.passes(now, data.len()) => Step::Relay(Peer { address: peer, own }, data),
            _ => Step::Nothing,
        }
    }

    fn on_channel_data(&mut self, now: Instant, packet: &[u8]) -> Step {
        let (Some(allocation), [n1, n2, l1, l2, data @ ..]) = (&self.allocation, packet) else {
            return Step::Nothing;
        };
        let length = usize::from(u16::from_be_bytes([*l1, *l2]));
        let bound = allocation.channels.get(&u16::from_be_bytes([*n1, *n2]));
        match bound {
            Some((peer, until)) if now < *until && length <= data.len() && allocation.share.passes(now, length) => {
                Step::Relay(*peer, 4..4 + length)
            }
            _ => Step::Nothing,
        }
    }
}

impl Allocation {
    /// Whether there is a permission for this peer, and if so whether it is this machine.
    fn permits(&self, now: Instant, peer: IpAddr) -> Option<bool> {
        let permission = self.permissions.get(&peer)?;
        (now < permission.until).then_some(permission.own)
    }

    fn refresh(&mut self, now: Instant, request: &Message) -> Result<Duration, Refusal> {
        if family(request)?.is_some_and(|v6| v6 != self.relayed.is_ipv6()) {
            return Err(FAMILY_MISMATCH);
        }
        let lifetime = match lifetime(request)? {
            Some(Duration::ZERO) => Duration::ZERO,
            asked => asked.unwrap_or(LIFETIME).clamp(LIFETIME, MAX_LIFETIME),
        };
        self.expires = now + lifetime;
        Ok(lifetime)
    }

    /// All peers or none (§10.2).
    fn permit(&mut self, rules: &Rules, now: Instant, request: &Message) -> Result<(), Refusal> {
        let peers: Option<Vec<SocketAddr>> = addresses(request, ATTR_XOR_PEER_ADDRESS).collect();
        let peers = peers.filter(|peers| !peers.is_empty()).ok_or(BAD_REQUEST)?;
        let allowed: Result<Vec<Peer>, Refusal> = peers
            .into_iter()
            .map(|peer| self.may_speak_to(rules, now, peer))
            .collect();
        allowed?.into_iter().try_for_each(|peer| self.add_permission(now, peer))
    }

    fn bind(&mut self, rules: &Rules, now: Instant, request: &Message) -> Result<(), Refusal> {
        let number = match request.get(ATTR_CHANNEL_NUMBER).ok().as_deref() {
            Some([high, low, _, _]) => u16::from_be_bytes([*high, *low]),
            _ => return Err(BAD_REQUEST),
        };
        let peer = addresses(request, ATTR_XOR_PEER_ADDRESS).next().flatten();
        let peer = peer.filter(|_| CHANNELS.contains(&number)).ok_or(BAD_REQUEST)?;
        let allowed = self.may_speak_to(rules, now, peer)?;
        self.channels.retain(|_, (_, until)| now < *until);
        let channels = &self.channels;
        self.numbers.retain(|_, number| channels.contains_key(number));
        let other_peer = self
            .channels
            .get(&number)
            .is_some_and(|(bound, _)| bound.address != peer);
        let other_number = self.numbers.get(&peer).is_some_and(|bound| *bound != number);
        if other_peer || other_number {
            return Err(BAD_REQUEST);
        }
        if self.channels.len() >= MAX_CHANNELS && !self.channels.contains_key(&number) {
            return Err(NO_CAPACITY);
        }
        self.add_permission(now, allowed)?;
        self.channels.insert(number, (allowed, now + CHANNEL));
        self.numbers.insert(peer, number);
        Ok(())
    }

    fn may_speak_to(&self, rules: &Rules, now: Instant, peer: SocketAddr) -> Result<Peer, Refusal> {
        if peer.is_ipv6() != self.relayed.is_ipv6() {
            return Err(FAMILY_MISMATCH);
        }
        match rules.peers.verdict(now, peer.ip()) {
            Verdict::Forbidden => Err(FORBIDDEN),
            verdict => Ok(Peer {
                address: peer,
                own: verdict == Verdict::Own,
            }),
        }
    }

    fn add_permission(&mut self, now: Instant, Peer { address, own }: Peer) -> Result<(), Refusal> {
        let ip = address.ip();
        if self.permissions.len() >= MAX_PERMISSIONS && !self.permissions.contains_key(&ip) {
            self.permissions.retain(|_, permission| now < permission.until);
            if self.permissions.len() >= MAX_PERMISSIONS {
                return Err(NO_CAPACITY);
            }
        }
        let until = now + PERMISSION;
        self.permissions.insert(ip, Permission { until, own });
        Ok(())
    }
}

/// The answer to a request with something that must be understood and is not.
fn unknown(request: &Message) -> Option<Answer> {
    let required = |typ: &AttrType| typ.value() < 0x8000 && !KNOWN.contains(typ);
    let all = request.attributes.0.iter().map(|attribute| attribute.typ);
    let unknown: Vec<AttrType> = all.filter(required).collect();
    (!unknown.is_empty()).then(|| Answer::refusal(request, UNKNOWN_ATTRIBUTE).with_unknown(&unknown))
}

/// The family that a request names.
fn family(request: &Message) -> Result<Option<bool>, Refusal> {
    match request.get(ATTR_REQUESTED_ADDRESS_FAMILY).ok().as_deref() {
        None => Ok(None),
        Some([1, _, _, _]) => Ok(Some(false)),
        Some([2, _, _, _]) => Ok(Some(true)),
        Some(_) => Err(NO_SUCH_FAMILY),
    }
}

fn lifetime(request: &Message) -> Result<Option<Duration>, Refusal> {
    match request.get(ATTR_LIFETIME).ok().as_deref() {
        None => Ok(None),
        Some([a, b, c, d]) => Ok(Some(Duration::from_secs(u32::from_be_bytes([*a, *b, *c, *d]).into()))),
        Some(_) => Err(BAD_REQUEST),
    }
}

fn seconds(time: Duration) -> [u8; 4] {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX).to_be_bytes()
}
