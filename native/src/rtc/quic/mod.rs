//! QUIC on the path that ICE has chosen: when it is tried, and what becomes of that.
//!
//! The answerer begins it as soon as ICE is connected, and decides alone: if it is not up in time, the answerer gives it
//! up for good and begins DTLS, by which the offerer knows. Until then the engine's DTLS is held back, so that it takes
//! nothing from the set-up.

mod task;

use super::channel::{Credit, Reports, Write};
use super::mux::{Mux, Path};
use crate::quic::{Carrier, Credentials};
use crosspeer::Fingerprint;
use crosspeer::platform::Receiver;
use rtc::peer_connection::transport::{RTCIceCandidate, RTCIceCandidatePair, RTCIceCandidateType as Kind};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use task::Task;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// How long the answerer waits for it: at least this, and so many round trips. It takes two, and some milliseconds.
const WAIT: Duration = Duration::from_millis(500);
const WAIT_ROUND_TRIPS: u32 = 4;
/// The longest that its end is waited for; it takes microseconds.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Where frames go, once QUIC is up.
pub(super) type Entry = Arc<OnceLock<UnboundedSender<Write>>>;

/// One connection's QUIC, as its actor has it.
pub(super) struct Quic {
    credentials: Option<Credentials>,
    mux: Option<Arc<Mux>>,
    entry: Entry,
    /// Whose certificate it must be, and whether this side begins.
    wanted: Option<(Fingerprint, bool)>,
    task: Option<(UnboundedSender<Write>, JoinHandle<()>)>,
    up: bool,
}

impl Quic {
    /// Without credentials there is none.
    pub(super) fn new(credentials: Option<Credentials>, entry: Entry) -> Self {
        let mux = credentials.as_ref().map(|_| Arc::default());
        Self {
            credentials,
            mux,
            entry,
            wanted: None,
            task: None,
            up: false,
        }
    }

    /// What the engine's sockets are to go through.
    pub(super) fn mux(&self) -> Option<Arc<Mux>> {
        self.mux.clone()
    }

    /// The peer has described itself; the answerer begins.
    pub(super) fn prepare(&mut self, peer: Receiver, description: &str, begins: bool) {
        let fingerprint = Fingerprint::of_description(description);
        if let (true, Some(mux), Some(fingerprint)) = (peer.quic, &self.mux, fingerprint) {
            mux.hold();
            self.wanted = Some((fingerprint, begins));
        }
    }

    /// Whether it is to be tried.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.is_some()
    }

    /// Whether it carries the frames.
    pub(super) fn carries(&self) -> bool {
        self.up
    }

    /// ICE has chosen a path.
    pub(super) fn begin(
        &mut self,
        pair: Option<RTCIceCandidatePair>,
        round_trip: Option<Duration>,
        credit: Arc<Credit>,
        reports: Reports,
    ) {
        let Some((peer, begins)) = self.wanted.take() else {
            return;
        };
        let begun = pair
            .and_then(|pair| self.path(&pair))
            .and_then(|path| Some((self.carrier(peer, begins, round_trip.unwrap_or_default())?, path)));
        let Some((carrier, path)) = begun else {
            return self.give_up();
        };
        let wait = WAIT.max(round_trip.unwrap_or_default() * WAIT_ROUND_TRIPS);
        let until = begins.then(|| (Instant::now() + wait).into_std());
        #[allow(clippy::disallowed_methods)] // as for the writer: the link bounds writes by `Written`
        let (commands, queue) = unbounded_channel();
        let entry = (Arc::clone(&self.entry), commands.clone());
        let task = Task::new((carrier, path, until), queue, entry, credit, reports);
        self.task = Some((commands, tokio::spawn(task.run())));
    }

    /// The socket and the address of a pair. None through a TURN server.
    fn path(&self, pair: &RTCIceCandidatePair) -> Option<Path> {
        let (local, remote) = (pair.local(), pair.remote());
        if local.typ == Kind::Relay || remote.typ == Kind::Relay {
            return None;
        }
        self.mux
            .as_ref()?
            .attach(base(local)?, address(&remote.address, remote.port)?)
    }

    fn carrier(&self, peer: Fingerprint, begins: bool, round_trip: Duration) -> Option<Carrier> {
        let own = self.credentials.as_ref()?;
        let carrier = match begins {
            true => Carrier::client(Instant::now().into_std(), own, peer, round_trip),
            false => Carrier::server(own, peer, round_trip),
        };
        carrier
            .inspect_err(|error| tracing::warn!(%error, "no QUIC is possible"))
            .ok()
    }

    /// It carries the frames from now on. DTLS goes its way after all: an engine that waits for it in vain ends after eight
    /// seconds (docs/upstream/dtls-in-vain.md).
    pub(super) fn is_up(&mut self) {
        self.up = true;
        if let Some(mux) = &self.mux {
            mux.release();
        }
    }

    /// Data channels are used.
    pub(super) fn give_up(&mut self) {
        self.wanted = None;
        if let Some((commands, _)) = self.task.take() {
            let _ = commands.send(Write::Close);
        }
        if let Some(mux) = &self.mux {
            mux.end();
        }
    }

    /// Tells the peer of the end.
    pub(super) async fn close(&mut self) {
        if let Some((commands, mut task)) = self.task.take() {
            let _ = commands.send(Write::Close);
            if timeout(LAST_WORDS, &mut task).await.is_err() {
                task.abort();
            }
        }
    }
}

/// The socket that a candidate was found with.
fn base(candidate: &RTCIceCandidate) -> Option<SocketAddr> {
    match candidate.typ {
        Kind::Srflx | Kind::Prflx if !candidate.related_address.is_empty() => {
            address(&candidate.related_address, candidate.related_port)
        }
        _ => address(&candidate.address, candidate.port),
    }
}

fn address(ip: &str, port: u16) -> Option<SocketAddr> {
    Some(SocketAddr::new(ip.parse().ok()?, port))
}
