use super::*;

const VIDEO: TrackId = TrackId::VIDEO;
const AUDIO: TrackId = TrackId::AUDIO;

fn ms(millis: i64) -> Ticks {
    Ticks::from_millis(millis)
}

/// A frame that is shown when it is decoded.
fn at(dts: Ticks) -> Moment {
    Moment { dts, reorder: Ticks(0), is_key: false }
}

/// Places frames given as (is video, milliseconds); what comes out, in milliseconds.
fn run(timeline: &mut Timeline, frames: &[(bool, i64)]) -> Vec<i64> {
    frames
        .iter()
        .map(|(is_video, at)| {
            let track = if *is_video { VIDEO } else { AUDIO };
            timeline.place(track, *is_video, self::at(ms(*at))).millis()
        })
        .collect()
}

fn video(times: &[i64]) -> Vec<i64> {
    let frames: Vec<_> = times.iter().map(|at| (true, *at)).collect();
    run(&mut Timeline::default(), &frames)
}

#[test]
fn real_gaps_stay_at_1_5_and_15_frames_a_second() {
    for step in [1000, 200, 67] {
        // Given: a stream, and a loss of 2 s in it.
        let mut times: Vec<i64> = (0..20).map(|n| n * step).collect();
        times.extend((0..20).map(|n| 19 * step + 2000 + step + n * step));
        // Then: every time comes out as it went in.
        assert_eq!(video(&times), times, "{step} ms a frame");
    }
}

#[test]
fn a_jump_is_replaced_by_the_usual_step_at_every_frame_rate() {
    for step in [1000, 200, 67] {
        for jump in [-10_000_i64, -1, 3_500, 86_400_000] {
            let mut times: Vec<i64> = (0..20).map(|n| 50_000 + n * step).collect();
            let base = 50_000 + 19 * step + jump;
            times.extend((0..20).map(|n| base + n * step));
            let out = video(&times);
            let expected: Vec<i64> = (0..40).map(|n| n * step).collect();
            assert_eq!(out, expected, "{step} ms a frame, {jump} ms");
        }
    }
}

#[test]
fn a_loss_just_before_a_jump_is_not_the_usual_step() {
    let out = video(&[0, 40, 80, 120, 2120, 0, 40]);
    assert_eq!(out, [0, 40, 80, 120, 2120, 2160, 2200]);
}

/// Sound every 20 ms and pictures every 40, as they are sent; the publisher's clock jumps by `jump` after
/// `before` ms, seen first by the medium that `first_video` tells.
fn jumped(jump: i64, first_video: bool) -> Vec<(bool, i64)> {
    let mut frames = Vec::new();
    for at in (0..4000).step_by(20) {
        let real = if at >= 2000 { at + jump } else { at };
        if first_video && at % 40 == 0 {
            frames.push((true, real));
        }
        frames.push((false, real));
        if !first_video && at % 40 == 0 {
            frames.push((true, real));
        }
    }
    frames
}

#[test]
fn both_tracks_jump_and_keep_their_distance_whoever_jumps_first() {
    for jump in [-1500, -600_000, 3_600, 40_000_000] {
        for first_video in [true, false] {
            let mut timeline = Timeline::default();
            let frames = jumped(jump, first_video);
            let out = run(&mut timeline, &frames);
            let (mut v, mut a) = (-1, -1);
            for ((is_video, _), out) in frames.iter().zip(&out) {
                let last = if *is_video { &mut v } else { &mut a };
                assert!(out > last, "{jump} {first_video}: {out} after {last}");
                assert!(out - *last <= 60, "{jump} {first_video}: a hole of {}", out - *last);
                *last = *out;
            }
            // Then: at the end they are as far apart as they are sent.
            let apart = |want: bool| {
                let at = frames.iter().rposition(|(is_video, _)| *is_video == want).unwrap();
                out[at] - frames[at].1
            };
            assert_eq!(apart(true), apart(false), "{jump} {first_video}");
        }
    }
}

