use std::collections::HashMap;

use bytes::BytesMut;
use codec::Kind;

use super::mux::crc;
use super::*;

/// What a demuxer sees: packets by PID, and the frames of each with their times.
#[derive(Default)]
struct Demux {
    counters: HashMap<u16, u8>,
    frames: HashMap<u16, Vec<Vec<u8>>>,
    sections: HashMap<u16, Vec<u8>>,
    clocks: Vec<u64>,
}

impl Demux {
    fn push(&mut self, bytes: &[u8]) {
        assert_eq!(bytes.len() % PACKET, 0);
        for packet in bytes.chunks(PACKET) {
            assert_eq!(packet[0], 0x47);
            let pid = u16::from_be_bytes([packet[1], packet[2]]) & 0x1fff;
            let begins = packet[1] & 0x40 != 0;
            let counter = packet[3] & 0x0f;
            if let Some(last) = self.counters.insert(pid, counter) {
                assert_eq!(counter, (last + 1) & 0x0f, "continuity of {pid:#x}");
            }
            let mut at = 4;
            if packet[3] & 0x20 != 0 {
                let len = usize::from(packet[4]);
                if len > 0 && packet[5] & 0x10 != 0 {
                    let field = u64::from_be_bytes([
                        0, 0, packet[6], packet[7], packet[8], packet[9], packet[10], packet[11],
                    ]);
                    self.clocks.push(field >> 15);
                }
                at = 5 + len;
            }
            let payload = &packet[at..];
            match pid {
                0 | 0x1000 => {
                    let len = usize::from(u16::from_be_bytes([payload[2], payload[3]]) & 0x0fff);
                    self.sections.insert(pid, payload[1..4 + len].to_vec());
                }
                _ if begins => self.frames.entry(pid).or_default().push(payload.to_vec()),
                _ => self.frames.get_mut(&pid).unwrap().last_mut().unwrap().extend_from_slice(payload),
            }
        }
    }
}

fn time(bytes: &[u8]) -> u64 {
    let bits = |byte: u8, mask: u8| u64::from(byte & mask);
    bits(bytes[0], 0x0e) << 29
        | bits(bytes[1], 0xff) << 22
        | bits(bytes[2], 0xfe) << 14
        | bits(bytes[3], 0xff) << 7
        | bits(bytes[4], 0xfe) >> 1
}

#[test]
fn the_checksum_is_that_of_mpeg() {
    // CRC-32/MPEG-2 of "123456789", as in the catalogue of parametrised CRC algorithms.
    assert_eq!(crc(b"123456789"), 0x0376_e6e7);
}

#[test]
fn tables_list_both_streams_and_their_checksums_hold() {
    let mut muxer = Muxer::new(Some(Kind::H264), Some(Kind::Aac)).unwrap();
    let (mut out, mut demux) = (BytesMut::new(), Demux::default());
    muxer.tables(&mut out);
    muxer.tables(&mut out);
    demux.push(&out);
    for section in demux.sections.values() {
        assert_eq!(crc(section), 0, "a section with its checksum leaves nothing");
    }
    let pat = &demux.sections[&0];
    assert_eq!(pat[8..12], [0, 1, 0xf0, 0]);
    let pmt = &demux.sections[&0x1000];
    // The clock is the video's; stream types and PIDs.
    assert_eq!(pmt[8..10], [0xe1, 0x00]);
    assert_eq!(pmt[12..22], [0x1b, 0xe1, 0x00, 0xf0, 0, 0x0f, 0xe1, 0x01, 0xf0, 0]);
    // Sound alone has its own clock.
    let mut muxer = Muxer::new(None, Some(Kind::Aac)).unwrap();
    out.clear();
    muxer.tables(&mut out);
    let mut demux = Demux::default();
    demux.push(&out);
    assert_eq!(demux.sections[&0x1000][8..17], [0xe1, 0x01, 0xf0, 0, 0x0f, 0xe1, 0x01, 0xf0, 0]);
    assert!(Muxer::new(Some(Kind::Vp9), Some(Kind::Opus)).is_none());
}

