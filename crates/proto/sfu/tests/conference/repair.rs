//! Loss, both ways.

use rtp::rtcp::Packet as Rtcp;
use rtp::{Pt, Ssrc};
use sfu::{CodecParams, ProducerId};

use crate::client::{Got, IDS, Packet};
use crate::stage::*;
use crate::world::World;

fn camera_world(rtx: bool) -> (World, usize, usize, Camera, ProducerId) {
    let mut w = World::new(1);
    let (alice, bob) = (w.join(0), w.join(0));
    let producer = w.publish(alice, 1, video_params(&["q"]));
    w.subscribe(bob, 1, producer, take_video(5000, rtx, 0));
    let camera = Camera::new(alice, 11, Some("q"));
    (w, alice, bob, camera, producer)
}

fn nack(w: &mut World, client: usize, ssrc: u32, seqs: &[u16]) {
    let packet = w.clients[client].rtcp(|b| {
        b.nack(Ssrc(1), Ssrc(ssrc), seqs).unwrap();
    });
    w.up(client, packet);
}

#[test]
fn a_subscriber_gets_lost_packets_by_rtx_under_a_stream_of_its_own() {
    let (mut w, _, bob, mut camera, _) = camera_world(true);
    for n in 0..10 {
        camera.send(&mut w, n == 0);
        w.run(33);
    }
    let sent = w.clients[bob].of(5000);
    let lost = [sent[4].clone(), sent[5].clone(), sent[20].clone()];
    nack(&mut w, bob, 5000, &[lost[0].header.seq, lost[1].header.seq, lost[2].header.seq]);
    w.run(1);
    let again = w.clients[bob].of(5001);
    assert_eq!(again.len(), 3);
    for (original, rtx) in lost.iter().zip(&again) {
        let (seq, payload) = rtp::read_rtx(rtx.payload()).unwrap();
        assert_eq!((seq, payload), (original.header.seq, original.payload()));
        assert_eq!((rtx.header.pt, rtx.header.timestamp), (Pt(121), original.header.timestamp));
        assert_eq!(rtx.header.marker, original.header.marker);
        assert_eq!(rtx.extension(Some(9)), Some(&b"7"[..]));
    }
    assert_eq!(again[1].header.seq, again[0].header.seq.wrapping_add(1));
    // A second request that crossed the answer is not answered twice.
    nack(&mut w, bob, 5000, &[lost[0].header.seq]);
    w.run(1);
    assert_eq!(w.clients[bob].of(5001).len(), 3);
    w.run(30);
    nack(&mut w, bob, 5000, &[lost[0].header.seq]);
    w.run(1);
    assert_eq!(w.clients[bob].of(5001).len(), 4);
    assert_eq!(w.counters(0).repair.resent, 4);
}

#[test]
fn what_has_left_the_cache_or_never_was_is_not_answered() {
    let (mut w, _, bob, mut camera, _) = camera_world(true);
    for n in 0..10 {
        camera.send(&mut w, n == 0);
        w.run(33);
    }
    let first = w.clients[bob].of(5000)[0].header.seq;
    nack(&mut w, bob, 5000, &[first.wrapping_add(1000)]);
    nack(&mut w, bob, 4711, &[first]);
    for _ in 0..40 {
        camera.send(&mut w, false);
        w.run(33);
    }
    nack(&mut w, bob, 5000, &[first]);
    w.run(1);
    assert_eq!(w.clients[bob].of(5001).len(), 0);
    assert_eq!((w.counters(0).repair.not_cached, w.counters(0).drops.unknown_ssrc), (2, 1));
}

/// Two datagrams under one SSRC and number that are not the same bytes.
fn sealed_twice(all: &[Vec<u8>]) -> Option<(&[u8], &[u8])> {
    let name = |d: &[u8]| [d[2], d[3], d[8], d[9], d[10], d[11]];
    all.iter().enumerate().find_map(|(n, a)| {
        all[..n].iter().find(|b| name(a) == name(b) && *a != **b).map(|b| (a.as_slice(), b.as_slice()))
    })
}

