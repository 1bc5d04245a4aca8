//! Other workers: tracks of theirs that are wanted here, tracks of ours that are wanted there.

use std::sync::Arc;

use clock::Time;

use super::Router;
use crate::api::{ProducerId, worker_of};
use crate::link::{LayerRates, Link, LinkBatch};
use crate::producer::{Home, Producer, Subscription};

/// Producers that other workers may have asked for before signalling announced them.
const MAX_AWAITED: usize = 4096;

/// All encodings.
const EVERY: u8 = 0xff;

impl Router {
    /// A message from the router of another worker.
    pub fn handle_link(&mut self, now: Time, from: u8, link: Link) {
        match link {
            Link::Subscribe { producer } => match self.index.producers.get(&producer) {
                Some(&key) => self.subscribe_worker(key, from),
                None => self.await_producer(producer, from),
            },
            Link::Unsubscribe { producer } => {
                if let Some(workers) = self.links.awaited.get_mut(&producer) {
                    workers.retain(|w| *w != from);
                }
                if let Some(producer) = self.producer_of(producer) {
                    producer.subscriptions.retain(|s| s.worker != from);
                }
            }
            Link::Wanted { producer, encodings } => {
                let subscriptions = self.producer_of(producer).map(|p| &mut p.subscriptions);
                for s in subscriptions.into_iter().flatten().filter(|s| s.worker == from) {
                    s.encodings = encodings;
                }
            }
            Link::KeyFrame { producer, encoding } => {
                if let Some(&key) = self.index.producers.get(&producer) {
                    self.want_key_frame(key, Some(encoding));
                }
            }
            Link::Params { producer, params } => {
                if let Some(key) = self.shadow_of(producer, from)
                    && let Some(shadow) = self.producers.get_mut(key)
                {
                    shadow.update_shadow(&params, &self.config);
                    self.reattach(key);
                    self.next_sweep.get_or_insert(now.mono + super::timers::SWEEP);
                }
            }
            Link::Report { producer, encoding, mapping } => {
                if let Some(key) = self.shadow_of(producer, from)
                    && let Some(e) =
                        self.producers.get_mut(key).and_then(|p| p.encodings.get_mut(usize::from(encoding)))
                {
                    e.mapping = Some(mapping);
                }
            }
            Link::Arriving { producer, encodings } => {
                if let Some(key) = self.shadow_of(producer, from)
                    && self.producers.get_mut(key).is_some_and(|p| p.set_arriving(encodings))
                {
                    self.aim_all(key);
                }
            }
            Link::Rates { producer, encoding, rates } => {
                if let Some(key) = self.shadow_of(producer, from)
                    && let Some(e) =
                        self.producers.get_mut(key).and_then(|p| p.encodings.get_mut(usize::from(encoding)))
                {
                    e.rates.learn(rates);
                }
            }
            Link::Gone { producer } => {
                if let Some(key) = self.shadow_of(producer, from) {
                    self.remove_producer(key);
                }
            }
        }
    }

    /// Media from the router of another worker; goes out with the next [`Router::fan_out`].
    pub fn handle_link_packets(&mut self, now: Time, from: u8, batch: &LinkBatch) {
        let mut last = None;
        for (packet, bytes) in batch.iter() {
            // Packets of one track come in runs.
            let key = match last {
                Some((id, key)) if id == packet.producer => key,
                _ => self.shadow_of(packet.producer, from),
            };
            last = Some((packet.producer, key));
            let Some(key) = key else { continue };
            let wanted = self.producers.get(key).is_some_and(|p| p.told >> packet.encoding & 1 == 1);
            if wanted && !self.gives_up(key) {
                self.counters.traffic.link_packets_in += 1;
                self.store(now, key, packet.encoding, packet.meta, bytes);
            }
        }
    }

    fn producer_of(&mut self, id: ProducerId) -> Option<&mut Producer> {
        let key = *self.index.producers.get(&id)?;
        self.producers.get_mut(key)
    }

    /// The shadow of a track that is at home on `from`.
    fn shadow_of(&self, id: ProducerId, from: u8) -> Option<usize> {
        let key = *self.index.producers.get(&id)?;
        (self.producers.get(key)?.home == Home::Worker(from)).then_some(key)
    }

    fn await_producer(&mut self, id: ProducerId, from: u8) {
        // Signalling speaks to each worker by itself, so a subscriber's may hear of a track first.
        if self.links.awaited.len() >= MAX_AWAITED && !self.links.awaited.contains_key(&id) {
            self.links.out.push_back((from, Link::Gone { producer: id }));
            return;
        }
        let workers = self.links.awaited.entry(id).or_default();
        if !workers.contains(&from) {
            workers.push(from);
        }
    }

    pub(super) fn subscribe_worker(&mut self, key: usize, worker: u8) {
        let Some(producer) = self.producers.get_mut(key) else { return };
        if producer.subscriptions.iter().any(|s| s.worker == worker) {
            return;
        }
        producer.subscriptions.push(Subscription { worker, encodings: EVERY });
        self.send_params(key, worker);
    }

