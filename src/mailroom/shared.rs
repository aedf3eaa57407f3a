//! One connection, as its handles and the driver see it.

use super::{lock, until};
use crate::output::State;
use crate::platform::{Path, RtcId};
use crate::request::LinkId;
use crate::{Error, Fingerprint, Message};
use event_listener::Event;
use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Mutex, MutexGuard};
use uuid::Uuid;

/// One connection, seen from both sides.
pub(crate) struct Shared {
    pub(crate) id: LinkId,
    incoming: bool,
    status: Mutex<Status>,
    pub(super) arrived: Event,
    changed: Event,
}

pub(super) struct Status {
    pub(super) state: State,
    pub(super) peer: Option<Uuid>,
    pub(super) crosspeer: Option<bool>,
    pub(super) confirms: bool,
    /// Bytes of the largest message that the peer takes, if it says so.
    pub(super) largest: Option<u64>,
    /// Whether the peer is verified, and its certificate.
    pub(super) identity: (bool, Option<Fingerprint>),
    pub(super) path: Option<Path>,
    pub(super) rtc: Option<RtcId>,
    pub(super) error: Option<Error>,
    pub(super) messages: VecDeque<Message>,
    /// Handles that take this connection's messages; without any they go to the manager's `recv`.
    pub(super) claims: usize,
    /// Nobody will ever take its messages.
    pub(super) discards: bool,
    pub(super) unreported: usize,
}

impl Shared {
    pub(crate) fn new(id: LinkId, peer: Option<Uuid>, incoming: bool, claims: usize) -> Self {
        let status = Status {
            state: State::New,
            peer,
            crosspeer: None,
            confirms: false,
            largest: None,
            identity: (false, None),
            path: None,
            rtc: None,
            error: None,
            messages: VecDeque::new(),
            claims,
            discards: false,
            unreported: 0,
        };
        Self {
            id,
            incoming,
            status: Mutex::new(status),
            arrived: Event::new(),
            changed: Event::new(),
        }
    }

    /// Whether the peer has called.
    pub(crate) fn is_incoming(&self) -> bool {
        self.incoming
    }

    /// Nobody will take its messages any more, those that wait included: their weight, and what the driver did not know
    /// of yet.
    pub(crate) fn discard(&self) -> usize {
        let mut status = self.lock();
        status.discards = true;
        let waiting: usize = status.messages.drain(..).map(|message| message.weight()).sum();
        std::mem::take(&mut status.unreported) + waiting
    }

    /// What the user has taken and the driver does not know of yet.
    pub(crate) fn take_unreported(&self) -> usize {
        std::mem::take(&mut self.lock().unreported)
    }

    pub(crate) fn set_state(&self, state: State, error: Option<Error>) {
        let mut status = self.lock();
        status.state = state;
        status.error = status.error.take().or(error);
        drop(status);
        self.changed.notify(usize::MAX);
        self.arrived.notify(usize::MAX);
    }

    pub(crate) fn set_kind(&self, crosspeer: bool, confirms: bool) {
        let mut status = self.lock();
        (status.crosspeer, status.confirms) = (Some(crosspeer), confirms);
    }

    pub(crate) fn confirms(&self) -> bool {
        self.lock().confirms
    }

    pub(crate) fn set_identity(&self, identity: (bool, Option<Fingerprint>)) {
        self.lock().identity = identity;
    }

    pub(crate) fn set_path(&self, path: Path) {
        self.lock().path = Some(path);
    }

    pub(crate) fn path(&self) -> Option<Path> {
        self.lock().path
    }

    pub(crate) fn identity(&self) -> (bool, Option<Fingerprint>) {
        self.lock().identity
    }

    pub(crate) fn set_largest(&self, bytes: u64) {
        self.lock().largest = Some(bytes);
    }

    pub(crate) fn largest(&self) -> Option<u64> {
        self.lock().largest
    }

    pub(crate) fn set_rtc(&self, rtc: RtcId) {
        self.lock().rtc = Some(rtc);
    }

    pub(crate) fn rtc(&self) -> Option<RtcId> {
        self.lock().rtc
    }

    pub(crate) fn set_peer(&self, peer: Uuid) {
        self.lock().peer = Some(peer);
    }

    pub(crate) fn state(&self) -> State {
        self.lock().state
    }

    pub(crate) fn peer(&self) -> Option<Uuid> {
        self.lock().peer
    }

    pub(crate) fn crosspeer(&self) -> Option<bool> {
        self.lock().crosspeer
    }

    pub(crate) fn error(&self) -> Option<Error> {
        self.lock().error.clone()
    }

    /// Ends with the state once it is another than `seen`.
    pub(crate) fn changed(&self, seen: State) -> impl Future<Output = State> {
        until(&self.changed, move || Some(self.state()).filter(|state| *state != seen))
    }

    /// Ends with the error that the connection ended with.
    pub(crate) fn ended(&self) -> impl Future<Output = Error> {
        until(&self.changed, || self.error())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Status> {
        lock(&self.status)
    }
}
