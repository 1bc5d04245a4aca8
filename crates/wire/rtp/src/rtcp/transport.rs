//! Transport-wide feedback: draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1.

use std::time::Duration;

use super::word;
use crate::{Malformed, Ssrc};

/// Resolution of arrival times.
pub const TICK: Duration = Duration::from_micros(250);
/// Ticks in a unit of the reference time (64 ms).
pub(super) const REFERENCE_TICKS: i64 = 256;

/// When the packets of a transport arrived.
#[derive(Debug, Clone)]
pub struct TransportFeedback<'a> {
    /// Who reports.
    pub sender: Ssrc,
    /// Any stream of the transport.
    pub media: Ssrc,
    /// Counts feedback packets.
    pub count: u8,
    /// Transport-wide number of the first packet reported.
    pub base_seq: u16,
    /// Packets reported, arrived or not.
    pub statuses: u16,
    /// Reference time in units of 64 ms, 24 bits, signed.
    pub reference: i32,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

impl<'a> TransportFeedback<'a> {
    pub(super) fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        let (sender, media) = (Ssrc(word(body, 0)?), Ssrc(word(body, 4)?));
        let (first, second) = (word(body, 8)?, word(body, 12)?);
        let statuses = first as u16;
        let rest = body.get(16..).unwrap_or_default();
        // Chunks come first and say how many they are only by what they cover. They are counted and not their
        // statuses, of which two bytes may say 8191.
        let mut behind = rest;
        let mut left = statuses;
        let mut delta_len = 0;
        while left > 0 {
            let (&chunk, tail) = behind.split_first_chunk::<2>().ok_or(Malformed::Truncated)?;
            behind = tail;
            let (count, deltas) = measure(u16::from_be_bytes(chunk), left)?;
            left -= count;
            delta_len += deltas;
        }
        let (chunks, deltas) = rest.split_at(rest.len() - behind.len());
        if deltas.len() < delta_len {
            return Err(Malformed::Truncated);
        }
        Ok(Self {
            sender,
            media,
            count: second as u8,
            base_seq: (first >> 16) as u16,
            statuses,
            reference: second as i32 >> 8,
            chunks,
            deltas,
        })
    }

    /// `(transport-wide number, arrival)`: arrivals in [`TICK`]s on the receiver's clock, whose zero is
    /// that of [`TransportFeedback::reference`]; `None` did not arrive.
    pub fn arrivals(&self) -> Arrivals<'a> {
        Arrivals {
            symbols: Symbols::new(self.chunks, self.statuses),
            deltas: self.deltas,
            seq: self.base_seq,
            at: i64::from(self.reference) * REFERENCE_TICKS,
        }
    }
}

/// Status symbols: how long a packet's delta is. 3 is reserved.
fn delta_len_of(symbol: u8) -> Result<usize, Malformed> {
    match symbol {
        0..=2 => Ok(usize::from(symbol)),
        _ => Err(Malformed::Forbidden),
    }
}

/// Of a chunk's statuses, of which `left` count: how many, and the bytes of their deltas.
fn measure(chunk: u16, left: u16) -> Result<(u16, usize), Malformed> {
    match chunk >> 14 {
        0 | 1 => {
            let count = (chunk & 0x1fff).min(left);
            let each = if count == 0 { 0 } else { delta_len_of((chunk >> 13) as u8 & 3)? };
            Ok((count, usize::from(count) * each))
        }
        2 => {
            let count = left.min(14);
            Ok((count, ((chunk & 0x3fff) >> (14 - count)).count_ones() as usize))
        }
        _ => {
            let count = left.min(7);
            let symbol = |n: u16| (chunk >> (2 * (6 - n))) as u8 & 3;
            let lengths = (0..count).map(|n| delta_len_of(symbol(n)));
            Ok((count, lengths.sum::<Result<usize, Malformed>>()?))
        }
    }
}

/// Iterates over packets and their arrivals.
#[derive(Debug, Clone)]
pub struct Arrivals<'a> {
    symbols: Symbols<'a>,
    deltas: &'a [u8],
    seq: u16,
    at: i64,
}

impl Iterator for Arrivals<'_> {
    type Item = (u16, Option<i64>);

    fn next(&mut self) -> Option<Self::Item> {
        let symbol = self.symbols.next()?;
        let seq = self.seq;
        self.seq = seq.wrapping_add(1);
        let delta = match (symbol, self.deltas) {
            (1, &[small, ref rest @ ..]) => {
                self.deltas = rest;
                i64::from(small)
            }
            (2, &[high, low, ref rest @ ..]) => {
                self.deltas = rest;
                i64::from(i16::from_be_bytes([high, low]))
            }
            _ => return Some((seq, None)),
        };
        self.at += delta;
        Some((seq, Some(self.at)))
    }
}

/// Iterates over status symbols.
#[derive(Debug, Clone)]
struct Symbols<'a> {
    /// Chunks not begun.
    chunks: &'a [u8],
    /// Statuses still to come.
    left: u16,
    chunk: u16,
    /// Symbols left in `chunk`.
    in_chunk: u16,
}

impl<'a> Symbols<'a> {
    fn new(chunks: &'a [u8], left: u16) -> Self {
        Self { chunks, left, chunk: 0, in_chunk: 0 }
    }
}

impl Iterator for Symbols<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        if self.left == 0 {
            return None;
        }
        while self.in_chunk == 0 {
            let (&chunk, rest) = self.chunks.split_first_chunk::<2>()?;
            self.chunks = rest;
            self.chunk = u16::from_be_bytes(chunk);
            self.in_chunk = match self.chunk >> 14 {
                0 | 1 => self.chunk & 0x1fff,
                2 => 14,
                _ => 7,
            };
        }
        self.left -= 1;
        self.in_chunk -= 1;
        Some(match self.chunk >> 14 {
            0 | 1 => (self.chunk >> 13) as u8 & 3,
            2 => (self.chunk >> self.in_chunk) as u8 & 1,
            _ => (self.chunk >> (2 * self.in_chunk)) as u8 & 3,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whole chunks say the same as their statuses one by one.
        #[test]
        fn chunks_are_measured_as_they_are_read(chunk in any::<u16>(), left in 1u16..20_000) {
            let bytes = chunk.to_be_bytes();
            let read: Vec<u8> = Symbols::new(&bytes, left).collect();
            let lengths: Result<Vec<usize>, _> = read.iter().map(|s| delta_len_of(*s)).collect();
            match (measure(chunk, left), lengths) {
                (Ok((count, deltas)), Ok(lengths)) => {
                    prop_assert_eq!(usize::from(count), read.len());
                    prop_assert_eq!(deltas, lengths.iter().sum::<usize>());
                }
                (Err(_), Err(_)) => {}
                (ours, theirs) => prop_assert!(false, "{ours:?} {theirs:?}"),
            }
        }
    }
}
