//! Whatever a peer sends over its data channels: no panic, bounded memory, and nothing left once it has expired.
#![no_main]

use bytes::Bytes;
use crosspeer::chunk::Frame;
use crosspeer::reassembly::{Limits, Reassembly, SLACK_BYTES};
use libfuzzer_sys::fuzz_target;
use std::time::Duration;
use web_time::Instant;

const MAX_MESSAGE_BYTES: usize = 1000;

fuzz_target!(|input: &[u8]| {
    let mut reassembly = Reassembly::new(Limits {
        max_message_bytes: MAX_MESSAGE_BYTES as u64,
        max_incomplete_messages: 4,
        incomplete_timeout: Duration::from_secs(60),
    });
    let mut now = Instant::now();
    let mut rest = input;
    // One byte for the size of each data-channel message, then the message.
    while let Some((&size, data)) = rest.split_first() {
        let (data, next) = data.split_at(data.len().min(size.into()));
        rest = next;
        now += Duration::from_secs(1);
        reassembly.expire(now);
        let Ok(frame) = Frame::decode(Bytes::copy_from_slice(data)) else {
            continue;
        };
        assert!(frame.payload.len() <= data.len());
        if let Ok(Some((_, message))) = reassembly.insert(now, frame) {
            assert!(message.len() <= MAX_MESSAGE_BYTES);
        }
        assert!(reassembly.incomplete_bytes() <= MAX_MESSAGE_BYTES + SLACK_BYTES);
        assert!(reassembly.incomplete_messages() <= 4);
    }
    reassembly.expire(now + Duration::from_secs(60));
    assert_eq!((reassembly.incomplete_bytes(), reassembly.next_deadline()), (0, None));
});
