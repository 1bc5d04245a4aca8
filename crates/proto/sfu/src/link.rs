//! Between the routers of two workers: what a subscriber's router asks of a publisher's, and packets.
//!
//! Owns: the messages, and the pooled buffers in which packets cross. A router gives both to its driver
//! with the worker they are for; the driver carries them in order and knows nothing of their meaning.
//! Packets cross in the clear and before rewriting, each batch once for all workers, which copy what they
//! subscribed to into caches of their own.

use std::sync::Arc;

use crate::api::{CodecParams, Kind, PeerId, ProducerId};
use crate::packet::Meta;
pub use crate::rates::LayerRates;

/// One message between two routers, for the driver to carry.
#[derive(Debug, Clone, PartialEq)]
pub enum Link {
    /// From a subscriber's router: send me this track's packets.
    Subscribe { producer: ProducerId },
    /// From a subscriber's router: no more of it.
    Unsubscribe { producer: ProducerId },
    /// From a subscriber's router: the encodings some consumer forwards or waits for, a bit each.
    Wanted { producer: ProducerId, encodings: u8 },
    /// From a subscriber's router: a key frame of this encoding is needed.
    KeyFrame { producer: ProducerId, encoding: u8 },
    /// From the publisher's router: what the track is. Comes before its packets, and again on change.
    Params { producer: ProducerId, params: Box<LinkParams> },
    /// From the publisher's router: a sender report, on this process's clock.
    Report { producer: ProducerId, encoding: u8, mapping: Mapping },
    /// From the publisher's router: the encodings that arrive, a bit each.
    Arriving { producer: ProducerId, encodings: u8 },
    /// From the publisher's router: what an encoding's layers take, also of those that do not cross.
    Rates { producer: ProducerId, encoding: u8, rates: LayerRates },
    /// From the publisher's router: the track has ended, or never was.
    Gone { producer: ProducerId },
}

/// What a subscriber's router must know of a track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkParams {
    /// Whose it is: tracks of one publisher are played together.
    pub origin: PeerId,
    pub kind: Kind,
    /// How many encodings it has.
    pub encodings: u8,
    pub codecs: Vec<CodecParams>,
    pub svc: bool,
}

/// One moment on two clocks: the publisher's, as a router places it on its own wall clock, and an
/// encoding's RTP clock. All tracks of one publisher share the placement, so that lips match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// NTP format, RFC 3550 section 4.
    pub ntp: u64,
    pub rtp: u32,
}

/// Packets on their way to other workers. Shared: a driver clones the handle into each ring.
#[derive(Debug, Default)]
pub struct LinkBatch {
    bytes: Vec<u8>,
    packets: Vec<LinkPacket>,
}

/// One packet of a [`LinkBatch`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinkPacket {
    pub(crate) producer: ProducerId,
    pub(crate) encoding: u8,
    pub(crate) meta: Meta,
    offset: u32,
    len: u32,
}

impl LinkBatch {
    /// Packets in it.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    pub(crate) fn push(&mut self, producer: ProducerId, encoding: u8, meta: Meta, packet: &[u8]) {
        let offset = self.bytes.len() as u32;
        self.bytes.extend_from_slice(packet);
        self.packets.push(LinkPacket { producer, encoding, meta, offset, len: packet.len() as u32 });
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&LinkPacket, &[u8])> {
        self.packets.iter().filter_map(|packet| {
            let start = packet.offset as usize;
            Some((packet, self.bytes.get(start..start + packet.len as usize)?))
        })
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.packets.clear();
    }
}

/// Batches that may be on their way at once before new ones are made: rings between workers are short.
const POOLED: usize = 64;

/// Buffers of batches, used again when all workers are done with them.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    batches: Vec<Arc<LinkBatch>>,
    next: usize,
}

impl Pool {
    /// Fills a batch that nobody reads any more.
    pub(crate) fn take(&mut self, fill: impl FnOnce(&mut LinkBatch)) -> Arc<LinkBatch> {
        for _ in 0..self.batches.len() {
            self.next = (self.next + 1) % self.batches.len();
            if let Some(shared) = self.batches.get_mut(self.next)
                && let Some(batch) = Arc::get_mut(shared)
            {
                batch.clear();
                fill(batch);
                return Arc::clone(shared);
            }
        }
        let mut batch = LinkBatch::default();
        fill(&mut batch);
        let batch = Arc::new(batch);
        if self.batches.len() < POOLED {
            self.batches.push(Arc::clone(&batch));
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_used_again_when_its_last_reader_is_done() {
        let mut pool = Pool::default();
        let meta = Meta::for_test(std::time::Instant::now());
        let a = pool.take(|b| b.push(ProducerId(1), 0, meta, b"abc"));
        let b = pool.take(|b| b.push(ProducerId(1), 1, meta, b"de"));
        assert_eq!(a.iter().next().map(|(p, bytes)| (p.encoding, bytes)), Some((0, &b"abc"[..])));
        let address = Arc::as_ptr(&a);
        drop(a);
        let c = pool.take(|b| assert!(b.is_empty()));
        assert_eq!(Arc::as_ptr(&c), address);
        assert_eq!(b.iter().next().map(|(p, bytes)| (p.encoding, bytes)), Some((1, &b"de"[..])));
    }
}
