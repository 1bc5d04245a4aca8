//! MPEG transport streams, joined anywhere, with packets that are missing or damaged.
#![no_main]

use codec::Kind;
use container::ts::{Demuxer, Muxer, PACKET, adts, nal_units};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut demuxer = Demuxer::default();
    // Behind tables, so that frames are reached; and what has no sync bytes is given them.
    let mut tables = bytes::BytesMut::new();
    if let Some(mut muxer) = Muxer::new(Some(Kind::H264), Some(Kind::Aac)) {
        muxer.tables(&mut tables);
    }
    demuxer.push(&tables);
    demuxer.push(data);
    for (packet, rest) in data.chunks(PACKET - 1).zip((0..).map(|n: u8| n & 1)) {
        let mut bytes = [&[0x47][..], packet].concat();
        bytes.resize(PACKET, 0xff);
        if let Some(pid) = bytes.get_mut(1..3) {
            // Mostly of the streams that there are.
            pid.copy_from_slice(&[pid[0] & 0x40 | 1, rest]);
        }
        demuxer.push(&bytes);
    }
    demuxer.finish();
    while let Some(unit) = demuxer.poll() {
        let _ = match unit.codec {
            Kind::Aac => adts(&unit.data).map(|unit| unit.payload.len()).sum::<usize>(),
            _ => nal_units(&unit.data).map(<[u8]>::len).sum(),
        };
    }
});
