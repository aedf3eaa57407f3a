//! Where the driver leaves what the handles pick up: messages, states, and the relay's messages.

mod caller;
mod shared;

pub(crate) use caller::{Answer, Call, Caller};
pub(crate) use shared::Shared;

use crate::relay::{PeerConnectionMessage, RelayState};
use crate::request::{LinkId, Request};
use crate::{Error, IceServer, Message, Result};
use event_listener::{Event, EventListener, IntoNotification};
use shared::Status;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use uuid::Uuid;

/// The relay's messages that wait for [`crate::RelayClient::recv`]; the oldest goes when more come.
const RELAY_MESSAGES: usize = 256;
/// Connections that wait for [`crate::PeerManager::accept`], which not everybody calls; the oldest goes when more come.
const INCOMING: usize = 256;

/// What all handles of one driver share.
pub(crate) struct Mailroom {
    /// Bytes after which the driver is told what the user has taken.
    report_bytes: usize,
    /// A connection stands here once for each message that nobody has claimed.
    ready: Mutex<VecDeque<Arc<Shared>>>,
    /// Connections made by hand that the driver has not seen yet.
    adopted: Mutex<Vec<Arc<Shared>>>,
    incoming: Mutex<VecDeque<Arc<Shared>>>,
    /// What is up.
    connected: Mutex<Vec<Arc<Shared>>>,
    /// Whether connections are accepted, so that their messages are kept apart from the first on.
    accepts: AtomicBool,
    relay: Mutex<VecDeque<PeerConnectionMessage>>,
    relay_state: Mutex<RelayState>,
    /// The relay's STUN and TURN servers.
    ice_server: Mutex<Option<IceServer>>,
    relay_changed: Event,
    ended: Mutex<Option<Error>>,
    arrived: Event,
    called: Event,
}

impl Mailroom {
    pub(crate) fn new(receive_buffer_bytes: usize) -> Self {
        Self {
            report_bytes: receive_buffer_bytes / 4,
            ready: Mutex::default(),
            adopted: Mutex::default(),
            incoming: Mutex::default(),
            connected: Mutex::default(),
            accepts: AtomicBool::new(false),
            relay: Mutex::default(),
            relay_state: Mutex::new(RelayState::Connecting(None)),
            ice_server: Mutex::default(),
            relay_changed: Event::new(),
            ended: Mutex::default(),
            arrived: Event::new(),
            called: Event::new(),
        }
    }

    /// Hands over a message; returns its weight where nobody will ever take it.
    pub(crate) fn deliver(&self, shared: &Arc<Shared>, message: Message) -> Option<usize> {
        let mut status = shared.lock();
        if status.discards {
            return Some(message.weight());
        }
        status.messages.push_back(message);
        if status.claims > 0 {
            drop(status);
            shared.arrived.notify(1.additional());
        } else {
            lock(&self.ready).push_back(shared.clone());
            drop(status);
            self.arrived.notify(1.additional());
        }
        None
    }

    /// The next message of any connection that nobody has claimed.
    pub(crate) fn recv(&self, caller: &Caller) -> impl Future<Output = Result<(Uuid, Message)>> {
        until(&self.arrived, || match self.try_recv(caller) {
            Some(message) => Some(Ok(message)),
            None => self.end_of_calls().map(Err),
        })
    }

    /// [`Mailroom::recv`], until everything has ended: connections outlive the relay.
    pub(crate) fn recv_to_the_end(&self, caller: &Caller) -> impl Future<Output = Result<(Uuid, Message)>> {
        until(&self.arrived, || match self.try_recv(caller) {
            Some(message) => Some(Ok(message)),
            None => lock(&self.ended).clone().map(Err),
        })
    }

    /// Why no peer can call any more: everything has ended, or the relay has for good.
    fn end_of_calls(&self) -> Option<Error> {
        let ended = lock(&self.ended).clone();
        ended.or_else(|| self.end_of_relay())
    }

    fn end_of_relay(&self) -> Option<Error> {
        match &*lock(&self.relay_state) {
            RelayState::Ended(error) => Some(error.clone()),
            _ => None,
        }
    }

