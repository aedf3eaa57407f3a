//! TURN over TCP and TLS, for an engine whose client knows UDP only (docs/upstream/turn-udp-only.md).
//!
//! A TURN client says the same over all three, message for message. So the engine is given, for each such server, a name
//! that stands for an address that no packet ever goes to; what its client sends there goes through a TCP connection
//! instead, and what comes back is handed over as if it came from there.

mod allocation;
mod stream;
#[cfg(test)]
mod tests;

use crate::target::Target;
use allocation::Allocation;
use crosspeer::{Config, IceServer};
use rtc::ice::url::{ProtoType, SchemeType, Url};
use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel, Ordering::Acquire};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use stream::Frame;
use tokio::sync::mpsc;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

/// Servers of one connection; further ones are left out.
const MAX_SERVERS: usize = 8;
/// Frames that wait to be written, as many as a UDP socket's buffer holds; more are lost, as there.
const OUTGOING: usize = 4096;
/// Frames that wait for the engine; while there are as many nothing more is read.
const INCOMING: usize = 512;
/// Transactions that are remembered: what TCP has taken needs no repetition.
const TRANSACTIONS: usize = 32;
/// The port of the addresses that stand for servers.
const PORT: u16 = 9;
const SUFFIX: &str = ".turn.invalid";

/// A TURN server that is reached by TCP or TLS.
#[derive(Debug)]
pub(super) struct Server {
    /// Its URL, for people.
    pub(super) url: String,
    target: Target,
}

/// All of one connection, and how they do.
#[derive(Debug)]
pub(super) struct Tunnels {
    config: Config,
    servers: Vec<Server>,
    /// The address of the one socket that they are used for: each further one would take connections of its own.
    carrier: Option<IpAddr>,
    /// Servers that have yet to answer, or to fail.
    pending: AtomicUsize,
    failures: Mutex<Vec<(String, String)>>,
    /// TURN servers that the engine reaches by itself.
    others: Mutex<Vec<Other>>,
}

/// One of them.
#[derive(Debug)]
struct Other {
    url: String,
    /// Host and port, as the engine asks for them.
    name: String,
    addresses: Vec<SocketAddr>,
    allocation: Allocation,
}

impl Tunnels {
    /// Those of the configuration, for a connection with these sockets, the most useful first.
    pub(super) fn new(config: &Config, sockets: &[SocketAddr]) -> Arc<Self> {
        let urls = config.ice_servers.iter().flat_map(|server| &server.urls);
        let servers: Vec<_> = urls.filter_map(|url| server(url)).take(MAX_SERVERS).collect();
        Arc::new(Self {
            config: config.clone(),
            servers,
            carrier: sockets.first().map(SocketAddr::ip),
            pending: AtomicUsize::new(0),
            failures: Mutex::default(),
            others: Mutex::new(
                config
                    .ice_servers
                    .iter()
                    .flat_map(|server| &server.urls)
                    .filter_map(|url| other(url))
                    .collect(),
            ),
        })
    }

    /// What the look-up of a server's name has led to.
    pub(super) fn found(&self, name: &str, found: &io::Result<Vec<SocketAddr>>) {
        let mut others = lock(&self.others);
        for other in others.iter_mut().filter(|other| other.name == name) {
            match found {
                Ok(addresses) => other.addresses.clone_from(addresses),
                Err(error) => other.allocation = Allocation::Refused(format!("its name was not resolved: {error}")),
            }
        }
    }

    /// A datagram has come by UDP.
    fn see(&self, from: SocketAddr, datagram: &[u8]) {
        if !Allocation::is_about(datagram) {
            return;
        }
        let mut others = lock(&self.others);
        for other in others.iter_mut().filter(|other| other.addresses.contains(&from)) {
            other.allocation.see(datagram);
        }
    }

    /// The URL by which the engine is to know this one, if it is one of these.
    pub(super) fn stand_in(&self, url: &str) -> Option<String> {
        let number = self.servers.iter().position(|server| server.url == url)?;
        Some(format!("turn:{number}{SUFFIX}:{PORT}?transport=udp"))
    }

    /// The address that stands for a server's name, if it is one of these; in the socket's family.
    pub(super) fn resolve(&self, host: &str) -> Option<SocketAddr> {
        let (number, _) = host.split_once(SUFFIX)?;
        let number = number
            .parse()
            .ok()
            .filter(|number: &usize| *number < self.servers.len())?;
        Some(address(number, self.carrier?.is_ipv6()))
    }

