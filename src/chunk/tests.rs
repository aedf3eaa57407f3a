use super::*;
use proptest::prelude::*;

fn hex(text: &str) -> Bytes {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn split(message: impl Into<Message>, stream_id: u32, max_payload: usize) -> Vec<Bytes> {
    Splitter::new(message.into(), stream_id, max_payload)
        .map(BytesMut::freeze)
        .collect()
}

fn payloads(frames: &[Bytes]) -> Vec<Bytes> {
    frames
        .iter()
        .map(|frame| Frame::decode(frame.clone()).unwrap().payload)
        .collect()
}

/// A chunk with any length field: 18 bytes of header, then the payload.
fn chunk(kind: u16, length: u32, seq_id: u32, seq_len: u32, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u16(kind);
    frame.put_u32(length);
    frame.put_u32(7);
    frame.put_u32(seq_id);
    frame.put_u32(seq_len);
    frame.put_slice(payload);
    frame.freeze()
}

#[test]
fn bytes_are_written_as_proxystore_writes_them() {
    //              kind length   stream   seq id   seq len  payload
    let hello = hex("0001 00000017 00000000 00000000 00000001 68656c6c6f");
    assert_eq!(split(b"hello", 0, PROXYSTORE_CHUNK_BYTES), [hello]);
}

#[test]
fn ascii_text_is_written_as_proxystore_writes_it() {
    let hello = hex("0002 00000017 00000001 00000000 00000001 68656c6c6f");
    assert_eq!(split("hello", 1, PROXYSTORE_CHUNK_BYTES), [hello]);
}

#[test]
fn the_length_of_other_text_is_written_in_bytes() {
    // ProxyStore writes 0x1c = 28, which makes its receiver lose the last 7 bytes; 0x23 = 35 is what it needs.
    let text = hex("0002 00000023 00000002 00000000 00000001 68c3a96c6c6f20e29c9320e6bca2e5ad97");
    assert_eq!(split("héllo ✓ 漢字", 2, PROXYSTORE_CHUNK_BYTES), [text]);
}

#[test]
fn a_full_chunk_is_one_and_a_byte_more_is_two() {
    let full = vec![0xab; PROXYSTORE_CHUNK_BYTES];
    let frames = split(full.clone(), 5, PROXYSTORE_CHUNK_BYTES);
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].len(), 32786);
    assert_eq!(frames[0][..18], hex("0001 00008012 00000005 00000000 00000001"));

    let frames = split([full, vec![0]].concat(), 6, PROXYSTORE_CHUNK_BYTES);
    assert_eq!(frames.len(), 2);
    assert_eq!(frames[0][..18], hex("0001 00008012 00000006 00000000 00000002"));
    assert_eq!(frames[1], hex("0001 00000013 00000006 00000001 00000002 00"));
}

#[test]
fn an_empty_message_is_one_empty_chunk() {
    assert_eq!(split(b"", 3, 1024), [hex("0001 00000012 00000003 00000000 00000001")]);
    assert_eq!(split("", 4, 1024), [hex("0002 00000012 00000004 00000000 00000001")]);
}

#[test]
fn text_is_split_between_code_points() {
    // 1, 2, 3 and 4 bytes.
    assert_eq!(
        payloads(&split("aé漢🦀", 0, 4)),
        ["aé".as_bytes(), "漢".as_bytes(), "🦀".as_bytes()]
    );
    // The first chunk would end inside the last code point at any size but 10.
    assert_eq!(payloads(&split("aé漢🦀", 0, 9)), ["aé漢".as_bytes(), "🦀".as_bytes()]);
    assert_eq!(payloads(&split("aé漢🦀", 0, 10)).len(), 1);
}

#[test]
fn a_payload_too_small_for_a_code_point_counts_as_four_bytes() {
    assert_eq!(payloads(&split("🦀🦀", 0, 0)), ["🦀".as_bytes(), "🦀".as_bytes()]);
}

#[test]
fn a_splitter_tells_what_is_left() {
    let mut splitter = Splitter::new(Message::from(vec![0; 10]), 0, 4);
    let mut seen = Vec::new();
    loop {
        seen.push((splitter.next_seq_id(), splitter.remaining_bytes(), splitter.len()));
        if splitter.next().is_none() {
            break;
        }
    }
    assert_eq!(seen, [(Some(0), 10, 3), (Some(1), 6, 2), (Some(2), 2, 1), (None, 0, 0)]);
    assert!(splitter.next().is_none());
}

