//! A lossy line: 10 % lost at random each way, a round trip of 100 ms to the server, 1.5 Mbit/s each way. Video
//! of 1 Mbit/s leaves as much room as the repairs need.

use std::time::Duration;

use client::{Mode, Publish, Stats, VideoSourceParams};

use crate::world::World;

const SEEDS: u64 = 20;
const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const LOSSY: netem::Config = netem::Config {
    loss: 0.1,
    duplicate: 0.0,
    delay: Duration::from_millis(50),
    jitter: Duration::ZERO,
    reorder: false,
    rate: Some(1_500_000),
    queue: Duration::from_millis(300),
};
pub(crate) const CLEAN: netem::Config =
    netem::Config { loss: 0.0, delay: Duration::from_millis(5), rate: None, ..LOSSY };

/// What a subscriber has after a minute of pictures, over these lines of the publisher and of its own.
fn minute(seed: u64, publisher: netem::Config, subscriber: netem::Config) -> Stats {
    let mode = |bit: u64| if seed & bit == 0 { Mode::Single } else { Mode::Dual };
    let mut world = World::new(publisher, seed);
    world.join(mode(1), vec![Publish::Audio, Publish::Video(VideoSourceParams::single(1_000_000))]);
    world.set_link(subscriber);
    let take = world.join(mode(2), Vec::new());
    world.until("the first picture", |w| {
        w.guests[take].participant.stats(w.now).videos.first().is_some_and(|v| v.frames > 0)
    });
    world.pass(MINUTE);
    let got = world.guests[take].participant.stats(world.now);
    let video = &got.videos[0];
    assert_eq!((video.corrupt, video.timestamp_errors), (0, 0), "seed {seed}: {video:?}");
    assert!(video.frames > 900, "seed {seed}: {video:?}");
    got
}

fn no_long_freeze(seed: u64, got: &Stats) {
    println!("seed {seed}: {:?} {:?}", got.videos[0], got.received);
    assert!(got.videos[0].frames > 1600, "seed {seed}: {:?} {:?}", got.videos[0], got.received);
    assert_eq!(got.videos[0].long_freezes, 0, "seed {seed}: {:?} {:?}", got.videos[0], got.received);
}

#[test]
fn a_subscriber_on_a_lossy_line_never_sees_a_picture_stand_for_a_second() {
    for seed in 0..SEEDS {
        let got = minute(seed, CLEAN, LOSSY);
        no_long_freeze(seed, &got);
        // A tenth was lost, and came again.
        let video = got.received.expected - 3000;
        assert!(got.received.recovered > video / 20, "seed {seed}: {:?}", got.received);
    }
}

#[test]
fn a_publisher_on_a_lossy_line_is_never_seen_to_stand_for_a_second() {
    for seed in 0..SEEDS {
        no_long_freeze(seed, &minute(seed, LOSSY, CLEAN));
    }
}

#[test]
fn two_lossy_lines_one_after_the_other_are_repaired_too() {
    for seed in 0..SEEDS {
        // What two lossy lines ask for again can fill a line's queue: repairs of a full line are bounded.
        let got = minute(seed, LOSSY, LOSSY);
        // What is lost on both lines, again and again, may wait as long as libwebrtc does, 3 s, and then for
        // a key frame that crosses both lines whole: it recovers, and that is all that is asked here.
        assert!(got.videos[0].longest_gap < Duration::from_secs(15), "seed {seed}: {:?}", got.videos[0]);
    }
}

#[test]
fn the_same_seed_is_the_same_meeting() {
    let trace = |seed| {
        let mut world = World::new(LOSSY, seed);
        world.join(Mode::Single, vec![Publish::Audio, Publish::Video(VideoSourceParams::single(1_000_000))]);
        world.join(Mode::Dual, Vec::new());
        world.pass(Duration::from_secs(20));
        world.trace()
    };
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1), trace(2));
}
