//! Relayed addresses: each is a UDP socket to peers, for one client.

use super::clock::now;
use super::message::data_indication;
use super::peers::Peers;
use super::quota::Share;
use super::session::{Delivery, Peer, Session, Wanted};
use super::{Server, over};
use crate::config::TurnConfig;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::net::UdpSocket;
use tokio::sync::Notify;

/// Ports that are tried until one is free.
const TRIES: usize = 64;
/// Bytes of a datagram.
const DATAGRAM: usize = 65_536;
/// Bytes of ChannelData's header.
const CHANNEL_HEADER: usize = 4;
/// Datagrams that are passed on before other tasks have their turn.
const BATCH: usize = 32;

thread_local! {
    /// A datagram on its way, behind room for a header: an idle relayed address needs no memory for it.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; CHANNEL_HEADER + DATAGRAM]);
}

/// All relayed addresses of a server.
pub(super) struct Relays {
    public: Vec<IpAddr>,
    ports: RangeInclusive<u16>,
    live: RwLock<HashMap<SocketAddr, Arc<Relayed>>>,
}

/// One of them.
pub(super) struct Relayed {
    session: Mutex<Session>,
    socket: UdpSocket,
    /// As peers know it.
    address: SocketAddr,
    client: Box<dyn Client>,
    ended: Notify,
    /// Counts until the socket, which is dropped before, is closed.
    _share: Arc<Share>,
}

/// The way to its client.
pub(super) trait Client: Send + Sync {
    /// Sends a message or ChannelData; what there is no room for is lost, as on any path.
    fn send(&self, frame: &[u8]);

    /// The relayed address has ended.
    fn forget(&self, relayed: &Arc<Relayed>);
}

impl Relays {
    pub(super) fn new(config: &TurnConfig) -> Self {
        Self {
            public: config.addresses.clone(),
            ports: config.port_range().unwrap_or(49152..=65535),
            live: RwLock::default(),
        }
    }

    /// A free socket for a client that has reached us at this address, and as what peers know it. An error says whether
    /// it is for the family.
    fn bind(&self, wanted: &Wanted, reached: IpAddr) -> Result<(UdpSocket, SocketAddr), bool> {
        let families = match wanted.v6 {
            Some(v6) => vec![v6],
            None => vec![false, true], // IPv4 where there is any (RFC 8656 §7.2)
        };
        let place = families.into_iter().find_map(|v6| self.place(v6, reached));
        let (bind, public) = place.ok_or(true)?;
        let ports = (*self.ports.start(), *self.ports.end());
        for _ in 0..TRIES {
            let port = fastrand::u16(ports.0..=ports.1);
            let address = SocketAddr::new(public, port);
            let taken = read(&self.live).contains_key(&address);
            if let Some(socket) = Some((bind, port)).filter(|_| !taken).and_then(open) {
                return Ok((socket, address));
            }
        }
        tracing::warn!("no port is free for a relayed address, of {} to {}", ports.0, ports.1);
        Err(false)
    }

    /// Where a relayed address of that family is bound, and what peers are told.
    fn place(&self, v6: bool, reached: IpAddr) -> Option<(IpAddr, IpAddr)> {
        if let Some(public) = self.public.iter().find(|ip| ip.is_ipv6() == v6) {
            let any = match v6 {
                true => Ipv6Addr::UNSPECIFIED.into(),
                false => Ipv4Addr::UNSPECIFIED.into(),
            };
            return Some((any, *public));
        }
        let own = Some(reached).filter(|reached| reached.is_ipv6() == v6 && !reached.is_unspecified());
        let own = own.or_else(|| Peers::own_address(v6))?;
        Some((own, own))
    }
}

fn open(address: (IpAddr, u16)) -> Option<UdpSocket> {
    let socket = std::net::UdpSocket::bind(address).ok()?;
    socket.set_nonblocking(true).ok()?;
    UdpSocket::from_std(socket).ok()
}

/// Gives a client its relayed address, or tells it that there is none. Returns what it is to be told.
pub(super) fn allocate(
    server: &Arc<Server>,
    mut session: Session,
    wanted: Wanted,
    reached: IpAddr,
    client: Box<dyn Client>,
) -> (Option<Arc<Relayed>>, Vec<u8>) {
    let (socket, address) = match server.relays.bind(&wanted, reached) {
        Ok(bound) => bound,
        Err(family) => return (None, Session::deny(&server.rules, &wanted, family)),
    };
    let share = Arc::clone(&wanted.share);
    let answer = session.grant(&server.rules, now(), wanted, address);
    tracing::debug!(%address, "relayed address");
    let relayed = Arc::new(Relayed {
        session: Mutex::new(session),
        socket,
        address,
        client,
        ended: Notify::new(),
        _share: share,
    });
    write(&server.relays.live).insert(address, Arc::clone(&relayed));
    let (task, listening) = (server.task(), listen(Arc::clone(server), Arc::clone(&relayed)));
    tokio::spawn(async move {
        let _task = task; // ends after what it does
        listening.await;
    });
    (Some(relayed), answer)
}