#[test]
fn a_program_that_follows_another_counts_on_and_is_known_by_its_version() {
    let mut out = BytesMut::new();
    let mut demux = Demux::default();
    let mut before: Option<Muxer> = None;
    for (n, (audio, version)) in (0..).zip([(Kind::Aac, 0), (Kind::Aac, 0), (Kind::Mp3, 1), (Kind::Aac, 2)]) {
        let mut muxer = Muxer::new(Some(Kind::H264), Some(audio)).unwrap();
        if let Some(before) = &before {
            muxer = muxer.following(before);
        }
        muxer.tables(&mut out);
        muxer.frame(Medium::Video, true, n, n, &[0; 1000], &mut out);
        muxer.frame(Medium::Audio, true, n, n, &[0; 100], &mut out);
        // The demuxer sees to the counters.
        demux.push(&out.split());
        for pid in [0, 0x1000] {
            assert_eq!(demux.sections[&pid][5], 0xc1 | (version << 1));
        }
        before = Some(muxer);
    }
}

#[test]
fn frames_of_every_length_come_out_whole() {
    let mut muxer = Muxer::new(Some(Kind::H264), Some(Kind::Aac)).unwrap();
    let mut demux = Demux::default();
    for len in 0..800 {
        let data: Vec<u8> = (0..len).map(|n| n as u8).collect();
        let dts = len as i64 * 3600;
        let mut out = BytesMut::new();
        muxer.frame(Medium::Video, len % 25 == 0, dts, dts + 7200, &data, &mut out);
        muxer.frame(Medium::Audio, true, dts, dts, &data, &mut out);
        demux.push(&out);
        let video = demux.frames[&0x100].last().unwrap();
        assert_eq!(video[..9], [0, 0, 1, 0xe0, 0, 0, 0x80, 0xc0, 10]);
        assert_eq!((time(&video[9..]), time(&video[14..])), (dts as u64 + 133_200, dts as u64 + 126_000));
        assert_eq!(video[19..], data);
        let audio = demux.frames[&0x101].last().unwrap();
        assert_eq!(usize::from(u16::from_be_bytes([audio[4], audio[5]])), audio.len() - 6);
        assert_eq!(audio[14..], data);
    }
    // A clock with every picture, ahead of it, and never back.
    assert_eq!(demux.clocks.len(), 800);
    assert!(demux.clocks.is_sorted() && demux.clocks[0] == 63_000);
}

#[test]
fn times_wrap_at_33_bits() {
    let mut muxer = Muxer::new(None, Some(Kind::Mp3)).unwrap();
    let mut out = BytesMut::new();
    muxer.frame(Medium::Audio, true, (1 << 33) - 126_000 + 5, (1 << 33) - 126_000 + 5, b"x", &mut out);
    let mut demux = Demux::default();
    demux.push(&out);
    assert_eq!(time(&demux.frames[&0x101][0][9..]), 5);
}

#[test]
fn pictures_get_delimiters_and_parameter_sets() {
    let config = [1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 2, 0x67, 1, 1, 0, 2, 0x68, 2];
    let picture = [0, 0, 0, 2, 0x09, 0xf0, 0, 0, 0, 3, 0x65, 7, 8];
    let mut out = BytesMut::new();
    annex_b(Kind::H264, &config, true, &picture, &mut out);
    assert_eq!(
        out[..],
        [0, 0, 0, 1, 9, 0xf0, 0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x68, 2, 0, 0, 0, 1, 0x65, 7, 8],
        "one delimiter, parameter sets, the slice"
    );
    out.clear();
    annex_b(Kind::H264, &config, false, &picture, &mut out);
    assert_eq!(out[..], [0, 0, 0, 1, 9, 0xf0, 0, 0, 0, 1, 0x65, 7, 8]);
    // H.265: arrays of VPS, SPS, PPS behind 22 bytes.
    let mut config = vec![0; 22];
    config.extend_from_slice(&[2, 0x20, 0, 1, 0, 2, 0x40, 1, 0x21, 0, 1, 0, 2, 0x42, 1]);
    out.clear();
    annex_b(Kind::H265, &config, true, &[0, 0, 0, 2, 0x26, 1], &mut out);
    assert_eq!(
        out[..],
        [0, 0, 0, 1, 0x46, 1, 0x50, 0, 0, 0, 1, 0x40, 1, 0, 0, 0, 1, 0x42, 1, 0, 0, 0, 1, 0x26, 1]
    );
}

