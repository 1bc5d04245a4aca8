//! Rooms, participants, publications and subscriptions.
//!
//! Owns: who is in a room, what they may do, what they publish, who gets which track and when a room ends.
//! Knows no wire format: no protobuf, no SDP, no SSRC.

mod config;

pub use config::Config;
