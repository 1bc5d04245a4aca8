use bytes::{BufMut, BytesMut};
use codec::Kind;

use super::*;

fn video_body(codec: Kind, is_key: bool, packet: VideoPacket<'_>) -> Vec<u8> {
    let mut out = BytesMut::new();
    write_video_header(codec, is_key, &packet, &mut out).unwrap();
    if let VideoPacket::Config(data) | VideoPacket::Frame { data, .. } | VideoPacket::Metadata(data) = packet
    {
        out.put_slice(data);
    }
    out.to_vec()
}

#[test]
fn classic_bodies_have_the_layout_of_annex_e() {
    // Bytes laid out by hand after E.4.3.1: key frame, AVC, NALU, composition time 40.
    let body = [0x17, 1, 0, 0, 40, 0xaa, 0xbb];
    let frame = VideoPacket::Frame { cts: 40, data: &[0xaa, 0xbb] };
    let tag = VideoTag { track: 0, codec: Kind::H264, frame: FrameType::Key, packet: frame };
    assert_eq!(VideoTag::read(&body), Ok(vec![tag]));
    assert_eq!(video_body(Kind::H264, true, frame), body);
    // E.4.2.1: AAC, 44 kHz, 16 bit, stereo, AudioSpecificConfig.
    let tag = AudioTag { track: 0, codec: Kind::Aac, packet: AudioPacket::Config(&[0x12, 0x10]) };
    assert_eq!(AudioTag::read(&[0xaf, 0, 0x12, 0x10]), Ok(vec![tag]));
}

#[test]
fn composition_times_are_signed() {
    let body = [0x27, 1, 0xff, 0xff, 0xd8, 1];
    let tags = VideoTag::read(&body).unwrap();
    assert_eq!(tags[0].packet, VideoPacket::Frame { cts: -40, data: &[1] });
    assert_eq!(video_body(Kind::H264, false, tags[0].packet), body);
}

#[test]
fn every_codec_reads_back_what_was_written() {
    for codec in [Kind::H264, Kind::H265, Kind::Av1, Kind::Vp9, Kind::Vp8] {
        for packet in
            [VideoPacket::Config(&[1, 2, 3]), VideoPacket::Frame { cts: 0, data: &[9] }, VideoPacket::End]
        {
            let body = video_body(codec, true, packet);
            let tags = VideoTag::read(&body).unwrap();
            assert_eq!((tags[0].codec, tags[0].packet, tags[0].is_key()), (codec, packet, true));
        }
    }
    let frame = VideoPacket::Frame { cts: -7, data: &[9] };
    assert_eq!(VideoTag::read(&video_body(Kind::H265, false, frame)).unwrap()[0].packet, frame);
    for (codec, packet) in [
        (Kind::Aac, AudioPacket::Config(&[0x12, 0x10][..])),
        (Kind::Aac, AudioPacket::Frame(&[1])),
        (Kind::Mp3, AudioPacket::Frame(&[1])),
        (Kind::Opus, AudioPacket::Config(b"OpusHead")),
        (Kind::Opus, AudioPacket::Frame(&[1])),
    ] {
        let mut out = BytesMut::new();
        write_audio_header(codec, &packet, &mut out).unwrap();
        if let AudioPacket::Config(data) | AudioPacket::Frame(data) = packet {
            out.put_slice(data);
        }
        assert_eq!(AudioTag::read(&out), Ok(vec![AudioTag { track: 0, codec, packet }]));
    }
}

