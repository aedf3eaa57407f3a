//! Clients that come by UDP, all to one socket.

use super::Server;
use super::clock::now;
use super::relayed::{Client, Relayed, allocate};
use super::session::{Session, Step};
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use std::collections::HashMap;
use std::io::IoSliceMut;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tracing::{debug, warn};

/// Bytes of the socket's buffers, where the system allows.
const SOCKET_BUFFER: usize = 4 << 20;
/// Batches that are received at once, and the bytes of each.
const BATCHES: usize = 8;
const BATCH: usize = 65_536;

/// A UDP socket at the relay's port.
pub(super) struct Front {
    socket: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    /// Clients that have a relayed address.
    clients: Mutex<HashMap<Path, Arc<Relayed>>>,
}

impl std::fmt::Debug for Front {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Front").field(&self.local).finish()
    }
}

/// Both ends of a client's packets, as the socket has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Path {
    client: SocketAddr,
    here: Option<IpAddr>,
}

impl Front {
    pub(super) fn bind(address: SocketAddr) -> std::io::Result<Arc<Self>> {
        let socket = std::net::UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::from_std(socket)?;
        let reference = UdpSockRef::from(&socket);
        let state = UdpSocketState::new(reference)?;
        let _ = state.set_recv_buffer_size(UdpSockRef::from(&socket), SOCKET_BUFFER);
        let _ = state.set_send_buffer_size(UdpSockRef::from(&socket), SOCKET_BUFFER);
        Ok(Arc::new(Self {
            local: socket.local_addr()?,
            socket,
            state,
            clients: Mutex::default(),
        }))
    }

    /// Sends a packet to a client; what there is no room for is lost.
    fn send(&self, path: &Path, contents: &[u8]) {
        let transmit = Transmit {
            destination: path.client,
            ecn: None,
            contents,
            segment_size: None,
            src_ip: path.here,
        };
        let send = || self.state.try_send(UdpSockRef::from(&self.socket), &transmit);
        if let Err(error) = self.socket.try_io(Interest::WRITABLE, send) {
            debug!(client = %path.client, "a packet was lost: {error}");
        }
    }

    /// This client's relayed address has ended.
    fn forget(&self, path: &Path, relayed: &Arc<Relayed>) {
        let mut clients = self.clients();
        if clients.get(path).is_some_and(|present| Arc::ptr_eq(present, relayed)) {
            clients.remove(path);
        }
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<Path, Arc<Relayed>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One client of the socket.
struct Udp(Arc<Front>, Path);

impl Client for Udp {
    fn send(&self, frame: &[u8]) {
        self.0.send(&self.1, frame);
    }

    fn forget(&self, relayed: &Arc<Relayed>) {
        self.0.forget(&self.1, relayed);
    }
}

/// Serves the clients of this socket, for ever.
pub(super) async fn serve(server: &Arc<Server>, front: Arc<Front>) {
    let mut buffers = vec![0; BATCHES * BATCH];
    let mut metas = [RecvMeta::default(); BATCHES];
    loop {
        if let Err(error) = front.socket.readable().await {
            warn!("UDP cannot be received: {error}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let received = {
            let mut chunks = buffers.chunks_mut(BATCH).map(IoSliceMut::new);
            let mut slices: [IoSliceMut<'_>; BATCHES] =
                std::array::from_fn(|_| chunks.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
            let receive = || {
                let socket = UdpSockRef::from(&front.socket);
                front.state.recv(socket, &mut slices, &mut metas)
            };
            front.socket.try_io(Interest::READABLE, receive)
        };
        // Errors are those of earlier packets, such as "port unreachable".
        for (buffer, meta) in buffers.chunks(BATCH).zip(&metas).take(received.unwrap_or(0)) {
            let path = Path {
                client: meta.addr,
                here: meta.dst_ip,
            };
            for packet in buffer[..meta.len.min(BATCH)].chunks(meta.stride.max(1)) {
                on_packet(server, &front, path, packet);
            }
        }
        // A socket that always has more never makes us wait by itself.
        tokio::task::yield_now().await;
    }
}

fn on_packet(server: &Arc<Server>, front: &Arc<Front>, path: Path, packet: &[u8]) {
    let known = front.clients().get(&path).cloned();
    let at = now();
    if let Some(relayed) = known {
        let step = relayed.session().on_packet(&server.rules, at, packet);
        match step {
            Step::Nothing => {}
            Step::Reply(answer) => front.send(&path, &answer),
            Step::Relay(peer, data) => relayed.send(server, peer, &packet[data]),
            Step::Release(answer) => {
                front.send(&path, &answer);
                front.forget(&path, &relayed);
                relayed.end();
            }
            // It has ended, and its task has yet to notice: the client will ask again.
            Step::Open(_) => relayed.end(),
        }
        return;
    }
    let mut session = Session::new(path.client);
    match session.on_packet(&server.rules, at, packet) {
        Step::Reply(answer) => front.send(&path, &answer),
        Step::Open(wanted) => {
            let reached = path.here.unwrap_or(front.local.ip()).to_canonical();
            let client = Box::new(Udp(Arc::clone(front), path));
            let (relayed, answer) = allocate(server, session, *wanted, reached, client);
            if let Some(relayed) = relayed {
                front.clients().insert(path, Arc::clone(&relayed));
                // Its task may have ended before it was there.
                if server.is_over() {
                    front.forget(&path, &relayed);
                }
            }
            front.send(&path, &answer);
        }
        // Nothing else leads to anything without a relayed address.
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{binding, server};
    use super::*;
    use std::future::poll_fn;
    use std::task::Poll;

    #[tokio::test]
    async fn packets_that_wait_leave_other_tasks_their_turn() {
        let front = Front::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(front.local).unwrap();
        client.set_nonblocking(true).unwrap();
        const ALL: usize = 100;
        for _ in 0..ALL {
            client.send(&binding()).unwrap();
        }
        let server = server(|_| {});
        let mut serving = std::pin::pin!(serve(&server, front));
        let mut answered = 0;
        while answered == 0 {
            let polled = poll_fn(|context| Poll::Ready(serving.as_mut().poll(context)));
            assert!(polled.await.is_pending());
            answered = std::iter::from_fn(|| client.recv(&mut [0; 200]).ok()).count();
            tokio::task::yield_now().await;
        }
        assert!(answered < ALL, "all of them in one turn");
    }
}
