//! A file or an HTTP-FLV response, arriving in pieces.

use bytes::{Buf, Bytes, BytesMut};

use super::tag::{FILE_HEADER_LEN, PREVIOUS_SIZE_LEN, TAG_HEADER_LEN, TagHeader, TagKind};

/// A body larger than this is refused before memory is set aside for it: no key frame is that large.
const DEFAULT_MAX_BODY: usize = 8 << 20;

/// The bytes are not FLV, or not FLV that anybody should send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DemuxError {
    #[error("does not begin with an FLV header")]
    NotFlv,
    #[error("FLV tag type {0} is not known")]
    TagKind(u8),
    #[error("FLV tag of {0} bytes is larger than the limit of {1}")]
    TooLarge(usize, usize),
    #[error("FLV tag is followed by a size that is not its own")]
    PreviousSize,
}

/// Cuts a byte stream into tags. Holds at most one tag.
#[derive(Debug)]
pub struct Demuxer {
    buffer: BytesMut,
    has_header: bool,
    max_body: usize,
}

impl Default for Demuxer {
    fn default() -> Self {
        Self::new(DEFAULT_MAX_BODY)
    }
}

impl Demuxer {
    /// A demuxer that refuses bodies of more than `max_body` bytes.
    pub fn new(max_body: usize) -> Self {
        Self { buffer: BytesMut::new(), has_header: false, max_body }
    }

    /// More of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole tag; `None` until more has come. After an error the stream is lost.
    pub fn poll(&mut self) -> Result<Option<(TagHeader, Bytes)>, DemuxError> {
        if !self.has_header {
            let Some(header) = self.buffer.first_chunk::<FILE_HEADER_LEN>() else { return Ok(None) };
            let [b'F', b'L', b'V', _, _, offset @ .., _, _, _, _] = header else {
                return Err(DemuxError::NotFlv);
            };
            // The specification lets the header be longer; nobody makes one.
            if u32::from_be_bytes(*offset) != 9 {
                return Err(DemuxError::NotFlv);
            }
            self.buffer.advance(FILE_HEADER_LEN);
            self.has_header = true;
        }
        let Some(&[number, l0, l1, l2, t0, t1, t2, t3, _, _, _]) =
            self.buffer.first_chunk::<TAG_HEADER_LEN>()
        else {
            return Ok(None);
        };
        let kind = TagKind::from_number(number).ok_or(DemuxError::TagKind(number))?;
        let len = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        if len > self.max_body {
            return Err(DemuxError::TooLarge(len, self.max_body));
        }
        let end = TAG_HEADER_LEN + len;
        if self.buffer.len() < end + PREVIOUS_SIZE_LEN {
            return Ok(None);
        }
        let previous = self.buffer.get(end..).and_then(|b| b.first_chunk()).map(|b| u32::from_be_bytes(*b));
        // Some servers write 0, or leave the header out of the count.
        if !previous.is_some_and(|p| [end, len, 0].contains(&(p as usize))) {
            return Err(DemuxError::PreviousSize);
        }
        self.buffer.advance(TAG_HEADER_LEN);
        let body = self.buffer.split_to(len).freeze();
        self.buffer.advance(PREVIOUS_SIZE_LEN);
        let timestamp = u32::from_be_bytes([t3, t0, t1, t2]);
        Ok(Some((TagHeader { kind, timestamp, len }, body)))
    }
}
