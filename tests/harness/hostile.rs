//! A relay that works for somebody else: it changes, swaps, replays and forges what it should only pass on.

use crosspeer::description::Description;
use crosspeer::platform::{SdpType, SessionDescription};
use crosspeer::relay::{PeerConnectionMessage, RelayMessage, Response};
use futures_util::{SinkExt as _, StreamExt as _};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

/// What the relay knows when a message comes: who registered by which name, and all messages before.
#[derive(Debug, Default)]
pub struct Seen {
    /// By the name that they registered with.
    pub names: HashMap<String, Uuid>,
    /// What came before.
    pub earlier: Vec<PeerConnectionMessage>,
}

impl Seen {
    fn of(&self, name: &str) -> Uuid {
        self.names.get(name).copied().unwrap_or_default()
    }
}

/// What becomes of a message: each of these reaches its `peer_uuid`.
pub type Trick = fn(&Seen, PeerConnectionMessage) -> Vec<PeerConnectionMessage>;

/// What is known of how a trick must end for the two who talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// They connect all the same, to each other.
    Connected,
    /// It is named as tampering, by one of them at least.
    Named,
    /// They do not connect, or to each other.
    Refused,
}

/// Every trick by its name. Honest peers are called `alice`, who calls, and `bob`; the relay's own is `mallory`.
pub const TRICKS: &[(&str, End, Trick)] = &[
    ("nothing", End::Connected, |_, message| vec![message]),
    ("swaps the called peer", End::Named, |seen, mut message| {
        // What is for Bob goes to Mallory, what Mallory answers comes as Bob's.
        let (bob, mallory) = (seen.of("bob"), seen.of("mallory"));
        if message.peer_uuid == bob {
            message.peer_uuid = mallory;
        } else if message.source_uuid == mallory {
            message.source_uuid = bob;
        }
        vec![message]
    }),
    ("changes the answer's fingerprint", End::Named, |_, message| {
        vec![if_answer(message, |sdp| change(sdp, "a=fingerprint:sha-256 ", flip))]
    }),
    ("changes the offer's fingerprint", End::Refused, |_, message| {
        vec![if_offer(message, |sdp| change(sdp, "a=fingerprint:sha-256 ", flip))]
    }),
    ("puts another fingerprint first", End::Named, |_, message| {
        vec![if_answer(message, |sdp| {
            sdp.replacen("a=fingerprint", &format!("{OTHER}\r\na=fingerprint"), 1)
        })]
    }),
    ("adds a fingerprint", End::Named, |_, message| {
        vec![if_answer(message, |sdp| format!("{sdp}{OTHER}\r\n"))]
    }),
    (
        "hides a fingerprint behind a bare line end",
        End::Named,
        |_, message| {
            vec![if_answer(message, |sdp| {
                sdp.replacen("a=setup", &format!("a=x:\r{OTHER}\r\na=setup"), 1)
            })]
        },
    ),
    ("adds a fingerprint of another hash", End::Named, |_, message| {
        vec![if_answer(message, |sdp| format!("{sdp}a=fingerprint:sha-1 00:00\r\n"))]
    }),
    ("removes the answer's fingerprint", End::Named, |_, message| {
        vec![if_answer(message, |sdp| without_lines(sdp, "a=fingerprint"))]
    }),
    ("removes the words of the answer", End::Named, |_, message| {
        vec![if_answer(message, |sdp| without_lines(sdp, "a=x-crosspeer"))]
    }),
    ("removes all words", End::Refused, |_, message| {
        vec![with_sdp(message, None, |sdp| without_lines(sdp, "a=x-crosspeer"))]
    }),
    ("removes `ordered`", End::Named, |_, message| {
        vec![with_sdp(message, None, |sdp| sdp.replacen(" ordered", "", 1))]
    }),
    ("removes `bye` from offers", End::Named, |_, message| {
        vec![if_offer(message, |sdp| sdp.replacen(" bye", "", 1))]
    }),
    ("removes `seal` from both", End::Named, |_, message| {
        vec![with_sdp(message, None, |sdp| sdp.replacen(" seal", "", 1))]
    }),
    ("adds a word", End::Named, |_, message| {
        vec![if_answer(message, |sdp| sdp.replacen(" bye", " bye zzz", 1))]
    }),
    ("changes what a peer grants", End::Named, |_, message| {
        vec![with_sdp(message, None, |sdp| sdp.replacen(" credit=", " credit=9", 1))]
    }),
    ("changes ICE's password", End::Refused, |_, message| {
        vec![if_answer(message, |sdp| change(sdp, "a=ice-pwd:", flip))]
    }),
    ("removes all candidates", End::Refused, |_, message| {
        vec![with_sdp(message, None, |sdp| without_lines(sdp, "a=candidate"))]
    }),
    ("adds candidates", End::Connected, |_, message| {
        let more: String = (1..200)
            .map(|port| format!("a=candidate:9 1 udp 1 127.0.0.1 {port} typ host\r\n"))
            .collect();
        vec![with_sdp(message, None, |sdp| format!("{sdp}{more}"))]
    }),
    ("doubles everything", End::Connected, |_, message| {
        vec![message.clone(), message]
    }),
    ("replays everything before", End::Connected, |seen, message| {
        let mut all = vec![message];
        all.extend(seen.earlier.iter().cloned());
        all
    }),
    ("replays Mallory's as Bob's", End::Connected, |seen, message| {
        let (bob, mallory) = (seen.of("bob"), seen.of("mallory"));
        let old = seen.earlier.iter().filter(|old| old.source_uuid == mallory).cloned();
        let mut all: Vec<_> = old
            .map(|old| PeerConnectionMessage {
                source_uuid: bob,
                ..old
            })
            .collect();
        all.push(message);
        all
    }),
    ("answers for Bob", End::Named, |seen, message| {
        // By an answer of its own making: Alice's offer turned around.
        if message.source_uuid != seen.of("alice") || !is(&message, SdpType::Offer) {
            return vec![message];
        }
        let (alice, bob) = (message.source_uuid, message.peer_uuid);
        let mut answer = with_sdp(message, Some(SdpType::Answer), |sdp| sdp.replace("actpass", "active"));
        (answer.source_uuid, answer.peer_uuid) = (bob, alice);
        vec![answer]
    }),
    ("lets nothing through", End::Refused, |_, _| Vec::new()),
];

