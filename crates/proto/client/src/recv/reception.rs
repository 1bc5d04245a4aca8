//! Reception statistics of one source, RFC 3550 section 6.4.1 and appendix A.

use std::time::{Duration, Instant};

use clock::Time;
use rtp::Ssrc;
use rtp::rtcp::{ReportBlock, SenderInfo};
use rtp::seq::{ExtSeq, Unwrapper};

/// Counts for receiver reports.
#[derive(Debug)]
pub(crate) struct Reception {
    ssrc: Ssrc,
    clock_rate: u32,
    unwrapper: Unwrapper,
    first: Option<ExtSeq>,
    received: u64,
    /// As of the last report: expected and received.
    reported: (u64, u64),
    /// Difference of the last packet's arrival and timestamp, in clock units.
    transit: Option<i64>,
    /// In sixteenths of a clock unit.
    jitter: u64,
    last_sr: Option<(u32, Instant)>,
    epoch: Instant,
}

impl Reception {
    pub(crate) fn new(now: Time, ssrc: Ssrc, clock_rate: u32) -> Self {
        Self {
            ssrc,
            clock_rate,
            unwrapper: Unwrapper::default(),
            first: None,
            received: 0,
            reported: (0, 0),
            transit: None,
            jitter: 0,
            last_sr: None,
            epoch: now.mono,
        }
    }

    /// Counts a packet of the source itself.
    pub(crate) fn receive(&mut self, now: Time, seq: u16, timestamp: u32) -> ExtSeq {
        let at = self.unwrapper.unwrap(seq);
        self.first.get_or_insert(at);
        self.received += 1;
        let arrival = now.since(self.epoch).as_micros() * u128::from(self.clock_rate) / 1_000_000;
        // Timestamps wrap, so only the difference of differences is meaningful, modulo 2^32.
        let transit = (arrival as i64).wrapping_sub(i64::from(timestamp));
        if let Some(last) = self.transit {
            let d = u64::from((transit.wrapping_sub(last) as i32).unsigned_abs());
            self.jitter = (self.jitter + d).saturating_sub((self.jitter + 8) / 16);
        }
        self.transit = Some(transit);
        at
    }

    /// What number a retransmitted packet has.
    pub(crate) fn place(&self, seq: u16) -> ExtSeq {
        self.unwrapper.peek(seq)
    }

    pub(crate) fn sender_report(&mut self, now: Time, info: &SenderInfo) {
        self.last_sr = Some(((info.ntp >> 16) as u32, now.mono));
    }

    /// Packets that the sequence numbers promise so far.
    pub(crate) fn expected(&self) -> u64 {
        match (self.first, self.unwrapper.highest()) {
            (Some(first), Some(highest)) => (highest.0 + 1).saturating_sub(first.0),
            _ => 0,
        }
    }

    /// The block for the next report; `None` before the first packet.
    pub(crate) fn report(&mut self, now: Time) -> Option<ReportBlock> {
        let highest = self.unwrapper.highest()?;
        let (expected, received) = (self.expected(), self.received);
        let interval = expected.saturating_sub(self.reported.0);
        let lost = interval.saturating_sub(received.saturating_sub(self.reported.1));
        self.reported = (expected, received);
        let fraction = (lost * 256).checked_div(interval).unwrap_or(0).min(255);
        let (last_sr, delay) = self.last_sr.map_or((0, Duration::ZERO), |(sr, at)| (sr, now.since(at)));
        Some(ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: fraction as u8,
            cumulative_lost: (expected as i64 - received as i64).clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest_seq: highest.reported(),
            jitter: (self.jitter / 16) as u32,
            last_sr,
            delay_since_last_sr: (delay.as_micros() * 65_536 / 1_000_000).min(u128::from(u32::MAX)) as u32,
        })
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use super::*;

    fn start() -> Time {
        Time { mono: Instant::now(), unix: Duration::ZERO }
    }

    #[test]
    fn loss_is_counted_per_interval_and_in_all() {
        let t = start();
        let mut r = Reception::new(t, Ssrc(5), 90_000);
        assert_eq!(r.report(t), None);
        for seq in [0xfffe_u16, 0xffff, 1, 2] {
            r.receive(t, seq, 0);
        }
        let b = r.report(t).unwrap();
        assert_eq!((b.fraction_lost, b.cumulative_lost, b.highest_seq), (51, 1, 0x0001_0002));
        // The missing one comes late: nothing new is lost.
        r.receive(t, 0, 0);
        let b = r.report(t).unwrap();
        assert_eq!((b.fraction_lost, b.cumulative_lost), (0, 0));
    }

    #[test]
    fn jitter_is_none_on_an_even_stream_and_grows_on_an_uneven_one() {
        let t = start();
        let mut even = Reception::new(t, Ssrc(1), 90_000);
        let mut uneven = Reception::new(t, Ssrc(1), 90_000);
        for i in 0..200u32 {
            // The clock wraps on the way.
            let timestamp = 0xffff_f000_u32.wrapping_add(i * 900);
            let at = t.after(Duration::from_millis(10) * i);
            even.receive(at, i as u16, timestamp);
            uneven.receive(at.after(Duration::from_millis(u64::from(i % 2) * 5)), i as u16, timestamp);
        }
        assert_eq!(even.report(t).unwrap().jitter, 0);
        // 5 ms are 450 units.
        let jitter = uneven.report(t).unwrap().jitter;
        assert!((430..=450).contains(&jitter), "{jitter}");
    }

    #[test]
    fn the_last_sender_report_is_told_with_its_age() {
        let t = start();
        let mut r = Reception::new(t, Ssrc(1), 90_000);
        r.receive(t, 1, 1);
        let info =
            SenderInfo { ssrc: Ssrc(1), ntp: 0x1111_2222_3333_4444, rtp_timestamp: 0, packets: 0, octets: 0 };
        r.sender_report(t, &info);
        let b = r.report(t.after(Duration::from_millis(1500))).unwrap();
        assert_eq!((b.last_sr, b.delay_since_last_sr), (0x2222_3333, 98_304));
    }
}
