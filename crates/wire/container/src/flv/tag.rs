//! The file header and the frame around each tag (annex E.2 and E.3).

use bytes::{BufMut, BytesMut};

/// Bytes of the file header with the first, empty, `PreviousTagSize`.
pub const FILE_HEADER_LEN: usize = 13;
/// Bytes that a tag has around its body: the header before, `PreviousTagSize` behind.
pub const TAG_OVERHEAD: usize = TAG_HEADER_LEN + PREVIOUS_SIZE_LEN;
pub(super) const TAG_HEADER_LEN: usize = 11;
pub(super) const PREVIOUS_SIZE_LEN: usize = 4;
/// Bodies' length field has 24 bits.
pub(super) const MAX_BODY: usize = (1 << 24) - 1;

/// What a tag holds. The numbers are RTMP's message types as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagKind {
    Audio,
    Video,
    /// Script data: `onMetaData` in AMF0.
    Script,
}

impl TagKind {
    /// The number on the wire.
    pub fn number(self) -> u8 {
        match self {
            Self::Audio => 8,
            Self::Video => 9,
            Self::Script => 18,
        }
    }

    /// From the number on the wire; its upper bits say "filtered", that is encrypted, and must be 0.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Audio, Self::Video, Self::Script].into_iter().find(|kind| kind.number() == number)
    }
}

/// A tag without its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TagHeader {
    pub kind: TagKind,
    /// Milliseconds, modulo 2^32: 24 bits and then the 8 upper ones, as the format has them.
    pub timestamp: u32,
    /// Bytes of the body.
    pub len: usize,
}

/// The header of a file with these tracks.
pub fn file_header(has_audio: bool, has_video: bool) -> [u8; FILE_HEADER_LEN] {
    let flags = (u8::from(has_audio) << 2) | u8::from(has_video);
    [b'F', b'L', b'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0]
}

/// Appends a whole tag whose body is written by `body`. A body of 16 MiB or more has no place in FLV and
/// leaves `out` as it was; the result says whether the tag was written.
pub fn write_tag(
    kind: TagKind,
    timestamp: u32,
    out: &mut BytesMut,
    body: impl FnOnce(&mut BytesMut),
) -> bool {
    let start = out.len();
    out.put_slice(&[0; TAG_HEADER_LEN]);
    body(out);
    let len = out.len() - start - TAG_HEADER_LEN;
    if len > MAX_BODY {
        out.truncate(start);
        return false;
    }
    let [_, l0, l1, l2] = (len as u32).to_be_bytes();
    let [t3, t0, t1, t2] = timestamp.to_be_bytes();
    out[start..start + TAG_HEADER_LEN].copy_from_slice(&[kind.number(), l0, l1, l2, t0, t1, t2, t3, 0, 0, 0]);
    out.put_u32((len + TAG_HEADER_LEN) as u32);
    true
}
