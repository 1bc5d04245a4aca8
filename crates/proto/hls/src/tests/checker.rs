//! A checker of playlists over time, after RFC 8216, rfc8216bis and Apple's authoring rules for low latency; and a
//! second reader of plain playlists, `hls_m3u8`.

use std::collections::BTreeMap;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;

/// What was seen of one playlist so far.
#[derive(Default)]
struct Checker {
    target: Option<f64>,
    part_target: Option<f64>,
    sequence: u64,
    discontinuities: u64,
    /// The lines of each segment that was whole, which never change.
    segments: BTreeMap<u64, Vec<String>>,
    /// And of parts.
    parts: BTreeMap<String, String>,
    /// The last part that was hinted at.
    hint: Option<String>,
}

/// A playlist, taken apart.
#[derive(Default)]
struct Read {
    segments: Vec<ReadSegment>,
    /// Of the segment that is being made.
    growing: ReadSegment,
    hint: Option<String>,
}

#[derive(Default, Clone)]
struct ReadSegment {
    length: f64,
    uri: String,
    lines: Vec<String>,
    /// Addresses and lengths.
    parts: Vec<(String, f64)>,
    is_discontinuous: bool,
    has_map: bool,
    has_date: bool,
}

fn attribute<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    list.split(',')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        .map(|value| value.trim_matches('"'))
}

fn number(list: &str, name: &str) -> f64 {
    attribute(list, name).unwrap_or_else(|| panic!("{name} in {list}")).parse().unwrap()
}

fn read(text: &str) -> Read {
    let mut read = Read::default();
    let mut segment = ReadSegment::default();
    let mut is_named = false;
    for line in text.lines() {
        if let Some(list) = line.strip_prefix("#EXT-X-PART:") {
            segment.parts.push((attribute(list, "URI").unwrap().into(), number(list, "DURATION")));
        } else if let Some(length) = line.strip_prefix("#EXTINF:") {
            // The comma belongs to it.
            segment.length = length.strip_suffix(',').unwrap().parse().unwrap();
            is_named = true;
        } else if line == "#EXT-X-DISCONTINUITY" {
            segment.is_discontinuous = true;
        } else if line.starts_with("#EXT-X-MAP:") {
            segment.has_map = true;
        } else if line.starts_with("#EXT-X-PROGRAM-DATE-TIME:") {
            segment.has_date = true;
        } else if let Some(list) = line.strip_prefix("#EXT-X-PRELOAD-HINT:") {
            read.hint = attribute(list, "URI").map(str::to_owned);
        }
        let is_of_segment =
            ["#EXT-X-PART:", "#EXTINF", "#EXT-X-DISCONTINUITY\n", "#EXT-X-MAP", "#EXT-X-PROGRAM"]
                .iter()
                .any(|tag| line.starts_with(tag.trim_end()));
        if is_of_segment && !line.starts_with("#EXT-X-DISCONTINUITY-") {
            segment.lines.push(line.to_owned());
        }
        if !line.starts_with('#') {
            assert!(std::mem::take(&mut is_named), "{line} without EXTINF");
            segment.uri = line.to_owned();
            read.segments.push(std::mem::take(&mut segment));
        }
    }
    read.growing = segment;
    read
}

