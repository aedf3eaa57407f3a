use super::*;
use crate::chunk::{Splitter, encode};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// The tests' clock: only differences matter.
#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}

fn frame(kind: Kind, stream_id: u32, seq_id: u32, seq_len: u32, payload: impl AsRef<[u8]>) -> Frame {
    let header = Header {
        kind,
        stream_id,
        seq_id,
        seq_len,
    };
    Frame::decode(encode(&header, payload.as_ref()).freeze()).unwrap()
}

fn bytes(stream_id: u32, seq_id: u32, seq_len: u32, payload: impl AsRef<[u8]>) -> Frame {
    frame(Kind::Bytes, stream_id, seq_id, seq_len, payload)
}

fn small(max_message_bytes: u64) -> Reassembly {
    Reassembly::new(Limits {
        max_message_bytes,
        ..Limits::default()
    })
}

/// Everything that comes out of these chunks, all at one time.
fn run(frames: impl IntoIterator<Item = Frame>) -> Vec<Result<(u32, Message), Misbehaviour>> {
    let mut reassembly = Reassembly::new(Limits::default());
    let now = start();
    frames
        .into_iter()
        .filter_map(|frame| reassembly.insert(now, frame).transpose())
        .collect()
}

fn message(stream_id: u32, message: impl Into<Message>) -> Result<(u32, Message), Misbehaviour> {
    Ok((stream_id, message.into()))
}

#[test]
fn an_empty_chunk_is_an_empty_message() {
    let text = frame(Kind::Text, 1, 0, 1, "");
    assert_eq!(run([bytes(0, 0, 1, ""), text]), [message(0, b""), message(1, "")]);
}

#[test]
fn chunks_come_in_any_order_and_interleaved() {
    let frames = [
        bytes(1, 2, 3, "c"),
        bytes(2, 0, 2, "x"),
        bytes(1, 0, 3, "a"),
        bytes(2, 1, 2, "y"),
        bytes(1, 1, 3, "b"),
    ];
    assert_eq!(run(frames), [message(2, b"xy"), message(1, b"abc")]);
}

#[test]
fn a_repeated_chunk_does_not_count() {
    // ProxyStore delivers `AA` here.
    let frames = [bytes(0, 0, 2, "A"), bytes(0, 0, 2, "A"), bytes(0, 1, 2, "B")];
    assert_eq!(run(frames), [message(0, b"AB")]);
    let frames = [bytes(0, 1, 2, "B"), bytes(0, 1, 2, "B"), bytes(0, 0, 2, "A")];
    assert_eq!(run(frames), [message(0, b"AB")]);
}

#[test]
fn a_late_repetition_neither_makes_a_message_nor_stays() {
    let mut reassembly = small(1000);
    let now = start();
    let chunks = [bytes(0, 0, 2, "A"), bytes(0, 1, 2, "B")];
    for (frame, expected) in chunks.iter().zip([None, Some((0, Message::from(b"AB")))]) {
        assert_eq!(reassembly.insert(now, frame.clone()), Ok(expected));
    }
    for frame in chunks {
        assert_eq!(reassembly.insert(now, frame), Ok(None));
    }
    assert_eq!((reassembly.incomplete_bytes(), reassembly.next_deadline()), (0, None));
}

#[test]
fn a_number_is_used_again_after_completion() {
    let frames = [
        bytes(u32::MAX, 0, 1, "a"),
        bytes(u32::MAX, 0, 1, "b"),
        bytes(0, 0, 1, "c"),
    ];
    assert_eq!(
        run(frames),
        [message(u32::MAX, b"a"), message(u32::MAX, b"b"), message(0, b"c")]
    );

    let frames = [
        bytes(0, 0, 2, "a"),
        bytes(0, 1, 2, "b"),
        bytes(0, 0, 1, "c"),
        bytes(0, 0, 3, "d"),
    ];
    let more = [bytes(0, 1, 3, "e"), bytes(0, 2, 3, "f")];
    let expected = [message(0, b"ab"), message(0, b"c"), message(0, b"def")];
    assert_eq!(run(frames.into_iter().chain(more)), expected);

    let again = (0..=1024)
        .chain([0])
        .flat_map(|id| [bytes(id, 0, 2, "a"), bytes(id, 1, 2, "b")]);
    assert_eq!(run(again).len(), 1026);
}

