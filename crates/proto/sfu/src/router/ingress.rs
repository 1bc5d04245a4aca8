//! A datagram came: whose it is, and what its first byte makes of it (RFC 7983).

use std::net::SocketAddr;

use clock::Time;
use peer::{Class, Event as TransportEvent, classify};
use srtp::Reject;

use super::Router;
use crate::api::{Event, FailReason, Shed};

/// Addresses to which one peer's checks may be remembered.
const MAX_PROBED: usize = 64;

impl Router {
    /// A datagram that arrived on `local` (the address it was sent to) from `remote`. Opened in place.
    pub fn handle_datagram(&mut self, now: Time, local: SocketAddr, remote: SocketAddr, datagram: &mut [u8]) {
        self.counters.traffic.datagrams_in += 1;
        self.counters.traffic.bytes_in += datagram.len() as u64;
        match datagram.first().map_or(Class::Unknown, |first| classify(*first)) {
            Class::Stun => self.stun(now, local, remote, datagram),
            Class::Dtls => self.dtls(now, local, remote, datagram),
            Class::Rtp => self.srtp(now, remote, datagram),
            Class::TurnChannel | Class::Unknown => self.counters.drops.unclassified += 1,
        }
    }

    /// From now on this is dropped of publishers' media as it comes: a driver that cannot carry everything gives up
    /// what costs most and is missed least. What is dropped counts as lost on the way and is not asked for again;
    /// publishers are asked for key frames when it is over. Checks, feedback and data always come in.
    pub fn shed(&mut self, shed: Shed) {
        self.shedding = shed;
    }

    /// Whether a packet is given up because there are too many.
    fn is_shed(&mut self, key: usize, ssrc: rtp::Ssrc) -> bool {
        if self.shedding == Shed::Nothing {
            return false;
        }
        let stream = self.peers.get_mut(key).and_then(|peer| peer.reception.streams.get(ssrc));
        let Some(stream) = stream.filter(|stream| self.gives_up(stream.producer)) else { return false };
        let producer = self.producers.get_mut(stream.producer);
        if let Some(encoding) = producer.and_then(|p| p.encodings.get_mut(usize::from(stream.encoding))) {
            encoding.receive.nack.drop_one();
        }
        true
    }

    /// Whether a track's packet is given up, which is counted.
    pub(super) fn gives_up(&mut self, producer: usize) -> bool {
        let Some(producer) = self.producers.get(producer) else { return false };
        let (from, count) = if producer.track.is_video() {
            (Shed::Video, &mut self.counters.drops.shed)
        } else {
            (Shed::Media, &mut self.counters.drops.shed_sound)
        };
        let given_up = self.shedding >= from;
        *count += u64::from(given_up);
        given_up
    }

    fn stun(&mut self, now: Time, local: SocketAddr, remote: SocketAddr, datagram: &[u8]) {
        let key = match peer::stun_ufrag(datagram) {
            Some(ufrag) => self.index.ufrags.get(ufrag),
            // A response to a check of ours carries no name.
            None => self.index.addresses.get(&remote).or_else(|| self.index.probed.get(&remote)),
        };
        let Some(&key) = key else {
            self.counters.drops.unknown_ufrag += 1;
            return;
        };
        let Some(peer) = self.peers.get_mut(key) else { return };
        match peer.transport.handle_stun(now, remote, local, datagram) {
            Ok(()) => {
                self.pump(key);
                self.claim(key, remote);
            }
            Err(peer::Reject::Unauthentic) => self.counters.drops.forged += 1,
            Err(_) => self.counters.drops.malformed += 1,
        }
    }

    /// An address is that of the peer that has checked from it last. One whose address another has taken, with a
    /// forged sender or behind the same translator, has it back with its next check.
    fn claim(&mut self, key: usize, remote: SocketAddr) {
        let Some(peer) = self.peers.get(key) else { return };
        if self.index.addresses.get(&remote) != Some(&key) && peer.ice.addresses.contains(&remote) {
            self.index.addresses.insert(remote, key);
        }
    }

    fn dtls(&mut self, now: Time, local: SocketAddr, remote: SocketAddr, datagram: &[u8]) {
        let Some(&key) = self.index.addresses.get(&remote) else {
            self.counters.drops.unknown_address += 1;
            return;
        };
        let Some(peer) = self.peers.get_mut(key) else { return };
        match peer.transport.handle_dtls(now, remote, local, datagram) {
            Ok(()) => self.pump(key),
            Err(_) => self.counters.drops.malformed += 1,
        }
    }

