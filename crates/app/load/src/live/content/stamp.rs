//! The time in each picture.

use std::time::Duration;

use memchr::memmem;

/// What tells a stamp from other user data: random, and without zeros, which would have to be escaped.
pub(super) const UUID: [u8; 16] =
    [0x9d, 0x1e, 0x57, 0xc3, 0x2a, 0x6b, 0x4f, 0x8e, 0xb1, 0x74, 0x3c, 0xe9, 0x62, 0xd8, 0x15, 0xaf];
/// Hexadecimal digits of the time and of the number.
const TIME: usize = 16;
const NUMBER: usize = 8;
pub(super) const LEN: usize = UUID.len() + TIME + NUMBER;
/// Where in a tag's body a stamp is looked for.
const WITHIN: usize = 256;

/// When a picture was sent, and which of its stream it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Since 1970, to the microsecond.
    pub(crate) at: Duration,
    pub(crate) number: u32,
}

impl Stamp {
    pub(super) fn bytes(self) -> [u8; LEN] {
        let text = format!("{:016x}{:08x}", self.at.as_micros() as u64, self.number);
        let mut bytes = [b'0'; LEN];
        for (byte, value) in bytes.iter_mut().zip(UUID.iter().chain(text.as_bytes())) {
            *byte = *value;
        }
        bytes
    }

    /// The stamp near the beginning of a tag's body.
    pub(crate) fn find(body: &[u8]) -> Option<Self> {
        let head = body.get(..WITHIN).unwrap_or(body);
        let at = memmem::find(head, &UUID)?;
        Self::read(body.get(at + UUID.len()..)?)
    }

    fn read(digits: &[u8]) -> Option<Self> {
        let hex = |digits: Option<&[u8]>| u64::from_str_radix(std::str::from_utf8(digits?).ok()?, 16).ok();
        let micros = hex(digits.get(..TIME))?;
        let number = hex(digits.get(TIME..TIME + NUMBER))?;
        Some(Self { at: Duration::from_micros(micros), number: number as u32 })
    }
}

/// Finds stamps in bytes that come in pieces, whatever container they are in.
#[derive(Debug, Default)]
pub(crate) struct Finder {
    /// The end of what came before: less than a stamp.
    rest: Vec<u8>,
}

impl Finder {
    pub(crate) fn push(&mut self, bytes: &[u8], mut found: impl FnMut(Stamp)) {
        let mut all = std::mem::take(&mut self.rest);
        all.extend_from_slice(bytes);
        let mut from = 0;
        while let Some(at) = all.get(from..).and_then(|rest| memmem::find(rest, &UUID)) {
            let begin = from + at;
            if all.len() < begin + LEN {
                from = begin;
                break;
            }
            if let Some(stamp) = all.get(begin + UUID.len()..).and_then(Stamp::read) {
                found(stamp);
            }
            from = begin + UUID.len();
        }
        let keep = from.max(all.len().saturating_sub(LEN - 1));
        self.rest = all.split_off(keep.min(all.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_found_wherever_the_pieces_end() {
        let stamps: Vec<Stamp> = (0..5)
            .map(|number| Stamp { at: Duration::from_micros(u64::from(number) * 977), number })
            .collect();
        let mut bytes = vec![7; 3];
        for stamp in &stamps {
            bytes.extend(stamp.bytes());
            bytes.extend(vec![0x9d; stamp.number as usize * 30]);
        }
        for size in 1..bytes.len() {
            let (mut finder, mut found) = (Finder::default(), Vec::new());
            bytes.chunks(size).for_each(|piece| finder.push(piece, |stamp| found.push(stamp)));
            assert_eq!(found, stamps, "in pieces of {size}");
        }
    }

    #[test]
    fn what_only_looks_like_a_stamp_is_none() {
        let mut torn = Stamp { at: Duration::ZERO, number: 1 }.bytes();
        torn[20] = b'x';
        assert_eq!(Stamp::find(&torn), None);
        assert_eq!(Stamp::find(&UUID), None);
        assert_eq!(Stamp::find(&[]), None);
    }
}
