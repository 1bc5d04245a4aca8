//! Live streams on sockets.
//!
//! Owns: the one hub of this process and the desk before it, where everybody who wants to publish or play
//! is judged, counted and called away ([`Desk`]); listeners ([`rtmp`], [`http`]), players' sockets, relays ([`relay`]). Decides nothing that a protocol decides.

mod accept;
mod away;
mod callbacks;
mod config;
mod desk;
mod fan;
mod feed;
mod forms;
mod gate;
mod hls;
pub mod http;
pub mod relay;
pub mod rtmp;
mod socket;
mod stay;
#[cfg(test)]
mod testbed;

pub use config::Config;
pub use desk::{Desk, Refused, Visit};
pub use gate::{Connections, Full, Gate, Limits, Pass};
pub use stay::{Following, Playing, Publishing};

/// Both clocks, for the pure machines.
fn now() -> clock::Time {
    let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    // A clock before 1970 is a clock that was never set.
    clock::Time { mono: std::time::Instant::now(), unix: unix.unwrap_or_default() }
}
