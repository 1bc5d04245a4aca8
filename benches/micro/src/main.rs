//! The pieces of the packet path, one by one: time by criterion, instructions by callgrind.
//!
//! Without arguments it measures time. `benches/micro/run` has it run each case under callgrind as well
//! (`--count CASE ROUNDS`), and says where the instructions of a fan-out go, source file by source file: what is
//! inlined into each other there has no boundary that a clock could be held against.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a benchmark is not part of the server")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput};
use rtp::{Header, Pt, Ssrc, View};
use srtp::{Inbound, Outbound, Profile, Repeats, Role, StreamIndex};

#[path = "../../../crates/proto/sfu/benches/stage/mod.rs"]
mod stage;

use stage::{PACKETS, PAYLOAD, Stage};

/// What SRTP adds at most (RFC 7714 section 12).
const TAG: usize = 16;
const HEADER: usize = 28;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|arg| arg == "--count") {
        return count(&args[at + 1], args[at + 2].parse().unwrap());
    }
    let mut criterion = Criterion::default().configure_from_args();
    time_pieces(&mut criterion);
    time_fan_out(&mut criterion);
    criterion.final_summary();
}

/// Both ends of one SRTP stream.
struct Line {
    outbound: Outbound,
    inbound: Inbound,
    stream: StreamIndex,
    seq: u16,
}

impl Line {
    fn new() -> Self {
        let profile = Profile::AeadAes128Gcm;
        let material = vec![9; profile.keying_material_len()];
        let (_, mut outbound) = srtp::contexts(profile, &material, Role::Client).unwrap();
        let (inbound, _) = srtp::contexts(profile, &material, Role::Server).unwrap();
        let stream = outbound.stream(Ssrc(2), Repeats::Refuse).unwrap();
        Self { outbound, inbound, stream, seq: 0 }
    }

    /// A packet with the elements that a subscriber gets.
    fn plain(&mut self) -> Vec<u8> {
        self.seq = self.seq.wrapping_add(1);
        let [s0, s1] = self.seq.to_be_bytes();
        let mut packet = vec![0x90, 96, s0, s1, 0, 0, 0, 9, 0, 0, 0, 2, 0xbe, 0xde, 0, 3];
        packet.extend([0x22, 1, 2, 3, 0x31, s0, s1, 0x40, b'7', 0, 0, 0]);
        packet.resize(HEADER + PAYLOAD + TAG, 7);
        packet
    }

    fn sealed(&mut self) -> Vec<u8> {
        let mut packet = self.plain();
        self.seal(&mut packet);
        packet
    }

    #[inline(never)]
    fn seal(&mut self, packet: &mut [u8]) {
        self.outbound.seal_rtp_on(self.stream, packet, HEADER, HEADER + PAYLOAD).unwrap();
    }

    #[inline(never)]
    fn open(&mut self, packet: &mut [u8]) {
        let header = Header::parse(packet).unwrap();
        black_box(self.inbound.open_rtp(packet, header.len()).unwrap());
    }
}

#[inline(never)]
fn parse(packet: &[u8]) -> (Pt, usize) {
    let view = View::parse(packet).unwrap();
    let elements = view.extensions().map(|(id, value)| usize::from(id) + value.len()).sum::<usize>();
    (view.header.pt, elements)
}

#[inline(never)]
fn receive(stage: &mut Stage, packet: &mut [u8]) {
    stage.take(packet);
}

fn time_pieces(criterion: &mut Criterion) {
    let mut line = Line::new();
    criterion.bench_function("seal", |b| {
        let mut seal = Line::new();
        b.iter_batched_ref(|| line.plain(), |packet| seal.seal(packet), BatchSize::SmallInput);
    });
    criterion.bench_function("open", |b| {
        // Its own ends: packets of another run are replays.
        let mut line = Line::new();
        let mut inbound = Line::new();
        b.iter_batched_ref(|| line.sealed(), |packet| inbound.open(packet), BatchSize::SmallInput);
    });
    let packet = line.plain();
    criterion.bench_function("parse", |b| b.iter(|| parse(black_box(&packet))));
}

fn time_fan_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan-out");
    for subscribers in [1, 10, 100, 1000] {
        let mut stage = Stage::new(subscribers);
        group.throughput(Throughput::Elements((PACKETS * subscribers) as u64));
        group.bench_function(subscribers.to_string(), |b| {
            b.iter_custom(|rounds| (0..rounds).map(|_| stage.frame()).sum());
        });
    }
}

/// Runs one case so many times, in a function of its own for callgrind to look for.
fn count(case: &str, rounds: usize) {
    let mut line = Line::new();
    match case {
        "seal" => (0..rounds).for_each(|_| line.seal(&mut line.plain())),
        "open" => (0..rounds).for_each(|_| line.open(&mut line.sealed())),
        "parse" => (0..rounds).for_each(|_| {
            black_box(parse(&line.plain()));
        }),
        "receive" => {
            let mut stage = Stage::new(1);
            for _ in 0..rounds {
                for mut packet in stage.publish() {
                    receive(&mut stage, &mut packet);
                }
                stage.fan_out();
                stage.settle();
            }
        }
        _ => {
            let mut stage = Stage::new(case.strip_prefix("fan-out-").unwrap().parse().unwrap());
            (0..rounds).for_each(|_| drop(stage.frame()));
        }
    }
}
