//! How loud an audio track was, by the level its sender puts on each packet (RFC 6464).

use std::time::{Duration, Instant};

/// Audio in one packet. Opus as browsers send it; a packet says its level, not its length.
const PACKET_TIME: Duration = Duration::from_millis(20);

/// What no sound is, RFC 6464 section 3.
const SILENCE: u8 = 127;

/// One interval's summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Loudness {
    /// -dBov of the loudest packet.
    pub(crate) loudest: u8,
    /// Share of the interval at or above the active threshold, in percent.
    pub(crate) active_percent: u8,
}

impl Loudness {
    const SILENT: Self = Self { loudest: SILENCE, active_percent: 0 };
}

/// One track's meter.
#[derive(Debug)]
pub(crate) struct Meter {
    interval: Duration,
    threshold: u8,
    begun: Option<Instant>,
    loudest: u8,
    active: u32,
    last: Loudness,
}

impl Meter {
    pub(crate) fn new(interval: Duration, threshold: u8) -> Self {
        Self { interval, threshold, begun: None, loudest: SILENCE, active: 0, last: Loudness::SILENT }
    }

    /// Takes a packet's level.
    pub(crate) fn packet(&mut self, now: Instant, level: u8) {
        self.begun.get_or_insert(now);
        self.loudest = self.loudest.min(level);
        if level <= self.threshold {
            self.active += 1;
        }
    }

    /// The interval's summary once it is over. Silence is told once, not again and again: a muted sender,
    /// or one with discontinuous transmission, sends nothing.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Loudness> {
        let begun = *self.begun.get_or_insert(now);
        let elapsed = now.saturating_duration_since(begun);
        if elapsed < self.interval {
            return None;
        }
        let active = PACKET_TIME * self.active;
        let percent = active.as_millis() * 100 / elapsed.as_millis().max(1);
        let loudness = Loudness { loudest: self.loudest, active_percent: percent.min(100) as u8 };
        (self.begun, self.loudest, self.active) = (Some(now), SILENCE, 0);
        let news = loudness != Loudness::SILENT || self.last != Loudness::SILENT;
        self.last = loudness;
        news.then_some(loudness)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_is_told_each_interval_and_silence_once() {
        let mut meter = Meter::new(Duration::from_millis(400), 35);
        let t0 = Instant::now();
        let at = |ms: u64| t0 + Duration::from_millis(ms);
        for n in 0..20 {
            // Ten loud packets, ten quiet ones.
            meter.packet(at(n * 20), if n < 10 { 20 } else { 60 });
        }
        assert_eq!(meter.poll(at(399)), None);
        assert_eq!(meter.poll(at(400)), Some(Loudness { loudest: 20, active_percent: 50 }));
        assert_eq!(meter.poll(at(800)), Some(Loudness::SILENT));
        assert_eq!(meter.poll(at(1200)), None);
        assert_eq!(meter.poll(at(1600)), None);
        meter.packet(at(1610), 35);
        assert_eq!(meter.poll(at(2000)), Some(Loudness { loudest: 35, active_percent: 5 }));
    }
}
