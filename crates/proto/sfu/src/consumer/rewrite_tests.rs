use std::time::{Duration, Instant};

use codec::vp8::{Descriptor, PictureId};

use super::*;
use crate::packet::Meta;

const VIDEO: u32 = 90_000;

struct Source {
    t0: Instant,
}

impl Source {
    fn new() -> Self {
        Self { t0: Instant::now() }
    }

    /// A packet that arrives `ms` after the beginning.
    fn packet(&self, ms: u64, seq: u64, timestamp: u32) -> Meta {
        let mut m = Meta::for_test(self.t0 + Duration::from_millis(ms));
        (m.seq, m.timestamp) = (seq, timestamp);
        m
    }

    fn vp8(&self, ms: u64, seq: u64, picture: u16, tl0: u8, key: u8) -> Meta {
        let mut m = self.packet(ms, seq, ms as u32 * 90);
        m.vp8 = Some(Descriptor {
            picture_id: Some(PictureId { value: picture, wide: true }),
            tl0_picture_index: Some(tl0),
            key_index: Some(key),
            ..Descriptor::default()
        });
        m
    }
}

fn begin_at(rewrite: &mut Rewrite, encoding: u8, meta: &Meta, hint: Option<u32>) -> Numbers {
    rewrite.begin(encoding, meta, VIDEO, hint);
    rewrite.place(encoding, meta).unwrap()
}

#[test]
fn numbers_go_on_over_a_switch_and_late_packets_of_before_find_their_place() {
    let s = Source::new();
    let mut r = Rewrite::new(100);
    let first = begin_at(&mut r, 0, &s.packet(0, 70_000, 5000), None);
    assert_eq!((first.seq as u16, first.timestamp), (100, 5000));
    // 70001 is late.
    assert_eq!(r.place(0, &s.packet(33, 70_002, 8000)).unwrap().seq as u16, 102);
    let switched = begin_at(&mut r, 1, &s.packet(66, 1_000_000, 77), None);
    assert_eq!(switched.seq as u16, 103);
    // By arrival: 33 ms after the last.
    assert_eq!(switched.timestamp, 8000 + 33 * 90);
    assert_eq!(r.place(0, &s.packet(70, 70_001, 5000)).unwrap().seq as u16, 101);
    // Beyond what was left free there is nothing.
    assert_eq!(r.place(0, &s.packet(70, 70_003, 11_000)), None);
    assert_eq!(r.place(1, &s.packet(71, 999_999, 77)), None);
    assert_eq!(r.place(1, &s.packet(99, 1_000_001, 77 + 2970)).unwrap().timestamp, switched.timestamp + 2970);
}

#[test]
fn a_timestamp_from_sender_reports_is_taken_unless_it_is_absurd_or_goes_back() {
    let s = Source::new();
    for (hint, expected) in [
        (10_000 + 2_500, 12_500),
        // Two minutes off.
        (10_000 + 120 * VIDEO, 10_000 + 2_970),
        // Behind what was sent.
        (9_000, 10_001),
        (10_000, 10_001),
    ] {
        let mut r = Rewrite::new(0);
        begin_at(&mut r, 0, &s.packet(0, 70_000, 10_000), None);
        let n = begin_at(&mut r, 1, &s.packet(33, 80_000, 0), Some(hint));
        assert_eq!(n.timestamp, expected, "hint {hint}");
    }
}

#[test]
fn skipped_packets_leave_no_gap() {
    let s = Source::new();
    let mut r = Rewrite::new(0);
    begin_at(&mut r, 0, &s.packet(0, 70_000, 0), None);
    assert_eq!(r.skip(0, &s.packet(1, 70_001, 1)), None);
    assert_eq!(r.skip(0, &s.packet(1, 70_002, 1)), None);
    assert_eq!(r.place(0, &s.packet(2, 70_003, 2)).unwrap().seq as u16, 1);
    // 70004 is late, and turns out to be one that is to be skipped: its number must be filled.
    assert_eq!(r.place(0, &s.packet(3, 70_005, 3)).unwrap().seq as u16, 3);
    assert_eq!(r.skip(0, &s.packet(4, 70_004, 3)).map(|n| n.seq as u16), Some(2));
    assert_eq!(r.place(0, &s.packet(4, 70_006, 4)).unwrap().seq as u16, 4);
}

