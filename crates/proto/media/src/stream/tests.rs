#![allow(clippy::disallowed_methods)] // a test has to begin somewhere

use std::time::Duration;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::seq::{IndexedMutRandom as _, IndexedRandom as _};
use rand::{Rng as _, SeedableRng as _};

use super::*;
use crate::{Picture, Shape, Sound, TrackId};

fn start() -> Time {
    Time { mono: Instant::now(), unix: Duration::from_secs(1_700_000_000) }
}

fn video(config: &'static [u8]) -> Track {
    Track {
        id: TrackId::VIDEO,
        codec: Kind::H264,
        config: Bytes::from_static(config),
        shape: Shape::Video(Picture { width: 1280, height: 720 }),
    }
}

fn audio() -> Track {
    Track {
        id: TrackId::AUDIO,
        codec: Kind::Aac,
        config: Bytes::from_static(&[0x11, 0x90]),
        shape: Shape::Audio(Sound { rate: 48_000, channels: 2 }),
    }
}

fn frame(is_video: bool, key: bool, millis: i64, len: usize) -> Frame {
    let at = Ticks::from_millis(millis);
    let track = if is_video { TrackId::VIDEO } else { TrackId::AUDIO };
    Frame { track, key, dts: at, pts: at, payload: Bytes::from(vec![0; len]) }
}

/// A stream in virtual time with its publisher.
struct Bench {
    stream: Stream,
    session: Session,
    now: Time,
    millis: i64,
}

impl Bench {
    fn new(config: Config) -> Self {
        let now = start();
        let mut stream = Stream::new(config);
        let session = stream.begin(now);
        Self { stream, session, now, millis: 0 }
    }

    fn with_tracks(config: Config, tracks: &[Track]) -> Self {
        let mut bench = Self::new(config);
        for track in tracks {
            bench.stream.set_track(bench.session, track.clone()).unwrap();
        }
        bench
    }

    fn push(&mut self, frame: Frame) -> Option<u64> {
        self.stream.push(self.session, self.now, frame).unwrap()
    }

    /// `count` pictures at 25 a second with a key frame every `group`, and sound with each.
    fn pictures(&mut self, count: i64, group: i64) {
        for _ in 0..count {
            let key = (self.millis / 40) % group == 0;
            self.push(frame(true, key, self.millis, 1000));
            self.push(frame(false, true, self.millis, 100));
            self.millis += 40;
            self.now = self.now.after(Duration::from_millis(40));
        }
    }

    /// All that a reader gets now: indices, headers on the way, frames skipped.
    fn read(&mut self, cursor: &mut Cursor) -> (Vec<u64>, Vec<Arc<Headers>>, u64) {
        let (mut indices, mut headers, mut skipped) = (Vec::new(), Vec::new(), 0);
        loop {
            let step = self.stream.next(cursor, 7);
            skipped += step.skipped;
            if step.is_empty() {
                return (indices, headers, skipped);
            }
            headers.extend(step.headers);
            indices.extend(step.range);
        }
    }

    fn at(&self, index: u64) -> (bool, i64) {
        let frame = self.stream.frame(index).unwrap();
        (frame.key && frame.track == TrackId::VIDEO, frame.dts.millis())
    }
}

fn both() -> [Track; 2] {
    [video(b"avcC"), audio()]
}

#[test]
fn a_new_player_begins_at_the_oldest_key_frame_within_the_latency() {
    // Given: 20 s with a key frame every second.
    let mut bench = Bench::with_tracks(Config::default(), &both());
    bench.pictures(500, 25);
    // When: it comes.
    let mut cursor = bench.stream.cursor(None);
    let (indices, headers, skipped) = bench.read(&mut cursor);
    // Then: it gets headers, then everything from the key frame 2.96 s ago.
    assert_eq!(bench.at(indices[0]), (true, 17_000));
    assert_eq!(headers.len(), 1);
    assert_eq!(headers[0].tracks, both());
    assert_eq!(*indices.last().unwrap(), bench.stream.head() - 1);
    assert_eq!(skipped, 0);
    // Without latency: from the newest key frame.
    let mut cursor = bench.stream.cursor(Some(Ticks(0)));
    let (indices, ..) = bench.read(&mut cursor);
    assert_eq!(bench.at(indices[0]), (true, 19_000));
}

