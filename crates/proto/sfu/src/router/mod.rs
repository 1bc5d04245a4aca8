//! The whole SFU of one worker.
//!
//! Owns: peers, producers and consumers in slabs, and the tables that lead to them. What is done with them
//! is cut by occasion: `command` (told by signalling), `ingress` (a datagram came), `media` (it was RTP),
//! `reports` (it was RTCP), `fan_out` (media leaves), `transmit` (everything else leaves), `timers`
//! (nothing came), `allocation` (what fits on a subscriber's line), `crossing` (other workers), `data` (data
//! channels).

mod allocation;
mod command;
mod crossing;
mod data;
mod fan_out;
mod ingress;
mod media;
mod reports;
mod timers;
mod transmit;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clock::Time;
use rtp::Bitrate;
use slab::Slab;

use crate::api::{ConsumerId, Event, PeerId, ProducerId, Shed};
use crate::bandwidth::allocate::Ladder;
use crate::consumer::Consumer;
use crate::link::{Link, LinkBatch, Pool};
use crate::peer_state::Peer;
use crate::producer::Producer;
use crate::schedule::Schedule;
use crate::{Config, Counters};

/// Transports, producers and consumers of one worker. Pure: a driver gives it datagrams, commands and the
/// time, and takes datagrams, events and deadlines out of it.
pub struct Router {
    config: Config,
    certificate: peer::Certificate,
    worker: u8,
    random: Random,
    peers: Slab<Peer>,
    producers: Slab<Producer>,
    consumers: Slab<Consumer>,
    index: Index,
    batch: FanOut,
    links: Links,
    events: VecDeque<Event>,
    schedule: Schedule,
    /// Peers that may have something to send.
    awake: VecDeque<usize>,
    next_sweep: Option<Instant>,
    /// Sequence numbers of one request, kept for its memory.
    scratch: Vec<u16>,
    /// Tracks of one allocation, kept for its memory.
    ladders: Vec<Ladder>,
    next_allocation: Option<Instant>,
    /// See [`Router::shed`].
    shedding: Shed,
    counters: Counters,
    began: Instant,
}

/// What a peer's feedback has said so far about the way to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PeerStats {
    /// From sender reports and their echo.
    pub round_trip: Option<Duration>,
    /// By transport-wide feedback, as are the next three.
    pub delivered_bytes: u64,
    pub delivered_packets: u64,
    pub lost_packets: u64,
    /// From a packet's departure to its report.
    pub feedback_delay: Option<Duration>,
    /// The peer's own estimate, where it sends one.
    pub remb: Option<Bitrate>,
    /// What we send it at most, once its line has shown to carry no more.
    pub limit: Option<Bitrate>,
}

/// What leads to a slab key.
#[derive(Debug, Default)]
struct Index {
    peers: HashMap<PeerId, usize>,
    producers: HashMap<ProducerId, usize>,
    consumers: HashMap<ConsumerId, usize>,
    ufrags: HashMap<String, usize>,
    addresses: HashMap<SocketAddr, usize>,
    /// Where we sent checks to and have had no answer from.
    probed: HashMap<SocketAddr, usize>,
}

/// Media between arrival and departure.
#[derive(Debug, Default)]
struct FanOut {
    /// Producers of which something arrived since the last fan-out.
    dirty: Vec<usize>,
    /// Producers that are being sent.
    sending: Vec<usize>,
    /// Tracks on their way to subscribers, subscriber by subscriber.
    due: Vec<fan_out::Due>,
    /// How many of them have been served, and how many read ahead.
    next: usize,
    warm: usize,
    active: bool,
}

/// To and from other workers.
#[derive(Debug, Default)]
struct Links {
    out: VecDeque<(u8, Link)>,
    packets: VecDeque<(u8, Arc<LinkBatch>)>,
    pool: Pool,
    /// Who asked for a producer that signalling has not announced here yet.
    awaited: HashMap<ProducerId, Vec<u8>>,
}

/// Numbers that need to be different, not secret (xorshift64*).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Router")
            .field("worker", &self.worker)
            .field("peers", &self.peers.len())
            .field("producers", &self.producers.len())
            .field("consumers", &self.consumers.len())
            .finish_non_exhaustive()
    }
}

impl Router {
    /// A router for worker number `worker`. All transports show `certificate`; `seed` decides sequence
    /// numbers and tie-breaks.
    pub fn new(now: Time, config: Config, certificate: peer::Certificate, worker: u8, seed: u64) -> Self {
        Self {
            config,
            certificate,
            worker,
            random: Random(seed ^ 0x9e37_79b9_7f4a_7c15 | 1),
            peers: Slab::new(),
            producers: Slab::new(),
            consumers: Slab::new(),
            index: Index::default(),
            batch: FanOut::default(),
            links: Links::default(),
            events: VecDeque::new(),
            schedule: Schedule::default(),
            awake: VecDeque::new(),
            next_sweep: None,
            scratch: Vec::new(),
            ladders: Vec::new(),
            next_allocation: None,
            shedding: Shed::Nothing,
            counters: Counters::default(),
            began: now.mono,
        }
    }

    /// What happened, in order.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if self.events.len() == self.config.event_queue / 2 {
            self.read_stalled();
        }
        event
    }

    /// A message for the router of another worker (never this one), in order.
    pub fn poll_link(&mut self) -> Option<(u8, Link)> {
        self.links.out.pop_front()
    }

    /// Media for the router of another worker; call after [`Router::fan_out`] has said false. One batch is
    /// shared by all workers it goes to. Messages of [`Router::poll_link`] go before it.
    pub fn poll_link_packets(&mut self) -> Option<(u8, Arc<LinkBatch>)> {
        self.links.packets.pop_front()
    }

    /// Whether a peer of this router has passed a connectivity check with this far address (or has been
    /// sent one there), so that what comes from there is for this router.
    pub fn knows_address(&self, remote: SocketAddr) -> bool {
        self.index.addresses.contains_key(&remote) || self.index.probed.contains_key(&remote)
    }

    /// Whether a peer of this router has passed a connectivity check with this far address. Unlike
    /// [`Router::knows_address`], no signalling and no stranger can bring it about.
    pub fn owns_address(&self, remote: SocketAddr) -> bool {
        self.index.addresses.contains_key(&remote)
    }

    /// What was done and dropped so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How a peer is reached; `None` if it is not (or no longer) known here.
    pub fn peer_stats(&self, peer: PeerId) -> Option<PeerStats> {
        let sending = &self.peers.get(*self.index.peers.get(&peer)?)?.sending;
        let delivered = sending.gate.delivered();
        Some(PeerStats {
            round_trip: sending.round_trip(),
            delivered_bytes: delivered.bytes,
            delivered_packets: delivered.packets,
            lost_packets: delivered.lost,
            feedback_delay: delivered.delay,
            remb: sending.remb,
            limit: sending.budget.limit().map(Bitrate),
        })
    }

    /// Tells what is of no use late: with nobody taking events, it is left out.
    fn mention(&mut self, event: Event) {
        if self.events.len() < self.config.event_queue {
            self.events.push_back(event);
        }
    }

    /// See [`Egress::micros`](crate::consumer::Egress::micros).
    fn micros(&self, now: Time) -> u32 {
        now.since(self.began).as_micros() as u32
    }

    /// The peer may have something to send.
    fn wake(&mut self, key: usize) {
        if let Some(peer) = self.peers.get_mut(key)
            && !std::mem::replace(&mut peer.awake, true)
        {
            self.awake.push_back(key);
        }
    }
}
