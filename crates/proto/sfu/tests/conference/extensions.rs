//! What of a publisher's header extensions reaches subscribers, under whose ids.

use rtp::Ssrc;
use rtp::ext::PlayoutDelay;
use sfu::{ExtensionIds, ProducerId};

use crate::client::{Got, IDS, Packet, vp8};
use crate::stage::*;
use crate::world::World;

/// A subscriber's ids, all others than the publisher's. It has agreed on rids too, which it is never sent.
const THEIRS: ExtensionIds = ExtensionIds {
    mid: Some(1),
    rid: Some(2),
    repaired_rid: Some(3),
    abs_send_time: Some(4),
    transport_cc: Some(5),
    audio_level: Some(6),
    video_orientation: Some(7),
    playout_delay: Some(8),
    dependency_descriptor: Some(9),
    abs_capture_time: Some(10),
};

const ORIENTATION: [u8; 1] = [0x0b];
const CAPTURED: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

fn elements(got: &Got) -> Vec<(u8, Vec<u8>)> {
    got.header.extensions(&got.packet).map(|(id, value)| (id, value.to_vec())).collect()
}

/// A packet that says all there is to say; its mid, rid and payload are told apart by text.
fn send_video(w: &mut World, alice: usize, seq: u16, marker: bool, repaired: bool) {
    let rid: (Option<u8>, &[u8]) =
        if repaired { (IDS.repaired_rid, b"rid-of-alice") } else { (IDS.rid, b"rid-of-alice") };
    let delay = PlayoutDelay { min: 3, max: 500 }.bytes();
    let extensions: &[(Option<u8>, &[u8])] = &[
        (IDS.mid, b"mid-of-alice"),
        rid,
        (IDS.video_orientation, &ORIENTATION),
        (IDS.playout_delay, &delay),
        (IDS.abs_capture_time, &CAPTURED),
    ];
    let body = vp8(1, 0, true, seq == 1, 300);
    let again = [&seq.to_be_bytes()[..], &body].concat();
    let (ssrc, pt, payload) = if repaired { (12, VP8_RTX, &again) } else { (11, VP8, &body) };
    let packet = Packet { ssrc, pt, seq, timestamp: 3000, marker, extensions, payload };
    let packet = w.clients[alice].rtp(packet);
    w.up(alice, packet);
    w.run(5);
}

fn publish_video(w: &mut World, alice: usize) -> ProducerId {
    let mut params = video_params(&["rid-of-alice"]);
    params.mid = rtp::Label::new("mid-of-alice");
    w.publish(alice, 1, params)
}

#[test]
fn values_pass_under_the_subscribers_ids_and_names_of_the_publisher_do_not() {
    let mut w = World::new(2);
    let (alice, bob, carol) = (w.join(0), w.join(0), w.join(1));
    let producer = publish_video(&mut w, alice);
    for (n, client) in [bob, carol].into_iter().enumerate() {
        let mut terms = take_video(5000, true, 0);
        terms.extensions = THEIRS;
        w.subscribe(client, n as u64, producer, terms);
    }
    w.run(5);
    send_video(&mut w, alice, 1, false, false);
    // The second is lost on its way up and comes as a retransmission, which has a rid of its own.
    send_video(&mut w, alice, 3, true, false);
    send_video(&mut w, alice, 2, false, true);
    for client in [bob, carol] {
        let first = w.clients[client].of(5000)[0].header.seq;
        let nack = w.clients[client].rtcp(|b| {
            b.nack(Ssrc(1), Ssrc(5000), &[first, first.wrapping_add(1)]).unwrap();
        });
        w.run(30);
        w.up(client, nack);
        w.run(30);
        assert_eq!(w.clients[client].of(5000).len(), 3, "each once");
        assert_eq!(w.clients[client].of(5001).len(), 2, "and two of them again");
        for got in &w.clients[client].media {
            let all = elements(got);
            let ids: Vec<u8> = all.iter().map(|(id, _)| *id).collect();
            assert_eq!(ids, [1, 5, 4, 7, 8, 10], "nothing but what is agreed on and was said");
            assert_eq!(all[0].1, b"7", "the subscriber's own mid");
            assert_eq!(all[3].1, ORIENTATION);
            assert_eq!(PlayoutDelay::read(&all[4].1), Some(PlayoutDelay { min: 3, max: 500 }));
            assert_eq!(all[5].1, CAPTURED);
            let text = |name: &[u8]| got.packet.windows(name.len()).any(|part| part == name);
            assert!(!text(b"mid-of-alice") && !text(b"rid-of-alice"));
        }
    }
}

