//! Records of decoders, parameter sets inside pictures, and what is written of both: MPEG-TS, fragmented MP4.
#![no_main]

use bytes::BytesMut;
use codec::config::{Format, format, name, samples, updated};
use codec::{Kind, mp3, vp9};
use container::fmp4::{Audio, Video, init};
use container::ts::{adts_header, annex_b};
use libfuzzer_sys::fuzz_target;

/// More than any record that was brought up to date; the sets in it are bounded.
const MAX_RECORD: usize = 32 << 10;
/// `avcC` of libx264 and `hvcC` of libx265, each with one sequence parameter set.
const AVCC: &[u8] = b"\x01\x64\0\x1e\xff\xe1\0\x1b\x67\x64\0\x1e\xac\xd9\x40\xa4\x2f\xe2\x24\xc0\x44\0\0\x03\0\x04\0\0\
    \x03\0\xf0\x3c\x58\xb6\x58\x01\0\x06\x68\xeb\xe3\xcb\x22\xc0";
const HVCC: &[u8] = b"\x01\x01\x60\0\0\0\x90\0\0\0\0\0\x3f\xf0\0\xfc\xfd\xf8\xf8\0\0\x0f\x01\xa1\0\x01\0\x2c\x42\x01\x01\
    \x01\x60\0\0\x03\0\x90\0\0\x03\0\0\x03\0\x3f\xa0\x05\x12\x01\x71\xc9\x26\x59\x59\xa4\x93\x2b\xc0\x5a\x02\0\0\x03\0\
    \x02\0\0\x03\0\x3c\x10";

/// A record as whoever plays gets it: its form, its name, and a description in MP4.
fn described(kind: Kind, record: &[u8], picture: &[u8]) {
    let _ = (name(kind, record), samples(kind, record, picture));
    let mut out = BytesMut::new();
    match format(kind, record) {
        Ok(Format::Video { width, height }) => {
            let _ = init(Some(Video { codec: kind, config: record, width, height }), None);
            annex_b(kind, record, true, picture, &mut out);
        }
        Ok(Format::Audio { rate, channels }) => {
            let _ = init(None, Some(Audio { codec: kind, config: record, rate, channels }));
            let _ = adts_header(record, picture.len());
        }
        Err(_) => {}
    }
}

/// A picture of units that the input cuts: behind a length of one byte each.
fn picture(mut units: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some((&len, rest)) = units.split_first() {
        let (unit, rest) = rest.split_at(usize::from(len).min(rest.len()));
        out.extend((unit.len() as u32).to_be_bytes());
        out.extend(unit);
        units = rest;
    }
    out
}

fuzz_target!(|data: &[u8]| {
    // Where the record ends and the picture begins.
    let [at, rest @ ..] = data else { return };
    let (record, raw) = rest.split_at(usize::from(*at).min(rest.len()));
    for kind in [Kind::H264, Kind::H265, Kind::Av1, Kind::Vp9, Kind::Aac, Kind::Opus, Kind::Mp3] {
        described(kind, record, raw);
    }
    let _ = (vp9::size(raw), mp3::Header::parse(raw));
    for picture in [raw, &picture(raw)] {
        for (kind, known) in [(Kind::H264, AVCC), (Kind::H265, HVCC)] {
            for before in [record, known] {
                let Some(record) = updated(kind, before, picture) else { continue };
                assert!(record.len() < MAX_RECORD);
                assert_eq!(updated(kind, &record, picture), None, "once is enough");
                described(kind, &record, picture);
            }
        }
    }
});
