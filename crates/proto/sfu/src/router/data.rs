//! Data channels: messages to many, and messages that must wait.

use std::collections::VecDeque;

use bytes::Bytes;
use peer::{ChannelId, SendError};

use super::Router;
use crate::api::PeerId;
use crate::counters::Counters;
use crate::peer_state::Peer;

/// Messages that wait for one peer's channels to open; more than that is not a moment's worth.
const EARLY_MESSAGES: usize = 1024;

impl Router {
    /// Leaves a peer's messages with the peer, whose window closes, until it is said that they are wanted again.
    /// Whatever else happens to it is told as ever.
    pub fn hold_data(&mut self, peer: PeerId, held: bool) {
        let Some(&key) = self.index.peers.get(&peer) else { return };
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.data.held = held;
        if !held {
            self.pump(key);
        }
    }

    /// Sends a message, or keeps it until the transport has room: order is kept per channel.
    pub(super) fn queue_data(&mut self, key: usize, label: &'static str, payload: &Bytes) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Some(channel) = peer.transport.channel(label).filter(|_| !peer.data.awaits(label)) else {
            let held: usize = peer.data.early.iter().map(|(_, message)| message.len()).sum();
            if peer.data.early.len() >= EARLY_MESSAGES || held + payload.len() > self.config.data_queue_bytes
            {
                self.counters.drops.data += 1;
            } else {
                peer.data.early.push_back((label, payload.clone()));
            }
            return;
        };
        let sent = if peer.data.waits(channel) {
            Err(SendError::Full)
        } else {
            peer.transport.send(channel, true, payload)
        };
        match sent {
            Ok(()) => self.counters.traffic.data_out += 1,
            Err(SendError::Full) => {
                keep(peer, channel, payload, self.config.data_queue_bytes, &mut self.counters)
            }
            Err(_) => self.counters.drops.data += 1,
        }
        self.wake(key);
    }

    /// Sends what came before its channel was open.
    pub(super) fn send_early(&mut self, key: usize, label: &str) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let early = std::mem::take(&mut peer.data.early);
        let (due, rest): (VecDeque<_>, VecDeque<_>) = early.into_iter().partition(|(l, _)| *l == label);
        peer.data.early = rest;
        for (label, payload) in due {
            self.queue_data(key, label, &payload);
        }
    }

    /// Sends what waited, as far as there is room.
    pub(super) fn flush_data(&mut self, key: usize) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        while let Some((channel, payload)) = peer.data.queue.front() {
            match peer.transport.send(*channel, true, payload) {
                Ok(()) => self.counters.traffic.data_out += 1,
                Err(SendError::Full) => return,
                Err(_) => self.counters.drops.data += 1,
            }
            peer.data.queued = peer.data.queued.saturating_sub(payload.len());
            peer.data.queue.pop_front();
        }
    }

    /// Reads the transports on that nobody read while the event queue was full.
    pub(super) fn read_stalled(&mut self) {
        let stalled: Vec<usize> =
            self.peers.iter().filter(|(_, p)| p.data.stalled).map(|(key, _)| key).collect();
        for key in stalled {
            self.wake(key);
        }
    }
}

/// A message that finds no room waits if its channel retransmits; on one that does not, old data is worth
/// nothing.
fn keep(peer: &mut Peer, channel: ChannelId, payload: &Bytes, limit: usize, counters: &mut Counters) {
    if peer.transport.is_lossy(channel) || peer.data.queued + payload.len() > limit {
        counters.drops.data += 1;
        return;
    }
    peer.data.queued += payload.len();
    peer.data.queue.push_back((channel, payload.clone()));
}
