//! H.264 of the Baseline profile: grey pictures, and others that repeat them (ITU-T H.264 section 7.3).

use bytes::{BufMut as _, BytesMut};

use super::bits::Bits;
use super::stamp::{self, Stamp};

/// Pixels.
pub(crate) const SIZE: (u32, u32) = (MACROBLOCKS.0 * 16, MACROBLOCKS.1 * 16);
const MACROBLOCKS: (u32, u32) = (40, 22);
/// Bits of `frame_num`.
const FRAME_NUM: u8 = 8;
const PROFILE: [u8; 3] = [66, 0xc0, 30];
/// Units of a picture: user data, a key frame's slice, another's.
const SEI: u8 = 0x06;
const KEY_SLICE: u8 = 0x65;
const SLICE: u8 = 0x41;
/// User data that is not registered (annex D.1.1).
const USER_DATA: u8 = 5;
/// A macroblock that is predicted from its neighbours' average, with nothing added: types and levels, eight
/// bits as it happens.
const GREY: u32 = 0x27;

fn sequence() -> Vec<u8> {
    let mut bits = Bits::default();
    for byte in [0x67].iter().chain(&PROFILE) {
        bits.put(8, u32::from(*byte));
    }
    bits.golomb(0);
    bits.golomb(u32::from(FRAME_NUM) - 4);
    // Order of output is order of decoding; one reference; no gaps.
    bits.golomb(2);
    bits.golomb(1);
    bits.put(1, 0);
    bits.golomb(MACROBLOCKS.0 - 1);
    bits.golomb(MACROBLOCKS.1 - 1);
    // Frames only, direct_8x8_inference, neither cropping nor VUI.
    bits.put(4, 0b1100);
    escaped(&bits.stop())
}

fn picture_parameters() -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(8, 0x68);
    bits.golomb(0);
    bits.golomb(0);
    // CAVLC; no order in bottom fields.
    bits.put(2, 0);
    // One slice group, one reference of each list.
    (0..3).for_each(|_| bits.golomb(0));
    // No weights; quantisers as they are.
    bits.put(3, 0);
    (0..3).for_each(|_| bits.golomb(0));
    // Slices say whether they are deblocked.
    bits.put(3, 0b100);
    escaped(&bits.stop())
}

/// `avcC` (ISO/IEC 14496-15 section 5.3.3).
pub(crate) fn record() -> Vec<u8> {
    let mut out = vec![1];
    out.extend(PROFILE);
    out.push(0xff);
    for (count, unit) in [(0xe1, sequence()), (1, picture_parameters())] {
        out.push(count);
        out.extend((unit.len() as u16).to_be_bytes());
        out.extend(unit);
    }
    out
}

fn slice(is_key: bool, group: u32, place: u32) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(8, u32::from(if is_key { KEY_SLICE } else { SLICE }));
    bits.golomb(0);
    // All slices of the picture are I, or P.
    bits.golomb(if is_key { 7 } else { 5 });
    bits.golomb(0);
    bits.put(FRAME_NUM, place % (1 << FRAME_NUM));
    if is_key {
        // Neighbouring key frames differ in idr_pic_id.
        bits.golomb(group % 2);
        bits.put(2, 0);
    } else {
        // References as they come, marked as they slide.
        bits.put(3, 0);
    }
    bits.golomb(0);
    // Not deblocked.
    bits.golomb(1);
    let count = MACROBLOCKS.0 * MACROBLOCKS.1;
    if is_key {
        (0..count).for_each(|_| bits.put(8, GREY));
    } else {
        // All are skipped.
        bits.golomb(count);
    }
    escaped(&bits.stop())
}

/// Appends a picture of about `wanted` bytes: its stamp, what fills it up, its slice.
pub(super) fn put_picture(
    is_key: bool,
    group: u32,
    place: u32,
    stamp: Stamp,
    wanted: usize,
    out: &mut BytesMut,
) {
    let slice = slice(is_key, group, place);
    put_user_data(&stamp.bytes(), out);
    let filled = wanted.saturating_sub(out.len() + slice.len() + 4);
    put_filling(filled, out);
    out.put_u32(slice.len() as u32);
    out.put_slice(&slice);
}

/// A unit of user data that has no zeros.
fn put_user_data(data: &[u8], out: &mut BytesMut) {
    out.put_u32(data.len() as u32 + 4);
    out.put_slice(&[SEI, USER_DATA, data.len() as u8]);
    out.put_slice(data);
    // rbsp_trailing_bits.
    out.put_u8(0x80);
}

/// User data of about `len` bytes, whose UUID and content mean nothing.
fn put_filling(len: usize, out: &mut BytesMut) {
    let data = len.saturating_sub(len / 255 + 8).max(stamp::LEN);
    let (longs, last) = (data / 255, (data % 255) as u8);
    out.put_u32((longs + data + 4) as u32);
    out.put_slice(&[SEI, USER_DATA]);
    out.put_bytes(0xff, longs);
    out.put_u8(last);
    out.put_bytes(0x55, data);
    out.put_u8(0x80);
}

/// Puts a 3 behind two zeros where a start code could be read otherwise (section 7.4.1).
fn escaped(unit: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(unit.len() + 4);
    let mut zeros = 0;
    for &byte in unit {
        if zeros >= 2 && byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}
