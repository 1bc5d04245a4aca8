//! Opus: the table-of-contents byte, RFC 6716 section 3.1.

use crate::{Malformed, byte};

/// Samples a second of Opus in RTP, RFC 7587 section 4.1.
pub const CLOCK_RATE: u32 = 48_000;

/// What the first byte, and for code 3 the second, says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Toc {
    /// Two channels.
    pub stereo: bool,
    /// Frames in the packet.
    pub frames: u8,
    /// Samples of one frame at 48 kHz.
    pub frame_samples: u16,
}

impl Toc {
    /// Reads the table of contents.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let toc = byte(payload, 0)?;
        let config = toc >> 3;
        let frame_samples = match config {
            // SILK: 10, 20, 40, 60 ms.
            0..=11 => [480, 960, 1920, 2880][usize::from(config & 3)],
            // Hybrid: 10, 20 ms.
            12..=15 => [480, 960][usize::from(config & 1)],
            // CELT: 2.5, 5, 10, 20 ms.
            _ => [120, 240, 480, 960][usize::from(config & 3)],
        };
        let frames = match toc & 0x03 {
            0 => 1,
            1 | 2 => 2,
            _ => byte(payload, 1)? & 0x3f,
        };
        let t = Self { stereo: toc & 0x04 != 0, frames, frame_samples };
        // A packet holds at most 120 ms, RFC 6716 section 3.2.5.
        if frames == 0 || t.samples() > 5760 {
            return Err(Malformed::Forbidden);
        }
        Ok(t)
    }

    /// Samples of the packet at 48 kHz.
    pub fn samples(self) -> u32 {
        u32::from(self.frames) * u32::from(self.frame_samples)
    }
}

/// One or two bytes are sent when there is nothing to say (DTX), RFC 6716 section 3.1.
pub fn is_silence(payload: &[u8]) -> bool {
    payload.len() <= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_follow_table_2_of_the_rfc() {
        // CELT fullband 20 ms stereo, one frame: what browsers send.
        let t = Toc::parse(&[0xfc, 0]).unwrap();
        assert_eq!((t.stereo, t.samples()), (true, 960));
        // SILK 60 ms, two frames.
        assert_eq!(Toc::parse(&[0x19]).unwrap().samples(), 5760);
    }

    #[test]
    fn impossible_counts_are_refused() {
        assert_eq!(Toc::parse(&[]), Err(Malformed::Truncated));
        assert_eq!(Toc::parse(&[0xff]), Err(Malformed::Truncated));
        assert_eq!(Toc::parse(&[0xff, 0x00]), Err(Malformed::Forbidden));
        assert_eq!(Toc::parse(&[0xff, 0x07]), Err(Malformed::Forbidden));
    }
}