const OTHER: &str = "a=fingerprint:sha-256 00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00";

fn is(message: &PeerConnectionMessage, kind: SdpType) -> bool {
    matches!(Description::decode(&message.description), Ok(Description::Session(session)) if session.sdp_type == kind)
}

/// The message with another SDP, and as another kind.
fn with_sdp(
    mut message: PeerConnectionMessage,
    kind: Option<SdpType>,
    change: impl FnOnce(&str) -> String,
) -> PeerConnectionMessage {
    if let Ok(Description::Session(session)) = Description::decode(&message.description) {
        let sdp_type = kind.unwrap_or(session.sdp_type);
        let sdp = change(&session.sdp);
        message.description = Description::Session(SessionDescription { sdp_type, sdp }).encode();
    }
    message
}

fn if_answer(message: PeerConnectionMessage, change: impl FnOnce(&str) -> String) -> PeerConnectionMessage {
    match is(&message, SdpType::Answer) {
        true => with_sdp(message, None, change),
        false => message,
    }
}

fn if_offer(message: PeerConnectionMessage, change: impl FnOnce(&str) -> String) -> PeerConnectionMessage {
    match is(&message, SdpType::Offer) {
        true => with_sdp(message, None, change),
        false => message,
    }
}

fn without_lines(sdp: &str, prefix: &str) -> String {
    sdp.split_inclusive('\n')
        .filter(|line| !line.starts_with(prefix))
        .collect()
}

/// Another first character behind this prefix.
fn change(sdp: &str, prefix: &str, by: fn(char) -> char) -> String {
    let Some(at) = sdp.find(prefix).map(|at| at + prefix.len()) else {
        return sdp.to_owned();
    };
    let (before, after) = sdp.split_at(at);
    let mut rest = after.chars();
    let first = rest.next().map(by).unwrap_or_default();
    format!("{before}{first}{}", rest.as_str())
}

fn flip(character: char) -> char {
    if character == '0' { '1' } else { '0' }
}

type Clients = Arc<Mutex<(Seen, HashMap<Uuid, UnboundedSender<String>>)>>;

/// A hostile relay on a free port; it ends with the runtime. Its URL.
pub async fn hostile_relay(trick: Trick) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("ws://{}", listener.local_addr().expect("an address"));
    let clients = Clients::default();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, clients.clone(), trick));
        }
    });
    url
}

#[allow(clippy::disallowed_methods)] // tests
async fn serve(stream: TcpStream, clients: Clients, trick: Trick) {
    let Ok(socket) = accept_async(stream).await else { return };
    let (mut sink, mut stream) = socket.split();
    let (mailbox, mut mail) = unbounded_channel::<String>();
    tokio::spawn(async move {
        while let Some(text) = mail.recv().await {
            if sink.send(Message::text(text)).await.is_err() {
                return;
            }
        }
    });
    while let Some(Ok(message)) = stream.next().await {
        let Message::Text(text) = message else { continue };
        let mut clients = clients.lock().expect("nobody has panicked");
        match RelayMessage::decode(&text) {
            Ok(RelayMessage::Registration(registration)) => {
                clients.0.names.insert(registration.name, registration.uuid);
                clients.1.insert(registration.uuid, mailbox.clone());
                let response = Response {
                    success: true,
                    message: None,
                    error: false,
                };
                let _ = mailbox.send(RelayMessage::Response(response).encode());
            }
            Ok(RelayMessage::PeerConnection(message)) => {
                for message in trick(&clients.0, message.clone()) {
                    if let Some(to) = clients.1.get(&message.peer_uuid) {
                        let _ = to.send(RelayMessage::PeerConnection(message).encode());
                    }
                }
                clients.0.earlier.push(message);
            }
            _ => {}
        }
    }
}
