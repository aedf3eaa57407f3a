//! Messages of every size that matters, and their comparison byte for byte.

use crosspeer::Message;

/// `len` bytes that do not repeat, different for each `seed`.
pub fn bytes_of(seed: u64, len: usize) -> Message {
    let mut state = seed;
    let next = || {
        // Knuth's linear congruential generator; the upper bits are the better ones.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(len).collect::<Vec<u8>>().into()
}

/// Both kinds, empty and not, around ProxyStore's chunk size of 32768 bytes, up to 16 MiB.
pub fn every_size() -> Vec<Message> {
    let mut samples: Vec<Message> = ["", "hello", "héllo ✓ 漢字"].map(Message::from).into();
    samples.push("漢字✓é".repeat(20_000).into());
    for (seed, len) in (1..).zip([0, 1, 32_767, 32_768, 32_769, 1 << 20, 16 << 20]) {
        samples.push(bytes_of(seed, len));
    }
    samples
}

/// A hundred small messages, all different.
pub fn hundred_small() -> Vec<Message> {
    (0..100)
        .map(|i| {
            if i % 2 == 0 {
                format!("small {i}").into()
            } else {
                bytes_of(i, 64)
            }
        })
        .collect()
}

/// The same messages, whatever the order: ProxyStore delivers them as they complete.
pub fn assert_same(mut received: Vec<Message>, mut sent: Vec<Message>) {
    let key = |message: &Message| (message.len(), message.as_text().is_some(), message.as_bytes().to_vec());
    received.sort_by_cached_key(key);
    sent.sort_by_cached_key(key);
    for (index, (received, sent)) in received.iter().zip(&sent).enumerate() {
        assert!(
            received == sent,
            "message {index}: received {}, sent {}",
            describe(received),
            describe(sent)
        );
    }
    assert_eq!(received.len(), sent.len(), "number of messages");
}

fn describe(message: &Message) -> String {
    match message {
        Message::Text(text) => format!(
            "text of {} bytes: {:.40?}",
            text.len(),
            text.chars().take(30).collect::<String>()
        ),
        Message::Bytes(bytes) => format!("{} bytes: {:02x?}…", bytes.len(), &bytes[..bytes.len().min(16)]),
    }
}
