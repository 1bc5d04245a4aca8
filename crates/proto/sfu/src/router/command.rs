//! What signalling says.

use bytes::Bytes;
use clock::Time;
use peer::{Reliability, Transport};
use rtp::Ssrc;

use super::Router;
use super::allocation::Strictness;
use crate::api::{
    ChannelParams, Command, ConsumerId, ConsumerParams, Event, PeerId, ProducerId, ProducerParams, Wish,
    worker_of,
};
use crate::consumer::Consumer;
use crate::packet::Meanings;
use crate::peer_state::{Peer, StreamRef};
use crate::producer::{Home, Producer};

/// User fragments under which a peer is found: that of now, and that of before an ICE restart, which the far end uses
/// until it has heard (RFC 8445 section 9). A client restarts as often as it likes.
const MAX_UFRAGS: usize = 2;

impl Router {
    /// Does as told; what is about an id that is not known here is counted and ignored.
    pub fn handle_command(&mut self, now: Time, command: Command) {
        if self.obey(now, command).is_none() {
            self.counters.unknown_ids += 1;
        }
    }

    fn obey(&mut self, now: Time, command: Command) -> Option<()> {
        match command {
            Command::OpenPeer { peer, local } => self.open_peer(now, peer, local),
            Command::ClosePeer { peer } => self.close_peer(now, peer),
            Command::SetReceiveExtensions { peer, extensions } => {
                let key = *self.index.peers.get(&peer)?;
                *self.peers.get_mut(key)?.reception.meanings = Meanings::new(&extensions);
                Some(())
            }
            Command::AddProducer { peer, producer, params } => self.add_producer(peer, producer, &params),
            Command::UpdateProducer { producer, params } => self.update_producer(producer, &params),
            Command::RemoveProducer { producer } => {
                let key = *self.index.producers.get(&producer)?;
                self.remove_producer(key);
                Some(())
            }
            Command::AddConsumer { peer, consumer, producer, params } => {
                self.add_consumer(now, peer, consumer, producer, &params)
            }
            Command::SetWish { consumer, wish } => self.set_wish(now, consumer, wish),
            Command::AllowPause { peer, allowed } => {
                let key = *self.index.peers.get(&peer)?;
                self.peers.get_mut(key)?.sending.may_pause = allowed;
                self.allocate(now, key, Strictness::Lenient);
                Some(())
            }
            Command::LimitBandwidth { peer, limit } => {
                let key = *self.index.peers.get(&peer)?;
                self.peers.get_mut(key)?.sending.budget.force(limit.map(|limit| limit.0));
                self.allocate(now, key, Strictness::Strict);
                Some(())
            }
            Command::RemoveConsumer { consumer } => {
                let key = *self.index.consumers.get(&consumer)?;
                self.remove_consumer(key);
                Some(())
            }
            Command::SendData { peers, label, payload } => self.send_data(&peers, label, &payload),
            Command::SetRemote { .. }
            | Command::AddCandidate { .. }
            | Command::RestartIce { .. }
            | Command::OpenChannel { .. } => self.obey_transport(now, command),
        }
    }

    fn obey_transport(&mut self, now: Time, command: Command) -> Option<()> {
        let (Command::SetRemote { peer: id, .. }
        | Command::AddCandidate { peer: id, .. }
        | Command::RestartIce { peer: id, .. }
        | Command::OpenChannel { peer: id, .. }) = &command
        else {
            return None;
        };
        let key = *self.index.peers.get(id)?;
        let peer = self.peers.get_mut(key)?;
        match command {
            Command::SetRemote { remote, .. } => peer.transport.set_remote(now, &remote),
            Command::AddCandidate { candidate, .. } => peer.transport.add_candidate(now, &candidate),
            Command::RestartIce { credentials, .. } => {
                self.index.ufrags.insert(credentials.ufrag.clone(), key);
                peer.ice.ufrags.push(credentials.ufrag.clone());
                if peer.ice.ufrags.len() > MAX_UFRAGS {
                    let oldest = peer.ice.ufrags.remove(0);
                    self.index.ufrags.remove(&oldest);
                }
                peer.transport.restart_ice(now, credentials);
            }
            Command::OpenChannel { params, .. } => {
                let refused = peer.transport.open_channel(channel(params)).is_err();
                self.counters.drops.data += u64::from(refused);
            }
            _ => {}
        }
        self.pump(key);
        Some(())
    }

    fn open_peer(&mut self, now: Time, id: PeerId, local: peer::LocalTransport) -> Option<()> {
        if self.index.peers.contains_key(&id) {
            return None;
        }
        let ufrag = local.credentials.ufrag.clone();
        let seed = self.random.next();
        let transport = Transport::new(now, local, &self.certificate, &self.config.transport, seed);
        let reporter = Ssrc(self.random.next() as u32 | 1);
        let key = self.peers.insert(Peer::new(id, transport, ufrag.clone(), now.mono, reporter));
        self.index.peers.insert(id, key);
        self.index.ufrags.insert(ufrag, key);
        self.wake(key);
        Some(())
    }

