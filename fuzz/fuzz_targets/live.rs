//! AMF, FLV, RTMP chunks and decoder configuration records.
#![no_main]

use codec::Kind;
use container::flv::{AudioTag, Demuxer, VideoTag};
use libfuzzer_sys::fuzz_target;
use rtmp::chunk::{ChunkReader, Limits};

fuzz_target!(|data: &[u8]| {
    let _ = container::amf::read_all(data);
    for kind in [Kind::H264, Kind::H265, Kind::Av1, Kind::Vp9, Kind::Aac, Kind::Opus] {
        let _ = (codec::config::format(kind, data), codec::config::name(kind, data));
    }
    let _ = VideoTag::read(data);
    let _ = AudioTag::read(data);
    let mut demuxer = Demuxer::new(4096);
    let mut reader = ChunkReader::new(Limits { message: 4096, streams: 8, pending: 8192 });
    for piece in data.chunks(7) {
        demuxer.push(piece);
        reader.push(piece);
    }
    while let Ok(Some(_)) = demuxer.poll() {}
    while let Ok(Some(_)) = reader.poll() {}
});
