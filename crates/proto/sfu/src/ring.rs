//! The packets of one encoding: what a batch forwards and what a NACK asks for again, held once for all
//! subscribers.
//!
//! Owns: one circular arena of bytes and an index by sequence number, bounded in time and bytes. The arena
//! begins small and doubles until it holds the configured time or is as large as it may be; from then on
//! nothing is allocated.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::packet::Meta;

/// Bytes of a fresh arena: 300 ms of Opus.
const FIRST_ARENA: usize = 4096;

/// Bytes of a packet at most: an Ethernet frame's payload.
const MAX_PACKET: usize = 1500;

/// Slots of a fresh index.
const FIRST_INDEX: usize = 64;

/// Packets that a ring has room for at least: more than arrive in one batch, which are forwarded from here.
const MIN_PACKETS: usize = 128;

/// Marks an unused place in the index.
const NOWHERE: u64 = u64::MAX;

#[derive(Debug)]
struct Slot {
    meta: Meta,
    /// Position in the arena counted on past its end; the arena is a power of two.
    start: u64,
    len: u16,
}

/// A packet's place in its ring: the how-manieth it was.
pub(crate) type Place = u64;

/// See the module.
#[derive(Debug)]
pub(crate) struct Ring {
    arena: Vec<u8>,
    slots: VecDeque<Slot>,
    /// Place of the first of `slots`.
    first: Place,
    /// End of the newest packet, counted as [`Slot::start`].
    head: u64,
    /// Places by sequence number modulo its length, a power of two.
    index: Vec<Place>,
    keep: Duration,
    max_bytes: usize,
    max_packets: usize,
}

impl Ring {
    /// A ring that keeps packets for `keep`, and fewer where they would take more than `max_bytes` or be more than
    /// `max_packets`.
    pub(crate) fn new(keep: Duration, max_bytes: usize, max_packets: usize) -> Self {
        let max_bytes = max_bytes.max(FIRST_ARENA).next_power_of_two();
        Self {
            arena: Vec::new(),
            slots: VecDeque::new(),
            first: 0,
            head: 0,
            index: vec![NOWHERE; FIRST_INDEX],
            keep,
            max_bytes,
            max_packets: max_packets.max(MIN_PACKETS),
        }
    }

    /// Takes a packet in; the oldest leave. `None` if it is there already or is no packet by size.
    pub(crate) fn insert(&mut self, meta: Meta, packet: &[u8]) -> Option<Place> {
        if packet.len() > MAX_PACKET || self.find(meta.seq).is_some() {
            return None;
        }
        self.expire(meta.at);
        self.make_room(packet.len());
        let start = self.begin(packet.len());
        let at = self.position(start);
        self.arena.get_mut(at..at + packet.len())?.copy_from_slice(packet);
        self.head = start + packet.len() as u64;
        let place = self.first + self.slots.len() as u64;
        self.slots.push_back(Slot { meta, start, len: packet.len() as u16 });
        if self.slots.len() * 2 > self.index.len() {
            self.reindex();
        } else {
            self.enter(meta.seq, place);
        }
        Some(place)
    }

    /// The packet at a place, unless it has left.
    pub(crate) fn get(&self, place: Place) -> Option<(&Meta, &[u8])> {
        let slot = self.slots.get(usize::try_from(place.checked_sub(self.first)?).ok()?)?;
        let at = self.position(slot.start);
        Some((&slot.meta, self.arena.get(at..at + usize::from(slot.len))?))
    }

    /// The place of the packet with this sequence number.
    pub(crate) fn find(&self, seq: u64) -> Option<Place> {
        let place = *self.index.get(seq as usize & (self.index.len() - 1))?;
        let slot = self.slots.get(usize::try_from(place.checked_sub(self.first)?).ok()?)?;
        (slot.meta.seq == seq).then_some(place)
    }

    /// As [`Ring::find`], by the low bits of the number alone.
    pub(crate) fn find_low(&self, seq: u32) -> Option<Place> {
        let place = *self.index.get(seq as usize & (self.index.len() - 1))?;
        let slot = self.slots.get(usize::try_from(place.checked_sub(self.first)?).ok()?)?;
        (slot.meta.seq as u32 == seq).then_some(place)
    }

    /// Says that the packet at a place is to be padded by one byte.
    pub(crate) fn set_pad(&mut self, place: Place) {
        let Some(at) = place.checked_sub(self.first).and_then(|n| usize::try_from(n).ok()) else { return };
        if let Some(slot) = self.slots.get_mut(at) {
            slot.meta.pad = true;
        }
    }

    fn position(&self, start: u64) -> usize {
        start as usize & self.arena.len().wrapping_sub(1)
    }

    fn enter(&mut self, seq: u64, place: Place) {
        let at = seq as usize & (self.index.len() - 1);
        if let Some(entry) = self.index.get_mut(at) {
            *entry = place;
        }
    }

    fn evict(&mut self) {
        if self.slots.pop_front().is_some() {
            self.first += 1;
        }
    }

