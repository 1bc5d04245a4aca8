//! The packet path allocates nothing: what it needs it has after the first seconds, and keeps.
//!
//! Counted is every call into a router: packets of publishers, feedback of both sides, fan-out, reports,
//! timers, packets between workers. Transports rest meanwhile: connectivity checks and DTLS are not media.

use rtp::{Pt, Ssrc};
use sfu::CodecParams;

use crate::client::{IDS, Packet};
use crate::stage::*;
use crate::world::World;

/// Seconds until rings, queues and histories are as large as they get.
// Lines that look full are tried for more for the first time after five seconds, and what a switch takes has grown then.
const WARM_UP: u64 = 12;
const MEASURED: u64 = 6;

/// A camera in three layers and a microphone, and what loses some of their packets.
struct Publisher {
    client: usize,
    /// Its audio is redundant; otherwise that is made of it.
    redundant: bool,
    layers: [Camera; 3],
    sound: u16,
    sent: u64,
    /// Kept back, to go as a retransmission.
    missing: Vec<(u32, u16)>,
}

impl Publisher {
    fn new(client: usize, redundant: bool) -> Self {
        let base = client as u32 * 100;
        let layer = |n: u32, rid| Camera {
            packets: 1 + 2 * n as usize,
            size: 700,
            temporal: &[0, 1],
            ..Camera::new(client, base + 11 + 10 * n, Some(rid))
        };
        Self {
            client,
            redundant,
            layers: [layer(0, "q"), layer(1, "h"), layer(2, "f")],
            sound: 0,
            sent: 0,
            missing: Vec::new(),
        }
    }

    fn frame(&mut self, w: &mut World, key: bool) {
        for at in 0..self.layers.len() {
            self.layers[at].size = 700 + self.sent as usize % 2;
            let first = self.layers[at].seq;
            for (n, packet) in self.layers[at].frame(w, key).into_iter().enumerate() {
                self.sent += 1;
                if self.sent % 31 == 30 {
                    self.missing.push((self.layers[at].ssrc, first.wrapping_add(n as u16)));
                } else {
                    w.up(self.client, packet);
                }
            }
        }
    }

    /// 20 ms of Opus, with its predecessor or without.
    fn sound(&mut self, w: &mut World) {
        let both = [&[0x80 | OPUS, 0x0f, 0x00, 60, OPUS][..], &[7; 120]].concat();
        let (pt, payload) = if self.redundant { (RED, &both[..]) } else { (OPUS, &[7; 60][..]) };
        let extensions: &[(Option<u8>, &[u8])] = &[(IDS.mid, b"a"), (IDS.audio_level, &[0x80 | 20])];
        let packet = Packet {
            ssrc: self.client as u32 * 100 + 5,
            pt,
            seq: self.sound,
            timestamp: u32::from(self.sound) * 960,
            marker: false,
            extensions,
            payload,
        };
        self.sound = self.sound.wrapping_add(1);
        if self.sound % 37 != 36 {
            let packet = w.clients[self.client].rtp(packet);
            w.up(self.client, packet);
        }
    }

    /// Retransmissions of what was kept back, and a report of each stream.
    fn mend(&mut self, w: &mut World, second: u64) {
        for (n, (ssrc, seq)) in std::mem::take(&mut self.missing).into_iter().enumerate() {
            let mut payload = seq.to_be_bytes().to_vec();
            payload.extend(crate::client::vp8(seq, 0, false, false, 300));
            let rid = match ssrc % 100 {
                11 => b"q",
                21 => b"h",
                _ => b"f",
            };
            let extensions: &[(Option<u8>, &[u8])] = &[(IDS.mid, b"v"), (IDS.repaired_rid, rid)];
            let seq = (second * 100 + n as u64) as u16;
            let ssrc = ssrc + 1;
            let packet =
                Packet { ssrc, pt: VP8_RTX, seq, timestamp: 1, marker: false, extensions, payload: &payload };
            let packet = w.clients[self.client].rtp(packet);
            w.up(self.client, packet);
        }
        let ntp = w.now.ntp();
        let ssrcs = self.layers.each_ref().map(|l| l.ssrc);
        let packet = w.clients[self.client].rtcp(|b| {
            for ssrc in ssrcs {
                let info = rtp::rtcp::SenderInfo {
                    ssrc: Ssrc(ssrc),
                    ntp,
                    rtp_timestamp: (second * 90_000) as u32,
                    packets: 1,
                    octets: 1,
                };
                b.sender_report(&info, &[]).unwrap();
            }
        });
        w.up(self.client, packet);
    }
}