    fn try_recv(&self, caller: &Caller) -> Option<(Uuid, Message)> {
        loop {
            let shared = lock(&self.ready).pop_front()?;
            let mut status = shared.lock();
            if status.claims == 0
                && let Some(message) = status.messages.pop_front()
            {
                self.report(&shared, &mut status, &message, caller);
                return Some((status.peer.unwrap_or_default(), message));
            }
        }
    }

    /// The next message of one connection.
    pub(crate) fn recv_from(&self, shared: &Shared, caller: &Caller) -> impl Future<Output = Result<Message>> {
        until(&shared.arrived, || {
            let mut status = shared.lock();
            let Some(message) = status.messages.pop_front() else {
                return status.error.clone().map(Err);
            };
            self.report(shared, &mut status, &message, caller);
            Some(Ok(message))
        })
    }

    fn report(&self, shared: &Shared, status: &mut Status, message: &Message, caller: &Caller) {
        status.unreported += message.weight();
        let last = status.error.is_some() && status.messages.is_empty();
        if status.unreported >= self.report_bytes || last {
            let bytes = std::mem::take(&mut status.unreported);
            caller.tell(Request::Consumed { link: shared.id, bytes });
        }
    }

    /// From now on a connection's messages do not go to [`Mailroom::recv`].
    pub(crate) fn claim(&self, shared: &Arc<Shared>) {
        let mut status = shared.lock();
        status.claims += 1;
        lock(&self.ready).retain(|ready| !Arc::ptr_eq(ready, shared));
    }

    /// Gives a connection's messages back to [`Mailroom::recv`] when the last handle that took them is gone.
    pub(crate) fn release(&self, shared: &Arc<Shared>) {
        let mut status = shared.lock();
        status.claims -= 1;
        if status.claims == 0 {
            let waiting = status.messages.len();
            lock(&self.ready).extend(std::iter::repeat_n(shared.clone(), waiting));
            drop(status);
            self.arrived.notify(waiting.additional());
        }
    }

    pub(crate) fn push_relay(&self, message: PeerConnectionMessage) {
        let mut relay = lock(&self.relay);
        if relay.len() == RELAY_MESSAGES {
            relay.pop_front();
            tracing::warn!("dropped the oldest of {RELAY_MESSAGES} relay messages that nobody received");
        }
        relay.push_back(message);
        drop(relay);
        self.arrived.notify(1.additional());
    }

    pub(crate) fn recv_relay(&self) -> impl Future<Output = Result<PeerConnectionMessage>> {
        until(&self.arrived, || match lock(&self.relay).pop_front() {
            Some(message) => Some(Ok(message)),
            None => self.end_of_relay().map(Err),
        })
    }

    /// What has become of the relay. When it has ended, whoever waits for a call, or for the relay, gets the error.
    pub(crate) fn set_ice_server(&self, server: Option<IceServer>) {
        *lock(&self.ice_server) = server;
    }

    pub(crate) fn ice_server(&self) -> Option<IceServer> {
        lock(&self.ice_server).clone()
    }

    pub(crate) fn set_relay(&self, state: RelayState) {
        let mut current = lock(&self.relay_state);
        if matches!(*current, RelayState::Ended(_)) {
            return;
        }
        let ended = matches!(state, RelayState::Ended(_));
        *current = state;
        drop(current);
        self.relay_changed.notify(usize::MAX);
        if ended {
            self.arrived.notify(usize::MAX);
            self.called.notify(usize::MAX);
        }
    }

    pub(crate) fn relay_state(&self) -> RelayState {
        lock(&self.relay_state).clone()
    }

    /// Ends with the relay's state once it is another than `seen`.
    pub(crate) fn relay_changed(&self, seen: RelayState) -> impl Future<Output = RelayState> {
        until(&self.relay_changed, move || {
            Some(self.relay_state()).filter(|state| *state != seen)
        })
    }

    pub(crate) fn is_registered(&self) -> bool {
        matches!(*lock(&self.relay_state), RelayState::Registered)
    }

