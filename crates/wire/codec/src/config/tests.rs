use proptest::prelude::*;

use super::*;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// `avcC` of FFmpeg 5.1 with libx264: `ffmpeg -f lavfi -i testsrc=s=SIZE:r=30 -frames:v 3 -c:v libx264 -pix_fmt
/// yuv420p h.mp4`. Neither 1080 nor 642 x 362 is a multiple of 16, so those are cropped.
const H264: [(&str, u32, u32, &str); 3] = [
    (
        "0164001fffe1001a6764001facd9405005bb0110000003001000000303c0f183196001000668ebe3cb22c0fdf8f800",
        1280,
        720,
        "avc1.64001f",
    ),
    (
        "01640028ffe1001b67640028acd940780227e5c044000003000400000300f03c60c65801000668ebe3cb22c0fdf8f800",
        1920,
        1080,
        "avc1.640028",
    ),
    (
        "0164001effe1001b6764001eacd940a42fe224c044000003000400000300f03c58b65801000668ebe3cb22c0fdf8f800",
        642,
        362,
        "avc1.64001e",
    ),
];

/// `hvcC` likewise with libx265, of whose arrays that of the sequence parameter sets is kept.
const H265: [(&str, u32, u32, &str); 3] = [
    (
        "0101600000009000000000005df000fcfdf8f800000f01a10001002b42010101600000030090000003000003005da00280802d\
         165959a4932bc05a020000030002000003003c10",
        1280,
        720,
        "hvc1.1.6.L93.90",
    ),
    (
        "01016000000090000000000078f000fcfdf8f800000f01a10001002a420101016000000300900000030000030078a003c08010\
         e596566924caf0168080000003008000000f04",
        1920,
        1080,
        "hvc1.1.6.L120.90",
    ),
    (
        "0101600000009000000000003ff000fcfdf8f800000f01a10001002c42010101600000030090000003000003003fa005120171\
         c9265959a4932bc05a020000030002000003003c10",
        642,
        362,
        "hvc1.1.6.L63.90",
    ),
];

/// `av1C` likewise with libsvtav1, 642 x 362.
const AV1: &str = "81010c000a0b0000000cc5036900be0010";

#[test]
fn pictures_have_the_size_that_ffprobe_says() {
    for (kind, vectors) in [(Kind::H264, H264), (Kind::H265, H265)] {
        for (config, width, height, expected) in vectors {
            let config = hex(config);
            assert_eq!(format(kind, &config), Ok(Format::Video { width, height }), "{expected}");
            assert_eq!(name(kind, &config).as_deref(), Some(expected));
        }
    }
    assert_eq!(format(Kind::Av1, &hex(AV1)), Ok(Format::Video { width: 642, height: 362 }));
    assert_eq!(name(Kind::Av1, &hex(AV1)).as_deref(), Some("av01.0.01M.08"));
}

#[test]
fn sound_counts_its_extensions_however_they_are_told() {
    let sound = |rate, channels| Ok(Format::Audio { rate, channels });
    // Laid out by hand after ISO/IEC 14496-3 section 1.6.2.1. AAC-LC, 44.1 kHz, stereo.
    assert_eq!(format(Kind::Aac, &[0x12, 0x10]), sound(44_100, 2));
    // Object type 5: a core of 22.05 kHz stereo, 44.1 kHz with its extension.
    assert_eq!(format(Kind::Aac, &[0x2b, 0x92, 0x08, 0x00]), sound(44_100, 2));
    // The same told behind the core: 0x2b7, object type 5, present, 44.1 kHz.
    assert_eq!(format(Kind::Aac, &[0x13, 0x90, 0x56, 0xe5, 0xa0]), sound(44_100, 2));
    // A mono core of 24 kHz, object type 29: parametric stereo at 48 kHz.
    assert_eq!(format(Kind::Aac, &[0xeb, 0x09, 0x88, 0x00]), sound(48_000, 2));
    // A rate in 24 bits, 0x00bb80.
    assert_eq!(format(Kind::Aac, &[0x17, 0x80, 0x5d, 0xc0, 0x10]), sound(48_000, 2));
    assert_eq!(format(Kind::Aac, &[0x13, 0xb8]), sound(22_050, 8));
    assert_eq!(format(Kind::Aac, &[0x16, 0x90]), Err(Malformed::Forbidden));
    assert_eq!(format(Kind::Opus, b"OpusHead\x01\x02"), sound(48_000, 2));
    assert_eq!(format(Kind::Opus, b"OpusHead\x01\x00"), Err(Malformed::Forbidden));
}

