//! Names of things in the media engine.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rtp::Ssrc;
use sfu::{ConsumerId, PeerId, ProducerId};

use crate::negotiation::Line;

/// Bits of the counter in an id; above it stand the room and the worker.
const COUNTER_BITS: u32 = 24;
const COUNTER_MASK: u32 = (1 << COUNTER_BITS) - 1;

/// Gives out ids and secrets.
#[derive(Debug)]
pub(crate) struct Names {
    room: u32,
    counter: u32,
    /// Counters of ids in use.
    live: BTreeSet<u32>,
    pub(crate) rng: StdRng,
    ssrcs: BTreeSet<Ssrc>,
}

impl Names {
    pub(crate) fn new(room: u32, seed: [u8; 32]) -> Self {
        Self { room, counter: 0, live: BTreeSet::new(), rng: StdRng::from_seed(seed), ssrcs: BTreeSet::new() }
    }

    pub(crate) fn peer(&mut self, worker: u8) -> PeerId {
        PeerId(self.id(worker))
    }

    pub(crate) fn producer(&mut self, worker: u8) -> ProducerId {
        ProducerId(self.id(worker))
    }

    pub(crate) fn consumer(&mut self, worker: u8) -> ConsumerId {
        ConsumerId(self.id(worker))
    }

    /// An SSRC that nobody in the room has from us.
    pub(crate) fn ssrc(&mut self) -> Ssrc {
        loop {
            let ssrc = Ssrc(self.rng.random_range(1..u32::MAX));
            if self.ssrcs.insert(ssrc) {
                return ssrc;
            }
        }
    }

    /// An id is free again. One that was given out by another room stays that one's.
    pub(crate) fn release(&mut self, id: u64) {
        if (id >> COUNTER_BITS) as u32 == self.room {
            self.live.remove(&(id as u32 & COUNTER_MASK));
        }
    }

    /// What names a line is free again.
    pub(crate) fn release_line(&mut self, line: &Line) {
        self.release(line.consumer.0);
        for ssrc in [Some(line.ssrc), line.rtx].into_iter().flatten() {
            self.ssrcs.remove(&ssrc);
        }
    }

    /// An id that nothing in the room has. What is used in turn stays unused for longest.
    fn id(&mut self, worker: u8) -> u64 {
        loop {
            self.counter = (self.counter + 1) & COUNTER_MASK;
            if self.live.insert(self.counter) {
                return sfu::id_on(worker, (u64::from(self.room) << COUNTER_BITS) | u64::from(self.counter));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_given_out_again_only_when_they_are_free() {
        let mut names = Names::new(7, [1; 32]);
        let (first, second) = (names.peer(0).0, names.producer(0).0);
        names.counter = COUNTER_MASK - 1;
        let last = names.consumer(1).0;
        assert_eq!(last, sfu::id_on(1, 7 << COUNTER_BITS | u64::from(COUNTER_MASK)));
        // When: all have been given out once, Then: what lives is passed over.
        assert_eq!(names.peer(0).0, sfu::id_on(0, 7 << COUNTER_BITS));
        let next = names.peer(0).0;
        assert!(![first, second, last].contains(&next), "{next:x}");
        // Somebody leaves who came from another room, which has given the same number.
        let other_rooms = Names::new(8, [2; 32]).peer(0).0;
        names.release(other_rooms);
        names.counter = 0;
        assert_ne!(names.peer(0).0, first);
        names.release(first);
        names.counter = 0;
        assert_eq!(names.peer(0).0, first);
    }
}
