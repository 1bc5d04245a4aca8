//! What was sent lately, to answer NACKs.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use clock::Time;

/// How long a packet can be asked for, as in libwebrtc at ordinary round trips.
const KEEP: Duration = Duration::from_secs(1);
/// A packet is not repeated more often than this: a second request within it crossed the first answer.
const REPEAT: Duration = Duration::from_millis(20);

/// Packets of one stream, oldest first.
#[derive(Debug, Default)]
pub(crate) struct History {
    sent: VecDeque<Sent>,
}

#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) seq: u16,
    at: Instant,
    repeated: Option<Instant>,
    pub(crate) marker: bool,
    pub(crate) timestamp: u32,
    pub(crate) payload: Vec<u8>,
}

impl History {
    pub(crate) fn push(&mut self, now: Time, seq: u16, marker: bool, timestamp: u32, payload: Vec<u8>) {
        while self.sent.front().is_some_and(|s| now.since(s.at) > KEEP) {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent { seq, at: now.mono, repeated: None, marker, timestamp, payload });
    }

    /// The packet, unless it is gone or was repeated a moment ago.
    pub(crate) fn repeat(&mut self, now: Time, seq: u16) -> Option<&Sent> {
        let first = self.sent.front()?.seq;
        let sent = self.sent.get_mut(usize::from(seq.wrapping_sub(first)))?;
        let due = sent.repeated.is_none_or(|r| now.since(r) >= REPEAT);
        if sent.seq != seq || now.since(sent.at) > KEEP || !due {
            return None;
        }
        sent.repeated = Some(now.mono);
        Some(sent)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use super::*;

    #[test]
    fn packets_are_found_past_the_wrap_until_they_are_old() {
        let t = Time { mono: Instant::now(), unix: Duration::ZERO };
        let mut h = History::default();
        assert!(h.repeat(t, 0).is_none());
        for i in 0..4u16 {
            h.push(t, 0xfffe_u16.wrapping_add(i), false, 0, vec![i as u8]);
        }
        assert_eq!(h.repeat(t, 0).unwrap().payload, [2]);
        // Asked again at once, and once more later.
        assert!(h.repeat(t.after(Duration::from_millis(5)), 0).is_none());
        assert!(h.repeat(t.after(Duration::from_millis(25)), 0).is_some());
        assert!(h.repeat(t, 2).is_none());
        assert!(h.repeat(t, 0xfffd).is_none());
        assert!(h.repeat(t.after(Duration::from_secs(2)), 1).is_none());
        h.push(t.after(Duration::from_secs(2)), 2, false, 0, vec![4]);
        assert_eq!(h.sent.len(), 1);
    }
}
