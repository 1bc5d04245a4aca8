//! What a subscriber says about a track, and what its sender reports count.

use std::time::Duration;

use rtp::rtcp::ReportBlock;

/// A round trip above this is a report about another time.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(10);

/// One consumer's feedback.
#[derive(Debug)]
pub(crate) struct Feedback {
    packets: u32,
    octets: u32,
    rtx_next: u16,
    round_trip: Option<Duration>,
    fraction_lost: u8,
    /// Middle bits of the last sender report's NTP time: a report about another is not ours.
    last_report: u32,
}

impl Feedback {
    pub(crate) fn new(rtx_first: u16) -> Self {
        Self {
            packets: 0,
            octets: 0,
            rtx_next: rtx_first & 0x7fff,
            round_trip: None,
            fraction_lost: 0,
            last_report: 0,
        }
    }

    /// Counts a packet that was sent.
    pub(crate) fn count(&mut self, payload_len: usize) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload_len as u32);
    }

    /// Packets and payload bytes, as a sender report says them.
    pub(crate) fn sent(&self) -> (u32, u32) {
        (self.packets, self.octets)
    }

    /// A sender report went out.
    pub(crate) fn reported(&mut self, ntp: u64) {
        self.last_report = (ntp >> 16) as u32;
    }

    /// The next sequence number of the retransmissions.
    pub(crate) fn next_rtx(&mut self) -> u16 {
        let seq = self.rtx_next;
        self.rtx_next = seq.wrapping_add(1);
        seq
    }

    /// Takes a report block in; a round trip time if it tells one (RFC 3550 section 6.4.1).
    pub(crate) fn report(&mut self, ntp: u64, block: &ReportBlock) -> Option<Duration> {
        self.fraction_lost = block.fraction_lost;
        if block.last_sr == 0 || self.last_report.wrapping_sub(block.last_sr) as i32 > 60 << 16 {
            return None;
        }
        let now = (ntp >> 16) as u32;
        let units = now.wrapping_sub(block.last_sr).wrapping_sub(block.delay_since_last_sr);
        let round_trip = Duration::from_nanos(u64::from(units) * 1_000_000_000 / 65_536);
        self.round_trip = Some(round_trip).filter(|rtt| *rtt <= MAX_ROUND_TRIP).or(self.round_trip);
        self.round_trip
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_round_trip_is_what_is_left_without_the_far_ends_delay() {
        let mut feedback = Feedback::new(0);
        let sent = (1000 << 32) | 0x4000_0000;
        feedback.reported(sent);
        let mut block = ReportBlock {
            last_sr: (sent >> 16) as u32,
            delay_since_last_sr: 65_536 / 2,
            ..ReportBlock::default()
        };
        let now = sent + (1 << 31) + (1 << 30);
        assert_eq!(feedback.report(now, &block), Some(Duration::from_millis(250)));
        // A delay longer than the time that has passed.
        block.delay_since_last_sr = 65_536;
        assert_eq!(feedback.report(now, &block), Some(Duration::from_millis(250)));
        block.last_sr = 0;
        assert_eq!(feedback.report(now, &block), None);
    }

    #[test]
    fn retransmissions_begin_in_the_lower_half() {
        let mut feedback = Feedback::new(0xffff);
        assert_eq!((feedback.next_rtx(), feedback.next_rtx()), (0x7fff, 0x8000));
    }
}
