//! How long a block of sound is.

use super::audio::{object_type, rate};
use crate::bits::Bits;
use crate::{Kind, Malformed, mp3, opus};

/// The samples of a block of sound, and how many of those there are in a second. HE-AAC counts those of its
/// core, which last twice as long.
pub fn samples(kind: Kind, config: &[u8], payload: &[u8]) -> Result<(u32, u32), Malformed> {
    match kind {
        Kind::Aac => {
            let mut bits = Bits::new(config);
            object_type(&mut bits)?;
            let rate = rate(&mut bits)?;
            bits.skip(4)?;
            // The core's own frameLengthFlag comes first only where no extension stands before it; nobody
            // sends those with 960 samples.
            let is_short = bits.bit().unwrap_or(false) && config.len() == 2;
            if rate == 0 {
                return Err(Malformed::Forbidden);
            }
            Ok((if is_short { 960 } else { 1024 }, rate))
        }
        Kind::Opus => Ok((opus::Toc::parse(payload)?.samples(), opus::CLOCK_RATE)),
        Kind::Mp3 => mp3::Header::parse(payload).map(|header| (header.samples, header.rate)),
        _ => Err(Malformed::Forbidden),
    }
}
