//! What a token lets its bearer do.

use serde::Deserialize;
use std::time::{Duration, SystemTime};
use uuid::Uuid;

/// What an authority says of a token; the claims of a JWT, and the answer of a web service.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Claims {
    /// Whose it is.
    pub(crate) sub: String,
    /// Until when, in seconds since 1970.
    pub(crate) exp: Option<u64>,
    /// The UUIDs that may be registered. Any, if not said.
    pub(crate) ids: Option<Vec<Uuid>>,
    /// The peers to whom something may be sent, answers too. Any, if not said.
    pub(crate) peers: Option<Vec<Uuid>>,
    /// Clients of which one has rooms exchange messages only if they have one in common.
    pub(crate) rooms: Option<Vec<String>>,
    /// Whether TURN may be used. Yes, if not said.
    pub(crate) turn: Option<bool>,
}

/// A token's rights.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    claims: Claims,
    /// The token's digest, where it is known by that.
    pub(crate) digest: Option<[u8; 32]>,
}

impl Grant {
    pub(crate) fn new(claims: Claims, digest: Option<[u8; 32]>) -> Self {
        Self { claims, digest }
    }

    /// Whose it is.
    pub(crate) fn subject(&self) -> &str {
        &self.claims.sub
    }

    /// The time that is left.
    #[allow(clippy::disallowed_methods)] // tokens end by the wall's clock
    pub(crate) fn lasts(&self) -> Option<Duration> {
        let end = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(self.claims.exp?));
        Some(end?.duration_since(SystemTime::now()).unwrap_or_default())
    }

    pub(crate) fn may_be(&self, uuid: Uuid) -> bool {
        self.claims.ids.as_ref().is_none_or(|ids| ids.contains(&uuid))
    }

    pub(crate) fn may_send_to(&self, peer: Uuid) -> bool {
        self.claims.peers.as_ref().is_none_or(|peers| peers.contains(&peer))
    }

    pub(crate) fn rooms(&self) -> Option<&[String]> {
        self.claims.rooms.as_deref()
    }

    /// Whether TURN may be used.
    pub(crate) fn may_turn(&self) -> bool {
        self.claims.turn.unwrap_or(true)
    }
}

/// Whether clients with these rooms may exchange messages.
pub(crate) fn share_room(one: Option<&[String]>, other: Option<&[String]>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => one.iter().any(|room| other.contains(room)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_for_those_who_have_them() {
        let rooms = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (lab, both, none) = (rooms(&["lab"]), rooms(&["office", "lab"]), rooms(&[]));
        assert!(share_room(None, None));
        assert!(share_room(Some(&lab), Some(&both)));
        assert!(!share_room(Some(&lab), None), "whoever has no room is in none");
        assert!(!share_room(None, Some(&lab)));
        assert!(!share_room(Some(&none), Some(&none)), "an empty list is no room");
    }

    #[test]
    fn what_is_not_said_is_allowed_and_an_empty_list_allows_nothing() {
        let of = |json: &str| Grant::new(serde_json::from_str(json).unwrap(), None);
        let id = Uuid::from_u128(7);
        let free = of(r#"{"sub": "a", "other": 1}"#);
        assert!(free.may_be(id) && free.may_send_to(id) && free.may_turn() && free.lasts().is_none());
        let bound = of(r#"{"ids": [], "peers": ["00000000-0000-0000-0000-000000000007"], "turn": false, "exp": 1}"#);
        assert!(!bound.may_be(id) && bound.may_send_to(id) && !bound.may_send_to(Uuid::from_u128(8)));
        assert!(!bound.may_turn() && bound.lasts() == Some(Duration::ZERO));
    }
}