#[test]
fn groups_longer_than_the_latency_begin_at_the_newest_key_frame() {
    let mut bench = Bench::with_tracks(Config::default(), &both());
    bench.pictures(480, 250);
    let mut cursor = bench.stream.cursor(None);
    let (indices, ..) = bench.read(&mut cursor);
    assert_eq!(bench.at(indices[0]), (true, 10_000));
}

#[test]
fn sound_alone_and_pictures_alone_play() {
    let mut bench = Bench::with_tracks(Config::default(), &[audio()]);
    for n in 0..500 {
        bench.push(frame(false, false, n * 20, 100));
    }
    let mut cursor = bench.stream.cursor(None);
    let (indices, headers, _) = bench.read(&mut cursor);
    assert_eq!(bench.at(indices[0]).1, 499 * 20 - 3000);
    assert_eq!(headers[0].tracks, [audio()]);
    let mut cursor = bench.stream.cursor(Some(Ticks(0)));
    assert_eq!(bench.read(&mut cursor).0.len(), 1);

    let mut bench = Bench::with_tracks(Config::default(), &[video(b"avcC")]);
    for n in 0..500 {
        bench.push(frame(true, n % 25 == 0, n * 40, 100));
    }
    let mut cursor = bench.stream.cursor(None);
    assert_eq!(bench.read(&mut cursor).0.len(), 75);
}

#[test]
fn where_pictures_stop_sound_goes_on_alone_until_their_key_frame() {
    let mut bench = Bench::with_tracks(Config::default(), &both());
    bench.pictures(100, 25);
    for n in 0..10_000 {
        bench.push(frame(false, true, 4000 + n * 20, 100));
    }
    // Then: the ring is that of sound, and a new player is not sent minutes of it.
    assert_eq!(bench.stream.stats(bench.now).ring_frames, 1000);
    let mut cursor = bench.stream.cursor(None);
    assert!((150..=151).contains(&bench.read(&mut cursor).0.len()));
    // When: they return, it is with a key frame, where players begin again.
    assert_eq!(bench.push(frame(true, false, 204_000, 1000)), None);
    let key = bench.push(frame(true, true, 204_040, 1000)).unwrap();
    bench.push(frame(false, true, 204_060, 100));
    assert_eq!(bench.stream.cursor(None).position(), key);
    assert_eq!(bench.read(&mut cursor).0, [key, key + 1]);
    assert_eq!(bench.at(key), (true, 204_040));
    // A slide show is no such thing.
    for n in 205..1000 {
        bench.push(frame(false, true, n * 1000, 100));
        if n % 29 == 0 {
            assert!(bench.push(frame(true, false, n * 1000, 1000)).is_some());
        }
    }
}

#[test]
fn sound_before_the_first_picture_is_no_place_to_begin_once_there_are_pictures() {
    let mut bench = Bench::with_tracks(Config::default(), &[audio()]);
    for n in 0..20 {
        bench.push(frame(false, true, n * 20, 100));
    }
    let mut early = bench.stream.cursor(None);
    assert_eq!(bench.read(&mut early).0.len(), 20, "who comes before the pictures hears already");
    bench.stream.set_track(bench.session, video(b"avcC")).unwrap();
    bench.push(frame(true, true, 400, 1000));
    bench.push(frame(false, true, 410, 100));
    let mut cursor = bench.stream.cursor(None);
    let (indices, headers, _) = bench.read(&mut cursor);
    assert_eq!(bench.at(indices[0]), (true, 400));
    assert_eq!(headers[0].tracks, both());
    let (indices, headers, _) = bench.read(&mut early);
    assert_eq!(indices.len(), 2);
    assert_eq!(headers[0].tracks, both());
    assert_eq!(headers[0].generation, 0, "a track that joins is no discontinuity");
}

