//! Holds back what the engine could not make use of yet, and wakes it to what it has overlooked.
//!
//! When we offer, the first check of a fast answerer arrives before its answer does. The engine drops it, and the
//! answerer tries again only after 500 ms. So binding requests wait here until the description has been applied.
//!
//! When our reader stalls, SCTP's window closes and the peer sends one probe at growing intervals (1, 2, 4 … s). The
//! engine drops the probe for want of room, and says nothing when there is room again: it announces a window only in
//! reply to data. The peer then waits for its next probe, and one built on the same engine sends none after the
//! fifth, so that it is stuck for good. So while a reader is stalled the latest data packet waits here (until the next
//! one comes), and is handed over once the reader has caught up: its acknowledgement tells the peer at once.

mod weight;

use super::checks::{self, Checks, is_binding_request};
use super::mapping::Mappings;
use super::pace::Pace;
use crate::hoard::{Heap, Hoard};
use crosspeer::Config;
use futures_util::task::AtomicWaker;
use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
#[cfg(test)]
use std::sync::atomic::AtomicU16;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::AcqRel, Ordering::Acquire, Ordering::Release};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::sync::Notify;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

/// Datagrams a socket holds back; a peer sends a check every 20 ms for each pair of addresses.
const MAX_HELD: usize = 64;
/// Bytes of data without a message: twice what the receive window holds (docs/upstream/endless-message.md).
const MAX_EXCESS_BYTES: usize = 8 << 20;
/// Bytes of acknowledgements beyond the plainest that are believed at once.
const MAX_ACK_BYTES: usize = 1 << 20;
/// Bytes of a DTLS record that is likely to hold data: a plain acknowledgement has 65, one byte of a message 85.
const DATA_RECORD_BYTES: usize = 80;

/// What may pass, for all sockets of a connection.
#[derive(Debug, Default)]
pub(super) struct Gate {
    open: AtomicBool,
    /// Bytes of acknowledgements that what was sent may still bring.
    acks: AtomicUsize,
    /// What of ICE's checks may leave.
    pub(super) checks: Checks,
    /// Bytes of data that have come, beyond what messages came of them.
    excess: AtomicUsize,
    /// That is more than any honest peer's.
    pub(super) flooded: Notify,
    /// A NAT on the way has forgotten a socket.
    pub(super) moved: Notify,
    /// What has come and has not been read.
    pub(super) heap: Arc<Heap>,
    stalled: AtomicUsize,
    prompting: AtomicBool,
    wakers: Mutex<Vec<Arc<AtomicWaker>>>,
    #[cfg(test)]
    pub(super) muted: AtomicBool,
    /// Where alone datagrams may go, if not 0.
    #[cfg(test)]
    pub(super) only_to: AtomicU16,
}

impl Gate {
    /// Of one connection, among those whose peers' data waits together.
    pub(super) fn new(hoard: &Arc<Hoard>, config: &Config) -> Arc<Self> {
        Arc::new(Self {
            checks: Checks::new(config.connect_timeout),
            heap: Heap::new(hoard, config.memory_budget_bytes),
            ..Self::default()
        })
    }

    /// The remote description is known: lets binding requests pass from now on.
    pub(super) fn open(&self) {
        self.open.store(true, Release);
        self.wake();
    }

    /// One more reader has stalled.
    pub(super) fn stall(&self) {
        self.stalled.fetch_add(1, AcqRel);
    }

    /// One of the stalled readers has caught up.
    pub(super) fn unstall(&self) {
        if self.stalled.fetch_sub(1, AcqRel) == 1 {
            self.wake();
        }
    }

    /// Has the engine look for data in all its queues.
    pub(super) fn prompt(&self) {
        self.prompting.store(true, Release);
        self.wake();
    }

    fn wake(&self) {
        for waker in lock(&self.wakers).iter() {
            waker.wake();
        }
    }

    fn is_open(&self) -> bool {
        self.open.load(Acquire)
    }

    fn is_stalled(&self) -> bool {
        self.stalled.load(Acquire) > 0
    }

    /// Whether a datagram to this address is to be lost.
    fn loses(&self, _to: SocketAddr) -> bool {
        #[cfg(test)]
        return self.muted() || ![0, _to.port()].contains(&self.only_to.load(Acquire));
        #[cfg(not(test))]
        false
    }

