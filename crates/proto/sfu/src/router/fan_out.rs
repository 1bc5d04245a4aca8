//! Media leaves: subscriber by subscriber, each over the whole batch, so that the packets of one
//! destination lie side by side in the outbox.

use clock::Time;
use rtp::ext::AbsSendTime;

use super::Router;
use crate::Outbox;
use crate::api::Event;
use crate::consumer::Egress;

impl Router {
    /// Forwards the media of all datagrams since the last call, subscriber by subscriber. True if the
    /// outbox became full before the end: send it, clear it and call again.
    #[must_use]
    pub fn fan_out(&mut self, now: Time, outbox: &mut Outbox) -> bool {
        let before = (outbox.entries().len(), outbox.bytes().len());
        if !self.batch.active {
            self.begin_fan_out();
        }
        while let Some(key) = self.batch.peers.pop_front() {
            self.serve(now, key, outbox);
            if outbox.is_full() && !self.batch.peers.is_empty() {
                self.count_out(outbox, before);
                return true;
            }
        }
        self.end_fan_out();
        self.count_out(outbox, before);
        false
    }

    pub(super) fn count_out(&mut self, outbox: &Outbox, before: (usize, usize)) {
        self.counters.traffic.datagrams_out += (outbox.entries().len() - before.0) as u64;
        self.counters.traffic.bytes_out += (outbox.bytes().len() - before.1) as u64;
    }

    /// Takes the batch over: what arrives from now on is for the next one.
    fn begin_fan_out(&mut self) {
        std::mem::swap(&mut self.batch.dirty, &mut self.batch.sending);
        self.batch.dirty.clear();
        self.batch.active = !self.batch.sending.is_empty();
        for key in &self.batch.sending {
            let Some(producer) = self.producers.get_mut(*key) else { continue };
            std::mem::swap(&mut producer.batch.arrived, &mut producer.batch.sending);
            producer.batch.arrived.clear();
            if self.config.equalise && producer.track.is_video() {
                producer.equalise();
            }
            for consumer in &producer.consumers {
                let Some(peer_key) = self.consumers.get(*consumer).map(|c| c.peer) else { continue };
                let Some(peer) = self.peers.get_mut(peer_key) else { continue };
                if peer.sending.due.is_empty() {
                    self.batch.peers.push_back(peer_key);
                }
                peer.sending.due.push(*consumer);
            }
        }
        self.fill_links();
    }

    fn end_fan_out(&mut self) {
        for key in self.batch.sending.drain(..) {
            if let Some(producer) = self.producers.get_mut(key) {
                producer.batch.sending.clear();
            }
        }
        self.batch.active = false;
    }

    /// Sends one subscriber the whole batch.
    fn serve(&mut self, now: Time, key: usize, outbox: &mut Outbox) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let (Some(path), Some(keys)) = (peer.ice.path, &mut peer.keys) else {
            peer.sending.due.clear();
            return;
        };
        let before = outbox.bytes().len();
        let mut egress = Egress {
            now,
            abs_send_time: AbsSendTime::from_ntp(now.ntp()).0,
            path,
            outbound: &mut keys.outbound,
            gate: &mut peer.sending.gate,
            outbox,
            counters: &mut self.counters,
        };
        for consumer in peer.sending.due.drain(..) {
            let Some(consumer) = self.consumers.get_mut(consumer) else { continue };
            let Some(producer) = consumer.producer.and_then(|key| self.producers.get(key)) else { continue };
            for arrival in &producer.batch.sending {
                consumer.forward(*arrival, producer, &mut egress);
            }
            if let Some(spatial) = consumer.layer_news() {
                self.events.push_back(Event::LayerChanged { consumer: consumer.id, spatial });
            }
        }
        peer.sending.budget.spend(outbox.bytes().len() - before);
    }
}
