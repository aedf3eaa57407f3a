//! What all connections have begun to bring is bounded, however many there are.

use super::Router;
use crate::Error;
use crate::link::Link;
use crate::request::LinkId;
use web_time::Instant;

impl Router {
    /// Counts what a link holds now.
    pub(super) fn count(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id) {
            let held = if link.is_ended() { 0 } else { link.held() };
            self.held_bytes = self.held_bytes - link.counted as u64 + held as u64;
            link.counted = held;
        }
    }

    /// Ends the connections that hold the most until the others are within the budget.
    pub(super) fn keep_budget(&mut self, now: Instant) {
        while self.held_bytes > self.config.memory_budget_bytes {
            let Some(worst) = self.links.values().max_by_key(|link| link.counted).map(|link| link.id) else {
                return;
            };
            let text = "of all connections it has begun the most and not ended it, and together that is too much";
            self.with_link(now, worst, |link: &mut Link, cx| {
                link.end(cx, Error::PeerMisbehaved(text.into()));
            });
        }
    }
}
