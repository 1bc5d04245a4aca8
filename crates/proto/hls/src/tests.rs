#![allow(clippy::disallowed_methods)] // a test has to begin somewhere

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use codec::Kind;
use media::{Frame, Headers, Picture, Shape, Sound, Ticks, Track, TrackId};

use crate::{Config, Segmenter};

const CONFIG: Config = Config {
    segment: Duration::from_secs(3),
    max_segment: Duration::from_secs(12),
    part: Duration::from_millis(200),
    window: 5,
    low_latency: true,
};

fn tracks(generation: u32, audio_only: bool) -> Arc<Headers> {
    let video = Track {
        id: TrackId::VIDEO,
        codec: Kind::H264,
        config: Bytes::from_static(&[1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 2, 0x67, 1, 1, 0, 2, 0x68, 2]),
        shape: Shape::Video(Picture::default()),
    };
    let audio = Track {
        id: TrackId::AUDIO,
        codec: Kind::Aac,
        config: Bytes::from_static(&[0x11, 0x90]),
        shape: Shape::Audio(Sound { rate: 48_000, channels: 2 }),
    };
    let tracks = if audio_only { vec![audio] } else { vec![video, audio] };
    Arc::new(Headers { version: u64::from(generation) + 1, generation, tracks })
}

fn frame(is_video: bool, key: bool, dts: Ticks) -> Frame {
    let track = if is_video { TrackId::VIDEO } else { TrackId::AUDIO };
    let payload = Bytes::from_static(&[0, 0, 0, 3, 0x65, 1, 2]);
    Frame { track, key, dts, pts: dts, payload }
}

/// `seconds` of pictures at a rate of `numerator / denominator` a second, times rounded to milliseconds as
/// RTMP has them, with a key frame every `group` pictures.
fn feed(segmenter: &mut Segmenter, from: i64, seconds: i64, rate: (i64, i64), group: i64) {
    let (numerator, denominator) = rate;
    let first = from * numerator / denominator;
    for n in first..first + seconds * numerator / denominator {
        let millis = n * 1000 * denominator / numerator;
        let at = Ticks::from_millis(millis);
        segmenter.push(1_700_000_000_000 + millis, &frame(true, n % group == 0, at));
        segmenter.push(1_700_000_000_000 + millis, &frame(false, true, at));
    }
}

fn values<'a>(playlist: &'a str, tag: &str) -> Vec<&'a str> {
    playlist.lines().filter_map(|line| line.strip_prefix(tag)).collect()
}

fn attribute(list: &str, name: &str) -> f64 {
    let value = list.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("{name} in {list}")).parse().unwrap()
}

