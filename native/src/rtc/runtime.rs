//! The engine's runtime: tokio, with larger socket buffers, our [`Pace`], bounded name look-ups and the [`Gate`].

use super::gate::{Gate, GatedSocket};
use super::mux::{Mux, set_fragments};
use super::pace::Pace;
use super::share::{MIN_WINDOW, Share};
use super::tunnel::Tunnels;
use std::borrow::Cow;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::Instant;
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime, TokioRuntime,
};

/// What a socket buffer should hold. With the kernel's usual 208 KiB a burst overflows it, and the engine waits out
/// SCTP's minimum RTO of 1 s each time: 8–49 MiB/s instead of 280.
const SOCKET_BUFFER: usize = 8 << 20;
/// The largest receive window that is offered: 80 MiB/s at a round trip of 50 ms.
const MAX_WINDOW: usize = 4 << 20;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

#[cfg(test)]
thread_local! {
    /// Sockets of this thread's connections.
    pub(super) static WRAPPED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// One connection's runtime.
#[derive(Debug)]
pub(super) struct TunedRuntime {
    pub(super) pace: Arc<Pace>,
    pub(super) gate: Arc<Gate>,
    /// Where QUIC may be wanted.
    pub(super) mux: Option<Arc<Mux>>,
    pub(super) tunnels: Arc<Tunnels>,
    pub(super) share: Share,
    /// The driver does nothing else during a look-up, so all of them together end by then.
    pub(super) resolve_until: Instant,
}

impl Runtime for TunedRuntime {
    fn spawn(&self, future: Boxed<'static, ()>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        #[cfg(test)]
        WRAPPED.with(|count| count.set(count.get() + 1));
        enlarge_buffers(&socket);
        let same = socket.try_clone()?;
        let mut socket = TokioRuntime.wrap_udp_socket(socket)?;
        // Undoes what the engine's socket asks for: nobody probes the path for DTLS.
        set_fragments(&same, true);
        if let Some(mux) = &self.mux {
            socket = mux.share(socket, same)?;
        }
        // What goes through them is TURN's alone, and nothing that QUIC and the engine would have to part.
        let socket = self.tunnels.share(socket);
        Ok(Arc::new(GatedSocket::new(
            socket,
            Arc::clone(&self.gate),
            Arc::clone(&self.pace),
            self.share.segments(),
        )))
    }

    fn wrap_tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(&'a self, remote_addr: SocketAddr) -> Boxed<'a, io::Result<Arc<dyn AsyncTcpStream>>> {
        TokioRuntime.connect_tcp(remote_addr)
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Boxed<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move {
            if let Some(address) = self.tunnels.resolve(host) {
                return Ok(vec![address]);
            }
            let name = bracketed(host);
            let found = match tokio::time::timeout_at(self.resolve_until, tokio::net::lookup_host(&*name)).await {
                Ok(found) => found.map(Iterator::collect),
                Err(_) => Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the name look-up took too long",
                )),
            };
            self.tunnels.found(host, &found);
            if let (Some(mux), Ok(servers)) = (&self.mux, &found) {
                mux.know_servers(servers);
            }
            found
        })
    }

    fn now(&self) -> std::time::Instant {
        self.pace.now().into_std()
    }

    fn sleep(&self, duration: Duration) -> Boxed<'static, ()> {
        Box::pin(self.pace.sleep(duration))
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }

    fn yield_now(&self) -> Boxed<'static, ()> {
        TokioRuntime.yield_now()
    }

    fn name(&self) -> &'static str {
        "crosspeer"
    }
}

/// The engine asks for a TURN server's IPv6 address and port without brackets.
fn bracketed(host: &str) -> Cow<'_, str> {
    match host.rsplit_once(':') {
        Some((v6, port)) if v6.contains(':') && !v6.starts_with('[') => format!("[{v6}]:{port}").into(),
        _ => host.into(),
    }
}

/// Bytes of the largest SCTP receive window: half of what this system lets a socket buffer hold, since a peer may fill it
/// at once.
pub(super) fn largest_window() -> usize {
    static WINDOW: OnceLock<usize> = OnceLock::new();
    *WINDOW.get_or_init(|| {
        let granted = UdpSocket::bind("127.0.0.1:0").map_or(0, |socket| enlarge_buffers(&socket));
        let window = (granted / 2).clamp(MIN_WINDOW, MAX_WINDOW);
        if granted < 2 * MIN_WINDOW {
            tracing::debug!(
                granted,
                "small UDP buffers: raise net.core.rmem_max to 4194304 for more throughput"
            );
        }
        window
    })
}

/// Asks for [`SOCKET_BUFFER`], by force where that is permitted, and returns the receive buffer's bytes.
fn enlarge_buffers(socket: &UdpSocket) -> usize {
    let options = socket2::SockRef::from(socket);
    let _ = options.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = options.set_send_buffer_size(SOCKET_BUFFER);
    let granted = || options.recv_buffer_size().unwrap_or(0);
    #[cfg(target_os = "linux")]
    {
        use rustix::net::sockopt::{set_socket_recv_buffer_size_force, set_socket_send_buffer_size};
        if granted() < 2 * SOCKET_BUFFER {
            let _ = set_socket_recv_buffer_size_force(socket, SOCKET_BUFFER);
            let _ = set_socket_send_buffer_size(socket, SOCKET_BUFFER);
        }
        // Linux reports twice what was asked for; the other half is its own bookkeeping.
        granted() / 2
    }
    #[cfg(not(target_os = "linux"))]
    granted()
}