    /// Whether a server has neither answered nor failed.
    pub(super) fn are_pending(&self) -> bool {
        self.pending.load(Acquire) > 0
    }

    /// The servers that could not be used so far, and why.
    pub(super) fn failures(&self) -> Vec<(String, String)> {
        let mut all = lock(&self.failures).clone();
        for Other { url, allocation, .. } in lock(&self.others).iter() {
            let reason = match allocation {
                Allocation::Granted => continue,
                Allocation::Refused(reason) => reason.clone(),
                _ => "no answer: it is not reached by UDP".into(),
            };
            all.push((url.clone(), reason));
        }
        all
    }

    fn fail(&self, url: &str, reason: String) {
        tracing::warn!(url, reason, "a TURN server cannot be used");
        lock(&self.failures).push((url.to_owned(), reason));
    }

    /// The socket, through which the servers are reached too.
    pub(super) fn share(self: &Arc<Self>, socket: Arc<dyn AsyncUdpSocket>) -> Arc<dyn AsyncUdpSocket> {
        if self.servers.is_empty() && lock(&self.others).is_empty() {
            return socket;
        }
        let carries = socket.local_addr().is_ok_and(|local| Some(local.ip()) == self.carrier);
        let (incoming, arrived) = mpsc::channel(INCOMING);
        Arc::new(TunnelSocket {
            socket,
            tunnels: Arc::clone(self),
            carries,
            incoming,
            arrived: Mutex::new(arrived),
            open: Mutex::new(Vec::new()),
        })
    }
}

/// The server of this URL, if it is one that is reached by TCP or TLS.
fn server(url: &str) -> Option<Server> {
    let parsed = Url::parse_url(&url.to_ascii_lowercase()).ok()?;
    let scheme = match (parsed.scheme, parsed.proto) {
        (SchemeType::Turn, ProtoType::Tcp) => "ws",
        (SchemeType::Turns, ProtoType::Tcp) => "wss",
        _ => return None,
    };
    let host = match parsed.host.contains(':') {
        true => format!("[{}]", parsed.host),
        false => parsed.host,
    };
    let target = Target::parse(&format!("{scheme}://{host}:{}", parsed.port)).ok()?;
    let url = url.to_owned();
    Some(Server { url, target })
}

/// The server of this URL, if it is a TURN server that is reached by UDP.
fn other(url: &str) -> Option<Other> {
    let parsed = Url::parse_url(&url.to_ascii_lowercase()).ok()?;
    let udp = parsed.scheme == SchemeType::Turn && parsed.proto == ProtoType::Udp;
    udp.then(|| Other {
        url: url.to_owned(),
        name: format!("{}:{}", parsed.host, parsed.port),
        addresses: Vec::new(),
        allocation: Allocation::Asked,
    })
}

/// Of ranges that are reserved: IPv4's class E, and IPv6's discard prefix (RFC 6666).
fn address(number: usize, v6: bool) -> SocketAddr {
    let number = u16::try_from(number).unwrap_or_default();
    let ip: IpAddr = match v6 {
        true => Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, number + 1).into(),
        false => Ipv4Addr::new(240, 0, 0, number.to_be_bytes()[1] + 1).into(),
    };
    SocketAddr::new(ip, PORT)
}

/// The number of the server that this address stands for.
fn number(address: SocketAddr) -> Option<usize> {
    let last = match address.ip() {
        IpAddr::V4(v4) => match v4.octets() {
            [240, 0, 0, last] => u16::from(last),
            _ => return None,
        },
        IpAddr::V6(v6) => match v6.segments() {
            [0x100, 0, 0, 0, 0, 0, 0, last] => last,
            _ => return None,
        },
    };
    (address.port() == PORT)
        .then(|| usize::from(last).checked_sub(1))
        .flatten()
}

/// A server's connection, once the engine has sent something there.
#[derive(Debug)]
struct Open {
    number: usize,
    frames: mpsc::Sender<Frame>,
    said: VecDeque<[u8; 12]>,
}

