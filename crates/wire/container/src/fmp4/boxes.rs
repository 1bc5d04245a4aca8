//! Boxes: a size, four letters, and what is in them (ISO/IEC 14496-12 section 4.2).

use bytes::{BufMut as _, BytesMut};

/// Appends a box with what `fill` puts in it.
pub(super) fn put(kind: &[u8; 4], out: &mut BytesMut, fill: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u32(0);
    out.put_slice(kind);
    fill(out);
    let size = out.len() - start;
    sized(out, start, size);
}

/// Appends a box that has a version and flags.
pub(super) fn put_full(
    kind: &[u8; 4],
    version: u8,
    flags: u32,
    out: &mut BytesMut,
    fill: impl FnOnce(&mut BytesMut),
) {
    put(kind, out, |out| {
        out.put_u32(u32::from(version) << 24 | flags);
        fill(out);
    });
}

/// Writes the size of a box that begins at `start`. A box of 4 GiB, which nothing here comes near to, would be
/// said to be as long as can be said.
fn sized(out: &mut BytesMut, start: usize, size: usize) {
    let size = u32::try_from(size).unwrap_or(u32::MAX);
    overwrite(out, start, size);
}

/// Puts a number where one has been left out.
pub(super) fn overwrite(out: &mut BytesMut, at: usize, value: u32) {
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}
