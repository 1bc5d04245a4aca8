//! Subscribers whose lines do not carry all layers: they get those that fit, and no more than that is tried often.

use std::time::Duration;

use client::{Mode, Publish, VideoSourceParams};

use crate::loss::{CLEAN, LOSSY};
use crate::world::World;

const SEEDS: u64 = 4;

fn line(rate: u64) -> netem::Config {
    netem::Config { rate: Some(rate), delay: Duration::from_millis(20), ..CLEAN }
}

/// A publisher of three layers (160, 450 and 1700 kbit/s) and a voice, and a subscriber over a line.
fn meeting(seed: u64, subscriber: netem::Config) -> (World, usize) {
    let mode = |bit: u64| if seed & bit == 0 { Mode::Single } else { Mode::Dual };
    let mut world = World::new(CLEAN, seed);
    world.join(mode(1), vec![Publish::Audio, Publish::Video(VideoSourceParams::simulcast())]);
    world.set_link(subscriber);
    let taker = world.join(mode(2), Vec::new());
    (world, taker)
}

/// Shares of the next half minute in which each layer was had, in percent.
fn shares(world: &mut World, taker: usize) -> [u32; 3] {
    let mut times = [0u32; 3];
    for _ in 0..300 {
        world.pass(Duration::from_millis(100));
        let layer = world.video(taker).map_or(0, |v| v.layer);
        times[usize::from(layer).min(2)] += 1;
    }
    times.map(|t| t / 3)
}

#[test]
fn a_subscriber_gets_the_layer_that_its_line_carries() {
    for (rate, fits) in [(500_000, 0), (1_500_000, 1), (4_000_000, 2)] {
        for seed in 0..SEEDS {
            let (mut world, taker) = meeting(seed, line(rate));
            world.pass(Duration::from_secs(30));
            let shares = shares(&mut world, taker);
            println!("{rate}, seed {seed}: {shares:?} {:?}", world.video(taker).unwrap());
            assert!(shares[fits] >= 80, "{rate}, seed {seed}: {shares:?}");
            let video = world.video(taker).unwrap();
            assert_eq!((video.corrupt, video.timestamp_errors), (0, 0), "{rate}, seed {seed}: {video:?}");
            assert!(
                video.frames > 1200 && video.longest_gap < Duration::from_secs(3),
                "{rate}, seed {seed}: {video:?}"
            );
        }
    }
}

#[test]
fn a_line_that_loses_a_tenth_but_carries_everything_keeps_the_best_layer() {
    for seed in 0..SEEDS {
        let (mut world, taker) = meeting(seed, netem::Config { rate: Some(8_000_000), ..LOSSY });
        world.pass(Duration::from_secs(20));
        let shares = shares(&mut world, taker);
        assert!(shares[2] >= 95, "seed {seed}: {shares:?}");
    }
}