/// What a subscriber says: which packets came, which did not, how it goes, and what it wants anew.
fn feedback(w: &mut World, client: usize, ssrc: u32, count: u64) {
    let of_video: Vec<u16> = w.clients[client]
        .media
        .iter()
        .filter(|g| g.header.ssrc == Ssrc(ssrc))
        .map(|g| g.header.seq)
        .collect();
    let lost: Vec<u16> = of_video.iter().copied().step_by(9).take(20).collect();
    let arrivals: Vec<Option<i64>> = (0..60).map(|n| (n % 10 != 0).then_some(n * 4)).collect();
    let base = (count * 60) as u16;
    let packet = w.clients[client].rtcp(|b| {
        let block = rtp::rtcp::ReportBlock { ssrc: Ssrc(ssrc), ..Default::default() };
        b.receiver_report(Ssrc(1), &[block]).unwrap();
        b.transport(Ssrc(1), Ssrc(ssrc), count as u8, base, &arrivals).unwrap();
        if !lost.is_empty() {
            b.nack(Ssrc(1), Ssrc(ssrc), &lost).unwrap();
        }
        if count % 10 == 9 {
            b.pli(Ssrc(1), Ssrc(ssrc)).unwrap();
            b.remb(Ssrc(1), rtp::Bitrate(1 << 20), &[Ssrc(ssrc)]).unwrap();
        }
    });
    w.up(client, packet);
    // What the test keeps would grow without end.
    let c = &mut w.clients[client];
    c.media.clear();
    c.reports.clear();
    c.replayed.clear();
}

#[test]
fn forwarding_repairing_and_reporting_allocate_nothing() {
    let mut w = World::new(2);
    let publishers = [w.join(0), w.join(1)];
    // The layer that each subscriber takes, whether it knows RTX, and where it is at home.
    let wants = [(2, true, 0), (2, false, 0), (0, true, 0), (2, true, 1), (1, false, 1)];
    let subscribers = wants.map(|(_, _, worker)| w.join(worker));
    let red = CodecParams { codec: codec::Kind::Red, ..audio_codec(RED) };
    for (n, publisher) in publishers.into_iter().enumerate() {
        let mut video = video_params(&["q", "h", "f"]);
        // One of them has no transport-wide feedback: it is told by REMB.
        w.clients[publisher].by_remb = n == 1;
        video.transport_cc = n == 0;
        let mut audio = audio_params();
        audio.transport_cc = n == 0;
        if n == 0 {
            audio.codecs.insert(0, red.clone());
        }
        let video = w.publish(publisher, 1, video);
        let audio = w.publish(publisher, 2, audio);
        for (at, (spatial, rtx, _)) in wants.into_iter().enumerate() {
            let serial = (n * 100 + at * 2) as u64;
            let ssrc = 5000 + 10 * n as u32;
            let mut video_terms = take_video(ssrc, rtx, spatial);
            video_terms.mid = rtp::Label::new(&format!("{n}v")).unwrap();
            w.subscribe(subscribers[at], serial, video, video_terms);
            let mut audio_terms = take_audio(ssrc + 5);
            audio_terms.mid = rtp::Label::new(&format!("{n}a")).unwrap();
            if at % 2 == 0 {
                audio_terms.codecs.push(CodecParams { pt: Pt(62), ..red.clone() });
            }
            w.subscribe(subscribers[at], serial + 1, audio, audio_terms);
        }
    }
    w.run(50);
    w.rest = true;
    let mut sources = [Publisher::new(publishers[0], true), Publisher::new(publishers[1], false)];
    let mut rembs = 0;
    let mut before = (0, w.counters(0), w.counters(1));
    for second in 0..WARM_UP + MEASURED {
        if second == WARM_UP {
            before = (w.allocations, w.counters(0), w.counters(1));
        }
        // A second of 10 ms: sound every second of them, pictures every third.
        for step in 0..100 {
            for source in &mut sources {
                if step % 2 == 0 {
                    source.sound(&mut w);
                }
                if step % 3 == 0 {
                    source.frame(&mut w, step == 0 && second % 2 == 0);
                }
                if step == 50 {
                    source.mend(&mut w, second);
                }
            }
            if step % 10 == 9 {
                for client in subscribers {
                    for ssrc in [5000, 5010] {
                        feedback(&mut w, client, ssrc, second * 10 + step / 10);
                    }
                }
                for client in publishers {
                    let said = w.clients[client].rtcp_packets();
                    rembs += said.filter(|(_, p)| matches!(p, rtp::rtcp::Packet::Remb(_))).count();
                    w.clients[client].reports.clear();
                }
            }
            w.run(10);
        }
        w.events.iter_mut().for_each(Vec::clear);
    }
    // That something was forwarded, lost, asked for again and reported.
    for (worker, before) in [(0, before.1), (1, before.2)] {
        let now = w.counters(worker);
        let forwarded = now.traffic.rtp_out - before.traffic.rtp_out;
        let crossed = now.traffic.link_packets_in - before.traffic.link_packets_in;
        // What subscribers report makes some lines look full: less crosses than could.
        assert!(forwarded > 2000 && crossed > 300, "{forwarded} forwarded, {crossed} crossed");
        let resent = now.repair.resent - before.repair.resent;
        let asked = now.repair.nacks_out - before.repair.nacks_out;
        assert!(resent > 100 && asked > 20, "{resent} sent again, {asked} asked for again");
        assert!(now.repair.key_frames_out > before.repair.key_frames_out, "{now:?}");
    }
    assert!(rembs > 3, "{rembs} estimates");
    assert!(before.0 > 100, "it is counted at all");
    assert_eq!(w.allocations - before.0, 0, "allocations in {MEASURED} s of media");
}
