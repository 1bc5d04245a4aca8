use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;
use crate::ts::mux::crc;
use crate::ts::{Medium, Muxer};

/// What `Muxer` adds to every time.
const DELAY: i64 = 126_000;

#[derive(Debug, Clone, PartialEq)]
struct Frame {
    medium: Medium,
    key: bool,
    dts: i64,
    pts: i64,
    data: Vec<u8>,
}

/// Pictures at 25 a second with sound between them, from `start` on, of any length.
fn frames(random: &mut SmallRng, count: i64, start: i64) -> Vec<Frame> {
    let mut frames = Vec::new();
    for n in 0..count {
        let dts = start + n * 3600;
        let mut frame = |medium, pts| {
            let max = if random.random_ratio(1, 10) { 20_000 } else { 600 };
            let len = random.random_range(0..max);
            let data = (0..len).map(|_| random.random()).collect();
            frames.push(Frame { medium, key: n % 10 == 0, dts, pts, data });
        };
        frame(Medium::Video, dts + 3600 * (n % 3));
        frame(Medium::Audio, dts);
    }
    frames
}

/// Segments, each with its tables, as packets.
fn mux(frames: &[Frame]) -> Vec<u8> {
    let mut muxer = Muxer::new(Some(Kind::H264), Some(Kind::Aac)).unwrap();
    let mut out = BytesMut::new();
    for frame in frames {
        if frame.key && frame.medium == Medium::Video {
            muxer.tables(&mut out);
        }
        muxer.frame(frame.medium, frame.key, frame.dts, frame.pts, &frame.data, &mut out);
    }
    out.to_vec()
}

fn demux(bytes: &[u8], mut cut: impl FnMut() -> usize) -> (Vec<Frame>, Losses) {
    let mut demuxer = Demuxer::default();
    let mut rest = bytes;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (now, later) = rest.split_at(cut().clamp(1, rest.len()));
        demuxer.push(now);
        rest = later;
        found.extend(std::iter::from_fn(|| demuxer.poll()));
    }
    demuxer.finish();
    found.extend(std::iter::from_fn(|| demuxer.poll()));
    let frames = found.into_iter().map(|unit| Frame {
        medium: if unit.codec == Kind::H264 { Medium::Video } else { Medium::Audio },
        key: unit.is_random_access,
        dts: unit.dts - DELAY,
        pts: unit.pts - DELAY,
        data: unit.data.to_vec(),
    });
    (frames.collect(), demuxer.losses())
}

/// Video comes out when the next begins, so the order between media is another.
fn of(frames: &[Frame], medium: Medium) -> Vec<Frame> {
    frames.iter().filter(|frame| frame.medium == medium).cloned().collect()
}

#[test]
fn what_was_muxed_comes_out_however_it_is_cut() {
    for seed in 0..20 {
        let mut random = SmallRng::seed_from_u64(seed);
        // Some of them go over the wrap.
        let start = if seed % 2 == 0 { 0 } else { (1 << 33) - DELAY - 40 * 3600 };
        let frames = frames(&mut random, 100, start);
        let bytes = mux(&frames);
        let (found, losses) = demux(&bytes, || random.random_range(1..1000));
        assert_eq!(losses, Losses::default());
        for medium in [Medium::Video, Medium::Audio] {
            assert!(of(&found, medium) == of(&frames, medium), "seed {seed}, {medium:?}");
        }
    }
}

#[test]
fn what_is_missing_costs_the_frames_that_it_was_in() {
    for seed in 0..40 {
        let mut random = SmallRng::seed_from_u64(seed);
        let frames = frames(&mut random, 100, 0);
        let packets: Vec<Vec<u8>> = mux(&frames).chunks(PACKET).map(<[u8]>::to_vec).collect();
        let mut bytes = Vec::new();
        let mut left = 0;
        for packet in &packets {
            // A burst of up to five: fewer than the counter goes round in.
            if left == 0 && random.random_ratio(1, 60) {
                left = random.random_range(1..=5);
            }
            match left {
                0 => bytes.extend_from_slice(packet),
                _ => left -= 1,
            }
        }
        let (found, losses) = demux(&bytes, || 700);
        assert!(losses.gaps > 0 && losses.skipped == 0);
        // Nothing that comes out is anything but what went in, and most does.
        assert!(found.iter().all(|frame| frames.contains(frame)), "seed {seed}");
        assert!(found.len() * 2 > frames.len(), "seed {seed}: {} of {}", found.len(), frames.len());
    }
}

