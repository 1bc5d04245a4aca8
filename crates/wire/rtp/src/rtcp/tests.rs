use super::*;
use crate::{Bitrate, Ssrc};
use proptest::prelude::*;

const ME: Ssrc = Ssrc(0x0a0b_0c0d);
const THEM: Ssrc = Ssrc(0x0102_0304);

fn one(bytes: &[u8]) -> Packet<'_> {
    let mut all = packets(bytes);
    let first = all.next().unwrap().unwrap();
    assert!(all.next().is_none());
    first
}

fn block() -> ReportBlock {
    ReportBlock {
        ssrc: THEM,
        fraction_lost: 25,
        cumulative_lost: -3,
        highest_seq: 0x0001_0002,
        jitter: 77,
        last_sr: 0x1111_2222,
        delay_since_last_sr: 65536,
    }
}

#[test]
fn reports_read_back() {
    let mut buf = [0; 256];
    let mut b = Builder::new(&mut buf);
    let info = SenderInfo { ssrc: ME, ntp: 0x0123_4567_89ab_cdef, rtp_timestamp: 9, packets: 10, octets: 11 };
    b.sender_report(&info, &[block()]).unwrap();
    b.receiver_report(ME, &[block(), block()]).unwrap();
    b.cname(ME, b"abc").unwrap();
    b.bye(&[ME, THEM]).unwrap();
    let n = b.len();
    let all: Vec<_> = packets(&buf[..n]).map(Result::unwrap).collect();
    let [Packet::SenderReport(sr), Packet::ReceiverReport(rr), Packet::Sdes(sdes), Packet::Bye(bye)] =
        &all[..]
    else {
        panic!("{all:?}")
    };
    assert_eq!(sr.info, info);
    assert_eq!(sr.blocks.clone().collect::<Vec<_>>(), [block()]);
    assert_eq!((rr.ssrc, rr.blocks.clone().count()), (ME, 2));
    assert_eq!(sdes.cnames().collect::<Vec<_>>(), [(ME, &b"abc"[..])]);
    assert_eq!(bye.ssrcs.clone().collect::<Vec<_>>(), [ME, THEM]);
}

#[test]
fn a_compound_cut_anywhere_is_one_error() {
    let mut buf = [0; 256];
    let mut b = Builder::new(&mut buf);
    b.receiver_report(ME, &[block()]).unwrap();
    b.transport(ME, THEM, 1, 2, &[Some(1000), None, Some(1010)]).unwrap();
    let n = b.len();
    for cut in 1..n {
        let errors = packets(&buf[..cut]).filter(Result::is_err).count();
        // At 32 the compound ends between its packets.
        assert_eq!(errors, usize::from(cut != 32), "at {cut}");
    }
}

/// Bytes made by hand after RFC 4585 section 6.2.1: PID 0xfffe, mask with bits 1, 2 and 16 (as numbers
/// 0xffff, 0 and 0x000e), then PID 0x0100 alone.
#[test]
fn nack_names_each_lost_packet() {
    let bytes = [
        0x81, 0xcd, 0x00, 0x04, 0x0a, 0x0b, 0x0c, 0x0d, 0x01, 0x02, 0x03, 0x04, 0xff, 0xfe, 0x80, 0x03, 0x01,
        0x00, 0x00, 0x00,
    ];
    let Packet::Nack(nack) = one(&bytes) else { panic!() };
    assert_eq!((nack.sender, nack.media), (ME, THEM));
    let lost: Vec<_> = nack.lost.collect();
    assert_eq!(lost, [0xfffe, 0xffff, 0, 0x000e, 0x0100]);
    let mut buf = [0; 64];
    let mut b = Builder::new(&mut buf);
    assert_eq!(b.nack(ME, THEM, &lost), Some(5));
    let n = b.len();
    assert_eq!(buf[..n], bytes);
}

#[test]
fn a_nack_longer_than_its_buffer_says_how_much_it_holds() {
    let lost: Vec<u16> = (0..100).map(|i| i * 20).collect();
    let mut buf = [0; 12 + 4 * 7];
    assert_eq!(Builder::new(&mut buf).nack(ME, THEM, &lost), Some(7));
    let Packet::Nack(nack) = one(&buf) else { panic!() };
    assert_eq!(nack.lost.collect::<Vec<_>>(), lost[..7]);
    assert_eq!(Builder::new(&mut buf[..12]).nack(ME, THEM, &lost), None);
    assert_eq!(Builder::new(&mut buf).nack(ME, THEM, &[]), None);
}

