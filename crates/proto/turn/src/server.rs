//! The server: what each message of a client or a peer leads to (RFC 8656).

mod nonce;
mod request;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clock::Time;

use crate::access::{Access, Granted};
use crate::allocation::Allocation;
use crate::framing::{channel_data, write_channel_data};
use crate::message::{Class, Message, Method, Writer, attribute};
use crate::policy::Policy;
use nonce::Nonces;

/// How a client reaches the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    Udp,
    Tcp,
    Tls,
}

/// A client's way to the server: RFC 8656's 5-tuple.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flow {
    pub client: SocketAddr,
    pub server: SocketAddr,
    pub transport: Transport,
}

/// An allocation's relay address as the driver knows it. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RelayId(pub u64);

/// What one server may give out.
#[derive(Debug, Clone)]
pub struct Config {
    pub realm: String,
    /// Allocations at once, and of one user.
    pub allocations: usize,
    pub per_user: usize,
    /// Lifetime given to who asks for none or less, RFC 8656 section 7.2.
    pub lifetime: Duration,
    /// And to who asks for more.
    pub lifetime_max: Duration,
    /// How long a nonce is good for.
    pub nonce_time: Duration,
    /// Whether relay addresses of these families can be had.
    pub v4: bool,
    pub v6: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            realm: "livekit".into(),
            allocations: 4096,
            per_user: 12,
            lifetime: Duration::from_secs(600),
            lifetime_max: Duration::from_secs(3600),
            nonce_time: Duration::from_secs(3600),
            v4: true,
            v6: false,
        }
    }
}

/// What a client's message leads to.
#[derive(Debug)]
pub enum Deed<'a> {
    /// Nothing; the counters say why.
    Nothing,
    /// What was written goes back to the client.
    Reply,
    /// These bytes leave from a relay address.
    Relay { relay: RelayId, peer: SocketAddr, data: &'a [u8] },
    /// A relay address is to be opened, and [`Server::finish`] to be told at once how that went.
    Allocate(Request),
}

/// A client that may have a relay address.
pub struct Request {
    /// Of an IPv6 address.
    pub v6: bool,
    /// The port has to be even.
    pub even: bool,
    flow: Flow,
    relay: RelayId,
    granted: Granted,
    username: String,
    transaction: [u8; 12],
    lifetime: Duration,
    fingerprint: bool,
}

impl Request {
    /// What the relay address is to be called.
    pub fn relay(&self) -> RelayId {
        self.relay
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Request({:?})", self.relay)
    }
}

/// What has happened since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Allocations made.
    pub allocated: u64,
    /// Requests refused: no or wrong credentials; a stale nonce; a quota; a forbidden peer; anything else.
    pub unauthorized: u64,
    pub stale: u64,
    pub quota: u64,
    pub forbidden: u64,
    pub refused: u64,
    /// Not TURN at all.
    pub malformed: u64,
    /// Datagrams relayed to peers and from them, and their bytes.
    pub to_peers: u64,
    pub to_peers_bytes: u64,
    pub from_peers: u64,
    pub from_peers_bytes: u64,
    /// Datagrams without permission, from either side.
    pub unpermitted: u64,
}

/// The server.
#[derive(Debug)]
pub struct Server {
    config: Config,
    access: Access,
    policy: Policy,
    nonces: Nonces,
    allocations: HashMap<Flow, Allocation>,
    flows: HashMap<RelayId, Flow>,
    users: HashMap<String, usize>,
    closed: VecDeque<RelayId>,
    next: u64,
    counters: Counters,
}

impl Server {
    /// `seed` keeps nonces from being made up: it has to be a secret.
    pub fn new(config: Config, access: Access, policy: Policy, seed: [u8; 32]) -> Self {
        Self {
            nonces: Nonces::new(&seed, config.nonce_time),
            config,
            access,
            policy,
            allocations: HashMap::new(),
            flows: HashMap::new(),
            users: HashMap::new(),
            closed: VecDeque::new(),
            next: 0,
            counters: Counters::default(),
        }
    }