/// Passes on what peers send, until the allocation ends.
async fn listen(server: Arc<Server>, relayed: Arc<Relayed>) {
    let mut task = server.task();
    loop {
        let Some(expires) = relayed.session().expires().filter(|expires| now() < *expires) else {
            break;
        };
        tokio::select! {
            readable = relayed.socket.readable() => match readable {
                Ok(()) => {
                    relayed.receive();
                    // A socket that always has more never makes us wait by itself.
                    tokio::task::yield_now().await;
                }
                Err(error) => {
                    tracing::debug!(address = %relayed.address, "a relayed address failed: {error}");
                    break;
                }
            },
            () = relayed.ended.notified() => break,
            () = over(&mut task) => break,
            () = tokio::time::sleep_until(expires.into()) => {}
        }
    }
    tracing::debug!(address = %relayed.address, "relayed address is free");
    write(&server.relays.live).remove(&relayed.address);
    relayed.client.forget(&relayed);
}

impl Relayed {
    pub(super) fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its client is gone, or has given it back.
    pub(super) fn end(&self) {
        self.ended.notify_one();
    }

    /// Sends what its client has for a peer.
    pub(super) fn send(&self, server: &Server, peer: Peer, data: &[u8]) {
        if !peer.own {
            // No room, or no way there: lost.
            let _ = self.socket.try_send_to(data, peer.address);
            return;
        }
        let target = read(&server.relays.live).get(&peer.address).cloned();
        if let Some(target) = target {
            SCRATCH.with_borrow_mut(|scratch| {
                if let Some(room) = scratch.get_mut(CHANNEL_HEADER..CHANNEL_HEADER + data.len()) {
                    room.copy_from_slice(data);
                    target.hand_over(self.address, scratch, data.len());
                }
            });
        }
    }

    fn receive(&self) {
        SCRATCH.with_borrow_mut(|scratch| {
            for _ in 0..BATCH {
                // Errors are those of earlier packets, such as "port unreachable".
                match self.socket.try_recv_from(&mut scratch[CHANNEL_HEADER..]) {
                    Ok((bytes, peer)) => self.hand_over(peer, scratch, bytes),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                    Err(_) => {}
                }
            }
        });
    }

    /// Sends the client what this peer has sent, which is in `scratch` behind the header's room.
    fn hand_over(&self, peer: SocketAddr, scratch: &mut [u8], bytes: usize) {
        let delivery = self.session().on_peer(now(), peer, bytes);
        let end = CHANNEL_HEADER + bytes;
        let indication;
        let frame = match delivery {
            Delivery::None => return,
            Delivery::Channel(number) => {
                let [n1, n2] = number.to_be_bytes();
                let [l1, l2] = u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes();
                scratch[..CHANNEL_HEADER].copy_from_slice(&[n1, n2, l1, l2]);
                &scratch[..end]
            }
            Delivery::Indication => {
                let Some(fitting) = data_indication(peer, &scratch[CHANNEL_HEADER..end]) else {
                    return;
                };
                indication = fitting;
                &indication
            }
        };
        self.client.send(frame);
    }
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{open, server};
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Counts what it is sent.
    #[derive(Clone, Default)]
    struct Counter(Arc<AtomicUsize>);

    impl Client for Counter {
        fn send(&self, _: &[u8]) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn forget(&self, _: &Arc<Relayed>) {}
    }

    #[tokio::test]
    async fn packets_that_wait_leave_other_tasks_their_turn() {
        let server = server(|config| config.allow = vec!["127.0.0.0/8".parse().unwrap()]);
        let (peer, came) = (std::net::UdpSocket::bind("127.0.0.1:0").unwrap(), Counter::default());
        let relayed = open(&server, &[peer.local_addr().unwrap()], Box::new(came.clone()));
        const ALL: usize = 100;
        for _ in 0..ALL {
            peer.send_to(b"hello", relayed.address).unwrap();
        }
        while came.0.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        assert!(came.0.load(Ordering::Relaxed) < ALL, "all of them in one turn");
    }
}
