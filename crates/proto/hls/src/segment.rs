//! What a playlist lists.

use bytes::Bytes;
use media::Ticks;

/// A piece of a segment that can be played before the segment is whole.
#[derive(Debug, Clone)]
pub struct Part {
    pub duration: Ticks,
    /// It begins with a key frame.
    pub is_independent: bool,
    pub bytes: Bytes,
}

/// A stretch of the stream.
#[derive(Debug, Clone)]
pub struct Segment {
    /// Its number, which no other segment of the stream ever has.
    pub sequence: u64,
    pub duration: Ticks,
    /// Decoders begin anew here.
    pub is_discontinuous: bool,
    /// It begins with a key frame.
    pub is_independent: bool,
    /// When its first frame was live, in milliseconds since 1970.
    pub date: i64,
    /// The initialisation that it needs, where its container has such things.
    pub map: Option<u64>,
    /// Frames of the track that it is cut by.
    pub frames: u32,
    /// Its bytes, one part behind the other.
    pub parts: Vec<Part>,
    /// Whether players may be told of its parts.
    pub lists_parts: bool,
}

impl Segment {
    /// The bytes of the whole.
    pub fn bytes(&self) -> Vec<Bytes> {
        self.parts.iter().map(|part| part.bytes.clone()).collect()
    }

    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.bytes.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
