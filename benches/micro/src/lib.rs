//! The pieces of the packet path, one by one, for a clock (`benches/time.rs`) and for callgrind
//! (`benches/instructions.rs`).
//!
//! The router keeps the choice of packets and their numbering to itself, and in the server they are inlined into what
//! calls them; their sources are compiled here once more, to be measured alone.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a benchmark is not part of the server")]

use std::hint::black_box;
use std::time::Instant;

use codec::vp8::{Descriptor, PictureId};
use rtp::{Header, Ssrc, View};
use srtp::{Inbound, Outbound, Profile, Repeats, Role, StreamIndex};

#[allow(dead_code)]
#[path = "../../../crates/proto/sfu/src/api.rs"]
mod api;
#[allow(dead_code)]
#[path = "../../../crates/proto/sfu/src/packet.rs"]
mod packet;
#[allow(dead_code)]
#[path = "../../../crates/proto/sfu/src/consumer/rewrite.rs"]
mod rewrite;
#[allow(dead_code)]
#[path = "../../../crates/proto/sfu/src/consumer/select.rs"]
mod select;
#[path = "../../../crates/proto/sfu/benches/stage/mod.rs"]
mod stage;

use packet::{Meta, Span};
use stage::{PACKETS, PAYLOAD, Stage};

/// All of them, by name.
pub const PIECES: [&str; 10] = [
    "open",
    "parse",
    "receive",
    "choose",
    "rewrite",
    "seal",
    "fan-out to 1",
    "fan-out to 10",
    "fan-out to 100",
    "fan-out to 1000",
];

/// Packets of one run of what handles them singly.
const MANY: usize = 10 * PACKETS;
/// What a subscriber's packet has before its payload: abs-send-time, a transport-wide number and the mid.
const HEADER: usize = 28;
/// What SRTP adds at most (RFC 7714 section 12).
const TAG: usize = 16;

/// Something that is measured again and again.
pub trait Piece {
    /// Packets that come out of a run.
    fn packets(&self) -> usize {
        MANY
    }

    /// Makes what the next run uses up.
    fn prepare(&mut self) {}

    /// What is measured.
    fn run(&mut self);
}

/// One of [`PIECES`].
pub fn piece(name: &str) -> Box<dyn Piece> {
    match name {
        "open" => Box::new(Open::new()),
        "parse" => Box::new(Parse(plain())),
        "receive" => Box::new(Receive { stage: Stage::new(1), packets: Vec::new() }),
        "choose" => Box::new(Choose::new()),
        "rewrite" => Box::new(Rewrite::new()),
        "seal" => Box::new(Seal::new()),
        _ => {
            let subscribers = name.strip_prefix("fan-out to ").unwrap().parse().unwrap();
            Box::new(FanOut { stage: Stage::new(subscribers), subscribers })
        }
    }
}

/// A packet as a subscriber gets it, with room to be sealed in.
fn plain() -> Vec<u8> {
    let mut packet = vec![0x90, 96, 0, 0, 0, 0, 0, 9, 0, 0, 0, 2, 0xbe, 0xde, 0, 3];
    packet.extend([0x22, 1, 2, 3, 0x31, 0, 0, 0x40, b'7', 0, 0, 0]);
    packet.resize(HEADER + PAYLOAD + TAG, 7);
    packet
}

/// Seals a packet for one subscriber.
struct Seal {
    outbound: Outbound,
    stream: StreamIndex,
    packet: Vec<u8>,
    seq: u16,
}

const PROFILE: Profile = Profile::AeadAes128Gcm;

fn material() -> Vec<u8> {
    vec![9; PROFILE.keying_material_len()]
}

impl Seal {
    fn new() -> Self {
        let (_, mut outbound) = srtp::contexts(PROFILE, &material(), Role::Client).unwrap();
        let stream = outbound.stream(Ssrc(2), Repeats::Refuse).unwrap();
        Self { outbound, stream, packet: plain(), seq: 0 }
    }

    fn seal(&mut self) {
        self.seq = self.seq.wrapping_add(1);
        self.packet[2..4].copy_from_slice(&self.seq.to_be_bytes());
        self.outbound.seal_rtp_on(self.stream, &mut self.packet, HEADER, HEADER + PAYLOAD).unwrap();
    }
}

impl Piece for Seal {
    fn run(&mut self) {
        (0..MANY).for_each(|_| self.seal());
    }
}

/// Opens a publisher's packet.
struct Open {
    far: Seal,
    inbound: Inbound,
    packets: Vec<Vec<u8>>,
}

impl Open {
    fn new() -> Self {
        let (inbound, _) = srtp::contexts(PROFILE, &material(), Role::Server).unwrap();
        Self { far: Seal::new(), inbound, packets: Vec::new() }
    }
}

