//! Codecs' own framing in a transport stream.

use bytes::{BufMut, BytesMut};
use codec::Kind;

const START_CODE: [u8; 4] = [0, 0, 0, 1];
/// Access unit delimiters with any kind of slice behind them: H.264 section 7.3.2.4, H.265 section 7.3.2.5.
const AUD_H264: [u8; 2] = [0x09, 0xf0];
const AUD_H265: [u8; 3] = [0x46, 0x01, 0x50];
/// Bytes of an ADTS header without its checksum.
const ADTS_LEN: usize = 7;

/// Appends a picture whose NAL units stand behind lengths of 4 bytes, as a decoder reads it from a byte
/// stream: behind a delimiter and, at key frames, the parameter sets of `config` (avcC or hvcC). What a length
/// promises and is not there is left out.
pub fn annex_b(codec: Kind, config: &[u8], is_key: bool, mut nals: &[u8], out: &mut BytesMut) {
    let delimiter = match codec {
        Kind::H265 => &AUD_H265[..],
        _ => &AUD_H264[..],
    };
    put_nal(delimiter, out);
    if is_key {
        match codec {
            Kind::H265 => parameter_sets_h265(config, out),
            _ => parameter_sets_h264(config, out),
        };
    }
    while let Some((len, rest)) = nals.split_first_chunk::<4>() {
        let len = u32::from_be_bytes(*len) as usize;
        let Some((nal, rest)) = rest.split_at_checked(len) else { return };
        nals = rest;
        if !is_delimiter(codec, nal) {
            put_nal(nal, out);
        }
    }
}

fn is_delimiter(codec: Kind, nal: &[u8]) -> bool {
    let Some(first) = nal.first() else { return true };
    match codec {
        Kind::H265 => (first >> 1) & 0x3f == 35,
        _ => first & 0x1f == 9,
    }
}

fn put_nal(nal: &[u8], out: &mut BytesMut) {
    out.put_slice(&START_CODE);
    out.put_slice(nal);
}

/// Those of an `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 section 5.3.3.1).
fn parameter_sets_h264(config: &[u8], out: &mut BytesMut) -> Option<()> {
    let (count, mut rest) = config.get(5..)?.split_first()?;
    for _ in 0..count & 0x1f {
        rest = sized_nal(rest, out)?;
    }
    let (count, mut rest) = rest.split_first()?;
    for _ in 0..*count {
        rest = sized_nal(rest, out)?;
    }
    Some(())
}

/// Those of an `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15 section 8.3.3.1).
fn parameter_sets_h265(config: &[u8], out: &mut BytesMut) -> Option<()> {
    let (arrays, mut rest) = config.get(22..)?.split_first()?;
    for _ in 0..*arrays {
        let ([_, high, low], list) = rest.split_first_chunk::<3>()?;
        rest = list;
        for _ in 0..u16::from_be_bytes([*high, *low]) {
            rest = sized_nal(rest, out)?;
        }
    }
    Some(())
}

fn sized_nal<'a>(bytes: &'a [u8], out: &mut BytesMut) -> Option<&'a [u8]> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    let (nal, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
    put_nal(nal, out);
    Some(rest)
}

/// The ADTS header (ISO/IEC 13818-7 section 6.2) of an access unit of `len` bytes, from the first two bytes
/// of its `AudioSpecificConfig`; none if either does not fit, or ADTS has no number for the codec.
pub fn adts_header(config: &[u8], len: usize) -> Option<[u8; ADTS_LEN]> {
    let bits = u16::from_be_bytes(*config.first_chunk::<2>()?);
    // ADTS knows four profiles. Of HE-AAC (5, 29) the core is LC, and extensions signal themselves inside; others,
    // and object types beyond 31, which take more bits, are no stream that a decoder of ADTS could read.
    let profile = match bits >> 11 {
        object @ 1..=4 => object as u8 - 1,
        5 | 29 => 1,
        _ => return None,
    };
    let rate = (bits >> 7 & 0x0f) as u8;
    let channels = (bits >> 3 & 0x0f) as u8;
    let total = u16::try_from(len + ADTS_LEN).ok().filter(|total| *total < 1 << 13)?;
    if rate > 12 || channels > 7 {
        return None;
    }
    Some([
        0xff,
        0xf1,
        profile << 6 | rate << 2 | channels >> 2,
        (channels & 3) << 6 | (total >> 11) as u8,
        (total >> 3) as u8,
        ((total & 7) as u8) << 5 | 0x1f,
        0xfc,
    ])
}

/// An access unit of AAC in ADTS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adts<'a> {
    /// The `AudioSpecificConfig` that its header amounts to.
    pub config: [u8; 2],
    /// One raw access unit.
    pub payload: &'a [u8],
}

/// The access units of a PES packet's sound, as far as it is whole.
pub fn adts(mut bytes: &[u8]) -> impl Iterator<Item = Adts<'_>> {
    std::iter::from_fn(move || {
        let [0xff, marks, first, second, third, fourth, _, ..] = *bytes else { return None };
        // Sync, layer 0; and one block, for more would each need a checksum's place.
        if marks & 0xf6 != 0xf0 {
            return None;
        }
        let total = usize::from(second & 3) << 11 | usize::from(third) << 3 | usize::from(fourth >> 5);
        let head = if marks & 1 == 1 { ADTS_LEN } else { ADTS_LEN + 2 };
        let (unit, rest) = bytes.split_at_checked(total)?;
        let payload = unit.get(head..)?;
        bytes = rest;
        let (object, rate) = ((first >> 6) + 1, first >> 2 & 0x0f);
        let channels = (first & 1) << 2 | second >> 6;
        Some(Adts { config: [object << 3 | rate >> 1, (rate & 1) << 7 | channels << 3], payload })
    })
}

/// The NAL units of a picture in Annex B (H.264 and H.265 annex B.1), without the zeros around them.
pub fn nal_units(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = after_start_code(bytes);
    std::iter::from_fn(move || {
        loop {
            let from = rest?;
            let end = from.windows(3).position(|three| three == [0, 0, 1]);
            let (nal, next) = from.split_at(end.unwrap_or(from.len()));
            rest = end.and_then(|_| after_start_code(next));
            let used = nal.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            match nal.get(..used) {
                Some(nal) if !nal.is_empty() => return Some(nal),
                _ => {}
            }
        }
    })
}

fn after_start_code(bytes: &[u8]) -> Option<&[u8]> {
    let at = bytes.windows(3).position(|three| three == [0, 0, 1])?;
    bytes.get(at + 3..)
}
