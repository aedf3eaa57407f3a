use super::*;
use proptest::prelude::*;

fn decode(text: &str) -> Result<Option<Catalog>> {
    Catalog::decode(&Message::Text(text.into()))
}

fn every_message() -> Vec<Catalog> {
    let participant = Participant {
        uuid: Uuid::from_u128(7),
        name: "Chrome".into(),
        role: Role::Page,
    };
    let file = Entry {
        name: "漢字 \".txt".into(),
        size: Some(5),
        modified: Some(1),
        omitted: None,
    };
    let folder = Entry {
        name: "b".into(),
        size: None,
        modified: None,
        omitted: None,
    };
    vec![
        Catalog::Hello {
            name: "laptop".into(),
            role: Role::Folder,
            readonly: true,
        },
        Catalog::Peers(vec![participant]),
        Catalog::List {
            request: 1,
            path: String::new(),
            after: Some("a".into()),
            all: true,
            quiet: true,
        },
        Catalog::Listing {
            request: 1,
            entries: vec![file, folder],
            more: true,
        },
        Catalog::Get {
            request: 2,
            path: "a/b".into(),
        },
        Catalog::Coming {
            request: 2,
            transfer: 9,
        },
        Catalog::Refused {
            request: 2,
            code: "not-found".into(),
            reason: "gone".into(),
        },
        Catalog::Changed,
        Catalog::Snippet {
            id: "x1".into(),
            name: "me".into(),
            text: "line\n\u{202e}two".into(),
        },
        Catalog::Ping { request: 3 },
        Catalog::Pong { request: 3 },
    ]
}

#[test]
fn every_message_reads_back_as_it_was() {
    for message in every_message() {
        assert_eq!(Catalog::decode(&message.encode()), Ok(Some(message)));
    }
}

#[test]
fn the_wire_text_is_as_documented() {
    let list = Catalog::List {
        request: 1,
        path: "photos".into(),
        after: None,
        all: false,
        quiet: false,
    };
    let text = r#"{"crosspeer":"catalog/1","type":"list","request":1,"path":"photos"}"#;
    assert_eq!(list.encode(), Message::Text(text.into()));
}

#[test]
fn other_messages_are_left_alone() {
    for text in ["", "hello", r#"{"crosspeer":"transfer/1","type":"done","id":0}"#] {
        assert_eq!(decode(text), Ok(None));
    }
    assert_eq!(
        Catalog::decode(&Message::Bytes(bytes::Bytes::from_static(b"x"))),
        Ok(None)
    );
}

#[test]
fn paths_that_lead_out_are_refused() {
    for path in ["..", "a/../b", "/etc", "a//b", "a/", ".", "a/./b", "\\u0000"] {
        let text = format!(r#"{{"crosspeer":"catalog/1","type":"get","request":1,"path":"{path}"}}"#);
        assert!(decode(&text).is_err(), "{path}");
    }
    for path in ["", "a", "a/b..c/..d"] {
        assert_eq!(check_path(path), Ok(()));
    }
}

#[test]
fn hostile_messages_are_errors() {
    let long = "x".repeat(MAX_SNIPPET + 1);
    for rest in [
        r#""type":"snippet","id":"","text":"x""#.to_owned(),
        format!(r#""type":"snippet","id":"1","text":"{long}""#),
        r#""type":"listing","entries":[{"name":"../x"}]"#.to_owned(),
        r#""type":"coming","request":1"#.to_owned(),
        r#""type":"nonsense""#.to_owned(),
        r#""type":"ping","request":-1"#.to_owned(),
        format!(r#""type":"hello","name":"{}""#, "x".repeat(MAX_BYTES)),
    ] {
        let text = format!(r#"{{"crosspeer":"catalog/1",{rest}}}"#);
        assert!(
            matches!(decode(&text), Err(Error::PeerMisbehaved(_))),
            "{}",
            &text[..80.min(text.len())]
        );
    }
    assert!(decode(r#"{"crosspeer":"catalog/2","type":"changed"}"#).is_err());
}

#[test]
fn names_are_short_and_printable() {
    let name = format!("a\u{202e}\n{}", "é".repeat(200));
    let hello = Catalog::Hello {
        name,
        role: Role::Page,
        readonly: false,
    };
    let Ok(Some(Catalog::Hello { name, .. })) = Catalog::decode(&hello.encode()) else {
        panic!("not a hello");
    };
    assert_eq!((name.chars().count(), name.contains('\u{202e}')), (64, false));
}

#[test]
fn a_role_of_a_later_version_is_a_peer() {
    let text = r#"{"crosspeer":"catalog/1","type":"hello","name":"x","role":"robot"}"#;
    assert!(matches!(
        decode(text),
        Ok(Some(Catalog::Hello { role: Role::Peer, .. }))
    ));
}

#[test]
fn the_longest_part_of_a_listing_fits_a_message() {
    let entry = Entry {
        name: "\u{1}".repeat(255),
        size: Some(u64::MAX),
        modified: Some(u64::MAX),
        omitted: None,
    };
    let entries = vec![entry; MAX_ENTRIES];
    let listing = Catalog::Listing {
        request: u32::MAX,
        entries,
        more: true,
    };
    assert!(listing.encode().len() <= MAX_BYTES);
}

#[test]
fn hostile_names_at_the_relay_do_not_make_the_list_of_peers_too_long() {
    let peer = Participant {
        uuid: Uuid::from_u128(7),
        name: "\"\u{1}".repeat(500_000),
        role: Role::Peer,
    };
    let peers = Catalog::Peers(vec![peer; MAX_PEERS + 1]).encode();
    assert!(matches!(Catalog::decode(&peers), Ok(Some(Catalog::Peers(list))) if list.len() == MAX_PEERS));
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(rest in r#"[ -~]{0,80}"#) {
        let _ = decode(&format!(r#"{{"crosspeer":"catalog/1",{rest}}}"#));
    }
}
