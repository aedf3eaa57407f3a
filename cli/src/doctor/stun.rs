//! One UDP socket that asks STUN servers what they see, and TURN servers for a relayed address.

use rtc_stun::attributes::{
    ATTR_ERROR_CODE, ATTR_LIFETIME, ATTR_MAPPED_ADDRESS, ATTR_NONCE, ATTR_REALM, ATTR_REQUESTED_TRANSPORT,
    ATTR_USERNAME, ATTR_XOR_RELAYED_ADDRESS, ATTR_XORMAPPED_ADDRESS, AttrType,
};
use rtc_stun::error_code::ErrorCodeAttribute;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{
    BINDING_REQUEST, CLASS_ERROR_RESPONSE, CLASS_REQUEST, CLASS_SUCCESS_RESPONSE, Getter, METHOD_ALLOCATE,
    METHOD_REFRESH, Message, MessageType, Setter, TransactionId,
};
use rtc_stun::xoraddr::XorMappedAddress;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

/// UDP loses packets: an unanswered request is sent again after this long (RFC 5389's first RTO).
const RETRANSMIT: Duration = Duration::from_millis(500);
/// Bytes of a message's header.
const HEADER: usize = 20;
/// REQUESTED-TRANSPORT's only value: UDP, protocol number 17 (RFC 5766 §14.7).
const TRANSPORT_UDP: [u8; 4] = [17, 0, 0, 0];
const ALLOCATE_REQUEST: MessageType = MessageType {
    method: METHOD_ALLOCATE,
    class: CLASS_REQUEST,
};
const REFRESH_REQUEST: MessageType = MessageType {
    method: METHOD_REFRESH,
    class: CLASS_REQUEST,
};

/// What a STUN server answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Binding {
    /// The address it sees us at.
    pub(super) mapped: SocketAddr,
    pub(super) round_trip: Duration,
}

/// `stun:host:port`, `turn:host?transport=udp`, `host:port` → host and port (3478 if none).
pub(super) fn parse_url(url: &str) -> Result<(String, u16), String> {
    if url.starts_with("stuns:") {
        return Err("STUN is used over UDP only".into());
    }
    let rest = url
        .split_once(':')
        .filter(|(scheme, _)| ["stun", "turn", "turns"].contains(scheme));
    let rest = rest.map_or(url, |(_, rest)| rest);
    let address = rest.split('?').next().unwrap_or(rest);
    let bare_v6 = address.parse::<std::net::Ipv6Addr>().is_ok();
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !bare_v6 && !address.ends_with(']') => {
            (host, port.parse().map_err(|_| format!("`{port}` is not a port"))?)
        }
        _ => (address, 3478),
    };
    match host.trim_matches(['[', ']']) {
        "" => Err("no host".into()),
        host => Ok((host.to_owned(), port)),
    }
}

/// Asks all servers at once what they see of this socket; answers in the servers' order.
pub(super) async fn bindings(
    socket: &UdpSocket,
    servers: &[SocketAddr],
    time: Duration,
) -> Vec<Result<Binding, String>> {
    let requests = servers
        .iter()
        .map(|server| (*server, request(BINDING_REQUEST)))
        .collect::<Vec<_>>();
    let answers = exchange(socket, &requests, time).await;
    answers
        .into_iter()
        .map(|answer| answer.and_then(read_binding))
        .collect()
}

/// The way to a TURN server.
pub(super) enum Wire {
    Udp(UdpSocket, SocketAddr),
    Stream(Box<dyn Stream>),
}

/// TCP, or TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Wire {
    async fn ask(&mut self, request: Message, time: Duration) -> Result<Message, String> {
        match self {
            Self::Udp(socket, server) => exchange_one(socket, *server, request, time).await,
            Self::Stream(stream) => {
                let asked = async {
                    stream.write_all(&request.raw).await?;
                    let mut bytes = vec![0; HEADER];
                    stream.read_exact(&mut bytes).await?;
                    let length = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
                    bytes.resize(HEADER + length, 0);
                    stream.read_exact(&mut bytes[HEADER..]).await?;
                    Ok::<_, std::io::Error>(bytes)
                };
                let bytes = match timeout_at(Instant::now() + time, asked).await {
                    Ok(answered) => answered.map_err(|error| error.to_string())?,
                    Err(_) => return Err(format!("no answer within {time:?}")),
                };
                let mut message = Message::new();
                let read = message.unmarshal_binary(&bytes);
                read.map(|()| message)
                    .map_err(|_| "what answers there is not a TURN server".into())
            }
        }
    }
}

