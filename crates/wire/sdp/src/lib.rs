//! The session description: model, parser, writer.
//!
//! Owns: the SDP of WebRTC (RFC 8866, RFC 8829) as values: sections and their transport, payloads, header
//! extensions, streams, simulcast and data channels. Knows nothing of offers, answers, codecs worth
//! having, or LiveKit: what to put into a description is the caller's business.
//!
//! The parser is tolerant where browsers differ (line ends, order, attributes it does not know are kept
//! as text) and strict where a wrong value would mislead (a malformed `rtpmap` is an error with its line
//! number). [`Limits`] bound what a description may cost.

mod attribute;
mod candidate;
mod error;
mod media;
mod parse;
mod session;
mod write;

pub use attribute::{Attribute, Direction, Fingerprint, Setup};
pub use candidate::{Address, Candidate, CandidateError, CandidateKind, Protocol, TcpKind};
pub use error::{Error, ErrorKind};
pub use media::{
    Alternatives, Extension, Extmap, Feedback, Fmtp, Msid, Payload, RidLine, RidRef, Rtp, Simulcast,
    SsrcGroup, SsrcLine, Way,
};
pub use parse::{Limits, parse};
pub use session::{Data, Group, Ice, Kind, Origin, Section, Session, Transport};

#[cfg(test)]
mod tests;