#[test]
fn chunks_that_contradict_each_other_end_their_message_only() {
    let contradiction = Misbehaviour::Contradiction { stream_id: 0 };
    for other in [
        bytes(0, 1, 3, "b"),
        frame(Kind::Text, 0, 1, 2, "b"),
        bytes(0, 0, 1, "b"),
    ] {
        let frames = [
            bytes(0, 0, 2, "a"),
            bytes(1, 0, 2, "x"),
            other,
            bytes(0, 1, 2, "b"),
            bytes(1, 1, 2, "y"),
        ];
        assert_eq!(run(frames), [Err(contradiction), message(1, b"xy")]);
    }
}

#[test]
fn a_control_chunk_is_no_part_of_a_message() {
    let error = Misbehaviour::NotAMessage { stream_id: 0 };
    let frames = [
        bytes(0, 0, 2, "a"),
        frame(Kind::Control, 0, 0, 1, "ping"),
        bytes(0, 1, 2, "b"),
    ];
    assert_eq!(run(frames), [Err(error), message(0, b"ab")]);
}

#[test]
fn a_message_above_the_limit_is_freed_at_once_and_its_rest_ignored() {
    let mut reassembly = small(10);
    let now = start();
    let error = Misbehaviour::TooLarge {
        stream_id: 0,
        limit: 10,
    };
    assert_eq!(reassembly.insert(now, bytes(0, 0, 3, "12345")), Ok(None));
    assert_eq!(reassembly.insert(now, bytes(0, 2, 3, "678901")), Err(error));
    assert_eq!(reassembly.incomplete_bytes(), 0);
    assert_eq!(reassembly.insert(now, bytes(0, 1, 3, "")), Ok(None));
    assert_eq!(reassembly.incomplete_bytes(), 0);
    assert_eq!(
        reassembly.insert(now, bytes(1, 0, 1, "12345678901")),
        Err(Misbehaviour::TooLarge {
            stream_id: 1,
            limit: 10
        })
    );
    assert_eq!(
        reassembly.insert(now, bytes(2, 0, 1, "1234567890")),
        Ok(Some((2, Message::from(b"1234567890"))))
    );
}

#[test]
fn an_absurd_number_of_chunks_is_refused() {
    let mut reassembly = small(10);
    let error = Misbehaviour::TooLarge {
        stream_id: 0,
        limit: 10,
    };
    assert_eq!(reassembly.insert(start(), bytes(0, 0, 12, "")), Err(error));
    assert_eq!(reassembly.insert(start(), bytes(1, 0, 11, "")), Ok(None));
}

#[test]
fn what_is_declared_allocates_no_more_than_16_times_what_was_sent() {
    let mut reassembly = Reassembly::new(Limits::default());
    reassembly.insert(start(), bytes(0, 0, 1 << 30, [0; 1000])).unwrap();
    assert!(
        reassembly.incomplete_bytes() < 17_000,
        "{}",
        reassembly.incomplete_bytes()
    );
}

#[test]
fn too_many_incomplete_messages_are_refused() {
    let mut reassembly = Reassembly::new(Limits {
        max_incomplete_messages: 2,
        ..Limits::default()
    });
    let now = start();
    for id in 0..2 {
        assert_eq!(reassembly.insert(now, bytes(id, 0, 2, "a")), Ok(None));
    }
    let error = Misbehaviour::TooManyIncomplete { stream_id: 2, limit: 2 };
    assert_eq!(reassembly.insert(now, bytes(2, 0, 2, "a")), Err(error));
    assert_eq!(reassembly.insert(now, bytes(2, 1, 2, "b")), Ok(None));
    assert_eq!(
        reassembly.insert(now, bytes(3, 0, 1, "c")),
        Ok(Some((3, Message::from(b"c"))))
    );
    assert_eq!(
        reassembly.insert(now, bytes(0, 1, 2, "b")),
        Ok(Some((0, Message::from(b"ab"))))
    );
}

