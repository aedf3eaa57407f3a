//! What clients say, and what becomes of it: registrations, messages, and those from and to other nodes.

use super::{Hub, Places, RESERVED, Rest};
use crate::access::share_room;
use crate::accounts::Kind;
use crate::claims::{self, TAKEN};
use crate::cluster::{Claimed, Clients, deliver};
use crate::mailbox::DEAF;
use crate::metrics::Way;
use crosspeer::relay::{ConnId, Incoming, close_code};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

const NOT_THIS_UUID: &str = "The token does not allow this UUID.";
const NOT_THIS_PEER: &str = "this client's token does not allow it.";

impl Hub {
    /// Takes a text frame; returns when its sender may be heard again. `Err`: it sends more than it may, and this is the
    /// close reason.
    pub(crate) async fn on_text(&self, conn: ConnId, text: &str, places: &Places) -> Result<(), &'static str> {
        let mut incoming = Incoming::read(text); // the longest part of it, so not under the lock
        let kind = incoming.registers().map_or(Kind::Message, |_| Kind::Registration);
        for seat in [&places.address, &places.token].into_iter().flatten() {
            seat.spend(kind, text.len()).await?;
        }
        let began = Instant::now();
        let claimed = match incoming.registers() {
            None => None,
            Some(uuid) => match self.claim(uuid, conn).await {
                Ok(claimed) => claimed,
                Err((code, reason)) => {
                    self.close(conn, code, reason);
                    return Ok(());
                }
            },
        };
        if let Some(uuid) = incoming.registers() {
            incoming = incoming.with_greeting(self.servers(conn, uuid));
        }
        let mut rest = self.tell(|inner| match &claimed {
            Some(claimed) if !claimed.confirm() => {} // another node has it, and the client is closed
            _ if inner.allows(conn, incoming.peer()) => inner.board.on_incoming(conn, incoming),
            _ => inner.board.on_forbidden(conn, incoming, NOT_THIS_PEER),
        });
        if let Some(claimed) = claimed {
            self.start_delivery(conn, claimed);
        }
        if let (Some((peer, text)), Some(cluster)) = (rest.elsewhere.take(), self.cluster()) {
            cluster.forward(self, conn, peer, text, &places.window).await;
        }
        if rest.forwarded {
            self.0.metrics.forwarded(Way::Local, began.elapsed());
        }
        self.finish(rest).await;
        Ok(())
    }

    /// Whether this client may register this UUID, here and at other nodes; if not, how it is closed.
    async fn claim(&self, uuid: Uuid, conn: ConnId) -> Result<Option<Claimed>, (u16, &'static str)> {
        let refused = |reason| Err((close_code::FORBIDDEN, reason));
        if self.is_reserved(uuid, conn) {
            return refused(RESERVED);
        }
        if self.lock().claims.grant(conn).is_some_and(|grant| !grant.may_be(uuid)) {
            return refused(NOT_THIS_UUID);
        }
        if !self.may_claim(uuid, conn).await {
            return refused(TAKEN);
        }
        let (has_it, secret) = {
            let inner = self.lock();
            let has_it = inner.board.holder(uuid) == Some(conn);
            (has_it, inner.claims.secret_hash(conn, uuid))
        };
        match self.cluster().filter(|_| !has_it) {
            Some(cluster) => cluster.claim(uuid, conn, secret).await.map(Some),
            None => Ok(None),
        }
    }

    /// From now on other nodes reach this client, if it has registered.
    fn start_delivery(&self, conn: ConnId, claimed: Claimed) {
        let mut inner = self.lock();
        if inner.board.is_registered(conn) {
            let (stop, until) = oneshot::channel();
            inner.deliveries.insert(conn, stop);
            tokio::spawn(deliver(self.clone(), conn, claimed, until));
        }
    }

    /// Whether this client may have this UUID. Asks the one that has it for a sign of life, if need be.
    async fn may_claim(&self, uuid: Uuid, newcomer: ConnId) -> bool {
        let mut silent = None;
        loop {
            let contested = {
                let inner = self.lock();
                let present = inner.board.holder(uuid).filter(|present| *present != newcomer);
                let present = present.filter(|present| !inner.claims.may_replace(newcomer, *present));
                present.and_then(|present| Some((present, inner.mailboxes.get(&present).cloned()?)))
            };
            // Its owner may have come back meanwhile, over another socket: that one is asked, too.
            let Some((present, mailbox)) = contested.filter(|(present, _)| silent != Some(*present)) else {
                return true;
            };
            tracing::info!(conn = newcomer.0, %uuid, "another client claims this UUID");
            if tokio::time::timeout(claims::ANSWER, mailbox.answered()).await.is_ok() {
                return false;
            }
            silent = Some(present);
        }
    }
}

impl Clients for Hub {
    type Rest = Rest;

    fn close(&self, conn: ConnId, code: u16, reason: &'static str) {
        Hub::close(self, conn, code, reason);
    }

    fn forwarded(&self, way: Way, took: Duration) {
        self.0.metrics.forwarded(way, took);
    }

    async fn finish(&self, rest: Rest) {
        let Some((target, mailbox)) = rest.full else { return };
        self.0.metrics.queue_full();
        if !mailbox.wait_for_room(&self.0.limits).await {
            self.close(target, close_code::POLICY, DEAF);
        }
    }

    fn deliver(&self, conn: ConnId, uuid: Uuid, rooms: Option<&[String]>, text: String) -> Option<Result<Rest, ()>> {
        let mut allowed = Some(true);
        let rest = self.tell(|inner| {
            let here = inner.board.holder(uuid) == Some(conn);
            let own = inner.claims.grant(conn).and_then(|grant| grant.rooms());
            allowed = here.then(|| share_room(rooms, own));
            if allowed == Some(true) {
                inner.board.deliver(uuid, text);
            }
        });
        allowed.map(|allowed| allowed.then_some(rest).ok_or(()))
    }

    async fn undelivered(&self, conn: ConnId, peer: Uuid, text: &str) {
        let rest = self.tell(|inner| inner.board.unknown(conn, peer, text));
        self.finish(rest).await;
    }

    async fn forbidden(&self, conn: ConnId, peer: Uuid, text: &str) {
        let rest = self.tell(|inner| inner.board.forbidden(conn, peer, text, NOT_THIS_PEER));
        self.finish(rest).await;
    }

    fn rooms(&self, conn: ConnId) -> Option<Vec<String>> {
        let inner = self.lock();
        inner.claims.grant(conn)?.rooms().map(<[String]>::to_vec)
    }

    async fn answers(&self, conn: ConnId) -> bool {
        let mailbox = self.lock().mailboxes.get(&conn).cloned();
        match mailbox {
            Some(mailbox) => tokio::time::timeout(claims::ANSWER, mailbox.answered()).await.is_ok(),
            None => false,
        }
    }
}
