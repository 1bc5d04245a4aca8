//! The size of pictures, out of parameter sets and sequence headers.

use super::Format;
use crate::bits::Bits;
use crate::{Malformed, byte};

/// Profiles whose parameter sets say how colour is sampled (ITU-T H.264 section 7.3.2.1.1).
const HIGH_PROFILES: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];
/// `nal_unit_type` of H.265's sequence parameter set.
const SPS_H265: u8 = 33;
/// `obu_type` of AV1's sequence header.
const SEQUENCE_HEADER: u8 = 1;

/// The first NAL unit of those behind lengths of 2 bytes.
fn sized(bytes: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let (len, rest) = bytes.split_first_chunk::<2>().ok_or(Malformed::Truncated)?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len))).ok_or(Malformed::Truncated)
}

/// Luma samples less what is cropped: `window` is left, right, top, bottom in units of `unit`.
fn cropped(size: (u32, u32), window: [u32; 4], unit: (u32, u32)) -> Result<Format, Malformed> {
    let less = |size: u32, a: u32, b: u32, unit: u32| {
        let cut = a.checked_add(b)?.checked_mul(unit)?;
        // No level of any codec allows more than 16 bits.
        size.checked_sub(cut).filter(|size| (1..=0xffff).contains(size))
    };
    let [left, right, top, bottom] = window;
    let width = less(size.0, left, right, unit.0).ok_or(Malformed::Forbidden)?;
    let height = less(size.1, top, bottom, unit.1).ok_or(Malformed::Forbidden)?;
    Ok(Format::Video { width, height })
}

fn window(bits: &mut Bits<'_>) -> Result<[u32; 4], Malformed> {
    if !bits.bit()? {
        return Ok([0; 4]);
    }
    Ok([bits.golomb()?, bits.golomb()?, bits.golomb()?, bits.golomb()?])
}

