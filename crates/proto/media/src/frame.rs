//! A frame, and the clock its times are on.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use bytes::Bytes;

use crate::TrackId;

/// A moment of, or a distance on, a stream's own clock: 90,000 a second, as in MPEG-TS (ISO/IEC 13818-1).
///
/// Milliseconds (RTMP, FLV) and 48 kHz audio frames are whole numbers of it; it never wraps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ticks(pub i64);

impl Ticks {
    /// Ticks in a second.
    pub const PER_SECOND: i64 = 90_000;

    /// From whole milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(Self::PER_SECOND / 1000))
    }

    /// In milliseconds, rounded to the nearest, so that a time that came in milliseconds goes out the same.
    pub const fn millis(self) -> i64 {
        const PER_MILLI: i64 = Ticks::PER_SECOND / 1000;
        self.0.saturating_add(PER_MILLI / 2).div_euclid(PER_MILLI)
    }

    /// In units of `rate` a second, rounded to the nearest: a container's own time scale.
    pub const fn scaled_to(self, rate: u32) -> i64 {
        let wide = self.0 as i128 * rate as i128 + (Self::PER_SECOND / 2) as i128;
        wide.div_euclid(Self::PER_SECOND as i128) as i64
    }

    /// From units of `rate` a second, rounded to the nearest; zero if `rate` is.
    pub const fn from_scale(units: i64, rate: u32) -> Self {
        if rate == 0 {
            return Self(0);
        }
        let wide = units as i128 * Self::PER_SECOND as i128 + (rate / 2) as i128;
        Self(wide.div_euclid(rate as i128) as i64)
    }

    /// As a duration; a negative distance is none.
    pub fn duration(self) -> Duration {
        let ticks = u64::try_from(self.0).unwrap_or(0);
        let second = Self::PER_SECOND as u64;
        Duration::new(ticks / second, (ticks % second * 1_000_000_000 / second) as u32)
    }

    /// The distance that `duration` is, rounded down.
    pub fn from_duration(duration: Duration) -> Self {
        // Not by way of all its nanoseconds, which would be divided in 128 bits, and for each player of each frame.
        let rest = i64::from(duration.subsec_nanos()) * Self::PER_SECOND / 1_000_000_000;
        let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        Self(seconds.saturating_mul(Self::PER_SECOND).saturating_add(rest))
    }
}

impl Add for Ticks {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Ticks {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Ticks {
    /// Seconds to the millisecond.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.millis();
        let sign = if millis < 0 { "-" } else { "" };
        write!(f, "{sign}{}.{:03}s", millis.abs() / 1000, millis.abs() % 1000)
    }
}

/// One coded picture, or one block of coded sound.
///
/// `payload` has one form for each codec, whatever protocol brought it:
///
/// | codec | form |
/// |---|---|
/// | H.264, H.265 | NAL units, each behind its length in 4 bytes (ISO/IEC 14496-15); parameter sets are in the track's configuration, and stay in the frame too if they came in it |
/// | AV1 | the OBUs of a temporal unit in the low-overhead format, without its temporal delimiter |
/// | VP8, VP9 | the frame (VP9: the superframe) |
/// | AAC | one raw access unit, without ADTS |
/// | Opus | one packet |
/// | MP3 | one frame with its header |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The track of the stream it belongs to.
    pub track: TrackId,
    /// Whether a decoder can begin here. Every frame of sound is a key frame.
    pub key: bool,
    /// When it is decoded; never goes back within a stream's track once the hub has it.
    pub dts: Ticks,
    /// When it is shown, later than `dts` where pictures are reordered.
    pub pts: Ticks,
    pub payload: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_survive_the_way_there_and_back() {
        for millis in [0, 1, 33, 999, 4_294_967_296, -40] {
            assert_eq!(Ticks::from_millis(millis).millis(), millis);
        }
    }

    #[test]
    fn a_time_scale_rounds_to_the_nearest_and_does_not_drift() {
        assert_eq!(Ticks::from_scale(1024, 48_000), Ticks(1920));
        assert_eq!(Ticks(90_000 * 3600).scaled_to(44_100), 44_100 * 3600);
        assert_eq!(Ticks::from_scale(1024 * 1000, 44_100).scaled_to(44_100), 1024 * 1000);
        assert_eq!(Ticks::from_scale(7, 0), Ticks(0));
    }

    #[test]
    fn durations_are_exact_to_the_nanosecond_and_never_negative() {
        assert_eq!(Ticks(45_000).duration(), Duration::from_millis(500));
        assert_eq!(Ticks(-1).duration(), Duration::ZERO);
        assert_eq!(Ticks::from_duration(Duration::from_millis(20)), Ticks(1800));
        assert_eq!(Ticks::from_duration(Duration::from_nanos(2_000_011_111)), Ticks(180_000), "rounded down");
        assert_eq!(Ticks::from_duration(Duration::from_nanos(2_000_011_112)), Ticks(180_001));
        assert_eq!(Ticks::from_duration(Duration::MAX), Ticks(i64::MAX));
        assert_eq!(Ticks(-90_000).to_string(), "-1.000s");
    }
}
