//! Redundant audio, RFC 2198 section 3.

use crate::{Malformed, byte};

/// Most significant bit of a block's header: another block follows.
const MORE: u8 = 0x80;

/// Blocks in one payload: browsers send one or two old ones and the primary. A longer list is refused.
const MAX_BLOCKS: usize = 32;

/// Bytes of the header of an old block; that of the primary is one.
const OLD_HEADER: usize = 4;
/// How much older a block can be said to be: 14 bits.
const MAX_OFFSET: u16 = (1 << 14) - 1;
/// Bytes of an old block: 10 bits.
const MAX_OLD: usize = (1 << 10) - 1;

/// One block of a RED payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Block<'a> {
    /// Payload type of the block.
    pub pt: u8,
    /// How much older than the packet's timestamp it is; 0 for the primary.
    pub timestamp_offset: u16,
    /// The block's own payload.
    pub data: &'a [u8],
}

impl Block<'_> {
    /// Whether it can go before a newer one: its age and its length have places of so many bits.
    pub fn fits_as_old(&self) -> bool {
        self.timestamp_offset <= MAX_OFFSET && self.data.len() <= MAX_OLD
    }

    /// Bytes that it takes before a newer one.
    pub fn len_as_old(&self) -> usize {
        OLD_HEADER + self.data.len()
    }
}

/// Writes a payload of these blocks, oldest first, the primary last; its length. `None` if `out` is too short, or a
/// block cannot be described.
pub fn write(old: &[Block<'_>], primary: &Block<'_>, out: &mut [u8]) -> Option<usize> {
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        let end = at + bytes.len();
        out.get_mut(at..end)?.copy_from_slice(bytes);
        at = end;
        Some(at)
    };
    for block in old {
        block.fits_as_old().then_some(())?;
        let offset_and_length = u32::from(block.timestamp_offset) << 10 | block.data.len() as u32;
        put(&(u32::from(MORE | block.pt) << 24 | offset_and_length).to_be_bytes())?;
    }
    put(&[primary.pt & !MORE])?;
    for block in old {
        put(block.data)?;
    }
    put(primary.data)
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
    fn written_blocks_read_back_and_what_has_no_place_is_refused() {
        let primary = Block { pt: 111, timestamp_offset: 0, data: &[4, 5] };
        let old = Block { timestamp_offset: 960, data: &[1, 2, 3], ..primary };
        let mut out = [0; 10];
        assert_eq!(write(&[old], &primary, &mut out), Some(10));
        assert_eq!(out, TWO);
        assert_eq!((write(&[], &primary, &mut out), out[..3].to_vec()), (Some(3), vec![111, 4, 5]));
        for n in 0..10 {
            assert_eq!(write(&[old], &primary, &mut out[..n]), None, "into {n}");
        }
        let most = Block { timestamp_offset: MAX_OFFSET, data: &[7; MAX_OLD], ..primary };
        let mut out = [0; 2100];
        let len = write(&[most, most], &primary, &mut out).unwrap();
        assert_eq!(len, 2 * most.len_as_old() + 3);
        assert_eq!(Blocks::parse(&out[..len]).unwrap().collect::<Vec<_>>(), [most, most, primary]);
        for beyond in
            [Block { timestamp_offset: MAX_OFFSET + 1, ..old }, Block { data: &[0; MAX_OLD + 1], ..old }]
        {
            assert!(!beyond.fits_as_old());
            assert_eq!(write(&[beyond], &primary, &mut out), None);
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
