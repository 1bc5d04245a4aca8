//! Clocks, reports and loudness.

use rtp::Ssrc;
use rtp::rtcp::{Packet as Rtcp, SenderInfo};
use sfu::{Event, ProducerParams};

use crate::client::{IDS, Packet};
use crate::stage::*;
use crate::world::World;

/// A publisher's wall clock is 1000 s behind ours.
const BEHIND: u64 = 1000 << 32;

fn report(w: &mut World, client: usize, ssrc: u32, rtp_timestamp: u32) {
    let ntp = w.now.ntp() - BEHIND;
    let packet = w.clients[client].rtcp(|b| {
        b.sender_report(&SenderInfo { ssrc: Ssrc(ssrc), ntp, rtp_timestamp, packets: 1, octets: 1 }, &[])
            .unwrap();
    });
    w.up(client, packet);
}

fn audio(w: &mut World, client: usize, ssrc: u32, seq: u16, timestamp: u32, level: u8) {
    let level = [0x80 | level];
    let extensions: &[(Option<u8>, &[u8])] = &[(IDS.mid, b"a"), (IDS.audio_level, &level)];
    let packet = Packet { ssrc, pt: OPUS, seq, timestamp, marker: false, extensions, payload: b"opusopus" };
    let packet = w.clients[client].rtp(packet);
    w.up(client, packet);
}

/// The subscriber's newest report of each stream.
fn newest(w: &World, client: usize, ssrc: u32) -> Option<SenderInfo> {
    let infos = w.clients[client].rtcp_packets().filter_map(|(_, p)| match p {
        Rtcp::SenderReport(r) if r.info.ssrc == Ssrc(ssrc) => Some(r.info),
        _ => None,
    });
    infos.last()
}

/// When a timestamp is, in seconds on the clock of the reports.
fn seconds(info: &SenderInfo, timestamp: u32, rate: f64) -> f64 {
    let ticks = f64::from(timestamp.wrapping_sub(info.rtp_timestamp) as i32);
    (info.ntp as f64) / f64::from(u32::MAX) + ticks / rate
}

#[test]
fn sound_and_picture_of_one_participant_stay_together_over_layer_switches() {
    let mut w = World::new(1);
    let (alice, bob) = (w.join(0), w.join(0));
    let video = w.publish(alice, 1, video_params(&["q", "h"]));
    let sound = w.publish(alice, 2, audio_params());
    let consumer = w.subscribe(bob, 1, video, take_video(5000, true, 0));
    w.subscribe(bob, 2, sound, take_audio(6000));
    let mut q = Camera::new(alice, 11, Some("q"));
    let mut h = Camera::new(alice, 12, Some("h"));
    let mut spoken = 0u32;
    let mut pairs = Vec::new();
    for n in 0..400u32 {
        // Captured at this moment: a frame of each layer and a packet of sound, on clocks of their own.
        if n % 100 == 50 {
            report(&mut w, alice, 11, q.timestamp);
            report(&mut w, alice, 12, h.timestamp);
            report(&mut w, alice, 13, spoken);
        }
        if n == 200 {
            w.set_wish(0, consumer, wish(1));
        }
        q.send(&mut w, n == 0);
        h.send(&mut w, n == 210);
        audio(&mut w, alice, 13, n as u16, spoken, 40);
        w.settle();
        let video = w.clients[bob].of(5000).last().map(|g| g.header.timestamp);
        let audio = w.clients[bob].of(6000).last().map(|g| g.header.timestamp);
        pairs.extend(video.zip(audio));
        spoken = spoken.wrapping_add(48_000 / 30);
        // 30 frames a second take 1000 ms.
        w.run(if n % 3 == 0 { 34 } else { 33 });
        let (Some(v), Some(a), Some(&(video, audio))) =
            (newest(&w, bob, 5000), newest(&w, bob, 6000), pairs.last())
        else {
            continue;
        };
        let apart = seconds(&v, video, 90_000.0) - seconds(&a, audio, 48_000.0);
        assert!(apart.abs() < 0.02, "{apart} s apart at frame {n}");
        // Rebased: a moment on our clock.
        let late = w.now.ntp() as f64 / f64::from(u32::MAX) - seconds(&v, video, 90_000.0);
        assert!((0.0..0.2).contains(&late), "{late} s at frame {n}");
    }
    assert!(newest(&w, bob, 5000).is_some() && newest(&w, bob, 6000).is_some());
    let reports = w.clients[bob].rtcp_packets().filter(|(_, p)| matches!(p, Rtcp::SenderReport(_))).count();
    assert!((6..=10).contains(&reports), "{reports} in 13 s");
}

#[test]
fn a_switch_to_a_delayed_layer_keeps_the_time_of_capture() {
    let mut w = World::new(1);
    let (alice, bob) = (w.join(0), w.join(0));
    let video = w.publish(alice, 1, video_params(&["q", "h"]));
    let consumer = w.subscribe(bob, 1, video, take_video(5000, true, 0));
    let mut q = Camera::new(alice, 11, Some("q"));
    let mut h = Camera::new(alice, 12, Some("h"));
    for n in 0..10 {
        if n == 5 {
            report(&mut w, alice, 11, q.timestamp);
            report(&mut w, alice, 12, h.timestamp);
        }
        q.send(&mut w, n == 0);
        h.send(&mut w, n == 0);
        // 3000 ticks of 90 kHz are 33.3 ms.
        w.run(if n % 3 == 0 { 34 } else { 33 });
    }
    w.set_wish(0, consumer, wish(1));
    let before = w.clients[bob].of(5000).last().unwrap().header.timestamp;
    let key = h.frame(&mut w, true);
    w.run(250);
    for packet in key {
        w.up(alice, packet);
    }
    w.settle();
    let step = w.clients[bob].of(5000).last().unwrap().header.timestamp.wrapping_sub(before);
    assert!((2800..3200).contains(&step), "{step} ticks for a frame captured 3000 later");
}