/// A UDP socket through which servers are reached that are not.
#[derive(Debug)]
struct TunnelSocket {
    socket: Arc<dyn AsyncUdpSocket>,
    tunnels: Arc<Tunnels>,
    carries: bool,
    incoming: mpsc::Sender<(usize, Frame)>,
    arrived: Mutex<mpsc::Receiver<(usize, Frame)>>,
    open: Mutex<Vec<Open>>,
}

impl TunnelSocket {
    fn send(&self, number: usize, contents: &[u8]) -> io::Result<()> {
        let mut open = lock(&self.open);
        let at = match open.iter().position(|open| open.number == number) {
            Some(at) => at,
            None => {
                open.push(self.connect(number)?);
                open.len() - 1
            }
        };
        let to = &mut open[at];
        if let Some(transaction) = transaction(contents) {
            if to.said.contains(&transaction) {
                return Ok(());
            }
            to.said.truncate(TRANSACTIONS - 1);
            to.said.push_front(transaction);
        }
        match to.frames.try_send(contents.to_vec()) {
            Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn connect(&self, number: usize) -> io::Result<Open> {
        if !self.carries || number >= self.tunnels.servers.len() {
            return Err(io::ErrorKind::NetworkUnreachable.into());
        }
        let (frames, outgoing) = mpsc::channel(OUTGOING);
        self.tunnels.pending.fetch_add(1, AcqRel);
        let tunnels = Arc::clone(&self.tunnels);
        tokio::spawn(stream::run(tunnels, number, outgoing, self.incoming.clone()));
        let said = VecDeque::new();
        Ok(Open { number, frames, said })
    }

    /// Hands over what has come through the servers' connections; 0 for nothing.
    fn poll_arrived(&self, cx: &mut Context<'_>, bufs: &mut [IoSliceMut<'_>], metas: &mut [RecvMeta]) -> usize {
        let mut arrived = lock(&self.arrived);
        let mut count = 0;
        for (buf, meta) in bufs.iter_mut().zip(metas) {
            let Poll::Ready(Some((number, frame))) = arrived.poll_recv(cx) else {
                break;
            };
            let len = frame.len().min(buf.len());
            buf[..len].copy_from_slice(&frame[..len]);
            *meta = RecvMeta::default();
            meta.addr = address(number, self.tunnels.carrier.is_some_and(|ip| ip.is_ipv6()));
            (meta.len, meta.stride) = (len, len.max(1));
            count += 1;
        }
        count
    }
}

impl AsyncUdpSocket for TunnelSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let Some(number) = number(transmit.destination) else {
            return self.socket.poll_send(cx, transmit);
        };
        let size = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        let mut all = transmit.contents.chunks(size);
        let sent = all.try_for_each(|contents| self.send(number, contents));
        Poll::Ready(sent.map(|()| transmit.contents.len()))
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let count = self.poll_arrived(cx, bufs, metas);
        if count > 0 {
            return Poll::Ready(Ok(count));
        }
        let received = ready!(self.socket.poll_recv(cx, bufs, metas));
        for (buf, meta) in bufs.iter().zip(metas).take(*received.as_ref().unwrap_or(&0)) {
            self.tunnels.see(meta.addr, &buf[..meta.len.min(buf.len())]);
        }
        Poll::Ready(received)
    }

    fn max_gso_segments(&self) -> usize {
        self.socket.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.socket.max_gro_segments()
    }
}

/// The id of a request's transaction.
fn transaction(message: &[u8]) -> Option<[u8; 12]> {
    let [t1, t2, ..] = message else { return None };
    let is_request = *t1 < 4 && *t1 & 1 == 0 && *t2 & 0x10 == 0;
    message.get(8..20)?.try_into().ok().filter(|_| is_request)
}

/// A connection to the TURN server of this URL, which is one by TCP or TLS.
pub(crate) async fn dial(url: &str, config: &Config) -> Result<crate::proxy::BoxStream, String> {
    match server(url) {
        Some(Server { target, .. }) => stream::open(config, &target).await,
        None => Err("that is not a TURN server's URL for TCP or TLS".into()),
    }
}

/// Whether the configuration has a server for which this is needed.
pub(super) fn is_server(url: &str) -> bool {
    server(url).is_some()
}

/// A server as the engine is to know it.
pub(super) fn known(tunnels: &Tunnels, of: &IceServer) -> Vec<String> {
    of.urls.iter().filter_map(|url| tunnels.stand_in(url)).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
