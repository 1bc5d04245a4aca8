//! What a subscriber was sent and may ask for again.
//!
//! Owns: for each of the last packets, where its bytes are (in the encoding's ring) and all that was put
//! into it on the way out, so that it can be made again. With RTX a retransmission is a packet of its own;
//! without, it must be the same packet byte for byte, because under AES-GCM one (key, SSRC, index) must
//! never seal two different ones (RFC 7714 section 8.4).

use std::time::Duration;

use codec::vp8;

use crate::consumer::rewrite::Numbers;

/// Packets remembered at first; more as they turn out to be asked for.
const FIRST: usize = 32;
/// A packet is worth remembering for as long as the publisher's cache has it (`Config::cache_time`).
const KEEP_MICROS: u32 = 1_000_000;
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
    /// A packet of an encoding's ring, with the low bits of its number: a ring holds far fewer packets than they
    /// tell apart.
    Packet { encoding: u8, epoch: u16, seq: u32 },
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
    /// In [`Egress::micros`](crate::consumer::Egress::micros).
    pub(crate) at: u32,
}

/// A [`Sent`] in half a cache line: one is written for every packet that leaves, and with hundreds of
/// subscribers none of them is in the caches any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(align(32))]
struct Slot {
    /// Low bits of the number it went out under; a log is far shorter than they tell apart.
    seq: u32,
    at: u32,
    timestamp: u32,
    /// Low bits of the number in its ring.
    source: u32,
    /// The sending time, which has 24 bits, above the flags.
    time_and_flags: u32,
    transport_seq: u16,
    epoch: u16,
    picture_id: u16,
    tl0: u8,
    key_index: u8,
    codec: u8,
    encoding: u8,
}

/// There is a packet in this slot.
const USED: u32 = 1;
/// It ends its picture.
const MARKER: u32 = 2;
/// [`Source::Blank`].
const BLANK: u32 = 4;
/// Bits below the sending time.
const FLAG_BITS: u32 = 8;

impl Slot {
    fn new(sent: &Sent) -> Self {
        let (encoding, epoch, source, blank) = match sent.source {
            Source::Packet { encoding, epoch, seq } => (encoding, epoch, seq, 0),
            Source::Blank => (0, 0, 0, BLANK),
        };
        let Stamp { numbers, marker, transport_seq, abs_send_time } = sent.stamp;
        let flags = USED | blank | if marker { MARKER } else { 0 };
        Self {
            seq: numbers.seq as u32,
            at: sent.at,
            timestamp: numbers.timestamp,
            source,
            time_and_flags: abs_send_time << FLAG_BITS | flags,
            transport_seq,
            epoch,
            picture_id: numbers.vp8.picture_id,
            tl0: numbers.vp8.tl0_picture_index,
            key_index: numbers.vp8.key_index,
            codec: sent.codec,
            encoding,
        }
    }

    fn has(self, flag: u32) -> bool {
        self.time_and_flags & flag != 0
    }

    fn source(self) -> Source {
        if self.has(BLANK) {
            return Source::Blank;
        }
        Source::Packet { encoding: self.encoding, epoch: self.epoch, seq: self.source }
    }
}

/// The last packets by number.
#[derive(Debug)]
pub(crate) struct SentLog {
    slots: Vec<Slot>,
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
    pub(crate) fn record(&mut self, sent: &Sent) {
        if self.slots.is_empty() {
            // Once a consumer, when it first gets something.
            self.slots = vec![Slot::default(); FIRST.min(self.len)];
        }
        let slot = Slot::new(sent);
        let old = self.slots.get(self.place(slot.seq)).copied().unwrap_or_default();
        if old.has(USED) {
            if (old.seq.wrapping_sub(slot.seq) as i32) > 0 {
                return;
            }
            let young = slot.at.wrapping_sub(old.at) < KEEP_MICROS;
            if young && old.seq != slot.seq && self.slots.len() < self.len {
                self.grow();
            }
        }
        self.put(slot);
    }

    fn put(&mut self, slot: Slot) {
        let at = self.place(slot.seq);
        if let Some(place) = self.slots.get_mut(at) {
            *place = slot;
        }
    }

    fn place(&self, seq: u32) -> usize {
        seq as usize & self.slots.len().wrapping_sub(1)
    }

    fn grow(&mut self) {
        let old = std::mem::take(&mut self.slots);
        self.slots = vec![Slot::default(); old.len() * 2];
        old.into_iter().filter(|slot| slot.has(USED)).for_each(|slot| self.put(slot));
    }