#[test]
fn a_reader_that_is_too_far_behind_jumps_forward_and_only_forward() {
    let mut bench = Bench::with_tracks(Config::default(), &both());
    bench.pictures(50, 25);
    let mut cursor = bench.stream.cursor(None);
    bench.read(&mut cursor);
    let stood = cursor.position();
    // Given: less than twice the latency behind.
    bench.pictures(149, 25);
    let (indices, _, skipped) = bench.read(&mut cursor.clone());
    assert_eq!((indices[0], skipped), (stood, 0), "5.96 s behind is not too far");
    // When: more than twice.
    bench.pictures(3, 25);
    let (indices, headers, skipped) = bench.read(&mut cursor);
    // Then: it begins again as a new player would, and knows what it missed.
    let fresh = bench.stream.cursor(None).position();
    assert_eq!(indices[0], fresh);
    assert!(bench.at(fresh).0);
    assert_eq!(skipped, fresh - stood);
    assert_eq!(cursor.skipped(), skipped);
    assert_eq!(bench.stream.stats(bench.now).skipped, skipped);
    assert!(headers.is_empty(), "they are what it has");
}

#[test]
fn one_key_frame_in_10_s_is_jumped_to_once_and_played_on_from() {
    let mut bench = Bench::with_tracks(Config::default(), &both());
    // Given: a player that begins 9 s behind, at the only key frame.
    bench.pictures(225, 250);
    let mut cursor = bench.stream.cursor(None);
    let first = bench.stream.next(&mut cursor, 1);
    assert_eq!(bench.at(first.range.start), (true, 0));
    // Then: however far behind, there is nothing newer to go to, and it goes on frame by frame.
    for n in 1..50 {
        let step = bench.stream.next(&mut cursor, 1);
        assert_eq!((step.range.start, step.skipped), (n, 0));
    }
    // When: the next comes, it goes there, once.
    bench.pictures(30, 250);
    let step = bench.stream.next(&mut cursor, 1);
    assert_eq!(bench.at(step.range.start), (true, 10_000));
    assert_eq!(step.skipped, 450);
    let (indices, _, skipped) = bench.read(&mut cursor);
    assert_eq!((indices[0], skipped), (501, 0));
}

#[test]
fn a_reader_behind_the_ring_goes_to_a_key_frame_and_gets_newer_headers() {
    let config = Config { max_frames: 100, content_latency: Duration::from_secs(60), ..Config::default() };
    let mut bench = Bench::with_tracks(config, &both());
    bench.pictures(10, 25);
    let mut cursor = bench.stream.cursor(None);
    bench.read(&mut cursor);
    // When: the parameters change and the ring moves past it.
    bench.stream.set_track(bench.session, video(b"other")).unwrap();
    bench.pictures(200, 25);
    assert!(bench.stream.base() > cursor.position());
    let (indices, headers, skipped) = bench.read(&mut cursor);
    assert!(bench.at(indices[0]).0 && skipped > 0);
    assert_eq!(headers.len(), 1);
    assert_eq!(&headers[0].video().unwrap().config[..], b"other");
    assert_eq!(headers[0].generation, 1);
}

#[test]
fn headers_are_those_of_the_frame_not_of_now() {
    let mut bench = Bench::with_tracks(Config::default(), &both());
    bench.pictures(25, 25);
    bench.stream.set_track(bench.session, video(b"other")).unwrap();
    // Then: nothing of the new pictures passes before their key frame.
    assert_eq!(bench.push(frame(true, false, 1000, 9)), None);
    bench.pictures(25, 25);
    let mut cursor = bench.stream.cursor(None);
    let step = bench.stream.next(&mut cursor, 1000);
    assert_eq!(&step.headers.unwrap().video().unwrap().config[..], b"avcC");
    assert_eq!(step.range, 0..50);
    let step = bench.stream.next(&mut cursor, 1000);
    let headers = step.headers.unwrap();
    assert_eq!((&headers.video().unwrap().config[..], headers.generation), (&b"other"[..], 1));
    assert_eq!(bench.at(step.range.start), (true, 1000));
    // The same announced again is no change.
    bench.stream.set_track(bench.session, video(b"other")).unwrap();
    bench.pictures(25, 25);
    assert!(bench.stream.next(&mut cursor, 1000).headers.is_none());
}

