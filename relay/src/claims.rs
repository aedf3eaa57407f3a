//! What it takes to register a UUID that another client has: that client's own secret, or its silence.
//!
//! A client may come with `resume=…` in its URL's query, a secret of its own choice that it says again whenever it comes
//! back. Those without one, as ProxyStore's, are replaced by whoever comes next.

use crosspeer::relay::ConnId;
use std::collections::HashMap;
use std::time::Duration;
use subtle::ConstantTimeEq;

/// How long the present owner has to answer a ping.
pub(crate) const ANSWER: Duration = Duration::from_secs(1);
/// Bytes of the longest secret; longer ones do not count.
const MAX_SECRET: usize = 128;

/// The secrets that clients came with.
#[derive(Debug, Default)]
pub(crate) struct Claims(HashMap<ConnId, Secret>);

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

/// What a request's query says behind `key=`, as it stands there.
pub(crate) fn said<'a>(query: Option<&'a str>, key: &str) -> Option<&'a str> {
    query?.split('&').find_map(|pair| pair.strip_prefix(key))
}

impl Claims {
    pub(crate) fn put(&mut self, conn: ConnId, secret: Option<Secret>) {
        self.0.extend(secret.map(|secret| (conn, secret)));
    }

    pub(crate) fn remove(&mut self, conn: ConnId) {
        self.0.remove(&conn);
    }

    /// Whether this client has what the other one had, which had something.
    pub(crate) fn may_replace(&self, newcomer: ConnId, present: ConnId) -> bool {
        self.0
            .get(&present)
            .is_none_or(|secret| self.0.get(&newcomer) == Some(secret))
    }
}
