//! A far end that has keys and breaks every rule of SCTP: packets are damaged and made up with the right tag and
//! checksum, which is what the library gets to see of them.

use std::time::Duration;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;

/// CRC32c, RFC 9260 appendix A.
fn checksum(packet: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in packet {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

/// Gives a packet the checksum that it should have.
fn sealed(mut packet: Vec<u8>) -> Bytes {
    packet[8..12].fill(0);
    let sum = checksum(&packet).to_le_bytes();
    packet[8..12].copy_from_slice(&sum);
    packet.into()
}

/// A chunk of any type, with a body of anything or of parameters.
fn chunk(rng: &mut SmallRng) -> Vec<u8> {
    const KINDS: [u8; 21] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 64, 128, 130, 132, 192, 194];
    const PARAMS: [u16; 15] = [1, 5, 6, 7, 9, 11, 12, 13, 14, 15, 16, 17, 18, 0x8008, 0xc000];
    let mut body: Vec<u8> = Vec::new();
    match rng.random_range(0..4) {
        0 => body.extend((0..rng.random_range(0..64)).map(|_| rng.random::<u8>())),
        1 => {
            // Small numbers are where the edges are.
            for _ in 0..rng.random_range(0..12) {
                let number: u32 = match rng.random_range(0..4) {
                    0 => rng.random_range(0..4),
                    1 => u32::MAX - rng.random_range(0..4),
                    2 => rng.random_range(0..70_000),
                    _ => rng.random(),
                };
                body.extend_from_slice(&number.to_be_bytes());
            }
        }
        _ => {
            body.extend((0..rng.random_range(0..4) * 4).map(|_| rng.random_range(0..3u8)));
            for _ in 0..rng.random_range(0..4) {
                let value = rng.random_range(0..24usize);
                let length = if rng.random_bool(0.8) { value + 4 } else { rng.random_range(0..40) };
                body.extend_from_slice(&PARAMS[rng.random_range(0..PARAMS.len())].to_be_bytes());
                body.extend_from_slice(&(length as u16).to_be_bytes());
                body.extend((0..value).map(|_| rng.random::<u8>()));
                body.resize(body.len().next_multiple_of(4), 0);
            }
        }
    }
    let length = if rng.random_bool(0.9) { body.len() + 4 } else { rng.random_range(0..body.len() + 8) };
    let mut chunk = vec![KINDS[rng.random_range(0..KINDS.len())], rng.random_range(0..16)];
    chunk.extend_from_slice(&(length as u16).to_be_bytes());
    chunk.extend_from_slice(&body);
    chunk.resize(chunk.len().next_multiple_of(4), 0);
    chunk
}

/// A packet as it might come instead of this one.
fn damaged(rng: &mut SmallRng, packet: &[u8]) -> Bytes {
    let mut out = packet.to_vec();
    match rng.random_range(0..5) {
        0 => {
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(12..out.len());
                out[at] ^= 1 << rng.random_range(0..8);
            }
        }
        1 => out.truncate(rng.random_range(12..=out.len())),
        2 => out.extend(chunk(rng)),
        3 => {
            out.truncate(12);
            for _ in 0..rng.random_range(1..3) {
                out.extend(chunk(rng));
            }
        }
        _ => {
            let at = 12 + rng.random_range(0..(out.len() - 12) / 4) * 4;
            let number = [0, 1, 0x7fff_ffff, u32::MAX, rng.random()][rng.random_range(0..5)];
            out[at..at + 4].copy_from_slice(&number.to_be_bytes());
        }
    }
    sealed(out)
}

/// Whatever comes, the machine goes on, or says that the association is over.
fn play(seed: u64, rounds: usize) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let config = Config::default();
    let remote = SctpRemote { port: 5000, max_message_size: 0 };
    let mut now = crate::testbed::start();
    let fresh = |client| {
        let mut sctp = Sctp::new(&config, remote, client);
        for (label, reliability) in [
            ("a", Reliability::Reliable),
            ("b", Reliability::Retransmits(0)),
            ("c", Reliability::Lifetime(50)),
        ] {
            let params =
                ChannelParams { label: label.into(), ordered: label == "a", reliability, negotiated: None };
            sctp.open(params).unwrap();
        }
        sctp
    };
    let mut ends = [fresh(true), fresh(false)];
    let mut last = [Vec::new(), Vec::new()];
    let mut calm = 12;
    for round in 0..rounds {
        now = now.after(Duration::from_millis([1, 20, 500][rng.random_range(0..3)]));
        if ends.iter().any(|end| end.association.is_none()) || round % 400 == 399 {
            ends = [fresh(true), fresh(false)];
            calm = if rng.random_bool(0.7) { 12 } else { 0 };
        }
        calm = usize::saturating_sub(calm, 1);
        for from in 0..2 {
            let id = ChannelId(rng.random_range(0..6));
            let payload = Bytes::from(vec![7; [0, 1, 100, 3000][rng.random_range(0..4)]]);
            let _ = ends[from].send(id, true, &payload);
            if rng.random_bool(0.01) {
                ends[from].close(id);
            }
            while let Some(packet) = ends[from].poll_transmit(now) {
                let to = 1 - from;
                if calm == 0 && packet.len() > 16 && rng.random_bool(0.3) {
                    let packet = damaged(&mut rng, &packet);
                    ends[to].handle(now, packet);
                }
                if calm > 0 || rng.random_bool(0.9) {
                    ends[to].handle(now, packet.clone());
                }
                last[from] = packet.to_vec();
            }
            if calm == 0 && last[from].len() > 16 && rng.random_bool(0.5) {
                let packet = damaged(&mut rng, &last[from]);
                ends[1 - from].handle(now, packet);
            }
        }
        for end in &mut ends {
            end.handle_timeout(now);
            while end.poll_notice().is_some() {}
        }
    }
}

#[test]
fn whatever_comes_with_the_right_checksum_panics_nobody() {
    for seed in 0..4 {
        play(seed, 1500);
    }
}
