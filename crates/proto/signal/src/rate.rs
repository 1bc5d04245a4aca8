//! How often a client may ask: a token bucket.

use std::time::{Duration, Instant};

/// So many at once, and so many a second in the long run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub burst: u32,
    pub per_second: u32,
}

/// What one client has left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    /// In millionths of a request.
    left: u64,
    at: Instant,
}

const ONE: u64 = 1_000_000;

impl Allowance {
    pub(crate) fn full(rate: Rate, now: Instant) -> Self {
        Self { left: u64::from(rate.burst) * ONE, at: now }
    }

    /// Whether one more is allowed; if so, it counts.
    pub(crate) fn take(&mut self, rate: Rate, now: Instant) -> bool {
        self.take_many(rate, 1, now)
    }

    /// The same of one that is worth several; one that is worth more than all there ever is needs all there is.
    pub(crate) fn take_many(&mut self, rate: Rate, count: u32, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).min(Duration::from_secs(3600));
        let gained =
            u64::try_from(passed.as_micros()).unwrap_or(u64::MAX).saturating_mul(rate.per_second.into());
        self.left = self.left.saturating_add(gained).min(u64::from(rate.burst) * ONE);
        self.at = self.at.max(now);
        let worth = u64::from(count.min(rate.burst).max(1)) * ONE;
        let allowed = self.left >= worth;
        if allowed {
            self.left -= worth;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods)] // A start that only tests know.
    fn a_burst_and_then_a_steady_rate() {
        let rate = Rate { burst: 3, per_second: 2 };
        let start = Instant::now();
        let mut left = Allowance::full(rate, start);
        let taken = |left: &mut Allowance, millis| {
            (0..10).filter(|_| left.take(rate, start + Duration::from_millis(millis))).count()
        };
        assert_eq!([taken(&mut left, 0), taken(&mut left, 499), taken(&mut left, 500)], [3, 0, 1]);
        assert_eq!([taken(&mut left, 1500), taken(&mut left, 3_600_000)], [2, 3]);
        // Time that goes backwards gives nothing.
        assert_eq!(taken(&mut left, 0), 0);
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // As above.
    fn what_is_worth_more_waits_longer_and_not_for_ever() {
        let rate = Rate { burst: 10, per_second: 1 };
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut left = Allowance::full(rate, start);
        assert!(left.take_many(rate, 8, start) && !left.take_many(rate, 8, after(5)));
        assert!(left.take_many(rate, 8, after(6)));
        assert!(!left.take_many(rate, 1000, after(15)) && left.take_many(rate, 1000, after(16)));
    }
}
