//! The load generator: participants of our own against any server that speaks LiveKit's protocol, publishers and
//! players of live streams against any server that speaks RTMP, HTTP-FLV or HLS.
//!
//! Owns: the options, the sockets and threads under [`client::Participant`] and [`rtmp::Client`], pacing of joins,
//! and the report. Stands on nothing of the server but what clients need too.

mod cost;
mod crowd;
mod delays;
mod files;
pub mod live;
mod measuring;
mod report;
mod room;
mod server;
mod sheet;
mod signalling;

pub use live::Live;
pub use measuring::Measuring;
pub use room::{Pacing, Room, Video, run};
