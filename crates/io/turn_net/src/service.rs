//! The service: what was configured, what runs, and what a message leads to.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use clock::Time;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use turn::{Access, Counters, Deed, Flow, Policy, RelayId, Server, Transport};

use crate::clients;
use crate::relays::{self, Relay};

/// Time between two looks for what has expired.
const TICK: Duration = Duration::from_secs(1);

/// One of this server's own media addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    /// As clients are told.
    pub told: SocketAddr,
    /// Where it is reached from within the machine.
    pub inside: SocketAddr,
}

/// Where the service listens and what it relays from.
#[derive(Clone)]
pub struct Config {
    /// One socket each: an answer leaves from the address that was asked.
    pub udp: Vec<SocketAddr>,
    pub tcp: Vec<SocketAddr>,
    pub tls: Vec<SocketAddr>,
    /// For `tls`.
    pub acceptor: Option<TlsAcceptor>,
    /// What relay addresses are called, by family.
    pub relay_v4: Option<IpAddr>,
    pub relay_v6: Option<IpAddr>,
    /// Ports of relay addresses.
    pub relay_ports: RangeInclusive<u16>,
    /// This server's own media.
    pub own: Vec<Own>,
    /// Connections over TCP and TLS at once.
    pub connections: usize,
    /// The machine's.
    pub turn: turn::Config,
}

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for TURN on {what} {addr}: {source}")]
pub struct StartError {
    what: &'static str,
    addr: SocketAddr,
    source: io::Error,
}

/// What has happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    pub turn: Counters,
    /// Allocations and connections at the moment.
    pub allocations: usize,
    pub connections: usize,
    /// Datagrams that a socket or a slow client did not take.
    pub dropped: u64,
    /// Connections refused: too many, too slow, or no TURN.
    pub refused: u64,
}

/// A running service; clones are the same one.
#[derive(Clone)]
pub struct Service(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) config: Config,
    state: Mutex<State>,
    udp: Vec<(SocketAddr, Arc<UdpSocket>)>,
    dropped: AtomicU64,
    pub(crate) refused: AtomicU64,
}

pub(crate) struct State {
    pub(crate) server: Server,
    pub(crate) relays: HashMap<RelayId, Relay>,
    /// What goes to clients with connections.
    pub(crate) streams: HashMap<Flow, mpsc::Sender<Bytes>>,
    /// Connections without an allocation, by address.
    pub(crate) strangers: HashMap<IpAddr, usize>,
}

impl Service {
    /// Binds every address and serves until `stopped` is true. `seed` is a secret.
    pub async fn start(
        config: Config,
        access: Access,
        policy: Policy,
        seed: [u8; 32],
        stopped: watch::Receiver<bool>,
    ) -> Result<Self, StartError> {
        let mut udp = Vec::new();
        for addr in &config.udp {
            let socket = UdpSocket::bind(addr).await.map_err(at("UDP", *addr))?;
            let local = socket.local_addr().map_err(at("UDP", *addr))?;
            udp.push((local, Arc::new(socket)));
        }
        let mut listeners = Vec::new();
        for (addr, transport) in config
            .tcp
            .iter()
            .map(|addr| (*addr, Transport::Tcp))
            .chain(config.tls.iter().map(|addr| (*addr, Transport::Tls)))
        {
            let listener = TcpListener::bind(addr).await.map_err(at("TCP", addr))?;
            listeners.push((listener, transport));
        }
        let state = State {
            server: Server::new(config.turn.clone(), access, policy, seed),
            relays: HashMap::new(),
            streams: HashMap::new(),
            strangers: HashMap::new(),
        };
        let shared = Arc::new(Shared {
            config,
            state: Mutex::new(state),
            udp,
            dropped: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        });
        for (local, socket) in &shared.udp {
            let serve = clients::serve_udp(Arc::clone(&shared), *local, Arc::clone(socket));
            tokio::spawn(until(stopped.clone(), serve));
        }
        for (listener, transport) in listeners {
            let serve = clients::serve_streams(Arc::clone(&shared), listener, transport, stopped.clone());
            tokio::spawn(until(stopped.clone(), serve));
        }
        tokio::spawn(tick(Arc::clone(&shared), stopped));
        Ok(Self(shared))
    }

    /// Where clients over UDP are served, with real ports.
    pub fn udp_addresses(&self) -> Vec<SocketAddr> {
        self.0.udp.iter().map(|(addr, _)| *addr).collect()
    }

    /// Other secrets and other rules from now on.
    pub fn apply(&self, access: Access, policy: Policy) {
        self.0.lock().server.apply(access, policy);
    }