#[test]
fn a_stream_is_cut_at_key_frames_past_the_target() {
    let mut segmenter = Segmenter::new(Config { low_latency: false, ..CONFIG });
    segmenter.set_headers(tracks(0, false));
    feed(&mut segmenter, 0, 20, (25, 1), 25);
    let playlist = segmenter.playlist("");
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
fn parts_keep_apples_rules_at_every_frame_rate() {
    for rate in [(25, 1), (30, 1), (24, 1), (30_000, 1001), (60, 1), (15, 1), (50, 1), (5, 1)] {
        let mut segmenter = Segmenter::new(CONFIG);
        segmenter.set_headers(tracks(0, false));
        feed(&mut segmenter, 0, 30, rate, rate.0 / rate.1 * 2);
        let playlist = segmenter.playlist("");
        let target = attribute(values(&playlist, "#EXT-X-PART-INF:")[0], "PART-TARGET");
        let control = values(&playlist, "#EXT-X-SERVER-CONTROL:")[0];
        assert!(control.contains("CAN-BLOCK-RELOAD=YES"));
        assert!(attribute(control, "PART-HOLD-BACK") >= 3.0 * target - 0.001, "{control}");
        let (mut sum, mut parts) = (0.0, Vec::new());
        for line in playlist.lines() {
            if let Some(list) = line.strip_prefix("#EXT-X-PART:") {
                parts.push(attribute(list, "DURATION"));
                sum += attribute(list, "DURATION");
            } else if let Some(length) = line.strip_prefix("#EXTINF:") {
                let length: f64 = length.trim_end_matches(',').parse().unwrap();
                assert!(length <= 12.0);
                // Of segments that list their parts, parts add up to the whole.
                assert!(parts.is_empty() || (sum - length).abs() < 0.001, "{rate:?}: {sum} of {length}");
                let but_last = parts.len().saturating_sub(1);
                for part in &parts[..but_last] {
                    assert!(*part <= target + 1e-9 && *part >= 0.85 * target, "{rate:?}: {part} of {target}");
                }
                assert!(parts.iter().all(|part| *part <= target + 1e-9), "{rate:?}");
                (sum, parts) = (0.0, Vec::new());
            }
        }
        assert_eq!(values(&playlist, "#EXT-X-PRELOAD-HINT:").len(), 1);
        let first = playlist.lines().find(|line| line.starts_with("#EXT-X-PART:")).unwrap();
        assert!(first.contains("INDEPENDENT=YES"), "{first}");
    }
}

#[test]
fn positions_grow_with_every_part_and_what_is_hinted_comes() {
    let mut segmenter = Segmenter::new(CONFIG);
    segmenter.set_headers(tracks(0, false));
    feed(&mut segmenter, 0, 1, (25, 1), 25);
    assert!(!segmenter.has_begun(), "parts alone are nothing to most players");
    feed(&mut segmenter, 1, 3, (25, 1), 25);
    assert!(segmenter.has_begun());
    let mut last = segmenter.position();
    for second in 4..10 {
        let hint = values(&segmenter.playlist(""), "#EXT-X-PRELOAD-HINT:")[0].to_owned();
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
    let mut segmenter = Segmenter::new(CONFIG);
    segmenter.set_headers(tracks(0, false));
    feed(&mut segmenter, 0, 40, (25, 1), 1000);
    let lengths: Vec<f64> = segmenter.segments.iter().map(|s| s.duration.millis() as f64 / 1000.0).collect();
    assert!(lengths.iter().all(|length| *length <= 12.0 && *length > 11.8), "{lengths:?}");
    let independent: Vec<bool> = segmenter.segments.iter().map(|s| s.is_independent).collect();
    assert_eq!(independent, [true, false, false]);
    assert!(!segmenter.playlist("").contains("INDEPENDENT-SEGMENTS"));
}

#[test]
fn the_playlist_keeps_three_of_the_longest_and_a_slow_reader_finds_what_was_listed() {
    let mut segmenter = Segmenter::new(CONFIG);
    segmenter.set_headers(tracks(0, false));
    feed(&mut segmenter, 0, 300, (25, 1), 25);
    let playlist = segmenter.playlist("");
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
    let mut segmenter = Segmenter::new(CONFIG);
    segmenter.set_headers(tracks(0, false));
    feed(&mut segmenter, 0, 10, (25, 1), 25);
    segmenter.set_headers(tracks(0, false));
    segmenter.set_headers(tracks(1, false));
    feed(&mut segmenter, 10, 10, (25, 1), 25);
    let playlist = segmenter.playlist("");
    assert_eq!(playlist.matches("#EXT-X-DISCONTINUITY\n").count(), 1);
    assert!(!playlist.contains("DISCONTINUITY-SEQUENCE"));
    // A short segment stands before it, and its length is true.
    let at = segmenter.segments.iter().position(|segment| segment.is_discontinuous).unwrap();
    assert!(segmenter.segments[at - 1].duration < Ticks::from_millis(3000));
    feed(&mut segmenter, 20, 100, (25, 1), 25);
    let playlist = segmenter.playlist("");
    assert!(playlist.contains("#EXT-X-DISCONTINUITY-SEQUENCE:1\n") && !playlist.contains("DISCONTINUITY\n"));
}

#[test]
fn sound_alone_is_cut_too_and_other_codecs_are_not_carried() {
    let mut segmenter = Segmenter::new(CONFIG);
    segmenter.set_headers(tracks(0, true));
    for n in 0..1000 {
        segmenter.push(0, &frame(false, true, Ticks(n * 1920)));
    }
    let playlist = segmenter.playlist("?token=t");
    assert!(values(&playlist, "#EXTINF:").len() >= 5 && playlist.contains("1.ts?token=t\n"));
    let mut headers = (*tracks(0, true)).clone();
    headers.tracks[0].codec = Kind::Opus;
    let mut segmenter = Segmenter::new(CONFIG);
    segmenter.set_headers(Arc::new(headers));
    segmenter.push(0, &frame(false, true, Ticks(0)));
    assert!(segmenter.is_refused() && !segmenter.has_begun());
}

#[test]
fn nothing_begins_before_the_first_key_frame() {
    let mut segmenter = Segmenter::new(CONFIG);
    segmenter.push(0, &frame(true, true, Ticks(0)));
    segmenter.set_headers(tracks(0, false));
    for n in 0..20 {
        segmenter.push(0, &frame(false, true, Ticks(n * 3600)));
        segmenter.push(0, &frame(true, false, Ticks(n * 3600)));
    }
    assert!(segmenter.current.is_none() && segmenter.held.is_empty());
    segmenter.push(0, &frame(true, true, Ticks(20 * 3600)));
    assert!(segmenter.current.is_some());
}
