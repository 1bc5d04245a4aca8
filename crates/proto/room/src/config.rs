//! A room's rules.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Bounds of a receiver's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlayoutDelay {
    pub min: Duration,
    pub max: Duration,
}

/// What a buffer holds at most where only the least is said: what browsers hold at most.
const PLAYOUT_DELAY_MAX: u32 = 10_000;

impl PlayoutDelay {
    /// From LiveKit's milliseconds, of which 0 is not said.
    pub fn of_millis(min: u32, max: u32) -> Self {
        let max = if max == 0 { PLAYOUT_DELAY_MAX } else { max };
        Self { min: Duration::from_millis(min.into()), max: Duration::from_millis(max.max(min).into()) }
    }
}

/// A room's rules, fixed when it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// What the room starts with.
    pub metadata: String,
    /// 0 is no limit. Agents and recorders do not count.
    pub max_participants: u32,
    /// How long it waits for its first participant. Agents and recorders do not count here either, nor below.
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
    /// How long subscribers are told to hold pictures before they show them; left to them where it is not
    /// said.
    pub playout_delay: Option<PlayoutDelay>,
    /// A publisher's tracks of one stream are played together.
    pub sync_streams: bool,
    /// Pictures that one subscriber gets at once; 0 is no limit.
    pub max_videos: u32,
    /// The same for sounds.
    pub max_audios: u32,
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
            playout_delay: None,
            sync_streams: false,
            max_videos: 0,
            max_audios: 0,
            max_metadata: 512 * 1024,
            max_attributes: 64 * 1024,
            max_identity: 256,
            max_name: 256,
        }
    }
}