    /// Other secrets and other rules from now on; allocations that exist stay.
    pub fn apply(&mut self, access: Access, policy: Policy) {
        self.access = access;
        self.policy = policy;
    }

    /// What has happened.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Allocations at the moment.
    pub fn allocations(&self) -> usize {
        self.allocations.len()
    }

    /// Whether a client has an allocation.
    pub fn has_allocation(&self, flow: Flow) -> bool {
        self.allocations.contains_key(&flow)
    }

    /// A message of a client. What goes back to it is written into `out`, whose former content is lost.
    pub fn from_client<'a>(
        &mut self,
        now: Time,
        flow: Flow,
        message: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Deed<'a> {
        out.clear();
        if message.first().is_some_and(|first| *first >= 0x40) {
            return self.on_channel(now.mono, flow, message);
        }
        let Ok(message) = Message::parse(message) else {
            self.counters.malformed += 1;
            return Deed::Nothing;
        };
        match (message.class, message.method) {
            (Class::Request, Method::Binding) => {
                let writer = Writer::new(out, Method::Binding, Class::Success, message.transaction());
                writer
                    .address(attribute::XOR_MAPPED_ADDRESS, flow.client)
                    .finish(None, message.has_fingerprint);
                Deed::Reply
            }
            (Class::Request, _) => self.on_request(now, flow, &message, out),
            (Class::Indication, Method::Send) => self.on_send(now.mono, flow, &message),
            // A binding indication keeps a NAT open and is no mistake.
            (Class::Indication, Method::Binding) => Deed::Nothing,
            _ => {
                self.counters.malformed += 1;
                Deed::Nothing
            }
        }
    }

    /// Carries out what [`Deed::Allocate`] asked for: `relayed` is the address as the world sees it, or nothing if
    /// none could be had. The answer is in `out`.
    pub fn finish(&mut self, now: Time, request: Request, relayed: Option<SocketAddr>, out: &mut Vec<u8>) {
        out.clear();
        let Request { flow, relay, granted, username, transaction, lifetime, fingerprint, .. } = request;
        let Some(relayed) = relayed.filter(|_| !self.allocations.contains_key(&flow)) else {
            self.counters.refused += 1;
            let writer = Writer::new(out, Method::Allocate, Class::Error, transaction);
            return writer.error(508, "Insufficient Capacity").finish(Some(&granted.key), fingerprint);
        };
        self.counters.allocated += 1;
        *self.users.entry(granted.user.clone()).or_default() += 1;
        let expires = now.mono + lifetime;
        let allocation = Allocation::new(relay, relayed, granted, username, (transaction, expires));
        self.flows.insert(relay, flow);
        write_allocated(&allocation, now.mono, flow, fingerprint, out);
        self.allocations.insert(flow, allocation);
    }

    /// A datagram that came to a relay address. If it may go on, what goes to the client is in `out`.
    pub fn from_peer(
        &mut self,
        now: Time,
        relay: RelayId,
        peer: SocketAddr,
        data: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<Flow> {
        out.clear();
        let flow = *self.flows.get(&relay)?;
        let allocation = self.allocations.get(&flow)?;
        if now.mono >= allocation.expires || !allocation.permits(now.mono, peer.ip()) {
            self.counters.unpermitted += 1;
            return None;
        }
        self.counters.from_peers += 1;
        self.counters.from_peers_bytes += data.len() as u64;
        match allocation.channel_of(now.mono, peer) {
            Some(channel) => {
                let padded = flow.transport != Transport::Udp;
                write_channel_data(out, channel, data, padded).then_some(flow)
            }
            None => {
                self.next = self.next.wrapping_add(1);
                // Nobody answers an indication: its transaction need not be unforeseeable.
                let mut transaction = [0; 12];
                transaction[4..].copy_from_slice(&self.next.to_be_bytes());
                Writer::new(out, Method::Data, Class::Indication, transaction)
                    .address(attribute::XOR_PEER_ADDRESS, peer)
                    .attribute(attribute::DATA, data)
                    .finish(None, false);
                Some(flow)
            }
        }
    }

    /// A client's connection has ended, and its allocation with it (RFC 8656 section 6).
    pub fn gone(&mut self, flow: Flow) {
        self.remove(flow);
    }

    /// Relay addresses to close.
    pub fn poll_closed(&mut self) -> Option<RelayId> {
        self.closed.pop_front()
    }

    /// Lets expire what is to.
    pub fn handle_timeout(&mut self, now: Time) {
        let expired = self.allocations.iter().filter(|(_, a)| now.mono >= a.expires).map(|(flow, _)| *flow);
        for flow in expired.collect::<Vec<_>>() {
            self.remove(flow);
        }
        for allocation in self.allocations.values_mut() {
            allocation.forget(now.mono);
        }
    }

    /// When the next allocation expires.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.allocations.values().map(|allocation| allocation.expires).min()
    }

    fn remove(&mut self, flow: Flow) {
        let Some(allocation) = self.allocations.remove(&flow) else { return };
        self.flows.remove(&allocation.relay);
        self.closed.push_back(allocation.relay);
        if let Some(count) = self.users.get_mut(&allocation.user) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.users.remove(&allocation.user);
            }
        }
    }

    fn on_channel<'a>(&mut self, now: Instant, flow: Flow, message: &'a [u8]) -> Deed<'a> {
        let Some((channel, data)) = channel_data(message) else {
            self.counters.malformed += 1;
            return Deed::Nothing;
        };
        let live = self.allocations.get(&flow).filter(|a| now < a.expires);
        match live.and_then(|a| Some((a.relay, a.peer_of(now, channel)?))) {
            Some((relay, peer)) => self.relay(relay, peer, data),
            None => {
                self.counters.unpermitted += 1;
                Deed::Nothing
            }
        }
    }

    /// RFC 8656 section 11.2.
    fn on_send<'a>(&mut self, now: Instant, flow: Flow, message: &Message<'a>) -> Deed<'a> {
        let known = |kind| matches!(kind, attribute::XOR_PEER_ADDRESS | attribute::DATA);
        if message.attributes().any(|(kind, _)| kind < attribute::OPTIONAL && !known(kind)) {
            // Nobody hears of it (RFC 8489 section 6.3.2): a datagram that must not be fragmented, above all.
            self.counters.malformed += 1;
            return Deed::Nothing;
        }
        let peer = message.address(attribute::XOR_PEER_ADDRESS);
        let (Some(peer), Some(data)) = (peer, message.attribute(attribute::DATA)) else {
            self.counters.malformed += 1;
            return Deed::Nothing;
        };
        let live = self.allocations.get(&flow).filter(|a| now < a.expires);
        match live.filter(|a| a.permits(now, peer.ip())).map(|a| a.relay) {
            // A permission is for an address; this server's own is good at its media ports alone.
            Some(relay) if self.policy.admits(peer) => self.relay(relay, peer, data),
            Some(_) => {
                self.counters.forbidden += 1;
                Deed::Nothing
            }
            None => {
                self.counters.unpermitted += 1;
                Deed::Nothing
            }
        }
    }

    fn relay<'a>(&mut self, relay: RelayId, peer: SocketAddr, data: &'a [u8]) -> Deed<'a> {
        self.counters.to_peers += 1;
        self.counters.to_peers_bytes += data.len() as u64;
        Deed::Relay { relay, peer, data }
    }
}

/// RFC 8656 section 7.2, success.
fn write_allocated(allocation: &Allocation, now: Instant, flow: Flow, fingerprint: bool, out: &mut Vec<u8>) {
    let lifetime = allocation.expires.saturating_duration_since(now).as_secs() as u32;
    Writer::new(out, Method::Allocate, Class::Success, allocation.transaction)
        .address(attribute::XOR_RELAYED_ADDRESS, allocation.relayed)
        .address(attribute::XOR_MAPPED_ADDRESS, flow.client)
        .attribute(attribute::LIFETIME, &lifetime.to_be_bytes())
        .attribute(attribute::SOFTWARE, b"Millrace")
        .finish(Some(&allocation.key), fingerprint);
}

#[cfg(test)]
mod tests;