#[test]
fn it_is_joined_anywhere_and_finds_its_way_after_rubbish() {
    for seed in 0..40 {
        let mut random = SmallRng::seed_from_u64(seed);
        let frames = frames(&mut random, 60, 0);
        let bytes = mux(&frames);
        // Joined in the middle of a packet, with rubbish in the middle that is full of sync bytes.
        let from = random.random_range(0..bytes.len() / 3);
        let at = random.random_range(bytes.len() / 2..bytes.len() * 2 / 3) / PACKET * PACKET;
        let rubbish: Vec<u8> = (0..random.random_range(1..2000))
            .map(|_| if random.random() { 0x47 } else { random.random() })
            .collect();
        let stream = [&bytes[from..at], &rubbish, &bytes[at..]].concat();
        let (found, losses) = demux(&stream, || random.random_range(1..4000));
        assert!(losses.skipped > 0);
        assert!(found.iter().all(|frame| frames.contains(frame)), "seed {seed}");
        // From the next tables on, all of it.
        assert!(
            found.contains(&frames[frames.len() - 2]) || found.len() > 20,
            "seed {seed}: {}",
            found.len()
        );
    }
}

#[test]
fn packets_sent_twice_are_taken_once() {
    let mut random = SmallRng::seed_from_u64(1);
    let frames = frames(&mut random, 30, 0);
    let twice: Vec<u8> = mux(&frames).chunks(PACKET).flat_map(|packet| [packet, packet].concat()).collect();
    let (found, losses) = demux(&twice, || 188);
    assert_eq!((found.len(), losses), (frames.len(), Losses::default()));
}

#[test]
fn a_program_that_changes_is_followed() {
    let mut out = BytesMut::new();
    let mut first = Muxer::new(Some(Kind::H264), Some(Kind::Aac)).unwrap();
    first.tables(&mut out);
    first.frame(Medium::Video, true, 0, 0, b"one", &mut out);
    first.frame(Medium::Audio, true, 0, 0, b"two", &mut out);
    let mut demuxer = Demuxer::default();
    demuxer.push(&out);
    assert_eq!(demuxer.program().collect::<Vec<_>>(), [(0x100, Kind::H264), (0x101, Kind::Aac)]);
    assert_eq!(demuxer.reference(), Some(63_000));
    out.clear();
    let mut second = Muxer::new(Some(Kind::H265), Some(Kind::Mp3)).unwrap();
    second.tables(&mut out);
    second.frame(Medium::Video, true, 3600, 3600, b"three", &mut out);
    demuxer.push(&out);
    assert_eq!(demuxer.program().collect::<Vec<_>>(), [(0x100, Kind::H265), (0x101, Kind::Mp3)]);
    demuxer.finish();
    let units: Vec<Unit> = std::iter::from_fn(|| demuxer.poll()).collect();
    assert!(units.iter().any(|unit| unit.codec == Kind::H265 && unit.data[..] == *b"three"));
}

/// A packet of `pid` with a payload and stuffing before it.
fn packet(pid: u16, begins: bool, counter: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = (pid | if begins { 0x4000 } else { 0 }).to_be_bytes();
    let mut out = vec![0x47, high, low, 0x30 | counter];
    let stuffing = PACKET - 5 - payload.len();
    out.push(stuffing as u8);
    out.extend((0..stuffing).map(|n| if n == 0 { 0 } else { 0xff }));
    out.extend_from_slice(payload);
    out
}

fn section(table: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![table, 0xb0, (body.len() + 9) as u8, 0, 1, 0xc1, 0, 0];
    out.extend_from_slice(body);
    let sum = crc(&out);
    out.extend_from_slice(&sum.to_be_bytes());
    out
}

#[test]
fn tables_may_go_over_packets_and_share_them() {
    let mut demuxer = Demuxer::default();
    let association = section(0x00, &[0, 0, 0xe0, 0x10, 0, 1, 0xf0, 0x00]);
    // The network's own table stands before the program.
    let (start, end) = association.split_at(7);
    demuxer.push(&packet(0, true, 0, &[&[0][..], start].concat()));
    demuxer.push(&packet(0, false, 1, end));
    // Two maps in one packet, behind the end of nothing; the second one counts. Descriptors are passed over.
    let old = section(0x02, &[0xe1, 0, 0xf0, 0, 0x1b, 0xe1, 0, 0xf0, 0]);
    let new =
        section(0x02, &[0xe1, 0, 0xf0, 3, 9, 9, 9, 0x06, 0xe1, 5, 0xf0, 1, 7, 0x0f, 0xe1, 1, 0xf0, 2, 1, 2]);
    demuxer.push(&packet(0x1000, true, 0, &[&[0][..], &old, &new, &[0xff; 9]].concat()));
    demuxer.push(&packet(0x1ff, false, 0, &[]));
    demuxer.push(&packet(0x1fff, false, 0, &[]));
    assert_eq!(demuxer.program().collect::<Vec<_>>(), [(0x101, Kind::Aac)]);
    assert_eq!(demuxer.losses(), Losses::default());
}

