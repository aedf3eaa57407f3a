//! Offers, answers and errors that come through the relay: whose they are, and what glare means.
//!
//! The rules, where A and B are a pair and A has the larger UUID:
//! - Both offer: A's offer stands. A says it once more, in case B came up after it was sent; B drops its own and answers.
//! - A ProxyStore peer knows no such rule: its offer is always answered.
//! - An offer while a connection is up, with the same certificate: the peer has come back. The old connection ends, what
//!   it had not begun to send goes over the new one. With another certificate it waits until the old one has ended or is
//!   silent (`held`), and gets nothing of it.
//! - The offer that is being answered already: the answer is said once more (to our own kind; ProxyStore would not
//!   survive a second answer, and does not repeat offers).

use super::Router;
use super::held::is_same;
use crate::description::{Description, Words};
use crate::link::{Link, Signal, resumed};
use crate::output::{Output, State};
use crate::platform::SdpType;
use crate::relay::{DescriptionType, PeerConnectionMessage, SILENT};
use crate::request::LinkId;
use crate::wire::word;
use crate::{Error, Result, Stage, printable};
use uuid::Uuid;
use web_time::Instant;

/// Connections that are being set up because others want them; each costs sockets, and some 400 KiB.
const MAX_ANSWERING: usize = 32;

impl Router {
    /// Gives the relay what links have to say.
    pub(super) fn send_signals(&mut self) {
        let mut signals = Vec::new();
        for link in self.links.values_mut() {
            if let Some(peer) = link.peer {
                let of_link = link.take_signals().into_iter();
                signals.extend(of_link.map(|signal| (link.id, peer, signal)));
            }
        }
        for (id, peer, signal) in signals {
            let message = self.message(peer, signal);
            if !self.uplink.send(message)
                && let Some(link) = self.links.get_mut(&id)
            {
                link.repeat_signal();
            }
        }
    }

    pub(super) fn on_relay_message(&mut self, now: Instant, message: PeerConnectionMessage) {
        if !self.is_managed() {
            return self.out.push_back(Output::RelayMessage(message));
        }
        let peer = if message.error.is_some() {
            message.peer_uuid
        } else {
            message.source_uuid
        };
        if let Err(error) = self.route(now, peer, message) {
            tracing::warn!(%peer, %error, "ignored a message that came through the relay");
        }
    }

    /// Finds or makes the link a message is for.
    fn route(&mut self, now: Instant, peer: Uuid, message: PeerConnectionMessage) -> Result<()> {
        if peer == self.me.uuid || (message.error.is_none() && message.peer_uuid != self.me.uuid) {
            return Err(Error::InvalidInput(
                "it is not between this side and another peer".into(),
            ));
        }
        let known = self.by_peer.get(peer).copied();
        if message.error.is_some() {
            return known.map_or(Ok(()), |link| self.deliver_signal(now, link, message));
        }
        let description =
            Description::decode(&message.description).map_err(|e| Error::PeerMisbehaved(e.to_string()))?;
        self.route_description(now, peer, description)
    }

    /// Finds or makes the link a peer's description is for.
    pub(super) fn route_description(&mut self, now: Instant, peer: Uuid, description: Description) -> Result<()> {
        let known = self.by_peer.get(peer).copied();
        let Description::Session(session) = &description else {
            return known.map_or(Ok(()), |link| self.take_description(now, link, description));
        };
        if session.sdp_type == SdpType::Answer {
            let Some(link) = known else {
                if Words::parse(&session.sdp).is_some_and(|words| words.contains(word::CLOSE)) {
                    self.withdraw(peer);
                }
                return Ok(());
            };
            return self.take_description(now, link, description);
        }
        self.check_identity(peer, &session.sdp)?;
        if resumed(&session.sdp).is_some() {
            return self.resume(now, peer, known, &session.sdp);
        }
        let Some(link) = self.link_for_offer(now, peer, known, &session.sdp)? else {
            return Ok(());
        };
        self.take_description(now, link, description)
    }

    /// An offer for a session that goes on; a peer that means another one learns that it has ended.
    fn resume(&mut self, now: Instant, peer: Uuid, known: Option<LinkId>, sdp: &str) -> Result<()> {
        let fingerprint = self.check_identity(peer, sdp)?;
        let link = known.filter(|id| {
            let link = self.links.get(id);
            link.is_some_and(|link| link.is_session(sdp, fingerprint))
        });
        match link {
            Some(link) => self.with_link(now, link, |link, cx| link.accept_lane(cx, sdp)),
            // A peer that is being connected anew learns it by that.
            None if known.is_some() => None,
            None => {
                self.withdraw(peer);
                None
            }
        };
        Ok(())
    }

    /// Tells a peer of our own kind that the attempt it has answered was given up; others would not understand.
    pub(super) fn withdraw(&mut self, peer: Uuid) {
        let signal = Signal {
            offer: false,
            description: Description::Withdraw.encode(),
            due: true,
        };
        let message = self.message(peer, signal);
        self.uplink.send(message);
    }

    fn message(&self, peer: Uuid, signal: Signal) -> PeerConnectionMessage {
        PeerConnectionMessage {
            source_uuid: self.me.uuid,
            source_name: self.me.name.clone(),
            peer_uuid: peer,
            description_type: if signal.offer {
                DescriptionType::Offer
            } else {
                DescriptionType::Answer
            },
            description: signal.description,
            error: None,
        }
    }

