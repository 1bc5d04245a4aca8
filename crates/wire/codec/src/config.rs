//! Decoder configuration records: what a track's codec says before its first frame.
//!
//! Owns: `avcC` and `hvcC` (ISO/IEC 14496-15) with the parameter sets in them, `av1C` (AV1 in ISOBMFF section
//! 2.3) with its sequence header, `vpcC`, `AudioSpecificConfig` (ISO/IEC 14496-3 section 1.6.2.1) and Opus'
//! identification header (RFC 7845 section 5.1), as far as a picture's size, the form of sound and the names
//! of RFC 6381 need them; and bringing a record up to date with parameter sets inside pictures.

mod audio;
mod name;
mod parameters;
mod picture;
mod samples;
#[cfg(test)]
mod tests;

pub use name::name;
pub use parameters::updated;
pub use samples::samples;

use crate::{Kind, Malformed};

/// What a record says of what is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Pixels as shown, cropped.
    Video { width: u32, height: u32 },
    /// Samples a second of each channel. HE-AAC counts what is decoded with its extensions.
    Audio { rate: u32, channels: u8 },
}

/// Reads the record of codec `kind`, without a box header around it; of `vpcC` with version and flags, as
/// Enhanced RTMP has it. VP8, VP9 and MP3 say the form in their frames, never here.
pub fn format(kind: Kind, config: &[u8]) -> Result<Format, Malformed> {
    match kind {
        Kind::H264 => picture::h264(config),
        Kind::H265 => picture::h265(config),
        Kind::Av1 => picture::av1(config),
        Kind::Aac => audio::aac(config),
        Kind::Opus => audio::opus(config),
        _ => Err(Malformed::Forbidden),
    }
}
