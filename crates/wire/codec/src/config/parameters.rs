//! Parameter sets that come inside pictures (ITU-T H.264 section 7.3.2, H.265 section 7.3.2).
//!
//! Owns: bringing a record up to date with them. Encoders that change their pictures' form in the middle of a stream
//! may say so there alone, and whoever comes later, or reads a container that tells decoders beforehand, knows only
//! the record.

use super::picture::SpsH265;
use crate::bits::Bits;
use crate::{Kind, Malformed, byte};

/// Sets of one kind that a record has room for: `avcC` counts sequence parameter sets in 5 bits.
const MAX_SETS: usize = 31;
/// Bytes of all of them. Real ones are below a hundred each.
const MAX_BYTES: usize = 16 << 10;
/// Bytes of `hvcC` before its arrays, and of `avcC` before its sets.
const HEAD_H265: usize = 23;
const HEAD_H264: usize = 5;

/// The record that goes with a picture, where it is another than `config`: the picture, of NAL units behind lengths of
/// 4 bytes, brings parameter sets that are not in there. They take the places of those of the same number.
pub fn updated(kind: Kind, config: &[u8], picture: &[u8]) -> Option<Vec<u8>> {
    let order: &[u8] = match kind {
        Kind::H264 => &[7, 8],
        Kind::H265 => &[32, 33, 34],
        _ => return None,
    };
    let brought: Vec<&[u8]> = units(picture).filter(|unit| order.contains(&unit_type(kind, unit))).collect();
    if brought.is_empty() {
        return None;
    }
    let (known, other) = match kind {
        Kind::H264 => sets_h264(config),
        _ => sets_h265(config),
    }
    .ok()?;
    if brought.iter().all(|set| known.contains(set)) {
        return None;
    }
    let mut lists = Vec::with_capacity(order.len());
    for wanted in order {
        let of = |sets: &[&'_ [u8]]| -> Vec<usize> {
            (0..sets.len())
                .filter(|at| sets.get(*at).is_some_and(|set| unit_type(kind, set) == *wanted))
                .collect()
        };
        // What the picture brings comes first: it is what the picture is.
        let mut list: Vec<(u32, &[u8])> = Vec::new();
        let brought_of = of(&brought).into_iter().rev().filter_map(|at| brought.get(at));
        let known_of = of(&known).into_iter().filter_map(|at| known.get(at));
        for set in brought_of.chain(known_of) {
            let id = number(kind, set).ok()?;
            if list.iter().all(|(taken, _)| *taken != id) {
                list.push((id, set));
            }
        }
        lists.push(list.into_iter().map(|(_, set)| set).collect::<Vec<_>>());
    }
    let is_small = lists.iter().all(|list| list.len() <= MAX_SETS)
        && lists.iter().flatten().map(|set| set.len()).sum::<usize>() <= MAX_BYTES;
    if !is_small {
        return None;
    }
    let record = match kind {
        Kind::H264 => record_h264(config, &lists, other),
        _ => record_h265(config, order, &lists, other),
    };
    // Of two of the same number in one picture the last one counts, and may be known.
    record.filter(|record| record != config)
}

/// NAL units, up to a length that lies.
fn units(mut picture: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (len, rest) = picture.split_first_chunk::<4>()?;
        let (unit, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)?;
        picture = rest;
        Some(unit)
    })
}

fn unit_type(kind: Kind, unit: &[u8]) -> u8 {
    let first = unit.first().copied().unwrap_or(0);
    if kind == Kind::H264 { first & 0x1f } else { first >> 1 & 0x3f }
}

/// The number that others name a set by.
fn number(kind: Kind, set: &[u8]) -> Result<u32, Malformed> {
    let bits = |from: usize| set.get(from..).map(Bits::escaped).ok_or(Malformed::Truncated);
    match (kind, unit_type(kind, set)) {
        (Kind::H264, 7) => {
            let mut bits = bits(1)?;
            bits.skip(24)?;
            bits.golomb()
        }
        (Kind::H264, _) => bits(1)?.golomb(),
        (_, 32) => bits(2)?.bits(4),
        (_, 33) => SpsH265::read(set).map(|sps| sps.id),
        _ => bits(2)?.golomb(),
    }
}

/// Takes `count` sets behind lengths of 2 bytes.
fn take<'a>(rest: &mut &'a [u8], count: usize, out: &mut Vec<&'a [u8]>) -> Result<(), Malformed> {
    for _ in 0..count {
        let (len, after) = rest.split_first_chunk::<2>().ok_or(Malformed::Truncated)?;
        let len = usize::from(u16::from_be_bytes(*len));
        let (set, after) = after.split_at_checked(len).ok_or(Malformed::Truncated)?;
        out.push(set);
        *rest = after;
    }
    Ok(())
}

