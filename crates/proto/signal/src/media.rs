//! Names of things in the media engine.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rtp::Ssrc;
use sfu::{ConsumerId, PeerId, ProducerId};

/// Bits of the counter in an id; above it stand the room and the worker.
const COUNTER_BITS: u32 = 24;

/// Gives out ids and secrets.
#[derive(Debug)]
pub(crate) struct Names {
    room: u32,
    counter: u32,
    pub(crate) rng: StdRng,
    ssrcs: BTreeSet<Ssrc>,
}

impl Names {
    pub(crate) fn new(room: u32, seed: [u8; 32]) -> Self {
        Self { room, counter: 0, rng: StdRng::from_seed(seed), ssrcs: BTreeSet::new() }
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

    /// An SSRC is free again.
    pub(crate) fn release(&mut self, ssrc: Ssrc) {
        self.ssrcs.remove(&ssrc);
    }

    fn id(&mut self, worker: u8) -> u64 {
        self.counter = (self.counter + 1) & ((1 << COUNTER_BITS) - 1);
        sfu::id_on(worker, (u64::from(self.room) << COUNTER_BITS) | u64::from(self.counter))
    }
}
