//! RTP and RTCP: parse, build and rewrite without copies; typed ids and units.
//!
//! Owns: the packet formats of RFC 3550 and the header extensions and feedback messages that WebRTC adds.
//! Knows nothing of encryption, of negotiation (ids and payload types are passed in) or of streams over
//! time, except for [`seq`], which counts sequence numbers on past their wrap.
//!
//! Readers borrow the packet and take any bytes without a panic; writers fill memory of the caller's.

pub mod dd;
pub mod ext;
mod header;
mod ids;
pub mod rtcp;
pub mod seq;
mod write;

pub use ext::Extensions;
pub use header::{Form, Header, View};
pub use ids::{Bitrate, Label, Mid, Pt, Rid, Ssrc};
pub use write::{Fields, Writer, pad, read_rtx, rewrite_fixed};

/// Why bytes are no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// They end before a field does.
    #[error("packet ends inside a field")]
    Truncated,
    /// Not RTP version 2.
    #[error("version is not 2")]
    Version,
    /// The padding count is zero or longer than what it pads.
    #[error("padding is longer than the packet")]
    Padding,
    /// A length field points out of its packet.
    #[error("length points out of the packet")]
    Length,
    /// A field has a value that its format forbids.
    #[error("field has a forbidden value")]
    Forbidden,
}

/// Tells RTCP from RTP in a datagram that is one of the two: the packet type, RFC 5761 section 4.
pub fn is_rtcp(datagram: &[u8]) -> bool {
    datagram.get(1).is_some_and(|pt| (192..=223).contains(pt))
}
