//! The sockets of one connection, shared by the engine and QUIC.
//!
//! Only one of them may wait for a socket: before there is a path, the engine reads all, and what is QUIC's is kept for
//! it; then QUIC reads the path's socket, and hands what is the engine's over. What the engine would send of DTLS is held
//! back until it is known whether QUIC is up.
//!
//! QUIC sends to the peer's address of the pair that ICE has checked, from that pair's socket, and takes what comes from
//! there. It cannot be made to send anywhere else.

use crate::quic::{Owner, is_all_quic, sort};
use futures_util::task::AtomicWaker;
use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Acquire, Ordering::Release};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use webrtc::runtime::{AsyncUdpSocket, EcnCodepoint, RecvMeta, Transmit};

/// Datagrams that are kept for the other one; more are lost, as on any path.
const MAX_KEPT: usize = 128;
/// Datagrams of DTLS that are held back: more than a flight has. The engine repeats them, so the last ones count.
const MAX_HELD: usize = 16;

/// What the engine and QUIC share.
#[derive(Debug, Default)]
pub(super) struct Mux {
    sockets: Mutex<Vec<Arc<Shared>>>,
    /// Whether QUIC is to be looked for in what comes.
    listening: AtomicBool,
    /// Whether it has been given up.
    over: AtomicBool,
    holding: AtomicBool,
    held: Mutex<VecDeque<Held>>,
    /// STUN and TURN servers, whose datagrams are the engine's.
    servers: Mutex<Vec<SocketAddr>>,
    /// The socket that QUIC reads, counted from 1; 0 for none.
    reader: AtomicUsize,
    /// What the engine has read of QUIC.
    kept: Mutex<VecDeque<Kept>>,
    waker: AtomicWaker,
    /// Whether what this side sends of QUIC is lost.
    #[cfg(test)]
    pub(super) blocked: AtomicBool,
}

/// A datagram that waits, from which socket, and whither.
type Held = (Arc<Shared>, Vec<u8>, SocketAddr);
/// A datagram that has come.
type Kept = (Vec<u8>, RecvMeta);

/// One socket.
#[derive(Debug)]
struct Shared {
    number: usize,
    local: SocketAddr,
    socket: Arc<dyn AsyncUdpSocket>,
    /// The same, for its options.
    options: Mutex<Option<UdpSocket>>,
    /// What QUIC has read of the engine's.
    kept: Mutex<VecDeque<Kept>>,
    waker: AtomicWaker,
}

impl Mux {
    /// The engine's side of a new socket; `options` is the same socket.
    pub(super) fn share(
        self: &Arc<Self>,
        socket: Arc<dyn AsyncUdpSocket>,
        options: UdpSocket,
    ) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let local = socket.local_addr()?;
        let mut sockets = lock(&self.sockets);
        let shared = Arc::new(Shared {
            number: sockets.len() + 1,
            local,
            socket,
            options: Mutex::new(Some(options)),
            kept: Mutex::default(),
            waker: AtomicWaker::new(),
        });
        sockets.push(Arc::clone(&shared));
        let mux = Arc::clone(self);
        Ok(Arc::new(EngineSide { shared, mux }))
    }

    /// What comes from these servers is not QUIC's, whatever it looks like.
    pub(super) fn know_servers(&self, servers: &[SocketAddr]) {
        lock(&self.servers).extend(servers);
    }

    /// Whose a datagram is that has come from there.
    fn sort(&self, datagram: &[u8], from: SocketAddr) -> Owner {
        match sort(datagram, false) {
            Owner::Quic => sort(datagram, lock(&self.servers).contains(&from)),
            owner => owner,
        }
    }

    /// Both sides want QUIC: it may come from now on, and DTLS waits.
    pub(super) fn hold(&self) {
        self.listening.store(true, Release);
        self.holding.store(true, Release);
    }

    /// DTLS goes its way from now on.
    pub(super) fn release(&self) {
        if !self.holding.swap(false, Release) {
            return;
        }
        for (shared, datagram, to) in lock(&self.held).drain(..) {
            // What there is no room for is lost, and repeated.
            let _ = shared.send(&mut Context::from_waker(Waker::noop()), to, &datagram, None, None);
        }
    }

    /// There is no QUIC: DTLS goes its way, and what still comes of QUIC is dropped.
    pub(super) fn end(&self) {
        self.over.store(true, Release);
        lock(&self.kept).clear();
        self.release();
    }

    /// The path for QUIC: the socket with this address, to this address of the peer. `None` if there is no such socket.
    pub(super) fn attach(self: &Arc<Self>, local: SocketAddr, remote: SocketAddr) -> Option<Path> {
        let mut sockets = lock(&self.sockets);
        let shared = sockets.iter().find(|shared| shared.local == local).cloned()?;
        let options = lock(&shared.options).take();
        // The others keep no second handle.
        for other in sockets.iter_mut() {
            lock(&other.options).take();
        }
        drop(sockets);
        if let Some(options) = &options {
            set_fragments(options, false);
        }
        self.reader.store(shared.number, Release);
        let mux = Arc::clone(self);
        Some(Path {
            mux,
            shared,
            remote,
            options,
        })
    }

    fn is_read_by_quic(&self, shared: &Shared) -> bool {
        self.reader.load(Acquire) == shared.number
    }

    /// The peer, which decides, has given QUIC up if it begins DTLS.
    fn notice(&self, owner: Owner) {
        if owner == Owner::Dtls {
            self.release();
        }
    }
}

