use super::*;
use proptest::prelude::*;

const ONE: &str = "11111111-1111-4111-8111-111111111111";
const TWO: &str = "22222222-2222-4222-8222-222222222222";

fn uuid(text: &str) -> Uuid {
    text.parse().expect("a UUID")
}

fn offer() -> PeerConnectionMessage {
    PeerConnectionMessage {
        source_uuid: uuid(ONE),
        source_name: "alice".into(),
        peer_uuid: uuid(TWO),
        description_type: DescriptionType::Offer,
        description: r#"{"sdp": "...", "type": "offer"}"#.into(),
        error: None,
    }
}

fn registration(json: &str) -> Result<Registration, DecodeError> {
    match RelayMessage::decode(json)? {
        RelayMessage::Registration(registration) => Ok(registration),
        other => panic!("{other:?}"),
    }
}

#[test]
fn encodes_as_python_does() {
    let golden = [
        (
            RelayMessage::Registration(Registration {
                name: "my-host".into(),
                uuid: uuid(ONE),
            }),
            r#"{"name": "my-host", "uuid": "11111111-1111-4111-8111-111111111111", "message_type": "relay_registration"}"#,
        ),
        (
            RelayMessage::Response(Response {
                success: true,
                message: None,
                error: false,
            }),
            r#"{"success": true, "message": null, "error": false, "message_type": "relay_response"}"#,
        ),
        (
            RelayMessage::Response(Response {
                success: false,
                message: Some("BadRequestError: x".into()),
                error: true,
            }),
            r#"{"success": false, "message": "BadRequestError: x", "error": true, "message_type": "relay_response"}"#,
        ),
        (
            RelayMessage::PeerConnection(offer()),
            r#"{"source_uuid": "11111111-1111-4111-8111-111111111111", "source_name": "alice", "peer_uuid": "22222222-2222-4222-8222-222222222222", "description_type": "offer", "description": "{\"sdp\": \"...\", \"type\": \"offer\"}", "error": null, "message_type": "peer_connection"}"#,
        ),
    ];
    for (message, text) in golden {
        assert_eq!(message.encode(), text);
        assert_eq!(RelayMessage::decode(text), Ok(message));
    }
}

