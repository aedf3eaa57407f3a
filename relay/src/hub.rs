//! All clients of one relay: the switchboard, and a mailbox for each socket.

mod ice;
mod traffic;

use crate::access::{Applicant, Authority, Grant, Refusal, said, share_room};
use crate::accounts::{self, Accounts, Seat};
use crate::claims::{Claims, Rights};
use crate::cluster::{Cluster, Window};
use crate::config::{Limits, RelayConfig, RelayError};
use crate::mailbox::Mailbox;
use crate::metrics::Metrics;
use crate::strangers::{Stranger, Strangers, site};
use crate::trickle::Allowance;
use crate::turn::Handout;
use crosspeer::relay::{ConnId, Counts, MAX_FRAME_BYTES, Switchboard, SwitchboardOutput, close_code};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;
use subtle::ConstantTimeEq;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// How long others wait for a client that does not answer, as they do where nobody says otherwise.
const EXPECTED_BACK: Duration = Duration::from_secs(60);
const RESERVED: &str = "This UUID belongs to the relay's owner.";
const SHUTTING_DOWN: &str = "The relay is shutting down.";
const REVOKED: &str = "This token is no longer valid.";
const CROWDED: &str = "Too many connections from this address have not registered.";
/// Between two groups of clients that are sent away while draining.
const DRAIN_STEP: Duration = Duration::from_millis(50);

/// A relay without a server of its own. Cheap to clone.
///
/// It answers WebSocket requests at any path; see [`router`](Self::router).
#[derive(Debug, Clone)]
pub struct Hub(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: Limits,
    origins: Vec<String>,
    /// What clients are told that ask for STUN and TURN servers.
    ice: OnceLock<Handout>,
    max_message: usize,
    /// The close code for larger messages, and its reason.
    oversize: (u16, &'static str),
    state: Mutex<Inner>,
    gone: Notify,
    strangers: Strangers,
    addresses: Accounts<IpAddr>,
    tokens: Accounts<String>,
    authority: RwLock<Arc<Authority>>,
    metrics: Metrics,
    drain: Duration,
    cluster: OnceLock<(Arc<Cluster>, JoinHandle<()>)>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some((_, task)) = self.cluster.get() {
            task.abort();
        }
    }
}

/// A hub that does not keep it alive.
#[derive(Debug, Clone)]
pub(crate) struct WeakHub(Weak<Shared>);

impl WeakHub {
    pub(crate) fn upgrade(&self) -> Option<Hub> {
        self.0.upgrade().map(Hub)
    }
}

/// What a connection takes of what is shared, until it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// While it has not registered.
    pub(crate) stranger: Option<Stranger>,
    pub(crate) allowance: Allowance,
    pub(crate) address: Option<Seat>,
    pub(crate) token: Option<Seat>,
    /// To other nodes.
    pub(crate) window: Window,
}

#[derive(Debug, Default)]
struct Inner {
    board: Switchboard,
    mailboxes: HashMap<ConnId, Arc<Mailbox>>,
    next: u64,
    closing: bool,
    /// A UUID that is registered by one owner only, and the key that shows it is the owner.
    reserved: Option<(Uuid, String)>,
    /// What clients came with.
    claims: Claims,
    /// Clients that other nodes reach: dropping one ends that.
    deliveries: HashMap<ConnId, oneshot::Sender<()>>,
}

/// What is left to do once the switchboard has been told something.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    /// A client whose mailbox is full now.
    full: Option<(ConnId, Arc<Mailbox>)>,
    /// Whether a message was passed on.
    forwarded: bool,
    /// A message for a peer that this node has not.
    elsewhere: Option<(Uuid, String)>,
}

