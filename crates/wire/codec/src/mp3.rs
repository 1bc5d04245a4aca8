//! MPEG audio: the header that every frame begins with (ISO/IEC 11172-3 section 2.4.1.3, 13818-3 section 2.4.1.3).

use crate::{Malformed, byte};

/// What four bytes say of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Samples a second of each channel.
    pub rate: u32,
    pub channels: u8,
    /// Samples of the frame, of each channel.
    pub samples: u32,
}

impl Header {
    pub fn parse(frame: &[u8]) -> Result<Self, Malformed> {
        let (first, second) = (byte(frame, 0)?, byte(frame, 1)?);
        let (third, fourth) = (byte(frame, 2)?, byte(frame, 3)?);
        if first != 0xff || second & 0xe0 != 0xe0 {
            return Err(Malformed::Forbidden);
        }
        let rate: u32 = match third >> 2 & 3 {
            0 => 44_100,
            1 => 48_000,
            2 => 32_000,
            _ => return Err(Malformed::Forbidden),
        };
        // Lower rates are half of MPEG-1's, and half of those in MPEG-2.5.
        let (rate, is_first) = match second >> 3 & 3 {
            3 => (rate, true),
            2 => (rate / 2, false),
            0 => (rate / 4, false),
            _ => return Err(Malformed::Forbidden),
        };
        let samples = match (second >> 1 & 3, is_first) {
            (3, _) => 384,
            (2, _) | (1, true) => 1152,
            (1, false) => 576,
            _ => return Err(Malformed::Forbidden),
        };
        let channels = if fourth >> 6 == 3 { 1 } else { 2 };
        Ok(Self { rate, channels, samples })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_that_encoders_write() {
        // LAME: 128 kbit/s, 44.1 kHz, joint stereo; MPEG-2, 24 kHz, mono; laid out by hand: MPEG-2.5, 8 kHz.
        let parse = |bytes: [u8; 4]| Header::parse(&bytes);
        assert_eq!(parse([0xff, 0xfb, 0x90, 0x64]), Ok(Header { rate: 44_100, channels: 2, samples: 1152 }));
        assert_eq!(parse([0xff, 0xf3, 0x84, 0xc4]), Ok(Header { rate: 24_000, channels: 1, samples: 576 }));
        assert_eq!(parse([0xff, 0xe3, 0x18, 0xc4]), Ok(Header { rate: 8000, channels: 1, samples: 576 }));
        for wrong in
            [[0xff, 0xfb, 0x9c, 0], [0xff, 0xeb, 0x90, 0], [0xff, 0xf9, 0x90, 0], [0x49, 0x44, 0x33, 3]]
        {
            assert_eq!(parse(wrong), Err(Malformed::Forbidden), "{wrong:x?}");
        }
        assert_eq!(Header::parse(&[0xff, 0xfb, 0x90]), Err(Malformed::Truncated));
    }
}
