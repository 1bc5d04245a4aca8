//! RTCP: reading and building compound packets (RFC 3550 section 6, RFC 4585, RFC 5104, and the two
//! congestion feedback messages that only drafts describe: REMB and transport-wide feedback).
//!
//! Reading is by borrowed iterators; building fills a caller's buffer. Reduced-size packets (RFC 5506) are
//! read like any other.

mod build;
mod feedback;
mod report;
mod transport;

pub use build::{Builder, MAX_STATUSES};
pub use feedback::{Fir, FirEntries, Lost, Nack, Pli, Remb, Ssrcs};
pub use report::{Blocks, Bye, ReceiverReport, ReportBlock, Sdes, SenderInfo, SenderReport};
pub use transport::{Arrivals, TICK, TransportFeedback};

use crate::Malformed;

/// Packet types (RFC 3550 section 12.1, RFC 4585 section 6.1, RFC 3611 section 2).
mod kind {
    pub(super) const SENDER_REPORT: u8 = 200;
    pub(super) const RECEIVER_REPORT: u8 = 201;
    pub(super) const SDES: u8 = 202;
    pub(super) const BYE: u8 = 203;
    pub(super) const TRANSPORT_FEEDBACK: u8 = 205;
    pub(super) const PAYLOAD_FEEDBACK: u8 = 206;
}

/// Feedback message types (RFC 4585 section 6, RFC 5104 section 4.3, transport-wide congestion control).
mod fmt {
    pub(super) const NACK: u8 = 1;
    pub(super) const TRANSPORT_CC: u8 = 15;
    pub(super) const PLI: u8 = 1;
    pub(super) const FIR: u8 = 4;
    /// Application layer feedback, which REMB hides in.
    pub(super) const APPLICATION: u8 = 15;
}

/// One packet of a compound.
#[derive(Debug, Clone)]
pub enum Packet<'a> {
    /// SR
    SenderReport(SenderReport<'a>),
    /// RR
    ReceiverReport(ReceiverReport<'a>),
    /// Source description.
    Sdes(Sdes<'a>),
    /// Sources that have ended.
    Bye(Bye<'a>),
    /// Generic NACK.
    Nack(Nack<'a>),
    /// Picture loss indication.
    Pli(Pli),
    /// Full intra request.
    Fir(Fir<'a>),
    /// Receiver estimated maximum bitrate.
    Remb(Remb<'a>),
    /// Transport-wide arrival times.
    Transport(TransportFeedback<'a>),
    /// Anything else (XR, APP, other feedback).
    Other {
        /// Packet type.
        kind: u8,
        /// The five bits of count or format.
        fmt: u8,
    },
}

/// Iterates over a compound. A packet with a malformed body is one `Err` and the next one follows; after a
/// length that points out of the datagram nothing follows.
#[derive(Debug, Clone)]
pub struct Packets<'a> {
    rest: &'a [u8],
}

/// Reads a decrypted datagram.
pub fn packets(datagram: &[u8]) -> Packets<'_> {
    Packets { rest: datagram }
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match Raw::split_off(&mut self.rest) {
            Ok(raw) => Some(raw.read()),
            Err(e) => {
                self.rest = &[];
                Some(Err(e))
            }
        }
    }
}

/// A packet whose body is not read yet.
struct Raw<'a> {
    fmt: u8,
    kind: u8,
    /// Without padding.
    body: &'a [u8],
}

impl<'a> Raw<'a> {
    fn split_off(bytes: &mut &'a [u8]) -> Result<Self, Malformed> {
        let Some((&[first, kind, l0, l1], after)) = bytes.split_first_chunk::<4>() else {
            return Err(Malformed::Truncated);
        };
        if first >> 6 != 2 {
            return Err(Malformed::Version);
        }
        let len = 4 * usize::from(u16::from_be_bytes([l0, l1]));
        let (mut body, rest) = after.split_at_checked(len).ok_or(Malformed::Length)?;
        if first & 0x20 != 0 {
            let count = usize::from(*body.last().ok_or(Malformed::Padding)?);
            let kept = body.len().checked_sub(count).filter(|_| count != 0).ok_or(Malformed::Padding)?;
            body = body.get(..kept).unwrap_or_default();
        }
        *bytes = rest;
        Ok(Self { fmt: first & 0x1f, kind, body })
    }

    fn read(self) -> Result<Packet<'a>, Malformed> {
        let Self { fmt, kind, body } = self;
        Ok(match (kind, fmt) {
            (kind::SENDER_REPORT, _) => Packet::SenderReport(SenderReport::read(fmt, body)?),
            (kind::RECEIVER_REPORT, _) => Packet::ReceiverReport(ReceiverReport::read(fmt, body)?),
            (kind::SDES, _) => Packet::Sdes(Sdes::new(fmt, body)),
            (kind::BYE, _) => Packet::Bye(Bye::read(fmt, body)?),
            (kind::TRANSPORT_FEEDBACK, fmt::NACK) => Packet::Nack(Nack::read(body)?),
            (kind::TRANSPORT_FEEDBACK, fmt::TRANSPORT_CC) => {
                Packet::Transport(TransportFeedback::read(body)?)
            }
            (kind::PAYLOAD_FEEDBACK, fmt::PLI) => Packet::Pli(Pli::read(body)?),
            (kind::PAYLOAD_FEEDBACK, fmt::FIR) => Packet::Fir(Fir::read(body)?),
            (kind::PAYLOAD_FEEDBACK, fmt::APPLICATION) if Remb::is(body) => Packet::Remb(Remb::read(body)?),
            _ => Packet::Other { kind, fmt },
        })
    }
}

/// Reads the 32-bit number at `at`.
fn word(body: &[u8], at: usize) -> Result<u32, Malformed> {
    let four = body.get(at..at + 4).and_then(|b| b.first_chunk::<4>()).ok_or(Malformed::Truncated)?;
    Ok(u32::from_be_bytes(*four))
}

#[cfg(test)]
mod tests;
