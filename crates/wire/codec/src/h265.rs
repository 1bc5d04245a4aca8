//! H.265: NAL units in RTP, RFC 7798 section 4.

use crate::{Malformed, Summary, byte};

/// Video, sequence and picture parameter sets (ITU-T H.265 table 7-1).
const VPS: u8 = 32;
const SPS: u8 = 33;
const PPS: u8 = 34;
const ACCESS_UNIT_DELIMITER: u8 = 35;
/// Prefix supplemental enhancement information.
const PREFIX_SEI: u8 = 39;
/// Aggregation packet, RFC 7798 section 4.4.2.
const AGGREGATION: u8 = 48;
/// Fragmentation unit, RFC 7798 section 4.4.3.
const FRAGMENTATION: u8 = 49;

/// BLA, IDR and CRA pictures: a decoder can start there.
fn intra_random_access(kind: u8) -> bool {
    (16..=23).contains(&kind)
}

fn unit(kind: u8, first: Option<u8>, seen: &mut Summary) {
    seen.key_frame |= intra_random_access(kind) || matches!(kind, VPS | SPS);
    // first_slice_segment_in_pic_flag is the slice header's first bit.
    let first_slice = kind < 32 && first.is_some_and(|b| b & 0x80 != 0);
    seen.starts_frame |= first_slice || matches!(kind, VPS | SPS | PPS | ACCESS_UNIT_DELIMITER | PREFIX_SEI);
    // Sub-layer non-reference pictures have even types below 16.
    seen.discardable &= kind < 16 && kind.is_multiple_of(2);
}

/// What forwarding asks. Decoding order numbers (`sprop-max-don-diff` above 0) are not supported.
pub fn inspect(payload: &[u8]) -> Result<Summary, Malformed> {
    let header = byte(payload, 0)?;
    let tid = byte(payload, 1)? & 0x07;
    if tid == 0 {
        return Err(Malformed::Forbidden);
    }
    let mut seen = Summary { temporal: tid - 1, discardable: true, ..Summary::default() };
    match (header >> 1) & 0x3f {
        AGGREGATION => {
            let mut rest = payload.get(2..).unwrap_or_default();
            if rest.is_empty() {
                return Err(Malformed::Truncated);
            }
            while let [h, l, tail @ ..] = rest {
                let len = usize::from(u16::from_be_bytes([*h, *l]));
                let (nal, after) = tail.split_at_checked(len).ok_or(Malformed::Truncated)?;
                unit((byte(nal, 0)? >> 1) & 0x3f, nal.get(2).copied(), &mut seen);
                rest = after;
            }
            if !rest.is_empty() {
                return Err(Malformed::Truncated);
            }
        }
        FRAGMENTATION => {
            let fu = byte(payload, 2)?;
            let first = byte(payload, 3)?;
            let kind = fu & 0x3f;
            if fu & 0x80 != 0 {
                unit(kind, Some(first), &mut seen);
            } else {
                seen.discardable = kind < 16 && kind.is_multiple_of(2);
            }
        }
        kind if kind < AGGREGATION => {
            unit(kind, Some(byte(payload, 2)?), &mut seen);
        }
        _ => return Err(Malformed::Forbidden),
    }
    seen.switch_up = seen.key_frame;
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Aggregation packet of VPS (0x40), SPS (0x42), made by hand after RFC 7798 section 4.4.2.
    const AP: [u8; 12] = [0x60, 0x01, 0x00, 0x03, 0x40, 0x01, 0x0c, 0x00, 0x03, 0x42, 0x01, 0x01];

    #[test]
    fn parameter_sets_begin_a_key_frame() {
        let s = inspect(&AP).unwrap();
        assert!(s.key_frame && s.starts_frame && !s.discardable && s.temporal == 0);
        for n in 0..AP.len() {
            assert_eq!(inspect(&AP[..n]).is_err(), n != 7, "at {n}");
        }
    }

    #[test]
    fn fragments_tell_their_frame_only_at_the_start() {
        // FU of IDR_W_RADL (19): S bit, then without.
        assert!(inspect(&[0x62, 0x01, 0x93, 0x80]).unwrap().key_frame);
        assert!(!inspect(&[0x62, 0x01, 0x13, 0x80]).unwrap().key_frame);
    }

    #[test]
    fn temporal_layers_come_from_the_header() {
        // TSA_N (2), TID 2: nobody refers to it.
        let s = inspect(&[0x04, 0x03, 0x80]).unwrap();
        assert!(s.temporal == 2 && s.discardable && s.starts_frame);
        assert_eq!(inspect(&[0x04, 0x00, 0x80]), Err(Malformed::Forbidden));
    }
}