impl Checker {
    fn check(&mut self, text: &str) {
        assert!(text.starts_with("#EXTM3U\n"));
        self.heads(text);
        let read = read(text);
        let target = self.target.unwrap();
        let sequence = value(text, "#EXT-X-MEDIA-SEQUENCE:").unwrap();
        assert!(sequence >= self.sequence, "the media sequence goes back");
        for (segment, number) in read.segments.iter().zip(sequence..) {
            assert!(segment.length.round() <= target && segment.length > 0.0, "{} s", segment.length);
            assert!(segment.has_date);
            let lines: Vec<String> = segment.lines.clone();
            // A map is repeated where a playlist begins.
            let plain = |lines: &[String]| -> Vec<String> {
                lines.iter().filter(|line| !line.starts_with("#EXT-X-MAP")).cloned().collect()
            };
            if let Some(before) = self.segments.insert(number, lines.clone()) {
                assert_eq!(plain(&before), plain(&lines), "{} has changed", segment.uri);
            } else if let Some((last, _)) = self.segments.range(..number).next_back() {
                assert_eq!(last + 1, number, "a segment was never listed");
            }
            assert!(!segment.is_discontinuous || segment.has_map || !text.contains("EXT-X-MAP"));
        }
        // Three target durations, once there were as many (RFC 8216 section 6.2.2).
        let length: f64 = read.segments.iter().map(|segment| segment.length).sum();
        assert!(sequence == 0 || length >= 3.0 * target, "{length} s are listed");
        let left = (self.sequence..sequence).filter(|number| {
            self.segments
                .get(number)
                .is_some_and(|lines| lines.iter().any(|line| line == "#EXT-X-DISCONTINUITY"))
        });
        self.discontinuities += u64::try_from(left.count()).unwrap();
        assert_eq!(value(text, "#EXT-X-DISCONTINUITY-SEQUENCE:").unwrap_or(0), self.discontinuities);
        self.sequence = sequence;
        if text.contains("CAN-BLOCK-RELOAD=YES") {
            self.low_latency(&read);
        } else {
            assert!(!text.contains("EXT-X-PART") && !text.contains("PRELOAD") && !text.contains("SKIP"));
        }
        // Without pictures in the first segment there is nothing to begin with.
        assert!(read.segments.first().is_none_or(|first| first.has_map || !text.contains(".m4s")));
    }

    /// What must never change, and how it belongs together.
    fn heads(&mut self, text: &str) {
        let target = value(text, "#EXT-X-TARGETDURATION:").unwrap() as f64;
        assert_eq!(*self.target.get_or_insert(target), target);
        let Some(info) = values(text, "#EXT-X-PART-INF:").first().copied() else { return };
        let part_target = number(info, "PART-TARGET");
        assert_eq!(*self.part_target.get_or_insert(part_target), part_target);
        let control = values(text, "#EXT-X-SERVER-CONTROL:")[0];
        assert_eq!(attribute(control, "CAN-BLOCK-RELOAD"), Some("YES"));
        let hold_back = number(control, "PART-HOLD-BACK");
        assert!(hold_back >= 2.0 * part_target && hold_back >= 3.0 * part_target - 1e-9, "{hold_back}");
        assert!(number(control, "CAN-SKIP-UNTIL") >= 6.0 * target);
    }

    fn low_latency(&mut self, read: &Read) {
        let Some(target) = self.part_target else { return };
        let all = read.segments.iter().map(|segment| (segment, true)).chain([(&read.growing, false)]);
        for (segment, is_whole) in all {
            let count = segment.parts.len();
            for (n, (uri, length)) in segment.parts.iter().enumerate() {
                assert!(*length <= target + 1e-9 && *length > 0.0, "{uri}: {length} s, target {target}");
                // The last before a boundary may be short.
                if !(is_whole && n + 1 == count) {
                    assert!(*length >= 0.85 * target, "{uri}: {length} s, target {target}");
                }
                let line = format!("{length}");
                assert_eq!(*self.parts.entry(uri.clone()).or_insert(line.clone()), line);
            }
            let sum: f64 = segment.parts.iter().map(|(_, length)| length).sum();
            assert!(
                !is_whole || count == 0 || (sum - segment.length).abs() < 0.001,
                "{sum} of {}",
                segment.length
            );
        }
        // What was hinted at has come, or is still what comes next.
        if let Some(hint) = self.hint.take() {
            assert!(self.parts.contains_key(&hint) || read.hint.as_ref() == Some(&hint), "{hint} never came");
        }
        self.hint = read.hint.clone();
        assert!(self.hint.as_ref().is_none_or(|hint| !self.parts.contains_key(hint)));
    }
}

fn value(text: &str, tag: &str) -> Option<u64> {
    values(text, tag).first().map(|value| value.parse().unwrap())
}

