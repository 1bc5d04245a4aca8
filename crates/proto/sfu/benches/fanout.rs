//! What the router costs above its floor: one frame to 1, 10, 100 and 1,000 subscribers.
//!
//! `cargo bench -p millrace-sfu --bench fanout`. The floor copies the same bytes for the same number of
//! subscribers into one memory and seals them there with AES-GCM, and does nothing else. Both sides run
//! alternately; printed are the median of each, and the median and spread of their ratios. Sending is not
//! part of it: see `crates/io/net/benches/send.rs`.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a benchmark is not part of the server")]

use std::time::Duration;

use rtp::{Fields, Form, Pt, Ssrc, Writer};
use srtp::{Outbound, Repeats, StreamIndex};

mod stage;

use stage::{PACKETS, PAYLOAD, Stage, used};

/// Rounds, of which the median counts.
const ROUNDS: usize = 41;

fn main() {
    let profile = Stage::new(1).profile;
    println!(
        "{PACKETS} packets of {PAYLOAD} bytes to each subscriber, {profile:?}; CPU nanoseconds a packet"
    );
    println!("{:>11} {:>9} {:>9} {:>7} {:>15}", "subscribers", "router", "floor", "ratio", "spread");
    for subscribers in [1, 10, 100, 1000] {
        let mut stage = Stage::new(subscribers);
        let mut floor = Floor::new(subscribers, stage.profile);
        let mut rounds: Vec<(f64, f64)> = Vec::new();
        // Enough frames a round for the clock to see them.
        let frames = (2000 / subscribers).max(4);
        for _ in 0..ROUNDS {
            let router: Duration = (0..frames).map(|_| stage.frame()).sum();
            let bare: Duration = (0..frames).map(|_| floor.frame()).sum();
            let packets = (frames * PACKETS * subscribers) as f64;
            rounds.push((router.as_nanos() as f64 / packets, bare.as_nanos() as f64 / packets));
        }
        let mut ratios: Vec<f64> = rounds.iter().map(|(router, bare)| router / bare).collect();
        ratios.sort_by(f64::total_cmp);
        let median = |of: fn(&(f64, f64)) -> f64| {
            let mut all: Vec<f64> = rounds.iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        println!(
            "{subscribers:>11} {:>9.0} {:>9.0} {:>7.2} {:>7.2}..{:<6.2}",
            median(|r| r.0),
            median(|r| r.1),
            ratios[ROUNDS / 2],
            ratios[ROUNDS / 10],
            ratios[ROUNDS - 1 - ROUNDS / 10],
        );
    }
}

/// Copies and seals, and nothing else.
struct Floor {
    template: Vec<u8>,
    header: usize,
    outbox: Vec<u8>,
    streams: Vec<(Outbound, StreamIndex)>,
    seq: u16,
}

impl Floor {
    fn new(subscribers: usize, profile: srtp::Profile) -> Self {
        let mut template = vec![7; 1500];
        let fields = Fields { marker: false, pt: Pt(96), seq: 0, timestamp: 0, ssrc: Ssrc(2) };
        let mut writer = Writer::new(&mut template, &fields, Form::OneByte).unwrap();
        for (id, len) in [(2, 3), (3, 2), (4, 1)] {
            writer.element(id, &[0; 3][..len]).unwrap();
        }
        let (header, len) = writer.payload(&[7; PAYLOAD]).unwrap();
        template.truncate(len);
        let material = vec![9; profile.keying_material_len()];
        let streams = (0..subscribers).map(|_| {
            let (_, mut outbound) = srtp::contexts(profile, &material, srtp::Role::Client).unwrap();
            let stream = outbound.stream(Ssrc(2), Repeats::Refuse).unwrap();
            (outbound, stream)
        });
        Self { template, header, outbox: vec![0; 512 << 10], streams: streams.collect(), seq: 0 }
    }

    fn frame(&mut self) -> Duration {
        let began = used();
        let mut at = 0;
        for (outbound, stream) in &mut self.streams {
            for n in 0..PACKETS as u16 {
                if at + 1500 > self.outbox.len() {
                    at = 0;
                }
                let room = &mut self.outbox[at..at + 1500];
                let len = self.template.len();
                room[..len].copy_from_slice(&self.template);
                room[2..4].copy_from_slice(&self.seq.wrapping_add(n).to_be_bytes());
                at += outbound.seal_rtp_on(*stream, room, self.header, len).unwrap();
            }
        }
        let took = used() - began;
        self.seq = self.seq.wrapping_add(PACKETS as u16);
        took
    }
}
