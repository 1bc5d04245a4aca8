//! The hub of live streams.
//!
//! Owns: what a frame and a track are, whatever protocol they came by. Knows no protocol, no container, no
//! RTP and no socket: protocols bring frames in and take frames out.

mod frame;
mod track;

pub use frame::{Frame, Ticks};
pub use track::{Picture, Shape, Sound, Track, TrackId};