    /// Leaves room for one more in time and number.
    fn expire(&mut self, now: Instant) {
        while self.slots.front().is_some_and(|s| now.saturating_duration_since(s.meta.at) > self.keep)
            || self.slots.len() >= self.max_packets
        {
            self.evict();
        }
    }

    /// Where a packet of `len` bytes would begin: at the head, or at the arena's next round, because
    /// packets are not cut in two.
    fn begin(&self, len: usize) -> u64 {
        let at = self.position(self.head);
        if at + len > self.arena.len() { self.head + (self.arena.len() - at) as u64 } else { self.head }
    }

    /// Makes the next `len` bytes free: by doubling while the arena may grow, then by evicting.
    fn make_room(&mut self, len: usize) {
        if self.arena.is_empty() {
            self.arena = vec![0; FIRST_ARENA];
        }
        loop {
            let end = self.begin(len) + len as u64;
            let Some(oldest) = self.slots.front() else { return };
            if end - oldest.start <= self.arena.len() as u64 {
                return;
            }
            if self.arena.len() * 2 <= self.max_bytes {
                self.grow();
            } else {
                self.evict();
            }
        }
    }

    fn grow(&mut self) {
        let mut arena = vec![0; self.arena.len() * 2];
        let mut head = 0;
        let old_mask = self.arena.len() - 1;
        for slot in &mut self.slots {
            let at = slot.start as usize & old_mask;
            let len = usize::from(slot.len);
            if let (Some(to), Some(from)) = (arena.get_mut(head..head + len), self.arena.get(at..at + len)) {
                to.copy_from_slice(from);
            }
            slot.start = head as u64;
            head += len;
        }
        self.arena = arena;
        self.head = head as u64;
    }

    fn reindex(&mut self) {
        self.index = vec![NOWHERE; self.index.len() * 2];
        for n in 0..self.slots.len() {
            if let Some(seq) = self.slots.get(n).map(|s| s.meta.seq) {
                self.enter(seq, self.first + n as u64);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(t0: Instant, ms: u64, seq: u64) -> Meta {
        let mut m = Meta::for_test(t0 + Duration::from_millis(ms));
        m.seq = seq;
        m
    }

    #[test]
    fn packets_are_found_by_place_and_by_number_until_their_time_is_over() {
        let t0 = Instant::now();
        let mut ring = Ring::new(Duration::from_millis(100), 1 << 20, usize::MAX);
        let a = ring.insert(meta(t0, 0, 10), b"ten").unwrap();
        let c = ring.insert(meta(t0, 50, 12), b"twelve").unwrap();
        let b = ring.insert(meta(t0, 60, 11), b"eleven").unwrap();
        assert_eq!(ring.insert(meta(t0, 61, 11), b"again"), None);
        assert_eq!((ring.find(11), ring.find_low(11), ring.find_low(14)), (Some(b), Some(b), None));
        assert_eq!(ring.get(c).unwrap().1, b"twelve");
        ring.insert(meta(t0, 120, 13), b"thirteen").unwrap();
        assert!(ring.get(a).is_none() && ring.find(10).is_none());
        assert_eq!(ring.get(b).unwrap().1, b"eleven");
    }

    #[test]
    fn it_grows_to_its_bytes_and_no_further_and_never_gives_wrong_ones() {
        let t0 = Instant::now();
        let mut ring = Ring::new(Duration::from_secs(3600), 64 << 10, usize::MAX);
        for seq in 0..5000u64 {
            let len = 100 + (seq * 7919 % 1200) as usize;
            let place = ring.insert(meta(t0, seq, seq), &vec![seq as u8; len]).unwrap();
            assert_eq!(ring.find(seq), Some(place));
            for back in [0, 1, 20, 60] {
                let Some(seq) = seq.checked_sub(back) else { continue };
                if let Some((m, bytes)) = ring.find(seq).and_then(|p| ring.get(p)) {
                    assert_eq!((m.seq, bytes.len()), (seq, 100 + (seq * 7919 % 1200) as usize));
                    assert!(bytes.iter().all(|b| *b == seq as u8));
                } else {
                    assert!(back > 20, "{seq} is gone too early");
                }
            }
        }
        assert_eq!(ring.arena.len(), 64 << 10);
        assert!(ring.index.len() <= 2048);
    }

    #[test]
    fn packets_are_bounded_in_number() {
        let t0 = Instant::now();
        let mut ring = Ring::new(Duration::from_secs(3600), 1 << 20, 300);
        for seq in 0..1000 {
            ring.insert(meta(t0, seq, seq), b"packet").unwrap();
        }
        assert_eq!((ring.slots.len(), ring.find(699), ring.find(700)), (300, None, Some(700)));
    }

    #[test]
    fn what_is_longer_than_a_packet_is_refused() {
        let t0 = Instant::now();
        let mut ring = Ring::new(Duration::from_millis(100), 1 << 20, usize::MAX);
        assert!(ring.insert(meta(t0, 0, 2), &[0; 2000]).is_none());
    }
}