#[test]
fn blocks_of_sound_have_a_length() {
    assert_eq!(samples(Kind::Aac, &[0x12, 0x10], &[]), Ok((1024, 44_100)));
    // GASpecificConfig's frameLengthFlag.
    assert_eq!(samples(Kind::Aac, &[0x12, 0x14], &[]), Ok((960, 44_100)));
    // HE-AAC: the core.
    assert_eq!(samples(Kind::Aac, &[0x2b, 0x92, 0x08, 0x00], &[]), Ok((1024, 22_050)));
    // CELT, 20 ms, one frame; two of 10 ms.
    assert_eq!(samples(Kind::Opus, &[], &[0xfc, 1, 2]), Ok((960, 48_000)));
    assert_eq!(samples(Kind::Opus, &[], &[0xf5, 1, 2]), Ok((960, 48_000)));
    assert_eq!(samples(Kind::Mp3, &[], &[0xff, 0xfb, 0x90, 0x64]), Ok((1152, 44_100)));
    assert_eq!(samples(Kind::Aac, &[0x17, 0x80, 0, 0, 0], &[]), Err(Malformed::Forbidden), "a rate of 0");
    assert_eq!(samples(Kind::Aac, &[0x12], &[]), Err(Malformed::Truncated));
    assert_eq!(samples(Kind::Opus, &[], &[]), Err(Malformed::Truncated));
    assert_eq!(samples(Kind::H264, &[], &[]), Err(Malformed::Forbidden));
}

#[test]
fn names_are_those_of_rfc_6381() {
    let cases: [(Kind, &[u8], &str); 7] = [
        (Kind::Aac, &[0x12, 0x10], "mp4a.40.2"),
        (Kind::Aac, &[0x2b, 0x92, 0x08, 0x00], "mp4a.40.5"),
        // The escape: 31, then 10 for 42, xHE-AAC.
        (Kind::Aac, &[0xf9, 0x46, 0x40], "mp4a.40.42"),
        (Kind::Mp3, &[], "mp4a.40.34"),
        (Kind::Opus, &[], "opus"),
        (Kind::Vp9, &[1, 0, 0, 0, 0, 10, 0x82, 2, 2, 2, 0, 0], "vp09.00.10.08"),
        // Main 10 at level 5.1, the high tier.
        (Kind::Av1, &[0x81, 0x0d, 0xc0, 0], "av01.0.13H.10"),
    ];
    for (kind, config, expected) in cases {
        assert_eq!(name(kind, config).as_deref(), Some(expected));
    }
    assert_eq!(name(Kind::H264, &[1, 0x64]), None);
    assert_eq!(name(Kind::Aac, &[]), None);
}

#[test]
fn cut_records_are_errors() {
    for (kind, config, needed) in [
        // As far as the bit that says that nothing more is cropped, or the last number that is.
        (Kind::H264, hex(H264[2].0), 20),
        (Kind::H265, hex(H265[2].0), 50),
        (Kind::Av1, hex(AV1), 13),
    ] {
        for len in 0..needed {
            assert!(format(kind, &config[..len]).is_err(), "{kind:?} at {len}");
        }
    }
}

#[test]
fn records_that_lie_are_refused() {
    // A parameter set of 64 KiB that is not there.
    assert_eq!(format(Kind::H264, &[1, 100, 0, 31, 0xff, 0xe1, 0xff, 0xff, 0x67]), Err(Malformed::Truncated));
    // No parameter set at all.
    assert_eq!(format(Kind::H264, &[1, 100, 0, 31, 0xff, 0xe0, 0]), Err(Malformed::Forbidden));
    // A number without end.
    let mut endless = vec![1, 66, 0, 31, 0xff, 0xe1, 0, 12, 0x67, 66, 0, 31];
    endless.resize(20, 0);
    assert_eq!(format(Kind::H264, &endless), Err(Malformed::Forbidden));
    // Not a sequence header.
    assert_eq!(format(Kind::Av1, &[0x81, 0, 0, 0, 0x12, 0]), Err(Malformed::Forbidden));
}

proptest! {
    #[test]
    fn no_record_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..96), which in 0..3_usize) {
        for kind in [Kind::H264, Kind::H265, Kind::Av1, Kind::Aac, Kind::Opus, Kind::Vp9, Kind::Mp3] {
            let _ = (format(kind, &bytes), name(kind, &bytes), samples(kind, &bytes, &bytes));
        }
        // Behind a true beginning, so that what is deep is reached.
        let (kind, true_one) = [(Kind::H264, H264[0].0), (Kind::H265, H265[0].0), (Kind::Av1, AV1)][which];
        let mut config = hex(true_one);
        config.truncate(config.len() - bytes.len().min(config.len()));
        config.append(&mut bytes);
        let _ = (format(kind, &config), name(kind, &config));
    }
}