    /// A connection is up.
    pub(crate) fn push_connected(&self, shared: &Arc<Shared>) {
        let mut connected = lock(&self.connected);
        if connected.iter().any(|known| Arc::ptr_eq(known, shared)) {
            return;
        }
        connected.push(shared.clone());
        drop(connected);
        if shared.is_incoming() {
            self.push_incoming(shared);
        }
    }

    /// It has ended.
    pub(crate) fn forget_connected(&self, shared: &Arc<Shared>) {
        lock(&self.connected).retain(|known| !Arc::ptr_eq(known, shared));
    }

    pub(crate) fn connected(&self) -> Vec<Arc<Shared>> {
        lock(&self.connected).clone()
    }

    fn push_incoming(&self, shared: &Arc<Shared>) {
        let mut incoming = lock(&self.incoming);
        let forgone = if incoming.len() == INCOMING {
            incoming.pop_front()
        } else {
            None
        };
        incoming.push_back(shared.clone());
        drop(incoming);
        if let Some(forgone) = forgone.filter(|forgone| forgone.lock().claims > 0) {
            self.release(&forgone);
        }
        self.called.notify(1.additional());
    }

    /// The handles that a new connection is claimed by: the one that [`Mailroom::accept`] will give.
    pub(crate) fn first_claims(&self, incoming: bool) -> usize {
        usize::from(incoming && self.accepts.load(Ordering::Acquire))
    }

    /// Ends when the driver has.
    pub(crate) fn ended(&self) -> impl Future<Output = ()> {
        until(&self.called, || lock(&self.ended).as_ref().map(|_| ()))
    }

    /// The next connection that a peer has made; its messages are claimed.
    pub(crate) async fn accept(&self) -> Result<Arc<Shared>> {
        if !self.accepts.swap(true, Ordering::AcqRel) {
            let earlier: Vec<_> = lock(&self.incoming).iter().cloned().collect();
            earlier
                .iter()
                .filter(|shared| shared.lock().claims == 0)
                .for_each(|shared| self.claim(shared));
        }
        self.next_incoming().await.inspect(|shared| {
            // One that was being set up when this was first called.
            if shared.lock().claims == 0 {
                self.claim(shared);
            }
        })
    }

    /// The next connection that a peer has made.
    pub(crate) fn next_incoming(&self) -> impl Future<Output = Result<Arc<Shared>>> {
        until(&self.called, || match lock(&self.incoming).pop_front() {
            Some(shared) => Some(Ok(shared)),
            None => self.end_of_calls().map(Err),
        })
    }

    pub(crate) fn adopt(&self, shared: Arc<Shared>) {
        lock(&self.adopted).push(shared);
    }

    pub(crate) fn take_adopted(&self, link: LinkId) -> Option<Arc<Shared>> {
        let mut adopted = lock(&self.adopted);
        let at = adopted.iter().position(|shared| shared.id == link)?;
        Some(adopted.swap_remove(at))
    }

    /// Nothing more will come: whoever waits gets the error.
    pub(crate) fn end(&self, error: Error) {
        lock(&self.ended).get_or_insert(error.clone());
        self.set_relay(RelayState::Ended(error));
        self.called.notify(usize::MAX);
        self.arrived.notify(usize::MAX);
    }
}

/// Looks until there is something, now and whenever this happens.
fn until<T>(event: &Event, mut look: impl FnMut() -> Option<T>) -> impl Future<Output = T> {
    let mut listener = None;
    poll_fn(move |cx| {
        loop {
            if let Some(found) = look() {
                return Poll::Ready(found);
            }
            ready!(happens(event, &mut listener, cx));
        }
    })
}

/// Ready whenever there is reason to look again: it has happened, or could have before anybody listened.
fn happens(event: &Event, listener: &mut Option<EventListener>, cx: &mut Context<'_>) -> Poll<()> {
    match listener {
        Some(waiting) => {
            ready!(Pin::new(waiting).poll(cx));
            *listener = None;
        }
        None => *listener = Some(event.listen()),
    }
    Poll::Ready(())
}

/// No code panics while it holds one of these locks; if it did, what is there is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