/// The sets of a record, and the bytes in it that are none and come after them.
type Sets<'a> = (Vec<&'a [u8]>, Vec<u8>);

fn sets_h264(config: &[u8]) -> Result<Sets<'_>, Malformed> {
    let mut sets = Vec::new();
    let count = usize::from(byte(config, HEAD_H264)? & 0x1f);
    let mut rest = config.get(HEAD_H264 + 1..).unwrap_or_default();
    take(&mut rest, count, &mut sets)?;
    let (count, mut after) = rest.split_first().ok_or(Malformed::Truncated)?;
    take(&mut after, usize::from(*count), &mut sets)?;
    Ok((sets, after.to_vec()))
}

fn sets_h265(config: &[u8]) -> Result<Sets<'_>, Malformed> {
    let (mut sets, mut other) = (Vec::new(), Vec::new());
    let arrays = byte(config, HEAD_H265 - 1)?;
    let mut rest = config.get(HEAD_H265..).unwrap_or_default();
    for _ in 0..arrays {
        let start = rest;
        let ([kind, high, low], after) = rest.split_first_chunk::<3>().ok_or(Malformed::Truncated)?;
        rest = after;
        let mut array = Vec::new();
        take(&mut rest, usize::from(u16::from_be_bytes([*high, *low])), &mut array)?;
        match kind & 0x3f {
            32..=34 => sets.extend(array),
            // Messages for decoders, as they are.
            _ => other.extend_from_slice(start.get(..start.len() - rest.len()).unwrap_or_default()),
        }
    }
    Ok((sets, other))
}

fn put(list: &[&[u8]], out: &mut Vec<u8>) -> Option<()> {
    for set in list {
        out.extend_from_slice(&u16::try_from(set.len()).ok()?.to_be_bytes());
        out.extend_from_slice(set);
    }
    Some(())
}

fn record_h264(config: &[u8], lists: &[Vec<&[u8]>], tail: Vec<u8>) -> Option<Vec<u8>> {
    let [sequence, picture] = lists else { return None };
    let sps = sequence.first()?;
    let mut out = vec![1];
    // Profile, compatibility and level are the set's own first bytes.
    out.extend_from_slice(sps.get(1..4)?);
    out.push(*config.get(HEAD_H264 - 1)?);
    out.push(0xe0 | u8::try_from(sequence.len()).ok()?);
    put(sequence, &mut out)?;
    out.push(u8::try_from(picture.len()).ok()?);
    put(picture, &mut out)?;
    // How colour is sampled, which high profiles repeat there, and nobody needs.
    if config.get(1) == sps.get(1) {
        out.extend(tail);
    }
    Some(out)
}

fn record_h265(config: &[u8], order: &[u8], lists: &[Vec<&[u8]>], other: Vec<u8>) -> Option<Vec<u8>> {
    let mut out = config.get(..HEAD_H265)?.to_vec();
    let sps = SpsH265::read(lists.get(1)?.first()?).ok()?;
    out.get_mut(1..13)?.copy_from_slice(&sps.general);
    for (at, value) in [(16, sps.chroma), (17, sps.depths[0]), (18, sps.depths[1])] {
        let mark = if at == 16 { 0xfc } else { 0xf8 };
        *out.get_mut(at)? = mark | u8::try_from(value).ok()?;
    }
    let others = u8::try_from(arrays(&other)).ok()?;
    *out.get_mut(HEAD_H265 - 1)? =
        others + u8::try_from(lists.iter().filter(|list| !list.is_empty()).count()).ok()?;
    for (kind, list) in order.iter().zip(lists).filter(|(_, list)| !list.is_empty()) {
        // There may be more of them in pictures: the upper bit, which says that there are none, is not set.
        out.push(*kind);
        out.extend_from_slice(&u16::try_from(list.len()).ok()?.to_be_bytes());
        put(list, &mut out)?;
    }
    out.extend(other);
    Some(out)
}

/// How many arrays lie in these bytes, which were read before.
fn arrays(mut rest: &[u8]) -> usize {
    let mut count = 0;
    while let Some(([_, high, low], after)) = rest.split_first_chunk::<3>() {
        rest = after;
        if take(&mut rest, usize::from(u16::from_be_bytes([*high, *low])), &mut Vec::new()).is_err() {
            break;
        }
        count += 1;
    }
    count
}