/// Feeds pictures and sound and looks at every playlist on the way.
fn watch(mut segmenter: Segmenter, rate: (i64, i64), group: i64, seconds: i64, changes: bool) -> Segmenter {
    let mut checker = Checker::default();
    let mut seen = segmenter.position();
    let (numerator, denominator) = rate;
    let mut said = (0, String::new());
    for n in 0..seconds * numerator / denominator {
        let millis = n * 1000 * denominator / numerator;
        let at = Ticks::from_millis(millis);
        if changes && n > 0 && n % (group * 7) == 0 {
            let sound = if n % (group * 14) == 0 { &[0x11, 0x90] } else { &[0x12, 0x10] };
            let mut other = audio(Kind::Aac);
            other.config = Bytes::copy_from_slice(sound);
            segmenter.set_headers(&headers(n as u32, vec![video(Kind::H264), other]));
        }
        segmenter.push(millis, &frame(true, n % group == 0, at));
        segmenter.push(millis, &frame(false, true, at));
        let now = segmenter.position();
        if now != seen && segmenter.has_begun() {
            let text = playlist(&segmenter);
            checker.check(&text);
            (seen, said) = (now, (n, text));
        }
    }
    assert!(said.0 > 0 && !checker.segments.is_empty());
    segmenter
}

const RATES: [(i64, i64); 8] = [(25, 1), (30, 1), (24, 1), (30_000, 1001), (60, 1), (15, 1), (50, 1), (5, 1)];

#[test]
fn low_latency_keeps_apples_rules_at_every_frame_rate() {
    for variant in [TS, FMP4] {
        for rate in RATES {
            let mut segmenter = cutter(variant);
            segmenter.set_headers(&usual());
            watch(segmenter, rate, rate.0 / rate.1 * 2, 50, false);
        }
    }
}

#[test]
fn discontinuities_keep_them_too() {
    for variant in [TS, FMP4] {
        for low_latency in [true, false] {
            let mut segmenter = Segmenter::new(Config { low_latency, ..CONFIG }, variant, 0);
            segmenter.set_headers(&usual());
            watch(segmenter, (25, 1), 50, 120, true);
        }
    }
}

#[test]
fn groups_of_any_length_keep_them() {
    for seed in 0..12 {
        let mut random = SmallRng::seed_from_u64(seed);
        let config = Config {
            segment: Duration::from_millis(random.random_range(500..6000)),
            max_segment: Duration::from_millis(random.random_range(6000..15_000)),
            part: Duration::from_millis(random.random_range(100..1000)),
            window: random.random_range(1..10),
            low_latency: random.random(),
        };
        let variant = if random.random() { TS } else { FMP4 };
        let mut segmenter = Segmenter::new(config, variant, 0);
        segmenter.set_headers(&usual());
        let rate = RATES[random.random_range(0..RATES.len())];
        watch(segmenter, rate, random.random_range(1..500), 80, random.random());
    }
}

#[test]
fn another_reader_understands_plain_playlists() {
    use hls_m3u8::{MasterPlaylist, MediaPlaylist};

    for variant in [TS, FMP4] {
        let mut segmenter = Segmenter::new(Config { low_latency: false, ..CONFIG }, variant, 7);
        segmenter.set_headers(&usual());
        feed(&mut segmenter, 0, 60, (25, 1), 50);
        segmenter.set_headers(&headers(1, vec![video(Kind::H264)]));
        feed(&mut segmenter, 60, 10, (25, 1), 50);
        let text = playlist(&segmenter);
        let read = MediaPlaylist::try_from(text.as_str()).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(read.target_duration, Duration::from_secs(12));
        assert_eq!(read.segments.iter().count(), values(&text, "#EXTINF:").len());
        assert_eq!(read.segments.iter().filter(|(_, segment)| segment.has_discontinuity).count(), 1);
        assert!(!read.has_end_list);
        let maps = read.segments.iter().filter(|(_, segment)| segment.map.is_some()).count();
        assert!(if variant == FMP4 { maps >= 2 } else { maps == 0 }, "{maps}");
        let text = crate::index("", &[segmenter.facts()]);
        let read = MasterPlaylist::try_from(text.as_str()).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(read.variant_streams.len(), 1);
    }
}
