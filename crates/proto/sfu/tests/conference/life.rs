//! Coming and going, in every order.

use sfu::{Command, ConsumerId, Event, PeerId, ProducerId, Shed, id_on};

use crate::client::{IDS, Packet};
use crate::stage::*;
use crate::world::World;

#[test]
fn a_router_that_has_too_much_to_do_gives_up_video_before_sound_counts_both_and_goes_on_anew() {
    let mut w = World::new(2);
    // The second subscriber is on another worker, which carries everything.
    let (alice, bob, carol) = (w.join(0), w.join(0), w.join(1));
    let video = w.publish(alice, 1, video_params(&[]));
    let sound = w.publish(alice, 2, audio_params());
    w.run(1);
    for (n, who) in [(0, bob), (2, carol)] {
        w.subscribe(who, n + 1, video, take_video(5000, true, 0));
        w.subscribe(who, n + 2, sound, take_audio(6000));
    }
    w.run(1);
    let mut camera = Camera::new(alice, 11, None);
    let mut second = |w: &mut World, seconds: u16, key: bool| {
        for n in 0..30 {
            camera.send(w, key && n == 0);
            let extensions: &[(Option<u8>, &[u8])] = &[(IDS.mid, b"a")];
            let seq = seconds * 30 + n;
            let timestamp = u32::from(seq) * 960;
            let packet = Packet {
                ssrc: 13,
                pt: OPUS,
                seq,
                timestamp,
                marker: false,
                extensions,
                payload: b"opusopus",
            };
            let packet = w.clients[alice].rtp(packet);
            w.up(alice, packet);
            w.run(33);
        }
        [bob, carol].map(|who| (w.clients[who].of(5000).len(), w.clients[who].of(6000).len()))
    };
    let shed =
        |w: &World, worker: usize| (w.counters(worker).drops.shed, w.counters(worker).drops.shed_sound);
    assert_eq!(second(&mut w, 0, true), [(90, 30); 2]);
    // Carol's worker is behind: what crosses to it is given up there.
    w.routers[1].shed(Shed::Video);
    assert_eq!(second(&mut w, 1, false), [(180, 60), (90, 60)], "sound goes on alone");
    assert_eq!((shed(&w, 0), shed(&w, 1)), ((0, 0), (90, 0)));
    // So is alice's, and carol's even without video: nothing crosses that is not there.
    w.routers[0].shed(Shed::Video);
    w.routers[1].shed(Shed::Media);
    assert_eq!(second(&mut w, 2, false), [(180, 90), (90, 60)]);
    assert_eq!((shed(&w, 0), shed(&w, 1)), ((90, 0), (90, 30)));
    w.routers[0].shed(Shed::Nothing);
    w.routers[1].shed(Shed::Nothing);
    let asked = w.clients[alice].plis(11);
    second(&mut w, 3, false);
    second(&mut w, 4, false);
    // What was given up is not asked for again: it would be as much once more.
    assert_eq!(w.counters(0).repair.nacks_out, 0);
    assert!(w.clients[alice].plis(11) > asked, "nobody asks for a key frame");
    let before = w.clients[carol].of(5000).len();
    let [(video, sound), (elsewhere, _)] = second(&mut w, 5, true);
    assert!(video > 180 && elsewhere > before && sound == 180, "{video} {elsewhere} {sound}");
    assert_eq!((shed(&w, 0), shed(&w, 1)), ((90, 0), (90, 30)));
}