    fn muted(&self) -> bool {
        #[cfg(test)]
        return self.muted.load(Acquire);
        #[cfg(not(test))]
        false
    }
}

type Datagrams = VecDeque<(Vec<u8>, RecvMeta)>;

#[derive(Debug, Default)]
struct Held {
    waiting: Datagrams,
    /// To be handed over now.
    ready: Datagrams,
}

/// A socket behind a [`Gate`].
#[derive(Debug)]
pub(super) struct GatedSocket {
    socket: Arc<dyn AsyncUdpSocket>,
    gate: Arc<Gate>,
    pace: Arc<Pace>,
    mappings: Mutex<Mappings>,
    held: Mutex<Held>,
    /// Whether `held` has something.
    holding: AtomicBool,
    waker: Arc<AtomicWaker>,
    local: SocketAddr,
    /// Datagrams that are taken at once.
    segments: usize,
}

/// Datagrams of one batch. A batch is one packet to the kernel, which refuses it, with everything in it, beyond what UDP
/// carries: 65,507 bytes over IPv4, 65,487 over IPv6 (docs/upstream/gso-65535.md). None of ours is above 1,280.
const MAX_BATCH: usize = 50;

impl GatedSocket {
    pub(super) fn new(socket: Arc<dyn AsyncUdpSocket>, gate: Arc<Gate>, pace: Arc<Pace>, segments: usize) -> Self {
        let waker = Arc::new(AtomicWaker::new());
        lock(&gate.wakers).push(Arc::clone(&waker));
        let local = socket.local_addr().unwrap_or_else(|_| ([0; 4], 0).into());
        Self {
            socket,
            gate,
            pace,
            mappings: Mutex::default(),
            held: Mutex::default(),
            holding: AtomicBool::new(false),
            waker,
            local,
            segments,
        }
    }

    /// Sends a batch's datagrams one by one. What there is no room for, or what alone is refused, is lost, as it may be on
    /// any path; an error only if all are refused.
    fn send_singly(&self, cx: &mut Context<'_>, batch: &Transmit<'_>, size: usize) -> io::Result<usize> {
        let mut refused = None;
        let mut any = false;
        for contents in batch.contents.chunks(size) {
            let one = Transmit {
                destination: batch.destination,
                ecn: batch.ecn,
                contents,
                segment_size: None,
                src_ip: batch.src_ip,
            };
            match self.socket.poll_send(cx, &one) {
                Poll::Ready(Ok(_)) => any = true,
                Poll::Ready(Err(error)) => refused = Some(error),
                Poll::Pending => any = true, // the rest is lost
            }
        }
        match refused {
            Some(error) if !any => Err(error),
            _ => Ok(batch.contents.len()),
        }
    }

    /// Whether what is a check, in a batch or alone, may leave.
    fn may_leave(&self, transmit: &Transmit<'_>) -> bool {
        let size = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        transmit.contents.chunks(size).all(|datagram| {
            let target = checks::target(datagram, transmit.destination);
            target.is_none_or(|target| self.gate.checks.may_leave(self.pace.now(), (self.local, target)))
        })
    }

    fn passes_all(&self) -> bool {
        self.gate.is_open() && !self.gate.is_stalled() && !self.gate.muted()
    }

    fn poll_gated(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        // First, so that a change of the gate from here on is noticed.
        self.waker.register(cx.waker());
        if self.gate.prompting.swap(false, AcqRel) {
            bufs[0][..IGNORED.len()].copy_from_slice(&IGNORED);
            meta[0] = ignored();
            return Poll::Ready(Ok(1));
        }
        if self.passes_all() && !self.holding.load(Acquire) {
            return self.socket.poll_recv(cx, bufs, meta);
        }
        loop {
            if self.release(&mut bufs[0], &mut meta[0]) {
                return Poll::Ready(Ok(1));
            }
            let received = ready!(self.socket.poll_recv(cx, &mut bufs[..1], &mut meta[..1]))?;
            if self.gate.muted() || self.hold(&bufs[0][..meta[0].len], meta[0]) {
                continue;
            }
            return Poll::Ready(Ok(received));
        }
    }