impl Piece for Open {
    fn prepare(&mut self) {
        let far = &mut self.far;
        let sealed = (0..MANY).map(|_| {
            far.packet = plain();
            far.seal();
            far.packet.clone()
        });
        self.packets = sealed.collect();
    }

    fn run(&mut self) {
        for packet in &mut self.packets {
            let header = Header::parse(packet).unwrap();
            black_box(self.inbound.open_rtp(packet, header.len()).unwrap());
        }
    }
}

/// Reads header and extensions.
struct Parse(Vec<u8>);

impl Piece for Parse {
    fn run(&mut self) {
        for _ in 0..MANY {
            let view = View::parse(black_box(&self.0)).unwrap();
            for (id, value) in view.extensions() {
                black_box((id, value));
            }
        }
    }
}

/// All that happens to a publisher's packet until it waits for its subscribers.
struct Receive {
    stage: Stage,
    packets: Vec<Vec<u8>>,
}

impl Piece for Receive {
    fn packets(&self) -> usize {
        PACKETS
    }

    fn prepare(&mut self) {
        self.stage.fan_out();
        self.stage.settle();
        self.packets = self.stage.publish();
    }

    fn run(&mut self) {
        for packet in &mut self.packets {
            self.stage.take(packet);
        }
    }
}

/// A frame as the router knows it, which every run moves on.
struct Frame(Vec<Meta>);

impl Frame {
    fn new() -> Self {
        let one = |seq: usize| {
            let mut meta = Meta::blank(Instant::now(), 0);
            meta.seq = seq as u64;
            meta.payload = Span { start: HEADER as u16, len: PAYLOAD as u16 };
            meta.frame.key = seq < PACKETS;
            meta.frame.start = seq.is_multiple_of(PACKETS);
            meta.marker = (seq + 1).is_multiple_of(PACKETS);
            meta.timestamp = (seq / PACKETS) as u32 * 3000;
            let picture = PictureId { value: (seq / PACKETS) as u16, wide: true };
            let layer = Descriptor { picture_id: Some(picture), temporal: Some(0), ..Descriptor::default() };
            meta.vp8 = Some(layer);
            meta
        };
        Self((0..MANY).map(one).collect())
    }

    fn next(&mut self) {
        for meta in &mut self.0 {
            meta.seq += MANY as u64;
            meta.frame.key = false;
            meta.timestamp = meta.timestamp.wrapping_add((MANY / PACKETS) as u32 * 3000);
        }
    }
}

/// Does a subscriber get a packet?
struct Choose {
    frame: Frame,
    select: select::Select,
}

impl Choose {
    fn new() -> Self {
        let wish = api::Wish { paused: false, max_spatial: 2, max_temporal: 7, priority: 0 };
        let mut select = select::Select::new(wish, select::Shape { video: true, svc: false });
        select.aim(0b111, 3);
        let mut new = Self { frame: Frame::new(), select };
        assert!(matches!(new.choose(0), select::Choice::Begin { .. }));
        assert!(matches!(new.choose(1), select::Choice::Forward { .. }));
        new
    }

    fn choose(&mut self, at: usize) -> select::Choice {
        self.select.choose(2, black_box(&self.frame.0[at]))
    }
}

impl Piece for Choose {
    fn prepare(&mut self) {
        self.frame.next();
    }

    fn run(&mut self) {
        for at in 0..MANY {
            black_box(self.choose(at));
        }
    }
}

/// Under which numbers?
struct Rewrite {
    frame: Frame,
    rewrite: rewrite::Rewrite,
}

impl Rewrite {
    fn new() -> Self {
        let frame = Frame::new();
        let mut rewrite = rewrite::Rewrite::new(1);
        rewrite.begin(2, &frame.0[0], 90_000, None);
        Self { frame, rewrite }
    }
}

impl Piece for Rewrite {
    fn prepare(&mut self) {
        self.frame.next();
    }

    fn run(&mut self) {
        for meta in &self.frame.0 {
            assert!(black_box(self.rewrite.place(2, black_box(meta))).is_some());
        }
    }
}

/// One frame to everybody: into the outbox, sealed.
struct FanOut {
    stage: Stage,
    subscribers: usize,
}

impl Piece for FanOut {
    fn packets(&self) -> usize {
        PACKETS * self.subscribers
    }

    fn prepare(&mut self) {
        self.stage.settle();
        for mut packet in self.stage.publish() {
            self.stage.take(&mut packet);
        }
    }

    fn run(&mut self) {
        assert_eq!(self.stage.fan_out(), self.packets());
    }
}
