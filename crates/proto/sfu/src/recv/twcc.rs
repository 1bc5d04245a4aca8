//! When a transport's packets arrived: draft-holmer-rmcat-transport-wide-cc-extensions-01.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rtp::Ssrc;
use rtp::rtcp::{Builder, MAX_STATUSES, TICK};
use rtp::seq::Unwrapper;

/// Time between two feedbacks: as often as libwebrtc at high rates.
const INTERVAL: Duration = Duration::from_millis(50);

/// A gap this long is a jump: what lies in it is not told.
const MAX_GAP: u64 = 8192;

/// One transport's recorder.
#[derive(Debug)]
pub(crate) struct Twcc {
    epoch: Instant,
    seq: Unwrapper,
    /// Number that the first of `arrivals` is about.
    base: u64,
    /// In ticks since `epoch`.
    arrivals: VecDeque<Option<i64>>,
    due: Option<Instant>,
    count: u8,
    media: Ssrc,
}

impl Twcc {
    pub(crate) fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            seq: Unwrapper::default(),
            base: 0,
            arrivals: VecDeque::new(),
            due: None,
            count: 0,
            media: Ssrc(0),
        }
    }

    /// Records a packet.
    pub(crate) fn packet(&mut self, now: Instant, seq: u16, media: Ssrc) {
        let seq = self.seq.unwrap(seq).0;
        let end = self.base + self.arrivals.len() as u64;
        if self.arrivals.is_empty() && (seq < self.base || seq > end + MAX_GAP || self.base == 0) {
            // Reported as lost already, the first packet of all, or a jump.
            if seq < self.base {
                return;
            }
            self.base = seq;
        } else if seq > end + MAX_GAP {
            self.arrivals.clear();
            self.base = seq;
        }
        let Some(at) = seq.checked_sub(self.base).map(|n| n as usize) else { return };
        if at >= self.arrivals.len() {
            self.arrivals.resize(at + 1, None);
        }
        let ticks = (now.saturating_duration_since(self.epoch).as_micros() / TICK.as_micros()) as i64;
        if let Some(arrival) = self.arrivals.get_mut(at) {
            arrival.get_or_insert(ticks);
        }
        self.media = media;
        self.due.get_or_insert(now + INTERVAL);
    }

    /// When there is feedback to send.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.due
    }

    /// Appends feedback to a compound, if it is due. True if there is more to say than fitted.
    pub(crate) fn poll(&mut self, now: Instant, sender: Ssrc, builder: &mut Builder<'_>) -> bool {
        if self.due.is_none_or(|due| due > now) {
            return false;
        }
        // Leading gaps are told together with the next arrival.
        let arrivals = self.arrivals.make_contiguous();
        let arrivals = arrivals.get(..MAX_STATUSES).unwrap_or(arrivals);
        let told = builder.transport(sender, self.media, self.count, self.base as u16, arrivals);
        let told = match told {
            Some(told) => {
                self.count = self.count.wrapping_add(1);
                told
            }
            // A stretch in which nothing came: nobody can be told a reference time.
            None if arrivals.iter().all(Option::is_none) => arrivals.len(),
            None => return true,
        };
        self.arrivals.drain(..told);
        self.base += told as u64;
        if self.arrivals.is_empty() {
            self.due = None;
        }
        !self.arrivals.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtp::rtcp::{Packet, packets};

    type Told = (u8, Vec<(u16, Option<i64>)>);

    fn feedback(twcc: &mut Twcc, now: Instant) -> Option<Told> {
        let mut buf = [0; 1200];
        let mut builder = Builder::new(&mut buf);
        let _ = twcc.poll(now, Ssrc(1), &mut builder);
        let len = builder.len();
        match packets(&buf[..len]).next()?.unwrap() {
            Packet::Transport(f) => Some((f.count, f.arrivals().collect())),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn arrivals_and_gaps_are_told_once() {
        let t0 = Instant::now();
        let at = |ms| t0 + Duration::from_millis(ms);
        let mut twcc = Twcc::new(t0);
        twcc.packet(at(10), 65_535, Ssrc(9));
        twcc.packet(at(11), 1, Ssrc(9));
        twcc.packet(at(12), 0, Ssrc(9));
        twcc.packet(at(13), 4, Ssrc(9));
        assert_eq!(feedback(&mut twcc, at(59)), None);
        let all = vec![(65_535, Some(40)), (0, Some(48)), (1, Some(44)), (2, None), (3, None), (4, Some(52))];
        assert_eq!(feedback(&mut twcc, at(60)), Some((0, all)));
        assert_eq!(twcc.next(), None);
        // Told as lost: too late.
        twcc.packet(at(70), 2, Ssrc(9));
        assert_eq!(feedback(&mut twcc, at(200)), None);
        twcc.packet(at(300), 6, Ssrc(9));
        assert_eq!(feedback(&mut twcc, at(350)), Some((1, vec![(5, None), (6, Some(1200))])));
    }

    #[test]
    fn a_jump_does_not_fill_memory() {
        let t0 = Instant::now();
        let mut twcc = Twcc::new(t0);
        twcc.packet(t0, 0, Ssrc(9));
        twcc.packet(t0, 30_000, Ssrc(9));
        assert!(twcc.arrivals.len() < 2);
    }
}
