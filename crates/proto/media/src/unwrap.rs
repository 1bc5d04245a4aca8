//! Counters that wrap, made to run on.

/// Follows a clock that is sent in a few bits: 32 in RTMP and FLV (49.7 days of milliseconds), 33 in
/// MPEG-TS (26.5 hours).
///
/// Whoever parses a protocol holds one for each connection, because there the width is known; what reaches
/// a stream has no wrap left in it. The value nearest to the one before is taken, so a frame that is late
/// by a little across the wrap stays late by a little.
#[derive(Debug, Clone)]
pub struct Unwrap {
    bits: u32,
    last: Option<i64>,
}

impl Unwrap {
    /// For a counter of `bits`, from 2 to 62.
    pub const fn new(bits: u32) -> Self {
        Self {
            bits: if bits < 2 {
                2
            } else if bits > 62 {
                62
            } else {
                bits
            },
            last: None,
        }
    }

    /// The next value as it was sent; more bits than the counter has are ignored.
    pub fn extend(&mut self, sent: u64) -> i64 {
        let span = 1i64 << self.bits;
        let sent = (sent & (span as u64 - 1)) as i64;
        let value = match self.last {
            None => sent,
            Some(last) => {
                let ahead = (sent - last.rem_euclid(span)).rem_euclid(span);
                last.saturating_add(if ahead >= span / 2 { ahead - span } else { ahead })
            }
        };
        self.last = Some(value);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifty_days_of_milliseconds_run_on() {
        let mut clock = Unwrap::new(32);
        let mut real = 0u64;
        while real < 3 << 32 {
            assert_eq!(clock.extend(real & 0xffff_ffff), real as i64);
            real += 86_400_000;
        }
    }

    #[test]
    fn a_frame_late_across_the_wrap_stays_late() {
        let mut clock = Unwrap::new(32);
        assert_eq!(clock.extend(0xffff_fff0), 0xffff_fff0);
        assert_eq!(clock.extend(0x10), 0x1_0000_0010);
        assert_eq!(clock.extend(0xffff_fff8), 0xffff_fff8);
        assert_eq!(clock.extend(0x20), 0x1_0000_0020);
    }

    #[test]
    fn a_step_back_at_the_start_is_one() {
        let mut clock = Unwrap::new(33);
        assert_eq!(clock.extend(100), 100);
        assert_eq!(clock.extend(60), 60);
        assert_eq!(clock.extend((1 << 33) - 1), -1);
    }
}
