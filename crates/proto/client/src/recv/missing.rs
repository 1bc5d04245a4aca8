//! Sequence numbers that did not come, and when to ask for them again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clock::Time;
use rtp::seq::ExtSeq;

/// A packet may be overtaken by a little: asked for after this, and not before.
const PATIENCE: Duration = Duration::from_millis(10);
/// Requests for one packet, as in libwebrtc.
const MAX_TRIES: u8 = 10;
/// And how long a packet is waited for, asked for or not, before the pictures behind it are given up
/// (libwebrtc: 3 s without a picture).
const WAIT: Duration = Duration::from_secs(3);
/// A gap longer than this is not asked for packet by packet (libwebrtc: 1000 packets).
const MAX_MISSING: usize = 1000;
/// Round trip assumed until one is measured, as in libwebrtc.
const FIRST_RTT: Duration = Duration::from_millis(100);
/// No answer can be expected sooner.
const MIN_RTT: Duration = Duration::from_millis(5);

/// What is missing of one stream.
#[derive(Debug, Default)]
pub(crate) struct Missing {
    /// The next number that no packet has had.
    next: Option<u64>,
    gaps: BTreeMap<u64, Gap>,
    rtt: Option<Duration>,
}

#[derive(Debug)]
struct Gap {
    since: Instant,
    asked: Option<Instant>,
    tries: u8,
}

/// What a packet did to the gaps.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Nothing unusual.
    Fine,
    /// The stream jumped too far: all gaps are given up.
    Jumped,
}

impl Missing {
    /// A packet has come, by whatever way.
    pub(crate) fn receive(&mut self, now: Time, seq: ExtSeq) -> Seen {
        let next = *self.next.get_or_insert(seq.0);
        if seq.0 < next {
            if let Some(Gap { asked: Some(at), tries: 1, .. }) = self.gaps.remove(&seq.0) {
                let sample = now.since(at).max(MIN_RTT);
                self.rtt = Some(self.rtt.map_or(sample, |r| (r * 7 + sample) / 8));
            }
            return Seen::Fine;
        }
        self.next = Some(seq.0 + 1);
        let count = (seq.0 - next) as usize;
        if self.gaps.len() + count > MAX_MISSING {
            self.gaps.clear();
            return Seen::Jumped;
        }
        let gap = || Gap { since: now.mono, asked: None, tries: 0 };
        self.gaps.extend((next..seq.0).map(|s| (s, gap())));
        Seen::Fine
    }

    /// Forgets everything before `seq`: it is no longer wanted.
    pub(crate) fn forget_before(&mut self, seq: u64) {
        self.gaps = self.gaps.split_off(&seq);
    }

    fn due(&self, gap: &Gap) -> Instant {
        match gap.asked {
            None => gap.since + PATIENCE,
            Some(_) if gap.tries == MAX_TRIES => gap.since + WAIT,
            // libwebrtc looks every 20 ms.
            Some(asked) => asked + (self.rtt.unwrap_or(FIRST_RTT) + PATIENCE).max(2 * PATIENCE),
        }
    }

    /// When something is to be asked for.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.gaps.values().map(|g| self.due(g)).min()
    }

    /// Numbers to ask for now, ascending. Those waited for too long are put into `given_up`.
    pub(crate) fn poll(&mut self, now: Time, given_up: &mut Vec<u64>) -> Vec<u16> {
        let due: Vec<u64> =
            self.gaps.iter().filter(|(_, g)| self.due(g) <= now.mono).map(|(seq, _)| *seq).collect();
        let mut ask = Vec::new();
        for seq in due {
            let Some(gap) = self.gaps.get_mut(&seq) else { continue };
            if gap.tries == MAX_TRIES {
                self.gaps.remove(&seq);
                given_up.push(seq);
                continue;
            }
            gap.tries += 1;
            gap.asked = Some(now.mono);
            ask.push(seq as u16);
        }
        ask
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn start() -> Time {
        Time { mono: Instant::now(), unix: Duration::ZERO }
    }

    #[test]
    fn gaps_are_asked_for_until_they_are_filled() {
        let t = start();
        let mut m = Missing::default();
        let mut lost = Vec::new();
        m.receive(t, ExtSeq(65_530));
        m.receive(t, ExtSeq(65_538));
        assert!(m.poll(t, &mut lost).is_empty());
        assert_eq!(m.poll(t.after(10 * MS), &mut lost), [65_531, 65_532, 65_533, 65_534, 65_535, 0, 1]);
        assert!(m.poll(t.after(50 * MS), &mut lost).is_empty());
        m.receive(t.after(60 * MS), ExtSeq(65_535));
        // The answer took 50 ms: ask again 60 ms after the first time.
        assert_eq!(m.poll_timeout(), Some(t.mono + 70 * MS));
        assert_eq!(m.poll(t.after(70 * MS), &mut lost).len(), 6);
        m.forget_before(65_537);
        assert_eq!(m.poll(t.after(140 * MS), &mut lost), [1]);
        assert!(lost.is_empty());
    }

    #[test]
    fn after_ten_tries_a_packet_is_waited_for_and_then_given_up() {
        let t = start();
        let mut m = Missing::default();
        m.receive(t, ExtSeq(10));
        m.receive(t, ExtSeq(12));
        let mut lost = Vec::new();
        let mut asked = 0;
        let mut end = t.mono;
        while let Some(at) = m.poll_timeout() {
            asked += m.poll(t.after(at - t.mono), &mut lost).len();
            end = at;
        }
        assert_eq!((asked, lost, end), (10, vec![11], t.mono + WAIT));
    }

    #[test]
    fn a_jump_is_not_asked_for() {
        let t = start();
        let mut m = Missing::default();
        m.receive(t, ExtSeq(100_000));
        assert_eq!(m.receive(t, ExtSeq(110_000)), Seen::Jumped);
        assert_eq!(m.poll_timeout(), None);
        // A packet from before the first is not a gap.
        assert_eq!(m.receive(t, ExtSeq(99_000)), Seen::Fine);
        assert_eq!(m.poll_timeout(), None);
    }
}
