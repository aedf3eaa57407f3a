//! Carriers over a network that is none: seeded, with a clock of its own, so that a minute of it takes a moment and goes
//! the same way each time.

use super::carrier::Control;
use super::model::ModelConfig;
use super::{Carrier, Credentials, News};
use bytes::{Bytes, BytesMut};
use crosspeer::Fingerprint;
use quinn_proto::EcnCodepoint;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::{Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of every other ECDSA signature; the rest have one more or fewer, by chance.
const SIGNATURE: usize = 71;
/// Bytes of a certificate that has such a signature.
const CERTIFICATE: usize = 355;

/// A certificate as peers have it. All are equally long, as are their owner's signatures: a byte more on its way is a
/// little more time, and in the end another world.
pub(super) fn certificate() -> (Credentials, Fingerprint) {
    let attempt = || {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let params = rcgen::CertificateParams::new(vec!["crosspeer".to_owned()]).unwrap();
        (params.self_signed(&key).unwrap(), key.serialize_der())
    };
    let mut attempts = (0..1000).map(|_| attempt());
    let (certificate, key) = attempts
        .find(|(certificate, _)| certificate.der().len() == CERTIFICATE)
        .unwrap_or_else(|| panic!("certificates have about {} bytes", attempt().0.der().len()));
    let fingerprint = super::identity::sha256(certificate.der()).unwrap();
    let key = PrivateKeyDer::Pkcs8(key.into());
    let key = Steady(rustls::crypto::ring::sign::any_ecdsa_type(&key).unwrap());
    (Credentials::of(certificate.into(), Arc::new(key)), fingerprint)
}

/// A key, or what signs with it, whose signatures are equally long.
#[derive(Debug)]
struct Steady<T>(T);

impl SigningKey for Steady<Arc<dyn SigningKey>> {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        Some(Box::new(Steady(self.0.choose_scheme(offered)?)))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl Signer for Steady<Box<dyn Signer>> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        loop {
            let signature = self.0.sign(message)?;
            if signature.len() == SIGNATURE {
                return Ok(signature);
            }
        }
    }

    fn scheme(&self) -> SignatureScheme {
        self.0.scheme()
    }
}

/// A way from some peers to others. All that go this way share its rate and its queue.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) delay: Duration,
    /// Bytes a second; 0 for any.
    pub(super) rate: f64,
    /// Bytes that wait for their turn; what comes beyond is dropped.
    pub(super) queue: usize,
    /// Of all datagrams.
    pub(super) loss: f64,
    /// Datagrams that are lost one after another.
    pub(super) burst: u32,
    /// How much later some datagrams arrive, which so are overtaken.
    pub(super) jitter: Duration,
    losing: u32,
    free_at: Option<Instant>,
    pub(super) passed: u64,
    pub(super) dropped: u64,
    pub(super) lost: u64,
    /// Bytes that each datagram found waiting.
    pub(super) waited: f64,
}

impl Way {
    pub(super) fn new(delay: u64) -> Self {
        Self {
            delay: Duration::from_millis(delay),
            rate: 0.0,
            queue: usize::MAX,
            loss: 0.0,
            burst: 1,
            jitter: Duration::ZERO,
            losing: 0,
            free_at: None,
            passed: 0,
            dropped: 0,
            lost: 0,
            waited: 0.0,
        }
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// When a datagram that leaves now arrives.
    fn pass(&mut self, now: Instant, bytes: usize, random: &mut fastrand::Rng) -> Option<Instant> {
        let bytes = (bytes + 28) as f64;
        let free = self.free_at.unwrap_or(now).max(now);
        let waiting = free.duration_since(now).as_secs_f64() * self.rate;
        self.passed += 1;
        self.waited += waiting;
        if waiting > self.queue as f64 {
            self.dropped += 1;
            return None;
        }
        let time = if self.rate > 0.0 { bytes / self.rate } else { 0.0 };
        let free = free + Duration::from_secs_f64(time);
        self.free_at = Some(free);
        if self.losing == 0 && random.f64() < self.loss / f64::from(self.burst) {
            self.losing = self.burst;
        }
        if self.losing > 0 {
            self.losing -= 1;
            self.lost += 1;
            return None;
        }
        let late = if random.u8(..8) == 0 {
            self.jitter
        } else {
            Duration::ZERO
        };
        Some(free + self.delay + late)
    }
}

/// One end of a connection, and what its user does.
pub(super) struct End {
    pub(super) carrier: Carrier,
    way: usize,
    peer: usize,
    pub(super) connected: Option<Instant>,
    pub(super) received: Vec<Bytes>,
    /// Bytes that have come, whether or not they are kept.
    pub(super) bytes: u64,
    pub(super) keeps: bool,
    pub(super) reads: bool,
    /// Frames out of our hands, their bytes, and those that were given.
    pub(super) written: usize,
    pub(super) written_bytes: u64,
    given: usize,
    pub(super) flushed: bool,
    /// Sends one frame after another, of so many bytes.
    pub(super) streams: Option<usize>,
}

impl End {
    pub(super) fn give(&mut self, frame: &[u8]) {
        self.given += 1;
        self.carrier.send(BytesMut::from(frame));
    }
}

/// At which end, and what.
type Arrival = (usize, Vec<u8>, Option<EcnCodepoint>);

/// All of it.
pub(super) struct Network {
    pub(super) now: Instant,
    pub(super) random: fastrand::Rng,
    pub(super) ways: Vec<Way>,
    pub(super) ends: Vec<End>,
    arriving: BTreeMap<(Instant, u64), Arrival>,
    count: u64,
}

impl Network {
    pub(super) fn new(seed: u64, ways: Vec<Way>) -> Self {
        Self {
            now: tokio::time::Instant::now().into_std(),
            random: fastrand::Rng::with_seed(seed),
            ways,
            ends: Vec::new(),
            arriving: BTreeMap::new(),
            count: 0,
        }
    }

