//! When the packets of a frame leave: at once, or as Chromium's pacer lets them go, and then through a line.
//!
//! The pacer's figures are those of libwebrtc (modules/pacing), and were seen in what Chromium 156 sent over
//! loopback: 643 frames of VP8, H.264 and AV1 at 2 to 3.2 Mbit/s, timed by the receiving kernel.

use std::time::{Duration, Instant};

use rand::Rng as _;
use rand::rngs::SmallRng;

/// How the packets of a frame leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pacing {
    /// As Chromium spreads them; without it a frame's packets leave at once.
    pub bursts: bool,
    /// Bits a second of the line behind which they come out one after the other; `None` for one without a
    /// limit of its own.
    pub uplink: Option<u64>,
}

/// The pacer sends this many times faster than the encoder's target (`kDefaultPaceMultiplier`).
const FACTOR: f64 = 2.5;
/// What may leave at once, in time at the pacer's rate (`kDefaultBurstInterval`); bursts of 24 kB 40 ms apart
/// were seen at 2 Mbit/s.
const BURST: Duration = Duration::from_millis(40);
/// And in bytes (`kMaxBurstSize`).
const MAX_BURST: f64 = 63_000.0;
/// Packets further apart than this begin a burst.
const NEW_BURST: Duration = Duration::from_millis(1);
/// Header, extensions and SRTP tag of a packet are about this much, bytes.
const OVERHEAD: usize = 60;

/// Microseconds from the first packet of a burst to the second one: quantiles of what was seen, evenly spaced.
const FIRST_GAPS: [u64; 16] = [11, 16, 30, 46, 57, 64, 74, 82, 91, 109, 136, 164, 190, 235, 294, 471];
/// The same between any later ones.
const LATER_GAPS: [u64; 16] = [9, 11, 12, 12, 13, 14, 15, 17, 19, 23, 26, 30, 36, 47, 69, 171];

/// The pacer of one track, and its line.
#[derive(Debug)]
pub(crate) struct Pacer {
    pacing: Pacing,
    rng: SmallRng,
    /// Bytes a second.
    rate: f64,
    /// When the last packet left the pacer.
    last: Option<Instant>,
    /// Packets of this burst.
    count: usize,
    /// Bytes sent and not yet worked off, as of `last`.
    debt: f64,
    /// When the line has sent everything.
    free_at: Option<Instant>,
}

impl Pacer {
    /// For an encoder of `bitrate`.
    pub(crate) fn new(pacing: Pacing, bitrate: u64, rng: SmallRng) -> Self {
        let rate = (bitrate as f64 * FACTOR / 8.0).max(1.0);
        Self { pacing, rng, rate, last: None, count: 0, debt: 0.0, free_at: None }
    }

    /// When a packet of `len` bytes that is ready now leaves; never before an earlier one.
    pub(crate) fn leaves(&mut self, now: Instant, len: usize) -> Instant {
        let len = len + OVERHEAD;
        let at = if self.pacing.bursts { self.paced(now, len) } else { now };
        let Some(rate) = self.pacing.uplink else { return at };
        let at = self.free_at.map_or(at, |free| free.max(at));
        self.free_at = Some(at + Duration::from_micros(len as u64 * 8 * 1_000_000 / rate.max(1)));
        at
    }

    fn paced(&mut self, now: Instant, len: usize) -> Instant {
        let mut at = now;
        if let Some(last) = self.last {
            if last + NEW_BURST > now {
                let gaps = if self.count == 1 { &FIRST_GAPS } else { &LATER_GAPS };
                let gap = gaps.get(self.rng.random_range(0..gaps.len())).copied().unwrap_or_default();
                at = at.max(last + Duration::from_micros(gap));
            } else {
                self.count = 0;
            }
            let worked_off = at.saturating_duration_since(last).as_secs_f64() * self.rate;
            self.debt = (self.debt - worked_off).max(0.0);
        }
        if self.debt > (BURST.as_secs_f64() * self.rate).min(MAX_BURST) {
            // All of it is worked off before the next burst.
            at += Duration::from_secs_f64(self.debt / self.rate);
            self.debt = 0.0;
            self.count = 0;
        }
        self.last = Some(at);
        self.count += 1;
        self.debt += len as f64;
        at
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn departures(pacing: Pacing, packets: usize) -> Vec<u64> {
        let start = Instant::now();
        let mut pacer = Pacer::new(pacing, 2_000_000, SmallRng::seed_from_u64(1));
        let leave = (0..packets).map(|_| pacer.leaves(start, 1140));
        leave.map(|at| (at - start).as_micros() as u64).collect()
    }

    #[test]
    fn a_frame_without_pacing_leaves_at_once() {
        assert_eq!(departures(Pacing::default(), 3), [0, 0, 0]);
    }

    #[test]
    fn a_usual_frame_is_one_burst_as_chromium_sends_it() {
        let mut lengths: Vec<u64> = (0..500)
            .map(|seed| {
                let start = Instant::now();
                let pacing = Pacing { bursts: true, uplink: None };
                let mut pacer = Pacer::new(pacing, 2_000_000, SmallRng::seed_from_u64(seed));
                (0..8)
                    .map(|_| pacer.leaves(start, 1140))
                    .last()
                    .map_or(0, |at| (at - start).as_micros() as u64)
            })
            .collect();
        lengths.sort_unstable();
        // 348 µs was the median of 7 packets, 816 µs the 90th percentile.
        assert!((250..450).contains(&lengths[250]), "{}", lengths[250]);
        assert!((400..900).contains(&lengths[450]), "{}", lengths[450]);
    }

    #[test]
    fn a_key_frame_is_cut_into_bursts_40_ms_apart() {
        let times = departures(Pacing { bursts: true, uplink: None }, 60);
        let pauses: Vec<(usize, u64)> = times
            .windows(2)
            .enumerate()
            .filter(|(_, pair)| pair[1] - pair[0] > 2000)
            .map(|(n, pair)| (n + 1, pair[1] - pair[0]))
            .collect();
        // Bursts of 20 and 21 packets were seen.
        assert_eq!(pauses.len(), 2, "{pauses:?}");
        assert!(pauses.iter().all(|(_, pause)| (38_000..44_000).contains(pause)), "{pauses:?}");
        assert!((20..=23).contains(&pauses[0].0), "{pauses:?}");
    }

    #[test]
    fn a_line_lets_one_packet_out_after_the_other() {
        let times = departures(Pacing { bursts: false, uplink: Some(20_000_000) }, 4);
        assert_eq!(times, [0, 480, 960, 1440]);
        let both = departures(Pacing { bursts: true, uplink: Some(20_000_000) }, 4);
        assert!(both.windows(2).all(|pair| pair[1] - pair[0] >= 480), "{both:?}");
    }
}
