//! A track: what all of its frames have in common.

use bytes::Bytes;
use codec::Kind;

/// A track within its stream: 0 for the first of its medium in protocols that number none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TrackId(pub u8);

impl TrackId {
    /// The first track of pictures.
    pub const VIDEO: Self = Self(0);
    /// The first track of sound.
    pub const AUDIO: Self = Self(64);
}

/// What a decoder must know before the first frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    pub id: TrackId,
    pub codec: Kind,
    /// The decoder configuration record as MP4 and FLV have it: `avcC`, `hvcC`, `av1C` or `vpcC` without
    /// their box header, AAC's `AudioSpecificConfig`, Opus' identification header (RFC 7845 section 5.1).
    /// Empty for MP3, VP8 and where it has not come yet.
    pub config: Bytes,
    pub shape: Shape,
}

/// The size of a picture, or the form of sound, as the configuration or the first frame tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Video(Picture),
    Audio(Sound),
}

/// Pixels as shown; zero where not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Picture {
    pub width: u32,
    pub height: u32,
}

/// Sampling; zero where not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sound {
    /// Samples a second of each channel.
    pub rate: u32,
    pub channels: u8,
}

impl Track {
    pub fn is_video(&self) -> bool {
        matches!(self.shape, Shape::Video(_))
    }
}