#[test]
fn a_flood_of_tiny_chunks_is_bounded() {
    let mut reassembly = small(1 << 20);
    let now = start();
    let limit = (1 << 20) + SLACK_BYTES;
    let mut refused = 0;
    for seq_id in 1..400_000 {
        let stream_id = seq_id / 100_000;
        refused += u32::from(
            reassembly
                .insert(now, bytes(stream_id, seq_id % 100_000 + 1, 1 << 20, ""))
                .is_err(),
        );
        assert!(reassembly.incomplete_bytes() <= limit);
    }
    assert!(refused > 0);
}

#[test]
fn a_large_message_is_held_about_once() {
    let (chunk, count) = (vec![7; 32768], 2048); // 64 MiB
    let mut reassembly = small(64 << 20);
    let now = start();
    for seq_id in 0..count {
        let done = reassembly.insert(now, bytes(0, seq_id, count, &chunk)).unwrap();
        assert_eq!(done.is_some(), seq_id == count - 1);
        let received = (seq_id as usize + 1) * chunk.len();
        assert!(reassembly.incomplete_bytes() <= (received + received / 4).max(1 << 20) + 1024);
        assert!(reassembly.incomplete_bytes() <= (64 << 20) + 1024);
    }
    assert_eq!(reassembly.incomplete_bytes(), 0);
}

#[test]
fn a_message_of_the_largest_size_fits_in_any_order() {
    let (chunk, count) = (vec![7; 32768], 1024); // 32 MiB
    let mut reassembly = small(32 << 20);
    let now = start();
    for seq_id in (1..count).rev() {
        assert_eq!(reassembly.insert(now, bytes(0, seq_id, count, &chunk)), Ok(None));
    }
    let (_, message) = reassembly.insert(now, bytes(0, 0, count, &chunk)).unwrap().unwrap();
    assert_eq!(message.len(), 32 << 20);
}

#[test]
fn text_may_be_split_inside_a_code_point() {
    let text = "漢".as_bytes();
    let frames = [
        frame(Kind::Text, 0, 0, 2, &text[..1]),
        frame(Kind::Text, 0, 1, 2, &text[1..]),
    ];
    assert_eq!(run(frames), [message(0, "漢")]);
}

#[test]
fn invalid_text_is_dropped() {
    let halves = [frame(Kind::Text, 0, 0, 2, b"\xff"), frame(Kind::Text, 0, 1, 2, b"a")];
    let whole = [frame(Kind::Text, 1, 0, 1, b"\xff"), frame(Kind::Text, 2, 0, 1, b"a")];
    let expected = [
        Err(Misbehaviour::InvalidText { stream_id: 0 }),
        Err(Misbehaviour::InvalidText { stream_id: 1 }),
        message(2, "a"),
    ];
    assert_eq!(run(halves.into_iter().chain(whole)), expected);
}

#[test]
fn a_message_without_progress_is_given_up() {
    let mut reassembly = small(1000);
    let t = |seconds| Duration::from_secs(seconds);
    let zero = start();
    reassembly.insert(zero, bytes(0, 0, 3, "a")).unwrap();
    reassembly.insert(zero + t(10), bytes(1, 0, 2, "x")).unwrap();
    reassembly.insert(zero + t(30), bytes(0, 1, 3, "b")).unwrap();
    reassembly.insert(zero + t(50), bytes(0, 1, 3, "b")).unwrap(); // a repetition is no progress
    assert_eq!(reassembly.next_deadline(), Some(zero + t(60)));
    assert_eq!(reassembly.expire(zero + t(60)), 0);
    assert_eq!(reassembly.next_deadline(), Some(zero + t(70)));
    assert_eq!(reassembly.expire(zero + t(70)), 1);
    assert_eq!(reassembly.next_deadline(), Some(zero + t(90)));
    assert_eq!(reassembly.expire(zero + t(90)), 1);
    assert_eq!((reassembly.incomplete_bytes(), reassembly.next_deadline()), (0, None));
    assert_eq!(reassembly.insert(zero + t(91), bytes(0, 2, 3, "c")), Ok(None));
    assert_eq!(reassembly.incomplete_messages(), 0);
}

