//! NAL units behind lengths of other sizes than 4 bytes (ISO/IEC 14496-15 sections 5.3.3.1 and 8.3.3.1).
//!
//! Owns: bringing records and pictures to the one form that the hub has. Knows nothing of what is in a unit.

use bytes::{BufMut as _, Bytes, BytesMut};
use codec::Kind;
use container::flv::Malformed;

/// Bytes of a length in the hub.
pub(crate) const SIZE: usize = 4;
/// The bits that say one less than the bytes of a length.
const MINUS_ONE: u8 = 3;

/// Where a record says the size of lengths; none where the codec has none.
fn place(codec: Kind) -> Option<usize> {
    match codec {
        Kind::H264 => Some(4),
        Kind::H265 => Some(21),
        _ => None,
    }
}

/// Bytes of a length, as a record says.
pub(crate) fn size(codec: Kind, config: &[u8]) -> usize {
    let marks = place(codec).and_then(|at| config.get(at));
    marks.map_or(SIZE, |marks| usize::from(marks & MINUS_ONE) + 1)
}

/// The record of pictures that were widened.
pub(crate) fn widen_config(codec: Kind, config: &[u8]) -> Bytes {
    let mut config = config.to_vec();
    if let Some(marks) = place(codec).and_then(|at| config.get_mut(at)) {
        *marks |= MINUS_ONE;
    }
    config.into()
}

/// A picture whose lengths have `size` bytes, with lengths of 4. Units without content are left out: each
/// would take four times what it came in.
pub(crate) fn widen(size: usize, mut picture: &[u8]) -> Result<Bytes, Malformed> {
    let mut out = BytesMut::with_capacity(picture.len() + picture.len() / 8 + 64);
    while !picture.is_empty() {
        let (len, rest) = picture.split_at_checked(size).ok_or(Malformed::NalLength)?;
        let len = len.iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
        let (unit, rest) = rest.split_at_checked(len).ok_or(Malformed::NalLength)?;
        if !unit.is_empty() {
            out.put_u32(len as u32);
            out.put_slice(unit);
        }
        picture = rest;
    }
    Ok(out.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_every_size_become_four_bytes() {
        for (size, picture) in
            [(1, &b"\x02ab\0\x01c"[..]), (2, b"\0\x02ab\0\0\0\x01c"), (3, b"\0\0\x02ab\0\0\x01c")]
        {
            assert_eq!(widen(size, picture), Ok(Bytes::from_static(b"\0\0\0\x02ab\0\0\0\x01c")), "{size}");
            for cut in 1..picture.len() {
                // Whole units, or an error: never a part of one.
                let whole = [&b""[..], b"\0\0\0\x02ab"];
                assert!(widen(size, &picture[..cut]).map_or(true, |out| whole.contains(&&out[..])), "{cut}");
            }
        }
        assert_eq!(widen(2, b"\xff\xffab"), Err(Malformed::NalLength));
        assert!(widen(1, &[0; 100_000]).unwrap().is_empty(), "nothing is not made into something");
    }

    #[test]
    fn records_say_the_size_in_their_own_places() {
        let mut avcc = vec![1, 0x64, 0, 0x1e, 0xfc, 0xe1];
        assert_eq!(size(Kind::H264, &avcc), 1);
        avcc[4] = 0xfd;
        assert_eq!(size(Kind::H264, &avcc), 2);
        assert_eq!(widen_config(Kind::H264, &avcc), [1, 0x64, 0, 0x1e, 0xff, 0xe1][..]);
        let mut hvcc = [0; 23];
        assert_eq!(size(Kind::H265, &hvcc), 1);
        hvcc[21] = 0x0f;
        assert_eq!(size(Kind::H265, &hvcc), 4);
        assert_eq!((size(Kind::Av1, &[0; 30]), size(Kind::H264, b"avc")), (4, 4));
    }
}