#[test]
fn enhanced_bodies_extend_themselves_and_carry_tracks() {
    // ModEx with 3 bytes of data (size - 1 = 2), then type 0 and packet type CodedFramesX, then hvc1.
    let body = [0x80 | 0x20 | 7, 2, 1, 2, 3, 0x03, b'h', b'v', b'c', b'1', 0xee];
    let tags = VideoTag::read(&body).unwrap();
    assert_eq!(tags[0].packet, VideoPacket::Frame { cts: 0, data: &[0xee] });
    // Multitrack, many tracks of one codec: two av01 sequence starts.
    let body = [0x80 | 0x10 | 6, 0x10, b'a', b'v', b'0', b'1', 0, 0, 0, 1, 0x81, 1, 0, 0, 2, 0x81, 0x82];
    let tags = VideoTag::read(&body).unwrap();
    assert_eq!(tags.iter().map(|t| t.track).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(tags[1].packet, VideoPacket::Config(&[0x81, 0x82]));
    // Many codecs, and audio; one track.
    let body = [0x95, 0x01, b'O', b'p', b'u', b's', 3, 0x77];
    let tags = AudioTag::read(&body).unwrap();
    assert_eq!((tags[0].track, tags[0].packet), (3, AudioPacket::Frame(&[0x77])));
}

#[test]
fn bodies_that_lie_are_refused_by_name() {
    assert_eq!(VideoTag::read(&[]), Err(Malformed::Truncated));
    assert_eq!(VideoTag::read(&[0x12, 0, 0, 0, 0]), Err(Malformed::VideoCodec(2)));
    assert_eq!(VideoTag::read(&[0x17, 9, 0, 0, 0]), Err(Malformed::PacketType(9)));
    assert_eq!(VideoTag::read(&[0x91, b'x', b'x', b'x', b'x']), Err(Malformed::FourCc(*b"xxxx")));
    assert_eq!(AudioTag::read(&[0x60]), Err(Malformed::AudioCodec(6)));
    // A ModEx that is followed by ModEx for ever.
    let body: Vec<u8> = std::iter::once(0x97).chain([0, 0, 7].repeat(100)).collect();
    assert_eq!(VideoTag::read(&body), Err(Malformed::ModEx(MAX_MOD_EX)));
    // A track whose length is more than there is.
    let body = [0x96, 0x10, b'a', b'v', b'0', b'1', 0, 0xff, 0xff, 0xff, 1];
    assert_eq!(VideoTag::read(&body), Err(Malformed::Truncated));
}

#[test]
fn tags_have_the_split_timestamp_and_wrap_at_32_bits_not_24() {
    let mut out = BytesMut::new();
    // 4 h 39 min 37.216 s is 2^24 ms.
    for timestamp in [0x00ff_ffff, 0x0100_0000, u32::MAX] {
        assert!(write_tag(TagKind::Video, timestamp, &mut out, |body| body.put_slice(&[0x17, 2, 0, 0, 0])));
    }
    assert_eq!(out[..11], [9, 0, 0, 5, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    let mut demuxer = Demuxer::default();
    demuxer.push(&file_header(true, true));
    // A byte at a time: nothing is cut wrong.
    let mut stamps = Vec::new();
    for byte in &out {
        demuxer.push(&[*byte]);
        if let Some((header, body)) = demuxer.poll().unwrap() {
            assert_eq!(body.len(), header.len);
            stamps.push(header.timestamp);
        }
    }
    assert_eq!(stamps, [0x00ff_ffff, 0x0100_0000, u32::MAX]);
}

#[test]
fn what_is_not_flv_is_refused_before_memory_is_taken() {
    let mut demuxer = Demuxer::default();
    demuxer.push(b"<html><body>404");
    assert_eq!(demuxer.poll(), Err(DemuxError::NotFlv));
    let mut demuxer = Demuxer::new(1_000);
    demuxer.push(&file_header(true, false));
    demuxer.push(&[9, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(demuxer.poll(), Err(DemuxError::TooLarge(0xff_ffff, 1_000)));
    let mut demuxer = Demuxer::default();
    demuxer.push(&file_header(true, false));
    demuxer.push(&[9, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xaa, 0, 0, 0, 99]);
    assert_eq!(demuxer.poll(), Err(DemuxError::PreviousSize));
}
