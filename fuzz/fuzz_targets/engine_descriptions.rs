//! A stranger's description as the engine gets it: neither what mends it nor the engine's own reader panics, and no candidate
//! that passes voids the rest.
#![no_main]

use crosspeer::description::{candidates, is_usable_candidate, prepare_remote};
use libfuzzer_sys::fuzz_target;
use rtc::ice::candidate::unmarshal_candidate;
use rtc::peer_connection::sdp::RTCSessionDescription;

fuzz_target!(|text: &str| {
    let sdp = prepare_remote(text);
    assert!(candidates(&sdp).count() <= 32);
    for candidate in candidates(&sdp) {
        assert!(is_usable_candidate(candidate));
    }
    let _ = RTCSessionDescription::offer(sdp.clone());
    let _ = RTCSessionDescription::answer(sdp);
    // Names are looked up, and others are refused.
    if is_usable_candidate(text) && !text.contains(".local") && !text.contains(" tcp ") {
        let _ = unmarshal_candidate(text);
    }
});
