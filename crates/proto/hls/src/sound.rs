//! When blocks of sound are played.

use codec::config::samples;
use media::{Frame, Ticks, Track};

/// Protocols count milliseconds and blocks of sound are no whole number of them: what is nearer than this to where
/// the block before it ends follows it without a gap. Less than what anybody sees between sound and picture.
const TOLERANCE_MILLIS: i64 = 30;

/// A clock that counts samples, and is put right when it is far from the stream's.
#[derive(Debug, Default)]
pub(crate) struct SoundClock {
    next: Option<i64>,
}

/// Where a block of sound is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) start: i64,
    pub(crate) samples: u32,
}

impl SoundClock {
    /// The place of a block, in samples of `rate` a second; none if it is not what its codec says.
    pub(crate) fn place(&mut self, track: &Track, frame: &Frame, rate: u32) -> Option<Place> {
        let (samples, own_rate) = samples(track.codec, &track.config, &frame.payload).ok()?;
        let samples = u64::from(samples) * u64::from(rate) / u64::from(own_rate.max(1));
        let samples = u32::try_from(samples).ok()?;
        let told = frame.dts.scaled_to(rate).max(0);
        let tolerance = Ticks::from_millis(TOLERANCE_MILLIS).scaled_to(rate);
        let start = self.next.filter(|next| (next - told).abs() <= tolerance).unwrap_or(told);
        self.next = Some(start + i64::from(samples));
        Some(Place { start, samples })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use codec::Kind;
    use media::{Shape, Sound, TrackId};

    use super::*;

    #[test]
    fn milliseconds_become_samples_without_gaps_and_do_not_drift() {
        let track = Track {
            id: TrackId::AUDIO,
            codec: Kind::Aac,
            config: Bytes::from_static(&[0x12, 0x10]),
            shape: Shape::Audio(Sound { rate: 44_100, channels: 2 }),
        };
        let mut clock = SoundClock::default();
        let mut at = |millis| {
            let dts = Ticks::from_millis(millis);
            let frame = Frame { track: track.id, key: true, dts, pts: dts, payload: Bytes::new() };
            clock.place(&track, &frame, 44_100).unwrap()
        };
        // An hour of blocks of 23.2 ms, told in milliseconds.
        for n in 0..155_000 {
            let place = at((n * 1_024_000 + 22_050) / 44_100);
            assert_eq!(place, Place { start: n * 1024, samples: 1024 });
        }
        // A second is missing.
        assert_eq!(at(3_601_000).start, 3_601 * 44_100);
        // A clock that runs 1 % slow is followed in steps that nobody hears.
        let mut last = 3_601_000;
        for n in 1..1000 {
            last = 3_601_000 + n * 23;
            let told = Ticks::from_millis(last).scaled_to(44_100);
            assert!((at(last).start - told).abs() <= 44_100 * 30 / 1000 + 1);
        }
        assert!(last > 0);
    }
}
