//! A participant, pure: what livekit-client and a browser would say, send and receive.
//!
//! Owns: LiveKit's signalling from the client's side in both its modes ([`Participant`]), peer connections
//! with their descriptions ([`Connection`]), synthetic but valid video and audio, retransmission in both
//! directions, reports and feedback, and what was received and how well ([`Stats`]). Stands on the same
//! `peer`, `srtp`, `rtp` and `sdp` as the server; keeps nothing of the server's own forwarding code, so that
//! a test of one against the other compares two readings of the standards.
//!
//! Knows nothing of sockets: datagrams, messages and the time go in; datagrams, messages and deadlines come
//! out.

mod connection;
pub mod content;
mod describe;
mod history;
mod incoming;
mod outgoing;
mod pacer;
mod participant;
mod payload;
mod plan;
mod recv;
mod source;
mod stats;
mod voice;

pub use connection::{Connection, Endpoint};
pub use outgoing::Publish;
pub use pacer::Pacing;
pub use participant::{Config, Mode, Participant, Quality};
pub use payload::Coding;
pub use plan::{Departure, Plan};
pub use source::{Layer, VideoSourceParams};
pub use stats::{Delay, Received, Sent, Stats, VideoStats};
