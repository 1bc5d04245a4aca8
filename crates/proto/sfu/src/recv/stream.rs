//! Counting one received stream: RFC 3550 section 6.4.1 and appendix A.

use std::time::Instant;

use rtp::Ssrc;
use rtp::rtcp::ReportBlock;
use rtp::seq::{ExtSeq, Unwrapper};

/// One SSRC's reception.
#[derive(Debug)]
pub(crate) struct Stream {
    ssrc: Ssrc,
    clock_rate: u32,
    seq: Unwrapper,
    first: Option<ExtSeq>,
    received: u64,
    /// Expected and received at the last report.
    reported: (u64, u64),
    jitter: Jitter,
    /// Middle bits of the last sender report's NTP time, and when it came.
    sender_report: Option<(u32, Instant)>,
}

/// Interarrival jitter, RFC 3550 appendix A.8: in sixteenths of a clock tick.
#[derive(Debug, Default)]
struct Jitter {
    scaled: u64,
    last: Option<(Instant, u32)>,
}

impl Stream {
    pub(crate) fn new(ssrc: Ssrc, clock_rate: u32) -> Self {
        Self {
            ssrc,
            clock_rate,
            seq: Unwrapper::default(),
            first: None,
            received: 0,
            reported: (0, 0),
            jitter: Jitter::default(),
            sender_report: None,
        }
    }

    pub(crate) fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    /// Counts a packet that came by itself.
    pub(crate) fn packet(&mut self, now: Instant, seq: u16, timestamp: u32) -> ExtSeq {
        let seq = self.seq.unwrap(seq);
        self.first.get_or_insert(seq);
        self.received += 1;
        self.jitter.packet(now, timestamp, self.clock_rate);
        seq
    }

    /// Numbers a packet that came by retransmission, which counts as lost all the same: reports are about
    /// the path.
    pub(crate) fn repaired(&mut self, seq: u16) -> ExtSeq {
        self.seq.peek(seq)
    }

    /// The newest number.
    pub(crate) fn highest(&self) -> Option<ExtSeq> {
        self.seq.highest()
    }

    /// Takes a sender report about this stream.
    pub(crate) fn sender_report(&mut self, now: Instant, ntp: u64) {
        self.sender_report = Some(((ntp >> 16) as u32, now));
    }

    /// The block for the next receiver report, if anything has come.
    pub(crate) fn report(&mut self, now: Instant) -> Option<ReportBlock> {
        let highest = self.seq.highest()?;
        let expected = highest.0 - self.first?.0.min(highest.0) + 1;
        let (expected_before, received_before) =
            std::mem::replace(&mut self.reported, (expected, self.received));
        let expected_now = expected.saturating_sub(expected_before);
        let lost_now = expected_now.saturating_sub(self.received - received_before);
        let fraction_lost = (lost_now * 256).checked_div(expected_now).unwrap_or(0).min(255) as u8;
        let lost = expected as i64 - self.received as i64;
        let (last_sr, since) = self.sender_report.map_or((0, 0), |(ntp, at)| {
            let since = now.saturating_duration_since(at);
            (ntp, (since.as_nanos() * 65_536 / 1_000_000_000).min(u128::from(u32::MAX)) as u32)
        });
        Some(ReportBlock {
            ssrc: self.ssrc,
            fraction_lost,
            cumulative_lost: lost.clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest_seq: highest.reported(),
            jitter: (self.jitter.scaled >> 4) as u32,
            last_sr,
            delay_since_last_sr: since,
        })
    }
}

impl Jitter {
    fn packet(&mut self, now: Instant, timestamp: u32, clock_rate: u32) {
        if let Some((at, before)) = self.last {
            if timestamp == before {
                return;
            }
            let elapsed =
                now.saturating_duration_since(at).as_nanos() * u128::from(clock_rate) / 1_000_000_000;
            let media = i64::from(timestamp.wrapping_sub(before) as i32);
            let deviation = (elapsed as i64 - media).unsigned_abs();
            // A pause is not jitter.
            if deviation < u64::from(clock_rate) * 5 {
                self.scaled = (self.scaled + deviation).saturating_sub((self.scaled + 8) >> 4);
            }
        }
        self.last = Some((now, timestamp));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_report_says_what_was_lost_since_the_last_one() {
        let t0 = Instant::now();
        let at = |ms: u64| t0 + Duration::from_millis(ms);
        let mut s = Stream::new(Ssrc(7), 90_000);
        assert_eq!(s.report(t0), None);
        for n in (0..10u16).filter(|n| *n != 4) {
            s.packet(at(u64::from(n) * 10), 65_530u16.wrapping_add(n), u32::from(n) * 900);
        }
        s.sender_report(at(100), 0x1234_5678_9abc_def0);
        let block = s.report(at(600)).unwrap();
        assert_eq!((block.fraction_lost, block.cumulative_lost), (25, 1));
        assert_eq!(block.highest_seq, 0x0001_0003);
        assert_eq!((block.last_sr, block.delay_since_last_sr), (0x5678_9abc, 32_768));
        assert_eq!(block.jitter, 0);
        s.packet(at(700), 4, 9000);
        let block = s.report(at(1600)).unwrap();
        assert_eq!((block.fraction_lost, block.cumulative_lost), (0, 1));
    }
}
