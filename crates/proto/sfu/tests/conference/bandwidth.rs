//! What goes to a subscriber whose line is (said to be) narrow.

use rtp::Bitrate;
use sfu::{Command, Event};

use crate::stage::*;
use crate::world::World;

/// A picture of three layers of about 70, 150 and 550 kbit/s, sent for a while.
struct Scene {
    w: World,
    cameras: Vec<Camera>,
    bob: usize,
    frames: u64,
}

impl Scene {
    fn new(tracks: usize) -> Self {
        let mut w = World::new(1);
        let (alice, bob) = (w.join(0), w.join(0));
        let mut cameras = Vec::new();
        for n in 0..tracks as u32 {
            let mut params = video_params(&["q", "h", "f"]);
            let mid = format!("v{n}");
            params.mid = rtp::Label::new(&mid);
            for (layer, encoding) in params.encodings.iter_mut().enumerate() {
                encoding.ssrc = Some(rtp::Ssrc(100 * (n + 1) + 10 * layer as u32 + 1));
            }
            let producer = w.publish(alice, u64::from(n) + 1, params);
            let mut terms = take_video(5000 + 10 * n, true, 2);
            terms.mid = rtp::Label::new(&mid).unwrap();
            terms.wish.priority = n;
            w.subscribe(bob, u64::from(n) + 1, producer, terms);
            for (layer, size) in [250, 550, 1100].into_iter().enumerate() {
                let mut camera = Camera::new(alice, 100 * (n + 1) + 10 * layer as u32 + 1, None);
                (camera.size, camera.packets) = (size, if layer == 2 { 2 } else { 1 });
                camera.named = false;
                cameras.push(camera);
            }
        }
        Self { w, cameras, bob, frames: 0 }
    }

    /// Every half second a key frame.
    fn run(&mut self, frames: u64) {
        for _ in 0..frames {
            for camera in &mut self.cameras {
                camera.send(&mut self.w, self.frames.is_multiple_of(15));
            }
            self.frames += 1;
            self.w.run(33);
        }
    }

    fn limit(&mut self, limit: Option<u64>) {
        let peer = self.w.clients[self.bob].id;
        self.w.command(0, Command::LimitBandwidth { peer, limit: limit.map(Bitrate) });
    }

    /// Sizes of each track's last packet.
    fn sizes(&self, tracks: u32) -> Vec<usize> {
        let last = |n| self.w.clients[self.bob].of(5000 + 10 * n).last().map_or(0, |g| g.payload().len());
        (0..tracks).map(last).collect()
    }

    fn paused(&self) -> Vec<bool> {
        let events = self.w.events[0].iter();
        events
            .filter_map(|e| match e {
                Event::StreamPaused { paused, .. } => Some(*paused),
                _ => None,
            })
            .collect()
    }
}

#[test]
fn a_narrow_line_gets_a_lower_layer_and_the_better_one_again_when_it_widens() {
    let mut s = Scene::new(1);
    s.run(60);
    assert_eq!(s.sizes(1), [1100]);
    s.limit(Some(250_000));
    s.run(40);
    assert_eq!(s.sizes(1), [550]);
    s.limit(Some(20_000));
    s.run(40);
    assert_eq!(s.sizes(1), [250], "the lowest stays, whatever the line");
    s.limit(None);
    s.run(40);
    assert_eq!(s.sizes(1), [1100]);
    assert_eq!(s.paused(), [] as [bool; 0]);
    assert_eq!(s.w.routers[0].peer_stats(s.w.clients[s.bob].id).unwrap().limit, None);
}

#[test]
fn the_important_track_keeps_its_layer_longest() {
    let mut s = Scene::new(2);
    s.run(60);
    assert_eq!(s.sizes(2), [1100, 1100]);
    s.limit(Some(780_000));
    s.run(40);
    assert_eq!(s.sizes(2), [550, 1100]);
    s.limit(Some(100_000));
    s.run(40);
    assert_eq!(s.sizes(2), [250, 250]);
}

#[test]
fn where_it_is_allowed_a_track_that_does_not_fit_is_paused_and_said_to_be() {
    let mut s = Scene::new(2);
    s.run(60);
    let peer = s.w.clients[s.bob].id;
    s.w.command(0, Command::AllowPause { peer, allowed: true });
    s.limit(Some(100_000));
    s.run(40);
    assert_eq!(s.paused(), [true]);
    let before = s.w.clients[s.bob].of(5000).len();
    s.run(40);
    assert_eq!(s.w.clients[s.bob].of(5000).len(), before, "the less important one stands still");
    assert_eq!(s.sizes(2)[1], 250);
    s.limit(None);
    s.run(40);
    assert_eq!((s.paused(), s.sizes(2)), (vec![true, false], vec![1100, 1100]));
}

#[test]
fn how_good_a_line_is_is_told_once_until_it_changes() {
    let mut scene = Scene::new(1);
    scene.run(400);
    let alice = scene.w.clients[0].id;
    let told = scene.w.events[0].iter().filter_map(|event| match event {
        Event::Quality { peer, quality, score } => Some((*peer, *quality, *score)),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [(alice, sfu::Quality::Excellent, 100)]);
}

#[test]
fn a_layer_that_a_line_does_not_carry_or_that_is_no_longer_sent_makes_it_worse() {
    let mut s = Scene::new(1);
    let (alice, bob) = (s.w.clients[0].id, s.w.clients[s.bob].id);
    let news = |s: &mut Scene| -> Vec<_> {
        s.run(500);
        let told = s.w.events[0].drain(..).filter_map(|event| match event {
            Event::Quality { peer, quality, score } => Some((peer, quality, score)),
            _ => None,
        });
        told.collect()
    };
    assert_eq!(news(&mut s), [(alice, sfu::Quality::Excellent, 100)]);
    // One of three, then two of three; bob reports nothing by himself here.
    s.limit(Some(250_000));
    assert_eq!(news(&mut s), [(bob, sfu::Quality::Good, 65)]);
    s.limit(Some(20_000));
    assert_eq!(news(&mut s), [(bob, sfu::Quality::Poor, 30)]);
    s.limit(None);
    s.cameras.truncate(2);
    assert_eq!(news(&mut s), [(alice, sfu::Quality::Good, 65)]);
    // When: nobody wants it, it is not missing.
    s.w.set_wish(0, sfu::ConsumerId(sfu::id_on(0, 1)), wish(1));
    assert_eq!(news(&mut s), [(alice, sfu::Quality::Excellent, 100)]);
}
