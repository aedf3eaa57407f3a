use super::SwitchboardOutput::{Close, Elsewhere, Send};
use super::*;
use crate::relay::{DescriptionType, PeerConnectionMessage};
use proptest::prelude::*;

const SUCCESS: &str = r#"{"success": true, "message": null, "error": false, "message_type": "relay_response"}"#;
const A: ConnId = ConnId(1);
const B: ConnId = ConnId(2);

fn uuid(n: u8) -> Uuid {
    Uuid::from_u128(u128::from(n))
}

fn registration(n: u8) -> String {
    let (name, uuid) = (format!("peer {n}"), uuid(n));
    RelayMessage::Registration(Registration { name, uuid }).encode()
}

fn offer(source: u8, peer: u8) -> PeerConnectionMessage {
    PeerConnectionMessage {
        source_uuid: uuid(source),
        source_name: format!("peer {source}"),
        peer_uuid: uuid(peer),
        description_type: DescriptionType::Offer,
        description: r#"{"sdp": "v=0\r\n", "type": "offer"}"#.into(),
        error: None,
    }
}

fn text(message: PeerConnectionMessage) -> String {
    RelayMessage::PeerConnection(message).encode()
}

fn drain(board: &mut Switchboard) -> Vec<SwitchboardOutput> {
    std::iter::from_fn(|| board.poll_output()).collect()
}

fn say(board: &mut Switchboard, conn: ConnId, text: &str) -> Vec<SwitchboardOutput> {
    board.on_text(conn, text);
    drain(board)
}

/// Clients 1 and 2, registered at sockets 1 and 2.
fn two_clients() -> Switchboard {
    let mut board = Switchboard::new();
    for (conn, n) in [(A, 1), (B, 2)] {
        board.on_open(conn);
        assert_eq!(say(&mut board, conn, &registration(n)), [send(conn, SUCCESS)]);
    }
    board
}

fn send(conn: ConnId, text: impl Into<String>) -> SwitchboardOutput {
    Send {
        conn,
        text: text.into(),
    }
}

fn close(conn: ConnId, code: u16, reason: &'static str) -> SwitchboardOutput {
    Close { conn, code, reason }
}

#[test]
fn a_message_is_forwarded_in_canonical_form() {
    let mut board = two_clients();
    let loose = format!(
        r#"{{"message_type":"peer_connection","description":"é\/","description_type":"late","source_uuid":"{{{}}}","peer_uuid":"{}","source_name":null}}"#,
        uuid(1).simple(),
        uuid(2)
    );
    let canonical = format!(
        r#"{{"source_uuid": "{}", "source_name": null, "peer_uuid": "{}", "description_type": "late", "description": "\u00e9/", "error": null, "message_type": "peer_connection"}}"#,
        uuid(1),
        uuid(2)
    );
    assert_eq!(say(&mut board, A, &loose), [send(B, canonical)]);
}

#[test]
fn an_error_set_by_the_client_is_passed_on() {
    let mut board = two_clients();
    let mut message = offer(1, 2);
    message.error = Some("no".into());
    assert_eq!(say(&mut board, A, &text(message.clone())), [send(B, text(message))]);
}

#[test]
fn a_client_can_talk_to_itself() {
    let mut board = two_clients();
    assert_eq!(say(&mut board, A, &text(offer(1, 1))), [send(A, text(offer(1, 1)))]);
}

#[test]
fn a_message_to_an_unknown_peer_comes_back_with_an_error() {
    let mut board = two_clients();
    let mut answer = offer(1, 9);
    answer.error = Some(format!(
        "Cannot forward peer connection message to peer {} because this peer is not registered this relay server.",
        uuid(9)
    ));
    assert_eq!(say(&mut board, A, &text(offer(1, 9))), [send(A, text(answer))]);
}

#[test]
fn with_other_relays_an_unknown_peer_is_theirs_until_they_say_otherwise() {
    let mut board = two_clients();
    let alone = say(&mut board, A, &text(offer(1, 9)));
    board.has_others();
    let elsewhere = Elsewhere {
        conn: A,
        peer: uuid(9),
        text: text(offer(1, 9)),
    };
    assert_eq!(say(&mut board, A, &text(offer(1, 9))), [elsewhere]);
    board.unknown(A, uuid(9), &text(offer(1, 9)));
    assert_eq!(drain(&mut board), alone);
    assert_eq!(
        say(&mut board, A, &text(offer(1, 2))),
        [send(B, text(offer(1, 2)))],
        "who is here is here"
    );
    assert!(
        !matches!(say(&mut board, A, &text(offer(7, 9)))[..], [Elsewhere { .. }]),
        "spoofed"
    );
    // What comes from another relay.
    assert!(board.deliver(uuid(2), "text".into()));
    assert_eq!(drain(&mut board), [send(B, "text")]);
    assert!(!board.deliver(uuid(9), "text".into()));
    board.on_close(A);
    board.unknown(A, uuid(9), &text(offer(1, 9)));
    assert_eq!(drain(&mut board), [], "its sender has gone");
    let counts = board.counts();
    assert_eq!(
        (
            counts.forwarded,
            counts.unknown_peer,
            counts.spoofed,
            counts.registrations
        ),
        (2, 2, 1, 2)
    );
}