#[test]
fn the_ring_is_bounded_and_keeps_the_newest_group() {
    // By frames: whole groups leave, but the newest stays although it is longer than the bound.
    let mut bench = Bench::with_tracks(Config { max_frames: 100, ..Config::default() }, &both());
    bench.pictures(300, 250);
    assert_eq!(bench.stream.stats(bench.now).ring_frames, 100);
    bench.pictures(100, 250);
    assert_eq!(bench.stream.base(), 500);
    assert_eq!(bench.stream.stats(bench.now).ring_frames, 300);
    // By bytes: nothing exceeds them.
    let mut bench = Bench::with_tracks(Config { max_bytes: 100_000, ..Config::default() }, &both());
    bench.pictures(500, 250);
    assert!(bench.stream.stats(bench.now).ring_bytes <= 100_000);
    // And a new player waits for the next key frame, since the newest is gone.
    let mut cursor = bench.stream.cursor(None);
    assert!(bench.read(&mut cursor).0.is_empty());
    bench.pictures(1, 250);
    let (indices, _, skipped) = bench.read(&mut cursor);
    assert_eq!((bench.at(indices[0]), skipped), ((true, 20_000), 0));
}

#[test]
fn frames_without_content_are_bounded_too() {
    let mut bench = Bench::with_tracks(Config { max_bytes: 1 << 20, ..Config::default() }, &both());
    bench.push(frame(true, true, 0, 0));
    for n in 0..20_000 {
        bench.push(frame(true, false, n, 0));
    }
    assert!(bench.stream.stats(bench.now).ring_frames <= (1 << 20) / 100);
}

#[test]
fn headers_that_change_with_every_frame_are_bounded() {
    let mut bench = Bench::with_tracks(Config::default(), &both());
    for n in 0..1000_i64 {
        let mut track = audio();
        track.config = Bytes::from(n.to_be_bytes().to_vec());
        bench.stream.set_track(bench.session, track).unwrap();
        bench.push(frame(false, true, n * 20, 10));
    }
    assert!(bench.stream.history_len() <= MAX_CHANGES + 1);
    let mut cursor = bench.stream.cursor(Some(Ticks(0)));
    assert_eq!(bench.read(&mut cursor).1.len(), 1);
    let mut track = audio();
    track.config = Bytes::from(vec![0; MAX_CONFIG + 1]);
    bench.stream.set_track(bench.session, track).unwrap();
    assert_eq!(bench.stream.stats(bench.now).dropped[Drop::Config as usize], 1);
    for id in 0..40 {
        bench.stream.set_track(bench.session, Track { id: TrackId(id), ..audio() }).unwrap();
    }
    assert_eq!(bench.stream.stats(bench.now).tracks.len(), MAX_TRACKS);
}

#[test]
fn a_publisher_that_returns_is_noticed_only_by_its_key_frame() {
    let mut bench = Bench::with_tracks(Config::default(), &both());
    bench.pictures(60, 25);
    let mut cursor = bench.stream.cursor(None);
    bench.read(&mut cursor);
    let old = bench.session;
    bench.stream.end(old).unwrap();
    assert_eq!(bench.stream.push(old, bench.now, frame(true, true, 0, 1)), Err(Replaced));
    // Who comes meanwhile waits.
    let mut waiting = bench.stream.cursor(None);
    assert!(bench.read(&mut waiting).0.is_empty());
    // When: it returns with the same parameters, its clock at zero, in the middle of a group.
    bench.session = bench.stream.begin(bench.now);
    for track in both() {
        bench.stream.set_track(bench.session, track).unwrap();
    }
    bench.millis = 120;
    bench.pictures(100, 25);
    // Then: sound at once, pictures from the key frame on, the clock runs on, no new headers.
    for (reader, has_headers) in [(&mut cursor, false), (&mut waiting, true)] {
        let (indices, headers, skipped) = bench.read(reader);
        assert_eq!((skipped, headers.len()), (0, usize::from(has_headers)));
        let times: Vec<_> = indices.iter().map(|index| bench.at(*index).1).collect();
        assert!(times.is_sorted() && times[0] >= 2400, "{times:?}");
        let pictures: Vec<_> = indices
            .iter()
            .filter_map(|index| bench.stream.frame(*index).filter(|frame| frame.track == TrackId::VIDEO))
            .collect();
        assert!(pictures[0].key);
    }
    assert_eq!(bench.stream.headers().unwrap().generation, 0);
}

