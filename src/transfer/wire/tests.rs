//! Golden messages, and what malformed ones lead to.

use super::*;
use proptest::prelude::*;

#[test]
fn an_offer_has_these_bytes() {
    let offer = ToReceiver::Offer {
        id: 7,
        offer: Offer {
            name: "a/b.txt".into(),
            size: 5,
            modified: Some(1_700_000_000_000),
            ..Offer::default()
        },
    };
    let text = r#"{"crosspeer":"transfer/1","type":"offer","id":7,"name":"a/b.txt","size":5,"modified":1700000000000}"#;
    assert_eq!(offer.encode(), Message::from(text));
    assert_eq!(Packet::decode(text.into()), Ok(Packet::ToReceiver(offer)));
}

#[test]
fn a_data_block_has_these_bytes() {
    let message = encode_data(1, 0x0102, b"hello");
    let bytes = b"\xf5xp1\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01\x02hello";
    assert_eq!(message, Message::from(bytes));
    let data = Bytes::from_static(b"hello");
    let data = ToReceiver::Data {
        id: 1,
        offset: 0x0102,
        data,
    };
    assert_eq!(Packet::decode(message), Ok(Packet::ToReceiver(data)));
}

#[test]
fn every_control_message_survives_the_wire() {
    let (code, reason) = (StopCode::TooMany, String::from("é \"quoted\""));
    for message in [
        ToSender::Accept {
            id: 0,
            offset: 0,
            window: 1 << 22,
            estimate: true,
        },
        ToSender::Ack {
            id: u32::MAX,
            received: u64::MAX,
        },
        ToSender::Done { id: 3, name: None },
        ToSender::Done {
            id: 3,
            name: Some("a/b (1).txt".into()),
        },
        ToSender::Kept { id: 5 },
        ToSender::Lost {
            id: 6,
            code,
            reason: reason.clone(),
        },
        ToSender::Stop {
            id: 4,
            code,
            reason: reason.clone(),
        },
    ] {
        assert_eq!(Packet::decode(message.encode()), Ok(Packet::ToSender(message)));
    }
    for message in [
        ToReceiver::End {
            id: 0,
            hash: [0xab; 32],
        },
        ToReceiver::Cancel { id: 1, code, reason },
    ] {
        assert_eq!(Packet::decode(message.encode()), Ok(Packet::ToReceiver(message)));
    }
}

#[test]
fn a_users_own_messages_fall_through_untouched() {
    for message in [
        "",
        "hello",
        "{}",
        r#"{"crosspeer":"other"}"#,
        r#"{ "crosspeer":"transfer/1"}"#,
    ] {
        assert_eq!(Packet::decode(message.into()), Ok(Packet::NotTransfer(message.into())));
    }
    let bytes = Message::from(b"\xf5xp");
    assert_eq!(Packet::decode(bytes.clone()), Ok(Packet::NotTransfer(bytes)));
}

#[test]
fn malformed_transfer_messages_are_errors_that_say_what_is_wrong() {
    for (text, why) in [
        (r#"{"crosspeer":"transfer/1""#, "malformed"),
        (r#"{"crosspeer":"transfer/2","type":"offer","id":0}"#, "transfer/2"),
        (r#"{"crosspeer":"transfer/1","type":"offer","id":0,"size":1}"#, "`name`"),
        (
            r#"{"crosspeer":"transfer/1","type":"offer","id":0,"name":"a","size":-1}"#,
            "malformed",
        ),
        (
            r#"{"crosspeer":"transfer/1","type":"offer","id":0,"name":"a","size":1e99}"#,
            "malformed",
        ),
        (
            r#"{"crosspeer":"transfer/1","type":"end","id":0,"blake3":"00"}"#,
            "64 hex digits",
        ),
        (r#"{"crosspeer":"transfer/1","type":"\u001b[2J","id":0}"#, "unknown"),
    ] {
        let error = Packet::decode(text.into()).unwrap_err().to_string();
        assert!(error.contains(why) && !error.contains('\u{1b}'), "{text}: {error}");
    }
    assert!(Packet::decode(Message::from(b"\xf5xp1")).is_err());
    assert!(Packet::decode(Message::from(b"\xf5xp1\0\0\0\0\0\0\0\0\0\0\0\0")).is_err());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(tail in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = Packet::decode([&MAGIC[..], &tail].concat().into());
    }

    #[test]
    fn arbitrary_text_never_panics(tail in any::<String>()) {
        let _ = Packet::decode(format!("{PREFIX}1\",{tail}").into());
    }
}
