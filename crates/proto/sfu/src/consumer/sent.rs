//! What a subscriber was sent and may ask for again.
//!
//! Owns: for each of the last packets, where its bytes are (in the encoding's ring) and all that was put
//! into it on the way out, so that it can be made again. With RTX a retransmission is a packet of its own;
//! without, it must be the same packet byte for byte, because under AES-GCM one (key, SSRC, index) must
//! never seal two different ones (RFC 7714 section 8.4).

use std::time::{Duration, Instant};

use crate::consumer::rewrite::Numbers;

/// Packets remembered at first; more as they turn out to be asked for.
const FIRST: usize = 32;
/// A packet is worth remembering for as long as the publisher's cache has it (`Config::cache_time`).
const KEEP: Duration = Duration::from_secs(1);
/// Packets remembered at most for a video track; what the reference server keeps.
const VIDEO_PACKETS: usize = 512;
/// The same for an audio track: 2.5 s of Opus at 20 ms.
const AUDIO_PACKETS: usize = 128;

/// A packet is not sent again within this time of its last going, whatever is asked: a second request
/// within it crossed the answer to the first on its way.
const LEAST_RESEND_INTERVAL: Duration = Duration::from_millis(20);

/// What fills a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A packet of an encoding's ring.
    Packet { encoding: u8, epoch: u16, seq: u64 },
    /// Padding alone, where a packet came late that the subscriber does not get.
    Blank,
}

/// What was put into a packet on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) numbers: Numbers,
    pub(crate) marker: bool,
    /// Transport-wide sequence number, 0 where none is negotiated.
    pub(crate) transport_seq: u16,
    /// 6.18 fixed point seconds, 0 where not negotiated.
    pub(crate) abs_send_time: u32,
}

/// One remembered packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) source: Source,
    /// Index of the publisher's codec.
    pub(crate) codec: u8,
    pub(crate) stamp: Stamp,
    pub(crate) at: Instant,
}

/// The last packets by number.
#[derive(Debug)]
pub(crate) struct SentLog {
    slots: Vec<Option<Sent>>,
    len: usize,
}

impl SentLog {
    pub(crate) fn new(video: bool) -> Self {
        Self { slots: Vec::new(), len: if video { VIDEO_PACKETS } else { AUDIO_PACKETS } }
    }

    /// Packets remembered.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Remembers a packet; what was in its place is forgotten, unless that is newer. There are as many places
    /// as packets that are young enough, because each of them is written in turn and cold when it is.
    pub(crate) fn record(&mut self, sent: Sent) {
        if self.slots.is_empty() {
            // Once a consumer, when it first gets something.
            self.slots = vec![None; FIRST.min(self.len)];
        }
        let seq = sent.stamp.numbers.seq;
        let old = self.slots.get(self.place(seq)).copied().flatten();
        if let Some(old) = old {
            if old.stamp.numbers.seq > seq {
                return;
            }
            let young = sent.at.saturating_duration_since(old.at) < KEEP;
            if young && old.stamp.numbers.seq != seq && self.slots.len() < self.len {
                self.grow();
            }
        }
        let at = self.place(seq);
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Some(sent);
        }
    }

    fn place(&self, seq: u64) -> usize {
        seq as usize & self.slots.len().wrapping_sub(1)
    }

    fn grow(&mut self) {
        let old = std::mem::take(&mut self.slots);
        self.slots = vec![None; old.len() * 2];
        for sent in old.into_iter().flatten() {
            let at = self.place(sent.stamp.numbers.seq);
            if let Some(slot) = self.slots.get_mut(at) {
                *slot = Some(sent);
            }
        }
    }

    /// The packet numbered `seq`.
    pub(crate) fn find(&self, seq: u64) -> Option<&Sent> {
        self.slots.get(self.place(seq))?.as_ref().filter(|s| s.stamp.numbers.seq == seq)
    }

    /// Whether the packet may go again now, given the round trip time.
    pub(crate) fn may_go(&self, seq: u64, now: Instant, round_trip: Option<Duration>) -> bool {
        let interval = round_trip.map_or(LEAST_RESEND_INTERVAL, |rtt| (rtt / 2).max(LEAST_RESEND_INTERVAL));
        self.find(seq).is_some_and(|sent| now.saturating_duration_since(sent.at) >= interval)
    }

    /// It has gone again.
    pub(crate) fn note_gone(&mut self, seq: u64, now: Instant) {
        let at = self.place(seq);
        if let Some(Some(sent)) = self.slots.get_mut(at)
            && sent.stamp.numbers.seq == seq
        {
            sent.at = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use codec::vp8;

    fn sent(t0: Instant, ms: u64, seq: u64) -> Sent {
        let numbers = Numbers { seq, timestamp: seq as u32, vp8: vp8::Ids::default() };
        let stamp = Stamp { numbers, marker: false, transport_seq: 0, abs_send_time: 0 };
        Sent { source: Source::Blank, codec: 0, stamp, at: t0 + Duration::from_millis(ms) }
    }

    #[test]
    fn a_second_is_remembered_whatever_the_rate_as_far_as_it_may() {
        let t0 = Instant::now();
        for (interval, slots) in [(100, 32), (20, 64), (5, 256), (1, VIDEO_PACKETS)] {
            let mut log = SentLog::new(true);
            for n in 0..3000 {
                log.record(sent(t0, n * interval, 70_000 + n));
            }
            assert_eq!(log.slots.len(), slots, "every {interval} ms");
            let kept = (1000 / interval).min(VIDEO_PACKETS as u64);
            for back in 0..kept {
                assert!(log.find(72_999 - back).is_some(), "{back} of {kept}, every {interval} ms");
            }
            assert!(log.find(73_000).is_none() && log.find(72_999 - 600).is_none());
        }
    }

    #[test]
    fn a_late_packet_does_not_push_a_newer_one_out_and_a_repeat_takes_its_own_place() {
        let t0 = Instant::now();
        let mut log = SentLog::new(false);
        log.record(sent(t0, 0, 100));
        log.record(sent(t0, 5000, 100 + FIRST as u64));
        log.record(sent(t0, 5001, 100));
        assert!(log.find(100).is_none() && log.find(100 + FIRST as u64).is_some());
        log.record(sent(t0, 5002, 100 + FIRST as u64));
        assert_eq!(log.slots.len(), FIRST);
    }
}
