//! A reader of a stream: an index into its ring.

use std::ops::Range;
use std::sync::Arc;

use crate::{Headers, Ticks};

/// Where a player stands. It holds no frame, so a stream costs one copy however many watch.
#[derive(Debug, Clone)]
pub struct Cursor {
    /// The frame to be read next.
    pub(crate) next: u64,
    /// How far behind the live edge it begins, and begins again after a jump.
    pub(crate) latency: Ticks,
    /// The version of the headers it has been given.
    pub(crate) version: u64,
    /// It had no key frame to begin with: nothing is read until there is one.
    pub(crate) awaits_key: bool,
    pub(crate) skipped: u64,
}

impl Cursor {
    /// The index of the frame to be read next.
    pub fn position(&self) -> u64 {
        self.next
    }

    /// Frames that this reader has jumped over.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

/// What a reader gets in one go: frames that have the same headers.
#[derive(Debug, Clone, Default)]
pub struct Step {
    /// To be told first, where they are not those of the frames before.
    pub headers: Option<Arc<Headers>>,
    /// The frames, to be had from [`crate::Stream::frame`]; empty when the reader has everything.
    pub range: Range<u64>,
    /// Frames that were jumped over to get here: the reader was too far behind.
    pub skipped: u64,
}

impl Step {
    pub fn is_empty(&self) -> bool {
        self.range.is_empty() && self.headers.is_none()
    }
}
