//! Feedback about lost packets and pictures, and about bitrate.

use super::word;
use crate::{Bitrate, Malformed, Ssrc};

/// Iterates over SSRCs.
#[derive(Debug, Clone)]
pub struct Ssrcs<'a> {
    rest: &'a [[u8; 4]],
}

impl<'a> Ssrcs<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes.as_chunks().0 }
    }
}

impl Iterator for Ssrcs<'_> {
    type Item = Ssrc;

    fn next(&mut self) -> Option<Ssrc> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(Ssrc(u32::from_be_bytes(*first)))
    }
}

/// Packets that did not come, RFC 4585 section 6.2.1.
#[derive(Debug, Clone)]
pub struct Nack<'a> {
    /// Who asks.
    pub sender: Ssrc,
    /// Whose packets.
    pub media: Ssrc,
    /// Which.
    pub lost: Lost<'a>,
}

impl<'a> Nack<'a> {
    pub(super) fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        let (sender, media) = (Ssrc(word(body, 0)?), Ssrc(word(body, 4)?));
        let entries = body.get(8..).unwrap_or_default().as_chunks().0;
        Ok(Self { sender, media, lost: Lost { entries, pid: 0, mask: 0 } })
    }
}

/// Iterates over lost sequence numbers, in the order asked.
#[derive(Debug, Clone)]
pub struct Lost<'a> {
    entries: &'a [[u8; 4]],
    /// Number that bit 0 of `mask` stands for.
    pid: u16,
    mask: u32,
}

impl Iterator for Lost<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        if self.mask == 0 {
            let (&[p0, p1, b0, b1], rest) = self.entries.split_first()?;
            self.entries = rest;
            self.pid = u16::from_be_bytes([p0, p1]);
            self.mask = u32::from(u16::from_be_bytes([b0, b1])) << 1 | 1;
        }
        let skip = self.mask.trailing_zeros();
        let seq = self.pid.wrapping_add(skip as u16);
        self.mask &= self.mask - 1;
        Some(seq)
    }
}

/// A picture is lost: a key frame is wanted, RFC 4585 section 6.3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pli {
    /// Who asks.
    pub sender: Ssrc,
    /// Of which stream.
    pub media: Ssrc,
}

impl Pli {
    pub(super) fn read(body: &[u8]) -> Result<Self, Malformed> {
        Ok(Self { sender: Ssrc(word(body, 0)?), media: Ssrc(word(body, 4)?) })
    }
}

/// A key frame is wanted, RFC 5104 section 4.3.1.
#[derive(Debug, Clone)]
pub struct Fir<'a> {
    /// Who asks.
    pub sender: Ssrc,
    /// Of which streams.
    pub entries: FirEntries<'a>,
}

impl<'a> Fir<'a> {
    pub(super) fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        let sender = Ssrc(word(body, 0)?);
        let entries = body.get(8..).ok_or(Malformed::Truncated)?.as_chunks().0;
        Ok(Self { sender, entries: FirEntries { rest: entries } })
    }
}

/// Iterates over `(stream, command number)`; a repeated number is a repeated request.
#[derive(Debug, Clone)]
pub struct FirEntries<'a> {
    rest: &'a [[u8; 8]],
}

impl Iterator for FirEntries<'_> {
    type Item = (Ssrc, u8);

    fn next(&mut self) -> Option<(Ssrc, u8)> {
        let (&[a, b, c, d, seq, ..], rest) = self.rest.split_first()?;
        self.rest = rest;
        Some((Ssrc(u32::from_be_bytes([a, b, c, d])), seq))
    }
}

/// Receiver estimated maximum bitrate, draft-alvestrand-rmcat-remb-03 section 2.2.
#[derive(Debug, Clone)]
pub struct Remb<'a> {
    /// Who estimates.
    pub sender: Ssrc,
    /// For all of `ssrcs` together.
    pub bitrate: Bitrate,
    /// Streams it is about.
    pub ssrcs: Ssrcs<'a>,
}

/// `REMB` as a number.
pub(super) const REMB_MAGIC: u32 = 0x5245_4d42;

impl<'a> Remb<'a> {
    pub(super) fn is(body: &[u8]) -> bool {
        word(body, 8) == Ok(REMB_MAGIC)
    }

    pub(super) fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        let sender = Ssrc(word(body, 0)?);
        let rate = word(body, 12)?;
        let count = usize::from((rate >> 24) as u8);
        let exponent = (rate >> 18) & 0x3f;
        let mantissa = u64::from(rate & 0x3_ffff);
        // 18 bits shifted by up to 63: what leaves 64 bits is beyond any link.
        let bits = mantissa.checked_shl(exponent).filter(|b| b >> exponent == mantissa);
        let list = body.get(16..16 + 4 * count).ok_or(Malformed::Truncated)?;
        Ok(Self { sender, bitrate: Bitrate(bits.unwrap_or(u64::MAX)), ssrcs: Ssrcs::new(list) })
    }
}
