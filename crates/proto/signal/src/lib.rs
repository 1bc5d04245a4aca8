//! The LiveKit dialect of rooms: sessions, requests, responses, negotiation.
//!
//! Owns: what is said to a LiveKit client and when, in protobuf and SDP, for clients with two peer
//! connections (v0) and with one (v1); which media ids, SSRCs, payload types and m-sections carry which
//! track; data packets, speakers, and the commands of the server API that are about one room. Knows nothing
//! of sockets, HTTP or how media moves: it is a machine that is told [`Input`]s and tells [`Output`]s.

mod admin;
mod admission;
mod announcement;
mod blobs;
mod conference;
mod config;
mod crowd;
mod data;
mod data_tracks;
mod engine_events;
mod events;
mod forwarding;
mod io;
pub mod join;
mod media;
mod messages;
mod moving;
mod negotiation;
mod offering;
mod publishing;
mod quality;
mod rate;
mod redundancy;
mod reliable;
mod requests;
mod resume;
mod second_codec;
mod session;
mod settings;
mod simulate;
mod speakers;
mod subscribing;
#[cfg(test)]
mod tests;
pub mod whip;

pub use conference::Conference;
pub use config::{Config, IceServer, Issuer, Limits, Media, Server};
pub use forwarding::{Forwarded, Route, Shadow};
pub use io::{Admin, AdminError, AdminReply, Input, Join, Output, SessionId};
pub use join::{BadRequest, JoinRequest, Mode, Refusal};
pub use messages::server_info;
pub use moving::Migrant;
pub use rate::Rate;
