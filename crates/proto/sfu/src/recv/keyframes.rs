//! Key frame requests to a publisher, not more often than it can bear.

use std::time::{Duration, Instant};

/// One encoding's requests (PLI, RFC 4585 section 6.3.1). Many subscribers want; the publisher is asked
/// once an interval.
#[derive(Debug)]
pub(crate) struct KeyFrames {
    interval: Duration,
    wanted: bool,
    asked: Option<Instant>,
}

impl KeyFrames {
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval, wanted: false, asked: None }
    }

    /// Somebody needs a key frame.
    pub(crate) fn want(&mut self) {
        self.wanted = true;
    }

    /// One has come: all that waited are served.
    pub(crate) fn arrived(&mut self) {
        self.wanted = false;
    }

    /// Whether to ask now.
    pub(crate) fn poll(&mut self, now: Instant) -> bool {
        let due = self.next().is_some_and(|at| at <= now);
        if due || (self.wanted && self.asked.is_none()) {
            self.wanted = false;
            self.asked = Some(now);
            return true;
        }
        false
    }

    /// When to ask next, if somebody waits; without an earlier request that is at once.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.asked.filter(|_| self.wanted).map(|asked| asked + self.interval)
    }

    /// Whether somebody waits.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_wishes_are_one_request_an_interval_and_none_is_forgotten() {
        let t0 = Instant::now();
        let at = |ms| t0 + Duration::from_millis(ms);
        let mut k = KeyFrames::new(Duration::from_millis(500));
        assert!(!k.poll(at(0)));
        k.want();
        k.want();
        assert!(k.poll(at(0)));
        assert!(!k.poll(at(1)));
        k.want();
        assert_eq!(k.next(), Some(at(500)));
        assert!(!k.poll(at(499)));
        assert!(k.poll(at(500)));
    }

    #[test]
    fn a_key_frame_serves_all_that_wait() {
        let t0 = Instant::now();
        let mut k = KeyFrames::new(Duration::from_millis(500));
        k.want();
        assert!(k.poll(t0));
        k.want();
        k.arrived();
        assert!(!k.poll(t0 + Duration::from_secs(9)));
    }
}
