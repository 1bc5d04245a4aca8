//! A bitrate for publishers that know no transport-wide feedback (draft-alvestrand-rmcat-remb-03).
//!
//! Owns: a simple estimate by loss and by what arrives. It lets a sender grow while nothing is lost and
//! takes it back when much is.

use std::time::{Duration, Instant};

use rtp::Bitrate;

/// Time between two messages: libwebrtc sends one a second unless the rate falls.
const INTERVAL: Duration = Duration::from_secs(1);

/// bit/s below which no sender is pushed.
const LEAST: u64 = 150_000;
/// bit/s above which nobody needs to be allowed.
const MOST: u64 = 50_000_000;
/// bit/s before anything is known, as in libwebrtc.
const START: u64 = 300_000;

/// One transport's estimate.
#[derive(Debug)]
pub(crate) struct Remb {
    bitrate: u64,
    bytes: u64,
    since: Option<Instant>,
}

impl Remb {
    pub(crate) fn new() -> Self {
        Self { bitrate: START, bytes: 0, since: None }
    }

    /// Counts a packet.
    pub(crate) fn packet(&mut self, now: Instant, bytes: usize) {
        self.since.get_or_insert(now);
        self.bytes += bytes as u64;
    }

    /// When there is something to say.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.since.map(|since| since + INTERVAL)
    }

    /// The estimate, if it is due. `fraction_lost` of the interval is in 256ths.
    pub(crate) fn poll(&mut self, now: Instant, fraction_lost: u8) -> Option<Bitrate> {
        let since = self.since.filter(|since| now >= *since + INTERVAL)?;
        let elapsed = now.saturating_duration_since(since).as_micros().max(1) as u64;
        let received = self.bytes.saturating_mul(8_000_000) / elapsed;
        let lost = u64::from(fraction_lost);
        // Thresholds of libwebrtc's loss-based estimate: up below 2 %, down above 10 %.
        if lost > 25 {
            self.bitrate = self.bitrate.min(received) * (512 - lost) / 512;
        } else if lost < 5 {
            let grown = self.bitrate + self.bitrate / 4;
            self.bitrate = self.bitrate.max(grown.min(received * 2));
        }
        self.bitrate = self.bitrate.clamp(LEAST, MOST);
        (self.since, self.bytes) = (None, 0);
        Some(Bitrate(self.bitrate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_with_what_arrives_and_falls_with_loss() {
        let t0 = Instant::now();
        let mut remb = Remb::new();
        let mut rate = START;
        for second in 0..20u32 {
            let now = t0 + Duration::from_secs(u64::from(second) * 2);
            remb.packet(now, (rate / 8) as usize);
            rate = remb.poll(now + INTERVAL, 0).unwrap().0;
        }
        assert!(rate > 2_000_000, "{rate}");
        let now = t0 + Duration::from_secs(100);
        remb.packet(now, (rate / 8) as usize);
        assert!(remb.poll(now + INTERVAL, 64).unwrap().0 < rate * 9 / 10);
        assert_eq!(remb.poll(now + INTERVAL * 3, 0), None);
    }
}
