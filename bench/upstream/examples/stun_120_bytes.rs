//! A STUN answer of more than 120 bytes cannot be read: here what coturn answers over IPv6.

use rtc_stun::attributes::{ATTR_REALM, ATTR_SOFTWARE};
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::message::{BINDING_SUCCESS, Message, TransactionId};
use rtc_stun::textattrs::TextAttribute;
use rtc_stun::xoraddr::XorMappedAddress;

fn main() {
    for words in 6..12 {
        let text = |attr| TextAttribute {
            attr,
            text: "x".repeat(4 * words),
        };
        let mapped = XorMappedAddress {
            ip: "2001:db8::1".parse().expect("an address"),
            port: 5000,
        };
        let mut message = Message::new();
        message
            .build(&[
                Box::new(TransactionId::new()),
                Box::new(BINDING_SUCCESS),
                Box::new(mapped),
                Box::new(text(ATTR_SOFTWARE)),
                Box::new(text(ATTR_REALM)),
                Box::new(FINGERPRINT),
            ])
            .expect("a message");
        let mut read = Message::new();
        println!(
            "{} bytes: {:?}",
            message.raw.len(),
            read.read_from(&mut message.raw.as_slice())
        );
    }
}
