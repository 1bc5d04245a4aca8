//! Reports, source descriptions and goodbyes, RFC 3550 sections 6.4 to 6.6.

use super::{Ssrcs, word};
use crate::{Malformed, Ssrc};

/// What a sender says about its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderInfo {
    /// The stream.
    pub ssrc: Ssrc,
    /// Wall clock of the report, NTP 32.32.
    pub ntp: u64,
    /// The same moment on the stream's RTP clock.
    pub rtp_timestamp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Payload bytes sent.
    pub octets: u32,
}

/// SR
#[derive(Debug, Clone)]
pub struct SenderReport<'a> {
    /// The sender's own part.
    pub info: SenderInfo,
    /// What it says about what it receives.
    pub blocks: Blocks<'a>,
}

impl<'a> SenderReport<'a> {
    pub(super) fn read(count: u8, body: &'a [u8]) -> Result<Self, Malformed> {
        let info = SenderInfo {
            ssrc: Ssrc(word(body, 0)?),
            ntp: u64::from(word(body, 4)?) << 32 | u64::from(word(body, 8)?),
            rtp_timestamp: word(body, 12)?,
            packets: word(body, 16)?,
            octets: word(body, 20)?,
        };
        Ok(Self { info, blocks: Blocks::read(count, body, 24)? })
    }
}

/// RR
#[derive(Debug, Clone)]
pub struct ReceiverReport<'a> {
    /// Who reports.
    pub ssrc: Ssrc,
    /// What it says about what it receives.
    pub blocks: Blocks<'a>,
}

impl<'a> ReceiverReport<'a> {
    pub(super) fn read(count: u8, body: &'a [u8]) -> Result<Self, Malformed> {
        Ok(Self { ssrc: Ssrc(word(body, 0)?), blocks: Blocks::read(count, body, 4)? })
    }
}

/// How one stream is received, RFC 3550 section 6.4.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReportBlock {
    /// The stream.
    pub ssrc: Ssrc,
    /// Share lost since the last report, in 256ths.
    pub fraction_lost: u8,
    /// Packets lost since the start; 24 bits, negative when duplicates prevail.
    pub cumulative_lost: i32,
    /// Highest sequence number with its rounds.
    pub highest_seq: u32,
    /// Interarrival jitter in RTP clock units.
    pub jitter: u32,
    /// Middle 32 bits of the last sender report's NTP time; 0 if there was none.
    pub last_sr: u32,
    /// Time since that report, in 65536ths of a second.
    pub delay_since_last_sr: u32,
}

/// Bytes of a report block.
pub(super) const BLOCK_LEN: usize = 24;

/// Iterates over report blocks.
#[derive(Debug, Clone)]
pub struct Blocks<'a> {
    rest: &'a [[u8; BLOCK_LEN]],
}

impl<'a> Blocks<'a> {
    fn read(count: u8, body: &'a [u8], at: usize) -> Result<Self, Malformed> {
        let len = usize::from(count) * BLOCK_LEN;
        let bytes = body.get(at..at + len).ok_or(Malformed::Truncated)?;
        Ok(Self { rest: bytes.as_chunks().0 })
    }
}

impl Iterator for Blocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (block, rest) = self.rest.split_first()?;
        self.rest = rest;
        let at = |i| word(block, i).unwrap_or(0);
        let lost = at(4);
        Some(ReportBlock {
            ssrc: Ssrc(at(0)),
            fraction_lost: (lost >> 24) as u8,
            // Sign extension of 24 bits.
            cumulative_lost: (lost << 8) as i32 >> 8,
            highest_seq: at(8),
            jitter: at(12),
            last_sr: at(16),
            delay_since_last_sr: at(20),
        })
    }
}

/// Source description; read for its canonical names only.
#[derive(Debug, Clone)]
pub struct Sdes<'a> {
    chunks: u8,
    body: &'a [u8],
}

/// Item type of a canonical name, RFC 3550 section 6.5.1.
pub(super) const CNAME: u8 = 1;

impl<'a> Sdes<'a> {
    pub(super) fn new(chunks: u8, body: &'a [u8]) -> Self {
        Self { chunks, body }
    }

    /// Canonical names as `(source, name)`; ends at the first chunk that does not fit.
    pub fn cnames(&self) -> impl Iterator<Item = (Ssrc, &'a [u8])> + use<'a> {
        let mut rest = self.body;
        let mut left = self.chunks;
        std::iter::from_fn(move || {
            while left > 0 {
                left -= 1;
                let chunk = Chunk::read(rest)?;
                rest = chunk.rest;
                if let Some(name) = chunk.cname {
                    return Some((chunk.ssrc, name));
                }
            }
            None
        })
    }
}

/// What a source says of itself.
struct Chunk<'a> {
    ssrc: Ssrc,
    cname: Option<&'a [u8]>,
    /// What follows the chunk.
    rest: &'a [u8],
}

impl<'a> Chunk<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let ssrc = Ssrc(word(bytes, 0).ok()?);
        let mut cname = None;
        let mut at = 4;
        loop {
            let item = *bytes.get(at)?;
            if item == 0 {
                // The list ends with zeros up to the next 32-bit boundary.
                let end = (at + 1).next_multiple_of(4);
                return Some(Self { ssrc, cname, rest: bytes.get(end..)? });
            }
            let len = usize::from(*bytes.get(at + 1)?);
            let text = bytes.get(at + 2..at + 2 + len)?;
            if item == CNAME {
                cname = cname.or(Some(text));
            }
            at += 2 + len;
        }
    }
}

/// Sources that have ended.
#[derive(Debug, Clone)]
pub struct Bye<'a> {
    /// Which.
    pub ssrcs: Ssrcs<'a>,
}

impl<'a> Bye<'a> {
    pub(super) fn read(count: u8, body: &'a [u8]) -> Result<Self, Malformed> {
        let list = body.get(..4 * usize::from(count)).ok_or(Malformed::Truncated)?;
        Ok(Self { ssrcs: Ssrcs::new(list) })
    }
}
