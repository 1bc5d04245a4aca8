//! What a subscriber was sent and may ask for again.
//!
//! Owns: for each of the last packets, where its bytes are (in the encoding's ring) and all that was put
//! into it on the way out, so that it can be made again. With RTX a retransmission is a packet of its own;
//! without, it must be the same packet byte for byte, because under AES-GCM one (key, SSRC, index) must
//! never seal two different ones (RFC 7714 section 8.4).

use std::time::{Duration, Instant};

use crate::consumer::rewrite::Numbers;

/// Packets remembered for a video track; what the reference server keeps.
const VIDEO_PACKETS: usize = 512;
/// Packets remembered for an audio track: 2.5 s of Opus at 20 ms.
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

    /// Remembers a packet; what was in its place is forgotten, unless that is newer.
    pub(crate) fn record(&mut self, sent: Sent) {
        if self.slots.is_empty() {
            // Once a consumer, when it first gets something.
            self.slots = vec![None; self.len];
        }
        let at = sent.stamp.numbers.seq as usize % self.len;
        if let Some(slot) = self.slots.get_mut(at)
            && slot.is_none_or(|old| old.stamp.numbers.seq <= sent.stamp.numbers.seq)
        {
            *slot = Some(sent);
        }
    }

    /// The packet numbered `seq`.
    pub(crate) fn find(&self, seq: u64) -> Option<&Sent> {
        self.slots.get(seq as usize % self.len)?.as_ref().filter(|s| s.stamp.numbers.seq == seq)
    }

    /// Whether the packet may go again now, given the round trip time; if so, it counts as gone.
    pub(crate) fn take_turn(&mut self, seq: u64, now: Instant, round_trip: Option<Duration>) -> bool {
        let len = self.len;
        let Some(Some(sent)) = self.slots.get_mut(seq as usize % len) else { return false };
        let interval = round_trip.map_or(LEAST_RESEND_INTERVAL, |rtt| (rtt / 2).max(LEAST_RESEND_INTERVAL));
        if sent.stamp.numbers.seq != seq || now.saturating_duration_since(sent.at) < interval {
            return false;
        }
        sent.at = now;
        true
    }
}
