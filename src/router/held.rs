//! Offers under the id of a peer that is connected, with another certificate than that connection's. It may be the peer,
//! started anew before its end was noticed, or somebody else who has taken its id. A connection that works is not given up
//! for it: the offer waits until that one has ended or is silent.

use super::Router;
use crate::description::Description;
use crate::link::Link;
use crate::output::State;
use crate::platform::{SdpType, SessionDescription};
use crate::request::LinkId;
use crate::{Error, Fingerprint, Result, identity};
use uuid::Uuid;
use web_time::Instant;

/// Bytes of the largest offer that is kept; real ones have some thousand.
const MAX_OFFER: usize = 16 << 10;
/// How many are kept at most.
const MAX_HELD: usize = 64;

/// The latest such offer of each id, and when it came.
#[derive(Default)]
pub(super) struct Held(Vec<(Uuid, Instant, String)>);

impl Router {
    /// Whether a peer may be who it says, and may connect.
    ///
    /// # Errors
    /// [`Error::IdentityMismatch`], or [`Error::NotVerified`] where that is required.
    pub(super) fn check_identity(&self, peer: Uuid, sdp: &str) -> Result<Option<Fingerprint>> {
        self.check_required(peer)?;
        identity::check(peer, sdp)
    }

    /// # Errors
    /// [`Error::NotVerified`] where that is required, and this id cannot be.
    pub(super) fn check_required(&self, peer: Uuid) -> Result<()> {
        match self.config.require_verified && !identity::is_key(peer) {
            true => Err(Error::NotVerified { peer }),
            false => Ok(()),
        }
    }

    /// Whether an offer has to wait for the end of what is up; then it is kept.
    pub(super) fn hold(&mut self, now: Instant, peer: Uuid, old: LinkId, sdp: &str) -> bool {
        let stays = |link: &Link| link.state() == State::Connected && !link.is_silent() && !is_same(link, peer, sdp);
        if !self.links.get(&old).is_some_and(stays) {
            return false;
        }
        tracing::info!(%peer, "an offer with another certificate waits for the end of the connection that is up");
        let held = &mut self.held.0;
        held.retain(|(of, ..)| *of != peer);
        if sdp.len() <= MAX_OFFER && held.len() < MAX_HELD {
            held.push((peer, now, sdp.to_owned()));
        }
        true
    }

    /// Takes the offers whose turn has come.
    pub(super) fn take_held(&mut self, now: Instant) {
        if self.held.0.is_empty() {
            return;
        }
        let mut due = Vec::new();
        let (links, by_peer, patience) = (&self.links, &self.by_peer, self.config.connect_timeout);
        self.held.0.retain(|(peer, since, sdp)| {
            let link = by_peer.get(*peer).and_then(|link| links.get(link));
            let waits = link.is_some_and(|link| link.state() == State::Connected && !link.is_silent());
            let fresh = *since + patience > now;
            if fresh && !waits {
                due.push((*peer, sdp.clone()));
            }
            fresh && waits
        });
        for (peer, sdp) in due {
            let session = SessionDescription {
                sdp_type: SdpType::Offer,
                sdp,
            };
            if let Err(error) = self.route_description(now, peer, Description::Session(session)) {
                tracing::warn!(%peer, %error, "ignored an offer that had to wait");
            }
        }
    }
}

/// Whether an offer names the certificate of this connection's peer, and no other.
pub(super) fn is_same(link: &Link, peer: Uuid, sdp: &str) -> bool {
    let fingerprint = identity::check(peer, sdp).unwrap_or_default();
    !link.is_another(fingerprint) && identity::names_one(sdp)
}
