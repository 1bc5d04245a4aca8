//! The time that is passed into every pure machine.
//!
//! Owns: the pair of clocks a media server needs at once. Knows nothing of where the time comes from: a
//! driver reads both clocks once a turn, a test makes them up and moves them.

use std::time::{Duration, Instant};

/// One moment on both clocks: `mono` for intervals and deadlines, `unix` for sender reports, tokens and
/// playlists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Monotonic clock.
    pub mono: Instant,
    /// Wall clock, since 1970-01-01T00:00:00Z.
    pub unix: Duration,
}

/// Seconds between the NTP era (1900) and the Unix era (1970), RFC 5905 section 6.
const NTP_TO_UNIX_SECONDS: u64 = 2_208_988_800;

impl Time {
    /// The moment `d` later on both clocks.
    #[must_use]
    pub fn after(self, d: Duration) -> Self {
        Self { mono: self.mono + d, unix: self.unix + d }
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Instant) -> Duration {
        self.mono.saturating_duration_since(earlier)
    }

    /// Wall clock in whole milliseconds since 1970.
    pub fn unix_millis(self) -> i64 {
        i64::try_from(self.unix.as_millis()).unwrap_or(i64::MAX)
    }

    /// Wall clock in NTP's 32.32 fixed point format (RFC 3550 section 4).
    pub fn ntp(self) -> u64 {
        let seconds = self.unix.as_secs().wrapping_add(NTP_TO_UNIX_SECONDS);
        let fraction = (u64::from(self.unix.subsec_nanos()) << 32) / 1_000_000_000;
        (seconds << 32) | fraction
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods)] // a test has to begin somewhere
    fn ntp_counts_from_1900_in_fractions_of_2_to_the_32() {
        // Given: half a second after the Unix epoch.
        let t = Time { mono: Instant::now(), unix: Duration::from_millis(500) };
        assert_eq!(t.ntp(), (2_208_988_800 << 32) | 0x8000_0000);
        assert_eq!(t.after(Duration::from_millis(500)).ntp(), 2_208_988_801 << 32);
    }
}
