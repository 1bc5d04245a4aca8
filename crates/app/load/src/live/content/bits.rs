//! Bits into bytes, from the top of each.

/// What is written bit by bit.
#[derive(Debug, Default)]
pub(crate) struct Bits {
    bytes: Vec<u8>,
    /// Bits of the last byte that are taken; 0 where it is full.
    used: u8,
}

impl Bits {
    pub(crate) fn put(&mut self, count: u8, value: u32) {
        for at in (0..count).rev() {
            if self.used == 0 {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> at & 1) as u8) << (7 - self.used);
            }
            self.used = (self.used + 1) % 8;
        }
    }

    /// An Exp-Golomb code (ITU-T H.264 section 9.1).
    pub(crate) fn golomb(&mut self, value: u32) {
        let length = (value + 1).ilog2() as u8;
        self.put(length, 0);
        self.put(length + 1, value + 1);
    }

    /// A one and zeros to the end of the byte (section 7.3.2.11).
    pub(crate) fn stop(mut self) -> Vec<u8> {
        self.put(1, 1);
        self.bytes
    }

    /// Zeros to the end of the byte.
    pub(crate) fn align(self) -> Vec<u8> {
        self.bytes
    }

    /// Bits so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() * 8 - usize::from((8 - self.used) % 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_standard() {
        let mut bits = Bits::default();
        // Table 9-2: 1 010 011 00100.
        (0..4).for_each(|value| bits.golomb(value));
        assert_eq!(bits.len(), 12);
        assert_eq!(bits.stop(), [0b1010_0110, 0b0100_1000]);
    }
}
