//! Whatever comes to a UDP socket: the engine's reader of STUN, which `crosspeer doctor` uses too, does not panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rtc::stun::message::{Getter, Message};
use rtc::stun::xoraddr::XorMappedAddress;

fuzz_target!(|datagram: &[u8]| {
    let mut message = Message::new();
    if message.unmarshal_binary(datagram).is_ok() {
        let mut mapped = XorMappedAddress::default();
        let _ = mapped.get_from(&message);
    }
});
