//! A bounded memory of the messages that are over.

use crate::chunk::Kind;
use std::collections::{BTreeMap, VecDeque};

/// How many message numbers are remembered. A late chunk follows its message closely, if at all.
const REMEMBERED: usize = 1024;

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was delivered; it was of this kind and had so many chunks.
    Complete(Kind, u32),
    /// It broke a rule or never completed.
    Refused,
}

/// The last messages of several chunks that are over, by number.
#[derive(Debug, Default)]
pub(super) struct Finished {
    outcomes: BTreeMap<u32, Outcome>,
    /// At least the numbers in `outcomes`, oldest first.
    order: VecDeque<u32>,
}

impl Finished {
    pub(super) fn get(&self, stream_id: u32) -> Option<Outcome> {
        self.outcomes.get(&stream_id).copied()
    }

    pub(super) fn insert(&mut self, stream_id: u32, outcome: Outcome) {
        self.outcomes.insert(stream_id, outcome);
        self.order.push_back(stream_id);
        if self.order.len() > REMEMBERED {
            let oldest = self.order.pop_front();
            oldest.and_then(|id| self.outcomes.remove(&id));
        }
    }

    pub(super) fn forget(&mut self, stream_id: u32) {
        self.outcomes.remove(&stream_id);
    }
}
