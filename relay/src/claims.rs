//! What it takes to register a UUID that another client has: that client's own secret, or its silence.
//!
//! A client may come with `resume=…` in its URL's query, a secret of its own choice that it says again whenever it comes
//! back. Those without one, as ProxyStore's, are replaced by whoever comes next.

use crate::access::{Grant, said};
use crate::turn::Asker;
use crosspeer::relay::ConnId;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// How long the present owner has to answer a ping.
pub(crate) const ANSWER: Duration = Duration::from_secs(1);
/// Why a client may not have a UUID.
pub(crate) const TAKEN: &str = "This UUID is registered by another client, which answers.";
/// Bytes of the longest secret; longer ones do not count.
const MAX_SECRET: usize = 128;

/// What a client came with.
#[derive(Debug, Default)]
pub(crate) struct Rights {
    /// Whether it has the key of the reserved UUID.
    pub(crate) owner: bool,
    pub(crate) secret: Option<Secret>,
    /// What its token lets it do; anything, where none is wanted.
    pub(crate) grant: Option<Arc<Grant>>,
    /// Whether it has asked for STUN and TURN servers.
    pub(crate) asker: Option<Asker>,
}

/// What clients came with, of those that came with something.
#[derive(Debug, Default)]
pub(crate) struct Claims(HashMap<ConnId, Rights>);

/// Never shown.
pub(crate) struct Secret(String);

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Of a request's query.
    pub(crate) fn of(query: Option<&str>) -> Option<Self> {
        let given = said(query, "resume=")?;
        (!given.is_empty() && given.len() <= MAX_SECRET).then(|| Self(given.to_owned()))
    }
}

impl Claims {
    pub(crate) fn put(&mut self, conn: ConnId, rights: Rights) {
        if rights.owner || rights.secret.is_some() || rights.grant.is_some() || rights.asker.is_some() {
            self.0.insert(conn, rights);
        }
    }

    pub(crate) fn remove(&mut self, conn: ConnId) {
        self.0.remove(&conn);
    }

    pub(crate) fn is_owner(&self, conn: ConnId) -> bool {
        self.0.get(&conn).is_some_and(|rights| rights.owner)
    }

    pub(crate) fn grant(&self, conn: ConnId) -> Option<&Arc<Grant>> {
        self.0.get(&conn)?.grant.as_ref()
    }

    /// How a client that is to be given STUN and TURN servers has reached this relay.
    pub(crate) fn asker(&self, conn: ConnId) -> Option<&Asker> {
        let rights = self.0.get(&conn)?;
        let allowed = rights.grant.as_ref().is_none_or(|grant| grant.may_turn());
        rights.asker.as_ref().filter(|_| allowed)
    }

    /// Everyone who has a grant.
    pub(crate) fn grants(&self) -> impl Iterator<Item = (ConnId, &Arc<Grant>)> {
        self.0
            .iter()
            .filter_map(|(conn, rights)| Some((*conn, rights.grant.as_ref()?)))
    }

    /// What this client's secret hashes to for a UUID, for other nodes to compare.
    pub(crate) fn secret_hash(&self, conn: ConnId, uuid: Uuid) -> Option<Uuid> {
        let Secret(secret) = self.0.get(&conn)?.secret.as_ref()?;
        let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
        hash.update(uuid.as_bytes());
        hash.update(secret.as_bytes());
        Uuid::from_slice(hash.finish().as_ref().get(..16)?).ok()
    }

    /// Whether this client has what the other one had, which had something.
    pub(crate) fn may_replace(&self, newcomer: ConnId, present: ConnId) -> bool {
        let secret = |conn| self.0.get(&conn).and_then(|rights| rights.secret.as_ref());
        secret(present).is_none_or(|known| secret(newcomer) == Some(known))
    }
}
