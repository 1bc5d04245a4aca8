//! Where a stream is cut, and what playlists list of it.

use super::*;
use crate::{Reach, Reload};

#[test]
fn a_stream_is_cut_at_key_frames_past_the_target() {
    let mut segmenter = Segmenter::new(Config { low_latency: false, ..CONFIG }, TS, 0);
    segmenter.set_headers(&usual());
    feed(&mut segmenter, 0, 20, (25, 1), 25);
    let playlist = playlist(&segmenter);
    assert!(
        playlist
            .starts_with("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:12\n#EXT-X-MEDIA-SEQUENCE:0\n")
    );
    assert_eq!(values(&playlist, "#EXTINF:"), ["3.00000,"; 6]);
    assert_eq!(values(&playlist, "#EXT-X-PROGRAM-DATE-TIME:")[1], "2023-11-14T22:13:23.000Z");
    assert!(playlist.contains("\n5.ts\n") && !playlist.contains("6.ts") && !playlist.contains("PART"));
    let segment = segmenter.segment(3).unwrap();
    assert!(segment.is_independent && segment.len().is_multiple_of(188));
    assert!(segmenter.segment(6).is_none() && segmenter.part(9, 0).is_none());
}

#[test]
fn positions_grow_with_every_part_and_what_is_hinted_comes() {
    let mut segmenter = cutter(TS);
    segmenter.set_headers(&usual());
    feed(&mut segmenter, 0, 1, (25, 1), 25);
    assert!(!segmenter.has_begun(), "parts alone are nothing to most players");
    feed(&mut segmenter, 1, 3, (25, 1), 25);
    assert!(segmenter.has_begun());
    let mut last = segmenter.position();
    for second in 4..10 {
        let hint = values(&playlist(&segmenter), "#EXT-X-PRELOAD-HINT:")[0].to_owned();
        let name = hint.split('"').nth(1).unwrap().trim_end_matches(".ts").to_owned();
        let (sequence, part) = name.split_once('.').unwrap();
        let (sequence, part) = (sequence.parse().unwrap(), part.parse().unwrap());
        assert!(segmenter.part(sequence, part).is_none());
        feed(&mut segmenter, second, 1, (25, 1), 25);
        assert!(segmenter.part(sequence, part).is_some(), "{name}");
        assert!(segmenter.position() > last);
        last = segmenter.position();
    }
}

#[test]
fn a_group_that_is_too_long_is_cut_and_not_called_independent() {
    let mut segmenter = cutter(TS);
    segmenter.set_headers(&usual());
    feed(&mut segmenter, 0, 11, (25, 1), 1000);
    assert!(playlist(&segmenter).contains("INDEPENDENT-SEGMENTS"));
    feed(&mut segmenter, 11, 29, (25, 1), 1000);
    let all = segmenter.window.all();
    let lengths: Vec<f64> = all.iter().map(|s| s.duration.millis() as f64 / 1000.0).collect();
    assert!(lengths.iter().all(|length| *length <= 12.0 && *length > 11.8), "{lengths:?}");
    let independent: Vec<bool> = all.iter().map(|s| s.is_independent).collect();
    assert_eq!(independent, [true, false, false]);
    assert!(!playlist(&segmenter).contains("INDEPENDENT-SEGMENTS"));
}

#[test]
fn the_playlist_keeps_three_of_the_longest_and_a_slow_reader_finds_what_was_listed() {
    let mut segmenter = cutter(FMP4);
    segmenter.set_headers(&usual());
    feed(&mut segmenter, 0, 300, (25, 1), 25);
    let playlist = playlist(&segmenter);
    assert_eq!(values(&playlist, "#EXTINF:").len(), 12, "36 s of 3 s");
    let first: u64 = values(&playlist, "#EXT-X-MEDIA-SEQUENCE:")[0].parse().unwrap();
    assert!(segmenter.segment(first - 1).is_some() && segmenter.segment(first - 12).is_some());
    assert!(segmenter.segment(first - 13).is_none(), "but nothing is kept for ever");
    let held = segmenter.segment(first).unwrap();
    let before = held.bytes().concat();
    feed(&mut segmenter, 300, 300, (25, 1), 25);
    assert!(segmenter.segment(first).is_none());
    assert_eq!(held.bytes().concat(), before, "what somebody reads stays what it is");
}

