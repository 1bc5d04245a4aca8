//! Compound RTCP packets.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for packet in rtp::rtcp::packets(data) {
        let _ = std::hint::black_box(packet);
    }
});