/// Asks for a relayed address, and gives it back at once.
pub(super) async fn allocate(mut wire: Wire, user: &str, password: &str, time: Duration) -> Result<SocketAddr, String> {
    let answer = wire.ask(request(ALLOCATE_REQUEST), time).await?;
    let (Ok(realm), Ok(nonce)) = (answer.get(ATTR_REALM), answer.get(ATTR_NONCE)) else {
        return match address(&answer, ATTR_XOR_RELAYED_ADDRESS) {
            Some(relayed) => Ok(relayed), // a server that wants no credentials
            None => Err(error_text(&answer)),
        };
    };
    let sign = |request: &mut Message| sign(request, user, password, &realm, &nonce);
    let mut signed = request(ALLOCATE_REQUEST);
    sign(&mut signed)?;
    let answer = wire.ask(signed, time).await?;
    if answer.typ.class == CLASS_ERROR_RESPONSE {
        return Err(error_text(&answer));
    }
    let relayed = address(&answer, ATTR_XOR_RELAYED_ADDRESS).ok_or("it answered without an address")?;
    let mut release = request(REFRESH_REQUEST);
    release.add(ATTR_LIFETIME, &[0; 4]);
    sign(&mut release)?;
    let _ = wire.ask(release, time).await;
    Ok(relayed)
}

/// A socket of the server's family.
pub(super) async fn bind_for(server: SocketAddr) -> Result<UdpSocket, String> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((any, 0)).await.map_err(|e| e.to_string())
}

fn request(typ: MessageType) -> Message {
    let mut request = Message::new();
    request.transaction_id = TransactionId::new();
    request.set_type(typ);
    request.write_header();
    if typ.method == METHOD_ALLOCATE {
        request.add(ATTR_REQUESTED_TRANSPORT, &TRANSPORT_UDP);
    }
    request
}

/// RFC 5389 §10.2: long-term credentials.
fn sign(request: &mut Message, user: &str, password: &str, realm: &[u8], nonce: &[u8]) -> Result<(), String> {
    request.add(ATTR_USERNAME, user.as_bytes());
    request.add(ATTR_REALM, realm);
    request.add(ATTR_NONCE, nonce);
    let realm = String::from_utf8_lossy(realm).into_owned();
    let provider = rtc_stun::crypto::default_provider().map_err(|e| e.to_string())?;
    MessageIntegrity::new_long_term_integrity_with_provider(
        user.to_owned(),
        realm,
        password.to_owned(),
        provider.crypto(),
    )
    .and_then(|integrity| integrity.add_to(request))
    .map_err(|e| e.to_string())
}

/// Sends the requests, again while unanswered, and collects the answers, each with its round trip.
async fn exchange(
    socket: &UdpSocket,
    requests: &[(SocketAddr, Message)],
    time: Duration,
) -> Vec<Result<(Message, Duration), String>> {
    let started = Instant::now();
    let mut answers: Vec<_> = requests
        .iter()
        .map(|_| Err(format!("no answer within {time:?}")))
        .collect();
    while started.elapsed() < time && answers.iter().any(Result::is_err) {
        for ((server, request), answer) in requests.iter().zip(&mut answers) {
            if answer.is_err()
                && let Err(error) = socket.send_to(&request.raw, server).await
            {
                *answer = Err(error.to_string());
            }
        }
        let until = (started + time).min(Instant::now() + RETRANSMIT);
        while answers.iter().any(Result::is_err) {
            let Ok(message) = timeout_at(until, next_message(socket)).await else {
                break;
            };
            let of = requests
                .iter()
                .position(|(_, r)| r.transaction_id == message.transaction_id);
            if let Some(answer) = of.map(|i| &mut answers[i]).filter(|answer| answer.is_err()) {
                *answer = Ok((message, started.elapsed()));
            }
        }
    }
    answers
}

async fn exchange_one(
    socket: &UdpSocket,
    server: SocketAddr,
    request: Message,
    time: Duration,
) -> Result<Message, String> {
    let answer = exchange(socket, &[(server, request)], time).await.pop();
    answer
        .unwrap_or_else(|| Err("no answer".into()))
        .map(|(message, _)| message)
}

/// Whatever else arrives, and errors such as "port unreachable" of an earlier datagram, are passed over.
async fn next_message(socket: &UdpSocket) -> Message {
    let mut buffer = [0; 1500];
    loop {
        let mut message = Message::new();
        if let Ok((len, _)) = socket.recv_from(&mut buffer).await
            && message.unmarshal_binary(&buffer[..len]).is_ok()
        {
            return message;
        }
    }
}