#[test]
fn lengths_that_lie_are_no_panic() {
    let mut out = BytesMut::new();
    for cut in 0..15 {
        let config = [1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 2, 0x67, 1, 1, 0, 2, 0x68, 2];
        annex_b(Kind::H264, &config[..cut], true, &[0xff; 9], &mut out);
        annex_b(Kind::H265, &[0xff; 40][..cut * 2], true, &[0, 0, 0, 9, 1], &mut out);
    }
}

#[test]
fn sound_gets_its_header() {
    // AAC-LC, 44.1 kHz, stereo, 100 bytes: as FFmpeg writes it, but for the buffer fullness.
    let header = adts_header(&[0x12, 0x10], 100).unwrap();
    assert_eq!(header, [0xff, 0xf1, 0x50, 0x80, 0x0d, 0x7f, 0xfc]);
    // HE-AAC: the core is LC.
    assert_eq!(adts_header(&[0x2b, 0x8a], 1).unwrap()[2] >> 6, 1);
    assert_eq!(adts_header(&[0x12], 1), None);
    // xHE-AAC, whose object type 42 stands behind an escape; low delay (23).
    assert_eq!(adts_header(&[0xf9, 0x46, 0x40], 1), None);
    assert_eq!(adts_header(&[0xb9, 0x90], 1), None);
    assert_eq!(adts_header(&[0x12, 0x10], 8192), None);
    assert_eq!(adts_header(&[0xff, 0xff], 1), None);
}

#[test]
fn what_was_made_for_a_transport_stream_is_taken_apart_again() {
    let mut bytes = Vec::new();
    for len in [1, 100, 8000] {
        bytes.extend(adts_header(&[0x12, 0x10], len).unwrap());
        bytes.extend(vec![7; len]);
    }
    let lens = |bytes: &[u8]| adts(bytes).map(|unit| (unit.config, unit.payload.len())).collect::<Vec<_>>();
    assert_eq!(lens(&bytes), [([0x12, 0x10], 1), ([0x12, 0x10], 100), ([0x12, 0x10], 8000)]);
    // What is cut off is not there; a length that is shorter than its header ends it.
    assert_eq!(lens(&bytes[..bytes.len() - 1]).len(), 2);
    assert_eq!(lens(&[0xff, 0xf1, 0x50, 0x80, 0, 0x1f, 0xfc, 1]).len(), 0);
    assert_eq!(lens(&[0xff, 0xfb, 0x90, 0x64, 0, 0, 0, 0]).len(), 0, "MP3 is no AAC");

    let config = [1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 2, 0x67, 1, 1, 0, 2, 0x68, 2];
    let mut out = BytesMut::new();
    annex_b(Kind::H264, &config, true, &[0, 0, 0, 3, 0x65, 7, 8], &mut out);
    let nals: Vec<&[u8]> = nal_units(&out).collect();
    assert_eq!(nals, [&[9, 0xf0][..], &[0x67, 1], &[0x68, 2], &[0x65, 7, 8]]);
    // Start codes of three bytes, zeros at the end, and units of nothing.
    let nals: Vec<&[u8]> = nal_units(&[5, 0, 0, 1, 1, 2, 0, 0, 0, 1, 0, 0, 1, 3, 0, 0]).collect();
    assert_eq!(nals, [&[1, 2][..], &[3]]);
    assert_eq!(nal_units(&[0, 0]).count() + nal_units(&[0, 0, 1]).count() + nal_units(b"hello").count(), 0);
}