#[test]
fn a_stream_whose_publisher_reports_nothing_has_no_reports() {
    let mut w = World::new(1);
    let (alice, bob) = (w.join(0), w.join(0));
    let sound = w.publish(alice, 2, audio_params());
    w.subscribe(bob, 2, sound, take_audio(6000));
    for n in 0..200u16 {
        audio(&mut w, alice, 13, n, u32::from(n) * 960, 40);
        w.run(20);
    }
    assert_eq!(w.clients[bob].of(6000).len(), 200);
    assert!(newest(&w, bob, 6000).is_none());
}

#[test]
fn loudness_is_told_each_interval_and_its_extension_reaches_the_subscriber() {
    let mut w = World::new(1);
    let (alice, bob) = (w.join(0), w.join(0));
    let producer = w.publish(alice, 2, audio_params());
    w.subscribe(bob, 2, producer, take_audio(6000));
    for n in 0..100u16 {
        audio(&mut w, alice, 13, n, u32::from(n) * 960, if n < 50 { 20 } else { 70 });
        w.run(20);
    }
    w.run(1500);
    let levels: Vec<(u8, u8)> = w.events[0]
        .iter()
        .filter_map(|e| match e {
            Event::AudioLevel { loudest, active_percent, .. } => Some((*loudest, *active_percent)),
            _ => None,
        })
        .collect();
    assert!((5..=7).contains(&levels.len()), "{levels:?}");
    assert!(levels[0].0 == 20 && levels[0].1 >= 95, "{levels:?}");
    assert!(levels.contains(&(70, 0)));
    assert_eq!(levels.last(), Some(&(127, 0)), "silence, once");
    assert_eq!(w.clients[bob].of(6000)[0].extension(IDS.audio_level), Some(&[0x80 | 20][..]));
}

#[test]
fn publishers_get_receiver_reports_and_transport_feedback_or_remb() {
    for transport_cc in [true, false] {
        let mut w = World::new(1);
        let alice = w.join(0);
        w.publish(alice, 1, ProducerParams { transport_cc, ..video_params(&["q"]) });
        if !transport_cc {
            let extensions = sfu::ExtensionIds { transport_cc: None, ..IDS };
            let peer = w.clients[alice].id;
            w.command(0, sfu::Command::SetReceiveExtensions { peer, extensions });
        }
        let mut camera = Camera::new(alice, 11, Some("q"));
        for n in 0..60 {
            camera.send(&mut w, n == 0);
            w.run(33);
        }
        let (mut arrived, mut rembs, mut blocks) = (0, 0, 0);
        for (_, packet) in w.clients[alice].rtcp_packets() {
            match packet {
                Rtcp::Transport(f) => arrived += f.arrivals().filter(|(_, at)| at.is_some()).count(),
                Rtcp::Remb(r) => rembs += usize::from(r.ssrcs.clone().any(|s| s == Ssrc(11))),
                Rtcp::ReceiverReport(r) => blocks += r.blocks.clone().count(),
                _ => {}
            }
        }
        assert!((2..=4).contains(&blocks), "{blocks} report blocks");
        if transport_cc {
            assert!(arrived > 170 && rembs == 0, "{arrived} {rembs}");
        } else {
            assert!(arrived == 0 && (1..=2).contains(&rembs), "{arrived} {rembs}");
        }
    }
}

#[test]
fn a_subscribers_feedback_tells_how_it_is_reached() {
    let (mut w, alice, bob) = World::with_a_picture();
    let mut camera = Camera::new(alice, 11, Some("q"));
    for n in 0..120 {
        if n % 30 == 3 {
            report(&mut w, alice, 11, camera.timestamp);
        }
        camera.send(&mut w, n == 0);
        w.run(33);
    }
    let info = newest(&w, bob, 5000).unwrap();
    // 100 ms after our report it is echoed, which says it was kept for 60 of them.
    let sent =
        w.clients[bob].rtcp_packets().filter(|(_, p)| matches!(p, Rtcp::SenderReport(_))).last().unwrap().0;
    let kept = w.now.since(sent.mono) - std::time::Duration::from_millis(40);
    let block = rtp::rtcp::ReportBlock {
        ssrc: Ssrc(5000),
        last_sr: (info.ntp >> 16) as u32,
        delay_since_last_sr: (kept.as_millis() * 65_536 / 1000) as u32,
        ..Default::default()
    };
    let arrivals: Vec<Option<i64>> = (0..100).map(|n| (n % 10 != 0).then_some(n * 4)).collect();
    // Transport-wide numbers begin with 0, and what is much older is forgotten.
    let newest_but_98 = (w.clients[bob].media.len() - 99) as u16;
    let packet = w.clients[bob].rtcp(|b| {
        b.receiver_report(Ssrc(1), &[block]).unwrap();
        b.transport(Ssrc(1), Ssrc(5000), 0, newest_but_98, &arrivals[1..]).unwrap();
        b.remb(Ssrc(1), rtp::Bitrate(1 << 20), &[Ssrc(5000)]).unwrap();
    });
    w.up(bob, packet);
    w.settle();
    let stats = w.routers[0].peer_stats(w.clients[bob].id).unwrap();
    let round_trip = stats.round_trip.unwrap().as_millis();
    assert!((38..=42).contains(&round_trip), "{round_trip} ms");
    assert_eq!((stats.delivered_packets, stats.lost_packets), (90, 9));
    assert!(stats.delivered_bytes > 90 * 600);
    assert_eq!(stats.remb, Some(rtp::Bitrate(1 << 20)));
}
