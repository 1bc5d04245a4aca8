//! RTP packets, header extensions, dependency descriptors and payload descriptors.
#![no_main]

use codec::Kind;
use codec::trailer::Trailer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = rtp::dd::Descriptor::parse(data, None);
    for kind in [Kind::Vp8, Kind::Vp9, Kind::H264, Kind::H265, Kind::Av1, Kind::Opus, Kind::Red] {
        let _ = codec::inspect(kind, data);
        if let Some(trailer) = Trailer::find(kind, data) {
            trailer.mend(&mut trailer.before(data).to_vec());
        }
    }
    let Ok(view) = rtp::View::parse(data) else { return };
    for element in view.extensions() {
        let _ = std::hint::black_box(element);
    }
});
