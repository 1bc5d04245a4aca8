//! When a worker looks for what others have for it by itself, instead of being woken for each of it.
//!
//! Owns: the measure of how often others have something. Waking a thread that sleeps on another core costs the one that
//! wakes as much as sending several packets, and far more on a virtual machine. Where that happened more than once a
//! [`TICK`], the worker sleeps no longer than a tick and need not be woken: packets that crossed wait half of one on
//! average, and what several publishers sent meanwhile is taken at once.

use std::time::{Duration, Instant};

/// Longest sleep of a worker that nobody wakes: what crossing adds to a packet's delay at most.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// How often it is measured how much comes.
const WINDOW: Duration = Duration::from_millis(20);
/// Parcels in a window from which on ticks are the fewer wake-ups, and below which they are not.
const MANY: u32 = 20;
const FEW: u32 = 10;

/// Whether to be woken or to look.
#[derive(Debug)]
pub(crate) struct Doze {
    window_start: Instant,
    parcels: u32,
    looks: bool,
}

impl Doze {
    pub(crate) fn new(now: Instant) -> Self {
        Self { window_start: now, parcels: 0, looks: false }
    }

    /// A parcel came from another worker.
    pub(crate) fn came(&mut self) {
        self.parcels += 1;
    }

    /// Whether to look after a tick at the latest and not be woken.
    pub(crate) fn looks(&mut self, now: Instant) -> bool {
        let took = now.saturating_duration_since(self.window_start);
        if took >= WINDOW {
            // A window that a long turn or sleep has stretched holds more.
            let windows = (took.as_nanos() / WINDOW.as_nanos()) as u32;
            let least = if self.looks { FEW } else { MANY };
            self.looks = self.parcels >= least.saturating_mul(windows);
            self.parcels = 0;
            self.window_start = now;
        }
        self.looks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What it does after each window of so many parcels.
    fn after(windows: &[u32]) -> Vec<bool> {
        let mut now = Instant::now();
        let mut doze = Doze::new(now);
        let mut step = |count: &u32| {
            (0..*count).for_each(|_| doze.came());
            now += WINDOW;
            doze.looks(now)
        };
        windows.iter().map(&mut step).collect()
    }

    #[test]
    fn it_looks_while_much_comes_and_is_woken_otherwise() {
        assert_eq!(after(&[0, MANY - 1, MANY, FEW, FEW - 1, FEW]), [false, false, true, true, false, false]);
    }

    #[test]
    fn a_long_sleep_ends_it_and_needs_as_much_for_each_window() {
        let start = Instant::now();
        let mut doze = Doze::new(start);
        (0..MANY).for_each(|_| doze.came());
        assert!(!doze.looks(start + WINDOW - Duration::from_nanos(1)), "not yet");
        assert!(doze.looks(start + WINDOW));
        (0..MANY).for_each(|_| doze.came());
        assert!(!doze.looks(start + WINDOW * 6));
    }
}
