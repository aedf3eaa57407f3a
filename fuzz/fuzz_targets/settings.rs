//! What people write: `relay.toml`, fingerprints. No panic.
#![no_main]

use crosspeer::Fingerprint;
use crosspeer_relay::RelayConfig;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(config) = RelayConfig::from_text(text) {
        let _ = config.validate();
    }
    if let Some(fingerprint) = Fingerprint::parse(text) {
        assert_eq!(Fingerprint::parse(&fingerprint.to_string()), Some(fingerprint));
        assert_eq!(fingerprint.uuid().get_version_num(), 8);
    }
});
