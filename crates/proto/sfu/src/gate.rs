//! The send gate: the last thing a packet passes on its way to a peer.
//!
//! Owns: transport-wide sequence numbers (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 2),
//! given out here and nowhere else, and the history of what left when, which feedback is held against.
//! Packets pass at once; pacing takes its seat here.

use std::time::Duration;

use rtp::seq::Unwrapper;

/// Packets remembered at first: a second at 2 Mbit/s, well above the interval of feedback.
const FIRST: usize = 256;
/// And at most: a second and a half at 20 Mbit/s.
const HISTORY: usize = 4096;
/// Feedback that is later than this is about too little to remember more packets for it, microseconds.
const LATE: u32 = 1_500_000;

/// One packet that has left. Small, because one is written for every packet that leaves, and with a thousand
/// peers none of them is in the caches any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Departure {
    /// In [`Egress::micros`](crate::consumer::Egress::micros).
    at: u32,
    /// Bytes of the RTP packet before sealing; 0 if there is none, or if it has been reported.
    size: u16,
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
    /// The last packets by their number modulo its length, a power of two.
    history: Vec<Departure>,
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

    /// Lets a packet of `size` bytes pass at so many microseconds: its transport-wide sequence number.
    pub(crate) fn pass(&mut self, at: u32, size: usize) -> u16 {
        if self.history.is_empty() {
            // Once a peer, when it is first sent media with the extension.
            self.history = vec![Departure::default(); FIRST];
        }
        let seq = self.next;
        let old = self.history.get(self.place(seq)).copied().unwrap_or_default();
        if old.size > 0 && at.wrapping_sub(old.at) < LATE && self.history.len() < HISTORY {
            self.grow();
        }
        self.next += 1;
        let size = u16::try_from(size).unwrap_or(u16::MAX).max(1);
        let place = self.place(seq);
        if let Some(slot) = self.history.get_mut(place) {
            *slot = Departure { at, size };
        }
        seq as u16
    }

    /// Reads where the next packets will be put, for the memory to be there by then.
    pub(crate) fn warm(&self, count: usize) -> u64 {
        let departure = |n: usize| self.history.get(self.place(self.next + n as u64));
        let ends = [departure(0), departure(count)];
        ends.into_iter().flatten().fold(0, |sum, departure| sum ^ u64::from(departure.at))
    }

    fn place(&self, seq: u64) -> usize {
        seq as usize & self.history.len().wrapping_sub(1)
    }

    /// Twice as many packets are remembered from now on.
    fn grow(&mut self) {
        let old = std::mem::take(&mut self.history);
        self.history = vec![Departure::default(); old.len() * 2];
        for seq in self.next - old.len() as u64..self.next {
            let place = self.place(seq);
            if let (Some(slot), Some(departure)) =
                (self.history.get_mut(place), old.get(seq as usize & (old.len() - 1)))
            {
                *slot = *departure;
            }
        }
    }

    /// Takes one packet's report; `arrived` or lost. How long ago it left and its size, if it has not been reported as
    /// arrived before.
    pub(crate) fn report(&mut self, now: u32, seq: u16, arrived: bool) -> Option<(Duration, u16)> {
        if self.history.is_empty() {
            return None;
        }
        let seq = self.reported.unwrap(seq).0;
        if seq >= self.next || seq + (self.history.len() as u64) < self.next {
            return None;
        }
        let place = self.place(seq);
        let slot = self.history.get_mut(place).filter(|departure| departure.size > 0)?;
        let departure = *slot;
        let delay = Duration::from_micros(now.wrapping_sub(departure.at).into());
        if arrived {
            *slot = Departure::default();
            self.delivered.packets += 1;
            self.delivered.bytes += u64::from(departure.size);
            self.delivered.delay = Some(delay);
        } else {
            self.delivered.lost += 1;
        }
        Some((delay, departure.size))
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
        // The clock wraps meanwhile.
        let t0 = u32::MAX - 10_000;
        let after = |ms: u32| t0.wrapping_add(ms * 1000);
        assert_eq!((gate.pass(t0, 100), gate.pass(t0, 200), gate.pass(t0, 300)), (0, 1, 2));
        assert_eq!(gate.report(after(40), 0, true), Some((Duration::from_millis(40), 100)));
        gate.report(after(40), 1, false);
        gate.report(after(40), 2, true);
        // Reported again, as overlapping feedback does.
        assert_eq!(gate.report(after(50), 2, true), None);
        let delivered = gate.delivered();
        assert_eq!((delivered.packets, delivered.bytes, delivered.lost), (2, 400, 1));
        assert_eq!(delivered.delay, Some(Duration::from_millis(40)));
    }

    #[test]
    fn numbers_wrap_and_reports_of_what_was_never_sent_are_ignored() {
        let mut gate = Gate::new();
        gate.report(0, 7, true);
        for n in 0..70_000u32 {
            assert_eq!(gate.pass(0, 1), n as u16);
            gate.report(0, n as u16, true);
        }
        gate.report(0, 60_000, true);
        assert_eq!(gate.delivered().packets, 70_000);
    }

    #[test]
    fn what_is_not_reported_soon_is_remembered_longer_and_then_found() {
        let mut gate = Gate::new();
        for n in 0..2000 {
            gate.pass(n * 100, 10);
        }
        assert_eq!(gate.history.len(), 2048);
        for n in 0..2000 {
            gate.report(300_000, n, true);
        }
        assert_eq!((gate.delivered().packets, gate.delivered().bytes), (2000, 20_000));
        // Reports that never come do not make it grow.
        let mut silent = Gate::new();
        for n in 0..2000 {
            silent.pass(n * 10_000, 10);
        }
        assert_eq!(silent.history.len(), FIRST);
    }
}
