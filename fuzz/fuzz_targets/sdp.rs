//! Session descriptions: what is read can be written, and what is written, where it is read again, stays the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = sdp::Candidate::parse(text);
    let limits = sdp::Limits::default();
    let Ok(session) = sdp::parse(text, &limits) else { return };
    let written = session.to_string();
    // Odd lines that the tolerant parser lets through may be refused in their new place.
    let Ok(again) = sdp::parse(&written, &limits) else { return };
    assert_eq!(again.to_string(), written);
});
