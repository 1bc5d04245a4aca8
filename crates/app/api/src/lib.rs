//! HTTP: LiveKit's WebSocket, server API and agent workers, webhooks, guest tokens, what is live, the embedded web page.
//!
//! Owns: connections, framing, who may join, the directory of rooms, and one task a room that drives its
//! [`signal::Conference`] against the media engine. Decides nothing that happens inside a room, and is the
//! only crate that names an HTTP library.
//!
//! The way of a join: `listen` accepts, `http` routes, `admit` judges, `join` knocks at a room that
//! `directory` finds or `driver` starts, `socket` carries frames until either side has had enough.

mod admit;
mod agents;
mod app;
mod capacity;
mod commands;
mod config;
mod directory;
mod driver;
mod guest;
mod http;
mod join;
mod listen;
mod metrics;
mod moving;
mod opening;
mod page;
mod protojson;
mod queue;
mod revoked;
mod socket;
mod streams;
mod twirp;
mod watch;
mod webhook;
mod whip;

pub use app::{Api, LivePorts};
pub use config::{Config, Limits, Rooms, Webhooks};
/// Settings that rooms may be opened with, and the agents that are sent there.
pub use livekit_protocol::{RoomAgentDispatch as PresetAgent, RoomConfiguration as Preset};

/// Both clocks, for the pure machines.
fn now() -> clock::Time {
    let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    // A clock before 1970 is a clock that was never set.
    clock::Time { mono: std::time::Instant::now(), unix: unix.unwrap_or_default() }
}

/// Bytes that nobody can guess.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system has random bytes");
    bytes
}
