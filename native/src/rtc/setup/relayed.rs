//! The runtime of a connection that may go through a TURN server: its driver makes more rounds.
//!
//! In each round the engine's driver first sends what its TURN client has queued, and only then gives that client the
//! connection's new packets; likewise it hands packets that came through TURN to the connection after it has asked that
//! for its answers. Then it sleeps, and everything stays where it is until the next timer: round trips of 100 ms where
//! the network needs 1 ms, and 0.1 MiB/s.

use crate::rtc::runtime::TunedRuntime;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::{Duration, Instant};
use webrtc::runtime::{AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime};

/// Rounds until nothing is left behind: one brings a packet's answer to the TURN client, the next sends it.
const MORE_ROUNDS: u8 = 2;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

tokio::task_local! {
    /// Set in the driver's task. Others of the engine sleep too, such as the one that gives the driver time to end.
    static IN_DRIVER: ();
}

/// A [`TunedRuntime`] whose driver sleeps only when it has made some rounds since it last slept.
#[derive(Debug)]
pub(super) struct RelayedRuntime {
    inner: TunedRuntime,
    rounds_left: AtomicU8,
}

impl RelayedRuntime {
    pub(super) fn new(inner: TunedRuntime) -> Self {
        let rounds_left = AtomicU8::new(MORE_ROUNDS);
        Self { inner, rounds_left }
    }
}

impl Runtime for RelayedRuntime {
    fn sleep(&self, duration: Duration) -> Boxed<'static, ()> {
        if IN_DRIVER.try_with(|()| ()).is_err() {
            return self.inner.sleep(duration);
        }
        let left = self.rounds_left.load(Relaxed);
        let (left, duration) = match left.checked_sub(1) {
            Some(left) => (left, Duration::ZERO),
            None => (MORE_ROUNDS, duration),
        };
        self.rounds_left.store(left, Relaxed);
        self.inner.sleep(duration)
    }

    fn spawn(&self, future: Boxed<'static, ()>) -> Box<dyn JoinHandle> {
        self.inner.spawn(Box::pin(IN_DRIVER.scope((), future)))
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        self.inner.wrap_udp_socket(socket)
    }

    fn wrap_tcp_listener(&self, listener: TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        self.inner.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(&'a self, remote_addr: SocketAddr) -> Boxed<'a, io::Result<Arc<dyn AsyncTcpStream>>> {
        self.inner.connect_tcp(remote_addr)
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Boxed<'a, io::Result<Vec<SocketAddr>>> {
        self.inner.resolve_host(host)
    }

    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        self.inner.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        self.inner.block_on(future);
    }

    fn yield_now(&self) -> Boxed<'static, ()> {
        self.inner.yield_now()
    }

    fn name(&self) -> &'static str {
        self.inner.name()
    }
}
