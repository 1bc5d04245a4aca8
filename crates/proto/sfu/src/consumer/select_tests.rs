use std::time::Instant;

use super::*;
use crate::packet::Meta;

fn meta() -> Meta {
    Meta::for_test(Instant::now())
}

fn wish(max_spatial: u8, max_temporal: u8) -> Wish {
    Wish { paused: false, max_spatial, max_temporal, priority: 0 }
}

const SIMULCAST: Shape = Shape { video: true, svc: false };
const SVC: Shape = Shape { video: true, svc: true };

fn packet(timestamp: u32, key: bool, start: bool, marker: bool) -> Meta {
    let mut m = meta();
    m.timestamp = timestamp;
    m.frame.key = key;
    m.frame.start = start;
    m.marker = marker;
    m
}

#[test]
fn it_aims_at_the_best_encoding_that_arrives_within_the_wish() {
    for (max, arriving, target) in [
        (2, 0b111, 2),
        (1, 0b111, 1),
        (0, 0b111, 0),
        (2, 0b011, 1),
        (1, 0b100, 2),
        (0, 0b110, 1),
        (2, 0b000, 2),
        (7, 0b111, 2),
    ] {
        let mut s = Select::new(wish(max, 0), SIMULCAST);
        s.aim(arriving, 3);
        assert_eq!(s.waiting_for(), Some(target), "wish {max}, arriving {arriving:03b}");
    }
}

#[test]
fn nothing_goes_before_a_key_frame_and_the_old_encoding_goes_on_until_the_new_ones() {
    let mut s = Select::new(wish(0, 0), SIMULCAST);
    s.aim(0b11, 2);
    assert_eq!(s.choose(0, &packet(1, false, true, true)), Choice::Ignore);
    assert_eq!(s.choose(0, &packet(2, true, true, false)), Choice::Begin { end: false });
    assert_eq!(s.choose(0, &packet(2, false, false, true)), Choice::Forward { end: true });
    s.set_wish(wish(1, 0));
    s.aim(0b11, 2);
    assert_eq!((s.waiting_for(), s.wanted()), (Some(1), 0b11));
    assert_eq!(s.choose(1, &packet(3, false, true, true)), Choice::Ignore);
    assert_eq!(s.choose(0, &packet(3, false, true, true)), Choice::Forward { end: true });
    assert_eq!(s.choose(1, &packet(4, true, true, true)), Choice::Begin { end: true });
    assert_eq!(s.choose(0, &packet(4, false, true, true)), Choice::Ignore);
    assert_eq!((s.waiting_for(), s.wanted(), s.layer()), (None, 0b10, Some(1)));
}

#[test]
fn a_pause_ends_what_goes_and_only_a_key_frame_begins_it_again() {
    let mut s = Select::new(wish(0, 0), SIMULCAST);
    s.aim(1, 1);
    s.choose(0, &packet(1, true, true, true));
    s.set_wish(Wish { paused: true, ..wish(0, 0) });
    assert_eq!((s.wanted(), s.waiting_for()), (0, None));
    assert_eq!(s.choose(0, &packet(2, true, true, true)), Choice::Ignore);
    s.set_wish(wish(0, 0));
    assert_eq!(s.waiting_for(), Some(0));
    assert_eq!(s.choose(0, &packet(3, false, true, true)), Choice::Ignore);
    assert_eq!(s.choose(0, &packet(4, true, true, true)), Choice::Begin { end: true });
}

#[test]
fn audio_needs_no_key_frame_and_begins_anew_with_a_new_epoch() {
    let mut s = Select::new(wish(0, 0), Shape { video: false, svc: false });
    let mut m = packet(1, false, true, false);
    assert_eq!(s.choose(0, &m), Choice::Begin { end: false });
    assert_eq!(s.choose(0, &m), Choice::Forward { end: false });
    m.epoch = 1;
    assert_eq!(s.choose(0, &m), Choice::Begin { end: false });
    assert_eq!(s.waiting_for(), None);
}

#[test]
fn a_new_epoch_of_video_waits_for_its_key_frame() {
    let mut s = Select::new(wish(0, 0), SIMULCAST);
    s.aim(1, 1);
    s.choose(0, &packet(1, true, true, true));
    let mut m = packet(2, false, true, true);
    m.epoch = 1;
    assert_eq!(s.choose(0, &m), Choice::Ignore);
    m.frame.key = true;
    assert_eq!(s.choose(0, &m), Choice::Begin { end: true });
}

#[test]
fn temporal_layers_go_down_between_pictures_and_up_where_the_codec_says() {
    let mut s = Select::new(wish(0, 2), SIMULCAST);
    s.aim(1, 1);
    s.choose(0, &packet(1, true, true, true));
    let mut t2 = packet(2, false, true, false);
    t2.frame.temporal = 2;
    assert_eq!(s.choose(0, &t2), Choice::Forward { end: false });
    s.set_wish(wish(0, 0));
    // The picture that has begun is finished.
    t2.frame.start = false;
    assert_eq!(s.choose(0, &t2), Choice::Forward { end: false });
    let mut t1 = packet(3, false, true, true);
    t1.frame.temporal = 1;
    assert_eq!(s.choose(0, &t1), Choice::Skip);
    s.set_wish(wish(0, 2));
    t1.timestamp = 4;
    assert_eq!(s.choose(0, &t1), Choice::Skip);
    t1.timestamp = 5;
    t1.frame.switch_up = true;
    assert_eq!(s.choose(0, &t1), Choice::Forward { end: true });
    let mut t2 = packet(6, false, true, true);
    t2.frame.temporal = 2;
    assert_eq!(s.choose(0, &t2), Choice::Skip);
}

