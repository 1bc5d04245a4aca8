//! Bits, most significant first.

use crate::Malformed;

/// Reads bits.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// `f(n)`: the next `n` bits, at most 32.
    pub(crate) fn f(&mut self, n: u32) -> Result<u32, Malformed> {
        let mut value = 0;
        for _ in 0..n {
            let byte = self.bytes.get(self.at / 8).ok_or(Malformed::Truncated)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Ok(value)
    }

    /// One bit.
    pub(crate) fn flag(&mut self) -> Result<bool, Malformed> {
        Ok(self.f(1)? != 0)
    }

    /// `ns(n)`: a value below `n`, appendix A.8.2.
    pub(crate) fn ns(&mut self, n: u32) -> Result<u32, Malformed> {
        let (w, m) = ns_shape(n);
        let v = self.f(w.saturating_sub(1))?;
        if v < m {
            return Ok(v);
        }
        Ok((v << 1) - m + self.f(1)?)
    }
}

/// Writes bits; past the end of its memory it goes on counting.
pub(crate) struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(out: &'a mut [u8]) -> Self {
        Self { out, at: 0 }
    }

    pub(crate) fn f(&mut self, n: u32, value: u32) {
        for bit in (0..n).rev() {
            if let Some(byte) = self.out.get_mut(self.at / 8) {
                let mask = 0x80 >> (self.at % 8);
                *byte = if value >> bit & 1 != 0 { *byte | mask } else { *byte & !mask };
            }
            self.at += 1;
        }
    }

    pub(crate) fn ns(&mut self, n: u32, value: u32) {
        let (w, m) = ns_shape(n);
        if value < m {
            self.f(w.saturating_sub(1), value);
        } else {
            self.f(w, value + m);
        }
    }

    /// Fills the last byte with zeros; `None` if it did not all fit.
    pub(crate) fn finish(mut self) -> Option<usize> {
        while !self.at.is_multiple_of(8) {
            self.f(1, 0);
        }
        let len = self.at / 8;
        (len <= self.out.len()).then_some(len)
    }
}

/// Width of the longer code and how many values have the shorter one.
fn ns_shape(n: u32) -> (u32, u32) {
    let w = u32::BITS - n.leading_zeros();
    (w, (1 << w) - n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn non_symmetric_values_read_back() {
        for n in 1..=33 {
            for value in 0..n {
                let mut buf = [0xaa; 2];
                let mut w = Writer::new(&mut buf);
                w.ns(n, value);
                let bits = w.at;
                assert!(w.finish().is_some());
                let mut r = Reader::new(&buf);
                assert_eq!(r.ns(n), Ok(value), "{value} below {n}");
                assert_eq!(r.at, bits);
            }
        }
    }

    #[test]
    fn five_values_take_two_or_three_bits() {
        // AV1 bitstream specification section 4.10.7, table for n = 5: 00 01 10 110 111.
        let mut r = Reader::new(&[0b0001_1011, 0b0111_0000]);
        let read: Vec<_> = (0..5).map(|_| r.ns(5).unwrap()).collect();
        assert_eq!(read, [0, 1, 2, 3, 4]);
    }
}
