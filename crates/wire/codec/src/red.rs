//! Redundant audio, RFC 2198 section 3.

use crate::{Malformed, byte};

/// Most significant bit of a block's header: another block follows.
const MORE: u8 = 0x80;

/// Blocks in one payload: browsers send one or two old ones and the primary. A longer list is refused.
const MAX_BLOCKS: usize = 32;

/// One block of a RED payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block<'a> {
    /// Payload type of the block.
    pub pt: u8,
    /// How much older than the packet's timestamp it is; 0 for the primary.
    pub timestamp_offset: u16,
    /// The block's own payload.
    pub data: &'a [u8],
}

/// The blocks of a payload, oldest first, the primary last.
#[derive(Debug, Clone)]
pub struct Blocks<'a> {
    headers: &'a [u8],
    data: &'a [u8],
}

impl<'a> Blocks<'a> {
    /// Checks that all headers and lengths fit.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut at = 0;
        let mut redundant = 0;
        for _ in 0..MAX_BLOCKS {
            if byte(payload, at)? & MORE == 0 {
                let (headers, data) = payload.split_at(at + 1);
                if data.len() < redundant {
                    return Err(Malformed::Truncated);
                }
                return Ok(Self { headers, data });
            }
            let low = byte(payload, at + 3)?;
            redundant += usize::from(byte(payload, at + 2)? & 0x03) << 8 | usize::from(low);
            at += 4;
        }
        Err(Malformed::Forbidden)
    }

    /// The newest block.
    pub fn primary(self) -> Option<Block<'a>> {
        self.last()
    }
}

/// Gives the blocks of a payload that carry type `from` the type `to`: what is inside has a payload type of
/// its own, which every receiver numbers as it likes. The payload is one that [`Blocks::parse`] has taken.
pub fn renumber(payload: &mut [u8], from: u8, to: u8) {
    for at in (0..payload.len()).step_by(4).take(MAX_BLOCKS) {
        let Some(header) = payload.get_mut(at) else { return };
        let more = *header & MORE;
        if *header & !MORE == from {
            *header = more | to & !MORE;
        }
        if more == 0 {
            return;
        }
    }
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Block<'a>;

    fn next(&mut self) -> Option<Block<'a>> {
        match *self.headers {
            [f, o, l, n, ref rest @ ..] if f & MORE != 0 => {
                self.headers = rest;
                let offset = u16::from(o) << 6 | u16::from(l >> 2);
                let len = usize::from(l & 0x03) << 8 | usize::from(n);
                let (data, after) = self.data.split_at_checked(len)?;
                self.data = after;
                Some(Block { pt: f & 0x7f, timestamp_offset: offset, data })
            }
            [pt] => {
                self.headers = &[];
                Some(Block { pt, timestamp_offset: 0, data: self.data })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by hand after RFC 2198 section 3: one old block of 3 bytes, 960 samples ago, and the primary.
    const TWO: [u8; 10] = [0xef, 0x0f, 0x00, 0x03, 0x6f, 1, 2, 3, 4, 5];

    #[test]
    fn blocks_come_oldest_first() {
        let all: Vec<_> = Blocks::parse(&TWO).unwrap().collect();
        assert_eq!(all[0], Block { pt: 111, timestamp_offset: 960, data: &[1, 2, 3] });
        assert_eq!(all[1], Block { pt: 111, timestamp_offset: 0, data: &[4, 5] });
        assert_eq!(all.len(), 2);
        assert_eq!(Blocks::parse(&TWO).unwrap().primary().unwrap().data, [4, 5]);
    }

    #[test]
    fn blocks_are_renumbered_where_they_stand() {
        let mut payload = TWO;
        renumber(&mut payload, 111, 96);
        let all: Vec<_> = Blocks::parse(&payload).unwrap().collect();
        assert_eq!(all[0], Block { pt: 96, timestamp_offset: 960, data: &[1, 2, 3] });
        assert_eq!(all[1], Block { pt: 96, timestamp_offset: 0, data: &[4, 5] });
        // A block of something else keeps its type, and data that looks like a header is none.
        let mut mixed = [0x80 | 13, 0, 0, 1, 111, 0x80 | 111, 111, 111, 111];
        renumber(&mut mixed, 111, 96);
        assert_eq!(mixed, [0x80 | 13, 0, 0, 1, 96, 0x80 | 111, 111, 111, 111]);
        // What is no list of blocks stays in its bounds.
        for len in 0..9 {
            renumber(&mut vec![0xff; len], 127, 1);
        }
    }

    #[test]
    fn cut_blocks_are_errors() {
        for n in 0..8 {
            assert_eq!(Blocks::parse(&TWO[..n]).err(), Some(Malformed::Truncated), "at {n}");
        }
        assert_eq!(Blocks::parse(&[0x80; 200]).err(), Some(Malformed::Forbidden));
    }
}
