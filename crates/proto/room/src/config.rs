//! A room's rules.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A room's rules, fixed when it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// What the room starts with.
    pub metadata: String,
    /// 0 is no limit. Agents and recorders do not count.
    pub max_participants: u32,
    /// How long it waits for its first participant.
    pub empty_timeout: Duration,
    /// How long it outlives its last participant.
    pub departure_timeout: Duration,
    /// How long a participant may take from joining to having media connected.
    pub join_timeout: Duration,
    /// How long a subscription waits for a track that does not exist.
    pub unresolved_timeout: Duration,
    /// How long a lower demand waits before the publisher is told.
    pub demand_delay: Duration,
    /// The server API may unmute, not only mute.
    pub remote_unmute: bool,
    /// Bytes.
    pub max_metadata: usize,
    /// Bytes, keys and values together.
    pub max_attributes: usize,
    /// Bytes.
    pub max_identity: usize,
    /// Bytes.
    pub max_name: usize,
}

impl Default for Config {
    /// LiveKit's defaults.
    fn default() -> Self {
        Self {
            metadata: String::new(),
            max_participants: 0,
            empty_timeout: Duration::from_secs(300),
            departure_timeout: Duration::from_secs(20),
            join_timeout: Duration::from_secs(60),
            unresolved_timeout: Duration::from_secs(60),
            demand_delay: Duration::from_secs(5),
            remote_unmute: false,
            max_metadata: 512 * 1024,
            max_attributes: 64 * 1024,
            max_identity: 256,
            max_name: 256,
        }
    }
}
