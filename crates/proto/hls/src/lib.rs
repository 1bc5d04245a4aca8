//! HLS and LL-HLS of a live stream (RFC 8216, and draft-pantos-hls-rfc8216bis for low latency).
//!
//! Owns: which tracks go into which container ([`Tracks`], [`Variant`]), where a stream is cut into segments and
//! parts ([`Segmenter`]), what playlists say of them, what files are called ([`File`]) and how long a request has to
//! wait ([`Reload`]). All of it is in memory; bytes are shared, so a slow reader finishes what it began whatever
//! has left the playlist since. Knows no connection.

mod date;
mod file;
mod index;
mod packer;
mod playlist;
mod reload;
mod segment;
mod segmenter;
mod sound;
#[cfg(test)]
mod tests;
mod tracks;
mod wall;
mod window;

pub use file::{Container, File, Variant};
pub use index::{Facts, index};
pub use playlist::Page;
pub use reload::{Position, Reach, Reload};
pub use segment::{Part, Segment};
pub use segmenter::{Config, Segmenter};
pub use tracks::Tracks;