    /// The link that is to take an offer: the present one, or a new one where the peer has come back. None where the offer
    /// has to [wait](Self::hold).
    fn link_for_offer(&mut self, now: Instant, peer: Uuid, known: Option<LinkId>, sdp: &str) -> Result<Option<LinkId>> {
        let old = known
            .and_then(|id| self.links.get(&id))
            .filter(|link| !link.is_closing() || link.knows(sdp));
        if let Some(old) = old.filter(|link| !link.is_up() || link.knows(sdp)) {
            return Ok(Some(old.id));
        }
        let replaced = old.map(|link| link.id);
        if replaced.is_some_and(|old| self.hold(now, peer, old, sdp)) {
            return Ok(None);
        }
        if self.closing.is_some() || self.done {
            return Err(Error::closed("this side is being closed"));
        }
        self.make_room(now, replaced.is_none())?;
        let new = self.new_link(peer, true);
        if let Some(old) = replaced {
            self.hand_over(now, old, new, sdp);
        }
        Ok(Some(new))
    }

    /// For one more call: of too many that are being answered, the oldest of those that nothing has come of gives way; also
    /// where the call needs a place of its own (`another`), and there is none.
    fn make_room(&mut self, now: Instant, another: bool) -> Result<()> {
        let answering = |link: &&Link| link.is_answerer() && link.state() == State::Connecting;
        let crowded = self.links.values().filter(answering).count() >= MAX_ANSWERING;
        // Those whose messages nobody has taken yet count too: they still cost memory.
        let full = another && self.links.len() + self.unread.len() >= self.config.max_connections;
        if !crowded && !full {
            return Ok(());
        }
        // In the order of their beginning.
        let unheard = |link: &&Link| link.is_unheard(now, &self.config);
        let oldest = self.links.values().filter(answering).find(unheard);
        let Some(oldest) = oldest.map(|link| link.id) else {
            let text = match full {
                true => format!(
                    "there are {} connections, as many as `max_connections` allows",
                    self.links.len()
                ),
                false => format!("{MAX_ANSWERING} connections are being answered already"),
            };
            return Err(Error::InvalidInput(text));
        };
        self.with_link(now, oldest, |link, cx| {
            let reason = "it has given way to later calls, since nothing came of it".into();
            let stage = Stage::Ice;
            link.end(cx, Error::SetupFailed { stage, reason });
        });
        Ok(())
    }

    /// The peer came back: the old connection is dead.
    fn hand_over(&mut self, now: Instant, old: LinkId, new: LinkId, sdp: &str) {
        let unsent = self.with_link(now, old, |link, cx| {
            // Meant for whoever had the old one's certificate.
            let unsent = match link.peer.is_some_and(|peer| is_same(link, peer, sdp)) {
                true => link.take_unsent(),
                false => Default::default(),
            };
            let reason = "the peer came back with a new connection".into();
            link.end(cx, Error::ConnectionLost { reason });
            unsent
        });
        for outgoing in unsent.unwrap_or_default() {
            self.with_link(now, new, |link, cx| link.send(cx, outgoing));
        }
    }

    /// Lets a link take a message of the relay.
    ///
    /// # Errors
    /// The message cannot be understood; the link is as before.
    pub(super) fn deliver_signal(&mut self, now: Instant, link: LinkId, message: PeerConnectionMessage) -> Result<()> {
        if let Some(reason) = message.error {
            let peer = message.peer_uuid;
            let silent = reason.ends_with(SILENT);
            self.with_link(now, link, |link, cx| {
                if !link.on_unknown(cx, &message.description, silent) && link.is_own_offer(&message.description) {
                    let reason = printable::reason(&reason);
                    link.end(cx, Error::PeerUnavailable { peer, reason });
                }
            });
            return Ok(());
        }
        let description =
            Description::decode(&message.description).map_err(|e| Error::PeerMisbehaved(e.to_string()))?;
        if let Description::Session(session) = &description
            && session.sdp_type == SdpType::Offer
        {
            self.check_identity(message.source_uuid, &session.sdp)?;
        }
        if let Some(link) = self.links.get_mut(&link) {
            // The first offer decides who the peer is.
            if matches!(&description, Description::Session(session) if session.sdp_type == SdpType::Offer) {
                link.peer.get_or_insert(message.source_uuid);
            }
            if link.peer != Some(message.source_uuid) {
                return Err(Error::InvalidInput(
                    "this message is from another peer than the connection's".into(),
                ));
            }
        }
        self.take_description(now, link, description)
    }

    fn take_description(&mut self, now: Instant, id: LinkId, description: Description) -> Result<()> {
        let me = self.me.uuid;
        self.with_link(now, id, |link, cx| match description {
            Description::Session(session) if session.sdp_type == SdpType::Answer => {
                link.accept_answer(cx, &session.sdp);
            }
            Description::Session(session) => match on_offer(link, me, &session.sdp) {
                OnOffer::Answer => link.accept_offer(cx, &session.sdp),
                OnOffer::Repeat => link.repeat_signal(),
                OnOffer::Ignore => {}
            },
            Description::Candidate { candidate, mid } => link.add_candidate(cx, candidate, mid),
            Description::Withdraw => link.on_withdrawn(cx),
        });
        Ok(())
    }
}

/// What becomes of an offer.
#[derive(Debug, PartialEq, Eq)]
enum OnOffer {
    Answer,
    /// Say again what was said: our own offer, or the answer to this one.
    Repeat,
    Ignore,
}

fn on_offer(link: &Link, me: Uuid, sdp: &str) -> OnOffer {
    let ours = Words::parse(sdp).is_some();
    match link.state() {
        State::Closed | State::Failed => OnOffer::Ignore,
        _ if link.knows(sdp) => {
            if ours {
                OnOffer::Repeat
            } else {
                OnOffer::Ignore
            }
        }
        State::Connecting if link.is_offering() && ours && link.peer < Some(me) => OnOffer::Repeat,
        // In manual mode: a connection that is up is not replaced behind its user's back.
        State::Connected | State::Reconnecting => OnOffer::Ignore,
        _ => OnOffer::Answer,
    }
}