#[test]
fn a_publisher_that_returns_without_pictures_is_a_stream_of_sound() {
    let mut bench = Bench::with_tracks(Config::default(), &both());
    bench.pictures(60, 25);
    let mut cursor = bench.stream.cursor(None);
    bench.read(&mut cursor);
    bench.session = bench.stream.begin(bench.now);
    bench.stream.set_track(bench.session, audio()).unwrap();
    for n in 0..500 {
        bench.push(frame(false, true, n * 20, 10));
    }
    let (_, headers, _) = bench.read(&mut cursor);
    assert_eq!(headers.last().unwrap().tracks, [audio()]);
    assert_eq!(headers.last().unwrap().generation, 1);
    let mut fresh = bench.stream.cursor(Some(Ticks(0)));
    assert_eq!(bench.read(&mut fresh).0.len(), 1, "every frame of sound is a place to begin");
}

#[test]
fn what_cannot_be_decoded_is_dropped_and_counted() {
    let mut bench = Bench::with_tracks(Config::default(), &[Track { config: Bytes::new(), ..video(b"") }]);
    assert_eq!(bench.push(frame(true, true, 0, 1)), None);
    assert_eq!(bench.push(frame(false, true, 0, 1)), None);
    bench.stream.set_track(bench.session, video(b"avcC")).unwrap();
    assert_eq!(bench.push(frame(true, false, 40, 1)), None);
    assert_eq!(bench.push(frame(true, true, 80, 1)), Some(0));
    let dropped = bench.stream.stats(bench.now).dropped;
    assert_eq!(Drop::ALL.map(|why| dropped[why as usize]), [1, 1, 1, 0, 0]);
}

#[test]
fn reordered_pictures_keep_both_times_and_nonsense_is_bounded() {
    let mut bench = Bench::with_tracks(Config::default(), &[video(b"avcC")]);
    // I P B B in decode order at 25 a second, as an encoder with two B-frames sends them.
    let sent = [(0, 80), (40, 200), (80, 120), (120, 160), (160, 100), (200, i64::MAX / 90)];
    let mut out = Vec::new();
    for (n, (dts, pts)) in sent.into_iter().enumerate() {
        let mut picture = frame(true, n == 0, 7_000_000 + dts, 1);
        picture.pts = Ticks::from_millis(7_000_000_i64.saturating_add(pts));
        let index = bench.push(picture).unwrap();
        let frame = bench.stream.frame(index).unwrap();
        out.push((frame.dts.millis(), frame.pts.millis()));
    }
    assert_eq!(out[..4], sent[..4]);
    assert_eq!(out[4], (160, 160), "shown before it is decoded is shown at once");
    assert_eq!(out[5].1, 200 + 10_000);
}

#[test]
fn numbers_are_what_was_sent() {
    let mut bench = Bench::with_tracks(Config::default(), &both());
    bench.pictures(250, 50);
    let stats = bench.stream.stats(bench.now);
    assert_eq!((stats.group.millis(), stats.group_frames), (2000, 100));
    assert_eq!((stats.frames, stats.bytes), (500, 250 * 1100));
    let picture = &stats.tracks[0];
    assert!((picture.fps - 25.0).abs() < 0.6, "{}", picture.fps);
    assert!((picture.bitrate - 200_000.0).abs() < 5_000.0, "{}", picture.bitrate);
    let later = bench.stream.stats(bench.now.after(Duration::from_secs(10)));
    assert!(later.tracks[0].fps < 1e-9, "nothing comes any more");
}

