//! Arrival times of a transport's packets, for transport-wide feedback.

use std::time::{Duration, Instant};

use clock::Time;
use rtp::Ssrc;
use rtp::rtcp::{Builder, MAX_STATUSES, TICK};
use rtp::seq::Unwrapper;

/// Feedback is sent this often (libwebrtc: 50 to 250 ms).
pub(crate) const INTERVAL: Duration = Duration::from_millis(100);

/// Arrivals since the last feedback.
#[derive(Debug)]
pub(crate) struct Arrivals {
    epoch: Instant,
    unwrapper: Unwrapper,
    /// Number of `ticks[0]`.
    base: u64,
    ticks: Vec<Option<i64>>,
    count: u8,
}

impl Arrivals {
    pub(crate) fn new(now: Time) -> Self {
        Self { epoch: now.mono, unwrapper: Unwrapper::default(), base: 0, ticks: Vec::new(), count: 0 }
    }

    pub(crate) fn receive(&mut self, now: Time, seq: u16) {
        let at = self.unwrapper.unwrap(seq).0;
        if self.base == 0 {
            self.base = at;
        }
        // What was reported lost and comes after all stays lost, as libwebrtc's later feedback would not
        // name it either.
        let Some(index) = at.checked_sub(self.base) else { return };
        let index = index as usize;
        if index >= MAX_STATUSES {
            self.ticks.clear();
            self.base = at;
            return self.receive(now, seq);
        }
        if self.ticks.len() <= index {
            self.ticks.resize(index + 1, None);
        }
        let tick = (now.since(self.epoch).as_micros() / TICK.as_micros()) as i64;
        if let Some(slot) = self.ticks.get_mut(index) {
            slot.get_or_insert(tick);
        }
    }

    /// Adds feedback about all arrivals so far, if there are any.
    pub(crate) fn report(&mut self, sender: Ssrc, media: Ssrc, out: &mut Builder<'_>) {
        while !self.ticks.is_empty() {
            let taken = out.transport(sender, media, self.count, self.base as u16, &self.ticks);
            let Some(taken) = taken.filter(|t| *t > 0) else { return };
            self.count = self.count.wrapping_add(1);
            self.base += taken as u64;
            self.ticks.drain(..taken.min(self.ticks.len()));
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use super::*;
    use rtp::rtcp::{Packet, packets};

    #[test]
    fn each_packet_is_reported_once_with_its_time() {
        let t = Time { mono: Instant::now(), unix: Duration::ZERO };
        let mut a = Arrivals::new(t);
        for (ms, seq) in [(0, 0xfffe_u16), (1, 0), (3, 1), (2, 0xffff)] {
            a.receive(t.after(Duration::from_millis(ms)), seq);
        }
        let mut buf = [0; 200];
        let mut b = Builder::new(&mut buf);
        a.report(Ssrc(1), Ssrc(2), &mut b);
        let n = b.len();
        let Some(Ok(Packet::Transport(f))) = packets(&buf[..n]).next() else { panic!() };
        let read: Vec<_> = f.arrivals().collect();
        assert_eq!(read, [(0xfffe, Some(0)), (0xffff, Some(8)), (0, Some(4)), (1, Some(12))]);
        let mut b = Builder::new(&mut buf);
        a.report(Ssrc(1), Ssrc(2), &mut b);
        assert!(b.is_empty());
        // The next report goes on where this one ended: number 2 is missing.
        a.receive(t.after(Duration::from_millis(9)), 3);
        a.report(Ssrc(1), Ssrc(2), &mut b);
        let n = b.len();
        let Some(Ok(Packet::Transport(f))) = packets(&buf[..n]).next() else { panic!() };
        assert_eq!((f.base_seq, f.count, f.arrivals().next()), (2, 1, Some((2, None))));
    }

    #[test]
    fn a_jump_starts_anew() {
        let t = Time { mono: Instant::now(), unix: Duration::ZERO };
        let mut a = Arrivals::new(t);
        a.receive(t, 1);
        a.receive(t, 20_000);
        assert_eq!(a.ticks.len(), 1);
    }
}
