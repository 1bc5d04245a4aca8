//! Dates go on whatever is late, and stay with the wall clock.

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;

const START: i64 = 1_700_000_000_000;
/// What a date may lack of the length of the segment before: a fiftieth, and what is rounded.
const SLEW: i64 = 50;
const ROUNDED: i64 = 2;

/// A segment's date, and when it was live if nothing was late, both in milliseconds since [`START`]; and its length.
#[derive(Debug, Clone, Copy)]
struct Dated {
    date: i64,
    live: i64,
    length: i64,
}

/// The segments of `seconds` of pictures, 25 a second, each of which comes as many milliseconds late as `late` says of
/// the stream's time.
fn dated(seconds: i64, mut late: impl FnMut(i64) -> i64) -> Vec<Dated> {
    let config = Config { window: 1000, ..CONFIG };
    let mut segmenter = Segmenter::new(config, TS, 0);
    segmenter.set_headers(&headers(0, vec![video(Kind::H264)]));
    let mut now = 0;
    for n in 0..seconds * 25 {
        // None comes before the one before it.
        now = (n * 40 + late(n * 40)).max(now);
        segmenter.push(START + now, &frame(true, n % 25 == 0, Ticks::from_millis(n * 40)));
    }
    let mut live = 0;
    let segments = segmenter.window.all().iter().map(|segment| {
        let length = segment.duration.millis();
        live += length;
        Dated { date: segment.date - START, live: live - length, length }
    });
    segments.collect()
}

fn go_on(segments: &[Dated]) {
    for pair in segments.windows(2) {
        let least = pair[0].date + pair[0].length - pair[0].length / SLEW - ROUNDED;
        assert!(pair[1].date >= least, "{pair:?}");
    }
}

/// Nothing comes from `from` on for as long as `length`, and then all that was held up at once.
fn stall(from: i64, length: i64) -> impl Fn(i64) -> i64 {
    move |at| (from + length - at).clamp(0, length) * i64::from(at >= from)
}

#[test]
fn a_stall_moves_no_date() {
    for (from, length) in [(20_000, 100), (21_000, 2000), (20_960, 4000), (25_000, 8000)] {
        let segments = dated(60, stall(from, length));
        assert_eq!(segments.len(), 19);
        for Dated { date, live, .. } in segments {
            assert_eq!(date, live, "{length} ms from {from} ms on");
        }
    }
}

#[test]
fn a_beginning_that_was_late_is_brought_back_little_by_little() {
    let segments = dated(180, stall(0, 2000));
    assert_eq!(segments[0].date, 2000, "when it came is all that is known of it");
    go_on(&segments);
    for Dated { date, live, .. } in segments {
        assert_eq!(date - live, (2000 - live / SLEW).max(0));
    }
}

#[test]
fn a_pause_of_the_stream_is_followed_in_a_while() {
    let segments = dated(90, |at| if at < 30_000 { 0 } else { 7000 });
    go_on(&segments);
    for Dated { date, live, .. } in segments {
        match live {
            ..30_000 => assert_eq!(date, live),
            // Twice ten seconds, and a segment.
            53_000.. => assert_eq!(date, live + 7000),
            _ => assert!(date == live || date == live + 7000, "{date} {live}"),
        }
    }
}

#[test]
fn a_publishers_clock_that_is_faster_is_followed() {
    // One in a thousand, which is worse than any.
    let segments = dated(600, |at| -at / 1000);
    go_on(&segments);
    for Dated { date, live, .. } in segments {
        assert!((date - (live - live / 1000)).abs() <= 10, "{date} {live}");
    }
}

#[test]
fn dates_go_on_and_stay_close_whatever_is_late() {
    for seed in 0..100 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut stalled = (0, 0);
        let segments = dated(120, |at| {
            if rng.random_bool(0.005) {
                stalled = (at, rng.random_range(100..4000));
            }
            stall(stalled.0, stalled.1)(at) + rng.random_range(0..120)
        });
        assert!(segments.len() > 30);
        go_on(&segments);
        for Dated { date, live, .. } in segments {
            assert!((0..=4120).contains(&(date - live)), "seed {seed}: {date} {live}");
        }
    }
}
