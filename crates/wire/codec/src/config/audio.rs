//! The form of sound.

use super::Format;
use crate::Malformed;
use crate::bits::Bits;

/// `samplingFrequencyIndex` (ISO/IEC 14496-3 table 1.18).
const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
/// Audio object types: spectral band replication, and with parametric stereo (table 1.17).
const SBR: u32 = 5;
const PS: u32 = 29;
/// `syncExtensionType`s of the same, behind what older decoders read (section 1.6.2.1).
const SBR_BEHIND: u32 = 0x2b7;
const PS_BEHIND: u32 = 0x548;

pub(super) fn object_type(bits: &mut Bits<'_>) -> Result<u32, Malformed> {
    match bits.bits(5)? {
        31 => Ok(32 + bits.bits(6)?),
        object => Ok(object),
    }
}

pub(super) fn rate(bits: &mut Bits<'_>) -> Result<u32, Malformed> {
    match bits.bits(4)? {
        15 => bits.bits(24),
        index => RATES.get(index as usize).copied().ok_or(Malformed::Forbidden),
    }
}

pub(super) fn aac(config: &[u8]) -> Result<Format, Malformed> {
    let mut bits = Bits::new(config);
    let object = object_type(&mut bits)?;
    let core = rate(&mut bits)?;
    let channels = match bits.bits(4)? {
        channels @ 0..=6 => channels as u8,
        7 => 8,
        _ => return Err(Malformed::Forbidden),
    };
    let (rate, has_stereo) = match object {
        SBR | PS => (rate(&mut bits)?, object == PS),
        // Behind a mono or stereo core there may be more; a record that ends here is whole.
        1..=4 if channels != 0 => behind(&mut bits).unwrap_or((core, false)),
        _ => (core, false),
    };
    let channels = if has_stereo && channels == 1 { 2 } else { channels };
    if rate == 0 {
        return Err(Malformed::Forbidden);
    }
    Ok(Format::Audio { rate, channels })
}

/// The extensions behind `GASpecificConfig`: the rate with them, and whether there is parametric stereo.
fn behind(bits: &mut Bits<'_>) -> Option<(u32, bool)> {
    bits.skip(1).ok()?;
    if bits.bit().ok()? {
        bits.skip(14).ok()?;
    }
    bits.skip(1).ok()?;
    let is_extended =
        bits.bits(11).ok()? == SBR_BEHIND && object_type(bits).ok()? == SBR && bits.bit().ok()?;
    if !is_extended {
        return None;
    }
    let rate = rate(bits).ok()?;
    let has_stereo = bits.bits(11) == Ok(PS_BEHIND) && bits.bit() == Ok(true);
    Some((rate, has_stereo))
}

/// It is always decoded at 48 kHz.
pub(super) fn opus(config: &[u8]) -> Result<Format, Malformed> {
    match config {
        [b'O', b'p', b'u', b's', b'H', b'e', b'a', b'd', _, 0, ..] => Err(Malformed::Forbidden),
        [b'O', b'p', b'u', b's', b'H', b'e', b'a', b'd', _, channels, ..] => {
            Ok(Format::Audio { rate: 48_000, channels: *channels })
        }
        _ => Err(Malformed::Truncated),
    }
}
