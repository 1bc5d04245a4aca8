//! Media leaves: subscriber by subscriber, each over the whole batch, so that the packets of one
//! destination lie side by side in the outbox.
//!
//! With hundreds of subscribers the state of one has left the caches by the time that its turn comes again, and
//! waiting for its lines one after the other costs as much as all else that is done here. So the next few subscribers
//! are read in rounds ([`Router::warm`]) before they are served: a processor waits for several lines at once.

use std::hint::black_box;

use clock::Time;
use rtp::ext::AbsSendTime;

use super::Router;
use crate::Outbox;
use crate::api::Event;
use crate::consumer::Egress;

/// Subscribers read ahead: about as many lines as a core waits for at once.
const AHEAD: usize = 8;

/// One track on its way to one subscriber, in a batch. Slab keys, which are below 2^32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    peer: u32,
    /// Tracks of one subscriber go in the order in which they came.
    order: u32,
    consumer: u32,
}

impl Router {
    /// Forwards the media of all datagrams since the last call, subscriber by subscriber. True if the
    /// outbox became full before the end: send it, clear it and call again.
    #[must_use]
    pub fn fan_out(&mut self, now: Time, outbox: &mut Outbox) -> bool {
        let before = (outbox.entries().len(), outbox.bytes().len());
        if !self.batch.active {
            self.begin_fan_out();
        }
        let (micros, abs_send_time) = (self.micros(now), AbsSendTime::from_ntp(now.ntp()).0);
        while self.batch.next < self.batch.due.len() {
            if self.batch.next >= self.batch.warm {
                self.warm();
            }
            self.serve(now, (micros, abs_send_time), outbox);
            if outbox.is_full() && self.batch.next < self.batch.due.len() {
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
        let batch = &mut self.batch;
        std::mem::swap(&mut batch.dirty, &mut batch.sending);
        batch.dirty.clear();
        batch.due.clear();
        (batch.next, batch.warm) = (0, 0);
        batch.active = !batch.sending.is_empty();
        for key in &batch.sending {
            let Some(producer) = self.producers.get_mut(*key) else { continue };
            std::mem::swap(&mut producer.batch.arrived, &mut producer.batch.sending);
            producer.batch.arrived.clear();
            if self.config.equalise && producer.track.is_video() {
                producer.equalise();
            }
            for consumer in &producer.consumers {
                let Some(peer) = self.consumers.get(*consumer).map(|c| c.peer as u32) else { continue };
                batch.due.push(Due { peer, order: batch.due.len() as u32, consumer: *consumer as u32 });
            }
        }
        if batch.sending.len() > 1 {
            batch.due.sort_unstable();
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

    /// Reads what the next few subscribers need, in rounds: in each, no read waits for another one's result.
    fn warm(&mut self) {
        let from = self.batch.next;
        let ahead = self.batch.due.iter().skip(from).take(AHEAD);
        self.batch.warm = from + ahead.len();
        let mut seen = 0;
        for due in ahead.clone() {
            let peer = self.peers.get(due.peer as usize);
            seen ^=
                peer.map_or(0, |peer| u64::from(peer.keys.is_some()) ^ u64::from(peer.ice.path.is_some()));
            let consumer = self.consumers.get(due.consumer as usize);
            seen ^= consumer.map_or(0, |consumer| u64::from(consumer.producer.is_some()));
        }
        for due in ahead {
            let Some(peer) = self.peers.get(due.peer as usize) else { continue };
            let Some(consumer) = self.consumers.get(due.consumer as usize) else { continue };
            let packets = consumer.producer.and_then(|key| self.producers.get(key));
            let packets = packets.map_or(0, |producer| producer.batch.sending.len());
            seen ^= peer.sending.gate.warm(packets);
            seen ^= peer.keys.as_ref().map_or(0, |keys| consumer.warm(packets, &keys.outbound));
        }
        black_box(seen);
    }

    /// Sends the next subscriber the whole batch.
    fn serve(&mut self, now: Time, (micros, abs_send_time): (u32, u32), outbox: &mut Outbox) {
        let rest = self.batch.due.get(self.batch.next..).unwrap_or_default();
        let Some(key) = rest.first().map(|due| due.peer) else { return };
        let count = rest.iter().take_while(|due| due.peer == key).count();
        let all = rest.get(..count).unwrap_or_default();
        self.batch.next += count;
        // One that has gone since the batch began is served no more.
        let Some(peer) = self.peers.get_mut(key as usize) else { return };
        let (Some(path), Some(keys)) = (peer.ice.path, &mut peer.keys) else { return };
        let before = outbox.bytes().len();
        let mut egress = Egress {
            now,
            micros,
            abs_send_time,
            path,
            outbound: &mut keys.outbound,
            gate: &mut peer.sending.gate,
            outbox,
            counters: &mut self.counters,
        };
        for due in all {
            let consumer = self.consumers.get_mut(due.consumer as usize);
            // A key may be somebody else's by now.
            let Some(consumer) = consumer.filter(|consumer| consumer.peer == key as usize) else { continue };
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
