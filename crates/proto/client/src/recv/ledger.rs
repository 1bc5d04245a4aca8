//! Which packets of a stream came, and by which way: each sequence number counts once.

use rtp::seq::ExtSeq;

/// Sequence numbers that are remembered, a power of two: 18 s of 2 Mbit/s.
const WINDOW: u64 = 4096;
/// Packets that overtook the very first one are part of the stream when they lie this close before it.
const EARLY: u64 = 64;

/// How a packet came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// As it was first sent.
    First,
    /// By retransmission.
    Repair,
}

/// The account of one stream.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The first and the one after the last number; `None` before the first packet.
    span: Option<(u64, u64)>,
    /// One bit a number, by its remainder.
    seen: Box<[u64]>,
    came: u64,
    recovered: u64,
    again: u64,
}

impl Ledger {
    pub(crate) fn note(&mut self, seq: ExtSeq, way: Way) {
        let seq = seq.0;
        if self.seen.is_empty() {
            self.seen = vec![0; (WINDOW / 64) as usize].into();
        }
        let (first, next) = match self.span {
            None if way == Way::Repair => return,
            None => (seq, seq),
            Some((first, next)) if seq < first && first - seq <= EARLY => (seq, next),
            Some(span) => span,
        };
        if seq < first || seq + WINDOW <= next {
            // Too old to tell.
            self.again += 1;
            return;
        }
        if seq >= next {
            // Numbers that enter the window have not come.
            for new in (next..=seq).rev().take(WINDOW as usize) {
                self.set(new, false);
            }
        }
        self.span = Some((first, next.max(seq + 1)));
        if self.set(seq, true) {
            self.again += 1;
            return;
        }
        match way {
            Way::First => self.came += 1,
            Way::Repair => self.recovered += 1,
        }
    }

    /// Says what it was.
    fn set(&mut self, seq: u64, seen: bool) -> bool {
        let place = seq % WINDOW;
        let Some(word) = self.seen.get_mut((place / 64) as usize) else { return false };
        let bit = 1 << (place % 64);
        let before = *word & bit != 0;
        *word = if seen { *word | bit } else { *word & !bit };
        before
    }

    /// Numbers from the first one to the last one.
    pub(crate) fn expected(&self) -> u64 {
        self.span.map_or(0, |(first, next)| next - first)
    }

    /// That came as first sent.
    pub(crate) fn came(&self) -> u64 {
        self.came
    }

    /// That came by retransmission and not before.
    pub(crate) fn recovered(&self) -> u64 {
        self.recovered
    }

    /// Packets that came once more, or so late that nobody can tell.
    pub(crate) fn again(&self) -> u64 {
        self.again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(ledger: &Ledger) -> (u64, u64, u64, u64) {
        (ledger.expected(), ledger.came(), ledger.recovered(), ledger.again())
    }

    #[test]
    fn each_number_counts_once_whichever_way_it_came() {
        let mut l = Ledger::default();
        l.note(ExtSeq(7), Way::Repair);
        assert_eq!(told(&l), (0, 0, 0, 0));
        for seq in [100, 101, 104, 101] {
            l.note(ExtSeq(seq), Way::First);
        }
        assert_eq!(told(&l), (5, 3, 0, 1));
        // Repaired, then late as well; late, then repaired as well.
        l.note(ExtSeq(102), Way::Repair);
        l.note(ExtSeq(102), Way::First);
        l.note(ExtSeq(103), Way::First);
        l.note(ExtSeq(103), Way::Repair);
        assert_eq!(told(&l), (5, 4, 1, 3));
    }

    #[test]
    fn a_repair_may_be_the_newest() {
        let mut l = Ledger::default();
        l.note(ExtSeq(10), Way::First);
        l.note(ExtSeq(12), Way::Repair);
        assert_eq!(told(&l), (3, 1, 1, 0));
    }

    #[test]
    fn the_first_packet_may_have_been_overtaken() {
        let mut l = Ledger::default();
        l.note(ExtSeq(1000), Way::First);
        l.note(ExtSeq(998), Way::First);
        assert_eq!(told(&l), (3, 2, 0, 0));
        l.note(ExtSeq(500), Way::First);
        assert_eq!(told(&l), (3, 2, 0, 1));
    }

    #[test]
    fn what_leaves_the_window_is_forgotten_and_what_enters_it_is_new() {
        let mut l = Ledger::default();
        for seq in 0..3 * WINDOW {
            l.note(ExtSeq(seq), Way::First);
        }
        assert_eq!(told(&l), (3 * WINDOW, 3 * WINDOW, 0, 0));
        l.note(ExtSeq(2 * WINDOW), Way::First);
        l.note(ExtSeq(2 * WINDOW - 1), Way::Repair);
        assert_eq!(told(&l), (3 * WINDOW, 3 * WINDOW, 0, 2));
        // A jump of more than a window leaves nothing behind.
        l.note(ExtSeq(9 * WINDOW), Way::First);
        l.note(ExtSeq(9 * WINDOW - 1), Way::First);
        assert_eq!(l.came(), 3 * WINDOW + 2);
    }
}
