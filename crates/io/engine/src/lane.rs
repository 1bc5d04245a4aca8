//! From one worker to another: datagrams that landed on the wrong one, and what routers tell each other.
//!
//! Owns: a single-producer ring for each ordered pair of workers, the buffers that go round in it, and their
//! bounds. One parcel carries what one turn brought; a ring that is full makes the next parcel longer, and
//! only what does not fit in that is dropped, datagrams and media first. Knows nothing of what it carries.

use std::net::SocketAddr;
use std::sync::Arc;

use rtrb::{Consumer, Producer, RingBuffer};
use sfu::{Link, LinkBatch};

use crate::bell::Bell;

/// Parcels under way in one direction.
const RING: usize = 64;
/// Bytes of datagrams in one parcel: some 5 ms of a gigabit.
const PARCEL_BYTES: usize = 768 << 10;
/// Media packets in one parcel.
const PARCEL_PACKETS: usize = 8192;
/// Messages in one parcel. Losing one leaves a subscriber without its track until something changes, so
/// there is more room for them than a meeting of thousands can fill.
const PARCEL_LINKS: usize = 65_536;

/// A datagram inside a parcel.
#[derive(Debug, Clone, Copy)]
struct Entry {
    local: SocketAddr,
    remote: SocketAddr,
    len: usize,
}

/// What routers say, in the order in which they said it.
#[derive(Debug)]
pub(crate) enum Word {
    Link(Link),
    Packets(Arc<LinkBatch>),
}

/// What crosses at once.
#[derive(Debug, Default)]
pub(crate) struct Parcel {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Addresses whose peers live with the sender.
    pub(crate) confirmed: Vec<SocketAddr>,
    pub(crate) words: Vec<Word>,
    packets: usize,
}

impl Parcel {
    /// The datagrams with the local and the remote address of each.
    pub(crate) fn datagrams(&mut self) -> impl Iterator<Item = (SocketAddr, SocketAddr, &mut [u8])> {
        let mut rest = &mut self.bytes[..];
        self.entries.iter().map_while(move |entry| {
            let (datagram, behind) = std::mem::take(&mut rest).split_at_mut_checked(entry.len)?;
            rest = behind;
            Some((entry.local, entry.remote, datagram))
        })
    }

    pub(crate) fn datagram_count(&self) -> usize {
        self.entries.len()
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.words.is_empty() && self.confirmed.is_empty()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.confirmed.clear();
        self.words.clear();
        self.packets = 0;
    }
}

/// The sending end of a lane.
pub(crate) struct LaneOut {
    open: Box<Parcel>,
    ring: Producer<Box<Parcel>>,
    empties: Consumer<Box<Parcel>>,
    bell: Arc<Bell>,
}

/// The receiving end of a lane.
pub(crate) struct LaneIn {
    ring: Consumer<Box<Parcel>>,
    empties: Producer<Box<Parcel>>,
}

/// A lane to the worker that `bell` wakes.
pub(crate) fn lane(bell: Arc<Bell>) -> (LaneOut, LaneIn) {
    let (ring_in, ring_out) = RingBuffer::new(RING);
    let (empties_in, empties_out) = RingBuffer::new(RING);
    let out = LaneOut { open: Box::default(), ring: ring_in, empties: empties_out, bell };
    (out, LaneIn { ring: ring_out, empties: empties_in })
}

impl LaneOut {
    /// Hands over a datagram that landed here. False if there is no room.
    #[must_use]
    pub(crate) fn datagram(&mut self, local: SocketAddr, remote: SocketAddr, datagram: &[u8]) -> bool {
        if self.open.bytes.len() + datagram.len() > PARCEL_BYTES {
            return false;
        }
        self.open.bytes.extend_from_slice(datagram);
        self.open.entries.push(Entry { local, remote, len: datagram.len() });
        true
    }

    /// Tells the worker that datagrams from `remote` are for this one.
    pub(crate) fn confirm(&mut self, remote: SocketAddr) {
        // Bounded as the datagrams are that make for it; once a parcel is enough.
        if !self.open.confirmed.contains(&remote) {
            self.open.confirmed.push(remote);
        }
    }

    /// Hands over a message. False if there is no room.
    #[must_use]
    pub(crate) fn link(&mut self, link: Link) -> bool {
        let room = self.open.words.len() < PARCEL_LINKS;
        if room {
            self.open.words.push(Word::Link(link));
        }
        room
    }