#[test]
fn a_message_that_is_not_allowed_comes_back_and_says_why() {
    let mut board = two_clients();
    board.on_forbidden(A, Incoming::read(&text(offer(1, 2))), "no.");
    let mut answer = offer(1, 2);
    answer.error = Some(format!(
        "Cannot forward peer connection message to peer {}: no.",
        uuid(2)
    ));
    assert_eq!(drain(&mut board), [send(A, text(answer))]);
    // Before that it has to be registered and its own.
    board.on_forbidden(A, Incoming::read(&text(offer(7, 2))), "no.");
    assert!(matches!(&drain(&mut board)[..], [Send { text, .. }] if text.contains("registered as")));
    board.on_open(ConnId(3));
    board.on_forbidden(ConnId(3), Incoming::read(&text(offer(3, 2))), "no.");
    assert!(matches!(drain(&mut board)[..], [Close { code: 4002, .. }]));
}

#[test]
fn a_spoofed_source_comes_back_with_an_error_and_is_not_forwarded() {
    let mut board = two_clients();
    let mut answer = offer(7, 2);
    answer.error = Some(format!(
        "Cannot forward peer connection message from {} because this client is registered as {}.",
        uuid(7),
        uuid(1)
    ));
    assert_eq!(say(&mut board, A, &text(offer(7, 2))), [send(A, text(answer))]);
}

#[test]
fn a_message_before_registration_closes_with_4002() {
    let mut board = Switchboard::new();
    board.on_open(A);
    assert_eq!(say(&mut board, A, &text(offer(1, 2))), [close(A, 4002, NOT_REGISTERED)]);
}

#[test]
fn registering_again_on_the_same_socket_succeeds() {
    let mut board = two_clients();
    assert_eq!(say(&mut board, A, &registration(1)), [send(A, SUCCESS)]);
    assert_eq!(board.len(), 2);
}

#[test]
fn a_second_socket_replaces_the_first_at_once() {
    let mut board = two_clients();
    let new = ConnId(3);
    board.on_open(new);
    let outputs = say(&mut board, new, &registration(1));
    assert_eq!(outputs, [close(A, 4004, REPLACED), send(new, SUCCESS)]);
    // The end of the old socket, however late, does not unregister the new one.
    board.on_close(A);
    assert_eq!(say(&mut board, B, &text(offer(2, 1))), [send(new, text(offer(2, 1)))]);
    // Nor can the old one still send.
    assert_eq!(say(&mut board, A, &text(offer(1, 2))), []);
}

#[test]
fn a_second_uuid_on_a_socket_replaces_the_first() {
    let mut board = two_clients();
    assert_eq!(say(&mut board, A, &registration(5)), [send(A, SUCCESS)]);
    assert_eq!(board.len(), 2);
    let back = say(&mut board, B, &text(offer(2, 1)));
    assert!(matches!(&back[..], [Send { conn: B, text }] if text.contains("not registered")));
    assert_eq!(say(&mut board, B, &text(offer(2, 5))), [send(A, text(offer(2, 5)))]);
}

#[test]
fn what_is_not_a_message_closes_only_its_sender_with_4000() {
    let response = RelayMessage::Response(Response {
        success: true,
        message: None,
        error: false,
    })
    .encode();
    for bad in [
        "",
        "x",
        "[]",
        "1",
        "{}",
        r#"{"message_type": ["a"]}"#,
        &response,
        r#"{"message_type":"relay_registration","name":"n","uuid":"no"}"#,
    ] {
        let mut board = two_clients();
        assert_eq!(say(&mut board, A, bad), [close(A, 4000, UNKNOWN_MESSAGE)], "{bad}");
        let back = say(&mut board, B, &text(offer(2, 1)));
        assert!(
            matches!(&back[..], [Send { conn: B, text }] if text.contains("not registered")),
            "a ghost stayed"
        );
    }
}

#[test]
fn a_binary_frame_closes_with_4000() {
    let mut board = two_clients();
    board.on_binary(A);
    assert_eq!(drain(&mut board), [close(A, 4000, UNKNOWN_MESSAGE)]);
}