/// Out of `avcC`: its first sequence parameter set (ITU-T H.264 section 7.3.2.1.1).
pub(super) fn h264(config: &[u8]) -> Result<Format, Malformed> {
    if byte(config, 5)? & 0x1f == 0 {
        return Err(Malformed::Forbidden);
    }
    let (nal, _) = sized(config.get(6..).unwrap_or_default())?;
    let mut bits = Bits::escaped(nal.get(1..).ok_or(Malformed::Truncated)?);
    let profile = bits.bits(8)?;
    bits.skip(16)?;
    bits.golomb()?;
    let mut chroma = 1;
    if HIGH_PROFILES.contains(&profile) {
        chroma = bits.golomb()?;
        let is_separate = chroma == 3 && bits.bit()?;
        bits.golomb()?;
        bits.golomb()?;
        bits.skip(1)?;
        if bits.bit()? {
            for list in 0..if chroma == 3 { 12 } else { 8 } {
                if bits.bit()? {
                    scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
        if is_separate {
            chroma = 0;
        }
    }
    bits.golomb()?;
    picture_order(&mut bits)?;
    bits.golomb()?;
    bits.skip(1)?;
    let width = bits.golomb()?;
    let height = bits.golomb()?;
    let fields = if bits.bit()? { 1 } else { 2 };
    if fields == 2 {
        bits.skip(1)?;
    }
    bits.skip(1)?;
    let window = window(&mut bits)?;
    // Macroblocks are 16 wide; no level allows as many as 2^12 in a row.
    let samples = |blocks: u32| (blocks < 1 << 12).then(|| (blocks + 1) * 16).ok_or(Malformed::Forbidden);
    let unit = (if matches!(chroma, 1 | 2) { 2 } else { 1 }, if chroma == 1 { 2 } else { 1 });
    cropped((samples(width)?, samples(height)? * fields), window, (unit.0, unit.1 * fields))
}

fn scaling_list(bits: &mut Bits<'_>, len: usize) -> Result<(), Malformed> {
    let (mut last, mut next) = (8, 8);
    for _ in 0..len {
        if next != 0 {
            next = (last + bits.signed_golomb()?).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Ok(())
}

fn picture_order(bits: &mut Bits<'_>) -> Result<(), Malformed> {
    match bits.golomb()? {
        0 => bits.golomb().map(drop),
        1 => {
            bits.skip(1)?;
            bits.golomb()?;
            bits.golomb()?;
            let count = bits.golomb()?;
            if count > 255 {
                return Err(Malformed::Forbidden);
            }
            (0..count).try_for_each(|_| bits.golomb().map(drop))
        }
        _ => Ok(()),
    }
}

/// Out of `hvcC`: its first sequence parameter set (ITU-T H.265 section 7.3.2.2).
pub(super) fn h265(config: &[u8]) -> Result<Format, Malformed> {
    let arrays = byte(config, 22)?;
    let mut rest = config.get(23..).unwrap_or_default();
    for _ in 0..arrays {
        let ([kind, high, low], mut list) = rest.split_first_chunk::<3>().ok_or(Malformed::Truncated)?;
        for _ in 0..u16::from_be_bytes([*high, *low]) {
            let (nal, after) = sized(list)?;
            if kind & 0x3f == SPS_H265 {
                return SpsH265::read(nal).map(|sps| sps.format);
            }
            list = after;
        }
        rest = list;
    }
    Err(Malformed::Truncated)
}

/// What is read of a sequence parameter set of H.265.
pub(super) struct SpsH265 {
    pub(super) id: u32,
    /// Profile, tier, compatibility, constraints and level: as they stand in `hvcC`, too.
    pub(super) general: [u8; 12],
    /// `chroma_format_idc`, and bits of luma and chroma beyond 8.
    pub(super) chroma: u32,
    pub(super) depths: [u32; 2],
    format: Format,
}

impl SpsH265 {
    pub(super) fn read(nal: &[u8]) -> Result<Self, Malformed> {
        let mut bits = Bits::escaped(nal.get(2..).ok_or(Malformed::Truncated)?);
        bits.skip(4)?;
        let sub_layers = bits.bits(3)?;
        bits.skip(1)?;
        // profile_tier_level, section 7.3.3.
        let mut general = [0; 12];
        for byte in &mut general {
            // 8 bits fit.
            *byte = bits.bits(8)? as u8;
        }
        let mut present = 0;
        for _ in 0..sub_layers {
            present += if bits.bit()? { 88 } else { 0 };
            present += if bits.bit()? { 8 } else { 0 };
        }
        if sub_layers > 0 {
            bits.skip(2 * (8 - sub_layers))?;
        }
        bits.skip(present)?;
        let id = bits.golomb()?;
        let chroma = bits.golomb()?;
        if chroma == 3 {
            bits.skip(1)?;
        }
        let size = (bits.golomb()?, bits.golomb()?);
        let window = window(&mut bits)?;
        let unit = (if matches!(chroma, 1 | 2) { 2 } else { 1 }, if chroma == 1 { 2 } else { 1 });
        let format = cropped(size, window, unit)?;
        let depths = [bits.golomb()?, bits.golomb()?];
        if id > 15 || chroma > 3 || depths.iter().any(|depth| *depth > 7) {
            return Err(Malformed::Forbidden);
        }
        Ok(Self { id, general, chroma, depths, format })
    }
}

/// Out of `av1C`: its sequence header (AV1 sections 5.3 and 5.5).
pub(super) fn av1(config: &[u8]) -> Result<Format, Malformed> {
    let obu = config.get(4..).ok_or(Malformed::Truncated)?;
    let header = byte(obu, 0)?;
    if header >> 3 & 0x0f != SEQUENCE_HEADER {
        return Err(Malformed::Forbidden);
    }
    let mut at = if header & 4 != 0 { 2 } else { 1 };
    if header & 2 != 0 {
        // The size: leb128, of which the last byte has no upper bit.
        while byte(obu, at)? & 0x80 != 0 {
            at += 1;
        }
        at += 1;
    }
    let mut bits = Bits::new(obu.get(at..).ok_or(Malformed::Truncated)?);
    bits.skip(4)?;
    // reduced_still_picture_header
    if bits.bit()? {
        bits.skip(5)?;
    } else {
        operating_points(&mut bits)?;
    }
    let (width_bits, height_bits) = (bits.bits(4)? + 1, bits.bits(4)? + 1);
    let (width, height) = (bits.bits(width_bits)? + 1, bits.bits(height_bits)? + 1);
    Ok(Format::Video { width, height })
}

fn operating_points(bits: &mut Bits<'_>) -> Result<(), Malformed> {
    let mut delay_bits = None;
    // timing_info_present_flag
    if bits.bit()? {
        bits.skip(64)?;
        if bits.bit()? {
            bits.golomb()?;
        }
        // decoder_model_info_present_flag
        if bits.bit()? {
            delay_bits = Some(bits.bits(5)? + 1);
            bits.skip(42)?;
        }
    }
    let has_display_delay = bits.bit()?;
    for _ in 0..=bits.bits(5)? {
        bits.skip(12)?;
        if bits.bits(5)? > 7 {
            bits.skip(1)?;
        }
        if let Some(delay) = delay_bits
            && bits.bit()?
        {
            bits.skip(2 * delay + 1)?;
        }
        if has_display_delay && bits.bit()? {
            bits.skip(4)?;
        }
    }
    Ok(())
}
