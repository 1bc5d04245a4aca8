//! Codecs' names in `CODECS` and in MIME types (RFC 6381).

use std::fmt::Write as _;

use super::audio::object_type;
use crate::Kind;
use crate::bits::Bits;

/// The name of a track with this record; none where the record is too short to tell, or the codec has none.
pub fn name(kind: Kind, config: &[u8]) -> Option<String> {
    match kind {
        Kind::H264 => {
            let [_, profile, constraints, level, ..] = config else { return None };
            Some(format!("avc1.{profile:02x}{constraints:02x}{level:02x}"))
        }
        Kind::H265 => h265(config),
        Kind::Av1 => {
            let [_, profile, depth, ..] = config else { return None };
            let tier = if depth & 0x80 != 0 { 'H' } else { 'M' };
            let bits = match (depth & 0x40 != 0, depth & 0x20 != 0) {
                (true, true) => 12,
                (true, false) => 10,
                _ => 8,
            };
            Some(format!("av01.{}.{:02}{tier}.{bits:02}", profile >> 5, profile & 0x1f))
        }
        Kind::Vp9 => {
            let [1, _, _, _, profile, level, depth, ..] = config else { return None };
            Some(format!("vp09.{profile:02}.{level:02}.{:02}", depth >> 4))
        }
        Kind::Aac => Some(format!("mp4a.40.{}", object_type(&mut Bits::new(config)).ok()?)),
        Kind::Mp3 => Some("mp4a.40.34".into()),
        Kind::Opus => Some("opus".into()),
        Kind::Vp8 => Some("vp8".into()),
        _ => None,
    }
}

/// ISO/IEC 14496-15 annex E.3.
fn h265(config: &[u8]) -> Option<String> {
    let (_, rest) = config.split_first()?;
    let (&[profile, c0, c1, c2, c3], rest) = rest.split_first_chunk::<5>()?;
    let (constraints, rest) = rest.split_first_chunk::<6>()?;
    let level = rest.first()?;
    let space = ["", "A", "B", "C"].get(usize::from(profile >> 6))?;
    let compatible = u32::from_be_bytes([c0, c1, c2, c3]).reverse_bits();
    let tier = if profile & 0x20 != 0 { 'H' } else { 'L' };
    let mut name = format!("hvc1.{space}{}.{compatible:X}.{tier}{level}", profile & 0x1f);
    // Zeros at the end are left out.
    let used = constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    for byte in constraints.iter().take(used) {
        // Writing to a string cannot fail.
        let _ = write!(name, ".{byte:X}");
    }
    Some(name)
}