#[test]
fn a_paused_subscriber_gets_nothing_and_goes_on_unbroken_at_a_key_frame() {
    let mut w = World::new(1);
    let (alice, bob) = (w.join(0), w.join(0));
    let producer = w.publish(alice, 1, video_params(&["q"]));
    let consumer = w.subscribe(bob, 1, producer, take_video(5000, true, 0));
    let mut camera = Camera::new(alice, 11, Some("q"));
    camera.send(&mut w, true);
    w.run(33);
    w.set_wish(0, consumer, paused());
    for _ in 0..50 {
        camera.send(&mut w, false);
        w.run(33);
    }
    assert_eq!(w.clients[bob].of(5000).len(), 3);
    w.clients[alice].reports.clear();
    w.set_wish(0, consumer, wish(0));
    camera.send(&mut w, false);
    w.run(33);
    assert_eq!((w.clients[bob].of(5000).len(), w.clients[alice].plis(11)), (3, 1));
    camera.send(&mut w, true);
    w.run(33);
    let got = w.clients[bob].of(5000);
    assert_eq!(got.len(), 6);
    assert_eq!(got[3].header.seq, got[2].header.seq.wrapping_add(1));
    let layers: Vec<_> = w.events[0]
        .iter()
        .filter_map(|e| match e {
            Event::LayerChanged { spatial, .. } => Some(*spatial),
            _ => None,
        })
        .collect();
    assert_eq!(layers, [Some(0), None, Some(0)]);
}

#[test]
fn peers_producers_and_consumers_go_in_any_order() {
    for order in 0..24usize {
        let mut w = World::new(1);
        let (alice, bob) = (w.join(0), w.join(0));
        let producer = w.publish(alice, 1, video_params(&["q"]));
        let consumer = w.subscribe(bob, 1, producer, take_video(5000, true, 0));
        let mut camera = Camera::new(alice, 11, Some("q"));
        camera.send(&mut w, true);
        w.run(33);
        let mut commands = vec![
            Command::RemoveProducer { producer },
            Command::RemoveConsumer { consumer },
            Command::ClosePeer { peer: w.clients[alice].id },
            Command::ClosePeer { peer: w.clients[bob].id },
        ];
        let mut index = order;
        for base in (1..=4).rev() {
            let command = commands.remove(index % base);
            index /= base;
            // Packets between the two halves of a fan-out find their consumers gone.
            camera.send(&mut w, false);
            w.command(0, command);
            w.run(5);
        }
        let unknown = w.counters(0).unknown_ids;
        assert!(unknown <= 2, "order {order}: {unknown}");
        camera.send(&mut w, true);
        w.run(2000);
        // Everything can be built again.
        let (carol, dave) = (w.join(0), w.join(0));
        let producer = w.publish(carol, 9, video_params(&["q"]));
        w.subscribe(dave, 9, producer, take_video(5000, true, 0));
        let mut camera = Camera::new(carol, 11, Some("q"));
        camera.send(&mut w, true);
        w.run(33);
        assert_eq!(w.clients[dave].of(5000).len(), 3, "order {order}");
    }
}

#[test]
fn commands_about_unknown_ids_are_counted_and_do_nothing() {
    let mut w = World::new(1);
    let alice = w.join(0);
    let peer = PeerId(id_on(0, 999));
    let producer = ProducerId(id_on(0, 999));
    let consumer = ConsumerId(id_on(0, 999));
    let known = w.clients[alice].id;
    let commands = vec![
        Command::ClosePeer { peer },
        Command::SetReceiveExtensions { peer, extensions: sfu::ExtensionIds::default() },
        Command::AddProducer { peer, producer, params: audio_params() },
        Command::UpdateProducer { producer, params: audio_params() },
        Command::RemoveProducer { producer },
        Command::AddConsumer { peer: known, consumer, producer, params: take_audio(1) },
        Command::AddConsumer { peer, consumer, producer, params: take_audio(1) },
        Command::SetWish { consumer, wish: wish(1) },
        Command::RemoveConsumer { consumer },
        Command::SendData { peers: vec![peer], label: "x", payload: bytes::Bytes::from_static(b"x") },
    ];
    let count = commands.len() as u64;
    for command in commands {
        w.command(0, command);
    }
    assert_eq!(w.counters(0).unknown_ids, count);
    w.run(100);
}