/// A packet of one spatial layer's frame.
fn svc(timestamp: u32, key: bool, spatial: u8, end: bool) -> Meta {
    let mut m = packet(timestamp, key && spatial == 0, true, end && spatial == 2);
    m.frame.spatial = spatial;
    m.frame.end = end;
    m
}

#[test]
fn svc_layers_go_down_between_pictures_and_up_at_key_frames_and_the_last_one_closes_the_picture() {
    let mut s = Select::new(wish(2, 0), SVC);
    s.aim(1, 1);
    assert_eq!(s.choose(0, &svc(1, true, 0, true)), Choice::Begin { end: false });
    s.set_wish(wish(1, 0));
    assert_eq!(s.choose(0, &svc(1, true, 2, true)), Choice::Forward { end: true });
    assert_eq!(s.choose(0, &svc(2, false, 0, true)), Choice::Forward { end: false });
    assert_eq!(s.choose(0, &svc(2, false, 1, true)), Choice::Forward { end: true });
    assert_eq!(s.choose(0, &svc(2, false, 2, true)), Choice::Skip);
    s.set_wish(wish(2, 0));
    assert_eq!(s.waiting_for(), Some(0));
    assert_eq!(s.choose(0, &svc(3, false, 2, true)), Choice::Skip);
    assert_eq!(s.choose(0, &svc(4, true, 0, true)), Choice::Forward { end: false });
    assert_eq!(s.choose(0, &svc(4, true, 2, true)), Choice::Forward { end: true });
    assert_eq!((s.waiting_for(), s.layer()), (None, Some(2)));
}

#[test]
fn a_picture_that_was_begun_is_finished_though_a_layer_less_is_wanted_since() {
    let mut s = Select::new(wish(0, 7), SIMULCAST);
    s.aim(0b1, 1);
    let of = |timestamp, temporal, start, marker| {
        let mut m = packet(timestamp, false, start, marker);
        m.frame.temporal = temporal;
        m
    };
    assert_eq!(s.choose(0, &packet(1, true, true, true)), Choice::Begin { end: true });
    assert_eq!(s.choose(0, &of(2, 2, true, false)), Choice::Forward { end: false });
    s.set_wish(wish(0, 0));
    assert_eq!(s.choose(0, &of(3, 0, true, true)), Choice::Forward { end: true });
    // Overtaken: the rest of the picture before, and the beginning of it, which changes nothing.
    assert_eq!(s.choose(0, &of(2, 2, false, true)), Choice::Forward { end: true });
    assert_eq!(s.choose(0, &of(2, 2, true, false)), Choice::Forward { end: false });
    assert_eq!(s.choose(0, &of(4, 1, true, true)), Choice::Skip);
}

#[test]
fn layers_in_time_are_climbed_one_by_one() {
    let mut s = Select::new(wish(0, 0), SIMULCAST);
    s.aim(0b1, 1);
    let mut at = 1;
    let mut next = |s: &mut Select, temporal, switch_up| {
        at += 1;
        let mut m = packet(at, false, true, true);
        (m.frame.temporal, m.frame.switch_up) = (temporal, switch_up);
        s.choose(0, &m) != Choice::Skip
    };
    s.choose(0, &packet(1, true, true, true));
    s.set_wish(wish(0, 7));
    // The highest needs the lowest alone, but what comes next needs the one between.
    assert!(!next(&mut s, 2, true) && !next(&mut s, 1, false));
    assert!(next(&mut s, 1, true) && next(&mut s, 2, true) && next(&mut s, 1, false));
}

#[test]
fn a_picture_that_is_had_opens_all_layers_in_time_whose_later_pictures_need_none_but_it() {
    let mut s = Select::new(wish(0, 0), SIMULCAST);
    s.aim(0b1, 1);
    let mut at = 1;
    let mut next = |s: &mut Select, temporal, reach| {
        at += 1;
        let mut m = packet(at, false, true, true);
        (m.frame.temporal, m.frame.reach) = (temporal, reach);
        s.choose(0, &m) != Choice::Skip
    };
    s.choose(0, &packet(1, true, true, true));
    // Not before it is wished.
    assert!(next(&mut s, 0, 2) && !next(&mut s, 1, 2));
    s.set_wish(wish(0, 1));
    // What is not had opens nothing, nor does every picture of the lowest layer.
    assert!(!next(&mut s, 1, 2) && next(&mut s, 0, 0) && !next(&mut s, 1, 2));
    assert!(next(&mut s, 0, 2) && !next(&mut s, 2, 0) && next(&mut s, 1, 2));
    s.set_wish(wish(0, 7));
    assert!(!next(&mut s, 2, 0) && next(&mut s, 1, 2) && next(&mut s, 2, 0));
}
