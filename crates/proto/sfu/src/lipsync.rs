//! One publisher's clock on ours.
//!
//! A publisher's sender reports (RFC 3550 section 6.4.1) tie each of its tracks to its own wall clock.
//! Subscribers get reports of ours, so that clock must be placed on our own, and by the same shift for all
//! tracks of the publisher: then its audio and its video stay as far apart as they were.

use crate::link::Mapping;

/// A difference beyond this is a clock that was set, not drift or delay: one second, 32.32.
const STEP: i64 = 1 << 32;

/// Most by which one report moves the shift: a report delayed in a queue must not move lips. 2 ms, 32.32.
const SLEW: i64 = (1 << 32) / 500;

/// Where a publisher's clock lies on ours.
#[derive(Debug, Default)]
pub(crate) struct Placement {
    /// Ours minus theirs, with the time a report takes to arrive; NTP 32.32.
    shift: Option<i64>,
}

impl Placement {
    /// Takes a report in that says `ntp` and arrives at `now` (both NTP 32.32); the report's moment on our
    /// clock.
    pub(crate) fn place(&mut self, now: u64, ntp: u64) -> u64 {
        let seen = now.wrapping_sub(ntp) as i64;
        let shift = match self.shift {
            Some(shift) => {
                let off = seen.wrapping_sub(shift);
                if off.unsigned_abs() > STEP as u64 { seen } else { shift + (off / 8).clamp(-SLEW, SLEW) }
            }
            None => seen,
        };
        self.shift = Some(shift);
        ntp.wrapping_add(shift as u64)
    }
}

impl Mapping {
    /// What the RTP clock says at another moment.
    pub(crate) fn rtp_at(self, ntp: u64, clock_rate: u32) -> u32 {
        let elapsed = i128::from(ntp.wrapping_sub(self.ntp) as i64);
        let ticks = (elapsed * i128::from(clock_rate)) >> 32;
        self.rtp.wrapping_add(ticks as u32)
    }

    /// When the RTP clock says `rtp`.
    pub(crate) fn ntp_at(self, rtp: u32, clock_rate: u32) -> u64 {
        let ticks = i64::from(rtp.wrapping_sub(self.rtp) as i32);
        let elapsed = (i128::from(ticks) << 32) / i128::from(clock_rate.max(1));
        self.ntp.wrapping_add(elapsed as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1 << 32;
    const MS: u64 = SECOND / 1000;

    #[test]
    fn a_mapping_reads_both_ways() {
        let m = Mapping { ntp: 100 * SECOND, rtp: 0xffff_fff0 };
        assert_eq!(m.rtp_at(101 * SECOND, 90_000), 90_000 - 16);
        assert_eq!(m.rtp_at(99 * SECOND, 90_000), 0xffff_fff0 - 90_000);
        assert_eq!(m.ntp_at(90_000 - 16, 90_000), 101 * SECOND);
        assert_eq!(m.ntp_at(0xffff_fff0 - 45_000, 90_000), 99 * SECOND + SECOND / 2);
    }

    #[test]
    fn delayed_reports_hardly_move_the_clock_and_a_set_clock_does_at_once() {
        let mut p = Placement::default();
        assert_eq!(p.place(500 * SECOND, 7 * SECOND), 500 * SECOND);
        // 80 ms late: the moment stays where it was, to 2 ms.
        let placed = p.place(501 * SECOND + 80 * MS, 8 * SECOND);
        assert!(placed - 501 * SECOND <= 2 * MS, "{}", (placed - 501 * SECOND) / MS);
        assert_eq!(p.place(502 * SECOND, 3000 * SECOND), 502 * SECOND);
    }
}