#[test]
fn a_late_packet_from_before_a_skipped_one_keeps_its_number() {
    let s = Source::new();
    let mut r = Rewrite::new(0);
    begin_at(&mut r, 0, &s.packet(0, 70_000, 0), None);
    // 70001 is late.
    assert_eq!(r.skip(0, &s.packet(1, 70_002, 1)), None);
    assert_eq!(r.place(0, &s.packet(2, 70_003, 2)).unwrap().seq as u16, 2);
    assert_eq!(r.place(0, &s.packet(2, 70_001, 0)).unwrap().seq as u16, 1);
}

#[test]
fn every_number_leads_back_to_its_source() {
    let s = Source::new();
    let mut r = Rewrite::new(0);
    begin_at(&mut r, 0, &s.packet(0, 70_000, 0), None);
    r.skip(0, &s.packet(1, 70_001, 1));
    r.place(0, &s.packet(2, 70_002, 2)).unwrap();
    begin_at(&mut r, 1, &s.packet(3, 90_000, 2), None);
    let source = |r: &Rewrite, seq| r.source(r.extend(seq));
    assert_eq!(source(&r, 0), Some((0, 0, 70_000)));
    assert_eq!(source(&r, 1), Some((0, 0, 70_002)));
    assert_eq!(source(&r, 2), Some((1, 0, 90_000)));
    assert_eq!(source(&r, 3), None);
    assert_eq!(source(&r, 0xffff), None);
}

#[test]
fn vp8_ids_go_on_over_a_switch_and_count_only_pictures_that_are_sent() {
    let s = Source::new();
    let mut r = Rewrite::new(0);
    let a = begin_at(&mut r, 0, &s.vp8(0, 70_000, 0x7ffe, 254, 3), None).vp8;
    assert_eq!((a.picture_id, a.tl0_picture_index, a.key_index), (0x7ffe, 254, 3));
    // Two packets of one skipped picture, which is one id less.
    r.skip(0, &s.vp8(1, 70_001, 0x7fff, 254, 3));
    r.skip(0, &s.vp8(1, 70_002, 0x7fff, 254, 3));
    let b = r.place(0, &s.vp8(2, 70_003, 0, 255, 3)).unwrap().vp8;
    assert_eq!((b.picture_id, b.tl0_picture_index, b.key_index), (0x7fff, 255, 3));
    let c = begin_at(&mut r, 1, &s.vp8(3, 90_000, 17, 90, 30), None).vp8;
    assert_eq!((c.picture_id, c.tl0_picture_index, c.key_index), (0, 0, 4));
    let d = r.place(1, &s.vp8(4, 90_001, 18, 90, 30)).unwrap().vp8;
    assert_eq!((d.picture_id, d.tl0_picture_index, d.key_index), (1, 0, 4));
}

#[test]
fn a_long_run_of_base_layers_alone_has_no_gaps_and_late_ones_of_the_last_pictures_still_fit() {
    let s = Source::new();
    let mut r = Rewrite::new(0x7ff0);
    let mut expected = 0x7ff0u16;
    begin_at(&mut r, 0, &s.packet(0, 70_000, 0), None);
    for n in 1..200_000u64 {
        let m = s.packet(n, 70_000 + n, n as u32);
        if n % 2 == 1 {
            assert_eq!(r.skip(0, &m), None);
        } else {
            expected = expected.wrapping_add(1);
            assert_eq!(r.place(0, &m).unwrap().seq as u16, expected);
        }
    }
}
