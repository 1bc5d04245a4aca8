//! Redundant audio (RFC 2198), made of plain payloads and taken out again.
//!
//! Owns: which older payloads go out once more with a packet. They are read from the track's ring, which has them for
//! retransmissions: nothing more is held for it.

use codec::red::{self, Block};
use rtp::Pt;

use crate::packet::Meta;
use crate::ring::Ring;

/// Older payloads that go out once more with each: two packets in a row may be lost.
pub(crate) const REPEATS: usize = 2;

/// Bytes of a payload to which older ones are added: with everything around it, it still is one datagram anywhere.
const MAX_MADE: usize = 1100;

/// Room that making may take beside the payload itself.
pub(crate) const ROOM: usize = MAX_MADE + 1;

/// A publisher's packet, and where it lies: those before it are found there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Content<'a> {
    pub(crate) meta: &'a Meta,
    pub(crate) packet: &'a [u8],
    /// None where the packet is not what is sent.
    pub(crate) ring: Option<&'a Ring>,
}

impl<'a> Content<'a> {
    pub(crate) fn payload(&self) -> &'a [u8] {
        self.meta.payload.of(self.packet)
    }

    /// The payload that stood `back` packets before, as a block: not across a pause, nor another codec.
    fn older(&self, back: u64, inner: Pt) -> Option<Block<'a>> {
        let ring = self.ring?;
        let (meta, packet) = ring.get(ring.find(self.meta.seq.checked_sub(back)?)?)?;
        let offset = u16::try_from(self.meta.timestamp.wrapping_sub(meta.timestamp)).ok()?;
        let block = Block { pt: inner.0, timestamp_offset: offset, data: meta.payload.of(packet) };
        let same = (meta.epoch, meta.codec) == (self.meta.epoch, self.meta.codec);
        (same && offset > 0 && !block.data.is_empty() && block.fits_as_old()).then_some(block)
    }

    /// Writes the payload with those before it, as far as they are there and fit.
    pub(crate) fn write_redundant(&self, inner: Pt, out: &mut [u8]) -> Option<usize> {
        let primary = Block { pt: inner.0, timestamp_offset: 0, data: self.payload() };
        let mut blocks = [Block::default(); REPEATS];
        let (mut first, mut size) = (REPEATS, primary.data.len() + 1);
        for block in (1..=REPEATS as u64).filter_map(|back| self.older(back, inner)) {
            size += block.len_as_old();
            if size > MAX_MADE {
                break;
            }
            first -= 1;
            *blocks.get_mut(first)? = block;
        }
        red::write(blocks.get(first..)?, &primary, out)
    }
}

/// The newest block of redundant audio.
pub(crate) fn primary(payload: &[u8]) -> Option<&[u8]> {
    red::Blocks::parse(payload).ok()?.primary().map(|block| block.data)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::packet::Span;

    /// A ring with packets of these numbers, timestamps and payloads.
    fn ring(packets: &[(u64, u32, &[u8])]) -> Ring {
        let mut ring = Ring::new(Duration::from_secs(1), 1 << 16, usize::MAX);
        for (seq, timestamp, payload) in packets {
            let mut meta = Meta::for_test(Instant::now());
            (meta.seq, meta.timestamp) = (*seq, *timestamp);
            meta.payload = Span { start: 0, len: payload.len() as u16 };
            ring.insert(meta, payload).unwrap();
        }
        ring
    }

    /// What goes out for the packet of a number: ages and payloads, oldest first.
    fn made(ring: &Ring, seq: u64) -> Vec<(u16, Vec<u8>)> {
        let (meta, packet) = ring.get(ring.find(seq).unwrap()).unwrap();
        let mut out = [0; 2000];
        let len = Content { meta, packet, ring: Some(ring) }.write_redundant(Pt(96), &mut out).unwrap();
        let blocks = red::Blocks::parse(&out[..len]).unwrap();
        blocks
            .map(|block| {
                assert_eq!(block.pt, 96);
                (block.timestamp_offset, block.data.to_vec())
            })
            .collect()
    }

    #[test]
    fn two_payloads_go_out_again_oldest_first_over_the_wrap_of_their_timestamps() {
        let at = |n: u32| (u32::MAX - 1000).wrapping_add(n * 960);
        let ring = ring(&[(7, at(0), &[7]), (8, at(1), &[8]), (9, at(2), &[9]), (10, at(3), &[10])]);
        assert_eq!(made(&ring, 7), [(0, vec![7])]);
        assert_eq!(made(&ring, 8), [(960, vec![7]), (0, vec![8])]);
        assert_eq!(made(&ring, 10), [(1920, vec![8]), (960, vec![9]), (0, vec![10])]);
    }

    #[test]
    fn what_is_lost_too_old_empty_or_too_large_is_left_out() {
        // Lost: 3.
        let gap = ring(&[(2, 1920, &[2]), (4, 3840, &[4])]);
        assert_eq!(made(&gap, 4), [(1920, vec![2]), (0, vec![4])]);
        // A pause, in which nothing was said.
        let pause = ring(&[(1, 0, &[1]), (2, 19_200, &[2])]);
        assert_eq!(made(&pause, 2), [(0, vec![2])]);
        // Padding alone; and a packet that has the time of the one before.
        let padding = ring(&[(1, 960, &[1]), (2, 1920, &[]), (3, 1920, &[3]), (4, 1920, &[4])]);
        assert_eq!(made(&padding, 3), [(960, vec![1]), (0, vec![3])]);
        assert_eq!(made(&padding, 4), [(0, vec![4])]);
        let (large, whole) = (vec![1; 600], vec![2; 1300]);
        let music = ring(&[(1, 0, &[0]), (2, 960, &large), (3, 1920, &large), (4, 2880, &whole)]);
        assert_eq!(made(&music, 3), [(0, large.clone())]);
        assert_eq!(made(&music, 4), [(0, whole)]);
    }
}
