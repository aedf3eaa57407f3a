//! STUN and TURN servers for clients that ask, with credentials that end and are given anew before.

use super::Hub;
use crate::turn::{Handout, Owner};
use crosspeer::relay::ConnId;
use std::time::Duration;
use uuid::Uuid;

impl Hub {
    /// From now on clients that ask are told of these servers.
    pub(crate) fn hand_out(&self, handout: Handout) {
        let _ = self.0.ice.set(handout);
    }

    /// Half of the time for which this client's credentials can be used, if it is given any.
    pub(crate) fn renewal(&self, conn: ConnId) -> Option<Duration> {
        let ice = self.0.ice.get()?;
        self.lock().claims.asker(conn).map(|_| ice.lifetime() / 2)
    }

    /// Gives a registered client that has asked new credentials.
    pub(crate) fn renew(&self, conn: ConnId) {
        let uuid = self.lock().board.uuid(conn);
        if let Some(text) = uuid.and_then(|uuid| self.servers(conn, uuid)) {
            self.tell(|inner| inner.board.notify(conn, text));
        }
    }

    /// What this client is told of STUN and TURN servers, if it has asked and its token allows it. Credentials end with that.
    pub(super) fn servers(&self, conn: ConnId, uuid: Uuid) -> Option<String> {
        let ice = self.0.ice.get()?;
        let inner = self.lock();
        let asker = inner.claims.asker(conn)?.clone();
        let grant = inner.claims.grant(conn).cloned();
        drop(inner);
        let owner = Owner::of(grant.as_ref().map(|grant| grant.subject()), &asker, uuid);
        ice.message(&asker, owner, grant.as_ref().and_then(|grant| grant.lasts()))
    }
}
