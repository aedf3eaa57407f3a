//! Whatever a peer says of files and folders: no panic, names that stay inside, and what is read is written and read the same.
#![no_main]

use crosspeer::Message;
use crosspeer::transfer::catalog::{Catalog, check_path};
use crosspeer::transfer::{Packet, Receiver, ReceiverLimits, ReceiverOutput, Sender, sanitise};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let (mut receiver, mut sender) = (Receiver::new(ReceiverLimits::default()), Sender::new());
    // Messages end at this byte, which UTF-8 does not have; each second one is taken as text where it is one.
    for (number, part) in input.split(|byte| *byte == 0xff).enumerate() {
        let message = match (number % 2, std::str::from_utf8(part)) {
            (0, Ok(text)) => Message::from(text),
            _ => Message::from(part.to_vec()),
        };
        if let Ok(Some(catalog)) = Catalog::decode(&message) {
            assert_eq!(Catalog::decode(&catalog.encode()), Ok(Some(catalog)));
        }
        match Packet::decode(message) {
            Ok(Packet::ToReceiver(packet)) => drop(receiver.handle(packet)),
            Ok(Packet::ToSender(packet)) => drop(sender.handle(packet)),
            _ => {}
        }
        while let Some(output) = receiver.poll() {
            if let ReceiverOutput::Offered { id, .. } = output {
                receiver.accept(id);
            }
        }
        while sender.poll().is_some() {}
    }
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = check_path(text);
        if let Ok(name) = sanitise(text) {
            assert!(
                !name.starts_with('/') && name.split('/').all(|part| !["", ".", ".."].contains(&part)),
                "{name}"
            );
            assert_eq!(sanitise(&name).as_deref(), Ok(&*name));
        }
    }
});
