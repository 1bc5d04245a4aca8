//! Bits from the top of each byte, as headers have them.

use crate::Malformed;

/// A cursor over bits. In H.264 and H.265, a byte of 3 behind two zeros is there to keep start codes out, and
/// is left out here (ITU-T H.264 section 7.4.1).
pub(crate) struct Bits<'a> {
    rest: &'a [u8],
    is_escaped: bool,
    zeros: u8,
    byte: u8,
    left: u8,
}

impl<'a> Bits<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, is_escaped: false, zeros: 0, byte: 0, left: 0 }
    }

    /// Of a NAL unit.
    pub(crate) fn escaped(nal: &'a [u8]) -> Self {
        Self { is_escaped: true, ..Self::new(nal) }
    }

    fn next(&mut self) -> Result<u8, Malformed> {
        let (&byte, rest) = self.rest.split_first().ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(byte)
    }

    pub(crate) fn bit(&mut self) -> Result<bool, Malformed> {
        if self.left == 0 {
            let mut byte = self.next()?;
            if self.is_escaped && self.zeros >= 2 && byte == 3 {
                byte = self.next()?;
                self.zeros = 0;
            }
            self.zeros = if byte == 0 { self.zeros.saturating_add(1) } else { 0 };
            (self.byte, self.left) = (byte, 8);
        }
        self.left -= 1;
        Ok(self.byte >> self.left & 1 == 1)
    }

    /// `count` of them, up to 32.
    pub(crate) fn bits(&mut self, count: u32) -> Result<u32, Malformed> {
        (0..count).try_fold(0, |value: u32, _| Ok(value << 1 | u32::from(self.bit()?)))
    }

    pub(crate) fn skip(&mut self, count: u32) -> Result<(), Malformed> {
        (0..count).try_for_each(|_| self.bit().map(drop))
    }

    /// Exp-Golomb, `ue(v)` (ITU-T H.264 section 9.1).
    pub(crate) fn golomb(&mut self) -> Result<u32, Malformed> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > 31 {
                return Err(Malformed::Forbidden);
            }
        }
        Ok((1 << zeros) - 1 + self.bits(zeros)?)
    }

    /// `se(v)`.
    pub(crate) fn signed_golomb(&mut self) -> Result<i64, Malformed> {
        let value = i64::from(self.golomb()?);
        Ok(if value & 1 == 1 { (value + 1) / 2 } else { -(value / 2) })
    }
}
