//! All clients of one relay: the switchboard, and a mailbox for each socket.

use crate::claims::{self, Claims, Secret, said};
use crate::config::{Limits, RelayConfig};
use crate::mailbox::Mailbox;
use crate::strangers::{Stranger, Strangers};
use crosspeer::relay::{ConnId, Incoming, MAX_FRAME_BYTES, Switchboard, SwitchboardOutput, close_code};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use subtle::ConstantTimeEq;
use tokio::sync::Notify;
use uuid::Uuid;

const RESERVED: &str = "This UUID belongs to the relay's owner.";
const TAKEN: &str = "This UUID is registered by another client, which answers.";
const SHUTTING_DOWN: &str = "The relay is shutting down.";

/// A relay without a server of its own. Cheap to clone.
///
/// It answers WebSocket requests at any path; see [`router`](Self::router).
#[derive(Debug, Clone)]
pub struct Hub(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: Limits,
    origins: Vec<String>,
    max_message: usize,
    /// The close code for larger messages, and its reason.
    oversize: (u16, &'static str),
    state: Mutex<Inner>,
    gone: Notify,
    strangers: Strangers,
}

#[derive(Debug, Default)]
struct Inner {
    board: Switchboard,
    mailboxes: HashMap<ConnId, Arc<Mailbox>>,
    next: u64,
    closing: bool,
    /// A UUID that is registered by one owner only, and the key that shows it is the owner.
    reserved: Option<(Uuid, String)>,
    /// With which secrets clients came.
    claims: Claims,
    /// Who came with the key.
    owners: HashSet<ConnId>,
}

impl Hub {
    /// A relay with this configuration's limits; what concerns a server of its own (addresses, TLS, logs) is not used.
    pub fn new(config: &RelayConfig) -> Self {
        let max_message = config.max_message();
        Self(Arc::new(Shared {
            limits: config.limits.clone(),
            origins: config.origins.clone(),
            max_message,
            oversize: match max_message {
                MAX_FRAME_BYTES => (close_code::TOO_BIG, "frame exceeds limit of 1048576 bytes"),
                _ => (close_code::MESSAGE_TOO_LONG, "Message length exceeds limit."),
            },
            state: Mutex::default(),
            gone: Notify::new(),
            strangers: Strangers::default(),
        }))
    }

    /// From now on only clients whose URL has `key=…` with this key (URL-safe characters only) in its query may register
    /// this UUID; others are closed with 4002. For a program that is a client of its own relay: its UUID is no secret.
    pub fn reserve(&self, uuid: Uuid, key: &str) {
        self.lock().reserved = Some((uuid, key.to_owned()));
    }

    /// How many clients are registered.
    pub fn registered(&self) -> usize {
        self.lock().board.len()
    }

    /// The name and UUID of everyone who is registered, by name.
    pub fn clients(&self) -> Vec<(String, String)> {
        let inner = self.lock();
        let clients = inner.board.clients();
        let mut names: Vec<_> = clients.map(|c| (c.name.clone(), c.uuid.to_string())).collect();
        drop(inner);
        names.sort();
        names
    }

    /// Closes every client with 1001, takes no more, and waits until they are gone, but no longer than
    /// [`Limits::close_timeout`].
    pub async fn shut_down(&self) {
        self.lock().closing = true;
        self.tell(|board| board.close_all(close_code::GOING_AWAY, SHUTTING_DOWN));
        let all_gone = async {
            loop {
                let gone = self.0.gone.notified(); // hears of whoever goes from here on
                if self.lock().mailboxes.is_empty() {
                    return;
                }
                gone.await;
            }
        };
        let _ = tokio::time::timeout(self.0.limits.close_timeout, all_gone).await;
    }

    /// Whether one more that is nobody yet may come from this address.
    pub(crate) fn admit(&self, address: IpAddr) -> Option<Stranger> {
        self.0.strangers.enter(address, self.0.limits.strangers_per_address)
    }

    /// Whether pages of this origin may connect.
    pub(crate) fn takes(&self, origin: &str) -> bool {
        let origins = &self.0.origins;
        let same = |known: &String| known.trim_end_matches('/').eq_ignore_ascii_case(origin);
        origins.is_empty() || origins.iter().any(same)
    }

    /// Whether this client has registered.
    pub(crate) fn knows(&self, conn: ConnId) -> bool {
        self.lock().board.is_registered(conn)
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(crate) fn max_message(&self) -> usize {
        self.0.max_message
    }

    pub(crate) fn oversize(&self) -> (u16, &'static str) {
        self.0.oversize
    }

    /// Whether a request with this query comes from the owner of the reserved UUID.
    pub(crate) fn is_owner(&self, query: Option<&str>) -> bool {
        let given = said(query, "key=");
        let inner = self.lock();
        matches!((given, &inner.reserved), (Some(given), Some((_, key))) if bool::from(given.as_bytes().ct_eq(key.as_bytes())))
    }

    pub(crate) fn on_open(&self, owner: bool, secret: Option<Secret>) -> (ConnId, Arc<Mailbox>) {
        let mut inner = self.lock();
        let conn = ConnId(inner.next);
        inner.next += 1;
        let mailbox = Arc::new(Mailbox::default());
        inner.mailboxes.insert(conn, mailbox.clone());
        inner.board.on_open(conn);
        inner.claims.put(conn, secret);
        if owner {
            inner.owners.insert(conn);
        }
        let closing = inner.closing;
        drop(inner);
        if closing {
            self.close(conn, close_code::GOING_AWAY, SHUTTING_DOWN);
        }
        (conn, mailbox)
    }

    /// Takes a text frame; returns when its sender may be heard again.
    pub(crate) async fn on_text(&self, conn: ConnId, text: &str) {
        let incoming = Incoming::read(text); // the longest part of it, so not under the lock
        if incoming.registers().is_some_and(|uuid| self.is_reserved(uuid, conn)) {
            return self.close(conn, close_code::FORBIDDEN, RESERVED);
        }
        if let Some(uuid) = incoming.registers()
            && !self.may_claim(uuid, conn).await
        {
            return self.close(conn, close_code::FORBIDDEN, TAKEN);
        }
        if let Some((target, mailbox)) = self.tell(|board| board.on_incoming(conn, incoming))
            && !mailbox.wait_for_room(&self.0.limits).await
        {
            self.close(
                target,
                close_code::POLICY,
                "The client does not read what is sent to it.",
            );
        }
    }

    /// Whether this client may have this UUID. Asks the one that has it for a sign of life, if need be.
    async fn may_claim(&self, uuid: Uuid, newcomer: ConnId) -> bool {
        let contested = {
            let inner = self.lock();
            let present = inner.board.holder(uuid).filter(|present| *present != newcomer);
            let present = present.filter(|present| !inner.claims.may_replace(newcomer, *present));
            present.and_then(|present| inner.mailboxes.get(&present).cloned())
        };
        let Some(mailbox) = contested else { return true };
        tracing::info!(conn = newcomer.0, %uuid, "another client claims this UUID");
        tokio::time::timeout(claims::ANSWER, mailbox.answered()).await.is_err()
    }

    fn is_reserved(&self, uuid: Uuid, conn: ConnId) -> bool {
        let inner = self.lock();
        inner.reserved.as_ref().is_some_and(|(reserved, _)| *reserved == uuid) && !inner.owners.contains(&conn)
    }

    pub(crate) fn on_binary(&self, conn: ConnId) {
        self.tell(|board| board.on_binary(conn));
    }

    pub(crate) fn close(&self, conn: ConnId, code: u16, reason: &'static str) {
        self.tell(|board| board.close(conn, code, reason));
    }

    pub(crate) fn on_close(&self, conn: ConnId) {
        let mut inner = self.lock();
        inner.mailboxes.remove(&conn);
        inner.owners.remove(&conn);
        inner.claims.remove(conn);
        drop(inner);
        self.tell(|board| board.on_close(conn));
        self.0.gone.notify_waiters();
    }

    /// Tells the switchboard something and carries out what it wants. Returns a client whose mailbox is full by it.
    fn tell(&self, what: impl FnOnce(&mut Switchboard)) -> Option<(ConnId, Arc<Mailbox>)> {
        let mut inner = self.lock();
        what(&mut inner.board);
        let mut full = None;
        while let Some(output) = inner.board.poll_output() {
            match output {
                SwitchboardOutput::Send { conn, text } => {
                    if let Some(mailbox) = inner.mailboxes.get(&conn)
                        && mailbox.put(text, &self.0.limits)
                    {
                        full = Some((conn, mailbox.clone()));
                    }
                }
                SwitchboardOutput::Close { conn, code, reason } => {
                    if let Some(mailbox) = inner.mailboxes.get(&conn) {
                        mailbox.close(code, reason);
                    }
                }
            }
        }
        full
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