#[test]
fn key_frame_requests_read_back() {
    let mut buf = [0; 64];
    let mut b = Builder::new(&mut buf);
    b.pli(ME, THEM).unwrap();
    b.fir(ME, THEM, 200).unwrap();
    let n = b.len();
    let all: Vec<_> = packets(&buf[..n]).map(Result::unwrap).collect();
    let [Packet::Pli(pli), Packet::Fir(fir)] = &all[..] else { panic!("{all:?}") };
    assert_eq!(*pli, Pli { sender: ME, media: THEM });
    assert_eq!(fir.entries.clone().collect::<Vec<_>>(), [(THEM, 200)]);
}

/// Made by hand after draft-alvestrand-rmcat-remb-03 section 2.2: exponent 2, mantissa 250000.
#[test]
fn remb_is_mantissa_and_exponent() {
    let bytes = [
        0x8f, 0xce, 0x00, 0x05, 0x0a, 0x0b, 0x0c, 0x0d, 0, 0, 0, 0, b'R', b'E', b'M', b'B', 0x01, 0x0b, 0xd0,
        0x90, 0x01, 0x02, 0x03, 0x04,
    ];
    let Packet::Remb(remb) = one(&bytes) else { panic!() };
    assert_eq!(remb.bitrate, Bitrate(1_000_000));
    assert_eq!(remb.ssrcs.collect::<Vec<_>>(), [THEM]);
    for bits in [0, 1, 0x3_ffff, 0x4_0000, 2_500_000, u64::MAX] {
        let mut buf = [0; 32];
        let mut b = Builder::new(&mut buf);
        b.remb(ME, Bitrate(bits), &[THEM]).unwrap();
        let n = b.len();
        let Packet::Remb(r) = one(&buf[..n]) else { panic!() };
        assert!(r.bitrate.0 <= bits && bits - r.bitrate.0 <= bits >> 17, "{bits} became {:?}", r.bitrate);
    }
    // An exponent beyond 64 bits is a very large rate, not a small one.
    let mut wild = bytes;
    wild[17] = 0xff;
    let Packet::Remb(r) = one(&wild) else { panic!() };
    assert_eq!(r.bitrate, Bitrate(u64::MAX));
}

/// Made by hand after draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1: run of 2 received
/// with small deltas, one-bit vector, two-bit vector with a large negative delta.
#[test]
fn transport_feedback_is_read_chunk_by_chunk() {
    let bytes = [
        0x8f, 0xcd, 0x00, 0x08, 0x0a, 0x0b, 0x0c, 0x0d, 0x01, 0x02, 0x03, 0x04, 0xff, 0xff, 0x00, 0x12, 0xff,
        0xff, 0xff, 0x07, 0x20, 0x02, 0xa0, 0x01, 0xe0, 0x00, 10, 20, 30, 40, 0xff, 0xff, 0, 0, 0, 0,
    ];
    let Packet::Transport(t) = one(&bytes) else { panic!() };
    assert_eq!((t.base_seq, t.statuses, t.count, t.reference), (0xffff, 18, 7, -1));
    let came: Vec<_> = t.arrivals().filter_map(|(s, a)| a.map(|a| (s, a))).collect();
    assert_eq!(came, [(0xffff, -246), (0, -226), (1, -196), (14, -156), (15, -157)]);
    assert_eq!(t.arrivals().count(), 18);
}

#[test]
fn transport_feedback_lies_are_refused() {
    let head = |statuses: u16, tail: &[u8]| {
        let mut v = vec![0x8f, 0xcd, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0];
        v.extend(statuses.to_be_bytes());
        v.extend([0, 0, 0, 0]);
        v.extend(tail);
        v[3] = (v.len() / 4 - 1) as u8;
        v
    };
    let failed = |v: Vec<u8>| packets(&v).next().unwrap().unwrap_err();
    // More statuses than chunks; deltas missing; symbol 3; runs of nothing.
    assert_eq!(failed(head(u16::MAX, &[0, 1, 0, 0])), Malformed::Truncated);
    assert_eq!(failed(head(8000, &[0x3f, 0x40, 0, 0])), Malformed::Truncated);
    assert_eq!(failed(head(1, &[0x60, 1, 0, 0])), Malformed::Forbidden);
    assert_eq!(failed(head(1, &[0, 0, 0, 0])), Malformed::Truncated);
}

