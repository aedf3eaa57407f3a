//! Holds back what the other side's ICE sends before the engine knows its description.
//!
//! When we offer, the first check of a fast answerer arrives before its answer does. The engine drops it, and the
//! answerer tries again only after 500 ms. So binding requests wait here until the description has been applied.

use super::pace::Pace;
use futures_util::task::AtomicWaker;
use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Acquire, Ordering::Release};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

/// Datagrams a socket holds back; a peer sends a check every 20 ms for each pair of addresses.
const MAX_HELD: usize = 64;
/// Bytes of the largest datagram that is held back; a check has about 100.
const MAX_HELD_BYTES: usize = 1500;

/// Whether binding requests pass, for all sockets of a connection.
#[derive(Debug, Default)]
pub(super) struct Gate {
    open: AtomicBool,
    wakers: Mutex<Vec<Arc<AtomicWaker>>>,
    #[cfg(test)]
    pub(super) muted: AtomicBool,
}

impl Gate {
    /// Lets everything pass from now on.
    pub(super) fn open(&self) {
        self.open.store(true, Release);
        for waker in lock(&self.wakers).drain(..) {
            waker.wake();
        }
    }

    fn is_open(&self) -> bool {
        self.open.load(Acquire)
    }

    fn muted(&self) -> bool {
        #[cfg(test)]
        return self.muted.load(Acquire);
        #[cfg(not(test))]
        false
    }
}

/// A socket behind a [`Gate`].
#[derive(Debug)]
pub(super) struct GatedSocket {
    socket: Arc<dyn AsyncUdpSocket>,
    gate: Arc<Gate>,
    held: Mutex<VecDeque<(Vec<u8>, RecvMeta)>>,
    holding: AtomicBool,
    waker: Arc<AtomicWaker>,
    pace: Arc<Pace>,
}

impl GatedSocket {
    pub(super) fn new(socket: Arc<dyn AsyncUdpSocket>, gate: Arc<Gate>, pace: Arc<Pace>) -> Self {
        let waker = Arc::new(AtomicWaker::new());
        lock(&gate.wakers).push(Arc::clone(&waker));
        Self {
            socket,
            gate,
            held: Mutex::default(),
            holding: AtomicBool::new(true),
            waker,
            pace,
        }
    }

    /// One that was held back, if the gate has been opened.
    fn release(&self, buf: &mut [u8], meta: &mut RecvMeta) -> bool {
        let held = lock(&self.held).pop_front();
        let Some((datagram, held_meta)) = held else {
            self.holding.store(false, Release);
            return false;
        };
        let len = datagram.len().min(buf.len());
        buf[..len].copy_from_slice(&datagram[..len]);
        *meta = held_meta;
        true
    }

    fn hold(&self, datagram: &[u8], meta: RecvMeta) {
        let mut held = lock(&self.held);
        if held.len() < MAX_HELD {
            held.push_back((datagram.to_vec(), meta));
        }
    }
}

impl AsyncUdpSocket for GatedSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        if self.gate.muted() {
            return Poll::Ready(Ok(transmit.contents.len()));
        }
        self.socket.poll_send(cx, transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = ready!(self.poll_gated(cx, bufs, meta));
        self.pace.received();
        Poll::Ready(received)
    }

    fn max_gso_segments(&self) -> usize {
        self.socket.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.socket.max_gro_segments()
    }
}

impl GatedSocket {
    fn poll_gated(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if !self.holding.load(Acquire) && !self.gate.muted() {
            return self.socket.poll_recv(cx, bufs, meta);
        }
        loop {
            if self.gate.is_open() && self.release(&mut bufs[0], &mut meta[0]) {
                return Poll::Ready(Ok(1));
            }
            if !self.gate.is_open() {
                self.waker.register(cx.waker());
                if self.gate.is_open() {
                    continue;
                }
            }
            let received = ready!(self.socket.poll_recv(cx, &mut bufs[..1], &mut meta[..1]))?;
            let datagram = &bufs[0][..meta[0].len];
            if self.gate.muted() {
                continue;
            }
            if self.gate.is_open() || !is_binding_request(datagram) {
                return Poll::Ready(Ok(received));
            }
            self.hold(datagram, meta[0]);
        }
    }
}

/// RFC 8489: type 0x0001, magic cookie.
fn is_binding_request(datagram: &[u8]) -> bool {
    (20..=MAX_HELD_BYTES).contains(&datagram.len())
        && datagram[..2] == [0x00, 0x01]
        && datagram[4..8] == [0x21, 0x12, 0xA4, 0x42]
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