    fn close_peer(&mut self, now: Time, id: PeerId) -> Option<()> {
        let key = self.index.peers.remove(&id)?;
        let peer = self.peers.get_mut(key)?;
        peer.transport.close(now);
        peer.closing = true;
        let producers = std::mem::take(&mut peer.reception.producers);
        let consumers = std::mem::take(&mut peer.sending.consumers);
        let ice = std::mem::take(&mut peer.ice);
        // What it still says goes where it last listened.
        peer.ice.path = ice.path;
        for producer in producers {
            self.remove_producer(producer);
        }
        for consumer in consumers {
            self.remove_consumer(consumer);
        }
        // Only what is the peer's own is looked at: there may be a hundred thousand others.
        for ufrag in &ice.ufrags {
            self.index.ufrags.remove(ufrag);
        }
        for (table, addresses) in
            [(&mut self.index.addresses, &ice.addresses), (&mut self.index.probed, &ice.probed)]
        {
            for address in addresses {
                if table.get(address) == Some(&key) {
                    table.remove(address);
                }
            }
        }
        self.wake(key);
        Some(())
    }

    fn add_producer(&mut self, peer: PeerId, id: ProducerId, params: &ProducerParams) -> Option<()> {
        let peer_key = *self.index.peers.get(&peer)?;
        if self.index.producers.contains_key(&id) {
            return None;
        }
        let key = self.producers.insert(Producer::at_home(id, (peer, peer_key), params, &self.config));
        self.index.producers.insert(id, key);
        self.peers.get_mut(peer_key)?.reception.producers.push(key);
        self.map_known_streams(key);
        for worker in self.links.awaited.remove(&id).unwrap_or_default() {
            self.subscribe_worker(key, worker);
        }
        Some(())
    }

    fn update_producer(&mut self, id: ProducerId, params: &ProducerParams) -> Option<()> {
        let key = *self.index.producers.get(&id)?;
        let producer = self.producers.get_mut(key)?;
        let Home::Peer(peer_key) = producer.home else { return None };
        producer.update(params, &self.config);
        let count = producer.encodings.len();
        if let Some(peer) = self.peers.get_mut(peer_key) {
            peer.reception.streams.retain(|_, s| s.producer != key || usize::from(s.encoding) < count);
        }
        self.map_known_streams(key);
        self.reattach(key);
        self.tell_params(key);
        Some(())
    }

    /// Maps SSRCs that the description names.
    fn map_known_streams(&mut self, key: usize) {
        let Some(producer) = self.producers.get_mut(key) else { return };
        let Home::Peer(peer_key) = producer.home else { return };
        let Some(peer) = self.peers.get_mut(peer_key) else { return };
        let rate = producer.track.clock_rate();
        for (n, encoding) in producer.encodings.iter_mut().enumerate() {
            let stream = |rtx| StreamRef { producer: key, encoding: n as u8, rtx };
            if let Some(ssrc) = encoding.receive.ssrc {
                if encoding.receive.stream.as_ref().is_none_or(|s| s.ssrc() != ssrc) {
                    encoding.rebind(ssrc, rate);
                }
                peer.reception.streams.set(ssrc, stream(false));
            }
            if let Some(ssrc) = encoding.receive.rtx_ssrc {
                peer.reception.streams.set(ssrc, stream(true));
            }
        }
    }

    /// Tells consumers that the track is another than they know.
    pub(super) fn reattach(&mut self, key: usize) {
        let Some(producer) = self.producers.get(key) else { return };
        for consumer in &producer.consumers {
            if let Some(consumer) = self.consumers.get_mut(*consumer) {
                consumer.attach(key, &producer.track);
            }
        }
        self.aim_all(key);
    }

    /// Takes a track away from everybody.
    pub(super) fn remove_producer(&mut self, key: usize) {
        let Some(producer) = self.producers.try_remove(key) else { return };
        self.index.producers.remove(&producer.id);
        self.batch.dirty.retain(|k| *k != key);
        self.batch.sending.retain(|k| *k != key);
        if let Home::Peer(peer) = producer.home
            && let Some(peer) = self.peers.get_mut(peer)
        {
            peer.reception.producers.retain(|k| *k != key);
            peer.reception.streams.retain(|_, s| s.producer != key);
        }
        for subscription in &producer.subscriptions {
            self.links.out.push_back((subscription.worker, crate::Link::Gone { producer: producer.id }));
        }
        for consumer in producer.consumers {
            if let Some(consumer) = self.consumers.get_mut(consumer) {
                consumer.producer = None;
                consumer.select.restart();
                self.events.extend(
                    consumer
                        .layer_news()
                        .map(|spatial| Event::LayerChanged { consumer: consumer.id, spatial }),
                );
            }
        }
    }

