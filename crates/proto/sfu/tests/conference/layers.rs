//! What a subscriber gets of a simulcast track.

use codec::vp8::PictureId;
use rtp::Pt;
use sfu::Event;

use crate::client::{Got, IDS, Packet};
use crate::stage::*;
use crate::world::World;

/// Numbers go up one by one, timestamps and picture ids never back, whatever was behind them.
fn assert_unbroken(got: &[Got]) {
    for pair in got.windows(2) {
        let (a, b) = (&pair[0], &pair[1]);
        assert_eq!(b.header.seq, a.header.seq.wrapping_add(1));
        let step = b.header.timestamp.wrapping_sub(a.header.timestamp);
        assert!(step < 10 * 90_000, "timestamp step {step}");
        let id = |g: &Got| g.vp8().picture_id.unwrap().value;
        let expected = if a.header.marker { (id(a) + 1) & 0x7fff } else { id(a) };
        assert_eq!(id(b), expected);
        assert_eq!(step == 0, !a.header.marker);
    }
}

#[test]
fn a_track_is_rewritten_into_the_subscribers_terms() {
    let (mut w, alice, bob) = World::with_a_picture();
    let mut camera = Camera::new(alice, 11, Some("q"));
    camera.send(&mut w, true);
    camera.send(&mut w, false);
    w.run(40);
    let got = w.clients[bob].of(5000);
    assert_eq!(got.len(), 6);
    assert_unbroken(&got);
    for g in &got {
        assert_eq!(g.header.pt, Pt(120));
        assert_eq!(g.extension(Some(9)), Some(&b"7"[..]), "the subscriber's mid under its id");
        assert!(g.extension(Some(8)).is_some(), "a transport-wide number");
        assert!(g.extension(IDS.rid).is_none() && g.extension(IDS.mid).is_none());
    }
    let numbers: Vec<u16> =
        got.iter().map(|g| rtp::ext::transport_seq(g.extension(Some(8)).unwrap()).unwrap()).collect();
    assert_eq!(numbers, (0..6).collect::<Vec<u16>>());
    assert!(matches!(got[0].vp8().picture_id, Some(PictureId { value: 1100, wide: true })));
    let started = w.events[0].iter().any(|e| matches!(e, Event::EncodingStarted { encoding: 0, .. }));
    assert!(started);
}

#[test]
fn layers_are_switched_at_key_frames_only_and_the_stream_stays_unbroken() {
    let mut w = World::new(1);
    let (alice, bob) = (w.join(0), w.join(0));
    let producer = w.publish(alice, 1, video_params(&["q", "h", "f"]));
    let consumer = w.subscribe(bob, 1, producer, take_video(5000, true, 2));
    let mut cameras: Vec<_> = [(11, "q", 300), (12, "h", 600), (13, "f", 900)]
        .map(|(s, r, size)| {
            let mut c = Camera::new(alice, s, Some(r));
            c.size = size;
            c
        })
        .into();
    let mut frame = |w: &mut World, keys: [bool; 3]| {
        for (camera, key) in cameras.iter_mut().zip(keys) {
            camera.send(w, key);
        }
        w.run(33);
    };
    frame(&mut w, [true, true, true]);
    frame(&mut w, [false; 3]);
    let size = |w: &World| w.clients[bob].of(5000).last().unwrap().payload().len();
    assert_eq!(size(&w), 900);
    w.set_wish(0, consumer, wish(0));
    w.clients[alice].reports.clear();
    frame(&mut w, [false; 3]);
    assert_eq!(size(&w), 900, "until the low layer's key frame");
    w.run(600);
    assert!(w.clients[alice].plis(11) >= 1, "the low layer is asked for a key frame");
    assert_eq!((w.clients[alice].plis(12), w.clients[alice].plis(13)), (0, 0));
    frame(&mut w, [true, false, false]);
    assert_eq!(size(&w), 300);
    w.set_wish(0, consumer, wish(1));
    frame(&mut w, [false, true, false]);
    assert_eq!(size(&w), 600);
    frame(&mut w, [false; 3]);
    assert_unbroken(&w.clients[bob].of(5000));
    let layers: Vec<_> = w.events[0]
        .iter()
        .filter_map(|e| match e {
            Event::LayerChanged { spatial, .. } => Some(*spatial),
            _ => None,
        })
        .collect();
    assert_eq!(layers, [Some(2), Some(0), Some(1)]);
}