/// A profile, its compatibility and level, and a width in macroblocks of 2^31: more than 32 bits of samples.
#[test]
fn a_size_that_no_level_allows_is_refused() {
    let config = hex("464c00000008001702fd009fcb0000000095000000000017020000000000101010");
    assert_eq!(format(Kind::H264, &config), Err(Malformed::Forbidden));
}

/// A picture of these units, behind lengths of 4 bytes.
fn picture(units: &[&[u8]]) -> Vec<u8> {
    units.iter().flat_map(|unit| [&(unit.len() as u32).to_be_bytes()[..], unit].concat()).collect()
}

/// The sets of `avcC`, or of the arrays of an `hvcC`, as the vectors above have them.
fn first_set(kind: Kind, config: &[u8]) -> &[u8] {
    let at = if kind == Kind::H264 { 6 } else { 26 };
    let len = usize::from(u16::from_be_bytes([config[at], config[at + 1]]));
    &config[at + 2..at + 2 + len]
}

#[test]
fn a_record_follows_the_parameter_sets_inside_pictures() {
    for (kind, vectors) in [(Kind::H264, H264), (Kind::H265, H265)] {
        let idr: &[u8] = if kind == Kind::H264 { &[0x65, 1, 2] } else { &[0x26, 1, 2] };
        let [large, full, small] = vectors.map(|(config, ..)| hex(config));
        // The same sets again, or none, are nothing new.
        assert_eq!(updated(kind, &large, &picture(&[first_set(kind, &large), idr])), None);
        assert_eq!(updated(kind, &large, &picture(&[idr])), None);
        let mut record = large;
        for (next, width, height) in [(&full, 1920, 1080), (&small, 642, 362)] {
            record = updated(kind, &record, &picture(&[first_set(kind, next), idr])).unwrap();
            // The set has taken the place of that of the same number, and all else is what an encoder writes.
            assert_eq!(format(kind, &record), Ok(Format::Video { width, height }));
            assert_eq!(name(kind, &record), name(kind, next));
            let (mut ours, mut theirs) = (record.clone(), next.clone());
            if kind == Kind::H265 {
                // The array may be completed by pictures, and theirs may not.
                (ours[23], theirs[23]) = (ours[23] & 0x3f, theirs[23] & 0x3f);
            }
            assert_eq!(ours, theirs);
        }
    }
}

#[test]
fn sets_of_other_numbers_stay_and_other_kinds_are_added() {
    let [large, _, small] = H264.map(|(config, ..)| hex(config));
    // A picture parameter set of number 1, `010`.
    let second: &[u8] = &[0x68, 0b0101_1011, 0xe3];
    let record = updated(Kind::H264, &large, &picture(&[second])).unwrap();
    assert_eq!(format(Kind::H264, &record), Ok(Format::Video { width: 1280, height: 720 }));
    let both = [&[2, 0, 3][..], second, &[0, 6, 0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0]].concat();
    assert!(record.windows(both.len()).any(|part| part == both));
    assert_eq!(updated(Kind::H264, &record, &picture(&[second])), None);
    let record = updated(Kind::H264, &record, &picture(&[first_set(Kind::H264, &small)])).unwrap();
    assert!(record.windows(both.len()).any(|part| part == both));
    // An array that there was none of.
    let config = hex(H265[0].0);
    let pps: &[u8] = &[0x44, 0x01, 0xc1, 0x72];
    let record = updated(Kind::H265, &config, &picture(&[pps])).unwrap();
    assert_eq!((record[22], &record[record.len() - 9..]), (2, &[&[34, 0, 1, 0, 4][..], pps].concat()[..]));
}

proptest! {
    #[test]
    fn no_picture_and_no_record_is_too_strange(
        config in proptest::collection::vec(any::<u8>(), 0..200),
        units in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..40),
        cut in 0_usize..100,
    ) {
        let units: Vec<&[u8]> = units.iter().map(Vec::as_slice).collect();
        let mut picture = picture(&units);
        picture.truncate(picture.len().saturating_sub(cut));
        for (kind, vector) in [(Kind::H264, H264[0].0), (Kind::H265, H265[0].0)] {
            for config in [&config, &hex(vector)] {
                if let Some(record) = updated(kind, config, &picture) {
                    prop_assert!(record.len() < 32 << 10);
                    prop_assert_eq!(updated(kind, &record, &picture), None, "once is enough");
                }
            }
        }
    }
}