impl Hub {
    /// A relay with this configuration's limits and tokens; what concerns a server of its own (addresses, TLS, logs) is not
    /// used.
    ///
    /// # Errors
    /// What judges tokens cannot be read.
    pub fn new(config: &RelayConfig) -> Result<Self, RelayError> {
        let max_message = config.max_message();
        Ok(Self(Arc::new(Shared {
            limits: config.limits.clone(),
            origins: config.origins.clone(),
            ice: OnceLock::new(),
            max_message,
            oversize: match max_message {
                MAX_FRAME_BYTES => (close_code::TOO_BIG, "frame exceeds limit of 1048576 bytes"),
                _ => (close_code::MESSAGE_TOO_LONG, "Message length exceeds limit."),
            },
            state: Mutex::default(),
            gone: Notify::new(),
            strangers: Strangers::default(),
            addresses: Accounts::new(config.per_address, &accounts::ADDRESS),
            tokens: Accounts::new(config.per_token, &accounts::TOKEN),
            authority: RwLock::new(Arc::new(Authority::load(&config.auth)?)),
            metrics: Metrics::default(),
            drain: Duration::from_secs(config.drain_seconds),
            cluster: OnceLock::new(),
        })))
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
    /// [`Limits::close_timeout`]; before that, over the time for draining, more and more of them.
    pub async fn shut_down(&self) {
        self.lock().closing = true;
        self.drain().await;
        self.tell(|inner| inner.board.close_all(close_code::GOING_AWAY, SHUTTING_DOWN));
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

    /// Sends clients away in equal steps. They come in no order, so that neighbours do not go together.
    async fn drain(&self) {
        let mut conns: Vec<ConnId> = self.lock().mailboxes.keys().copied().collect();
        let steps = self.0.drain.as_millis() / DRAIN_STEP.as_millis();
        for left in (1..=steps).rev() {
            let now = conns.len().div_ceil(usize::try_from(left).unwrap_or(usize::MAX));
            for conn in conns.drain(..now) {
                self.close(conn, close_code::GOING_AWAY, SHUTTING_DOWN);
            }
            if conns.is_empty() {
                return;
            }
            tokio::time::sleep(DRAIN_STEP).await;
        }
    }

    /// Judges tokens from now on as this configuration says. Clients whose tokens it takes back are closed with 4002; all
    /// others stay.
    ///
    /// # Errors
    /// What judges tokens cannot be read; then everything stays as it was.
    pub fn reload_tokens(&self, config: &RelayConfig) -> Result<(), RelayError> {
        let authority = Arc::new(Authority::load(&config.auth)?);
        let mut present = self.0.authority.write().unwrap_or_else(PoisonError::into_inner);
        // Such as a file that is being written at this moment.
        if matches!(*authority, Authority::Open) && !matches!(**present, Authority::Open) {
            let text = "the configuration asks for no tokens any more: restart the relay if everybody is to come in";
            return Err(RelayError::Config(text.into()));
        }
        *present = authority.clone();
        drop(present);
        let revoked: Vec<ConnId> = {
            let inner = self.lock();
            let grants = inner.claims.grants();
            grants
                .filter_map(|(conn, grant)| (!authority.upholds(grant)).then_some(conn))
                .collect()
        };
        for conn in revoked {
            self.close(conn, close_code::FORBIDDEN, REVOKED);
        }
        Ok(())
    }

    /// Whether new clients are welcome.
    pub(crate) fn is_ready(&self) -> bool {
        !self.lock().closing && self.cluster_state().1
    }

    /// How many nodes act as one relay, this one included, and whether it reaches the others.
    pub fn cluster_state(&self) -> (usize, bool) {
        self.cluster().map_or((1, true), |cluster| cluster.state())
    }

    pub(crate) fn set_cluster(&self, cluster: Arc<Cluster>, task: JoinHandle<()>) {
        self.lock().board.has_others();
        let _ = self.0.cluster.set((cluster, task));
    }

    fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.0.cluster.get().map(|(cluster, _)| cluster)
    }

    pub(crate) fn downgrade(&self) -> WeakHub {
        WeakHub(Arc::downgrade(&self.0))
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().board.counts()
    }

    /// Whether one more may come from this address.
    pub(crate) fn admit(&self, address: Option<IpAddr>) -> Result<Places, &'static str> {
        let Some(address) = address else {
            return Ok(Places::default());
        };
        let refused = |reason| {
            self.0.metrics.turned_away(reason);
            reason
        };
        let stranger = self.stranger(address).ok_or(CROWDED).map_err(refused)?;
        Ok(Places {
            stranger: Some(stranger),
            address: self.0.addresses.enter(site(address)).map_err(refused)?,
            ..Places::default()
        })
    }

    /// Whether one more that is nobody yet may come from this address.
    pub(crate) fn stranger(&self, address: IpAddr) -> Option<Stranger> {
        self.0.strangers.enter(address, self.0.limits.strangers_per_address)
    }