#[test]
fn the_best_layer_that_arrives_is_sent_and_a_better_one_when_it_comes() {
    let mut w = World::new(1);
    let (alice, bob) = (w.join(0), w.join(0));
    let producer = w.publish(alice, 1, video_params(&["q", "h"]));
    w.subscribe(bob, 1, producer, take_video(5000, true, 1));
    let (mut q, mut h) = (Camera::new(alice, 11, Some("q")), Camera::new(alice, 12, Some("h")));
    (q.size, h.size) = (300, 600);
    let size = |w: &World| w.clients[bob].of(5000).last().unwrap().payload().len();
    q.send(&mut w, true);
    w.run(33);
    assert_eq!(size(&w), 300);
    h.send(&mut w, true);
    w.run(33);
    assert_eq!(size(&w), 600);
    // The upper layer stops.
    for n in 0..60 {
        let asked = w.clients[alice].plis(11) > 0;
        q.send(&mut w, asked && n > 30);
        w.run(33);
    }
    assert_eq!(size(&w), 300);
    // It begins again, under the same SSRC.
    h.send(&mut w, true);
    w.run(33);
    assert_eq!(size(&w), 600);
    assert_unbroken(&w.clients[bob].of(5000));
}

#[test]
fn temporal_layers_that_are_not_wanted_leave_no_gap() {
    let mut w = World::new(1);
    let (alice, bob) = (w.join(0), w.join(0));
    let producer = w.publish(alice, 1, video_params(&["q"]));
    let mut params = take_video(5000, true, 0);
    params.wish.max_temporal = 0;
    w.subscribe(bob, 1, producer, params);
    let mut camera = Camera::new(alice, 16, Some("q"));
    camera.temporal = &[0, 2, 1, 2];
    for n in 0..40 {
        camera.send(&mut w, n == 0);
        w.run(33);
    }
    let got = w.clients[bob].of(5000);
    assert_eq!(got.len(), 30);
    assert_unbroken(&got);
}

#[test]
fn a_late_packet_that_is_not_wanted_leaves_no_gap_either() {
    let mut w = World::new(1);
    let (alice, bob) = (w.join(0), w.join(0));
    let producer = w.publish(alice, 1, video_params(&["q"]));
    let mut params = take_video(5000, true, 0);
    params.wish.max_temporal = 0;
    w.subscribe(bob, 1, producer, params);
    let mut camera = Camera::new(alice, 16, Some("q"));
    camera.temporal = &[0, 1];
    camera.send(&mut w, true);
    let mut upper = camera.frame(&mut w, false);
    let late = upper.remove(1);
    let base = camera.frame(&mut w, false);
    for packet in upper.into_iter().chain(base).chain([late]) {
        w.up(alice, packet);
        w.settle();
    }
    let mut got = w.clients[bob].of(5000);
    got.sort_by_key(|g| g.header.seq);
    let numbers: Vec<u16> = got.iter().map(|g| g.header.seq.wrapping_sub(got[0].header.seq)).collect();
    assert_eq!(numbers, (0..7).collect::<Vec<_>>());
    // What fills the place carries nothing.
    assert_eq!(got.iter().map(|g| g.payload().is_empty()).position(|empty| empty), Some(3));
}

