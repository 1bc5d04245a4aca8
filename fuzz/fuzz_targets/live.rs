//! AMF, FLV and RTMP chunks.
#![no_main]

use container::flv::{AudioTag, Demuxer, VideoTag};
use libfuzzer_sys::fuzz_target;
use rtmp::chunk::{ChunkReader, Limits};

fuzz_target!(|data: &[u8]| {
    let _ = container::amf::read_all(data);
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