    /// What has happened.
    pub fn stats(&self) -> Stats {
        let state = self.0.lock();
        Stats {
            turn: state.server.counters(),
            allocations: state.server.allocations(),
            connections: state.streams.len(),
            dropped: self.0.dropped.load(Ordering::Relaxed),
            refused: self.0.refused.load(Ordering::Relaxed),
        }
    }
}

fn at(what: &'static str, addr: SocketAddr) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError { what, addr, source }
}

/// Runs `serve` until the service is to stop.
async fn until(mut stopped: watch::Receiver<bool>, serve: impl Future<Output = ()>) {
    tokio::select! {
        () = serve => {}
        _ = stopped.wait_for(|stop| *stop) => {}
    }
}

async fn tick(shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let mut interval = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            _ = interval.tick() => {
                let mut state = shared.lock();
                state.server.handle_timeout(now());
                state.close_ended();
            }
            _ = stopped.wait_for(|stop| *stop) => break,
        }
    }
    // Relay sockets hold their tasks, and those this service.
    shared.lock().relays.clear();
}

/// Both clocks.
pub(crate) fn now() -> Time {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time { mono: Instant::now(), unix }
}

impl Shared {
    /// Held for one message, and never over a wait.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message of a client. `out` is memory to write answers in.
    pub(crate) fn from_client(self: &Arc<Self>, flow: Flow, message: &[u8], out: &mut Vec<u8>) {
        let mut state = self.lock();
        match state.server.from_client(now(), flow, message, out) {
            Deed::Nothing => {}
            Deed::Reply => self.reply(&state, flow, out),
            Deed::Relay { relay, peer, data } => {
                let sent = state.relays.get(&relay).is_some_and(|relay| relay.send(self.inside(peer), data));
                self.count_dropped(sent);
            }
            Deed::Allocate(request) => {
                let id = request.relay();
                let opened = relays::open(self, id, request.v6, request.even);
                let relayed = opened.as_ref().map(|(_, relayed)| *relayed);
                state.server.finish(now(), request, relayed, out);
                if let Some((relay, _)) = opened {
                    state.relays.insert(id, relay);
                }
                self.reply(&state, flow, out);
            }
        }
        state.close_ended();
    }

    /// A datagram that came to a relay address.
    pub(crate) fn on_datagram(&self, relay: RelayId, peer: SocketAddr, data: &[u8], out: &mut Vec<u8>) {
        let mut state = self.lock();
        if let Some(flow) = state.server.from_peer(now(), relay, self.told(peer), data, out) {
            self.reply(&state, flow, out);
        }
    }

    fn reply(&self, state: &State, flow: Flow, message: &[u8]) {
        let sent = match flow.transport {
            Transport::Udp => {
                let socket = self.udp.iter().find(|(local, _)| *local == flow.server);
                socket.is_some_and(|(_, socket)| socket.try_send_to(message, flow.client).is_ok())
            }
            Transport::Tcp | Transport::Tls => state
                .streams
                .get(&flow)
                .is_some_and(|stream| stream.try_send(Bytes::copy_from_slice(message)).is_ok()),
        };
        self.count_dropped(sent);
    }

    fn count_dropped(&self, sent: bool) {
        self.dropped.fetch_add(u64::from(!sent), Ordering::Relaxed);
    }

    /// Where a peer is reached, if it is this server.
    fn inside(&self, peer: SocketAddr) -> SocketAddr {
        self.own(peer, |own| (own.told, own.inside))
    }

    /// What a peer is called, if it is this server.
    fn told(&self, peer: SocketAddr) -> SocketAddr {
        self.own(peer, |own| (own.inside, own.told))
    }

    /// A media address of ours by its other name; so for other clients' relay addresses, whose ports stay.
    fn own(&self, peer: SocketAddr, names: impl Fn(&Own) -> (SocketAddr, SocketAddr)) -> SocketAddr {
        let mut all = self.config.own.iter().map(names);
        if self.config.relay_ports.contains(&peer.port()) {
            let other = all.find(|(name, _)| name.ip() == peer.ip()).map(|(_, other)| other.ip());
            return SocketAddr::new(other.unwrap_or(peer.ip()), peer.port());
        }
        all.find(|(name, _)| *name == peer).map_or(peer, |(_, other)| other)
    }
}

impl State {
    /// Closes the relay addresses whose allocations have ended.
    pub(crate) fn close_ended(&mut self) {
        while let Some(relay) = self.server.poll_closed() {
            self.relays.remove(&relay);
        }
    }
}

#[cfg(test)]
mod tests;