#[test]
fn a_closed_client_is_unknown() {
    let mut board = two_clients();
    board.on_close(B);
    let back = say(&mut board, A, &text(offer(1, 2)));
    assert!(matches!(&back[..], [Send { conn: A, text }] if text.contains("not registered")));
}

#[test]
fn a_message_that_outgrows_the_receivers_limit_costs_its_sender() {
    let mut board = two_clients();
    let mut message = offer(1, 2);
    message.description = "é".repeat(MAX_FRAME_BYTES / 3);
    let raw = text(message).replace("\\u00e9", "é");
    assert!(raw.len() < MAX_FRAME_BYTES);
    assert_eq!(say(&mut board, A, &raw), [close(A, 1009, TOO_BIG)]);
}

#[test]
fn a_lone_surrogate_is_forwarded_unharmed() {
    let mut board = two_clients();
    let json = text(offer(1, 2)).replace("\"peer 1\"", r#""\ud800""#);
    assert_eq!(say(&mut board, A, &json), [send(B, json)]);
}

#[test]
fn shutting_down_closes_everyone() {
    let mut board = two_clients();
    board.close_all(close_code::GOING_AWAY, "bye");
    let mut outputs = drain(&mut board);
    outputs.sort_by_key(|output| matches!(output, Close { conn: B, .. }));
    assert_eq!(outputs, [close(A, 1001, "bye"), close(B, 1001, "bye")]);
    assert!(board.is_empty());
}

#[derive(Debug, Clone)]
enum Step {
    Open(u64),
    Close(u64),
    Register(u64, u8),
    Offer(u64, u8, u8),
    Binary(u64),
    Text(u64, String),
}

fn any_step() -> impl Strategy<Value = Step> {
    let conn = || 0..5u64;
    let peer = || 0..4u8;
    prop_oneof![
        conn().prop_map(Step::Open),
        conn().prop_map(Step::Close),
        (conn(), peer()).prop_map(|(c, p)| Step::Register(c, p)),
        (conn(), peer(), peer()).prop_map(|(c, s, p)| Step::Offer(c, s, p)),
        conn().prop_map(Step::Binary),
        (conn(), any::<String>()).prop_map(|(c, t)| Step::Text(c, t)),
    ]
}

proptest! {
    #[test]
    fn the_two_maps_always_agree(steps in prop::collection::vec(any_step(), 0..60)) {
        let mut board = Switchboard::new();
        board.has_others();
        let mut open = std::collections::HashSet::new();
        for step in steps {
            match step {
                Step::Open(c) => if open.insert(ConnId(c)) { board.on_open(ConnId(c)) },
                Step::Close(c) => { board.on_close(ConnId(c)); open.remove(&ConnId(c)); }
                Step::Register(c, p) => board.on_text(ConnId(c), &registration(p)),
                Step::Offer(c, s, p) => board.on_text(ConnId(c), &text(offer(s, p))),
                Step::Binary(c) => board.on_binary(ConnId(c)),
                Step::Text(c, t) => board.on_text(ConnId(c), &t),
            }
            while let Some(output) = board.poll_output() {
                match output {
                    Send { conn, .. } | Elsewhere { conn, .. } => prop_assert!(open.contains(&conn)),
                    Close { conn, .. } => prop_assert!(open.remove(&conn)),
                }
            }
            prop_assert_eq!(board.clients().count(), board.len());
            for (uuid, conn) in &board.by_uuid {
                let client = board.conns.get(conn).and_then(Option::as_ref);
                prop_assert_eq!(client.map(|c| c.uuid), Some(*uuid));
            }
        }
    }
}

/// Counts lines of the log.
#[derive(Clone, Default)]
struct Lines(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl tracing::Subscriber for Lines {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let shown = *event.metadata().level() <= tracing::Level::INFO;
        self.0
            .fetch_add(usize::from(shown), std::sync::atomic::Ordering::Relaxed);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn one_client_does_not_fill_the_log() {
    let lines = Lines::default();
    // Where there is one subscriber only, `tracing` asks that of the thread which comes first to a line whether the line is
    // wanted at all: another test's, which has none.
    let _another = tracing::Dispatch::new(Lines::default());
    tracing::subscriber::with_default(lines.clone(), || {
        let mut board = Switchboard::new();
        board.on_open(A);
        for _ in 0..1000 {
            say(&mut board, A, &registration(1));
            assert_eq!(say(&mut board, A, &text(offer(2, 1))).len(), 1);
            assert_eq!(say(&mut board, A, &text(offer(1, 3))).len(), 1);
        }
        board.on_close(A);
        assert!(board.lines.is_empty());
    });
    // The first ones, how many more there were, and that it is gone.
    let lines = lines.0.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(lines as u64, LINES + 2);
}