#[test]
fn nothing_is_ever_sealed_differently_twice_under_one_number() {
    for rtx in [false, true] {
        // Given: frames whose packets are padded, temporal layers that are taken out, packets that come
        // late, and a subscriber that asks for everything again and again.
        let mut w = World::new(1);
        let (alice, bob) = (w.join(0), w.join(0));
        let producer = w.publish(alice, 1, video_params(&["q"]));
        let mut params = take_video(5000, rtx, 0);
        params.wish.max_temporal = 0;
        w.subscribe(bob, 1, producer, params);
        let mut camera = Camera::new(alice, 11, Some("q"));
        camera.temporal = &[0, 1];
        for n in 0..60u16 {
            camera.size = 600 + usize::from(n % 3);
            let mut frame = camera.frame(&mut w, n == 0);
            if n % 5 == 4 {
                frame.rotate_left(1);
            }
            for packet in frame {
                w.up(alice, packet);
                w.settle();
            }
            w.run(20);
            if let Some(last) = w.clients[bob].of(5000).last() {
                let newest = last.header.seq;
                let seqs: Vec<u16> = (0..40).rev().map(|back| newest.wrapping_sub(back)).collect();
                nack(&mut w, bob, 5000, &seqs);
            }
        }
        w.run(100);
        let c = &w.clients[bob];
        assert!(c.keys.as_ref().unwrap().profile.is_aead(), "the case in which it matters");
        let mut all: Vec<Vec<u8>> = c.media.iter().map(|g| g.datagram.clone()).collect();
        all.extend(c.replayed.iter().cloned());
        assert_eq!(sealed_twice(&all), None);
        if rtx {
            assert!(c.of(5001).len() > 100 && c.replayed.is_empty());
        } else {
            assert!(c.replayed.len() > 100, "packets are sent again as they were: {}", c.replayed.len());
            assert_eq!(w.counters(0).drops.not_sealed, 0);
        }
    }
}

#[test]
fn a_lost_packet_is_asked_of_the_publisher_and_takes_its_place_by_rtx() {
    let (mut w, alice, bob, mut camera, _) = camera_world(true);
    camera.send(&mut w, true);
    w.run(33);
    let base = camera.seq;
    let payload = crate::client::vp8(camera.picture, 0, false, true, 600);
    let mut frame = camera.frame(&mut w, false);
    frame.remove(0);
    for packet in frame {
        w.up(alice, packet);
    }
    w.run(10);
    let asked: Vec<u16> = w.clients[alice]
        .rtcp_packets()
        .filter_map(|(_, p)| match p {
            Rtcp::Nack(n) if n.media == Ssrc(11) => Some(n.lost.collect::<Vec<_>>()),
            _ => None,
        })
        .flatten()
        .collect();
    assert_eq!(asked, [base]);
    let mut restored = base.to_be_bytes().to_vec();
    restored.extend(&payload);
    let extensions: &[(Option<u8>, &[u8])] = &[(IDS.mid, b"v"), (IDS.repaired_rid, b"q")];
    let timestamp = camera.timestamp.wrapping_sub(3000);
    let rtx =
        Packet { ssrc: 12, pt: VP8_RTX, seq: 9, timestamp, marker: false, extensions, payload: &restored };
    let rtx = w.clients[alice].rtp(rtx);
    w.up(alice, rtx);
    w.run(1);
    let mut got = w.clients[bob].of(5000);
    assert_eq!(got.len(), 6);
    assert_eq!(got[5].payload(), payload);
    got.sort_by_key(|g| g.header.seq);
    let numbers: Vec<u16> = got.iter().map(|g| g.header.seq.wrapping_sub(got[0].header.seq)).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
    // Once it is there it is not asked for again.
    w.clients[alice].reports.clear();
    w.run(500);
    assert!(!w.clients[alice].rtcp_packets().any(|(_, p)| matches!(p, Rtcp::Nack(_))));
}

