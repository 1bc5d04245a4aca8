//! A histogram of delays: fixed memory, quantiles within 3 %.

use std::time::Duration;

/// Steps within each doubling.
const STEPS: usize = 32;
/// Doublings: up to 2^26 µs, a minute.
const DOUBLINGS: usize = 27;

#[derive(Debug, Clone)]
pub(crate) struct Delays {
    counts: Vec<u64>,
    total: u64,
    max: Duration,
}

impl Default for Delays {
    fn default() -> Self {
        Self { counts: vec![0; STEPS * DOUBLINGS], total: 0, max: Duration::ZERO }
    }
}

/// Below `STEPS` microseconds a step is one; above, doublings are divided evenly.
fn step_of(micros: u64) -> usize {
    let steps = STEPS as u64;
    if micros < steps {
        return micros as usize;
    }
    let doubling = micros.ilog2() - steps.ilog2();
    let within = (micros >> doubling) - steps;
    ((u64::from(doubling) + 1) * steps + within) as usize
}

fn micros_of(step: usize) -> u64 {
    let (doubling, within) = (step / STEPS, (step % STEPS) as u64);
    if doubling == 0 { within } else { (STEPS as u64 + within) << (doubling - 1) }
}

impl Delays {
    pub(crate) fn record(&mut self, delay: Duration) {
        let micros = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
        let last = self.counts.len() - 1;
        if let Some(count) = self.counts.get_mut(step_of(micros).min(last)) {
            *count += 1;
        }
        self.total += 1;
        self.max = self.max.max(delay);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    /// What has been recorded since `earlier`, a copy of this one then. Its longest delay is to a step.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let counts: Vec<u64> =
            self.counts.iter().zip(&earlier.counts).map(|(a, b)| a.saturating_sub(*b)).collect();
        let total = counts.iter().sum();
        let longest = counts.iter().rposition(|count| *count > 0).map_or(0, micros_of);
        Self { counts, total, max: Duration::from_micros(longest).min(self.max) }
    }

    /// The delay that this share of packets did not exceed, in milliseconds; 0 without packets.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let wanted = (self.total as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (step, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return micros_of(step) as f64 / 1000.0;
            }
        }
        0.0
    }

    pub(crate) fn max_ms(&self) -> f64 {
        self.max.as_secs_f64() * 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_step() {
        let mut delays = Delays::default();
        assert_eq!(delays.quantile(0.99), 0.0);
        for micros in 1..=10_000 {
            delays.record(Duration::from_micros(micros));
        }
        for (share, exact) in [(0.5, 5.0), (0.99, 9.9), (1.0, 10.0)] {
            let got = delays.quantile(share);
            assert!((got - exact).abs() / exact < 0.04, "{share}: {got} instead of {exact}");
        }
        let mut both = Delays::default();
        both.record(Duration::from_secs(3600));
        both.merge(&delays);
        assert_eq!((both.total, both.max_ms()), (10_001, 3_600_000.0));
        let earlier = delays.clone();
        assert_eq!(delays.since(&earlier).quantile(0.5), 0.0);
        delays.record(Duration::from_micros(500));
        let later = delays.since(&earlier);
        assert_eq!((later.total, later.quantile(0.5), later.max), (1, 0.496, Duration::from_micros(496)));
    }

    #[test]
    fn every_step_begins_where_it_says() {
        for step in 0..STEPS * DOUBLINGS {
            assert_eq!(step_of(micros_of(step)), step);
        }
    }
}