    /// The packet numbered `seq`: which one it was, the publisher's codec by index, and what was put into it.
    pub(crate) fn find(&self, seq: u64) -> Option<(Source, u8, Stamp)> {
        let slot = self.slot(seq)?;
        let vp8 =
            vp8::Ids { picture_id: slot.picture_id, tl0_picture_index: slot.tl0, key_index: slot.key_index };
        let stamp = Stamp {
            numbers: Numbers { seq, timestamp: slot.timestamp, vp8 },
            marker: slot.has(MARKER),
            transport_seq: slot.transport_seq,
            abs_send_time: slot.time_and_flags >> FLAG_BITS,
        };
        Some((slot.source(), slot.codec, stamp))
    }

    fn slot(&self, seq: u64) -> Option<Slot> {
        let slot = *self.slots.get(self.place(seq as u32))?;
        (slot.has(USED) && slot.seq == seq as u32).then_some(slot)
    }

    /// Whether the packet may go again now, given the round trip time.
    pub(crate) fn may_go(&self, seq: u64, now: u32, round_trip: Option<Duration>) -> bool {
        let interval = round_trip.map_or(LEAST_RESEND_INTERVAL, |rtt| (rtt / 2).max(LEAST_RESEND_INTERVAL));
        self.slot(seq).is_some_and(|slot| u128::from(now.wrapping_sub(slot.at)) >= interval.as_micros())
    }

    /// It has gone again.
    pub(crate) fn note_gone(&mut self, seq: u64, now: u32) {
        let at = self.place(seq as u32);
        if let Some(slot) = self.slots.get_mut(at)
            && slot.has(USED)
            && slot.seq == seq as u32
        {
            slot.at = now;
        }
    }

    /// Reads where the next packets from `seq` on will be put, for the memory to be there by then.
    pub(crate) fn warm(&self, seq: u64, count: usize) -> u32 {
        // Two slots share a line.
        let places = (0..count as u32).step_by(2).map(|n| self.place((seq as u32).wrapping_add(n)));
        places.filter_map(|at| self.slots.get(at)).fold(0, |sum, slot| sum ^ slot.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(ms: u64, seq: u64) -> Sent {
        let numbers = Numbers { seq, timestamp: seq as u32, vp8: vp8::Ids::default() };
        let stamp = Stamp { numbers, marker: false, transport_seq: 0, abs_send_time: 0 };
        Sent { source: Source::Blank, codec: 0, stamp, at: ms as u32 * 1000 }
    }

    #[test]
    fn a_second_is_remembered_whatever_the_rate_as_far_as_it_may() {
        for (interval, slots) in [(100, 32), (20, 64), (5, 256), (1, VIDEO_PACKETS)] {
            let mut log = SentLog::new(true);
            for n in 0..3000 {
                log.record(&sent(n * interval, 70_000 + n));
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
        let mut log = SentLog::new(false);
        log.record(&sent(0, 100));
        log.record(&sent(5000, 100 + FIRST as u64));
        log.record(&sent(5001, 100));
        assert!(log.find(100).is_none() && log.find(100 + FIRST as u64).is_some());
        log.record(&sent(5002, 100 + FIRST as u64));
        assert_eq!(log.slots.len(), FIRST);
    }

    #[test]
    fn what_is_remembered_is_found_as_it_was_whatever_its_numbers_have_come_to() {
        assert_eq!(size_of::<Slot>(), 32);
        // The clock wraps meanwhile.
        let t0 = u32::MAX - 10_000;
        let mut log = SentLog::new(true);
        let vp8 = vp8::Ids { picture_id: 0x7fff, tl0_picture_index: 0xfe, key_index: 0x1f };
        // Over the wrap of the low bits.
        for seq in u64::from(u32::MAX) - 5..u64::from(u32::MAX) + 5 {
            let numbers = Numbers { seq, timestamp: 0xffff_fff0, vp8 };
            let stamp = Stamp { numbers, marker: true, transport_seq: 0xfffe, abs_send_time: 0xff_ffff };
            let source = Source::Packet { encoding: 2, epoch: 0xfffd, seq: !seq as u32 };
            log.record(&Sent { source, codec: 7, stamp, at: t0 });
            assert_eq!(log.find(seq), Some((source, 7, stamp)));
        }
        assert!(log.find(u64::from(u32::MAX) - 5).is_some() && log.find(u64::from(u32::MAX) + 5).is_none());
        let seq = u64::from(u32::MAX);
        let after = |ms: u32| t0.wrapping_add(ms * 1000);
        assert!(!log.may_go(seq, after(19), None) && log.may_go(seq, after(20), None));
        log.note_gone(seq, after(20));
        assert!(!log.may_go(seq, after(39), None) && log.may_go(seq, after(40), None));
        assert!(!log.may_go(seq, after(119), Some(Duration::from_millis(200))));
    }
}
