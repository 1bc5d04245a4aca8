//! What is counted about a stream.

use crate::{Frame, Ticks, Track};

/// Why something that a publisher sent was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drop {
    /// A frame of a track that was not announced.
    NoTrack,
    /// A frame whose codec cannot be decoded without the configuration that has not come.
    NoConfig,
    /// A picture before the first key frame.
    BeforeKey,
    /// A configuration of unreasonable size.
    Config,
    /// One track more than a stream may have.
    Tracks,
}

impl Drop {
    pub const ALL: [Self; 5] = [Self::NoTrack, Self::NoConfig, Self::BeforeKey, Self::Config, Self::Tracks];

    /// For a metric's label.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoTrack => "no_track",
            Self::NoConfig => "no_config",
            Self::BeforeKey => "before_key",
            Self::Config => "config",
            Self::Tracks => "tracks",
        }
    }
}

/// A stream as it is now.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    pub is_published: bool,
    pub tracks: Vec<TrackStats>,
    /// Frames and bytes of payload that were taken, ever.
    pub frames: u64,
    pub bytes: u64,
    /// By [`Drop::ALL`].
    pub dropped: [u64; Drop::ALL.len()],
    /// Frames that readers jumped over, ever, all readers together.
    pub skipped: u64,
    /// Times that the publisher's clock jumped.
    pub discontinuities: u64,
    /// From the key frame before the newest to the newest.
    pub group: Ticks,
    pub group_frames: u64,
    pub ring_frames: usize,
    pub ring_bytes: usize,
}

/// One track as it is now.
#[derive(Debug, Clone)]
pub struct TrackStats {
    pub track: Track,
    pub frames: u64,
    /// Frames a second.
    pub fps: f64,
    /// Bits a second.
    pub bitrate: f64,
}

/// What grows.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    frames: u64,
    bytes: u64,
    dropped: [u64; Drop::ALL.len()],
    pub(crate) skipped: u64,
    /// The newest groups begin with pictures.
    pub(crate) has_pictures: bool,
    group: Ticks,
    group_frames: u64,
    last_key: u64,
}

impl Counters {
    pub(crate) fn drop(&mut self, why: Drop) {
        self.dropped[why as usize] += 1;
    }

    pub(crate) fn add(&mut self, frame: &Frame) {
        self.frames += 1;
        self.bytes += frame.payload.len() as u64;
    }

    /// A group of pictures begins at `index`, `length` after the one before.
    pub(crate) fn group(&mut self, length: Option<Ticks>, index: u64) {
        if let Some(length) = length.filter(|_| self.has_pictures) {
            (self.group, self.group_frames) = (length, index - self.last_key);
        }
        (self.has_pictures, self.last_key) = (true, index);
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            frames: self.frames,
            bytes: self.bytes,
            dropped: self.dropped,
            skipped: self.skipped,
            group: self.group,
            group_frames: self.group_frames,
            ..Stats::default()
        }
    }
}
