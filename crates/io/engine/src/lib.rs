//! Media workers: one pinned thread a core around a router.
//!
//! Owns: the threads, their sockets, the time they tell their routers, and what crosses between them.
//! Knows nothing of rooms beyond the serial in an id, nor of signalling.
//!
//! - [`Handle`]: commands in, events out, addresses and counters to ask for.
//! - a worker's loop, its priorities numbered;
//! - a lobby where clients over TCP wait until their worker is known;
//! - a mailbox and a bell for each worker, and a lane from each worker to each other one.

mod bell;
mod config;
mod crossing;
mod doze;
mod error;
mod events;
mod handle;
mod hold;
mod homes;
mod lane;
mod lobby;
mod mailbox;
mod outgoing;
mod port;
mod ports;
mod rooms;
mod start;
mod stats;
mod streams;
mod worker;

pub use config::{Config, Egress, InterfaceFilter, Ports, TcpPort};
pub use error::{SendError, StartError, Unsent};
pub use events::{Events, Limits, Sink, events};
pub use handle::Handle;
pub use rooms::id_of;
pub use start::start;
pub use stats::WorkerStats;