#[test]
fn ids_that_are_taken_are_not_given_twice() {
    let mut w = World::new(1);
    let (alice, bob) = (w.join(0), w.join(0));
    let producer = w.publish(alice, 1, video_params(&["q"]));
    let before = w.counters(0).unknown_ids;
    w.publish(alice, 1, audio_params());
    w.subscribe(bob, 1, producer, take_video(5000, true, 0));
    w.subscribe(bob, 1, producer, take_video(7000, true, 0));
    assert_eq!(w.counters(0).unknown_ids, before + 2);
    let mut camera = Camera::new(alice, 11, Some("q"));
    camera.send(&mut w, true);
    w.run(33);
    assert_eq!(w.clients[bob].media.len(), 3);
}

#[test]
fn rubbish_is_counted_and_disturbs_nobody() {
    let (mut w, alice, bob) = World::with_a_picture();
    let mut camera = Camera::new(alice, 11, Some("q"));
    camera.send(&mut w, true);
    w.run(5);
    let mut state = 1u32;
    let mut byte = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    for n in 0..3000usize {
        let rubbish: Vec<u8> = (0..n % 90).map(|_| byte()).collect();
        w.up(alice, rubbish);
    }
    let frame = camera.frame(&mut w, false);
    for (n, packet) in frame.into_iter().enumerate() {
        let mut forged = packet.clone();
        let last = forged.len() - 1;
        forged[last] ^= 1;
        w.up(alice, forged);
        w.up(alice, packet.clone());
        w.up(alice, packet[..20 * n].to_vec());
        w.up(alice, packet);
    }
    w.run(33);
    assert_eq!(w.clients[bob].of(5000).len(), 6);
    let drops = w.counters(0).drops;
    assert!(
        drops.forged >= 3 && drops.replayed >= 3 && drops.unclassified > 0 && drops.malformed > 0,
        "{drops:?}"
    );
}

#[test]
fn datagrams_of_strangers_are_dropped() {
    let mut w = World::new(1);
    let from = "203.0.113.9:9".parse().unwrap();
    for first in [0u8, 22, 128] {
        let mut datagram = [first; 60];
        w.routers[0].handle_datagram(w.now, crate::world::address_of(0), from, &mut datagram);
    }
    let drops = w.counters(0).drops;
    assert_eq!((drops.unknown_ufrag, drops.unknown_address), (1, 2));
    assert!(!w.routers[0].knows_address(from));
}

#[test]
fn a_full_outbox_is_emptied_and_filled_again_without_losing_anything() {
    let mut w = World::new(1);
    let alice = w.join(0);
    let producer = w.publish(alice, 1, video_params(&["q"]));
    let subscribers: Vec<usize> = (0..8).map(|_| w.join(0)).collect();
    for (n, s) in subscribers.iter().enumerate() {
        w.subscribe(*s, 10 + n as u64, producer, take_video(5000, true, 0));
    }
    let mut camera = Camera::new(alice, 11, Some("q"));
    camera.packets = 40;
    camera.send(&mut w, true);
    w.settle();
    let from = w.clients[alice].address;
    // By hand, with an outbox that holds one subscriber's share.
    let mut outbox = sfu::Outbox::new(10_000);
    let mut rounds = 0;
    let frame = camera.frame(&mut w, false);
    for mut packet in frame {
        w.routers[0].handle_datagram(w.now, crate::world::address_of(0), from, &mut packet);
    }
    let mut sent = 0;
    loop {
        let more = w.routers[0].fan_out(w.now, &mut outbox);
        rounds += 1;
        sent += outbox.entries().len();
        let destinations: std::collections::HashSet<_> =
            outbox.entries().iter().map(|e| outbox.path(e).remote).collect();
        assert!(destinations.len() <= 1);
        outbox.clear();
        if !more {
            break;
        }
    }
    assert_eq!((rounds, sent), (8, 8 * 40));
}
