//! What of a subscriber's tracks fits on its line.
//!
//! Owns: the rule. Every track keeps its lowest layer; what is left goes to the important tracks first, and among
//! equals a layer each in turn. Knows nothing of how much there is, nor of packets.

/// Layers that one track may be had in.
const STEPS: usize = 12;

/// One way to have a track: layers up to these, at so many bits a second in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) spatial: u8,
    pub(crate) temporal: u8,
    pub(crate) rate: u64,
}

/// One track: what it may be had in, the cheapest first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ladder {
    /// Slab key of the consumer.
    pub(crate) consumer: usize,
    /// Larger is more important.
    pub(crate) priority: u32,
    steps: [Step; STEPS],
    len: usize,
    /// Where it stood before.
    held: Option<Step>,
    /// Where it stands now; `None` is paused.
    at: Option<usize>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Bits a second of all that is granted.
    pub(crate) granted: u64,
    /// What it would take in all to raise one more track by a step.
    pub(crate) next: Option<u64>,
    /// Some track has more than it held. The rates of what it holds go up and down with its pictures, and say nothing
    /// of that.
    pub(crate) raised: bool,
}

/// How strictly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Bits a second for all tracks.
    pub(crate) budget: u64,
    /// A track may be held back altogether.
    pub(crate) may_pause: bool,
    /// What stands may stay though it is a little too much: rates of layers go up and down with the picture.
    pub(crate) lenient: bool,
}

impl Ladder {
    pub(crate) fn new(consumer: usize, priority: u32, held: Option<Step>) -> Self {
        Self { consumer, priority, steps: [Step::default(); STEPS], len: 0, held, at: None }
    }

    /// Adds a way that is better than those before. One that costs no more than another replaces it.
    pub(crate) fn push(&mut self, step: Step) {
        while self.len > 0 && self.steps.get(self.len - 1).is_some_and(|s| s.rate >= step.rate) {
            self.len -= 1;
        }
        if let Some(slot) = self.steps.get_mut(self.len) {
            *slot = step;
            self.len += 1;
        }
    }

    /// Nothing of it is to be had.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What was granted.
    pub(crate) fn granted(&self) -> Option<Step> {
        self.steps.get(self.at?).copied()
    }

    fn rate(&self) -> u64 {
        self.granted().map_or(0, |s| s.rate)
    }

    fn next(&self) -> Option<(usize, Step)> {
        let n = self.at.map_or(0, |at| at + 1);
        (n < self.len).then(|| self.steps.get(n).map(|s| (n, *s))).flatten()
    }

    fn stood_at(&self, step: Step) -> bool {
        self.held.is_some_and(|h| (step.spatial, step.temporal) <= (h.spatial, h.temporal))
    }

    fn is_raised(&self) -> bool {
        self.granted().is_some_and(|step| !self.stood_at(step))
    }
}

