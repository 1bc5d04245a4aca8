//! Meetings over links that lose nothing.

use std::time::Duration;

use client::{Mode, Publish, VideoSourceParams};

use crate::world::World;

const LINK: netem::Config = netem::Config {
    loss: 0.0,
    duplicate: 0.0,
    delay: Duration::from_millis(5),
    jitter: Duration::ZERO,
    reorder: false,
    rate: None,
    queue: Duration::from_millis(300),
};

#[test]
fn every_packet_arrives_in_both_modes() {
    for modes in [[Mode::Single; 2], [Mode::Dual; 2], [Mode::Single, Mode::Dual], [Mode::Dual, Mode::Single]]
    {
        let mut world = World::new(LINK, 1);
        let give =
            world.join(modes[0], vec![Publish::Audio, Publish::Video(VideoSourceParams::single(800_000))]);
        let take = world.join(modes[1], Vec::new());
        world.until("both connected", |w| w.guests.iter().all(|g| g.participant.is_connected()));
        world.pass(Duration::from_secs(10));

        let sent = world.guests[give].participant.stats(world.now).sent;
        let got = world.guests[take].participant.stats(world.now);
        assert_eq!(world.guests[take].participant.over(), None, "{modes:?}");
        assert_eq!((got.videos.len(), got.audios), (1, 1), "{modes:?}: {got:?}");
        let video = &got.videos[0];
        assert!(video.frames > 280 && video.size == Some((640, 360)), "{modes:?}: {video:?}");
        assert_eq!((video.corrupt, video.freezes, video.timestamp_errors), (0, 0, 0), "{video:?}");
        assert_eq!((got.corrupt_audio, got.received.lost(), got.received.unopened), (0, 0, 0), "{got:?}");
        // What was sent before the subscriber was there, and what is on its way.
        assert!(got.received.packets + 200 > sent.packets, "{sent:?} {got:?}");
        assert_eq!(got.received.nacked, 0);
    }
}

#[test]
fn a_simulcast_publisher_is_seen_in_its_best_layer_and_the_one_that_is_asked_for() {
    let mut world = World::new(LINK, 2);
    world.join(Mode::Single, vec![Publish::Video(VideoSourceParams::simulcast())]);
    let take = world.join(Mode::Single, Vec::new());
    world.pass(Duration::from_secs(5));
    let video = world.guests[take].participant.stats(world.now).videos[0];
    assert_eq!((video.size, video.layer, video.corrupt), (Some((1280, 720)), 2, 0), "{video:?}");
}