#[test]
fn sound_that_was_lost_where_the_clock_jumped_keeps_its_distance_from_the_pictures() {
    for jump in [-1500, -600_000, 3_600, 40_000_000] {
        // Given: 100 ms of sound that never came, from where the clock jumps on.
        let mut frames = jumped(jump, true);
        frames.retain(|(is_video, at)| *is_video || !(2000..2100).contains(&(at - jump)));
        let out = run(&mut Timeline::default(), &frames);
        // Then: what has come since is where the pictures' offset has it, not a step behind the last.
        let apart = |want: bool| {
            let at = frames.iter().rposition(|(is_video, _)| *is_video == want).unwrap();
            out[at] - frames[at].1
        };
        assert_eq!(apart(true), apart(false), "{jump}");
    }
}

#[test]
fn frames_of_the_old_clock_that_come_late_are_placed_by_it() {
    // Given: pictures jump by 10 s while sound of before is still on its way.
    let mut timeline = Timeline::default();
    let mut frames: Vec<_> = (0..50).flat_map(|n| [(true, n * 40), (false, n * 40 - 40)]).collect();
    frames.extend([(true, 12_000), (false, 1960), (true, 12_040), (false, 11_960), (false, 12_000)]);
    let out = run(&mut timeline, &frames);
    assert_eq!(out[100..], [2000, 1960, 2040, 1960, 2000]);
}

#[test]
fn sound_that_is_astray_alone_moves_no_picture() {
    let mut timeline = Timeline::default();
    for n in 0..500 {
        let astray = if n > 100 { 7_000_000 } else { 0 };
        assert_eq!(timeline.place(VIDEO, true, self::at(ms(n * 40))).millis(), n * 40);
        let out = timeline.place(AUDIO, false, self::at(ms(n * 40 + astray))).millis();
        assert_eq!(out, n * 40);
    }
    // Nor does sound whose milliseconds are rounded back and forth.
    let mut last = 0;
    for n in 500..2000 {
        assert_eq!(timeline.place(VIDEO, true, self::at(ms(n * 40))).millis(), n * 40);
        let jitter = if n % 3 == 0 { -45 } else { 0 };
        let out = timeline.place(AUDIO, false, self::at(ms(n * 40 + 7_000_000 + jitter))).millis();
        assert!(out > last && (out - n * 40).abs() <= 45, "{out} beside {}", n * 40);
        last = out;
    }
}

#[test]
fn one_frame_with_a_wrong_time_does_not_move_the_clock() {
    assert_eq!(video(&[0, 40, 80, 79, 160, 200]), [0, 40, 80, 120, 160, 200]);
    assert_eq!(video(&[0, 40, 80, 0, 160, 200]), [0, 40, 80, 120, 160, 200]);
    assert_eq!(video(&[0, 40, 80, 9_000_000, 160, 200]), [0, 40, 80, 120, 160, 200]);
}

#[test]
fn a_publisher_that_returns_starts_where_the_stream_stood() {
    let mut timeline = Timeline::default();
    run(&mut timeline, &[(true, 0), (false, 0), (true, 40), (false, 20), (true, 80), (false, 40)]);
    timeline.restart();
    let out = run(&mut timeline, &[(false, 90_000), (true, 89_990), (false, 90_020), (true, 90_030)]);
    assert_eq!(out[0], 100, "sound goes on a step after the latest frame");
    assert_eq!(out[1], 90, "pictures keep their distance to it");
    assert_eq!(out[2..], [120, 130]);
}

#[test]
fn a_returning_picture_does_not_go_back_behind_its_own_last() {
    let mut timeline = Timeline::default();
    run(&mut timeline, &[(true, 0), (true, 40), (true, 80)]);
    timeline.restart();
    let out = run(&mut timeline, &[(false, 1000), (true, 900), (false, 1020), (true, 940)]);
    assert!(out[1] > 80 && out[3] == out[1] + 40, "{out:?}");
    assert_eq!(out[2] - out[1], 120, "and sound keeps its distance");
}

#[test]
fn sound_alone_keeps_its_own_clock() {
    let mut timeline = Timeline::default();
    let frames: Vec<_> = (0..100).map(|n| (false, n * 21)).chain([(false, 5), (false, 26)]).collect();
    let out = run(&mut timeline, &frames);
    assert_eq!(out[99..], [99 * 21, 100 * 21, 101 * 21]);
}

#[test]
fn an_hour_does_not_drift() {
    let mut timeline = Timeline::default();
    for n in 0..3600 * 30 {
        let at = Ticks(n * 3003);
        assert_eq!(timeline.place(VIDEO, true, self::at(Ticks(777) + at)), at);
    }
    assert_eq!(timeline.discontinuities(), 0);
}