#[test]
fn a_message_of_one_chunk_is_not_copied() {
    let frame = bytes(0, 0, 1, "hello");
    let payload = frame.payload.as_ptr();
    let (_, message) = Reassembly::new(Limits::default())
        .insert(start(), frame)
        .unwrap()
        .unwrap();
    assert_eq!(message.as_bytes().as_ptr(), payload);
}

fn any_message() -> impl Strategy<Value = Message> {
    let text = "\\PC{0,60}".prop_map(Message::from);
    prop_oneof![text, prop::collection::vec(any::<u8>(), 0..200).prop_map(Message::from)]
}

fn frames_of(messages: &[Message], max_payload: usize) -> Vec<Frame> {
    let split = |(id, message): (usize, &Message)| Splitter::new(message.clone(), id as u32, max_payload);
    let frames = messages.iter().enumerate().flat_map(split);
    frames.map(|frame| Frame::decode(frame.freeze()).unwrap()).collect()
}

/// Frames of few streams with few numbers, so that they often meet.
fn any_frame() -> impl Strategy<Value = Frame> {
    let part = (
        1u16..=3,
        0u32..4,
        0u32..4,
        1u32..4,
        prop::collection::vec(any::<u8>(), 0..40),
    );
    part.prop_map(|(kind, stream_id, seq_id, seq_len, payload)| {
        frame(
            Kind::try_from(kind).unwrap(),
            stream_id,
            seq_id % seq_len,
            seq_len,
            payload,
        )
    })
}

proptest! {
    #[test]
    fn messages_survive_shuffling_and_repetition(
        messages in prop::collection::vec(any_message(), 1..8),
        max_payload in 4usize..40,
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        seed: u64,
    ) {
        let mut frames = frames_of(&messages, max_payload);
        // A chunk of a one-chunk message cannot come twice: channels are reliable.
        let repeated: Vec<Frame> = picks.iter().map(|i| i.get(&frames).clone()).filter(|f| f.header.seq_len > 1).collect();
        frames.extend(repeated);
        fastrand::Rng::with_seed(seed).shuffle(&mut frames);
        let mut reassembly = Reassembly::new(Limits::default());
        let mut received = BTreeMap::new();
        let now = start();
        for frame in frames {
            if let Some((id, message)) = reassembly.insert(now, frame).unwrap() {
                prop_assert_eq!(received.insert(id, message), None);
            }
        }
        prop_assert_eq!(received.into_values().collect::<Vec<_>>(), messages);
        prop_assert_eq!(reassembly.incomplete_bytes(), 0);
    }

    #[test]
    fn whatever_comes_memory_is_bounded_and_freed(frames in prop::collection::vec(any_frame(), 0..100)) {
        let mut reassembly = small(60);
        let now = start();
        for frame in frames {
            if let Ok(Some((_, message))) = reassembly.insert(now, frame) {
                prop_assert!(message.len() <= 60);
            }
            prop_assert!(reassembly.incomplete_bytes() <= 60 + SLACK_BYTES);
            prop_assert_eq!(reassembly.incomplete_bytes() == 0, reassembly.incomplete_messages() == 0);
        }
        let incomplete = reassembly.incomplete_messages();
        prop_assert_eq!(reassembly.expire(now + Duration::from_secs(60)), incomplete);
        prop_assert_eq!((reassembly.incomplete_bytes(), reassembly.next_deadline()), (0, None));
    }
}