    fn srtp(&mut self, now: Time, remote: SocketAddr, datagram: &mut [u8]) {
        let Some(&key) = self.index.addresses.get(&remote) else {
            self.counters.drops.unknown_address += 1;
            return;
        };
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Some(keys) = &mut peer.keys else {
            self.counters.drops.no_keys += 1;
            return;
        };
        if rtp::is_rtcp(datagram) {
            match keys.inbound.open_rtcp(datagram) {
                Ok(len) => {
                    peer.transport.heard(now, remote);
                    self.reports(now, key, datagram.get(..len).unwrap_or_default());
                }
                Err(reject) => self.count_reject(reject),
            }
            return;
        }
        let Ok(header) = rtp::Header::parse(datagram) else {
            self.counters.drops.malformed += 1;
            return;
        };
        if self.is_shed(key, header.ssrc) {
            return;
        }
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Some(keys) = &mut peer.keys else { return };
        match keys.inbound.open_rtp(datagram, header.len()) {
            Ok(len) => {
                peer.transport.heard(now, remote);
                self.media(now, key, &header, datagram.get(..len).unwrap_or_default());
            }
            Err(reject) => self.count_reject(reject),
        }
    }

    fn count_reject(&mut self, reject: Reject) {
        let drops = &mut self.counters.drops;
        match reject {
            Reject::Short | Reject::Unencrypted => drops.malformed += 1,
            Reject::Replayed | Reject::Old => drops.replayed += 1,
            Reject::Unauthentic => drops.forged += 1,
        }
    }

    /// Takes a transport's events, after anything that may have made some.
    pub(super) fn pump(&mut self, key: usize) {
        loop {
            let full = self.events.len() >= self.config.event_queue;
            let Some(peer) = self.peers.get_mut(key) else { return };
            peer.data.stalled = full;
            if full {
                break;
            }
            let transport = &mut peer.transport;
            let event = if peer.data.held { transport.poll_change() } else { transport.poll_event() };
            let Some(event) = event else { break };
            self.take(key, event);
        }
        self.flush_data(key);
        self.wake(key);
    }

    fn take(&mut self, key: usize, event: TransportEvent) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let id = peer.id;
        match event {
            TransportEvent::AddressAdded(address) => {
                peer.ice.addresses.push(address);
                self.index.addresses.insert(address, key);
            }
            TransportEvent::AddressRemoved(address) => {
                peer.ice.addresses.retain(|a| *a != address);
                if self.index.addresses.get(&address) == Some(&key) {
                    self.index.addresses.remove(&address);
                }
            }
            TransportEvent::Selected(path) => peer.ice.path = Some(path),
            TransportEvent::Keys(keys) => {
                peer.keys = Some(keys);
                for consumer in &peer.sending.consumers {
                    if let Some(consumer) = self.consumers.get_mut(*consumer) {
                        consumer.forget_streams();
                    }
                }
            }
            TransportEvent::Connected => {
                self.events.push_back(Event::Connected { peer: id });
                self.ask_key_frames(key);
            }
            TransportEvent::Disconnected => self.events.push_back(Event::Disconnected { peer: id }),
            TransportEvent::Failed(reason) => {
                let reason = match reason {
                    peer::FailReason::IceTimeout => FailReason::IceTimeout,
                    peer::FailReason::Dtls => FailReason::Dtls,
                    peer::FailReason::Fingerprint => FailReason::Fingerprint,
                    peer::FailReason::Closed => FailReason::Closed,
                    peer::FailReason::Sctp => FailReason::Sctp,
                };
                self.events.push_back(Event::Failed { peer: id, reason });
            }
            TransportEvent::ChannelOpen { channel, label } => {
                peer.data.open.retain(|(c, _)| *c != channel);
                peer.data.open.push((channel, label.clone()));
                self.events.push_back(Event::ChannelOpen { peer: id, label: label.clone() });
                self.send_early(key, &label);
            }
            TransportEvent::ChannelClosed { channel } => {
                peer.data.open.retain(|(c, _)| *c != channel);
                peer.data.queue.retain(|(c, _)| *c != channel);
                peer.data.queued = peer.data.queue.iter().map(|(_, message)| message.len()).sum();
            }
            TransportEvent::Message { channel, payload, .. } => {
                let Some(label) = peer.data.label(channel).map(str::to_owned) else {
                    self.counters.drops.data += 1;
                    return;
                };
                self.counters.traffic.data_in += 1;
                self.events.push_back(Event::Data { peer: id, label, payload });
            }
        }
    }

    /// Remembers that a check goes to an address, so that its answer finds the peer.
    pub(super) fn note_probe(&mut self, key: usize, remote: SocketAddr) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if self.index.addresses.contains_key(&remote) || peer.ice.probed.contains(&remote) {
            return;
        }
        if peer.ice.probed.len() >= MAX_PROBED {
            let oldest = peer.ice.probed.remove(0);
            if self.index.probed.get(&oldest) == Some(&key) {
                self.index.probed.remove(&oldest);
            }
        }
        peer.ice.probed.push(remote);
        self.index.probed.insert(remote, key);
    }
}
