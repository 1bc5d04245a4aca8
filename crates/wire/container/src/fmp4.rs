//! Fragmented MP4 (ISO/IEC 14496-12), as HLS and Media Source Extensions take it.
//!
//! Owns: the initialisation segment with its sample entries, and fragments: one `moof` with the `mdat` behind it,
//! which carries the samples of all tracks of a stretch of time. Writes only. A track's configuration record
//! goes in as its publisher sent it. Times are absolute, so fragments can be had in any order.

mod boxes;
mod entry;
mod fragment;
mod init;
#[cfg(test)]
mod tests;

pub use fragment::{Run, Sample, fragment};
pub use init::{Audio, Unfit, Video, init};

/// Units of a video track's times in a second; those of sound are its samples.
pub const VIDEO_SCALE: u32 = 90_000;
