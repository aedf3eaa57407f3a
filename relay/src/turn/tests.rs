//! Whole servers, and clients that speak to them by hand: over UDP, and over TCP at the same port.

use super::clock::unix_time;
use super::credentials::Secret;
use super::message::range;
use super::peers::Peers;
use super::relayed::{Client as Way, Relayed, allocate};
use super::rules::Rules;
use super::session::{Session, Step};
use super::*;
use crate::config::TurnConfig;
use crate::{Relay, RelayConfig};
use rtc_stun::attributes::{
    ATTR_CHANNEL_NUMBER, ATTR_DATA, ATTR_ERROR_CODE, ATTR_LIFETIME, ATTR_MESSAGE_INTEGRITY, ATTR_NONCE, ATTR_REALM,
    ATTR_REQUESTED_TRANSPORT, ATTR_USERNAME, ATTR_XOR_PEER_ADDRESS, ATTR_XOR_RELAYED_ADDRESS, ATTR_XORMAPPED_ADDRESS,
    AttrType,
};
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{
    CLASS_INDICATION, CLASS_REQUEST, CLASS_SUCCESS_RESPONSE, METHOD_ALLOCATE, METHOD_BINDING, METHOD_CHANNEL_BIND,
    METHOD_CREATE_PERMISSION, METHOD_DATA, METHOD_REFRESH, METHOD_SEND, Message, MessageType, Method, Setter,
    TransactionId,
};
use rtc_stun::xoraddr::XorMappedAddress;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

mod ends;

const SECRET: &str = "north";
const HANG: Duration = Duration::from_secs(60);

/// A relay with TURN on this host, until the test ends.
async fn relay(change: impl FnOnce(&mut RelayConfig)) -> SocketAddr {
    let file = std::env::temp_dir().join(format!("crosspeer-turn-{}-{}", std::process::id(), fastrand::u64(..)));
    std::fs::write(&file, SECRET).unwrap();
    let mut config = RelayConfig {
        host: Some("127.0.0.1".into()),
        port: 0,
        ..RelayConfig::default()
    };
    config.turn.serve = true;
    config.turn.secret_file = Some(file.clone());
    change(&mut config);
    let relay = Relay::bind(config).await.unwrap();
    std::fs::remove_file(file).unwrap();
    let address = relay.local_addr();
    tokio::spawn(relay.serve(std::future::pending()));
    address
}

/// A server without listeners.
pub(super) fn server(change: impl FnOnce(&mut TurnConfig)) -> Arc<Server> {
    let mut config = TurnConfig::default();
    change(&mut config);
    let Turn(server) = Turn::new(&config, Secret::new(SECRET.into()).unwrap()).unwrap();
    server
}

pub(super) fn binding() -> Vec<u8> {
    request(METHOD_BINDING, &[], &[]).raw
}

/// A relayed address of a client that is reached by this way, and has permissions for these peers.
pub(super) fn open(server: &Arc<Server>, peers: &[SocketAddr], way: Box<dyn Way>) -> Arc<Relayed> {
    let mut client = Client::of(Wire::Memory(tokio::io::duplex(1).0), "a");
    let mut session = Session::new("192.0.2.1:1000".parse().unwrap());
    let transport: [(AttrType, &[u8]); 1] = [(ATTR_REQUESTED_TRANSPORT, &[17, 0, 0, 0])];
    let now = super::clock::now();
    for _ in 0..2 {
        let mut message = request(METHOD_ALLOCATE, &transport, &[]);
        client.sign(&mut message);
        match session.on_packet(&server.rules, now, &message.raw) {
            Step::Reply(answer) => {
                let answer = super::message::read(&answer).unwrap();
                client.challenge = Some((answer.get(ATTR_REALM).unwrap(), answer.get(ATTR_NONCE).unwrap()));
            }
            Step::Open(wanted) => {
                let here = "127.0.0.1".parse().unwrap();
                let relayed = allocate(server, session, *wanted, here, way).0.unwrap();
                let mut message = request(METHOD_CREATE_PERMISSION, &[], peers);
                client.sign(&mut message);
                let step = relayed.session().on_packet(&server.rules, now, &message.raw);
                assert!(matches!(step, Step::Reply(_)));
                return relayed;
            }
            _ => break,
        }
    }
    panic!("no relayed address");
}

enum Wire {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Memory(DuplexStream),
}

struct Client {
    wire: Wire,
    user: String,
    password: String,
    challenge: Option<(Vec<u8>, Vec<u8>)>,
}

