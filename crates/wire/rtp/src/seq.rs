//! Sequence numbers and timestamps counted on past their wrap.

/// A sequence number with its rounds. A stream's first packet is in round 1, so that packets from before
/// it have a number too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ExtSeq(pub u64);

impl ExtSeq {
    /// Round in which a stream starts.
    const FIRST_ROUND: u64 = 1 << 16;

    /// What is on the wire.
    pub fn low(self) -> u16 {
        self.0 as u16
    }

    /// Extended highest sequence number as a report block says it, counted from round 0 (RFC 3550
    /// section 6.4.1).
    pub fn reported(self) -> u32 {
        self.0.wrapping_sub(Self::FIRST_ROUND) as u32
    }

    /// The number `n` later.
    #[must_use]
    pub fn plus(self, n: u64) -> Self {
        Self(self.0.wrapping_add(n))
    }
}

/// Turns 16-bit numbers into [`ExtSeq`], each next to the highest seen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwrapper {
    highest: Option<u64>,
}

impl Unwrapper {
    /// Counts `seq`; the highest moves on if it is newer.
    pub fn unwrap(&mut self, seq: u16) -> ExtSeq {
        let at = self.peek(seq);
        if self.highest.is_none_or(|h| at.0 > h) {
            self.highest = Some(at.0);
        }
        at
    }

    /// What `seq` would be, without counting it.
    pub fn peek(&self, seq: u16) -> ExtSeq {
        let Some(highest) = self.highest else {
            return ExtSeq(ExtSeq::FIRST_ROUND + u64::from(seq));
        };
        let step = seq.wrapping_sub(highest as u16) as i16;
        ExtSeq(highest.wrapping_add_signed(i64::from(step)))
    }

    /// The newest number so far.
    pub fn highest(&self) -> Option<ExtSeq> {
        self.highest.map(ExtSeq)
    }
}

/// Turns 32-bit timestamps into 64-bit ones, each next to the newest seen.
#[derive(Debug, Clone, Copy, Default)]
pub struct TimestampUnwrapper {
    newest: Option<u64>,
}

impl TimestampUnwrapper {
    /// Counts `timestamp`.
    pub fn unwrap(&mut self, timestamp: u32) -> u64 {
        let Some(newest) = self.newest else {
            let first = (1 << 32) + u64::from(timestamp);
            self.newest = Some(first);
            return first;
        };
        let step = timestamp.wrapping_sub(newest as u32) as i32;
        let at = newest.wrapping_add_signed(i64::from(step));
        self.newest = Some(newest.max(at));
        at
    }
}

/// `a` is newer than `b`, RFC 1982 on 16 bits; numbers half a round apart are not.
pub fn newer(a: u16, b: u16) -> bool {
    (a.wrapping_sub(b) as i16) > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_go_on_past_the_wrap_and_late_ones_stay_behind() {
        let mut u = Unwrapper::default();
        let a = u.unwrap(0xfffe);
        let c = u.unwrap(1);
        let b = u.unwrap(0xffff);
        assert_eq!((c.0 - a.0, b.0 - a.0), (3, 1));
        assert_eq!(u.highest(), Some(c));
        assert_eq!(c.reported(), 0x0001_0001);
    }

    #[test]
    fn packets_from_before_the_first_have_a_number() {
        let mut u = Unwrapper::default();
        let first = u.unwrap(0);
        assert_eq!(u.unwrap(0xffff).0, first.0 - 1);
    }

    #[test]
    fn half_a_round_counts_as_old() {
        assert!(newer(1, 0) && newer(0, 0xffff) && !newer(0, 0) && !newer(0, 1));
        assert!(!newer(0x8000, 0) && !newer(0, 0x8000));
    }

    proptest! {
        #[test]
        fn steps_below_half_a_round_are_kept(start in any::<u16>(), steps in proptest::collection::vec(-30_000i32..30_000, 1..100)) {
            let mut u = Unwrapper::default();
            let mut t = TimestampUnwrapper::default();
            let base = i64::from(start);
            let first = u.unwrap(start).0 as i64;
            let t_first = t.unwrap(u32::from(start)) as i64;
            let mut highest = base;
            for s in steps {
                let at = highest + i64::from(s);
                prop_assert_eq!(u.unwrap(at as u16).0 as i64 - first, at - base);
                prop_assert_eq!(t.unwrap(at as u32) as i64 - t_first, at - base);
                highest = highest.max(at);
            }
        }
    }
}
