//! Time went by.

use std::time::{Duration, Instant};

use clock::Time;

use super::Router;
use crate::api::Event;
use crate::consumer::Consumer;
use crate::producer::Home;

/// How often tracks are looked at: which encodings have gone, how loud it was, who still waits for a key
/// frame.
pub(super) const SWEEP: Duration = Duration::from_millis(100);

/// Deadlines are not kept finer than this.
pub(super) const RESOLUTION: Duration = Duration::from_millis(1);

impl Router {
    /// What is due by `now`.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(key) = self.schedule.pop(now.mono) {
            let Some(peer) = self.peers.get_mut(key) else { continue };
            if peer.transport.poll_timeout().is_some_and(|at| at <= now.mono) {
                peer.transport.handle_timeout(now);
            }
            self.pump(key);
        }
        if self.next_sweep.is_some_and(|at| at <= now.mono) {
            self.sweep(now);
        }
    }

    /// When [`Router::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.schedule.next(), self.next_sweep].into_iter().flatten().min()
    }

    fn sweep(&mut self, now: Time) {
        for n in 0..self.producers.capacity() {
            let Some(producer) = self.producers.get_mut(n) else { continue };
            let gone = producer.sweep();
            // A shadow sees what crosses alone: its home measures for it.
            let home = matches!(producer.home, Home::Peer(_));
            let mut measured = 0u8;
            for (n, encoding) in producer.encodings.iter_mut().enumerate().filter(|_| home) {
                measured |= u8::from(encoding.rates.look(now.mono)) << n;
            }
            if let Some(loudness) = producer.meter.as_mut().and_then(|m| m.poll(now.mono)) {
                let event = Event::AudioLevel {
                    producer: producer.id,
                    loudest: loudness.loudest,
                    active_percent: loudness.active_percent,
                };
                self.mention(event);
            }
            for encoding in (0..8).filter(|e| measured >> e & 1 == 1) {
                self.tell_rates(n, encoding);
            }
            if gone {
                self.tell_arriving(n);
                self.aim_all(n);
            }
            self.tell_wanted(n);
        }
        for n in 0..self.consumers.capacity() {
            let Some(consumer) = self.consumers.get(n) else { continue };
            if consumer.select.waiting_for().is_some() {
                self.aim(n);
            }
        }
        self.sweep_budgets(now);
        self.sweep_qualities(now);
        self.next_sweep = (!self.producers.is_empty()).then(|| now.mono + SWEEP);
    }

    fn sweep_qualities(&mut self, now: Time) {
        for n in 0..self.peers.capacity() {
            let Some(peer) = self.peers.get_mut(n) else { continue };
            if !peer.quality.is_due(now.mono) {
                continue;
            }
            let missing = self.missing_layers(n);
            let Some(peer) = self.peers.get_mut(n) else { continue };
            let round_trip = peer.round_trip();
            if let Some((quality, score)) = peer.quality.poll(now.mono, round_trip, missing) {
                let peer = peer.id;
                self.mention(Event::Quality { peer, quality, score });
            }
        }
    }

    /// How many layers lie, in the worst of a peer's pictures, between what is wanted and what there is: what its line
    /// does not carry to it, and what it no longer sends though somebody here wants it.
    fn missing_layers(&self, key: usize) -> u8 {
        let Some(peer) = self.peers.get(key) else { return 0 };
        let received = peer.sending.consumers.iter().filter_map(|c| {
            let consumer = self.consumers.get(*c)?;
            consumer.missing_layers(self.producers.get(consumer.producer?)?)
        });
        let published = peer.reception.producers.iter().filter_map(|p| {
            let producer = self.producers.get(*p)?;
            let wishes = producer.consumers.iter().filter_map(|c| self.consumers.get(*c)).map(Consumer::wish);
            let top = wishes.filter(|wish| !wish.paused).map(|wish| wish.max_spatial).max()?;
            Some(producer.missing_layers(top))
        });
        received.chain(published).max().unwrap_or(0)
    }

    /// Asks for what all consumers of a peer wait for: it is there (again).
    pub(super) fn ask_key_frames(&mut self, key: usize) {
        let Some(peer) = self.peers.get(key) else { return };
        for n in 0..peer.sending.consumers.len() {
            let consumer = self.peers.get(key).and_then(|p| p.sending.consumers.get(n)).copied();
            let Some((producer, encoding)) = consumer
                .and_then(|c| self.consumers.get(c))
                .and_then(|c| c.producer.zip(c.select.waiting_for().or(c.select.current())))
            else {
                continue;
            };
            self.want_key_frame(producer, Some(encoding));
        }
    }
}
