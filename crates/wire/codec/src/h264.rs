//! H.264: NAL units in RTP, RFC 6184 sections 5.3 to 5.8.

use crate::{Malformed, Summary, byte};

/// Coded slice of a non-IDR picture (ITU-T H.264 table 7-1).
const SLICE: u8 = 1;
/// Coded slice of an IDR picture.
const IDR: u8 = 5;
const SEI: u8 = 6;
const SPS: u8 = 7;
const PPS: u8 = 8;
const ACCESS_UNIT_DELIMITER: u8 = 9;
/// Aggregation packet without decoding order, RFC 6184 section 5.7.1.
const STAP_A: u8 = 24;
/// Fragmentation unit without decoding order, RFC 6184 section 5.8.
const FU_A: u8 = 28;

/// NAL units of a payload: the one, those of a STAP-A, or the start of the fragmented one.
struct Seen {
    key: bool,
    starts: bool,
    reference: bool,
}

impl Seen {
    /// `unit` begins with its NAL header.
    fn unit(&mut self, unit: &[u8]) {
        let Some((&header, body)) = unit.split_first() else { return };
        let kind = header & 0x1f;
        self.key |= matches!(kind, IDR | SPS);
        self.reference |= header & 0x60 != 0;
        // first_mb_in_slice is ue(v): zero is a single set bit.
        let first_slice = matches!(kind, SLICE | IDR) && body.first().is_some_and(|b| b & 0x80 != 0);
        self.starts |= first_slice || matches!(kind, SEI | SPS | PPS | ACCESS_UNIT_DELIMITER);
    }
}

/// What forwarding asks. A key frame is seen by its SPS or by the start of an IDR slice; frame starts by
/// `first_mb_in_slice`, so an encoder that numbers slices otherwise is not understood.
pub fn inspect(payload: &[u8]) -> Result<Summary, Malformed> {
    let header = byte(payload, 0)?;
    let mut seen = Seen { key: false, starts: false, reference: false };
    match header & 0x1f {
        1..=23 => {
            byte(payload, 1)?;
            seen.unit(payload);
        }
        STAP_A => {
            let mut rest = payload.get(1..).unwrap_or_default();
            if rest.is_empty() {
                return Err(Malformed::Truncated);
            }
            while let [h, l, tail @ ..] = rest {
                let len = usize::from(u16::from_be_bytes([*h, *l]));
                let (unit, after) = tail.split_at_checked(len).ok_or(Malformed::Truncated)?;
                seen.unit(unit);
                rest = after;
            }
            if !rest.is_empty() {
                return Err(Malformed::Truncated);
            }
        }
        FU_A => {
            let fu = byte(payload, 1)?;
            let first = byte(payload, 2)?;
            if fu & 0x80 != 0 {
                seen.unit(&[(header & 0x60) | (fu & 0x1f), first]);
            } else {
                seen.reference = header & 0x60 != 0;
            }
        }
        _ => return Err(Malformed::Forbidden),
    }
    Ok(Summary {
        key_frame: seen.key,
        starts_frame: seen.starts,
        switch_up: seen.key,
        discardable: !seen.reference,
        ..Summary::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As libwebrtc sends a key frame's first packet: STAP-A of SPS (67), PPS (68); bytes made by hand
    /// after RFC 6184 section 5.7.1.
    const STAP: [u8; 12] = [0x78, 0x00, 0x04, 0x67, 0x42, 0xc0, 0x1f, 0x00, 0x03, 0x68, 0xce, 0x3c];

    #[test]
    fn parameter_sets_in_an_aggregate_begin_a_key_frame() {
        let s = inspect(&STAP).unwrap();
        assert!(s.key_frame && s.starts_frame && !s.discardable);
    }

    #[test]
    fn cut_aggregates_are_errors() {
        for n in 0..STAP.len() {
            // At 7 bytes the packet is a valid aggregate of one unit.
            assert_eq!(inspect(&STAP[..n]).is_err(), n != 7, "at {n}");
        }
    }

    #[test]
    fn only_the_first_fragment_of_an_idr_begins_it() {
        assert!(inspect(&[0x7c, 0x85, 0x88]).unwrap().key_frame);
        let middle = inspect(&[0x7c, 0x05, 0x88]).unwrap();
        assert!(!middle.key_frame && !middle.starts_frame);
        // Second slice of an IDR picture: first_mb_in_slice is not zero.
        let second = inspect(&[0x7c, 0x85, 0x40]).unwrap();
        assert!(second.key_frame && !second.starts_frame);
    }

    #[test]
    fn unreferenced_slices_are_discardable() {
        let s = inspect(&[0x01, 0x9a]).unwrap();
        assert!(s.discardable && s.starts_frame && !s.key_frame);
    }

    #[test]
    fn interleaved_modes_are_refused() {
        for kind in [0u8, 25, 26, 27, 29, 30, 31] {
            assert_eq!(inspect(&[kind, 0, 0, 0]), Err(Malformed::Forbidden));
        }
    }
}
