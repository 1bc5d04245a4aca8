//! A sliding window over packet indices: which have been seen, RFC 3711 section 3.3.2.

/// The last `64 * WORDS` indices below and including the highest seen, as a ring of bits.
#[derive(Debug, Clone)]
pub(crate) struct Window<const WORDS: usize> {
    /// Highest index seen; `None` before the first.
    highest: Option<u64>,
    bits: [u64; WORDS],
}

/// What a window says about an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not seen.
    Fresh,
    /// Seen.
    Seen,
    /// Below the window: nobody knows.
    Old,
}

impl<const WORDS: usize> Window<WORDS> {
    const SIZE: u64 = 64 * WORDS as u64;

    pub(crate) fn new() -> Self {
        Self { highest: None, bits: [0; WORDS] }
    }

    pub(crate) fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// Reads what the next index above the highest will need.
    pub(crate) fn warm(&self) -> u64 {
        let next = self.highest.map_or(0, |highest| highest + 1);
        self.bits.get(Self::place(next).0).copied().unwrap_or_default()
    }

    pub(crate) fn judge(&self, index: u64) -> Verdict {
        let Some(highest) = self.highest else { return Verdict::Fresh };
        if index > highest {
            return Verdict::Fresh;
        }
        if highest - index >= Self::SIZE {
            return Verdict::Old;
        }
        let (word, mask) = Self::place(index);
        match self.bits.get(word) {
            Some(bits) if bits & mask == 0 => Verdict::Fresh,
            _ => Verdict::Seen,
        }
    }

    /// Marks `index` as seen. Indices below the window are ignored.
    pub(crate) fn mark(&mut self, index: u64) {
        match self.highest {
            Some(highest) if index <= highest => {
                if highest - index >= Self::SIZE {
                    return;
                }
            }
            Some(highest) => {
                if index - highest >= Self::SIZE {
                    self.bits = [0; WORDS];
                } else {
                    for skipped in highest + 1..index {
                        let (word, mask) = Self::place(skipped);
                        if let Some(bits) = self.bits.get_mut(word) {
                            *bits &= !mask;
                        }
                    }
                }
                self.highest = Some(index);
            }
            None => self.highest = Some(index),
        }
        let (word, mask) = Self::place(index);
        if let Some(bits) = self.bits.get_mut(word) {
            *bits |= mask;
        }
    }

    fn place(index: u64) -> (usize, u64) {
        let bit = index % Self::SIZE;
        ((bit / 64) as usize, 1 << (bit % 64))
    }
}

/// The 48-bit packet index of `seq`, given the highest index so far: the candidate nearest to it, RFC 3711
/// section 3.3.1 and appendix A. There is no index below zero, so a sequence number that would lie there
/// is taken as a jump ahead.
pub(crate) fn estimate(highest: Option<u64>, seq: u16) -> u64 {
    let Some(highest) = highest else { return u64::from(seq) };
    let distance = i64::from(seq.wrapping_sub(highest as u16) as i16);
    match highest.checked_add_signed(distance) {
        Some(index) => index,
        None => u64::from(seq),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_rollover_wins() {
        // RFC 3711 appendix A: s_l below and above 32768, seq on either side of the wrap.
        assert_eq!(estimate(None, 65_535), 65_535);
        assert_eq!(estimate(Some(0x1_0005), 0xfffe), 0xfffe);
        assert_eq!(estimate(Some(0x1_fffe), 3), 0x2_0003);
        assert_eq!(estimate(Some(0x1_8000), 0x8001), 0x1_8001);
        assert_eq!(estimate(Some(0x1_8000), 0x7fff), 0x1_7fff);
        // Below zero there is nothing.
        assert_eq!(estimate(Some(5), 0xfff0), 0xfff0);
    }

    #[test]
    fn each_index_is_fresh_once() {
        let mut window = Window::<2>::new();
        assert_eq!(window.judge(1000), Verdict::Fresh);
        for index in [1000, 1003, 1001, 1130, 1129] {
            assert_eq!(window.judge(index), Verdict::Fresh, "{index}");
            window.mark(index);
            assert_eq!(window.judge(index), Verdict::Seen, "{index}");
        }
        // 1130 is the highest and the window is 128 wide: 1003 is its lowest index.
        assert_eq!(window.judge(1003), Verdict::Seen);
        assert_eq!(window.judge(1002), Verdict::Old);
        assert_eq!(window.judge(1004), Verdict::Fresh);
    }

    #[test]
    fn a_jump_ahead_forgets_everything_below() {
        let mut window = Window::<1>::new();
        for index in 0..64 {
            window.mark(index);
        }
        window.mark(64 + 63);
        for index in 64..127 {
            assert_eq!(window.judge(index), Verdict::Fresh, "{index}");
        }
        window.mark(10_000);
        assert_eq!(window.judge(9_999), Verdict::Fresh);
        assert_eq!(window.judge(9_936), Verdict::Old);
        window.mark(1);
        assert_eq!(window.highest(), Some(10_000));
    }

    #[test]
    fn it_agrees_with_a_set() {
        // Given: a walk that jumps back and forth over the window's edges.
        let mut window = Window::<2>::new();
        let mut seen = std::collections::BTreeSet::new();
        let mut state = 7u64;
        let mut base = 500u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let roll = state >> 33;
            base += roll % 3;
            if roll.is_multiple_of(501) {
                base += 200;
            }
            let index = base - (roll >> 8) % 200;
            let highest = seen.last().copied();
            let expected = match highest {
                Some(h) if index + 128 <= h => Verdict::Old,
                _ if seen.contains(&index) => Verdict::Seen,
                _ => Verdict::Fresh,
            };
            assert_eq!(window.judge(index), expected, "{index} below {highest:?}");
            if expected == Verdict::Fresh {
                window.mark(index);
                seen.insert(index);
            }
        }
    }
}
