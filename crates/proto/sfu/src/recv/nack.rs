//! Asking a publisher for packets that did not come (generic NACK, RFC 4585 section 6.2.1).

use std::time::{Duration, Instant};

/// Numbers asked for at once at most; behind more than this only a key frame helps.
const MAX_MISSING: usize = 512;

/// A larger gap is a jump, not loss.
const MAX_GAP: u64 = 1024;

/// Time in which a packet may still come by itself, overtaken on its way.
const REORDER: Duration = Duration::from_millis(5);

/// How often a packet is asked for.
const MAX_ASKED: u8 = 10;

/// Time after which a packet is of no use to anybody.
const MAX_AGE: Duration = Duration::from_millis(1000);

#[derive(Debug, Clone, Copy)]
struct Missing {
    seq: u64,
    since: Instant,
    next: Instant,
    asked: u8,
}

/// One stream's missing packets.
#[derive(Debug, Default)]
pub(crate) struct Nack {
    highest: Option<u64>,
    /// Ascending.
    missing: Vec<Missing>,
}

/// What a packet says about the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gap {
    /// Nothing that cannot be asked for.
    Repairable,
    /// Too much is missing: a key frame is needed.
    Lost,
}

impl Nack {
    /// Takes a packet in.
    pub(crate) fn packet(&mut self, now: Instant, seq: u64) -> Gap {
        let Some(highest) = self.highest else {
            self.highest = Some(seq);
            return Gap::Repairable;
        };
        if seq <= highest {
            if let Ok(at) = self.missing.binary_search_by_key(&seq, |m| m.seq) {
                self.missing.remove(at);
            }
            return Gap::Repairable;
        }
        self.highest = Some(seq);
        let gap = seq - highest - 1;
        if gap > MAX_GAP || self.missing.len() as u64 + gap > MAX_MISSING as u64 {
            self.missing.clear();
            return Gap::Lost;
        }
        let next = now + REORDER;
        self.missing.extend((highest + 1..seq).map(|seq| Missing { seq, since: now, next, asked: 0 }));
        Gap::Repairable
    }

    /// What to ask for now, ascending, appended to `out`. [`Gap::Lost`] if something was given up: pictures
    /// that need it can only be had anew.
    pub(crate) fn poll(&mut self, now: Instant, round_trip: Duration, out: &mut Vec<u16>) -> Gap {
        let before = self.missing.len();
        self.missing.retain(|m| {
            let exhausted = m.asked >= MAX_ASKED && m.next <= now;
            !exhausted && now.saturating_duration_since(m.since) < MAX_AGE
        });
        let gap = if self.missing.len() < before { Gap::Lost } else { Gap::Repairable };
        for m in self.missing.iter_mut().filter(|m| m.next <= now) {
            m.asked += 1;
            // No longer each time: on a line that loses a tenth each way one answer in five does not come,
            // and the pictures behind it stand still until it does.
            m.next = now + round_trip + REORDER;
            out.push(m.seq as u16);
        }
        gap
    }

    /// When [`Nack::poll`] has something to say.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.missing.iter().map(|m| m.next).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(100);

    fn asked(nack: &mut Nack, now: Instant) -> Vec<u16> {
        let mut out = Vec::new();
        nack.poll(now, RTT, &mut out);
        out
    }

    #[test]
    fn a_gap_is_asked_for_after_the_reordering_time_and_again_after_a_round_trip() {
        let t0 = Instant::now();
        let at = |ms| t0 + Duration::from_millis(ms);
        let mut nack = Nack::default();
        nack.packet(at(0), 100);
        nack.packet(at(0), 104);
        assert_eq!(asked(&mut nack, at(4)), [] as [u16; 0]);
        nack.packet(at(4), 102);
        assert_eq!(nack.next(), Some(at(5)));
        assert_eq!(asked(&mut nack, at(5)), [101, 103]);
        assert_eq!(asked(&mut nack, at(104)), [] as [u16; 0]);
        nack.packet(at(104), 101);
        assert_eq!(asked(&mut nack, at(109)), [] as [u16; 0]);
        assert_eq!(asked(&mut nack, at(110)), [103]);
    }

    #[test]
    fn what_never_comes_is_given_up_and_a_jump_is_not_asked_for() {
        let t0 = Instant::now();
        let at = |ms| t0 + Duration::from_millis(ms);
        let mut nack = Nack::default();
        nack.packet(at(0), 100);
        nack.packet(at(0), 102);
        let mut out = Vec::new();
        let lost: Vec<u64> = (0..2000).filter(|ms| nack.poll(at(*ms), RTT, &mut out) == Gap::Lost).collect();
        assert!((3..=usize::from(MAX_ASKED)).contains(&out.len()), "{out:?}");
        assert_eq!(lost, [1000], "said once");
        assert_eq!(nack.next(), None);
        assert_eq!(nack.packet(at(2000), 60_000), Gap::Lost);
        assert_eq!(nack.next(), None);
    }
}
