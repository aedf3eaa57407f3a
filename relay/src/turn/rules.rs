//! What holds for all clients of the TURN server: who they are, and what answers those that cannot show it.

use super::clock::unix_time;
use super::credentials::{Secret, parts};
use super::message::{Answer, BAD_REQUEST, EXPIRED, Refusal, STALE_NONCE, UNAUTHORIZED};
use super::peers::Peers;
use super::quota::{Share, Users};
use crate::config::{RelayError, TurnConfig};
use crate::files::file_limit;
use rtc_stun::attributes::{ATTR_MESSAGE_INTEGRITY, ATTR_NONCE, ATTR_REALM, ATTR_USERNAME, AttrType};
use rtc_stun::crypto::RTCCryptoProvider;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::Message;
use std::net::SocketAddr;
use subtle::ConstantTimeEq;

/// The realm is only shown.
const REALM: &str = "crosspeer";
/// For how many seconds a nonce can be used.
const NONCE_SECONDS: u64 = 3600;
/// Bytes of the longest user name (RFC 8489 §14.3).
const MAX_USERNAME: usize = 508;

/// All that is not of one client.
pub(super) struct Rules {
    secret: Secret,
    /// What nonces are made of: no nonce of another server, or of an earlier start, is taken.
    nonces: Secret,
    pub(super) peers: Peers,
    users: Users,
}

/// Who has sent a request.
#[derive(Clone)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) key: Vec<u8>,
}

/// Relayed addresses of all users together: each is a port and an open file, of which others need some too.
fn total(config: &TurnConfig) -> Result<usize, RelayError> {
    let ports = config.port_range()?.len();
    let files = file_limit().map_or(usize::MAX, |files| (files / 2).max(1));
    Ok(config.allocations.unwrap_or(usize::MAX).min(ports).min(files))
}

impl Rules {
    pub(super) fn new(secret: Secret, peers: Peers, config: &TurnConfig) -> Result<Self, RelayError> {
        Ok(Self {
            secret,
            nonces: Secret::load(None)?,
            peers,
            users: Users::new([config.allocations_per_user, total(config)?], config.bytes_per_second),
        })
    }

    pub(super) fn crypto(&self) -> &dyn RTCCryptoProvider {
        self.secret.crypto().as_ref()
    }

    /// One more relayed address for this user.
    pub(super) fn share(&self, user: &User) -> Result<Share, Refusal> {
        // Credentials are renewed, and a user stays the same one.
        let name = parts(&user.name).map_or("", |(_, name)| name);
        self.users.take(name)
    }

    /// Who has sent this request, from there; `known` is who has the allocation that it is about. Otherwise the answer.
    ///
    /// Credentials that have ended are still good for what was allocated by them, as coturn has it: a connection does not
    /// end with them.
    pub(super) fn authenticate(
        &self,
        request: &mut Message,
        from: SocketAddr,
        known: Option<&User>,
    ) -> Result<User, Vec<u8>> {
        let text = |attribute: AttrType| {
            let value = request.get(attribute).ok()?;
            String::from_utf8(value).ok()
        };
        if !request.contains(ATTR_MESSAGE_INTEGRITY) {
            return Err(self.challenge(request, from, UNAUTHORIZED));
        }
        let (Some(name), Some(realm), Some(nonce)) = (text(ATTR_USERNAME), text(ATTR_REALM), text(ATTR_NONCE)) else {
            return Err(Answer::refusal(request, BAD_REQUEST).plain());
        };
        if !self.is_nonce(&nonce, from) {
            return Err(self.challenge(request, from, STALE_NONCE));
        }
        let user = match known.filter(|known| known.name == name) {
            Some(known) => known.clone(),
            None => self
                .user(name, realm)
                .map_err(|refusal| self.challenge(request, from, refusal))?,
        };
        let checked = MessageIntegrity::check(request, &user.key, self.crypto().crypto());
        checked.map_err(|_| self.challenge(request, from, UNAUTHORIZED))?;
        Ok(user)
    }

    fn user(&self, name: String, realm: String) -> Result<User, Refusal> {
        let fitting = name.len() <= MAX_USERNAME && realm == REALM;
        let (expires, _) = parts(&name).filter(|_| fitting).ok_or(UNAUTHORIZED)?;
        if expires <= unix_time() {
            return Err(EXPIRED);
        }
        let password = self.secret.password(&name).ok_or(UNAUTHORIZED)?;
        let crypto = self.crypto().crypto();
        let key = MessageIntegrity::long_term_integrity_key(name.clone(), realm, password, crypto);
        let key = key.map_err(|_| UNAUTHORIZED)?;
        Ok(User { name, key })
    }

    fn challenge(&self, request: &Message, from: SocketAddr, refusal: Refusal) -> Vec<u8> {
        let nonce = self.nonce(unix_time(), from);
        Answer::refusal(request, refusal).with_challenge(REALM, &nonce).plain()
    }

    /// Good for a while, and for this address only; nothing has to be remembered of it.
    fn nonce(&self, at: u64, from: SocketAddr) -> String {
        let mac = self.nonces.mac(format!("{at} {from}").as_bytes()).unwrap_or_default();
        let mac: String = mac[..12].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{at:x}-{mac}")
    }

    fn is_nonce(&self, nonce: &str, from: SocketAddr) -> bool {
        let at = nonce
            .split_once('-')
            .and_then(|(at, _)| u64::from_str_radix(at, 16).ok());
        let Some(at) = at.filter(|at| unix_time().abs_diff(*at) <= NONCE_SECONDS) else {
            return false;
        };
        self.nonce(at, from).as_bytes().ct_eq(nonce.as_bytes()).into()
    }
}
