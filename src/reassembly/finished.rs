//! A bounded memory of the messages that are over.

use crate::chunk::Kind;
use std::collections::VecDeque;

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

/// The last messages of several chunks that are over, oldest first. So few are searched one by one.
#[derive(Debug, Default)]
pub(super) struct Finished(VecDeque<(u32, Outcome)>);

impl Finished {
    pub(super) fn get(&self, stream_id: u32) -> Option<Outcome> {
        let found = self.0.iter().rfind(|(id, _)| *id == stream_id);
        found.map(|(_, outcome)| *outcome)
    }

    pub(super) fn insert(&mut self, stream_id: u32, outcome: Outcome) {
        self.0.push_back((stream_id, outcome));
        if self.0.len() > REMEMBERED {
            self.0.pop_front();
        }
    }

    pub(super) fn forget(&mut self, stream_id: u32) {
        self.0.retain(|(id, _)| *id != stream_id);
    }
}