#[test]
fn a_key_frame_whose_first_packet_is_late_is_repaired_by_the_subscribers_own_nack() {
    let (mut w, alice, bob, mut camera, _) = camera_world(true);
    let mut key = camera.frame(&mut w, true);
    key.rotate_left(1);
    for packet in key {
        w.up(alice, packet);
        w.settle();
    }
    let first = w.clients[bob].of(5000);
    assert_eq!(first.len(), 1, "decoding can begin with the first packet only");
    camera.send(&mut w, false);
    w.run(5);
    let seq = first[0].header.seq;
    nack(&mut w, bob, 5000, &[seq.wrapping_add(1), seq.wrapping_add(2)]);
    w.run(1);
    let mut got = w.clients[bob].of(5000);
    got.sort_by_key(|g| g.header.seq.wrapping_sub(seq));
    assert_eq!(got.len(), 6);
    assert!(got[2].header.marker && got[2].vp8().picture_id == got[0].vp8().picture_id);
}

#[test]
fn requests_for_key_frames_reach_the_publisher_once_an_interval() {
    let (mut w, alice, bob, mut camera, producer) = camera_world(true);
    camera.send(&mut w, true);
    w.run(33);
    let carol = w.join(0);
    w.subscribe(carol, 2, producer, take_video(6000, true, 0));
    w.run(5);
    assert_eq!(w.clients[alice].plis(11), 1, "a late joiner needs a key frame");
    for n in 0..100 {
        let client = if n % 2 == 0 { bob } else { carol };
        let ssrc = if n % 2 == 0 { 5000 } else { 6000 };
        let pli = w.clients[client].rtcp(|b| {
            if n % 4 < 2 {
                b.pli(Ssrc(1), Ssrc(ssrc)).unwrap();
            } else {
                b.fir(Ssrc(1), Ssrc(ssrc), n as u8).unwrap();
            }
        });
        w.up(client, pli);
        w.run(10);
    }
    let plis = w.clients[alice].plis(11);
    assert!((2..=3).contains(&plis), "{plis} in a second and a half");
    assert_eq!(w.counters(0).repair.key_frames_in, 100);
    camera.send(&mut w, true);
    w.run(33);
    assert_eq!(w.clients[carol].of(6000).len(), 3);
}

#[test]
fn random_loss_on_the_way_down_is_repaired() {
    let (mut w, _, bob, mut camera, _) = camera_world(true);
    let mut state = 7u32;
    w.lose_down = Box::new(move |to, datagram| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        to == bob && (128..192).contains(&datagram[0]) && !rtp::is_rtcp(datagram) && state >> 24 < 26
    });
    let mut have = std::collections::BTreeSet::new();
    let mut first = None;
    let mut taken = 0;
    for n in 0..300 {
        camera.send(&mut w, n == 0 || first.is_none());
        w.run(33);
        let new: Vec<Got> = w.clients[bob].media[taken..].to_vec();
        taken += new.len();
        for got in new {
            let seq = match got.header.ssrc {
                Ssrc(5000) => got.header.seq,
                _ => rtp::read_rtx(got.payload()).unwrap().0,
            };
            have.insert(u32::from(seq.wrapping_sub(*first.get_or_insert(seq))));
        }
        let (Some(first), Some(&newest)) = (first, have.last()) else { continue };
        let missing: Vec<u16> =
            (0..newest).filter(|s| !have.contains(s)).map(|s| first.wrapping_add(s as u16)).collect();
        if !missing.is_empty() {
            nack(&mut w, bob, 5000, &missing);
        }
    }
    let newest = *have.last().unwrap();
    let missing = (0..newest.saturating_sub(12)).filter(|s| !have.contains(s)).count();
    assert!(newest > 850 && missing == 0, "{missing} of {newest}");
}

#[test]
fn a_subscriber_without_rtx_of_a_codec_without_nack_gets_nothing_twice() {
    let mut w = World::new(1);
    let (alice, bob) = (w.join(0), w.join(0));
    let producer = w.publish(alice, 1, video_params(&["q"]));
    let mut params = take_video(5000, false, 0);
    params.codecs = vec![CodecParams { nack: false, ..video_codec(120, None) }];
    w.subscribe(bob, 1, producer, params);
    let mut camera = Camera::new(alice, 11, Some("q"));
    camera.send(&mut w, true);
    w.run(50);
    let seq = w.clients[bob].of(5000)[0].header.seq;
    nack(&mut w, bob, 5000, &[seq]);
    w.run(5);
    assert_eq!((w.clients[bob].media.len(), w.clients[bob].replayed.len()), (3, 0));
}