#[test]
fn what_contradicts_itself_is_dropped_and_counted() {
    let mut tables = BytesMut::new();
    Muxer::new(Some(Kind::H264), None).unwrap().tables(&mut tables);
    // Behind each, packets that are read, so that sync is believed.
    let fill = || [packet(0x1fff, false, 0, &[]), packet(0x1fff, false, 0, &[])].concat();
    let losses = |bytes: &[u8]| {
        let mut demuxer = Demuxer::default();
        demuxer.push(&[&tables[..], bytes, &fill()].concat());
        demuxer.finish();
        assert_eq!(demuxer.poll(), None);
        demuxer.losses()
    };
    let pes = |bytes: &[u8]| losses(&packet(0x100, true, 0, bytes)).units;
    let whole = [0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 5, 0x21, 0, 1, 0, 1, 7];
    let mut demuxer = Demuxer::default();
    demuxer.push(&[&tables[..], &packet(0x100, true, 0, &whole), &fill()].concat());
    demuxer.finish();
    assert_eq!(demuxer.poll().unwrap().data[..], [7], "the twin that is well");
    for cut in 0..14 {
        assert_eq!(pes(&whole[..cut]), 1, "cut at {cut}");
    }
    for (at, byte) in
        [(0, 1), (2, 2), (3, 0xbe), (6, 0), (7, 0x00), (7, 0x40), (8, 200), (9, 0x20), (11, 0), (13, 0)]
    {
        let mut bytes = whole;
        bytes[at] = byte;
        assert_eq!(pes(&bytes), 1, "byte {at} is {byte:#x}");
    }
    // It says to be longer than it is, by the time that the next begins.
    let mut long = whole;
    long[5] = 99;
    assert_eq!(pes(&long), 1);
    // Damaged, scrambled, reserved, and an adaptation field that is longer than its packet.
    for (at, byte) in [(1, 0xc1), (3, 0xb0), (3, 0x00), (4, 184)] {
        let mut bytes = packet(0x100, true, 0, &whole);
        bytes[at] = byte;
        assert_eq!(losses(&bytes).packets, 1, "byte {at} is {byte:#x}");
    }
    // Tables whose sums or lengths are wrong, or whose pointer leads out of their packet.
    let good = section(0x00, &[0, 1, 0xf0, 0]);
    for (at, byte) in [(2, 3), (2, 12), (9, 2)] {
        let mut bad = good.clone();
        bad[at] = byte;
        assert!(losses(&packet(0, true, 1, &[&[0][..], &bad].concat())).sections > 0, "byte {at}");
    }
    assert_eq!(losses(&packet(0, true, 1, &[9, 0])).sections, 1);
    assert_eq!(losses(&packet(0, true, 1, &[0, 0x00, 0xbf, 0xff])).sections, 1);
}

#[test]
fn a_picture_without_end_is_given_up() {
    let mut tables = BytesMut::new();
    Muxer::new(Some(Kind::H264), None).unwrap().tables(&mut tables);
    let mut demuxer = Demuxer::default();
    demuxer.push(&tables);
    demuxer.push(&packet(0x100, true, 0, &[0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 5, 0x21, 0, 1, 0, 1]));
    for n in 1..50_000_u32 {
        demuxer.push(&packet(0x100, false, (n & 15) as u8, &[0; 183]));
    }
    demuxer.finish();
    assert_eq!((demuxer.poll(), demuxer.losses().units), (None, 1));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000), seed in any::<u64>()) {
        let mut random = SmallRng::seed_from_u64(seed);
        // Behind something that is well formed, so that what is deep is reached, and with what is changed in it.
        let mut stream = mux(&frames(&mut random, 5, 0));
        for _ in 0..20 {
            let at = random.random_range(0..stream.len());
            stream[at] = random.random();
        }
        stream.extend(bytes);
        let len = stream.len() as u64;
        let (found, losses) = demux(&stream, || random.random_range(1..3000));
        prop_assert!(losses.skipped <= len && found.len() as u64 <= len);
    }
}
