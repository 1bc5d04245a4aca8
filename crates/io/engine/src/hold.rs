//! When to forward what has arrived: at once, or when a frame is complete.
//!
//! Owns: the measure of a worker's load, and the rule "marker or tick" of the egress. An idle worker holds
//! nothing. Above a threshold, packets wait until the video frames they belong to have ended (the RTP marker,
//! RFC 3550 section 5.1, which SRTP leaves readable) or for a time that grows with the load: longer runs
//! make the same traffic cheaper to send. Below it they wait for no longer than the last forwarding took, and
//! [`LEAST`] at most: in a room so large that one packet for everybody takes a millisecond, the rest of its frame is
//! there by then, and going along it costs a quarter; in a small one that time is nothing. Knows nothing of tracks.

use std::time::{Duration, Instant};

use crate::config::Egress;

/// How often the load is measured.
const WINDOW: Duration = Duration::from_millis(100);
/// Load, in thousandths, at which the hold has grown to its maximum.
const FULL_AT: u32 = 900;
/// Longest hold below the threshold: what forwarding may add to the delay of a packet there.
const LEAST: Duration = Duration::from_millis(1);
/// Streams watched at once, a power of two; two that share a place only hold each other less.
const STREAMS: usize = 1024;

/// What has been seen of one RTP stream.
#[derive(Debug, Clone, Copy, Default)]
struct Stream {
    ssrc: u32,
    timestamp: u32,
    /// Two packets shared a timestamp: its frames are of several packets, so a marker ends them. Audio has
    /// one packet a timestamp, and no marker to wait for.
    video: bool,
    /// The fan-out round in which its frame is open.
    open_in: u64,
}

/// The egress rule of one worker.
#[derive(Debug)]
pub(crate) struct Hold {
    config: Egress,
    load: Load,
    streams: Box<[Stream]>,
    round: u64,
    open: usize,
    since: Option<Instant>,
    /// How long the last forwarding took.
    took: Duration,
}

impl Hold {
    pub(crate) fn new(config: Egress, now: Instant) -> Self {
        let streams = vec![Stream::default(); STREAMS].into_boxed_slice();
        Self { config, load: Load::new(now), streams, round: 1, open: 0, since: None, took: Duration::ZERO }
    }

    pub(crate) fn configure(&mut self, config: Egress) {
        self.config = config;
    }

    /// The worker has slept from `from` to `to`.
    pub(crate) fn slept(&mut self, from: Instant, to: Instant) {
        self.load.slept(from, to);
    }

    /// The worker's load in thousandths.
    pub(crate) fn busy_permille(&self) -> u32 {
        self.load.permille
    }

    /// A datagram was given to the router.
    pub(crate) fn arrived(&mut self, now: Instant, datagram: &[u8]) {
        let Some(&[first, second, _, _, t0, t1, t2, t3, s0, s1, s2, s3]) = datagram.first_chunk::<12>()
        else {
            return;
        };
        // RTP and not RTCP, RFC 7983 section 7 and RFC 5761 section 4.
        if !(128..192).contains(&first) || (192..224).contains(&second) {
            return;
        }
        self.since.get_or_insert(now);
        let (ssrc, timestamp) = (u32::from_be_bytes([s0, s1, s2, s3]), u32::from_be_bytes([t0, t1, t2, t3]));
        // Fibonacci hashing: SSRCs need not be random.
        let place = (ssrc.wrapping_mul(0x9e37_79b9) >> 16) as usize % STREAMS;
        let Some(stream) = self.streams.get_mut(place) else { return };
        let was_open = stream.open_in == self.round;
        if stream.ssrc == ssrc {
            stream.video |= stream.timestamp == timestamp;
        } else {
            *stream = Stream { ssrc, ..Stream::default() };
        }
        stream.timestamp = timestamp;
        let is_open = stream.video && second & 0x80 == 0;
        stream.open_in = if is_open { self.round } else { 0 };
        self.open = self.open + usize::from(is_open) - usize::from(was_open);
    }

    /// Packets came from another worker, which has held them already.
    pub(crate) fn arrived_held(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// Whether to forward now.
    pub(crate) fn due(&self, now: Instant) -> bool {
        match self.deadline() {
            Some(deadline) => self.open == 0 || now >= deadline,
            None => false,
        }
    }

    /// When to forward at the latest, if anything waits.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.since.map(|since| since + self.hold())
    }

    /// Everything that waited has been forwarded. A frame whose end was lost holds nothing any more.
    pub(crate) fn forwarded(&mut self, took: Duration) {
        self.took = took;
        self.since = None;
        self.open = 0;
        self.round += 1;
    }

    fn hold(&self) -> Duration {
        let threshold = u32::from(self.config.hold_above) * 10;
        let above = self.load.permille.saturating_sub(threshold);
        let span = FULL_AT.saturating_sub(threshold).max(1);
        let by_load = self.config.max_hold * above.min(span) / span;
        by_load.max(self.took.min(LEAST).min(self.config.max_hold))
    }
}

/// Which share of its time a worker has worked lately.
#[derive(Debug)]
struct Load {
    window_start: Instant,
    slept: Duration,
    permille: u32,
}