#[test]
fn escapes_are_those_of_python_json_dumps() {
    let message = RelayMessage::Registration(Registration {
        name: "\"\\/\u{8}\u{c}\n\r\t\0\u{1f}~\u{7f}é✓漢😀".into(),
        uuid: uuid(ONE),
    });
    // json.dumps of the same text in Python 3.11
    let name = r#""\"\\/\b\f\n\r\t\u0000\u001f~\u007f\u00e9\u2713\u6f22\ud83d\ude00""#;
    assert_eq!(
        message.encode(),
        format!(r#"{{"name": {name}, "uuid": "{ONE}", "message_type": "relay_registration"}}"#)
    );
    assert_eq!(RelayMessage::decode(&message.encode()), Ok(message));
}

#[test]
fn uuids_are_read_in_every_form_python_reads() {
    for form in [
        "11111111-1111-4111-8111-111111111111",
        "11111111111141118111111111111111",
        "{11111111-1111-4111-8111-111111111111}",
        "urn:uuid:11111111-1111-4111-8111-111111111111",
        "1-1111111-1111-4111-8111-11111111111-1",
    ] {
        let json = format!(r#"{{"message_type": "relay_registration", "uuid": "{form}", "name": "n"}}"#);
        assert_eq!(registration(&json).map(|r| r.uuid), Ok(uuid(ONE)), "{form}");
    }
    let upper = r#"{"message_type":"relay_registration","uuid":"AAAAAAAA-AAAA-4AAA-8AAA-AAAAAAAAAAAA","name":"n"}"#;
    assert_eq!(
        registration(upper).map(|r| r.uuid.to_string()).as_deref(),
        Ok("aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa")
    );
    for bad in [
        "\"\"",
        "\"1\"",
        "1",
        "null",
        "\"+1111111111141118111111111111111\"",
        "\"éééééééééééééééé\"",
    ] {
        let json = format!(r#"{{"message_type": "relay_registration", "uuid": {bad}, "name": "n"}}"#);
        assert!(registration(&json).is_err(), "{bad}");
    }
}

#[test]
fn the_last_of_a_repeated_key_counts() {
    let json = format!(
        r#" {{"name": "a", "uuid": "bad", "message_type": "x", "n\u0061me": "b", "uuid": "{ONE}", "message_type": "relay_registration"}} "#
    );
    let read = registration(&json).expect("decodes");
    assert_eq!((read.name.as_str(), read.uuid), ("b", uuid(ONE)));
}

#[test]
fn names_of_other_types_are_tolerated() {
    for (json, name) in [
        ("null", ""),
        ("7", "7"),
        (r#"{"a": [1]}"#, r#"{"a": [1]}"#),
        ("1e999", "1e999"),
    ] {
        let text = format!(r#"{{"message_type": "relay_registration", "uuid": "{ONE}", "name": {json}}}"#);
        assert_eq!(registration(&text).map(|r| r.name).as_deref(), Ok(name));
    }
}

#[test]
fn a_response_without_fields_is_a_success() {
    let success = RelayMessage::Response(Response {
        success: true,
        message: None,
        error: false,
    });
    assert_eq!(
        RelayMessage::decode(r#"{"message_type":"relay_response"}"#),
        Ok(success)
    );
}

#[test]
fn what_python_refuses_is_refused() {
    let cases = [
        ("", "not a JSON object"),
        ("[]", "not a JSON object"),
        ("null", "not a JSON object"),
        ("{}", "message_type is missing"),
        (r#"{"message_type": []}"#, "message_type is not a string"),
        (r#"{"message_type": "RelayResponse"}"#, "unknown message_type"),
        ("\u{feff}{\"message_type\":\"relay_response\"}", "not a JSON object"),
        (r#"{"message_type":"relay_response"} x"#, "not a JSON object"),
        (r#"{"message_type":"relay_response","extra":1}"#, "unknown field"),
        (r#"{"message_type":"relay_registration","name":"n"}"#, "uuid is missing"),
        (
            r#"{"message_type":"relay_registration","uuid":"11111111-1111-4111-8111-111111111111"}"#,
            "name is missing",
        ),
    ];
    for (text, expected) in cases {
        let error = RelayMessage::decode(text).expect_err(text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let depth = 200_000;
        let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
        let json = format!(r#"{{"message_type": "relay_registration", "uuid": "{ONE}", "name": {nested}}}"#);
        assert_eq!(registration(&json).map(|r| r.name.len()), Ok(nested.len()));
        assert!(RelayMessage::decode(&nested).is_err());
        assert!(RelayMessage::decode(&open.repeat(depth)).is_err());
    }
}

fn any_message() -> impl Strategy<Value = RelayMessage> {
    let uuid = || any::<u128>().prop_map(Uuid::from_u128);
    let text = || any::<String>();
    prop_oneof![
        (text(), uuid()).prop_map(|(name, uuid)| RelayMessage::Registration(Registration { name, uuid })),
        (any::<bool>(), any::<Option<String>>(), any::<bool>()).prop_map(|(success, message, error)| {
            RelayMessage::Response(Response {
                success,
                message,
                error,
            })
        }),
        (
            (uuid(), text(), uuid()),
            (any::<bool>(), text(), any::<Option<String>>())
        )
            .prop_map(|((source_uuid, source_name, peer_uuid), (offer, description, error))| {
                RelayMessage::PeerConnection(PeerConnectionMessage {
                    source_uuid,
                    source_name,
                    peer_uuid,
                    description_type: if offer {
                        DescriptionType::Offer
                    } else {
                        DescriptionType::Answer
                    },
                    description,
                    error,
                })
            }),
    ]
}

proptest! {
    #[test]
    fn every_message_survives_the_wire(message in any_message()) {
        let text = message.encode();
        prop_assert!(text.is_ascii());
        prop_assert_eq!(RelayMessage::decode(&text), Ok(message));
    }

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        let _ = RelayMessage::decode(&text);
    }

    #[test]
    fn damaged_messages_never_panic(message in any_message(), at in any::<prop::sample::Index>(), with in any::<char>()) {
        let mut chars: Vec<char> = message.encode().chars().collect();
        let at = at.index(chars.len());
        chars[at] = with;
        let _ = RelayMessage::decode(&chars.into_iter().collect::<String>());
    }
}

#[test]
fn ice_servers_are_one_line_of_flat_json() {
    let mut server = crate::IceServer::new("turn:h:1?transport=udp").with_credentials("1:me", "p\u{e9}/+=");
    server.urls.push("turns:h:1?transport=tcp".into());
    let message = RelayMessage::IceServers(IceServers {
        server,
        lifetime: Duration::from_secs(3600),
    });
    let text = message.encode();
    assert_eq!(
        text,
        r#"{"urls": "turn:h:1?transport=udp turns:h:1?transport=tcp", "username": "1:me", "credential": "p\u00e9/+=", "lifetime": 3600, "message_type": "ice_servers"}"#
    );
    assert_eq!(RelayMessage::decode(&text), Ok(message));
    for (part, other) in [
        ("3600", "-1"),
        ("3600", "\"x\""),
        ("3600", "1.5"),
        ("urls", "url"),
        ("1:me", &"x".repeat(9999)),
    ] {
        assert!(RelayMessage::decode(&text.replace(part, other)).is_err(), "{other}");
    }
}
