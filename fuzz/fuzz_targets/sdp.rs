//! Session descriptions: whatever is read can be written and read again without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = sdp::Candidate::parse(text);
    let limits = sdp::Limits::default();
    let Ok(session) = sdp::parse(text, &limits) else { return };
    // The tolerant parser lets odd lines through that may be refused, or read otherwise, in their new place:
    // that sound descriptions survive the round trip is for the crate's own tests.
    let _ = sdp::parse(&session.to_string(), &limits);
});
