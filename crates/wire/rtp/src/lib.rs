//! RTP and RTCP: parse, build and rewrite without copies; typed ids and units.

mod ids;

pub use ids::{Bitrate, Label, Mid, Pt, Rid, Ssrc};
