//! SRTP and SRTCP: contexts, profiles and replay windows.
//!
//! Owns: key derivation (RFC 3711 section 4.3), AES-CM with HMAC-SHA1 (RFC 3711) and AES-GCM (RFC 7714),
//! rollover counters and replay windows per SSRC. Packets are opened and sealed in place, without
//! allocation. Knows nothing of DTLS beyond the layout of the keying material it exports (RFC 5764
//! section 4.2), and nothing of what a packet carries.
//!
//! [`contexts`] makes the two halves of a transport: [`Inbound`] opens what the far end sealed,
//! [`Outbound`] seals. An SSRC enters `Inbound`'s bounded tables only after a packet of it has been
//! authenticated, so that forged packets cost no memory.

mod cipher;
mod inbound;
mod keys;
mod outbound;
mod profile;
mod table;
mod window;

pub use inbound::{Inbound, Reject};
pub use keys::{KeyError, Role, contexts};
pub use outbound::{Outbound, Repeats, SealError, StreamIndex};
pub use profile::Profile;

/// SSRCs whose replay windows one [`Inbound`] keeps, for RTP and for RTCP each: beyond it the one that was silent for
/// longest is forgotten. A hundred publications of simulcast with RTX fit; each costs about 150 bytes.
pub const MAX_INBOUND_SSRCS: usize = 1024;

/// SSRCs that one [`Outbound`] ever seals with, closed ones included: a closed one is remembered in eight
/// bytes, because its packet indices must never be used again under the same key.
pub const MAX_OUTBOUND_SSRCS: usize = 65_536;

/// RTP's fixed header, RFC 3550 section 5.1.
const RTP_HEADER: usize = 12;
/// The part of an RTCP packet that stays in the clear, RFC 3711 section 3.4.
const RTCP_HEADER: usize = 8;
/// E flag and SRTCP index, RFC 3711 section 3.4.
const RTCP_TRAILER: usize = 4;
/// Set in the trailer of an encrypted SRTCP packet, RFC 3711 section 3.4.
const RTCP_ENCRYPTED: u32 = 1 << 31;

#[cfg(test)]
mod tests;