/// Grants each track a step. The order of `ladders` among equals is that of the tracks' coming.
pub(crate) fn allocate(ladders: &mut [Ladder], terms: Terms) -> Outcome {
    // Stable, in place: equals stay in their order.
    ladders.sort_by_key(|l| std::cmp::Reverse(l.priority));
    let strict = terms.budget;
    let kept = if terms.lenient { strict.saturating_add(strict / 8) } else { strict };
    let mut used = 0u64;
    for ladder in ladders.iter_mut() {
        ladder.at = None;
        let Some((n, lowest)) = ladder.next() else { continue };
        let limit = if ladder.held.is_some() { kept } else { strict };
        if !terms.may_pause || used + lowest.rate <= limit {
            ladder.at = Some(n);
            used += lowest.rate;
        }
    }
    let mut next: Option<u64> = None;
    for class in ladders.chunk_by_mut(|a, b| a.priority == b.priority) {
        loop {
            let mut raised = false;
            for ladder in class.iter_mut() {
                let Some((n, step)) = ladder.next() else { continue };
                // Who was paused comes back at its lowest, which has been tried above.
                let total = used - ladder.rate() + step.rate;
                let limit = if ladder.stood_at(step) { kept } else { strict };
                if total <= limit && (ladder.at.is_some() || terms.may_pause) {
                    ladder.at = Some(n);
                    used = total;
                    raised = true;
                }
            }
            if !raised {
                break;
            }
        }
    }
    for ladder in ladders.iter() {
        if let Some((_, step)) = ladder.next() {
            let total = used - ladder.rate() + step.rate;
            next = Some(next.map_or(total, |n| n.min(total)));
        }
    }
    Outcome { granted: used, next, raised: ladders.iter().any(Ladder::is_raised) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ladder(consumer: usize, priority: u32, rates: &[u64]) -> Ladder {
        let mut ladder = Ladder::new(consumer, priority, None);
        for (n, rate) in rates.iter().enumerate() {
            ladder.push(Step { spatial: n as u8, temporal: 7, rate: *rate });
        }
        ladder
    }

    fn granted(ladders: &mut [Ladder], budget: u64, may_pause: bool) -> (Vec<Option<u8>>, Outcome) {
        let outcome = allocate(ladders, Terms { budget, may_pause, lenient: false });
        ladders.sort_by_key(|l| l.consumer);
        (ladders.iter().map(|l| l.granted().map(|s| s.spatial)).collect(), outcome)
    }

    #[test]
    fn everyone_has_the_lowest_layer_whatever_the_line_and_the_rest_goes_round_in_turn() {
        let mut all = [ladder(0, 0, &[100, 300, 900]), ladder(1, 0, &[100, 300, 900])];
        assert_eq!(granted(&mut all, 50, false).0, [Some(0), Some(0)]);
        assert_eq!(granted(&mut all, 400, false).0, [Some(1), Some(0)]);
        let (layers, outcome) = granted(&mut all, 700, false);
        assert_eq!(
            (layers, outcome),
            (vec![Some(1), Some(1)], Outcome { granted: 600, next: Some(1200), raised: true })
        );
        assert_eq!(
            granted(&mut all, 1800, false),
            (vec![Some(2), Some(2)], Outcome { granted: 1800, next: None, raised: true })
        );
    }

    #[test]
    fn the_important_track_comes_first() {
        let mut all = [ladder(0, 1, &[100, 300, 900]), ladder(1, 9, &[100, 300, 900])];
        assert_eq!(granted(&mut all, 1000, false).0, [Some(0), Some(2)]);
        assert_eq!(granted(&mut all, 1300, false).0, [Some(1), Some(2)]);
    }

    #[test]
    fn where_pausing_is_allowed_the_least_important_is_paused() {
        let mut all = [ladder(0, 1, &[100]), ladder(1, 9, &[100]), ladder(2, 1, &[100])];
        assert_eq!(
            granted(&mut all, 250, true),
            (vec![Some(0), Some(0), None], Outcome { granted: 200, next: Some(300), raised: true })
        );
        assert_eq!(granted(&mut all, 150, true).0, [None, Some(0), None]);
        assert_eq!(granted(&mut all, 50, true).0, [None, None, None]);
    }

    #[test]
    fn what_stands_may_be_a_little_too_much_unless_the_line_was_full() {
        let mut one = [ladder(0, 0, &[100, 300])];
        one[0].held = Some(Step { spatial: 1, temporal: 7, rate: 280 });
        let terms = Terms { budget: 280, may_pause: false, lenient: true };
        // That it takes more now than it did is its pictures' doing.
        assert_eq!(allocate(&mut one, terms), Outcome { granted: 300, next: None, raised: false });
        let less = allocate(&mut one, Terms { lenient: false, ..terms });
        assert_eq!(less, Outcome { granted: 100, next: Some(300), raised: false });
    }

    #[test]
    fn a_better_layer_that_costs_less_replaces_the_worse() {
        let mut one = ladder(0, 0, &[100, 400, 300]);
        assert_eq!((one.len, one.steps[1].spatial), (2, 2));
        assert_eq!(
            allocate(std::slice::from_mut(&mut one), Terms { budget: 300, may_pause: false, lenient: false })
                .granted,
            300
        );
    }
}