#[test]
fn what_a_subscriber_has_not_agreed_on_it_is_not_sent() {
    let mut w = World::new(1);
    let (alice, bob) = (w.join(0), w.join(0));
    let producer = publish_video(&mut w, alice);
    let mut terms = take_video(5000, true, 0);
    terms.extensions = ExtensionIds { mid: Some(14), ..ExtensionIds::default() };
    terms.playout_delay = Some(PlayoutDelay { min: 1, max: 2 });
    w.subscribe(bob, 1, producer, terms);
    send_video(&mut w, alice, 1, true, false);
    assert_eq!(elements(&w.clients[bob].of(5000)[0]), [(14, b"7".to_vec())]);
}

#[test]
fn a_rooms_playout_delay_takes_the_place_of_the_publishers_and_comes_again_with_a_retransmission() {
    for rtx in [true, false] {
        let mut w = World::new(1);
        let (alice, bob) = (w.join(0), w.join(0));
        let producer = w.publish(alice, 1, video_params(&["q"]));
        let ours = PlayoutDelay { min: 20, max: 40 };
        let mut terms = take_video(5000, rtx, 0);
        terms.playout_delay = Some(ours);
        w.subscribe(bob, 1, producer, terms);
        // This publisher says none.
        let mut camera = Camera::new(alice, 11, Some("q"));
        camera.send(&mut w, true);
        w.run(50);
        let sent = w.clients[bob].of(5000);
        assert_eq!(sent.len(), 3);
        for got in &sent {
            assert_eq!(got.extension(IDS.playout_delay).and_then(PlayoutDelay::read), Some(ours));
        }
        let seq = sent[1].header.seq;
        let nack = w.clients[bob].rtcp(|b| {
            b.nack(Ssrc(1), Ssrc(5000), &[seq]).unwrap();
        });
        w.up(bob, nack);
        w.run(5);
        if rtx {
            let again = &w.clients[bob].of(5001)[0];
            assert_eq!(again.extension(IDS.playout_delay).and_then(PlayoutDelay::read), Some(ours));
        } else {
            assert_eq!(w.clients[bob].replayed, [sent[1].datagram.clone()], "byte for byte");
        }
    }
}

#[test]
fn how_loud_it_is_passes_to_who_wants_to_know() {
    let mut w = World::new(1);
    let (alice, bob, carol) = (w.join(0), w.join(0), w.join(0));
    let producer = w.publish(alice, 1, audio_params());
    let mut terms = take_audio(5000);
    terms.extensions = THEIRS;
    w.subscribe(bob, 1, producer, terms);
    let mut terms = take_audio(6000);
    terms.extensions = ExtensionIds { audio_level: None, ..THEIRS };
    w.subscribe(carol, 2, producer, terms);
    let extensions: &[(Option<u8>, &[u8])] = &[(IDS.mid, b"a"), (IDS.audio_level, &[0x80 | 33])];
    let packet =
        Packet { ssrc: 13, pt: OPUS, seq: 1, timestamp: 0, marker: false, extensions, payload: &[1, 2, 3] };
    let packet = w.clients[alice].rtp(packet);
    w.up(alice, packet);
    w.run(5);
    assert_eq!(w.clients[bob].of(5000)[0].extension(THEIRS.audio_level), Some(&[0x80 | 33][..]));
    let ids: Vec<u8> = elements(&w.clients[carol].of(6000)[0]).iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [1, 5, 4]);
}