#[test]
fn other_parameters_are_a_discontinuity_that_is_counted_when_it_leaves() {
    let mut segmenter = cutter(TS);
    segmenter.set_headers(&usual());
    feed(&mut segmenter, 0, 10, (25, 1), 25);
    segmenter.set_headers(&usual());
    let mut other = (*usual()).clone();
    other.tracks[1].config = Bytes::from_static(&[0x12, 0x10]);
    segmenter.set_headers(&Arc::new(other));
    feed(&mut segmenter, 10, 10, (25, 1), 25);
    let text = playlist(&segmenter);
    assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1);
    assert!(!text.contains("DISCONTINUITY-SEQUENCE"));
    // A short segment stands before it, and its length is true: the last frame lasts as long as the others.
    let all = segmenter.window.all();
    let at = all.iter().position(|segment| segment.is_discontinuous).unwrap();
    assert_eq!(all[at - 1].duration, Ticks::from_millis(1000));
    feed(&mut segmenter, 20, 100, (25, 1), 25);
    let text = playlist(&segmenter);
    assert!(text.contains("#EXT-X-DISCONTINUITY-SEQUENCE:1\n") && !text.contains("DISCONTINUITY\n"));
}

#[test]
fn what_was_left_out_is_a_discontinuity_and_no_segment_spans_it() {
    for tells in [true, false] {
        let mut segmenter = cutter(TS);
        segmenter.set_headers(&usual());
        feed(&mut segmenter, 0, 10, (25, 1), 25);
        if tells {
            segmenter.gap();
        }
        feed(&mut segmenter, 40, 10, (25, 1), 25);
        let text = playlist(&segmenter);
        assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1);
        assert!(segmenter.window.all().iter().all(|segment| segment.duration <= Ticks::from_millis(3000)));
    }
}

#[test]
fn nothing_is_missing_to_whoever_reads_a_transport_stream_over_its_discontinuities() {
    let mut segmenter = cutter(TS);
    segmenter.set_headers(&usual());
    feed(&mut segmenter, 0, 10, (25, 1), 25);
    segmenter.set_headers(&headers(1, vec![video(Kind::H264), audio(Kind::Mp3)]));
    feed(&mut segmenter, 10, 10, (25, 1), 25);
    segmenter.gap();
    feed(&mut segmenter, 40, 10, (25, 1), 25);
    let mut demuxer = container::ts::Demuxer::default();
    for segment in segmenter.window.all() {
        demuxer.push(&segment.bytes().concat());
    }
    assert_eq!(playlist(&segmenter).matches("#EXT-X-DISCONTINUITY\n").count(), 2);
    demuxer.finish();
    assert_eq!(demuxer.losses(), container::ts::Losses::default());
    let mut sounds = std::iter::from_fn(|| demuxer.poll()).map(|unit| unit.codec).collect::<Vec<_>>();
    sounds.dedup_by_key(|codec| *codec == Kind::H264);
    assert!(sounds.contains(&Kind::Aac) && sounds.contains(&Kind::Mp3), "{sounds:?}");
}

#[test]
fn sound_alone_is_cut_too() {
    let mut segmenter = cutter(TS);
    segmenter.set_headers(&headers(0, vec![audio(Kind::Aac)]));
    for n in 0..1000 {
        segmenter.push(0, &frame(false, true, Ticks(n * 1920)));
    }
    let text = segmenter.playlist(&Page { suffix: "?token=t", ..Page::default() });
    assert!(values(&text, "#EXTINF:").len() >= 5 && text.contains("1.ts?token=t\n"));
}

#[test]
fn sound_goes_on_where_pictures_have_stopped() {
    for variant in [TS, FMP4] {
        let mut segmenter = cutter(variant);
        segmenter.set_headers(&usual());
        feed(&mut segmenter, 0, 10, (25, 1), 25);
        let before = segmenter.position();
        for n in 0..1500 {
            segmenter.push(0, &frame(false, true, Ticks::from_millis(10_000 + n * 20)));
        }
        assert!(segmenter.position().segment >= before.segment + 8, "{:?}", segmenter.position());
        let longest = segmenter.window.all().iter().map(|segment| segment.duration).max().unwrap();
        assert!(longest <= Ticks::from_millis(6000), "{longest}");
        feed(&mut segmenter, 40, 10, (25, 1), 25);
        assert!(segmenter.window.all().iter().all(|segment| segment.duration.0 > 0));
    }
}

#[test]
fn nothing_begins_before_the_first_key_frame() {
    let mut segmenter = cutter(TS);
    segmenter.push(0, &frame(true, true, Ticks(0)));
    segmenter.set_headers(&usual());
    for n in 0..20 {
        segmenter.push(0, &frame(false, true, Ticks(n * 3600)));
        segmenter.push(0, &frame(true, false, Ticks(n * 3600)));
    }
    assert!(segmenter.current.is_none());
    segmenter.push(0, &frame(true, true, Ticks(20 * 3600)));
    assert!(segmenter.current.is_some());
}

