//! Which of two nodes has a UUID: rules that both apply to the same facts, with the same result.

use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use uuid::Uuid;

/// When, and by which node, a UUID was claimed. The time is a hybrid clock's: the wall's milliseconds, but always later than
/// what the node has seen of others. So whoever claims after it has heard of a claim has the later stamp, whatever clocks
/// say; and no two are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Stamp(pub(super) u64, pub(super) Uuid);

/// A claim, as nodes tell it each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    pub(super) uuid: Uuid,
    pub(super) stamp: Stamp,
    /// When a client with this secret had the UUID first, without a break: what others claimed in between comes later.
    pub(super) since: Stamp,
    /// What the client's secret hashes to, if it has one.
    pub(super) secret: Option<Uuid>,
}

/// Why the other claim stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Loss {
    /// A later client has the UUID.
    Replaced,
    /// The client that had it first keeps it.
    Taken,
}

/// Which claim stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The one that is held here; the other is lost.
    Held(Loss),
    /// The other; the one that is held here is lost.
    Other(Loss),
}

/// The later claim stands, unless the earlier has a secret that the later does not know.
pub(super) fn judge(held: &Claim, other: &Claim) -> Outcome {
    let same = held.secret == other.secret;
    let held_first = if same {
        held.stamp < other.stamp
    } else {
        held.since < other.since
    };
    let earlier = if held_first { held } else { other };
    match (same || earlier.secret.is_none(), held_first) {
        (true, true) => Outcome::Other(Loss::Replaced),
        (true, false) => Outcome::Held(Loss::Replaced),
        (false, true) => Outcome::Held(Loss::Taken),
        (false, false) => Outcome::Other(Loss::Taken),
    }
}

/// A claim of one of this node's clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holding {
    pub(super) claim: Claim,
    pub(super) conn: u64,
    /// Whether the client is registered; before that, other nodes are being asked.
    pub(super) registered: bool,
}

/// What this node's clients have claimed.
#[derive(Debug)]
pub(super) struct Holdings {
    node: Uuid,
    clock: u64,
    held: HashMap<Uuid, Holding>,
}

impl Holdings {
    pub(super) fn new(node: Uuid) -> Self {
        Self {
            node,
            clock: 0,
            held: HashMap::new(),
        }
    }

    /// A stamp later than any that was seen.
    pub(super) fn stamp(&mut self, now: u64) -> Stamp {
        self.clock = now.max(self.clock + 1);
        Stamp(self.clock, self.node)
    }

    pub(super) fn see(&mut self, stamp: Stamp) {
        self.clock = self.clock.max(stamp.0);
    }

    pub(super) fn get(&self, uuid: Uuid) -> Option<&Holding> {
        self.held.get(&uuid)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Claim> {
        self.held.values().map(|holding| &holding.claim)
    }

    /// In place of whatever claim there was.
    pub(super) fn put(&mut self, holding: Holding) {
        self.held.insert(holding.claim.uuid, holding);
    }

    /// Takes a claim back, if it is this one still.
    pub(super) fn release(&mut self, uuid: Uuid, stamp: Stamp) -> Option<Holding> {
        match self.held.get(&uuid) {
            Some(holding) if holding.claim.stamp == stamp => self.held.remove(&uuid),
            _ => None,
        }
    }

    /// The client is registered now. `false`: the claim has been lost meanwhile.
    pub(super) fn confirm(&mut self, uuid: Uuid, stamp: Stamp) -> bool {
        match self.held.get_mut(&uuid) {
            Some(holding) if holding.claim.stamp == stamp => {
                holding.registered = true;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(time: u64, node: u128, secret: Option<u128>) -> Claim {
        let stamp = Stamp(time, Uuid::from_u128(node));
        Claim {
            uuid: Uuid::nil(),
            stamp,
            since: stamp,
            secret: secret.map(Uuid::from_u128),
        }
    }

    #[test]
    fn both_nodes_come_to_the_same_result_and_one_client_keeps_the_uuid() {
        let secrets = [None, Some(1), Some(2)];
        for (time_a, time_b) in [(1, 1), (1, 2), (2, 1)] {
            for (a, b) in secrets.iter().flat_map(|a| secrets.iter().map(move |b| (*a, *b))) {
                let (a, b) = (claim(time_a, 1, a), claim(time_b, 2, b));
                match (judge(&a, &b), judge(&b, &a)) {
                    (Outcome::Held(why), Outcome::Other(same)) | (Outcome::Other(why), Outcome::Held(same)) => {
                        assert_eq!(why, same);
                    }
                    other => panic!("{a:?} {b:?}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn the_later_client_stands_unless_the_earlier_has_another_secret() {
        let newer = |old, new| judge(&claim(1, 1, old), &claim(2, 2, new));
        assert_eq!(newer(None, None), Outcome::Other(Loss::Replaced));
        assert_eq!(newer(None, Some(1)), Outcome::Other(Loss::Replaced));
        assert_eq!(newer(Some(1), Some(1)), Outcome::Other(Loss::Replaced));
        assert_eq!(newer(Some(1), Some(2)), Outcome::Held(Loss::Taken));
        assert_eq!(newer(Some(1), None), Outcome::Held(Loss::Taken));
    }

    #[test]
    fn who_comes_back_is_not_later_than_who_came_while_it_was_there() {
        let mut back = claim(3, 1, Some(1));
        back.since = claim(1, 1, Some(1)).stamp;
        assert_eq!(judge(&back, &claim(2, 2, Some(2))), Outcome::Held(Loss::Taken));
        assert_eq!(judge(&back, &claim(2, 2, None)), Outcome::Held(Loss::Taken));
        assert_eq!(judge(&back, &claim(2, 2, Some(1))), Outcome::Held(Loss::Replaced));
        assert_eq!(judge(&back, &claim(4, 2, Some(1))), Outcome::Other(Loss::Replaced));
    }

    #[test]
    fn stamps_are_later_than_all_that_was_seen_though_clocks_are_not() {
        let mut slow = Holdings::new(Uuid::from_u128(1));
        let first = slow.stamp(100);
        assert!(slow.stamp(50) > first);
        slow.see(Stamp(9000, Uuid::from_u128(2)));
        assert!(slow.stamp(101) > Stamp(9000, Uuid::from_u128(2)));
    }

    #[test]
    fn a_claim_that_was_lost_is_not_confirmed_nor_released() {
        let mut holdings = Holdings::new(Uuid::nil());
        let (first, second) = (claim(1, 0, None), claim(2, 0, None));
        let holding = |claim| Holding {
            claim,
            conn: 1,
            registered: false,
        };
        holdings.put(holding(first));
        holdings.put(holding(second));
        assert!(!holdings.confirm(first.uuid, first.stamp));
        assert!(holdings.release(first.uuid, first.stamp).is_none());
        assert!(holdings.confirm(second.uuid, second.stamp));
        assert!(holdings.get(second.uuid).unwrap().registered);
        assert!(holdings.release(second.uuid, second.stamp).is_some());
        assert_eq!(holdings.all().count(), 0);
    }
}
