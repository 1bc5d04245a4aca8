use super::*;
use proptest::prelude::*;

/// Made by hand after RFC 3550 section 5.1 and RFC 8285 section 4.2: P X CC=1, marker, PT 96, one-byte
/// elements id 1 "0", id 3 [aa bb cc], one byte of padding between, payload 01 02 03, padding 2.
const FULL: [u8; 33] = [
    0xb1, 0xe0, 0x12, 0x34, 0x00, 0x01, 0x02, 0x03, 0xde, 0xad, 0xbe, 0xef, 0x00, 0x00, 0x00, 0x07, 0xbe,
    0xde, 0x00, 0x02, 0x10, 0x30, 0x00, 0x32, 0xaa, 0xbb, 0xcc, 0x00, 0x01, 0x02, 0x03, 0x00, 0x02,
];

#[test]
fn every_part_is_found() {
    let v = View::parse(&FULL).unwrap();
    let h = v.header;
    assert!(h.marker && h.padded);
    assert_eq!((h.pt, h.seq, h.timestamp, h.ssrc), (Pt(96), 0x1234, 0x0001_0203, Ssrc(0xdead_beef)));
    assert_eq!(v.csrcs().collect::<Vec<_>>(), [Ssrc(7)]);
    assert_eq!(v.extension(1), Some(&b"0"[..]));
    assert_eq!(v.extension(3), Some(&[0xaa, 0xbb, 0xcc][..]));
    assert_eq!(v.extension(2), None);
    assert_eq!(v.extensions().count(), 2);
    assert_eq!((v.payload(), v.padding(), h.len()), (&[1, 2, 3][..], 2, 28));
}

#[test]
fn a_packet_cut_anywhere_is_an_error_or_loses_payload_only() {
    for n in 0..FULL.len() {
        let cut = View::parse(&FULL[..n]);
        // Cut behind the header the last byte counts as padding: 01, 02, 03 and 00 in turn.
        match n {
            ..28 => assert_eq!(cut.unwrap_err(), Malformed::Truncated, "at {n}"),
            29..=31 => assert!(cut.is_ok(), "at {n}"),
            28 | 32.. => assert_eq!(cut.unwrap_err(), Malformed::Padding, "at {n}"),
        }
    }
}

#[test]
fn other_versions_are_refused() {
    let mut p = FULL;
    for version in [0, 1, 3] {
        p[0] = (p[0] & 0x3f) | version << 6;
        assert_eq!(View::parse(&p).unwrap_err(), Malformed::Version);
    }
}

#[test]
fn an_extension_block_longer_than_the_packet_is_refused() {
    let mut p = FULL;
    for words in [5u16, 6, 0x3ffe, 0x4000, 0xffff] {
        p[18..20].copy_from_slice(&words.to_be_bytes());
        assert!(View::parse(&p).is_err(), "{words} words");
    }
}

#[test]
fn an_element_longer_than_its_block_ends_the_block() {
    let mut p = FULL;
    p[23] = 0x3f;
    let v = View::parse(&p).unwrap();
    assert_eq!(v.extension(1), Some(&b"0"[..]));
    assert_eq!(v.extension(3), None);
}

#[test]
fn unknown_extension_profiles_are_skipped() {
    let mut p = FULL;
    p[16..18].copy_from_slice(&[0x12, 0x34]);
    let v = View::parse(&p).unwrap();
    assert_eq!(v.extensions().count(), 0);
    assert_eq!(v.payload(), [1, 2, 3]);
}

#[test]
fn a_padding_only_packet_has_an_empty_payload() {
    // As browsers send bandwidth probes: 255 bytes of padding, the largest there is.
    let mut p = [0; 12 + 255];
    p[0] = 0xa0;
    p[12 + 254] = 255;
    let v = View::parse(&p).unwrap();
    assert!(v.payload().is_empty());
    p[12 + 254] = 0;
    assert_eq!(View::parse(&p).unwrap_err(), Malformed::Padding);
}

proptest! {
    #[test]
    fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..128), valid in any::<bool>()) {
        if let (Some(b), true) = (bytes.first_mut(), valid) {
            *b = (*b & 0x3f) | 0x80;
        }
        if let Ok(v) = View::parse(&bytes) {
            prop_assert!(v.payload_range().end <= bytes.len());
            prop_assert!(v.csrcs().count() <= 15);
            for (id, value) in v.extensions() {
                prop_assert!(id != 0 && value.len() <= 255);
            }
        }
        let _ = crate::is_rtcp(&bytes);
    }
}
