//! Registering a UUID at all nodes.

use super::rules::{Holding, Outcome, judge};
use super::{Answer, Claim, Clients, Cluster, Loss, Note, PATIENCE, Stamp, encode, lock, notes_for, peer_subject};
use crate::claims::TAKEN;
use crosspeer::relay::{ConnId, Switchboard, close_code};
use futures_util::future::join_all;
use futures_util::stream::BoxStream;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::timeout;
use tracing::{debug, info};
use uuid::Uuid;

/// The time for the link to take a subscription, which it does at once unless it has been down for long.
const SUBSCRIBING: Duration = Duration::from_secs(1);
/// The relay is cut off for so long that it cannot even note what is to be done later.
const CUT_OFF: (u16, &str) = (
    close_code::TRY_AGAIN_LATER,
    "This node is cut off from the others; try again.",
);

/// A claim that no other node objects to. Dropped, it is taken back.
pub(crate) struct Claimed {
    cluster: Arc<Cluster>,
    uuid: Uuid,
    stamp: Stamp,
    /// The peer's messages, those since before the claim was made included.
    pub(super) letters: BoxStream<'static, super::Letter>,
}

impl std::fmt::Debug for Claimed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Claimed({})", self.uuid)
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        self.cluster.holdings().release(self.uuid, self.stamp);
    }
}

impl Claimed {
    /// The client is being registered, under the hub's lock. `false`: the claim has been lost meanwhile.
    pub(crate) fn confirm(&self) -> bool {
        self.cluster.holdings().confirm(self.uuid, self.stamp)
    }

    pub(super) fn uuid(&self) -> Uuid {
        self.uuid
    }

    pub(super) fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }
}

impl Loss {
    fn close(self) -> (u16, &'static str) {
        match self {
            Self::Replaced => (close_code::REPLACED, Switchboard::REPLACED),
            Self::Taken => (close_code::FORBIDDEN, TAKEN),
        }
    }
}

impl Cluster {
    /// Claims a UUID for a client of this node. `Err`: how the client is to be closed.
    pub(crate) async fn claim(
        self: &Arc<Self>,
        uuid: Uuid,
        conn: ConnId,
        secret: Option<Uuid>,
    ) -> Result<Claimed, (u16, &'static str)> {
        // Heard first: whoever gets our claim reaches us from then on.
        let subscribing = timeout(SUBSCRIBING, self.bus.subscribe(peer_subject(uuid))).await;
        let letters = subscribing.map_err(|_| CUT_OFF)?.map_err(|error| {
            debug!("cannot hear for a peer: {error}");
            CUT_OFF
        })?;
        let (claim, known) = self.enter(uuid, conn, secret)?;
        let claimed = Claimed {
            cluster: self.clone(),
            uuid,
            stamp: claim.stamp,
            letters,
        };
        if !known && self.is_up() {
            self.ask_all(claim).await.map_err(Loss::close)?;
        }
        Ok(claimed)
    }

    /// Notes the claim. `true`: a client of this node has the UUID already, so no other node has.
    fn enter(&self, uuid: Uuid, conn: ConnId, secret: Option<Uuid>) -> Result<(Claim, bool), (u16, &'static str)> {
        let mut holdings = self.holdings();
        let stamp = holdings.stamp(now());
        let present = holdings.get(uuid).copied();
        let came_back =
            present.filter(|present| present.registered && secret.is_some() && present.claim.secret == secret);
        let claim = Claim {
            uuid,
            stamp,
            since: came_back.map_or(stamp, |present| present.claim.since),
            secret,
        };
        // One that is registered has been asked by the hub.
        if let Some(present) = present.filter(|present| !present.registered)
            && let Outcome::Held(loss) = judge(&present.claim, &claim)
        {
            return Err(loss.close());
        }
        holdings.put(Holding {
            claim,
            conn: conn.0,
            registered: false,
        });
        Ok((claim, present.is_some_and(|present| present.registered)))
    }

