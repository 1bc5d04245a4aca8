//! Codec headers: what a payload says about its frame.
//!
//! Owns: the RTP payload descriptors and the first bytes of the bitstreams behind them, as far as
//! forwarding needs them: where frames start, which are key frames, which layer they belong to, and the
//! running ids that must be rewritten when a subscriber is switched. Knows nothing of RTP headers, of
//! streams over time, or of decoding.
//!
//! Every parser takes untrusted bytes, reads no further than the descriptor, and allocates nothing.
//! [`config`] reads the records that stand before a stream's first frame; only its names allocate.

pub mod av1;
mod bits;
pub mod config;
pub mod h264;
pub mod h265;
mod kind;
pub mod mp3;
pub mod opus;
pub mod red;
mod summary;
pub mod trailer;
pub mod vp8;
pub mod vp9;

pub use kind::Kind;
pub use summary::{Summary, inspect};

/// The payload does not hold what its format says it must.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It ends inside a descriptor.
    #[error("payload ends inside its descriptor")]
    Truncated,
    /// A field has a value that the format forbids.
    #[error("payload descriptor has a forbidden value")]
    Forbidden,
}

/// Reads the byte at `at`.
pub(crate) fn byte(payload: &[u8], at: usize) -> Result<u8, Malformed> {
    payload.get(at).copied().ok_or(Malformed::Truncated)
}