#[test]
fn what_is_asked_for_is_there_comes_or_is_too_far() {
    let mut segmenter = cutter(FMP4);
    segmenter.set_headers(&usual());
    feed(&mut segmenter, 0, 10, (25, 1), 25);
    let now = segmenter.position();
    assert_eq!(now.segment, 3);
    let reach = |segment, part| segmenter.reach(&Reload { segment: Some(segment), part, skip: false });
    let parts = u64::try_from(now.parts).unwrap();
    assert!(parts > 2);
    assert_eq!(segmenter.reach(&Reload::default()), Reach::There);
    assert_eq!((reach(2, None), reach(0, None)), (Reach::There, Reach::There));
    assert_eq!((reach(3, None), reach(4, None)), (Reach::Later, Reach::Later));
    assert_eq!((reach(5, None), reach(u64::MAX, None)), (Reach::TooFar, Reach::TooFar));
    assert_eq!((reach(3, Some(parts - 1)), reach(3, Some(parts))), (Reach::There, Reach::Later));
    // Three seconds of parts of 0.2 s, and no more.
    assert_eq!((reach(3, Some(parts + 14)), reach(3, Some(parts + 15))), (Reach::Later, Reach::TooFar));
    assert_eq!((reach(4, Some(0)), reach(4, Some(u64::MAX))), (Reach::Later, Reach::TooFar));
    // A part after the last one of a segment is the first one of the next.
    assert_eq!(
        (reach(2, Some(14)), reach(2, Some(15)), reach(2, Some(99))),
        (Reach::There, Reach::There, Reach::There)
    );
    let last = segmenter.segment(2).unwrap().parts.len();
    assert_eq!(last, 15);
    let mut new = cutter(FMP4);
    new.set_headers(&usual());
    // The picture at 3 s ends the segment, and begins one of which no part is there.
    feed(&mut new, 0, 3, (25, 1), 25);
    new.push(0, &frame(true, true, Ticks::from_millis(3000)));
    assert_eq!(new.position(), crate::Position { segment: 1, parts: 0 });
    let reach = |part| new.reach(&Reload { segment: Some(0), part: Some(part), skip: false });
    assert_eq!((reach(14), reach(15)), (Reach::There, Reach::Later));
}

#[test]
fn numbers_begin_where_they_are_told() {
    let mut segmenter = Segmenter::new(CONFIG, FMP4, 1_763_700_000);
    segmenter.set_headers(&usual());
    feed(&mut segmenter, 0, 10, (25, 1), 25);
    let text = playlist(&segmenter);
    assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:1763700000\n"));
    assert!(text.contains("#EXT-X-MAP:URI=\"init-1763700000.mp4\"\n") && text.contains("\n1763700002.m4s\n"));
    assert!(segmenter.init(1_763_700_000).is_some() && segmenter.init(0).is_none());
}

#[test]
fn a_delta_leaves_out_what_is_older_than_six_targets() {
    let config =
        Config { max_segment: Duration::from_secs(2), segment: Duration::from_secs(1), window: 30, ..CONFIG };
    let mut segmenter = Segmenter::new(config, FMP4, 0);
    segmenter.set_headers(&usual());
    feed(&mut segmenter, 0, 60, (25, 1), 25);
    let whole = playlist(&segmenter);
    let delta = segmenter.playlist(&Page { skip: true, ..Page::default() });
    assert!(whole.contains("CAN-SKIP-UNTIL=12\n") && !whole.contains("EXT-X-SKIP"));
    let skipped: usize = values(&delta, "#EXT-X-SKIP:SKIPPED-SEGMENTS=")[0].parse().unwrap();
    assert!(delta.starts_with("#EXTM3U\n#EXT-X-VERSION:9\n"));
    let (listed, left) = (values(&whole, "#EXTINF:").len(), values(&delta, "#EXTINF:").len());
    assert_eq!((listed, skipped + left), (30, 30));
    assert!((12..=13).contains(&left), "{left}");
    // What follows is the same, and nothing that was left out is told of.
    let tail = |text: &str| text[text.find("\n58.m4s").unwrap()..].to_owned();
    assert_eq!(tail(&whole), tail(&delta));
    assert!(!delta.contains("EXT-X-MAP"), "the map stands before what the player has");
    assert_eq!(values(&whole, "#EXT-X-MEDIA-SEQUENCE:"), values(&delta, "#EXT-X-MEDIA-SEQUENCE:"));
}
