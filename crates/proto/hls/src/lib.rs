//! HLS and LL-HLS of a live stream (RFC 8216, and draft-pantos-hls-rfc8216bis for low latency).
//!
//! Owns: where a stream is cut into segments and parts ([`Segmenter`]), and what playlists say of them. All of
//! it is in memory; bytes are shared, so a slow reader finishes what it began whatever has left the playlist
//! since. Knows no connection. Segments are MPEG transport streams: H.264, H.265, AAC and MP3.

mod playlist;
mod segment;
mod segmenter;
#[cfg(test)]
mod tests;

pub use segment::{Part, Segment};
pub use segmenter::{Config, Position, Segmenter};
