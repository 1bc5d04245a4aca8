//! What synthetic frames are filled with, so that the far end can tell a whole frame from a wrong one.

use std::time::Duration;

/// In front of every stamp: "mill".
const MAGIC: u32 = 0x6d69_6c6c;
/// Bytes of a stamp.
pub const STAMP_LEN: usize = 21;

/// Bytes at the end of each packet: when it was sent. They are not part of the frame.
pub const TRAILER_LEN: usize = 8;

/// A packet's trailer: the sender's wall clock in whole microseconds.
pub fn trailer(sent: Duration) -> [u8; TRAILER_LEN] {
    (sent.as_micros() as u64).to_be_bytes()
}

/// Splits a packet's payload into its part of the frame and when it was sent.
pub fn split(payload: &[u8]) -> Option<(&[u8], Duration)> {
    let (body, trailer) = payload.split_last_chunk::<TRAILER_LEN>()?;
    Some((body, Duration::from_micros(u64::from_be_bytes(*trailer))))
}

/// What a frame says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Counts the frames of its source.
    pub number: u32,
    /// Which encoding of its source.
    pub layer: u8,
    /// When it was made, on the sender's wall clock, in whole microseconds.
    pub captured: Duration,
}

/// Fills `out` with a stamp and bytes that follow from it. Nothing is written if it is too short.
pub fn fill(out: &mut [u8], stamp: &Stamp) {
    let len = out.len() as u32;
    let Some((head, body)) = out.split_first_chunk_mut::<STAMP_LEN>() else { return };
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        if let Some(slot) = head.get_mut(at..at + bytes.len()) {
            slot.copy_from_slice(bytes);
        }
        at += bytes.len();
    };
    put(&MAGIC.to_be_bytes());
    put(&stamp.number.to_be_bytes());
    put(&len.to_be_bytes());
    put(&[stamp.layer]);
    put(&(stamp.captured.as_micros() as u64).to_be_bytes());
    for (word, chunk) in pattern(stamp).zip(body.chunks_mut(8)) {
        if let Some(bytes) = word.to_le_bytes().get(..chunk.len()) {
            chunk.copy_from_slice(bytes);
        }
    }
}

/// Reads the stamp of a frame that is exactly as it was filled; `None` if any byte differs.
pub fn check(frame: &[u8]) -> Option<Stamp> {
    let (head, body) = frame.split_first_chunk::<STAMP_LEN>()?;
    let word = |at: usize| head.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
    if word(0)? != MAGIC || word(8)? as usize != frame.len() {
        return None;
    }
    let micros = u64::from(word(13)?) << 32 | u64::from(word(17)?);
    let stamp = Stamp { number: word(4)?, layer: *head.get(12)?, captured: Duration::from_micros(micros) };
    let same = pattern(&stamp).zip(body.chunks(8)).all(|(w, c)| w.to_le_bytes().get(..c.len()) == Some(c));
    same.then_some(stamp)
}

/// A sequence of numbers that follows from the stamp (Knuth's 64-bit linear congruential generator).
fn pattern(stamp: &Stamp) -> impl Iterator<Item = u64> {
    let mut state = u64::from(stamp.number) << 8 | u64::from(stamp.layer);
    std::iter::from_fn(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some(state)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_byte_anywhere_is_seen() {
        let stamp = Stamp { number: 7, layer: 2, captured: Duration::from_micros(1_700_000_000_123_456) };
        let mut frame = [0; 100];
        fill(&mut frame, &stamp);
        assert_eq!(check(&frame), Some(stamp));
        // The capture time alone is not covered.
        for at in (0..13).chain(STAMP_LEN..frame.len()) {
            let mut wrong = frame;
            wrong[at] ^= 0x40;
            assert_eq!(check(&wrong), None, "at {at}");
        }
        for n in 0..frame.len() {
            assert_eq!(check(&frame[..n]), None);
        }
    }
}