fn user(name: &str, expires: u64) -> (String, String) {
    Secret::new(SECRET.into()).unwrap().issue(name, expires).unwrap()
}

impl Client {
    async fn udp(server: SocketAddr, name: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(server).await.unwrap();
        Self::of(Wire::Udp(socket), name)
    }

    async fn tcp(server: SocketAddr, name: &str) -> Self {
        Self::of(Wire::Tcp(TcpStream::connect(server).await.unwrap()), name)
    }

    fn of(wire: Wire, name: &str) -> Self {
        let (user, password) = user(name, unix_time() + 60);
        Self {
            wire,
            user,
            password,
            challenge: None,
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        match &mut self.wire {
            Wire::Udp(socket) => assert_eq!(socket.send(bytes).await.unwrap(), bytes.len()),
            Wire::Tcp(stream) => stream.write_all(&padded(bytes)).await.unwrap(),
            Wire::Memory(stream) => stream.write_all(&padded(bytes)).await.unwrap(),
        }
    }

    async fn receive(&mut self) -> Vec<u8> {
        let receiving = async {
            match &mut self.wire {
                Wire::Udp(socket) => {
                    let mut buffer = vec![0; 2000];
                    let bytes = socket.recv(&mut buffer).await.unwrap();
                    buffer.truncate(bytes);
                    buffer
                }
                Wire::Tcp(stream) => frame(stream).await,
                Wire::Memory(stream) => frame(stream).await,
            }
        };
        timeout(HANG, receiving).await.expect("something comes")
    }

    async fn message(&mut self) -> Message {
        super::message::read(&self.receive().await).expect("a message")
    }

    fn sign(&self, request: &mut Message) {
        let Some((realm, nonce)) = &self.challenge else { return };
        let realm_text = String::from_utf8(realm.clone()).unwrap();
        let crypto = rtc_stun::crypto::default_provider().unwrap();
        request.add(ATTR_USERNAME, self.user.as_bytes());
        request.add(ATTR_REALM, realm);
        request.add(ATTR_NONCE, nonce);
        let (user, password) = (self.user.clone(), self.password.clone());
        MessageIntegrity::new_long_term_integrity_with_provider(user, realm_text, password, crypto.crypto())
            .and_then(|integrity| integrity.add_to(request))
            .unwrap();
    }

    /// The answer to a request with these attributes; a challenge is taken up.
    async fn ask(&mut self, method: Method, attributes: &[(AttrType, &[u8])], peers: &[SocketAddr]) -> Message {
        loop {
            let mut message = request(method, attributes, peers);
            self.sign(&mut message);
            self.send(&message.raw).await;
            let answer = self.message().await;
            let challenge = (answer.get(ATTR_REALM), answer.get(ATTR_NONCE));
            match (challenge, &self.challenge) {
                ((Ok(realm), Ok(nonce)), None) => self.challenge = Some((realm, nonce)),
                _ => return answer,
            }
        }
    }

    async fn allocate(&mut self) -> Message {
        self.ask(METHOD_ALLOCATE, &[(ATTR_REQUESTED_TRANSPORT, &[17, 0, 0, 0])], &[])
            .await
    }

    async fn allocated(&mut self) -> SocketAddr {
        let answer = self.allocate().await;
        address(&answer, ATTR_XOR_RELAYED_ADDRESS)
    }

    async fn permit(&mut self, peers: &[SocketAddr]) -> Message {
        self.ask(METHOD_CREATE_PERMISSION, &[], peers).await
    }

    async fn indicate(&mut self, peer: SocketAddr, data: &[u8]) {
        let mut message = request(METHOD_SEND, &[], &[peer]);
        message.set_type(MessageType::new(METHOD_SEND, CLASS_INDICATION));
        message.add(ATTR_DATA, data);
        self.send(&message.raw).await;
    }
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(4), 0);
    padded
}

async fn frame(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut frame = vec![0; 4];
    stream.read_exact(&mut frame).await.unwrap();
    let length = usize::from(u16::from_be_bytes([frame[2], frame[3]]));
    let whole = length + if frame[0] < 4 { 20 } else { 4 };
    frame.resize(whole.next_multiple_of(4), 0);
    stream.read_exact(&mut frame[4..]).await.unwrap();
    frame.truncate(whole);
    frame
}