impl Shared {
    /// What cannot be sent is lost, as on any path.
    fn send(
        &self,
        cx: &mut Context<'_>,
        to: SocketAddr,
        contents: &[u8],
        segment_size: Option<usize>,
        ecn: Option<EcnCodepoint>,
    ) -> Poll<io::Result<usize>> {
        let transmit = Transmit {
            destination: to,
            ecn,
            contents,
            segment_size,
            src_ip: None,
        };
        self.socket.poll_send(cx, &transmit)
    }

    fn keep(&self, datagram: &[u8], meta: RecvMeta) {
        keep(&self.kept, datagram, meta);
        self.waker.wake();
    }
}

/// The engine's side of a socket.
#[derive(Debug)]
struct EngineSide {
    shared: Arc<Shared>,
    mux: Arc<Mux>,
}

impl EngineSide {
    fn take_kept(&self, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> usize {
        let mut kept = lock(&self.shared.kept);
        let Some((datagram, its_meta)) = kept.pop_front() else {
            return 0;
        };
        let len = datagram.len().min(bufs[0].len());
        bufs[0][..len].copy_from_slice(&datagram[..len]);
        meta[0] = its_meta;
        meta[0].len = len;
        1
    }

    /// Whether there is nothing of QUIC in what came.
    fn is_all_engines(&self, bufs: &[IoSliceMut<'_>], meta: &[RecvMeta]) -> bool {
        let mut batches = bufs.iter().zip(meta);
        batches.all(|(buf, meta)| {
            let mut datagrams = buf[..meta.len].chunks(meta.stride.max(1));
            datagrams.all(|datagram| {
                let owner = self.mux.sort(datagram, meta.addr);
                self.mux.notice(owner);
                owner != Owner::Quic
            })
        })
    }

    /// Gives each what is its.
    fn part(&self, bufs: &[IoSliceMut<'_>], meta: &[RecvMeta]) {
        for (buf, meta) in bufs.iter().zip(meta) {
            for datagram in buf[..meta.len].chunks(meta.stride.max(1)) {
                match self.mux.sort(datagram, meta.addr) {
                    Owner::Quic if self.mux.over.load(Acquire) => {}
                    Owner::Quic => keep(&self.mux.kept, datagram, *meta),
                    _ => keep(&self.shared.kept, datagram, *meta),
                }
            }
        }
        self.mux.waker.wake();
    }
}

impl AsyncUdpSocket for EngineSide {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.shared.socket.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let len = transmit.contents.len();
        if self.mux.holding.load(Acquire) && sort(transmit.contents, false) == Owner::Dtls {
            let mut held = lock(&self.mux.held);
            for datagram in transmit.contents.chunks(transmit.segment_size.unwrap_or(len).max(1)) {
                if held.len() == MAX_HELD {
                    held.pop_front();
                }
                held.push_back((Arc::clone(&self.shared), datagram.to_vec(), transmit.destination));
            }
            drop(held);
            if !self.mux.holding.load(Acquire) {
                // Released meanwhile.
                self.mux.holding.store(true, Release);
                self.mux.release();
            }
            return Poll::Ready(Ok(len));
        }
        let sent = self.shared.socket.poll_send(cx, transmit);
        if sent.is_pending() && self.mux.is_read_by_quic(&self.shared) {
            // QUIC may wait for room too, and the socket knows only who asked last.
            self.mux.waker.wake();
            return Poll::Ready(Ok(len));
        }
        sent
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if !self.mux.listening.load(Acquire) {
            return self.shared.socket.poll_recv(cx, bufs, meta);
        }
        // First, so that what is kept from here on is noticed.
        self.shared.waker.register(cx.waker());
        loop {
            let kept = self.take_kept(bufs, meta);
            if kept > 0 {
                return Poll::Ready(Ok(kept));
            }
            if self.mux.is_read_by_quic(&self.shared) {
                return Poll::Pending;
            }
            let received = self.shared.socket.poll_recv(cx, bufs, meta);
            if received.is_pending() && self.mux.is_read_by_quic(&self.shared) {
                // QUIC has just begun to wait, and the socket knows only who asked last.
                self.mux.waker.wake();
            }
            let received = ready!(received)?;
            if self.is_all_engines(&bufs[..received], &meta[..received]) {
                return Poll::Ready(Ok(received));
            }
            self.part(&bufs[..received], &meta[..received]);
        }
    }

    fn max_gso_segments(&self) -> usize {
        self.shared.socket.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.shared.socket.max_gro_segments()
    }
}

/// The one path that QUIC takes. When it is dropped the engine has its socket back.
#[derive(Debug)]
pub(super) struct Path {
    mux: Arc<Mux>,
    shared: Arc<Shared>,
    remote: SocketAddr,
    options: Option<UdpSocket>,
}

impl Path {
    /// Sends a datagram, or several of `segment_size` bytes each. What is refused is lost, as it may be on any path.
    pub(super) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        contents: &[u8],
        segment_size: Option<usize>,
        ecn: Option<EcnCodepoint>,
    ) -> Poll<()> {
        #[cfg(test)]
        if self.mux.blocked.load(Acquire) {
            return Poll::Ready(());
        }
        let sent = ready!(self.shared.send(cx, self.remote, contents, segment_size, ecn));
        let Err(error) = sent else {
            return Poll::Ready(());
        };
        tracing::trace!(%error, "a batch was refused");
        // Without segmentation the socket takes note of that; these are sent one by one.
        for datagram in contents.chunks(segment_size.unwrap_or(contents.len()).max(1)) {
            if segment_size.is_some_and(|size| size < contents.len()) {
                let _ = self.shared.send(cx, self.remote, datagram, None, ecn);
            }
        }
        Poll::Ready(())
    }

    /// Receives. `take` gets one or several datagrams of the given size each (the last may be smaller), all from the peer;
    /// `buffer` has room for the largest batch.
    pub(super) fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        mut take: impl FnMut(&[u8], usize, Option<EcnCodepoint>),
    ) -> Poll<io::Result<()>> {
        self.mux.waker.register(cx.waker());
        let kept = std::mem::take(&mut *lock(&self.mux.kept));
        let any = !kept.is_empty();
        for (datagram, meta) in kept {
            if meta.addr == self.remote {
                take(&datagram, datagram.len(), meta.ecn);
            }
        }
        if any {
            return Poll::Ready(Ok(()));
        }
        let mut meta = [RecvMeta::default()];
        let received = ready!(
            self.shared
                .socket
                .poll_recv(cx, &mut [IoSliceMut::new(buffer)], &mut meta)
        )?;
        let [meta] = meta;
        if received == 0 {
            return Poll::Ready(Ok(()));
        }
        let batch = &buffer[..meta.len];
        if meta.addr == self.remote && is_all_quic(batch, meta.stride) {
            take(batch, meta.stride.max(1), meta.ecn);
            return Poll::Ready(Ok(()));
        }
        for datagram in batch.chunks(meta.stride.max(1)) {
            match self.mux.sort(datagram, meta.addr) {
                Owner::Quic if meta.addr == self.remote => take(datagram, datagram.len(), meta.ecn),
                Owner::Quic => {}
                owner => {
                    self.mux.notice(owner);
                    self.shared.keep(datagram, meta);
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The most datagrams of this size that can be sent at once.
    pub(super) fn batch(&self) -> usize {
        self.shared.socket.max_gso_segments()
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        if let Some(options) = &self.options {
            set_fragments(options, true);
        }
        self.mux.over.store(true, Release);
        self.mux.reader.store(0, Release);
        lock(&self.mux.kept).clear();
        self.shared.waker.wake();
    }
}

fn keep(kept: &Mutex<VecDeque<Kept>>, datagram: &[u8], mut meta: RecvMeta) {
    let mut kept = lock(kept);
    if kept.len() < MAX_KEPT {
        (meta.len, meta.stride) = (datagram.len(), datagram.len().max(1));
        kept.push_back((datagram.to_vec(), meta));
    }
}

/// Whether what is larger than the path carries is cut into fragments, as DTLS needs it (docs/upstream/path-mtu.md). QUIC
/// looks for the largest that is carried as a whole.
pub(super) fn set_fragments(socket: &UdpSocket, allowed: bool) {
    #[cfg(target_os = "linux")]
    {
        use rustix::net::sockopt::{
            Ipv4PathMtuDiscovery as V4, Ipv6PathMtuDiscovery as V6, set_ip_mtu_discover, set_ipv6_mtu_discover,
        };
        let (v4, v6) = if allowed {
            (V4::DONT, V6::DONT)
        } else {
            (V4::PROBE, V6::PROBE)
        };
        // An IPv6 socket may have IPv4 peers; each family's sockets refuse the other's option.
        let _ = set_ip_mtu_discover(socket, v4);
        let _ = set_ipv6_mtu_discover(socket, v6);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (socket, allowed);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