    /// Asks every other node. One that is gone has nothing to say.
    async fn ask_all(&self, claim: Claim) -> Result<(), Loss> {
        let Ok(payload) = encode(&Note::Claim(claim)) else {
            return Ok(());
        };
        let nodes: Vec<Uuid> = lock(&self.members).keys().copied().collect();
        let asking = nodes.into_iter().map(|node| {
            let payload = payload.clone();
            async move {
                let answer = async {
                    let mut question = self.ask(notes_for(node), payload).await.ok()?;
                    question.answers.recv().await
                };
                match timeout(PATIENCE, answer).await {
                    Ok(Some(letter)) if !letter.nobody => Answer::read(&letter.payload),
                    _ => {
                        self.forget(node);
                        None
                    }
                }
            }
        });
        let answers = join_all(asking).await;
        let said = |wanted| answers.contains(&Some(wanted));
        match (said(Answer::Taken), said(Answer::Replaced)) {
            (true, _) => Err(Loss::Taken),
            (_, true) => Err(Loss::Replaced),
            _ => Ok(()),
        }
    }

    /// Another node's client wants a UUID.
    pub(super) async fn on_claim<C: Clients>(self: &Arc<Self>, hub: &C, claim: Claim, reply: Option<String>) {
        let (answer, close) = {
            let mut holdings = self.holdings();
            holdings.see(claim.stamp);
            match holdings.get(claim.uuid).copied() {
                None => (Answer::Yes, None),
                Some(held) => match judge(&held.claim, &claim) {
                    Outcome::Other(loss) => {
                        holdings.release(claim.uuid, held.claim.stamp);
                        (Answer::Yes, Some((ConnId(held.conn), loss)))
                    }
                    Outcome::Held(Loss::Replaced) => (Answer::Replaced, None),
                    Outcome::Held(Loss::Taken) if held.registered => {
                        drop(holdings);
                        return self.contest(hub.clone(), held, reply);
                    }
                    Outcome::Held(Loss::Taken) => (Answer::Taken, None),
                },
            }
        };
        if let Some((conn, loss)) = close {
            self.give_up(hub, claim.uuid, conn, loss);
        }
        self.answer(reply, answer).await;
    }

    /// Asks the client that has the UUID for a sign of life; others' claims are not held up by it.
    fn contest<C: Clients>(self: &Arc<Self>, hub: C, held: Holding, reply: Option<String>) {
        let cluster = self.clone();
        tokio::spawn(async move {
            let (uuid, conn) = (held.claim.uuid, ConnId(held.conn));
            info!(conn = conn.0, %uuid, "a client of another node claims this UUID");
            let answer = match hub.answers(conn).await {
                true => Answer::Taken,
                false => Answer::Yes,
            };
            let lost = match answer {
                Answer::Yes => cluster.holdings().release(uuid, held.claim.stamp),
                _ => None,
            };
            if lost.is_some() {
                cluster.give_up(&hub, uuid, conn, Loss::Replaced);
            }
            cluster.answer(reply, answer).await;
        });
    }

    /// What another node's clients have, after we have found each other.
    pub(super) async fn on_held<C: Clients>(self: &Arc<Self>, hub: &C, claims: Vec<Claim>) {
        for claim in claims {
            let outcome = {
                let mut holdings = self.holdings();
                holdings.see(claim.stamp);
                let held = holdings.get(claim.uuid).copied();
                let outcome = held.map(|held| (held, judge(&held.claim, &claim)));
                if let Some((held, Outcome::Other(_))) = &outcome {
                    holdings.release(claim.uuid, held.claim.stamp);
                }
                outcome
            };
            match outcome {
                None => {}
                Some((held, Outcome::Other(loss))) => self.give_up(hub, claim.uuid, ConnId(held.conn), loss),
                Some((_, Outcome::Held(why))) => {
                    let (uuid, stamp) = (claim.uuid, claim.stamp);
                    let lost = Note::Lost { uuid, stamp, why };
                    if let Err(error) = self.tell(notes_for(stamp.1), &lost).await {
                        debug!("cannot tell another node: {error}");
                    }
                }
            }
        }
    }

    /// Another node has the later claim.
    pub(super) fn on_lost<C: Clients>(&self, hub: &C, uuid: Uuid, stamp: Stamp, why: Loss) {
        let lost = self.holdings().release(uuid, stamp);
        if let Some(held) = lost {
            self.give_up(hub, uuid, ConnId(held.conn), why);
        }
    }

    fn give_up<C: Clients>(&self, hub: &C, uuid: Uuid, conn: ConnId, loss: Loss) {
        info!(conn = conn.0, %uuid, ?loss, "a client of another node has this UUID");
        let (code, reason) = loss.close();
        hub.close(conn, code, reason);
    }
}

#[allow(clippy::disallowed_methods)] // nodes have only the wall's clock in common
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
