//! The load generator: participants of our own against any server that speaks LiveKit's protocol.
//!
//! Owns: the options, the sockets and threads under [`client::Participant`], pacing of joins, and the report.
//! Stands on nothing of the server but what clients need too.

mod cost;
mod crowd;
mod delays;
mod report;
mod room;
mod sheet;
mod signalling;

pub use room::{Pacing, Room, Video, run};