#[test]
fn arrivals_too_far_apart_go_into_the_next_feedback() {
    let mut buf = [0; 128];
    let far = [Some(0), None, Some(40_000)];
    assert_eq!(Builder::new(&mut buf).transport(ME, THEM, 0, 0, &far), Some(2));
    assert_eq!(Builder::new(&mut buf).transport(ME, THEM, 0, 0, &[None, None]), None);
    let many = vec![Some(5); MAX + 10];
    assert_eq!(Builder::new(&mut [0; 4096]).transport(ME, THEM, 0, 0, &many), Some(MAX));
    assert_eq!(Builder::new(&mut [0; 64]).transport(ME, THEM, 0, 0, &many), None);
}

const MAX: usize = super::build::MAX_STATUSES;

#[test]
fn packets_after_a_malformed_body_are_still_read() {
    let mut buf = [0; 64];
    let mut b = Builder::new(&mut buf);
    b.packet_for_test();
    b.pli(ME, THEM).unwrap();
    let n = b.len();
    let all: Vec<_> = packets(&buf[..n]).collect();
    assert!(all[0].is_err() && matches!(all[1], Ok(Packet::Pli(_))));
}

impl Builder<'_> {
    /// A PLI without its media source.
    fn packet_for_test(&mut self) {
        self.bye(&[ME]).unwrap();
        self.patch_for_test(0, 0x81);
        self.patch_for_test(1, kind::PAYLOAD_FEEDBACK);
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..120), shape in 0usize..12) {
        // Most random bytes stop at the version; make some of them reach each body.
        let heads = [(0x81, 200), (0x81, 201), (0x82, 202), (0x81, 203), (0x81, 205), (0x8f, 205), (0x81, 206),
            (0x84, 206), (0x8f, 206)];
        if let (Some((first, pt)), true) = (heads.get(shape), bytes.len() >= 4) {
            let words = ((bytes.len() / 4 - 1) as u16).to_be_bytes();
            bytes[..4].copy_from_slice(&[*first, *pt, words[0], words[1]]);
        }
        for packet in packets(&bytes).flatten() {
            match packet {
                Packet::SenderReport(r) => drop(r.blocks.count()),
                Packet::ReceiverReport(r) => drop(r.blocks.count()),
                Packet::Sdes(s) => drop(s.cnames().count()),
                Packet::Bye(b) => drop(b.ssrcs.count()),
                Packet::Nack(n) => drop(n.lost.count()),
                Packet::Fir(f) => drop(f.entries.count()),
                Packet::Remb(r) => drop(r.ssrcs.count()),
                Packet::Transport(t) => prop_assert_eq!(t.arrivals().count(), usize::from(t.statuses)),
                Packet::Pli(_) | Packet::Other { .. } => {}
            }
        }
    }

    #[test]
    fn any_arrivals_read_back(base in any::<u16>(), start in 0i64..1_000_000_000,
        steps in proptest::collection::vec(proptest::option::of(-300i64..600), 0..300)) {
        let mut at = start;
        let mut arrivals = vec![Some(start)];
        arrivals.extend(steps.iter().map(|s| s.map(|s| { at += s; at })));
        let mut buf = [0; 2048];
        let mut b = Builder::new(&mut buf);
        prop_assert_eq!(b.transport(ME, THEM, 3, base, &arrivals), Some(arrivals.len()));
        let n = b.len();
        let Packet::Transport(t) = one(&buf[..n]) else { panic!() };
        let read: Vec<_> = t.arrivals().collect();
        prop_assert_eq!(read.len(), arrivals.len());
        // The reference time has 24 bits of 64 ms: compare from the first arrival on.
        let shift = start - read[0].1.unwrap();
        for (i, (seq, arrival)) in read.into_iter().enumerate() {
            prop_assert_eq!(seq, base.wrapping_add(i as u16));
            prop_assert_eq!(arrival.map(|a| a + shift), arrivals[i]);
        }
    }
}
