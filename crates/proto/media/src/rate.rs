//! How much a second.

use std::time::{Duration, Instant};

/// The time over which a rate is taken: longer than most groups' beat of big and small frames.
const WINDOW: Duration = Duration::from_secs(2);

/// Frames and bytes a second, over the last full window.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rate {
    begin: Option<Instant>,
    frames: u64,
    bytes: u64,
    /// A second, of the window before.
    known: (f64, f64),
}

impl Rate {
    pub(crate) fn add(&mut self, now: Instant, bytes: usize) {
        let begin = *self.begin.get_or_insert(now);
        let passed = now.saturating_duration_since(begin);
        if passed >= WINDOW {
            let seconds = passed.as_secs_f64();
            self.known = (self.frames as f64 / seconds, self.bytes as f64 * 8.0 / seconds);
            (self.begin, self.frames, self.bytes) = (Some(now), 0, 0);
        }
        self.frames += 1;
        self.bytes += bytes as u64;
    }

    /// Frames and bits a second; none once nothing has come for two windows.
    pub(crate) fn read(&self, now: Instant) -> (f64, f64) {
        let Some(begin) = self.begin else { return (0.0, 0.0) };
        let passed = now.saturating_duration_since(begin);
        if passed > 2 * WINDOW {
            return (0.0, 0.0);
        }
        if self.known.0 > 0.0 || passed < Duration::from_millis(200) {
            return self.known;
        }
        let seconds = passed.as_secs_f64();
        (self.frames as f64 / seconds, self.bytes as f64 * 8.0 / seconds)
    }
}
