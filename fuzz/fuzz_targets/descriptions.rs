//! Whatever stands in the `description` of a relay message: no panic, and what is read is written and read the same.
#![no_main]

use crosspeer::description::*;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(description) = Description::decode(text) {
        assert_eq!(Description::decode(&description.encode()), Ok(description));
    }
    let words = Words::parse(text).unwrap_or_default();
    assert!(words.to_line().len() <= MAX_LINE_BYTES);
    let local = prepare_local(text, &words);
    assert_eq!(Words::parse(&local), Some(words.clone()));
    assert_eq!(prepare_local(&local, &words), local);
    let (remote, _) = split_mdns_candidates(&prepare_remote(text));
    assert_eq!(split_mdns_candidates(&prepare_remote(&remote)), (remote, Vec::new()));
    assert!(candidates(&local).count() <= candidates(text).count());
    assert_eq!(ice_ufrag(&local), ice_ufrag(text));
    assert_eq!(has_data_section(&local), has_data_section(text));
    if has_data_section(text) {
        assert_eq!(max_message_size(&local), MAX_MESSAGE_SIZE);
    }
});
