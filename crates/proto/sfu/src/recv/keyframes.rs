//! Key frame requests to a publisher, not more often than it can bear.

use std::time::{Duration, Instant};

/// Least time after which a request that no key frame has followed was probably lost. Encoders answer within a
/// frame; what remains is the round trip.
const ANSWER: Duration = Duration::from_millis(250);
/// Requests without an answer after which a publisher is left alone until somebody wants again: it may have
/// nothing to send.
const MAX_UNANSWERED: u8 = 4;

/// One encoding's requests (PLI, RFC 4585 section 6.3.1). Many subscribers want; a publisher that answers is
/// asked once an interval, and one that does not sooner, because requests are lost as packets are.
#[derive(Debug)]
pub(crate) struct KeyFrames {
    interval: Duration,
    answer: Duration,
    wanted: bool,
    asked: Option<Instant>,
    /// Requests since the last key frame.
    unanswered: u8,
}

impl KeyFrames {
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval, answer: ANSWER, wanted: false, asked: None, unanswered: 0 }
    }

    /// How long answers take at present.
    pub(crate) fn answers_take(&mut self, time: Duration) {
        self.answer = time.max(ANSWER);
    }

    /// Somebody needs a key frame.
    pub(crate) fn want(&mut self) {
        self.wanted = true;
    }

    /// One has come: all that waited are served.
    pub(crate) fn arrived(&mut self) {
        self.wanted = false;
        self.unanswered = 0;
    }

    /// Whether to ask now.
    pub(crate) fn poll(&mut self, now: Instant) -> bool {
        let due = self.next().is_some_and(|at| at <= now);
        if due || (self.wanted && self.asked.is_none()) {
            // A wish after a long silence begins anew.
            self.unanswered = if self.unanswered < MAX_UNANSWERED { self.unanswered + 1 } else { 1 };
            self.wanted = false;
            self.asked = Some(now);
            return true;
        }
        false
    }

    /// When to ask next, if there is a reason to; for the first wish of all that is at once.
    pub(crate) fn next(&self) -> Option<Instant> {
        let asked = self.asked?;
        if (1..MAX_UNANSWERED).contains(&self.unanswered) {
            // Longer each time.
            let patience = (self.answer * (1 << (self.unanswered - 1))).min(self.interval);
            return Some(asked + patience);
        }
        self.wanted.then(|| asked + self.interval)
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
        // When: it has been answered, and somebody else wants another.
        k.arrived();
        k.want();
        assert_eq!(k.next(), Some(at(500)));
        assert!(!k.poll(at(499)));
        assert!(k.poll(at(500)));
    }

    #[test]
    fn a_request_that_is_not_answered_is_repeated_a_few_times() {
        let t0 = Instant::now();
        let mut k = KeyFrames::new(Duration::from_millis(1000));
        k.want();
        let asked = |k: &mut KeyFrames, from: u64, to: u64| -> Vec<u64> {
            (from..to).filter(|ms| k.poll(t0 + Duration::from_millis(*ms))).collect()
        };
        assert_eq!(asked(&mut k, 0, 10_000), [0, 250, 750, 1750]);
        assert_eq!(k.next(), None);
        // When: somebody wants again.
        k.want();
        assert_eq!(asked(&mut k, 10_000, 10_300), [10_000, 10_250]);
        k.arrived();
        assert_eq!(asked(&mut k, 10_300, 20_000), [] as [u64; 0]);
    }

    #[test]
    fn a_request_has_the_time_that_its_answer_takes() {
        let t0 = Instant::now();
        let mut k = KeyFrames::new(Duration::from_millis(1000));
        k.answers_take(Duration::from_millis(400));
        k.want();
        let asked = (0..5000).filter(|ms| k.poll(t0 + Duration::from_millis(*ms))).collect::<Vec<u64>>();
        assert_eq!(asked, [0, 400, 1200, 2200]);
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
