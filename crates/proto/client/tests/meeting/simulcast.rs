//! Simulcast over lossy lines: everyone gets the layer that they ask for, whole, and another when they ask for
//! another.

use std::time::Duration;

use client::{Mode, Publish, VideoSourceParams};

use crate::loss::{self, CLEAN};
use crate::world::World;

const SEEDS: u64 = 10;
/// With room for all layers and their repairs.
const LOSSY: netem::Config = netem::Config { rate: Some(8_000_000), ..loss::LOSSY };
/// Late by up to a frame, in any order, some twice.
const SHAKEN: netem::Config =
    netem::Config { loss: 0.03, duplicate: 0.02, jitter: Duration::from_millis(30), reorder: true, ..LOSSY };

/// A publisher of three layers, and subscribers over another line, each in a mode of its own.
fn meeting(
    seed: u64,
    publisher: netem::Config,
    subscriber: netem::Config,
    count: usize,
) -> (World, Vec<usize>) {
    let mode = |bit: u64| if seed & bit == 0 { Mode::Single } else { Mode::Dual };
    let mut world = World::new(publisher, seed);
    world.join(mode(1), vec![Publish::Video(VideoSourceParams::simulcast())]);
    world.set_link(subscriber);
    let takers: Vec<_> = (0..count).map(|n| world.join(mode(2 << n), Vec::new())).collect();
    for taker in takers.iter().copied() {
        world.until("the first picture", |w| w.video(taker).is_some_and(|v| v.frames > 0));
    }
    (world, takers)
}

/// Every picture is what the publisher made, and follows the one before.
fn is_sound(world: &World, taker: usize, seed: u64) {
    let video = world.video(taker).unwrap();
    let wrong = (video.corrupt, video.timestamp_errors, video.picture_id_jumps);
    assert_eq!(wrong, (0, 0, 0), "seed {seed}: {video:?}");
}

#[test]
fn each_of_three_subscribers_on_lossy_lines_keeps_its_own_layer() {
    for seed in 0..SEEDS {
        let (mut world, takers) = meeting(seed, CLEAN, LOSSY, 3);
        for (layer, taker) in takers.iter().enumerate() {
            world.want(*taker, layer as i32);
        }
        world.pass(Duration::from_secs(5));
        let before: Vec<_> = takers.iter().map(|taker| world.video(*taker).unwrap().frames).collect();
        for _ in 0..20 {
            world.pass(Duration::from_secs(1));
            for (layer, taker) in takers.iter().enumerate() {
                assert_eq!(world.video(*taker).unwrap().layer, layer as u8, "seed {seed}");
            }
        }
        for (taker, before) in takers.into_iter().zip(before) {
            is_sound(&world, taker, seed);
            let video = world.video(taker).unwrap();
            assert!(video.frames - before > 540, "seed {seed}: {video:?}");
            assert_eq!(video.long_freezes, 0, "seed {seed}: {video:?}");
        }
    }
}

#[test]
fn a_subscriber_that_keeps_changing_its_mind_gets_what_it_asked_for_last() {
    for (seed, up, down) in
        (0..SEEDS).flat_map(|s| [(s, CLEAN, LOSSY), (s, LOSSY, CLEAN), (s, SHAKEN, SHAKEN)])
    {
        let (mut world, takers) = meeting(seed, up, down, 1);
        let taker = takers[0];
        // Down, up by one and by two, twice the same.
        for layer in [0, 2, 1, 0, 1, 2, 2, 0, 2] {
            world.want(taker, layer);
            world.until("the layer that was asked for", |w| {
                w.video(taker).is_some_and(|v| i32::from(v.layer) == layer)
            });
            world.pass(Duration::from_millis(700));
        }
        // Asked for in one breath: the last one counts.
        for layer in [0, 1, 2, 0, 1] {
            world.want(taker, layer);
        }
        world.pass(Duration::from_secs(4));
        let video = world.video(taker).unwrap();
        assert_eq!(video.layer, 1, "seed {seed}: {video:?}");
        is_sound(&world, taker, seed);
        // A key frame that is lost in part on its way up is asked for again after a second at the earliest.
        assert!(video.longest_gap < Duration::from_secs(4), "seed {seed}: {video:?}");
    }
}