    fn send_params(&mut self, key: usize, worker: u8) {
        let Some(producer) = self.producers.get(key) else { return };
        let id = producer.id;
        let params = Link::Params { producer: id, params: Box::new(producer.link_params()) };
        self.links.out.push_back((worker, params));
        self.links.out.push_back((worker, Link::Arriving { producer: id, encodings: producer.arriving() }));
        for (n, e) in producer.encodings.iter().enumerate() {
            let encoding = n as u8;
            if let Some(mapping) = e.mapping {
                self.links.out.push_back((worker, Link::Report { producer: id, encoding, mapping }));
            }
            let rates = e.rates.measured();
            if rates != LayerRates::default() {
                self.links.out.push_back((worker, Link::Rates { producer: id, encoding, rates }));
            }
        }
    }

    /// Tells all subscribed workers that a track has changed.
    pub(super) fn tell_params(&mut self, key: usize) {
        let workers = self.producers.get(key).map_or(0, |p| p.subscriptions.len());
        for n in 0..workers {
            if let Some(s) = self.producers.get(key).and_then(|p| p.subscriptions.get(n)).copied() {
                self.send_params(key, s.worker);
            }
        }
    }

    /// Tells all subscribed workers which encodings arrive.
    pub(super) fn tell_arriving(&mut self, key: usize) {
        let Some(producer) = self.producers.get(key) else { return };
        for s in &producer.subscriptions {
            let link = Link::Arriving { producer: producer.id, encodings: producer.arriving() };
            self.links.out.push_back((s.worker, link));
        }
    }

    /// Tells all subscribed workers what an encoding's layers take.
    pub(super) fn tell_rates(&mut self, key: usize, encoding: u8) {
        let Some(producer) = self.producers.get(key) else { return };
        let Some(e) = producer.encodings.get(usize::from(encoding)) else { return };
        for s in &producer.subscriptions {
            let link = Link::Rates { producer: producer.id, encoding, rates: e.rates.measured() };
            self.links.out.push_back((s.worker, link));
        }
    }

    /// A track of another worker is wanted here.
    pub(super) fn add_shadow(&mut self, id: ProducerId) -> usize {
        let worker = worker_of(id.0);
        let key = self.producers.insert(Producer::shadow(id, worker));
        self.index.producers.insert(id, key);
        self.links.out.push_back((worker, Link::Subscribe { producer: id }));
        key
    }

    /// Ends a shadow that nobody here takes.
    pub(super) fn drop_unused_shadow(&mut self, key: usize) {
        let Some(producer) = self.producers.get(key) else { return };
        if let Home::Worker(worker) = producer.home
            && producer.consumers.is_empty()
        {
            self.links.out.push_back((worker, Link::Unsubscribe { producer: producer.id }));
            self.remove_producer(key);
        }
    }

    /// Tells a shadow's home which encodings are wanted, if that has changed, and asks it for key frames.
    pub(super) fn tell_wanted(&mut self, key: usize) {
        let Some(producer) = self.producers.get_mut(key) else { return };
        let Home::Worker(worker) = producer.home else { return };
        if producer.encodings.is_empty() {
            return;
        }
        let consumers = producer.consumers.iter().filter_map(|c| self.consumers.get(*c));
        let wanted = consumers.fold(0, |bits, c| bits | c.select.wanted());
        if wanted != producer.told {
            producer.told = wanted;
            self.links.out.push_back((worker, Link::Wanted { producer: producer.id, encodings: wanted }));
        }
        self.ask_home(key);
    }

    /// Passes wishes for key frames on to a shadow's home, which throttles them once more.
    pub(super) fn ask_home(&mut self, key: usize) {
        let Some(producer) = self.producers.get_mut(key) else { return };
        let Home::Worker(worker) = producer.home else { return };
        for (n, e) in producer.encodings.iter_mut().enumerate() {
            if e.keys.is_wanted() {
                e.keys.arrived();
                self.links
                    .out
                    .push_back((worker, Link::KeyFrame { producer: producer.id, encoding: n as u8 }));
            }
        }
    }

    /// Puts the batch's packets that other workers want into one buffer for all of them.
    pub(super) fn fill_links(&mut self) {
        let any = |p: &Producer| !p.subscriptions.is_empty();
        if !self.batch.sending.iter().any(|key| self.producers.get(*key).is_some_and(any)) {
            return;
        }
        let mut workers = [false; 256];
        let links = &mut self.links;
        let counters = &mut self.counters;
        let batch = links.pool.take(|batch| {
            for key in &self.batch.sending {
                let Some(producer) = self.producers.get(*key).filter(|p| any(p)) else { continue };
                let union = producer.subscriptions.iter().fold(0, |bits, s| bits | s.encodings);
                for arrival in &producer.batch.sending {
                    let Some(e) = producer.encodings.get(usize::from(arrival.encoding)) else { continue };
                    if let Some((meta, bytes)) = e.ring.get(arrival.place)
                        && union >> arrival.encoding & 1 == 1
                    {
                        batch.push(producer.id, arrival.encoding, *meta, bytes);
                        counters.traffic.link_packets_out += 1;
                    }
                }
                for s in &producer.subscriptions {
                    workers[usize::from(s.worker)] = true;
                }
            }
        });
        if batch.is_empty() {
            return;
        }
        for (worker, _) in workers.iter().enumerate().filter(|(_, wanted)| **wanted) {
            links.packets.push_back((worker as u8, Arc::clone(&batch)));
        }
    }
}