impl Load {
    fn new(now: Instant) -> Self {
        Self { window_start: now, slept: Duration::ZERO, permille: 0 }
    }

    fn slept(&mut self, from: Instant, to: Instant) {
        self.slept += to.saturating_duration_since(from);
        let window = to.saturating_duration_since(self.window_start);
        if window < WINDOW {
            return;
        }
        let idle = self.slept.as_micros() * 1000 / window.as_micros().max(1);
        let busy = 1000 - u32::try_from(idle).unwrap_or(1000).min(1000);
        // A long sleep says more than the average before it.
        self.permille = if window > 4 * WINDOW { busy } else { (self.permille * 3 + busy) / 4 };
        self.window_start = to;
        self.slept = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rtp(ssrc: u32, timestamp: u32, marker: bool) -> Vec<u8> {
        let mut packet = vec![0x80, 96 | if marker { 0x80 } else { 0 }, 0, 0];
        packet.extend(timestamp.to_be_bytes());
        packet.extend(ssrc.to_be_bytes());
        packet
    }

    /// A hold whose worker works this share of its time.
    fn at_load(permille: u32, start: Instant) -> Hold {
        let mut hold = Hold::new(Egress { max_hold: Duration::from_millis(5), hold_above: 50 }, start);
        hold.load.permille = permille;
        hold
    }

    /// Shows the hold that `ssrc` is video.
    fn watch(hold: &mut Hold, now: Instant, ssrc: u32) {
        hold.arrived(now, &rtp(ssrc, 0, false));
        hold.arrived(now, &rtp(ssrc, 0, true));
        hold.forwarded(Duration::ZERO);
    }

    #[test]
    fn an_idle_worker_holds_nothing() {
        let now = Instant::now();
        let mut hold = at_load(499, now);
        assert!(!hold.due(now));
        watch(&mut hold, now, 1);
        hold.arrived(now, &rtp(1, 90, false));
        assert!(hold.due(now));
    }

    #[test]
    fn under_load_a_frame_waits_for_its_marker_or_for_the_tick() {
        let now = Instant::now();
        let mut hold = at_load(900, now);
        watch(&mut hold, now, 1);
        hold.arrived(now, &rtp(1, 90, false));
        assert!(!hold.due(now));
        assert_eq!(hold.deadline(), Some(now + Duration::from_millis(5)));
        assert!(hold.due(now + Duration::from_millis(5)));

        // When: the marker comes, Then: it goes.
        hold.arrived(now, &rtp(1, 90, true));
        assert!(hold.due(now));
        hold.forwarded(Duration::ZERO);
        assert!(!hold.due(now) && hold.deadline().is_none());
    }

    #[test]
    fn two_frames_wait_for_each_other_and_a_lost_marker_is_forgotten() {
        let now = Instant::now();
        let mut hold = at_load(700, now);
        watch(&mut hold, now, 1);
        watch(&mut hold, now, 2);
        hold.arrived(now, &rtp(1, 90, false));
        hold.arrived(now, &rtp(2, 80, false));
        hold.arrived(now, &rtp(1, 90, true));
        assert!(!hold.due(now));
        // Half way between the threshold and the full hold.
        assert_eq!(hold.deadline(), Some(now + Duration::from_micros(2500)));
        hold.forwarded(Duration::ZERO);
        hold.arrived(now, &rtp(1, 99, true));
        assert!(hold.due(now), "the frame of stream 2 is not waited for again");
    }

    #[test]
    fn voices_and_control_wait_for_nobody() {
        let now = Instant::now();
        let mut hold = at_load(1000, now);
        for n in 0..5 {
            hold.arrived(now, &rtp(7, n * 960, false));
            assert!(hold.due(now));
            hold.forwarded(Duration::ZERO);
        }
        hold.arrived(now, &[0x80, 200, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0]);
        hold.arrived(now, &[0x16; 40]);
        hold.arrived(now, &[0x80, 96]);
        assert_eq!(hold.deadline(), None);
    }

    #[test]
    fn an_idle_worker_waits_as_long_as_forwarding_takes_and_no_longer_than_a_millisecond() {
        let now = Instant::now();
        let mut hold = at_load(100, now);
        watch(&mut hold, now, 1);
        hold.forwarded(Duration::from_micros(400));
        hold.arrived(now, &rtp(1, 90, false));
        assert!(!hold.due(now));
        assert_eq!(hold.deadline(), Some(now + Duration::from_micros(400)));
        hold.arrived(now, &rtp(1, 90, true));
        assert!(hold.due(now));
        hold.forwarded(Duration::from_secs(1));
        hold.arrived(now, &rtp(1, 99, false));
        assert_eq!(hold.deadline(), Some(now + LEAST));
    }

    #[test]
    fn load_is_the_share_of_time_not_slept() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut load = Load::new(start);
        for ms in (0..2000).step_by(10) {
            load.slept(at(ms), at(ms + 3));
        }
        assert!((690..=720).contains(&load.permille), "{}", load.permille);
        load.slept(at(2000), at(9000));
        assert!(load.permille < 20, "{}", load.permille);
    }
}
