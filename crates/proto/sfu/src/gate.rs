//! The send gate: the last thing a packet passes on its way to a peer.
//!
//! Owns: transport-wide sequence numbers (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 2),
//! given out here and nowhere else, and the history of what left when, which feedback is held against.
//! Packets pass at once; bandwidth estimation and pacing take their seat here.

use std::time::{Duration, Instant};

use rtp::seq::Unwrapper;

/// Packets remembered: a second and a half at 20 Mbit/s, well above the interval of feedback.
const HISTORY: usize = 4096;

/// One packet that has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Departure {
    seq: u64,
    /// Bytes of the RTP packet before sealing.
    size: u16,
    at: Instant,
}

/// What feedback has said so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) lost: u64,
    /// From the departure of the newest reported packet to its report.
    pub(crate) delay: Option<Duration>,
}

/// One peer's gate.
#[derive(Debug)]
pub(crate) struct Gate {
    next: u64,
    history: Vec<Option<Departure>>,
    reported: Unwrapper,
    delivered: Delivered,
}

impl Gate {
    pub(crate) fn new() -> Self {
        // As with RTP: packets from before the first have a number.
        Self {
            next: 1 << 16,
            history: Vec::new(),
            reported: Unwrapper::default(),
            delivered: Delivered::default(),
        }
    }

    /// Lets a packet of `size` bytes pass: its transport-wide sequence number.
    pub(crate) fn pass(&mut self, now: Instant, size: usize) -> u16 {
        if self.history.is_empty() {
            // Once a peer, when it is first sent media with the extension.
            self.history = vec![None; HISTORY];
        }
        let seq = self.next;
        self.next += 1;
        let size = u16::try_from(size).unwrap_or(u16::MAX);
        if let Some(slot) = self.history.get_mut(seq as usize % HISTORY) {
            *slot = Some(Departure { seq, size, at: now });
        }
        seq as u16
    }

    /// Takes one packet's report; `arrived` or lost.
    pub(crate) fn report(&mut self, now: Instant, seq: u16, arrived: bool) {
        if self.history.is_empty() {
            return;
        }
        let seq = self.reported.unwrap(seq).0;
        let Some(slot) = self.history.get_mut(seq as usize % HISTORY) else { return };
        let Some(departure) = slot.filter(|d| d.seq == seq) else { return };
        if arrived {
            *slot = None;
            self.delivered.packets += 1;
            self.delivered.bytes += u64::from(departure.size);
            self.delivered.delay = Some(now.saturating_duration_since(departure.at));
        } else {
            self.delivered.lost += 1;
        }
    }

    /// What feedback has said so far.
    pub(crate) fn delivered(&self) -> Delivered {
        self.delivered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_gets_the_next_number_and_feedback_finds_its_size_once() {
        let mut gate = Gate::new();
        let t0 = Instant::now();
        let ms = Duration::from_millis;
        assert_eq!((gate.pass(t0, 100), gate.pass(t0, 200), gate.pass(t0, 300)), (0, 1, 2));
        gate.report(t0 + ms(40), 0, true);
        gate.report(t0 + ms(40), 1, false);
        gate.report(t0 + ms(40), 2, true);
        // Reported again, as overlapping feedback does.
        gate.report(t0 + ms(50), 2, true);
        let delivered = gate.delivered();
        assert_eq!((delivered.packets, delivered.bytes, delivered.lost), (2, 400, 1));
        assert_eq!(delivered.delay, Some(ms(40)));
    }

    #[test]
    fn numbers_wrap_and_reports_of_what_was_never_sent_are_ignored() {
        let mut gate = Gate::new();
        let t0 = Instant::now();
        gate.report(t0, 7, true);
        for n in 0..70_000u32 {
            assert_eq!(gate.pass(t0, 1), n as u16);
            gate.report(t0, n as u16, true);
        }
        gate.report(t0, 60_000, true);
        assert_eq!(gate.delivered().packets, 70_000);
    }
}