#[test]
fn proxystores_text_with_its_length_in_characters_is_read_whole() {
    let data = hex("0002 0000001c 00000002 00000000 00000001 68c3a96c6c6f20e29c9320e6bca2e5ad97");
    assert_eq!(Frame::decode(data).unwrap().payload, "héllo ✓ 漢字");
}

#[test]
fn text_with_any_larger_length_is_read_whole() {
    for length in [0x18, 0xffff_ffff] {
        assert_eq!(
            Frame::decode(chunk(2, length, 0, 1, b"hello")).unwrap().payload,
            "hello"
        );
    }
}

#[test]
fn bytes_end_where_their_length_says() {
    let padded = chunk(1, 23, 0, 1, b"hello\0\0\0");
    assert_eq!(Frame::decode(padded).unwrap().payload, "hello");
}

#[test]
fn bytes_that_were_cut_off_are_refused() {
    for kind in [1, 3] {
        let error = FrameError::CutOff { length: 23, actual: 22 };
        assert_eq!(Frame::decode(chunk(kind, 23, 0, 1, b"hell")), Err(error));
        let error = FrameError::CutOff {
            length: u32::MAX,
            actual: 22,
        };
        assert_eq!(Frame::decode(chunk(kind, u32::MAX, 0, 1, b"hell")), Err(error));
    }
}

#[test]
fn a_length_below_the_header_is_refused_and_not_read_as_empty() {
    for (kind, length) in [(1, 0), (1, 17), (2, 0), (2, 17), (3, 17)] {
        assert_eq!(
            Frame::decode(chunk(kind, length, 0, 1, b"hello")),
            Err(FrameError::LengthTooSmall(length))
        );
    }
    assert_eq!(Frame::decode(chunk(1, 18, 0, 1, b"hello")).unwrap().payload, "");
}

#[test]
fn what_is_no_chunk_is_refused() {
    assert_eq!(Frame::decode(Bytes::new()), Err(FrameError::TooShort(0)));
    assert_eq!(
        Frame::decode(chunk(1, 18, 0, 1, b"").slice(..17)),
        Err(FrameError::TooShort(17))
    );
    for kind in [0, 4, 0xffff] {
        assert_eq!(
            Frame::decode(chunk(kind, 18, 0, 1, b"")),
            Err(FrameError::UnknownKind(kind))
        );
    }
    for (seq_id, seq_len) in [(0, 0), (1, 1), (2, 1), (u32::MAX, u32::MAX)] {
        let error = FrameError::NoSuchChunk { seq_id, seq_len };
        assert_eq!(Frame::decode(chunk(1, 18, seq_id, seq_len, b"")), Err(error));
    }
}

#[test]
fn a_chunk_larger_than_proxystores_own_is_read() {
    let data = chunk(1, 262_144, 0, 1, &[1; 262_126]);
    assert_eq!(Frame::decode(data).unwrap().payload.len(), 262_126);
}

#[test]
fn a_payload_is_read_without_a_copy() {
    let data = chunk(1, 23, 0, 1, b"hello");
    let frame = Frame::decode(data.clone()).unwrap();
    assert_eq!(frame.payload.as_ptr(), data[HEADER_BYTES..].as_ptr());
}

proptest! {
    #[test]
    fn any_header_survives_the_wire(kind in 1u16..=3, stream_id: u32, ids: (u32, u32), payload: Vec<u8>) {
        let (seq_id, seq_len) = (ids.0.min(ids.1), ids.0.max(ids.1));
        prop_assume!(seq_id < seq_len);
        let header = Header { kind: Kind::try_from(kind).unwrap(), stream_id, seq_id, seq_len };
        let frame = Frame::decode(encode(&header, &payload).freeze()).unwrap();
        prop_assert_eq!(frame, Frame { header, payload: payload.into() });
    }

    #[test]
    fn arbitrary_bytes_never_panic(data: Vec<u8>) {
        let _ = Frame::decode(data.into());
    }

    #[test]
    fn chunks_of_text_are_text_and_within_size(text in "\\PC{0,200}", max_payload in 4usize..64) {
        let frames = split(text.as_str(), 0, max_payload);
        let mut joined = String::new();
        for (seq_id, frame) in frames.iter().enumerate() {
            let frame = Frame::decode(frame.clone()).unwrap();
            prop_assert_eq!(frame.header.seq_id as usize, seq_id);
            prop_assert_eq!(frame.header.seq_len as usize, frames.len());
            prop_assert!(frame.payload.len() <= max_payload);
            joined.push_str(std::str::from_utf8(&frame.payload).unwrap());
        }
        prop_assert_eq!(joined, text);
    }
}