    /// Hands over media. False if there is no room.
    #[must_use]
    pub(crate) fn packets(&mut self, batch: Arc<LinkBatch>) -> bool {
        let count = batch.len();
        let room = self.open.packets + count <= PARCEL_PACKETS;
        if room {
            self.open.packets += count;
            self.open.words.push(Word::Packets(batch));
        }
        room
    }

    /// Sends what has been handed over, if the ring has room; else it waits for the next turn. True if
    /// something waits.
    pub(crate) fn ship(&mut self) -> bool {
        if self.open.is_empty() {
            return false;
        }
        if self.ring.is_abandoned() {
            // The worker has ended; nobody will miss it.
            self.open.clear();
            return false;
        }
        if self.ring.is_full() {
            return true;
        }
        let next = self.empties.pop().unwrap_or_default();
        let parcel = std::mem::replace(&mut self.open, next);
        if let Err(rtrb::PushError::Full(parcel)) = self.ring.push(parcel) {
            self.open = parcel;
            return true;
        }
        self.bell.ring();
        false
    }
}

impl LaneIn {
    /// The oldest parcel.
    pub(crate) fn take(&mut self) -> Option<Box<Parcel>> {
        self.ring.pop().ok()
    }

    /// Whether anything is there to take.
    pub(crate) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Sends a parcel's memory back to be used again.
    pub(crate) fn give_back(&mut self, mut parcel: Box<Parcel>) {
        parcel.clear();
        // A full ring means enough are on their way back.
        let _ = self.empties.push(parcel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn new() -> (LaneOut, LaneIn) {
        lane(Arc::new(Bell::new().unwrap()))
    }

    #[test]
    fn what_is_handed_over_comes_out_in_order_and_its_memory_goes_round() {
        let (mut out, mut into) = new();
        assert!(!out.ship() && into.take().is_none(), "nothing costs nothing");
        assert!(out.datagram(addr(1), addr(2), b"one"));
        assert!(out.datagram(addr(3), addr(4), b"three"));
        out.confirm(addr(5));
        out.confirm(addr(5));
        assert!(!out.ship());

        let mut parcel = into.take().unwrap();
        let got: Vec<_> = parcel.datagrams().map(|(l, r, d)| (l, r, d.to_vec())).collect();
        assert_eq!(got, [(addr(1), addr(2), b"one".to_vec()), (addr(3), addr(4), b"three".to_vec())]);
        assert_eq!(parcel.confirmed, [addr(5)]);
        let memory = parcel.bytes.as_ptr();
        into.give_back(parcel);

        // Then: the buffer is filled anew, empty, after the one that was open meanwhile.
        for _ in 0..2 {
            assert!(out.datagram(addr(1), addr(2), b"x"));
            assert!(!out.ship());
        }
        into.take().unwrap();
        let reused = into.take().unwrap();
        assert_eq!((reused.bytes.as_ptr(), &reused.bytes[..]), (memory, &b"x"[..]));
    }

    #[test]
    fn a_full_ring_fills_one_more_parcel_and_then_drops() {
        let (mut out, mut into) = new();
        for _ in 0..RING {
            assert!(out.datagram(addr(1), addr(2), b"x"));
            assert!(!out.ship());
        }
        let datagram = vec![7; 1024];
        let taken = (0..10_000).take_while(|_| out.datagram(addr(1), addr(2), &datagram)).count();
        assert_eq!(taken, PARCEL_BYTES / 1024);
        assert!(out.ship(), "it has to wait");

        // When: the other side takes one, Then: it goes.
        into.take().unwrap();
        assert!(!out.ship());
        let last = std::iter::from_fn(|| into.take()).last().unwrap();
        assert_eq!(last.datagram_count(), taken);
    }

    #[test]
    fn media_is_bounded_by_packets_and_messages_are_not_pushed_out_by_it() {
        let (mut out, mut into) = new();
        // An empty batch has no packets; the bound is on packets, so messages still go.
        for _ in 0..3 {
            assert!(out.packets(Arc::default()));
        }
        out.open.packets = PARCEL_PACKETS;
        assert!(out.link(Link::Gone { producer: sfu::ProducerId(1) }));
        assert!(!out.ship());
        assert_eq!(into.take().unwrap().words.len(), 4);
    }

    #[test]
    fn a_lane_to_a_worker_that_has_ended_swallows() {
        let (mut out, into) = new();
        drop(into);
        assert!(out.datagram(addr(1), addr(2), b"x"));
        assert!(!out.ship());
        assert!(out.open.is_empty());
    }
}