#[test]
fn ssrcs_stay_known_when_the_names_are_left_out_and_strangers_do_not_come_in() {
    let mut w = World::new(1);
    let (alice, bob) = (w.join(0), w.join(0));
    let producer = w.publish(alice, 1, video_params(&["q", "h"]));
    w.subscribe(bob, 1, producer, take_video(5000, true, 1));
    let mut h = Camera::new(alice, 12, Some("h"));
    h.send(&mut w, true);
    w.run(33);
    // A report that names the SSRC goes out at once, so that the sender may leave the names out.
    let named = w.clients[alice].rtcp_packets().any(|(_, p)| match p {
        rtp::rtcp::Packet::ReceiverReport(mut r) => r.blocks.any(|b| b.ssrc == rtp::Ssrc(12)),
        _ => false,
    });
    assert!(named);
    h.named = false;
    h.send(&mut w, false);
    let mut stranger = Camera::new(alice, 99, None);
    stranger.named = false;
    stranger.send(&mut w, true);
    w.run(33);
    assert_eq!(w.clients[bob].of(5000).len(), 6);
    assert_eq!(w.counters(0).drops.unknown_ssrc, 3);
}

#[test]
fn an_encoding_that_changes_its_ssrc_goes_on_unbroken_at_its_key_frame() {
    let (mut w, alice, bob) = World::with_a_picture();
    let mut first = Camera::new(alice, 11, Some("q"));
    first.send(&mut w, true);
    w.run(33);
    let mut second = Camera::new(alice, 21, Some("q"));
    second.send(&mut w, false);
    w.run(33);
    assert_eq!(w.clients[bob].of(5000).len(), 3);
    second.send(&mut w, true);
    w.run(33);
    let got = w.clients[bob].of(5000);
    assert_eq!(got.len(), 6);
    assert_unbroken(&got);
}

#[test]
fn padding_of_a_stream_is_taken_out_and_probes_are_dropped() {
    let (mut w, alice, bob) = World::with_a_picture();
    let mut camera = Camera::new(alice, 11, Some("q"));
    camera.send(&mut w, true);
    w.run(5);
    let extensions: &[(Option<u8>, &[u8])] = &[(IDS.mid, b"v"), (IDS.repaired_rid, b"q")];
    let probe =
        Packet { ssrc: 12, pt: VP8_RTX, seq: 1, timestamp: 0, marker: false, extensions, payload: &[] };
    let probe = w.clients[alice].rtp(probe);
    w.up(alice, probe);
    let padding = Packet {
        ssrc: 11,
        pt: VP8,
        seq: camera.seq,
        timestamp: 0,
        marker: false,
        extensions: &[],
        payload: &[],
    };
    let padding = w.clients[alice].rtp(padding);
    w.up(alice, padding);
    camera.seq += 1;
    camera.send(&mut w, false);
    w.run(33);
    let got = w.clients[bob].of(5000);
    assert_eq!((got.len(), w.counters(0).drops.padding), (6, 1));
    assert_unbroken(&got);
}

#[test]
fn one_byte_of_padding_makes_a_frame_one_run() {
    for (equalise, expected) in [(true, vec![(7, true)]), (false, vec![(3, false), (4, false)])] {
        let mut w = World::with(1, sfu::Config { equalise, ..sfu::Config::default() });
        let (alice, bob) = (w.join(0), w.join(0));
        let producer = w.publish(alice, 1, video_params(&["q"]));
        w.subscribe(bob, 1, producer, take_video(5000, true, 0));
        let mut camera = Camera::new(alice, 11, Some("q"));
        (camera.packets, camera.size) = (3, 999);
        let mut frame = camera.frame(&mut w, true);
        // The larger ones of the same frame.
        (camera.timestamp, camera.picture) = (camera.timestamp - 3000, camera.picture - 1);
        (camera.packets, camera.size) = (4, 1000);
        frame.extend(camera.frame(&mut w, false));
        w.runs.clear();
        for packet in frame {
            w.up(alice, packet);
        }
        w.settle();
        let counts: Vec<usize> = w.runs.iter().map(|r| r.1).collect();
        assert_eq!(counts, expected.iter().map(|e| e.0).collect::<Vec<_>>(), "equalise: {equalise}");
        let got = w.clients[bob].of(5000);
        assert_eq!(
            got.iter().map(|g| g.payload().len()).collect::<Vec<_>>(),
            [999, 999, 999, 1000, 1000, 1000, 1000]
        );
        assert_eq!(got[0].header.padded, equalise);
    }
}