    fn add_consumer(
        &mut self,
        now: Time,
        peer: PeerId,
        id: ConsumerId,
        producer: ProducerId,
        params: &ConsumerParams,
    ) -> Option<()> {
        let peer_key = *self.index.peers.get(&peer)?;
        if self.index.consumers.contains_key(&id) {
            return None;
        }
        let producer_key = match self.index.producers.get(&producer) {
            Some(key) => *key,
            None if worker_of(producer.0) != self.worker => self.add_shadow(producer),
            None => return None,
        };
        let seqs = (self.random.next() as u16, self.random.next() as u16);
        let mut consumer = Consumer::new(id, peer_key, params, seqs.0, seqs.1);
        let track = &mut self.producers.get_mut(producer_key)?;
        consumer.attach(producer_key, &track.track);
        let peer = self.peers.get_mut(peer_key)?;
        let key = self.consumers.insert(consumer);
        track.consumers.push(key);
        peer.sending.consumers.push(key);
        for ssrc in self.consumers.get(key)?.ssrcs() {
            peer.sending.streams.set(ssrc, key);
        }
        peer.sending.next_report.get_or_insert(now.mono + self.config.sender_report_interval);
        self.index.consumers.insert(id, key);
        self.aim(key);
        self.allocate(now, peer_key, Strictness::Lenient);
        self.wake(peer_key);
        Some(())
    }

    fn set_wish(&mut self, now: Time, id: ConsumerId, wish: Wish) -> Option<()> {
        let key = *self.index.consumers.get(&id)?;
        let consumer = self.consumers.get_mut(key)?;
        consumer.set_wish(wish);
        if let Some(spatial) = consumer.layer_news() {
            self.events.push_back(Event::LayerChanged { consumer: id, spatial });
        }
        let peer = consumer.peer;
        self.aim(key);
        self.allocate(now, peer, Strictness::Lenient);
        Some(())
    }

    /// Ends a track's way to a subscriber.
    pub(super) fn remove_consumer(&mut self, key: usize) {
        let Some(mut consumer) = self.consumers.try_remove(key) else { return };
        self.index.consumers.remove(&consumer.id);
        if let Some(peer) = self.peers.get_mut(consumer.peer) {
            peer.sending.consumers.retain(|k| *k != key);
            peer.sending.streams.retain(|_, k| k != key);
            if let Some(keys) = &mut peer.keys {
                consumer.close_streams(&mut keys.outbound);
            }
        }
        if let Some(producer_key) = consumer.producer
            && let Some(producer) = self.producers.get_mut(producer_key)
        {
            producer.consumers.retain(|k| *k != key);
            self.drop_unused_shadow(producer_key);
            self.tell_wanted(producer_key);
        }
    }

    /// Chooses what a consumer goes for, and asks for the key frame that it needs.
    pub(super) fn aim(&mut self, key: usize) {
        let Some(consumer) = self.consumers.get_mut(key) else { return };
        let Some(producer_key) = consumer.producer else { return };
        let Some(producer) = self.producers.get_mut(producer_key) else { return };
        consumer.select.aim(producer.arriving(), producer.encodings.len() as u8);
        if let Some(waiting) = consumer.select.waiting_for()
            && let Some(encoding) = producer.encodings.get_mut(usize::from(waiting))
        {
            encoding.keys.want();
        }
        match producer.home {
            Home::Peer(peer) => self.wake(peer),
            Home::Worker(_) => self.tell_wanted(producer_key),
        }
    }

    /// As [`Router::aim`], for all of a track's consumers.
    pub(super) fn aim_all(&mut self, producer: usize) {
        let count = self.producers.get(producer).map_or(0, |p| p.consumers.len());
        for n in 0..count {
            if let Some(key) = self.producers.get(producer).and_then(|p| p.consumers.get(n)).copied() {
                self.aim(key);
            }
        }
    }

    fn send_data(&mut self, peers: &[PeerId], label: &'static str, payload: &Bytes) -> Option<()> {
        let mut all_known = Some(());
        for id in peers {
            match self.index.peers.get(id).copied() {
                Some(key) => self.queue_data(key, label, payload),
                None => all_known = None,
            }
        }
        all_known
    }
}

fn channel(params: ChannelParams) -> peer::ChannelParams {
    peer::ChannelParams {
        label: params.label,
        ordered: params.ordered,
        reliability: params.max_retransmits.map_or(Reliability::Reliable, Reliability::Retransmits),
        negotiated: params.negotiated_id,
    }
}
