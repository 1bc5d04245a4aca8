//! A worker's ends of all lanes, and who gets what lands here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use sfu::{Link, LinkBatch};

use crate::homes::{Home, Homes};
use crate::lane::{LaneIn, LaneOut, Parcel};
use crate::stats::WorkerStats;

/// Answers from unknown addresses that are shown to every worker, in one turn. More than that are a flood.
const SHOWN_TO_ALL: usize = 64;

/// Everything between one worker and the others.
pub(crate) struct Crossing {
    pub(crate) homes: Homes,
    /// By worker; none to itself.
    out: Vec<Option<LaneOut>>,
    into: Vec<Option<LaneIn>>,
    shown: usize,
}

impl Crossing {
    pub(crate) fn new(homes: Homes, out: Vec<Option<LaneOut>>, into: Vec<Option<LaneIn>>) -> Self {
        Self { homes, out, into, shown: 0 }
    }

    /// Sends a datagram that landed here where it belongs. True if that is here.
    pub(crate) fn route(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &[u8],
        known_here: impl FnOnce() -> bool,
        stats: &mut WorkerStats,
    ) -> bool {
        match self.homes.of(remote, datagram, known_here) {
            Home::Here => true,
            Home::There(worker) => {
                let taken = self.lane(worker).is_some_and(|lane| lane.datagram(local, remote, datagram));
                stats.foreign_out += u64::from(taken);
                stats.foreign_overflow += u64::from(!taken);
                false
            }
            Home::Anywhere => {
                self.shown += 1;
                if self.shown > SHOWN_TO_ALL {
                    stats.foreign_overflow += 1;
                    return false;
                }
                for lane in self.out.iter_mut().flatten() {
                    let taken = lane.datagram(local, remote, datagram);
                    stats.foreign_out += u64::from(taken);
                    stats.foreign_overflow += u64::from(!taken);
                }
                true
            }
        }
    }

    /// A peer here has passed a check with `remote`, whose datagrams land on `landing`.
    pub(crate) fn confirm(&mut self, landing: u8, remote: SocketAddr) {
        self.homes.claim(remote);
        if let Some(lane) = self.lane(landing) {
            lane.confirm(remote);
        }
    }

    pub(crate) fn link(&mut self, worker: u8, link: Link, stats: &mut WorkerStats) {
        if !self.lane(worker).is_some_and(|lane| lane.link(link)) {
            stats.links_overflow += 1;
        }
    }

    pub(crate) fn packets(&mut self, worker: u8, batch: Arc<LinkBatch>, stats: &mut WorkerStats) {
        let count = batch.len() as u64;
        if self.lane(worker).is_some_and(|lane| lane.packets(batch)) {
            stats.links_out += count;
        } else {
            stats.links_overflow += count;
        }
    }

    /// Sends what has been handed over. True if some of it has to wait.
    pub(crate) fn ship(&mut self) -> bool {
        self.shown = 0;
        self.out.iter_mut().flatten().fold(false, |waits, lane| lane.ship() | waits)
    }

    /// The oldest parcel from `worker`, with what it confirms taken in.
    pub(crate) fn take(&mut self, worker: u8, now: Instant) -> Option<Box<Parcel>> {
        let parcel = self.into.get_mut(usize::from(worker))?.as_mut()?.take()?;
        for &remote in &parcel.confirmed {
            self.homes.learn(remote, worker, now);
        }
        Some(parcel)
    }

    pub(crate) fn give_back(&mut self, worker: u8, parcel: Box<Parcel>) {
        if let Some(Some(lane)) = self.into.get_mut(usize::from(worker)) {
            lane.give_back(parcel);
        }
    }

    /// How many workers there are.
    pub(crate) fn workers(&self) -> u8 {
        self.into.len() as u8
    }

    /// Whether no parcel is there to take.
    pub(crate) fn is_empty(&self) -> bool {
        self.into.iter().flatten().all(LaneIn::is_empty)
    }

    fn lane(&mut self, worker: u8) -> Option<&mut LaneOut> {
        self.out.get_mut(usize::from(worker))?.as_mut()
    }
}
