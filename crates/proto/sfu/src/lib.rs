//! The selective forwarding unit of one worker: transports, published tracks (producers) and their way to
//! each subscriber (consumers).
//!
//! Owns: what happens to a media packet between two sockets. Knows nothing of rooms, signalling, SDP,
//! sockets or threads: [`Command`]s and datagrams come in, [`Event`]s and datagrams go out, and the time is
//! an argument.

#![cfg_attr(test, allow(clippy::disallowed_methods))] // a test may pick any moment to begin at

mod api;
mod bandwidth;
mod config;
mod consumer;
mod counters;
mod gate;
mod inspect;
mod levels;
mod link;
mod lipsync;
mod outbox;
mod packet;
mod peer_state;
mod producer;
mod quality;
mod rates;
mod recv;
mod ring;
mod router;
mod schedule;
mod ssrc;

pub use api::*;
pub use config::Config;
pub use counters::{Counters, Drops, Repair, Traffic};
pub use link::{LayerRates, Link, LinkBatch, LinkParams, Mapping};
pub use outbox::{Entry, MAX_RUN_BYTES, MAX_SEGMENTS, Outbox, Run, Runs};
pub use peer::Path;
pub use router::{PeerStats, Router};