#[test]
fn the_ends_of_the_clock_are_no_panic() {
    let mut timeline = Timeline::default();
    for at in [i64::MIN, i64::MAX, 0, i64::MAX, i64::MIN, -1] {
        timeline.place(VIDEO, true, self::at(Ticks(at)));
        timeline.place(AUDIO, false, self::at(Ticks(at)));
    }
}

#[test]
fn a_slide_show_beside_sound_keeps_its_times() {
    // Given: sound every 20 ms, a picture every 15 s, and one after five minutes.
    let mut timeline = Timeline::default();
    for n in 0..30_000 {
        let at = n * 20;
        if (at < 150_000 && at % 15_000 == 0) || at == 450_000 {
            assert_eq!(timeline.place(VIDEO, true, self::at(ms(777 + at))).millis(), at);
        }
        assert_eq!(timeline.place(AUDIO, false, self::at(ms(777 + at))).millis(), at);
    }
    assert_eq!(timeline.discontinuities(), 0);
}

/// Places pictures given as (decoded, shown, is key) in milliseconds; when they are shown.
fn shown(timeline: &mut Timeline, pictures: &[(i64, i64, bool)]) -> Vec<i64> {
    let place = |(dts, pts, is_key): &(i64, i64, bool)| {
        let moment = Moment { dts: ms(*dts), reorder: ms(pts - dts), is_key: *is_key };
        timeline.place(VIDEO, true, moment).millis() + pts - dts
    };
    pictures.iter().map(place).collect()
}

/// Pictures as x264 sends them with three B-frames, one of them a reference: from `from` ms on.
fn reordered(from: i64, count: usize) -> Vec<(i64, i64, bool)> {
    let order = [0, 4, 2, 1, 3, 8, 6, 5, 7, 12, 10, 9, 11];
    (0..).zip(order).map(|(n, place)| (from + n * 40, from + 80 + place * 40, n == 0)).take(count).collect()
}

#[test]
fn no_two_pictures_share_a_moment_wherever_a_publisher_with_reordered_pictures_is_cut() {
    for cut in 1..=13 {
        for (second, is_sound_first) in [
            (reordered(900_000, 13), false),
            (reordered(7, 13), true),
            (vec![(0, 0, true), (40, 40, false)], false),
        ] {
            let mut timeline = Timeline::default();
            let mut times = shown(&mut timeline, &reordered(0, cut));
            timeline.restart();
            if is_sound_first {
                timeline.place(AUDIO, false, at(ms(second[0].0)));
            }
            let before = times.iter().copied().max().unwrap();
            let after = shown(&mut timeline, &second);
            assert!(after.iter().all(|time| *time > before), "cut at {cut}: {after:?} after {before}");
            assert!(after[0] - before <= 40 * 6, "cut at {cut}: {after:?} after {before}");
            times.extend(after);
            times.sort_unstable();
            assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "cut at {cut}: {times:?}");
        }
    }
}

#[test]
fn one_that_comes_in_the_middle_of_a_group_is_shown_after_what_was() {
    let mut timeline = Timeline::default();
    let before = shown(&mut timeline, &reordered(0, 2));
    timeline.restart();
    // A picture far ahead, one that is shown at once, and the key frame that follows.
    let after = shown(&mut timeline, &[(40, 240, false), (80, 80, false), (120, 200, true)]);
    assert!(after.iter().all(|time| time > before.iter().max().unwrap()), "{after:?} after {before:?}");
}

#[test]
fn a_jump_at_a_key_frame_leaves_room_and_one_in_a_group_keeps_its_places() {
    let mut timeline = Timeline::default();
    let before = shown(&mut timeline, &reordered(50_000, 2));
    let after = shown(&mut timeline, &reordered(0, 13));
    assert!(after.iter().all(|time| time > before.iter().max().unwrap()), "{after:?} after {before:?}");
    // The clock jumps between two pictures of a group: places in it stay.
    let group = reordered(50_000, 13);
    let jump = |n: usize| if n < 7 { 0 } else { -40_000 };
    let jumped: Vec<_> =
        (0..).zip(&group).map(|(n, &(dts, pts, key))| (dts + jump(n), pts + jump(n), key)).collect();
    let expected = shown(&mut Timeline::default(), &group);
    assert_eq!(shown(&mut Timeline::default(), &jumped), expected);
}