    /// What a client may do, by its token.
    pub(crate) async fn judge(&self, applicant: &Applicant) -> Result<Option<Arc<Grant>>, Refusal> {
        let authority = self.0.authority.read().unwrap_or_else(PoisonError::into_inner).clone();
        let judgement = authority.judge(applicant).await;
        match &judgement {
            Ok(None) => {}
            Ok(Some(_)) => self.0.metrics.judged("accepted"),
            Err(Refusal::Missing(_)) => self.0.metrics.judged("missing"),
            Err(Refusal::Invalid(_)) => self.0.metrics.judged("invalid"),
            Err(Refusal::Unavailable(_)) => self.0.metrics.judged("unavailable"),
        }
        judgement
    }

    /// One more connection with this token.
    pub(crate) fn seat(&self, grant: &Grant) -> Result<Option<Seat>, &'static str> {
        self.0.tokens.enter(grant.subject().to_owned())
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

    pub(crate) fn on_open(&self, rights: Rights) -> (ConnId, Arc<Mailbox>) {
        self.0.metrics.opened();
        let mut inner = self.lock();
        let conn = ConnId(inner.next);
        inner.next += 1;
        let mailbox = Arc::new(Mailbox::default());
        inner.mailboxes.insert(conn, mailbox.clone());
        inner.board.on_open(conn);
        inner.claims.put(conn, rights);
        let closing = inner.closing;
        drop(inner);
        if closing {
            self.close(conn, close_code::GOING_AWAY, SHUTTING_DOWN);
        }
        (conn, mailbox)
    }

    fn is_reserved(&self, uuid: Uuid, conn: ConnId) -> bool {
        let inner = self.lock();
        inner.reserved.as_ref().is_some_and(|(reserved, _)| *reserved == uuid) && !inner.claims.is_owner(conn)
    }

    pub(crate) fn on_binary(&self, conn: ConnId) {
        self.tell(|inner| inner.board.on_binary(conn));
    }

    pub(crate) fn close(&self, conn: ConnId, code: u16, reason: &'static str) {
        self.tell(|inner| inner.board.close(conn, code, reason));
    }

    /// It does not answer. For some time it is expected back.
    pub(crate) fn close_silent(&self, conn: ConnId) {
        let mut silent = None;
        self.tell(|inner| silent = inner.board.close_silent(conn));
        let (Some(uuid), hub) = (silent, self.downgrade()) else {
            return;
        };
        tokio::spawn(async move {
            tokio::time::sleep(EXPECTED_BACK).await;
            if let Some(hub) = hub.upgrade() {
                hub.lock().board.forget_silent(uuid, conn);
            }
        });
    }

    pub(crate) fn on_close(&self, conn: ConnId) {
        let mut inner = self.lock();
        inner.mailboxes.remove(&conn);
        inner.deliveries.remove(&conn);
        inner.claims.remove(conn);
        drop(inner);
        self.tell(|inner| inner.board.on_close(conn));
        self.0.metrics.gone();
        self.0.gone.notify_waiters();
    }

    /// Tells the switchboard something and carries out what it wants, but for what takes time.
    fn tell(&self, what: impl FnOnce(&mut Inner)) -> Rest {
        let mut inner = self.lock();
        let before = inner.board.counts().forwarded;
        what(&mut inner);
        let mut rest = Rest {
            forwarded: inner.board.counts().forwarded > before,
            ..Rest::default()
        };
        while let Some(output) = inner.board.poll_output() {
            match output {
                SwitchboardOutput::Send { conn, text } => {
                    if let Some(mailbox) = inner.mailboxes.get(&conn)
                        && mailbox.put(text, &self.0.limits)
                    {
                        rest.full = Some((conn, mailbox.clone()));
                    }
                }
                SwitchboardOutput::Close { conn, code, reason } => {
                    self.0.metrics.closed(code);
                    inner.deliveries.remove(&conn);
                    if let Some(mailbox) = inner.mailboxes.get(&conn) {
                        mailbox.close(code, reason);
                    }
                }
                SwitchboardOutput::Elsewhere { peer, text, .. } => rest.elsewhere = Some((peer, text)),
            }
        }
        rest
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Whether the client's token, and its peer's, let it send to this peer.
    fn allows(&self, conn: ConnId, peer: Option<Uuid>) -> bool {
        let Some(peer) = peer else { return true };
        let grant = self.claims.grant(conn);
        if grant.is_some_and(|grant| !grant.may_send_to(peer)) {
            return false;
        }
        // Of a peer at another node, that node decides.
        let other = self.board.holder(peer).map(|holder| self.claims.grant(holder));
        other.is_none_or(|other| {
            share_room(
                grant.and_then(|grant| grant.rooms()),
                other.and_then(|grant| grant.rooms()),
            )
        })
    }
}