fn request(method: Method, attributes: &[(AttrType, &[u8])], peers: &[SocketAddr]) -> Message {
    let mut message = Message::new();
    message.transaction_id = TransactionId::new();
    message.set_type(MessageType::new(method, CLASS_REQUEST));
    message.write_header();
    for (attribute, value) in attributes {
        message.add(*attribute, value);
    }
    for peer in peers {
        let (ip, port) = (peer.ip(), peer.port());
        let peer = XorMappedAddress { ip, port };
        peer.add_to_as(&mut message, ATTR_XOR_PEER_ADDRESS).unwrap();
    }
    message
}

fn address(message: &Message, attribute: AttrType) -> SocketAddr {
    let mut address = XorMappedAddress::default();
    let found = address.get_from_as(message, attribute);
    found.unwrap_or_else(|error| panic!("{error}: {}", code(message)));
    SocketAddr::new(address.ip, address.port)
}

/// 0 for success.
fn code(message: &Message) -> u16 {
    match message.get(ATTR_ERROR_CODE) {
        Ok(value) => u16::from(value[2]) * 100 + u16::from(value[3]),
        Err(_) => {
            assert_eq!(message.typ.class, CLASS_SUCCESS_RESPONSE);
            0
        }
    }
}

/// Both ends of every kind of client have a relayed address, and speak to each other's.
#[tokio::test(flavor = "multi_thread")]
async fn clients_reach_each_other_through_their_relayed_addresses() {
    let server = relay(|_| {}).await;
    let mut a = Client::udp(server, "a").await;
    let binding = a.ask(METHOD_BINDING, &[], &[]).await;
    let Wire::Udp(socket) = &a.wire else { unreachable!() };
    assert_eq!(address(&binding, ATTR_XORMAPPED_ADDRESS), socket.local_addr().unwrap());
    let mut b = Client::tcp(server, "b").await;
    let binding = b.ask(METHOD_BINDING, &[], &[]).await;
    let Wire::Tcp(stream) = &b.wire else { unreachable!() };
    assert_eq!(address(&binding, ATTR_XORMAPPED_ADDRESS), stream.local_addr().unwrap());

    let (at_a, at_b) = (a.allocated().await, b.allocated().await);
    assert_ne!(at_a, at_b);
    assert_eq!(code(&a.permit(&[at_b]).await), 0);
    assert_eq!(code(&b.permit(&[at_a]).await), 0);
    for data in [&b"hello"[..], b"", &[7; 1200]] {
        a.indicate(at_b, data).await;
        let indication = b.message().await;
        assert_eq!(indication.typ, MessageType::new(METHOD_DATA, CLASS_INDICATION));
        assert_eq!(address(&indication, ATTR_XOR_PEER_ADDRESS), at_a);
        assert_eq!(&indication.raw[range(&indication, ATTR_DATA).unwrap()], data);
    }
    for (client, peer, number) in [(&mut a, at_b, 0x4000_u16), (&mut b, at_a, 0x4fff)] {
        let [n1, n2] = number.to_be_bytes();
        let number = [(ATTR_CHANNEL_NUMBER, &[n1, n2, 0, 0][..])];
        assert_eq!(code(&client.ask(METHOD_CHANNEL_BIND, &number, &[peer]).await), 0);
    }
    a.send(&[&[0x40, 0, 0, 5][..], b"hello"].concat()).await;
    assert_eq!(b.receive().await, [&[0x4f, 0xff, 0, 5][..], b"hello"].concat());
    b.send(&[&[0x4f, 0xff, 0, 2][..], b"hi"].concat()).await;
    assert_eq!(a.receive().await, [&[0x40, 0, 0, 2][..], b"hi"].concat());

    let released = a.ask(METHOD_REFRESH, &[(ATTR_LIFETIME, &[0; 4])], &[]).await;
    assert_eq!(code(&released), 0);
    assert_eq!(code(&a.permit(&[at_b]).await), 437, "it is gone");
    assert_ne!(a.allocated().await, at_a, "but there is another");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_given_again_and_a_second_allocation_is_refused() {
    let mut client = Client::udp(relay(|_| {}).await, "a").await;
    client.ask(METHOD_REFRESH, &[], &[]).await; // for the challenge
    let mut message = request(METHOD_ALLOCATE, &[(ATTR_REQUESTED_TRANSPORT, &[17, 0, 0, 0])], &[]);
    client.sign(&mut message);
    client.send(&message.raw).await;
    let first = client.receive().await;
    client.send(&message.raw).await;
    assert_eq!(client.receive().await, first);
    assert_eq!(code(&client.allocate().await), 437);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_without_credentials_that_hold() {
    let server = relay(|_| {}).await;
    for wrong in ["password", "expired", "name", "realm"] {
        let mut client = Client::udp(server, "a").await;
        match wrong {
            "password" => client.password = "wrong".into(),
            "expired" => (client.user, client.password) = user("a", unix_time() - 1),
            "name" => client.user = "me".into(),
            _ => {
                client.ask(METHOD_REFRESH, &[], &[]).await;
                client.challenge = client.challenge.map(|(_, nonce)| (b"other".to_vec(), nonce));
            }
        }
        assert_eq!(code(&client.allocate().await), 401, "{wrong}");
    }
    let mut client = Client::udp(server, "a").await;
    client.ask(METHOD_REFRESH, &[], &[]).await;
    let challenge = client.challenge.clone();
    let mut other = Client::udp(server, "a").await;
    other.challenge = challenge;
    assert_eq!(code(&other.allocate().await), 438, "a nonce is one address's");
    // A signature that is cut off is none.
    let mut message = request(METHOD_ALLOCATE, &[(ATTR_REQUESTED_TRANSPORT, &[17, 0, 0, 0])], &[]);
    let (realm, nonce) = client.challenge.clone().unwrap();
    message.add(ATTR_USERNAME, client.user.as_bytes());
    message.add(ATTR_REALM, &realm);
    message.add(ATTR_NONCE, &nonce);
    for length in [0, 1, 19] {
        let mut cut = message.clone();
        cut.add(ATTR_MESSAGE_INTEGRITY, &[0; 19][..length]);
        client.send(&cut.raw).await;
        assert_eq!(code(&client.message().await), 401, "{length}");
    }
    client.allocated().await;
    (client.user, client.password) = user("another", unix_time() + 60);
    assert_eq!(code(&client.permit(&["1.1.1.1:1".parse().unwrap()]).await), 441);
}

/// What listens on the relay's own host, or in its network, is not reached through it.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_to_the_relays_own_host_and_networks() {
    let server = relay(|_| {}).await;
    let inside = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let secret_service = inside.local_addr().unwrap();
    let (mut client, mut other) = (Client::udp(server, "a").await, Client::udp(server, "b").await);
    let (at_client, at_other) = (client.allocated().await, other.allocated().await);
    for peer in [
        "127.0.0.2:1",
        "10.0.0.1:53",
        "169.254.169.254:80",
        "0.0.0.0:1",
        "224.0.0.1:1",
    ] {
        let peer = peer.parse().unwrap();
        assert_eq!(code(&client.permit(&[peer]).await), 403, "{peer}");
        let bind = [(ATTR_CHANNEL_NUMBER, &[0x40, 0, 0, 0][..])];
        assert_eq!(
            code(&client.ask(METHOD_CHANNEL_BIND, &bind, &[peer]).await),
            403,
            "{peer}"
        );
        assert_eq!(code(&client.permit(&[at_other, peer]).await), 403, "all or none");
    }
    assert_eq!(code(&client.permit(&["[2001:db8::1]:1".parse().unwrap()]).await), 443);
    client.indicate(at_other, b"not permitted").await;
    // Of this host only other relayed addresses can be spoken to.
    assert_eq!(code(&client.permit(&[at_other]).await), 0);
    assert_eq!(code(&other.permit(&[at_client]).await), 0);
    client.indicate(secret_service, b"inside").await;
    client.indicate(at_other, b"to the other").await;
    let came = other.message().await;
    assert_eq!(&came.raw[range(&came, ATTR_DATA).unwrap()], b"to the other");
    assert!(inside.try_recv(&mut [0; 10]).is_err(), "it came before the other");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_allowed_is_reached_and_answers() {
    let server = relay(|config| config.turn.allow = vec!["127.0.0.0/8".parse().unwrap()]).await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let stranger = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    for mut client in [Client::udp(server, "a").await, Client::tcp(server, "a").await] {
        let relayed = client.allocated().await;
        stranger.send_to(b"not permitted", relayed).await.unwrap();
        assert_eq!(code(&client.permit(&[peer.local_addr().unwrap()]).await), 0);
        client.indicate(peer.local_addr().unwrap(), b"ping").await;
        let mut buffer = [0; 10];
        let (bytes, from) = timeout(HANG, peer.recv_from(&mut buffer)).await.unwrap().unwrap();
        assert_eq!((&buffer[..bytes], from), (&b"ping"[..], relayed));
        peer.send_to(b"pong", relayed).await.unwrap();
        let came = client.message().await;
        assert_eq!(&came.raw[range(&came, ATTR_DATA).unwrap()], b"pong");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_so_many_relayed_addresses_and_gets_them_back() {
    let server = relay(|config| config.turn.allocations_per_user = 1).await;
    let mut first = Client::tcp(server, "a").await;
    first.allocated().await;
    let mut second = Client::udp(server, "a").await;
    assert_eq!(code(&second.allocate().await), 486);
    Client::udp(server, "b").await.allocated().await;
    drop(first); // its address goes with its connection
    let again = async {
        while code(&second.allocate().await) == 486 {
            tokio::task::yield_now().await;
        }
    };
    timeout(HANG, again).await.expect("it is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_port_speaks_http_and_turn_and_is_not_disturbed_by_anything_else() {
    let server = relay(|_| {}).await;
    let mut turn = Client::tcp(server, "a").await;
    turn.allocated().await;
    for garbage in [&[0; 64][..], &[0, 1, 0xff, 0xff], &[3; 3], b"\x80\x00\x00\x00", b""] {
        let mut stream = TcpStream::connect(server).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        udp.send_to(garbage, server).await.unwrap();
    }
    let mut stream = TcpStream::connect(server).await.unwrap();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    timeout(HANG, stream.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(code(&turn.ask(METHOD_REFRESH, &[], &[]).await), 0, "it goes on");
}

fn rules() -> Rules {
    let config = TurnConfig::default();
    Rules::new(
        Secret::new(SECRET.into()).unwrap(),
        Peers::new(&config).unwrap(),
        &config,
    )
    .unwrap()
}

/// Whatever comes: messages that were changed somewhere, signed or not, and noise.
#[test]
#[allow(clippy::disallowed_methods)] // any time does
fn no_packet_is_too_strange() {
    let (rules, now) = (rules(), Instant::now());
    let from: SocketAddr = "192.0.2.1:1000".parse().unwrap();
    let mut session = Session::new(from);
    let mut rng = fastrand::Rng::with_seed(7);
    let attributes: [(AttrType, &[u8]); 4] = [
        (ATTR_REQUESTED_TRANSPORT, &[17, 0, 0, 0]),
        (ATTR_LIFETIME, &[0, 0, 2, 0]),
        (ATTR_CHANNEL_NUMBER, &[0x40, 0, 0, 0]),
        (ATTR_DATA, &[1; 33]),
    ];
    let methods = [
        METHOD_ALLOCATE,
        METHOD_BINDING,
        METHOD_REFRESH,
        METHOD_SEND,
        METHOD_CHANNEL_BIND,
    ];
    for round in 0..20_000 {
        let method = methods[rng.usize(..methods.len())];
        let mut message = request(method, &attributes[rng.usize(..4)..], &["1.1.1.1:1".parse().unwrap()]);
        message.add(ATTR_USERNAME, b"1:a");
        message.add(ATTR_MESSAGE_INTEGRITY, &[0; 20]);
        let mut packet = message.raw;
        for _ in 0..rng.usize(0..4) {
            let at = rng.usize(..packet.len());
            packet[at] = rng.u8(..);
        }
        if round % 5 == 0 {
            packet.truncate(rng.usize(..packet.len()));
        }
        let step = session.on_packet(&rules, now, &packet);
        assert!(
            matches!(step, Step::Nothing | Step::Reply(_)),
            "nobody has shown who it is"
        );
    }
}

#[test]
fn what_cannot_be_meant_is_refused_by_name() {
    for (text, named) in [
        ("ports = \"1-0\"", "turn.ports"),
        ("ports = \"x\"", "turn.ports"),
        ("addresses = [\"192.0.2.1\", \"192.0.2.2\"]", "turn.addresses"),
        ("urls = [\"http://x\"]", "http://x"),
        ("urls = [\"turn:x\"]", "secret"),
        ("lifetime = 1", "turn.lifetime"),
        ("allocations_per_user = 0", "allocations_per_user"),
        ("allow = [\"10.0.0.0/99\"]", "10.0.0.0/99"),
        ("unknown = 1", "unknown"),
    ] {
        let config = RelayConfig::from_text(&format!("[turn]\n{text}"));
        let error = config.and_then(|config| config.validate()).unwrap_err().to_string();
        assert!(error.contains(named), "{text}: {error}");
    }
    let good = "[turn]\nserve = true\nports = \"50000 - 50100\"\naddresses = [\"192.0.2.1\", \"2001:db8::1\"]\n\
                allow = [\"10.0.0.0/8\"]\nbytes_per_second = 1000000";
    RelayConfig::from_text(good)
        .and_then(|config| config.validate())
        .unwrap();
}
