//! AAC that is silent (ISO/IEC 14496-3 section 4.4.2).

use super::bits::Bits;

/// `AudioSpecificConfig`: AAC-LC, 48 kHz, one channel.
pub(crate) const CONFIG: [u8; 2] = [0x11, 0x88];

/// Syntactic elements, table 4.85.
const SINGLE_CHANNEL: u32 = 0;
const FILL: u32 = 6;
const END: u32 = 7;
/// The most that one fill element takes: 15 and an escape of 8 bits, less one.
const MAX_FILL: usize = 15 + 255 - 1;

/// A block of about `len` bytes without a sound in it.
pub(crate) fn silence(len: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(3, SINGLE_CHANNEL);
    bits.put(4, 0);
    // global_gain; then ics_info: a long window of the first shape with no bands, not predicted.
    bits.put(8, 0);
    bits.put(11, 0);
    // Neither pulses nor noise shaping nor gain control.
    bits.put(3, 0);
    // An element of its own has 15 bits before what it holds, the end has 3.
    while let left = len.saturating_sub(bits.len() / 8 + 3)
        && left >= 15
    {
        let count = left.min(MAX_FILL);
        bits.put(3, FILL);
        bits.put(4, 15);
        bits.put(8, (count - 15 + 1) as u32);
        // extension_payload of type EXT_FILL: its bits mean nothing.
        (0..count).for_each(|_| bits.put(8, 0));
    }
    bits.put(3, END);
    bits.align()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_block_has_about_the_length_that_was_wanted() {
        for len in [6, 40, 341, 900] {
            let got = super::silence(len).len();
            assert!(got <= len.max(10) && got + 16 > len, "{got} for {len}");
        }
    }
}
