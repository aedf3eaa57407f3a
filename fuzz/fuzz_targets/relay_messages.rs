//! Whatever a relay or a relay's client sends: no panic, and what is read is written and read the same.
#![no_main]

use crosspeer::relay::RelayMessage;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(message) = RelayMessage::decode(text) {
        assert_eq!(RelayMessage::decode(&message.encode()), Ok(message));
    }
});
