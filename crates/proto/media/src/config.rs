//! What can be set for a stream.

use std::time::Duration;

/// Settings of a stream; those of its application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The ring's bound in frames. The group of the newest key frame is kept beyond it.
    pub max_frames: usize,
    /// The ring's bound in bytes, which nothing exceeds.
    pub max_bytes: usize,
    /// How much a new player gets at once; one that is twice as far behind jumps ahead.
    pub content_latency: Duration,
    /// How long a pulled stream is kept without players, and a published one without its publisher.
    pub idle_time: Duration,
    /// How long a publisher may be silent.
    pub timeout_time: Duration,
    /// Whether a second publisher takes over, or is refused.
    pub replace_publisher: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_frames: 1000,
            max_bytes: 64 << 20,
            content_latency: Duration::from_secs(3),
            idle_time: Duration::from_secs(30),
            timeout_time: Duration::from_secs(20),
            replace_publisher: true,
        }
    }
}