    /// Hands over what is ready, and everything once the gate lets all pass.
    fn release(&self, buf: &mut [u8], meta: &mut RecvMeta) -> bool {
        let mut held = lock(&self.held);
        let Held { waiting, ready } = &mut *held;
        if self.passes_all() {
            ready.append(waiting);
        }
        let next = ready.pop_front();
        self.holding.store(!(ready.is_empty() && waiting.is_empty()), Release);
        let Some((datagram, its_meta)) = next else {
            return false;
        };
        let len = datagram.len().min(buf.len());
        buf[..len].copy_from_slice(&datagram[..len]);
        *meta = its_meta;
        true
    }

    /// Whether what was received, one datagram or several of `stride` bytes, was taken to be handed over later.
    fn hold(&self, received: &[u8], meta: RecvMeta) -> bool {
        let mut held = lock(&self.held);
        if !self.gate.is_open() {
            let holds = is_binding_request(received) && held.waiting.len() < MAX_HELD;
            if holds {
                held.waiting.push_back((received.to_vec(), meta));
                self.holding.store(true, Release);
            }
            return holds;
        }
        let last_at = received.len().saturating_sub(1) / meta.stride.max(1) * meta.stride.max(1);
        let (before, last) = received.split_at(last_at.min(received.len()));
        if !self.gate.is_stalled() || !may_hold_data(last) {
            return false;
        }
        let Held { waiting, ready } = &mut *held;
        ready.append(waiting);
        if !before.is_empty() {
            ready.push_back((before.to_vec(), with_len(meta, before.len())));
        }
        waiting.push_back((last.to_vec(), with_len(meta, last.len())));
        self.holding.store(true, Release);
        true
    }
}

impl AsyncUdpSocket for GatedSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        if !self.may_leave(transmit) {
            return Poll::Ready(Ok(transmit.contents.len()));
        }
        if self.gate.loses(transmit.destination) {
            return Poll::Ready(Ok(transmit.contents.len()));
        }
        if is_binding_request(transmit.contents) {
            lock(&self.mappings).asked(transmit.contents);
        }
        let sent = ready!(self.socket.poll_send(cx, transmit));
        let size = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        self.gate.count_out(transmit.contents.chunks(size));
        match (sent, transmit.segment_size) {
            // Larger than the path's first link carries at once, or a network card without segmentation, of which the
            // socket takes note itself.
            (Err(_), Some(size)) if size > 0 && size < transmit.contents.len() => {
                Poll::Ready(self.send_singly(cx, transmit, size))
            }
            (sent, _) => Poll::Ready(sent),
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = ready!(self.poll_gated(cx, bufs, meta));
        self.pace.received();
        for (meta, buf) in meta
            .iter()
            .zip(bufs)
            .take(received.as_ref().copied().unwrap_or_default())
        {
            if lock(&self.mappings).take(meta.addr, &buf[..meta.len]) {
                self.gate.moved.notify_one();
            }
            let datagrams = buf[..meta.len].chunks(meta.stride.max(1));
            datagrams.for_each(|datagram| self.gate.count_in(datagram));
        }
        Poll::Ready(received)
    }

    fn max_gso_segments(&self) -> usize {
        self.socket.max_gso_segments().min(MAX_BATCH)
    }

    fn max_gro_segments(&self) -> usize {
        self.socket.max_gro_segments().min(self.segments)
    }
}

/// What is neither DTLS nor RTP goes to ICE, and from mDNS's port to mDNS, which is off.
const IGNORED: [u8; 20] = [0; 20];

fn ignored() -> RecvMeta {
    let mut meta = RecvMeta::default();
    meta.addr = ([127, 0, 0, 1], 5353).into();
    (meta.len, meta.stride) = (IGNORED.len(), IGNORED.len());
    meta
}

fn with_len(mut meta: RecvMeta, len: usize) -> RecvMeta {
    meta.len = len;
    meta.stride = meta.stride.min(len);
    meta
}

/// A DTLS record of application data, longer than an acknowledgement.
fn may_hold_data(datagram: &[u8]) -> bool {
    datagram.len() > DATA_RECORD_BYTES && datagram[0] == 23
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
