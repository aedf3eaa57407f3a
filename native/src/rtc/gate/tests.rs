use super::*;
use futures_util::task::noop_waker;

/// A socket that has received these, and what it was given to send.
#[derive(Debug, Default)]
struct Fake(Mutex<Datagrams>, Mutex<Vec<Vec<u8>>>);

impl AsyncUdpSocket for Fake {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(([127, 0, 0, 1], 1).into())
    }

    /// As a network card that takes no batches, on a path that takes nothing with a 255 in it.
    fn poll_send(&self, _: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        if transmit.segment_size.is_some() || transmit.contents.contains(&255) {
            return Poll::Ready(Err(io::Error::from(io::ErrorKind::InvalidInput)));
        }
        lock(&self.1).push(transmit.contents.to_vec());
        Poll::Ready(Ok(transmit.contents.len()))
    }

    fn max_gso_segments(&self) -> usize {
        64
    }

    fn poll_recv(
        &self,
        _: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let Some((datagram, its_meta)) = lock(&self.0).pop_front() else {
            return Poll::Pending;
        };
        bufs[0][..datagram.len()].copy_from_slice(&datagram);
        meta[0] = its_meta;
        Poll::Ready(Ok(1))
    }
}

struct Setup {
    fake: Arc<Fake>,
    gate: Arc<Gate>,
    socket: GatedSocket,
}

impl Setup {
    fn new() -> Self {
        let fake = Arc::new(Fake::default());
        let gate = Arc::new(Gate::default());
        let inner: Arc<dyn AsyncUdpSocket> = Arc::clone(&fake) as _;
        let socket = GatedSocket::new(inner, Arc::clone(&gate), Pace::new(), 64);
        Self { fake, gate, socket }
    }

    fn comes(&self, datagram: &[u8], stride: usize) {
        let mut meta = RecvMeta::default();
        (meta.len, meta.stride) = (datagram.len(), stride);
        lock(&self.fake.0).push_back((datagram.to_vec(), meta));
    }

    /// What the engine gets now, datagram by datagram.
    fn passes(&self) -> Vec<Vec<u8>> {
        let (mut passed, mut buf, mut meta) = (Vec::new(), [0; 4096], [RecvMeta::default()]);
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        while let Poll::Ready(received) = {
            let mut bufs = [IoSliceMut::new(&mut buf)];
            self.socket.poll_recv(&mut cx, &mut bufs, &mut meta)
        } {
            assert_eq!(received.unwrap(), 1);
            passed.extend(buf[..meta[0].len].chunks(meta[0].stride).map(<[u8]>::to_vec));
        }
        passed
    }
}

fn check(kind: u8) -> Vec<u8> {
    let mut stun = vec![0, kind, 0, 0, 0x21, 0x12, 0xA4, 0x42];
    stun.resize(100, kind);
    stun
}

fn record(bytes: usize, fill: u8) -> Vec<u8> {
    let mut record = vec![fill; bytes];
    record[0] = 23;
    record
}

#[tokio::test]
async fn checks_wait_for_the_remote_description_and_answers_do_not() {
    let it = Setup::new();
    let response = [&[1, 1][..], &check(1)[2..]].concat();
    it.comes(&check(1), 100);
    it.comes(&response, 100);
    assert_eq!(it.passes(), [response]);
    it.gate.open();
    it.comes(&check(1), 100);
    assert_eq!(it.passes(), [check(1), check(1)]);
}

#[tokio::test]
async fn no_more_checks_are_held_than_the_limit() {
    let it = Setup::new();
    for _ in 0..2 * MAX_HELD {
        it.comes(&check(1), 100);
    }
    // Those beyond it pass, and the engine drops them.
    assert_eq!(it.passes().len(), MAX_HELD);
    it.gate.open();
    assert_eq!(it.passes().len(), MAX_HELD);
}

#[tokio::test]
async fn the_latest_data_waits_until_the_stalled_readers_have_caught_up() {
    let it = Setup::new();
    it.gate.open();
    it.gate.stall();
    it.gate.stall();
    it.comes(&record(200, 1), 200);
    assert!(it.passes().is_empty());
    // An acknowledgement passes; the next data lets the one before it pass.
    it.comes(&record(65, 2), 65);
    it.comes(&record(200, 3), 200);
    assert_eq!(it.passes(), [record(65, 2), record(200, 1)]);
    it.gate.unstall();
    assert!(it.passes().is_empty());
    it.gate.unstall();
    assert_eq!(it.passes(), [record(200, 3)]);
    it.comes(&record(200, 4), 200);
    assert_eq!(it.passes(), [record(200, 4)]);
}

#[tokio::test]
async fn of_several_datagrams_received_at_once_only_the_last_waits() {
    let it = Setup::new();
    it.gate.open();
    it.gate.stall();
    let burst = [record(300, 1), record(300, 2), record(150, 3)].concat();
    it.comes(&burst, 300);
    assert_eq!(it.passes(), [record(300, 1), record(300, 2)]);
    it.gate.unstall();
    assert_eq!(it.passes(), [record(150, 3)]);
}

#[tokio::test]
async fn a_prompt_is_one_datagram_that_is_neither_data_nor_a_check() {
    let it = Setup::new();
    it.gate.open();
    it.gate.prompt();
    assert_eq!(it.passes(), [IGNORED]);
    assert!(it.passes().is_empty());
}

#[test]
fn an_empty_datagram_does_no_harm() {
    assert!(!is_binding_request(&[]));
    assert!(!may_hold_data(&[]));
}

#[test]
fn a_batch_stays_below_what_udp_carries_over_ipv6() {
    let setup = Setup::new();
    assert!(setup.socket.max_gso_segments() * 1280 <= 65_487);
}

#[test]
fn what_is_refused_as_a_batch_is_sent_one_by_one_and_a_refused_one_takes_no_other_with_it() {
    let setup = Setup::new();
    let mut contents: Vec<u8> = (0..25).collect();
    contents[12] = 255;
    let send = |contents: &[u8]| {
        let batch = Transmit {
            destination: ([127, 0, 0, 1], 9).into(),
            ecn: None,
            contents,
            segment_size: Some(10),
            src_ip: None,
        };
        setup.socket.poll_send(&mut Context::from_waker(&noop_waker()), &batch)
    };
    let sent = send(&contents);
    assert!(matches!(sent, Poll::Ready(Ok(25))), "{sent:?}");
    assert_eq!(*lock(&setup.fake.1), [&contents[..10], &contents[20..]]);
    let sent = send(&[255; 30]);
    assert!(matches!(sent, Poll::Ready(Err(_))), "{sent:?}");
    assert_eq!(
        setup.socket.max_gso_segments(),
        MAX_BATCH,
        "the next may be a batch again"
    );
}

#[tokio::test]
async fn whatever_comes_through_a_socket_is_counted_the_last_of_a_batch_too() {
    let it = Setup::new();
    it.gate.open();
    it.comes(&[record(300, 1), record(200, 23)].concat(), 300);
    it.comes(&check(1), 100);
    let [first, last] = [300, 200].map(|bytes| weight::of_datagram(&record(bytes, 1)));
    it.passes();
    assert_eq!(it.gate.excess.load(Acquire), first + last);
}