    /// Two ends, whose datagrams go these ways: the one that begins, and the other.
    pub(super) fn connect(&mut self, ways: [usize; 2]) -> [usize; 2] {
        self.connect_by(ways, None)
    }

    /// The same, with this congestion control of the one that begins.
    pub(super) fn connect_by(&mut self, ways: [usize; 2], control: Option<Control>) -> [usize; 2] {
        let ((a, of_a), (b, of_b)) = (certificate(), certificate());
        let round_trip = self.ways[ways[0]].delay + self.ways[ways[1]].delay;
        let control = control.unwrap_or_else(|| Arc::new(ModelConfig));
        let [for_a, for_b] = [(); 2].map(|()| {
            let mut seed = [0; 32];
            self.random.fill(&mut seed);
            Some(seed)
        });
        let client = Carrier::client_by(self.now, &a, of_b, round_trip, control, for_a).unwrap();
        let server = Carrier::server_by(&b, of_a, round_trip, for_b).unwrap();
        self.pair(client, server, ways)
    }

    pub(super) fn pair(&mut self, client: Carrier, server: Carrier, ways: [usize; 2]) -> [usize; 2] {
        let first = self.ends.len();
        for (at, carrier) in [client, server].into_iter().enumerate() {
            self.ends.push(End {
                carrier,
                way: ways[at],
                peer: first + 1 - at,
                connected: None,
                received: Vec::new(),
                bytes: 0,
                keeps: true,
                reads: true,
                written: 0,
                written_bytes: 0,
                given: 0,
                flushed: false,
                streams: None,
            });
        }
        [first, first + 1]
    }

    /// Lets a time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let until = self.now + time;
        self.run_until(until, |_| false);
    }

    /// Goes on until it is so. Returns whether it came to be, by then.
    pub(super) fn run_until(&mut self, until: Instant, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        loop {
            for at in 0..self.ends.len() {
                self.turn(at);
            }
            if done(self) {
                return true;
            }
            let arrival = self.arriving.keys().next().map(|(at, _)| *at);
            let timers = self.ends.iter_mut().filter_map(|end| end.carrier.timeout());
            let next = timers.chain(arrival).min().unwrap_or(until);
            if next >= until {
                self.now = until;
                return false;
            }
            self.now = self.now.max(next);
            let now = self.now;
            while let Some(entry) = self.arriving.first_entry().filter(|entry| entry.key().0 <= now) {
                let (at, datagram, ecn) = entry.remove();
                self.ends[at].carrier.receive(now, BytesMut::from(&datagram[..]), ecn);
            }
            for end in &mut self.ends {
                if end.carrier.timeout().is_some_and(|at| at <= now) {
                    end.carrier.on_timeout(now);
                }
            }
        }
    }

    /// One end does all there is to be done now.
    fn turn(&mut self, at: usize) {
        let now = self.now;
        let end = &mut self.ends[at];
        loop {
            while let Some(frame) = end.reads.then(|| end.carrier.next_frame()).flatten() {
                end.bytes += frame.len() as u64;
                if end.keeps {
                    end.received.push(frame);
                }
            }
            let mut any = false;
            while let Some(news) = end.carrier.poll(now) {
                any = true;
                match news {
                    News::Connected => end.connected = Some(now),
                    News::Written(bytes) => {
                        end.written += 1;
                        end.written_bytes += bytes as u64;
                    }
                    News::Flushed => end.flushed = true,
                    News::Closed | News::Failed(_) => {}
                }
            }
            if let Some(size) = end.streams.filter(|_| end.connected.is_some()) {
                while end.given < end.written + 8 {
                    end.give(&vec![7; size]);
                    any = true;
                }
            }
            if !any {
                break;
            }
        }
        let (way, peer) = (end.way, end.peer);
        let mut buffer = Vec::new();
        while let Some((size, ecn)) = self.ends[at].carrier.transmit(now, 10, &mut buffer) {
            for datagram in buffer.chunks(size.unwrap_or(buffer.len()).max(1)) {
                if let Some(when) = self.ways[way].pass(now, datagram.len(), &mut self.random) {
                    self.count += 1;
                    self.arriving.insert((when, self.count), (peer, datagram.to_vec(), ecn));
                }
            }
            buffer.clear();
        }
    }
}