/// Whatever a publisher does, readers see times that never go back within a track, pictures that begin with a
/// key frame, headers that fit, and indices that only grow; and nothing grows without bound.
#[test]
fn whatever_is_sent_readers_are_safe() {
    for seed in 0..150 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let max_frames = rng.random_range(10..200);
        let max_bytes = rng.random_range(5_000..200_000);
        let mut bench = Bench::new(Config { max_frames, max_bytes, ..Config::default() });
        let mut readers: Vec<Reader> = Vec::new();
        let mut clock: i64 = rng.random_range(-10_000_000..10_000_000);
        for _ in 0..2_000 {
            match rng.random_range(0..100) {
                0 => bench.session = bench.stream.begin(bench.now),
                1 => {
                    let _ = bench.stream.end(bench.session);
                    bench.session = bench.stream.begin(bench.now);
                }
                2..8 => {
                    let configs: [&'static [u8]; 3] = [b"one", b"two", b""];
                    let track =
                        if rng.random_bool(0.5) { video(configs[rng.random_range(0..3)]) } else { audio() };
                    bench.stream.set_track(bench.session, track).unwrap();
                }
                8 => clock = clock.saturating_add(rng.random_range(-100_000_000..100_000_000)),
                9 => clock = *[i64::MAX, i64::MIN, 0, 1 << 32].choose(&mut rng).unwrap(),
                10..14 => {
                    let latency = rng.random_bool(0.5).then(|| Ticks(rng.random_range(0..900_000)));
                    readers.push(Reader::new(bench.stream.cursor(latency)));
                }
                _ => {
                    clock = clock.saturating_add(rng.random_range(0..60));
                    let key = rng.random_bool(0.1);
                    let frame = frame(rng.random_bool(0.5), key, clock, rng.random_range(0..3_000));
                    bench.push(frame);
                }
            }
            if let Some(reader) = readers.choose_mut(&mut rng) {
                reader.read(&mut bench.stream, rng.random_range(1..20), seed);
            }
            let stats = bench.stream.stats(bench.now);
            assert!(stats.ring_bytes <= max_bytes.max(3_200), "seed {seed}: {} bytes", stats.ring_bytes);
        }
    }
}

/// A player that does not trust what it gets.
struct Reader {
    cursor: Cursor,
    last: [Option<Ticks>; 2],
    next: u64,
    /// By medium, pictures then sound: the configuration that was announced.
    configs: [Option<Bytes>; 2],
    has_begun: bool,
}

impl Reader {
    fn new(cursor: Cursor) -> Self {
        let next = cursor.position();
        Self { cursor, last: [None; 2], next, configs: [None, None], has_begun: false }
    }

    fn read(&mut self, stream: &mut Stream, limit: usize, seed: u64) {
        let step = stream.next(&mut self.cursor, limit);
        assert!(step.range.start >= self.next, "seed {seed}: went back");
        assert!(step.range.end - step.range.start <= limit as u64);
        self.next = step.range.end;
        if step.skipped > 0 {
            self.has_begun = false;
        }
        if let Some(headers) = step.headers {
            let config = |track: Option<&Track>| track.map(|track| track.config.clone());
            let configs = [config(headers.video()), config(headers.audio())];
            // Other pictures begin with a key frame.
            self.has_begun &= configs[0] == self.configs[0];
            self.configs = configs;
        }
        for index in step.range {
            let frame = stream.frame(index).expect("a step is in the ring");
            let medium = usize::from(frame.track != TrackId::VIDEO);
            assert!(self.last[medium].is_none_or(|last| last <= frame.dts), "seed {seed}: time went back");
            assert!(frame.pts >= frame.dts, "seed {seed}");
            self.last[medium] = Some(frame.dts);
            let config =
                stream.headers_at(index).and_then(|h| h.track(frame.track)).map(|t| t.config.clone());
            assert_eq!(config, self.configs[medium], "seed {seed}: other headers than announced");
            if medium == 0 {
                assert!(self.has_begun || frame.key, "seed {seed}: pictures begin without a key frame");
                self.has_begun = true;
            }
        }
    }
}

#[test]
fn what_is_taken_in_one_go_is_bounded_in_bytes_and_is_at_least_a_frame() {
    let mut bench = Bench::with_tracks(Config::default(), &both());
    for (n, len) in [300, 300, 300, 5000, 300].into_iter().enumerate() {
        bench.push(frame(true, n == 0, n as i64 * 40, len));
    }
    let mut cursor = bench.stream.cursor(None);
    let mut taken = Vec::new();
    loop {
        let step = bench.stream.next_within(&mut cursor, 100, 700);
        if step.is_empty() {
            break;
        }
        taken.push(step.range);
    }
    assert_eq!(taken, [0..2, 2..3, 3..4, 4..5]);
}