fn read_binding((answer, round_trip): (Message, Duration)) -> Result<Binding, String> {
    let mapped = address(&answer, ATTR_XORMAPPED_ADDRESS).or_else(|| plain_address(&answer));
    match mapped {
        Some(mapped) if answer.typ.class == CLASS_SUCCESS_RESPONSE => Ok(Binding { mapped, round_trip }),
        _ => Err(format!("it answered without an address ({})", error_text(&answer))),
    }
}

fn address(message: &Message, attribute: AttrType) -> Option<SocketAddr> {
    let mut address = XorMappedAddress::default();
    address.get_from_as(message, attribute).ok()?;
    Some(SocketAddr::new(address.ip, address.port))
}

/// RFC 3489's attribute, from servers older than 2008.
fn plain_address(message: &Message) -> Option<SocketAddr> {
    let value = message.get(ATTR_MAPPED_ADDRESS).ok()?;
    let [_, 1, p1, p2, a, b, c, d] = value[..] else {
        return None;
    };
    Some((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([p1, p2])).into())
}

fn error_text(message: &Message) -> String {
    let mut error = ErrorCodeAttribute::default();
    if !message.contains(ATTR_ERROR_CODE) || error.get_from(message).is_err() {
        return "no error given".into();
    }
    let reason: String = String::from_utf8_lossy(&error.reason)
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect();
    match error.code.0 {
        401 | 441 => format!("the user name or password is wrong ({} {reason})", error.code.0),
        code => format!("error {code} {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_stun_and_turn_servers_are_understood() {
        for (url, host, port) in [
            ("stun:stun.example:19302", "stun.example", 19302),
            ("stun:stun.example", "stun.example", 3478),
            ("turn:10.0.0.1:3479?transport=udp", "10.0.0.1", 3479),
            ("127.0.0.1:1", "127.0.0.1", 1),
            ("stun:[::1]:5", "::1", 5),
            ("stun:[::1]", "::1", 3478),
            ("::1", "::1", 3478),
            ("localhost", "localhost", 3478),
        ] {
            assert_eq!(parse_url(url), Ok((host.to_owned(), port)), "{url}");
        }
        for url in ["stun:", "stun:host:port", "stuns:host"] {
            assert!(parse_url(url).is_err(), "{url}");
        }
    }

    /// A TURN server that asks for credentials, checks them, and relays at 192.0.2.7:5000.
    async fn turn_server(socket: UdpSocket, key: Vec<u8>) {
        let provider = rtc_stun::crypto::default_provider().unwrap();
        let mut buffer = [0; 1500];
        while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            let mut request = Message::new();
            request.unmarshal_binary(&buffer[..len]).unwrap();
            let mut answer = Message::new();
            answer.transaction_id = request.transaction_id;
            if MessageIntegrity::check(&mut request, &key, provider.crypto()).is_ok() {
                answer.set_type(MessageType::new(METHOD_ALLOCATE, CLASS_SUCCESS_RESPONSE));
                answer.write_header();
                let (ip, port) = ([192, 0, 2, 7].into(), 5000);
                XorMappedAddress { ip, port }
                    .add_to_as(&mut answer, ATTR_XOR_RELAYED_ADDRESS)
                    .unwrap();
            } else {
                answer.set_type(MessageType::new(METHOD_ALLOCATE, CLASS_ERROR_RESPONSE));
                answer.write_header();
                answer.add(ATTR_ERROR_CODE, &[0, 0, 4, 1]);
                answer.add(ATTR_REALM, b"lab");
                answer.add(ATTR_NONCE, b"0123");
            }
            socket.send_to(&answer.raw, from).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_turn_server_gives_an_address_for_the_right_password_only() {
        let provider = rtc_stun::crypto::default_provider().unwrap();
        let [user, realm, password] = ["user", "lab", "secret"].map(String::from);
        let key = MessageIntegrity::long_term_integrity_key(user, realm, password, provider.crypto()).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = socket.local_addr().unwrap();
        tokio::spawn(turn_server(socket, key));
        let time = Duration::from_secs(10);
        let wire = async || Wire::Udp(bind_for(server).await.unwrap(), server);
        assert_eq!(
            allocate(wire().await, "user", "secret", time).await,
            Ok(([192, 0, 2, 7], 5000).into())
        );
        let refused = allocate(wire().await, "user", "wrong", time).await.unwrap_err();
        assert!(refused.contains("password is wrong"), "{refused}");
    }
}
