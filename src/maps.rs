//! Maps that are small to download, in place of the standard library's with its hash function.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher};

/// A list in the order of its keys, for the thousands of things that one peer has at most. Ids ascend, so a new one's
/// place is the end; for thousands a list is as fast as a hash table, and a fraction of its code.
#[derive(Debug)]
pub(crate) struct SortedMap<K, V>(Vec<(K, V)>);

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord + Copy, V> SortedMap<K, V> {
    pub(crate) fn get(&self, key: K) -> Option<&V> {
        self.find(key).ok().map(|at| &self.0[at].1)
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.find(key).ok().map(|at| &mut self.0[at].1)
    }

    /// Replaces what was there.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        match self.find(key) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (key, value)),
        }
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        self.find(key).ok().map(|at| self.0.remove(at).1)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.0.iter()
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Where a key is, or belongs.
    fn find(&self, key: K) -> Result<usize, usize> {
        self.0.binary_search_by_key(&key, |(key, _)| *key)
    }
}

/// Things that come with nearly ascending keys and go about in the same order, however many there are.
#[derive(Debug)]
pub(crate) struct Pending<K, V> {
    /// `None` where one has gone before those in front of it.
    entries: VecDeque<(K, Option<V>)>,
    present: usize,
}

impl<K, V> Default for Pending<K, V> {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            present: 0,
        }
    }
}

impl<K: Ord + Copy, V> Pending<K, V> {
    /// The key must be new. Of calls in two threads the later number may come first: its place is still near the end.
    pub(crate) fn push(&mut self, key: K, value: V) {
        let later = self.entries.iter().rev().take_while(|(other, _)| *other > key);
        let at = self.entries.len() - later.count();
        self.entries.insert(at, (key, Some(value)));
        self.present += 1;
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        let at = self.entries.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        let value = self.entries.get_mut(at)?.1.take()?;
        self.present -= 1;
        while self.entries.pop_front_if(|(_, value)| value.is_none()).is_some() {}
        // One that stays for long must not keep the places of all that went after it.
        if self.entries.len() > 2 * self.present + 64 {
            self.entries.retain(|(_, value)| value.is_some());
        }
        Some(value)
    }
}

/// A map from numbers that a peer chooses: it may have millions of entries, and the peer cannot make them collide.
pub(crate) type NumberMap<V> = HashMap<u32, V, Multiply>;

/// Multiplication by a random odd number, whose upper half is a universal hash of a `u32` (Dietzfelbinger 1996); done
/// twice, since by one multiplication numbers at equal distances fall into equal distances, which may be too close.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Multiply {
    factor: u64,
    hash: u64,
}

impl Default for Multiply {
    fn default() -> Self {
        Self {
            factor: fastrand::u64(..) | 1,
            hash: 0,
        }
    }
}

impl BuildHasher for Multiply {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        *self
    }
}

impl Hasher for Multiply {
    fn write_u32(&mut self, number: u32) {
        let once = u64::from(number).wrapping_mul(self.factor);
        self.hash = (once ^ once >> 32).wrapping_mul(self.factor).rotate_left(32);
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn finish(&self) -> u64 {
        self.hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, HashSet};

    proptest! {
        #[test]
        fn a_sorted_map_does_what_a_tree_does(steps: Vec<(bool, u8, u8)>) {
            let (mut ours, mut theirs) = (SortedMap::default(), BTreeMap::new());
            for (insert, key, value) in steps {
                if insert {
                    ours.insert(key, value);
                    theirs.insert(key, value);
                } else {
                    prop_assert_eq!(ours.remove(key), theirs.remove(&key));
                }
                prop_assert_eq!(ours.get(value), theirs.get(&value));
                prop_assert_eq!(ours.len(), theirs.len());
            }
            prop_assert!(ours.values().eq(theirs.values()));
        }

        #[test]
        fn whatever_is_pending_is_found_once(steps: Vec<Option<u16>>) {
            let (mut ours, mut theirs, most) = (Pending::default(), BTreeMap::new(), steps.len());
            for (key, step) in steps.into_iter().enumerate() {
                match step {
                    Some(key) => prop_assert_eq!(ours.remove(key.into()), theirs.remove(&usize::from(key))),
                    None => {
                        ours.push(key, key);
                        theirs.insert(key, key);
                    }
                }
            }
            for key in 0..most {
                prop_assert_eq!(ours.remove(key), theirs.remove(&key));
            }
            prop_assert!(ours.entries.is_empty());
        }
    }

    #[test]
    fn a_number_that_comes_late_is_found() {
        let mut pending = Pending::default();
        for key in [1, 0, 5, 3, 4, 2] {
            pending.push(key, key);
        }
        for key in [5, 0, 1, 2, 3, 4] {
            assert_eq!(pending.remove(key), Some(key));
        }
    }

    #[test]
    fn one_that_stays_does_not_keep_the_places_of_others() {
        let mut pending = Pending::default();
        pending.push(0, ());
        for key in 1..10_000 {
            pending.push(key, ());
            assert_eq!(pending.remove(key), Some(()));
        }
        assert!(pending.entries.len() < 100);
        assert_eq!(pending.remove(0), Some(()));
    }

    #[test]
    fn numbers_in_a_row_and_far_apart_are_spread() {
        for factor in 1..1000_u64 {
            let factor = factor.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let hash = Multiply { factor, hash: 0 };
            for step in [1, 2, 1 << 16, 1 << 20, 65_537] {
                let low: HashSet<u64> = (0..1024_u32)
                    .map(|n| hash.hash_one(n.wrapping_mul(step)) % 4096)
                    .collect();
                assert!(low.len() > 500, "{factor:x} {step}: {}", low.len());
            }
        }
    }
}
