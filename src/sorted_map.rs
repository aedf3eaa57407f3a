//! A map for the thousands of things that one peer has at most.

use std::collections::VecDeque;

/// A list in the order of its keys. Ids ascend, so a new one's place is the end and the next to go is near the
/// beginning; for thousands a list is as fast as a hash table, and it is a fraction of the code for pages to download.
/// Where a peer chooses the keys and there may be millions, use a tree.
#[derive(Debug)]
pub(crate) struct SortedMap<K, V>(VecDeque<(K, V)>);

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        Self(VecDeque::new())
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
        Some(self.0.remove(self.find(key).ok()?)?.1)
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
        match self.0.back() {
            Some((last, _)) if *last < key => Err(self.0.len()),
            _ => self.0.binary_search_by_key(&key, |(key, _)| *key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn it_does_what_a_tree_does(steps: Vec<(bool, u8, u8)>) {
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
    }
}
