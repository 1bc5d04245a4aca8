//! Whether this server does all that it is to do (LiveKit's `limit.num_tracks` and `limit.bytes_per_sec`).
//!
//! Owns: how fast media flows. A server that is full lets nobody in and opens no room; whoever is in stays.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::Limits;
use crate::app::Shared;

/// What is asked for is refused with these words, LiveKit's.
pub(crate) const FULL: &str = "node has exceeded its configured limit";
/// Over which bytes are counted.
const INTERVAL: Duration = Duration::from_secs(1);

/// How much this server does.
#[derive(Debug, Default)]
pub(crate) struct Load {
    bytes_per_second: AtomicU64,
}

impl Load {
    pub(crate) fn bytes_per_second(&self) -> u64 {
        self.bytes_per_second.load(Ordering::Relaxed)
    }
}

impl Shared {
    /// Whether nobody more is to be let in.
    pub(crate) fn is_full(&self) -> bool {
        let limits = self.config().limits;
        exceeds(&limits, || self.directory.tracks() + self.directory.subscriptions(), &self.load)
    }
}

/// Tracks are only counted where they are limited.
fn exceeds(limits: &Limits, tracks: impl FnOnce() -> usize, load: &Load) -> bool {
    (limits.tracks > 0 && tracks() >= limits.tracks as usize)
        || (limits.bytes_per_second > 0 && load.bytes_per_second() >= limits.bytes_per_second)
}

/// Measures for as long as there is something to measure.
pub(crate) fn start(shared: &Arc<Shared>) {
    let weak = Arc::downgrade(shared);
    tokio::spawn(measure(weak));
}

async fn measure(shared: Weak<Shared>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last: Option<(Instant, u64)> = None;
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        let now = Instant::now();
        let bytes =
            shared.engine.router_counters().iter().map(|c| c.traffic.bytes_in + c.traffic.bytes_out).sum();
        if let Some((then, before)) = last {
            let passed = now.duration_since(then).as_secs_f64();
            let rate = u64::saturating_sub(bytes, before) as f64 / passed.max(f64::MIN_POSITIVE);
            shared.load.bytes_per_second.store(rate as u64, Ordering::Relaxed);
        }
        last = Some((now, bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_full_from_its_limits_on() {
        let load = Load { bytes_per_second: 1000.into() };
        let full = |tracks, bytes_per_second, published| {
            exceeds(&Limits { tracks, bytes_per_second, ..Limits::default() }, || published, &load)
        };
        assert!(!full(0, 0, 1_000_000));
        assert!(!full(10, 0, 9) && full(10, 0, 10) && full(10, 0, 11));
        assert!(!full(0, 1001, 0) && full(0, 1000, 0));
        assert!(full(10, 1001, 10) && full(10, 1000, 0));
    }
}
