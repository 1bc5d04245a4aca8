//! What fits on a subscriber's line: after feedback that says it is full, and twice a second where it has been.

use std::time::Duration;

use clock::Time;

use super::Router;
use crate::api::Event;
use crate::bandwidth::allocate::{Ladder, Step, Terms, allocate};
use crate::consumer::{Consumer, Grant};
use crate::producer::Producer;
use crate::rates::SPATIAL;

/// Time between allocations that nothing but time causes.
const INTERVAL: Duration = Duration::from_millis(500);

/// What a layer that has never been seen here is taken for, as a multiple of the one below: libwebrtc's layers
/// of 180, 360 and 720 lines are about so far apart.
const UNSEEN: u64 = 3;

/// All frames.
const EVERY: u8 = 7;

/// Whether what stands may stay though it is a little too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strictness {
    Lenient,
    Strict,
}

impl Router {
    /// Grants each of a peer's tracks what its line carries.
    pub(super) fn allocate(&mut self, now: Time, key: usize, strictness: Strictness) {
        let Some(peer) = self.peers.get(key) else { return };
        let budget = peer.sending.budget.for_media();
        let may_pause = peer.sending.may_pause;
        let mut ladders = std::mem::take(&mut self.ladders);
        ladders.clear();
        let mut other = 0;
        for key in peer.sending.consumers.iter().filter(|_| budget.is_some()) {
            let Some(consumer) = self.consumers.get(*key) else { continue };
            let Some(producer) = consumer.producer.and_then(|p| self.producers.get(p)) else { continue };
            if producer.track.is_video() && !consumer.wish().paused {
                ladders.push(ladder(*key, consumer, producer));
            } else if !producer.track.is_video() {
                let plain: u64 = producer.encodings.iter().map(|e| e.rates.up_to(0).0).sum();
                other += plain * consumer.copies();
            }
        }
        let Some(budget) = budget else {
            self.ladders = ladders;
            return self.grant_all(key);
        };
        let lenient = strictness == Strictness::Lenient;
        let terms = Terms { budget: budget.saturating_sub(other), may_pause, lenient };
        let mut outcome = allocate(&mut ladders, terms);
        outcome.granted += other;
        outcome.next = outcome.next.map(|next| next + other);
        if let Some(peer) = self.peers.get_mut(key) {
            peer.sending.budget.allocated(now.mono, outcome);
        }
        for ladder in &ladders {
            let grant = if ladder.is_empty() {
                // Nothing of it comes: it costs nothing.
                Grant::All
            } else {
                ladder.granted().map_or(Grant::Paused, Grant::Up)
            };
            self.grant(ladder.consumer, grant);
        }
        self.ladders = ladders;
    }

    fn grant_all(&mut self, key: usize) {
        let count = self.peers.get(key).map_or(0, |p| p.sending.consumers.len());
        for n in 0..count {
            let consumer = self.peers.get(key).and_then(|p| p.sending.consumers.get(n)).copied();
            if let Some(consumer) = consumer {
                self.grant(consumer, Grant::All);
            }
        }
    }

    fn grant(&mut self, key: usize, grant: Grant) {
        let Some(consumer) = self.consumers.get_mut(key) else { return };
        let paused = consumer.grant() == Grant::Paused;
        if !consumer.set_grant(grant) {
            return;
        }
        let id = consumer.id;
        let news = consumer.layer_news();
        if let Some(spatial) = news {
            self.mention(Event::LayerChanged { consumer: id, spatial });
        }
        if paused != (grant == Grant::Paused) {
            self.events.push_back(Event::StreamPaused { consumer: id, paused: !paused });
        }
        self.aim(key);
    }

    /// Looks after those whose lines are, or have been, full.
    pub(super) fn sweep_budgets(&mut self, now: Time) {
        if self.next_allocation.is_some_and(|at| now.mono < at) {
            return;
        }
        self.next_allocation = Some(now.mono + INTERVAL);
        for key in 0..self.peers.capacity() {
            let Some(peer) = self.peers.get_mut(key) else { continue };
            if peer.sending.consumers.is_empty() {
                continue;
            }
            peer.sending.budget.tick(now.mono);
            if peer.sending.budget.limit().is_some() {
                self.allocate(now, key, Strictness::Lenient);
            }
        }
    }
}

/// What a track may be had in.
fn ladder(key: usize, consumer: &Consumer, producer: &Producer) -> Ladder {
    let wish = consumer.wish();
    let held = match consumer.grant() {
        Grant::Up(step) => Some(step),
        Grant::All => Some(Step { spatial: wish.max_spatial, temporal: EVERY, rate: 0 }),
        Grant::Paused => None,
    };
    let mut ladder = Ladder::new(key, wish.priority, held);
    let mut push = |spatial: usize, all: u64, base: u64| {
        let spatial = spatial as u8;
        if ladder.is_empty() && base < all && wish.max_temporal > 0 {
            ladder.push(Step { spatial, temporal: 0, rate: base });
        }
        ladder.push(Step { spatial, temporal: EVERY, rate: all });
    };
    if producer.track.svc {
        let Some(encoding) = producer.encodings.first().filter(|e| e.arriving) else { return ladder };
        for spatial in (0..SPATIAL).take(usize::from(wish.max_spatial) + 1) {
            if spatial == 0 || encoding.rates.of(spatial) > 0 {
                let (all, base) = encoding.rates.up_to(spatial);
                push(spatial, all, base);
            }
        }
        return ladder;
    }
    // Where nothing of what is wished arrives, what lies above is sent instead.
    let arrives = |n: usize| producer.encodings.get(n).is_some_and(|e| e.arriving);
    let highest = usize::from(wish.max_spatial).min(producer.encodings.len().saturating_sub(1));
    let top = if (0..=highest).any(arrives) {
        highest
    } else {
        (highest..producer.encodings.len()).find(|n| arrives(*n)).unwrap_or(highest)
    };
    let mut below = 0;
    for (n, encoding) in producer.encodings.iter().enumerate().take(top + 1).filter(|(n, _)| arrives(*n)) {
        let (seen, base) = encoding.rates.up_to(SPATIAL - 1);
        let all = if seen > 0 { seen } else { below * UNSEEN };
        push(n, all, if seen > 0 { base } else { all });
        below = all;
    }
    ladder
}
