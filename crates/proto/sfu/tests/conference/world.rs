//! Routers and clients in virtual time, with a network between them that can lose.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use clock::Time;
use peer::{Certificate, Credentials, DtlsRole, LocalTransport, RemoteTransport, SctpRemote};
use sfu::{Command, Config, Event, Outbox, PeerId, Router, id_on};

use crate::client::Client;

pub(crate) fn certificate() -> &'static Certificate {
    static CERTIFICATE: OnceLock<Certificate> = OnceLock::new();
    CERTIFICATE.get_or_init(|| Certificate::generate().unwrap())
}

/// What the network does with a datagram from a router (the sender's worker and the receiver's client).
pub(crate) type Fate = Box<dyn FnMut(usize, &[u8]) -> bool>;

pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) routers: Vec<Router>,
    pub(crate) clients: Vec<Client>,
    pub(crate) events: Vec<Vec<Event>>,
    /// Says of each datagram to a client whether it is lost.
    pub(crate) lose_down: Fate,
    /// GSO runs that left in fan-outs: (segment, count).
    pub(crate) runs: Vec<(usize, usize)>,
    outboxes: Vec<Outbox>,
    to_router: VecDeque<(usize, SocketAddr, Vec<u8>)>,
    /// Held back on their way between workers.
    pub(crate) hold_links: bool,
    /// Clients' transports rest: no checks, no timers, only what a test sends.
    pub(crate) rest: bool,
    /// Allocations in all calls into routers so far.
    pub(crate) allocations: u64,
}

/// Makes a call into a router and adds what it allocates to `total`.
fn counted<T>(total: &mut u64, call: impl FnOnce() -> T) -> T {
    let mut result = None;
    let info = allocation_counter::measure(|| result = Some(call()));
    *total += info.count_total;
    result.unwrap()
}

pub(crate) fn address_of(worker: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 7000 + worker as u16))
}

impl World {
    pub(crate) fn new(workers: usize) -> Self {
        Self::with(workers, Config::default())
    }

    pub(crate) fn with(workers: usize, config: Config) -> Self {
        let now = Time { mono: Instant::now(), unix: Duration::from_secs(1_800_000_000) };
        let router =
            |w: usize| Router::new(now, config.clone(), certificate().clone(), w as u8, 42 + w as u64);
        Self {
            now,
            routers: (0..workers).map(router).collect(),
            clients: Vec::new(),
            events: vec![Vec::new(); workers],
            lose_down: Box::new(|_, _| false),
            runs: Vec::new(),
            outboxes: (0..workers).map(|_| Outbox::new(256 << 10)).collect(),
            to_router: VecDeque::new(),
            hold_links: false,
            rest: false,
            allocations: 0,
        }
    }

    /// A client whose home is `worker`, connected; its index.
    pub(crate) fn join(&mut self, worker: usize) -> usize {
        self.join_with(worker, peer::Config::default())
    }

    pub(crate) fn join_with(&mut self, worker: usize, config: peer::Config) -> usize {
        let n = self.clients.len();
        let id = PeerId(id_on(worker as u8, n as u64 + 1));
        let far = SocketAddr::from(([10, 0, 0, n as u8 + 1], 5000));
        let ours = Credentials { ufrag: format!("server{n:04}"), pwd: "p".repeat(24) };
        let theirs = Credentials { ufrag: format!("client{n:04}"), pwd: "q".repeat(24) };
        let host = |addr| peer::Candidate {
            carrier: peer::Carrier::Udp,
            kind: peer::CandidateKind::Host,
            addr,
            priority: 1_000_000,
            foundation: "1".into(),
        };
        let local = LocalTransport {
            credentials: ours.clone(),
            ice_lite: true,
            controlling: false,
            candidates: vec![host(address_of(worker))],
        };
        let description = |credentials, lite, dtls_role, addr| RemoteTransport {
            credentials,
            ice_lite: lite,
            fingerprints: vec![certificate().fingerprint()],
            dtls_role,
            candidates: vec![host(addr)],
            sctp: Some(SctpRemote { port: 5000, max_message_size: 65_536 }),
        };
        let now = self.now;
        self.routers[worker].handle_command(now, Command::OpenPeer { peer: id, local });
        let remote = description(theirs.clone(), false, DtlsRole::Server, far);
        self.routers[worker].handle_command(now, Command::SetRemote { peer: id, remote });
        let local = LocalTransport {
            credentials: theirs,
            ice_lite: false,
            controlling: true,
            candidates: vec![host(far)],
        };
        let mut transport = peer::Transport::new(now, local, certificate(), &config, n as u64);
        transport.set_remote(now, &description(ours, true, DtlsRole::Client, address_of(worker)));
        self.clients.push(Client::new(id, worker, far, transport));
        for _ in 0..500 {
            self.run(10);
            if self.events[worker].contains(&Event::Connected { peer: id }) && self.clients[n].keys.is_some()
            {
                return n;
            }
        }
        panic!("client {n} does not connect: {:?}", self.routers[worker].counters());
    }

    pub(crate) fn command(&mut self, worker: usize, command: Command) {
        self.routers[worker].handle_command(self.now, command);
    }

    /// A client's packet goes up.
    pub(crate) fn up(&mut self, client: usize, datagram: Vec<u8>) {
        let c = &self.clients[client];
        self.to_router.push_back((c.worker, c.address, datagram));
    }

    /// Lets everything happen that happens now.
    pub(crate) fn settle(&mut self) {
        for _ in 0..1000 {
            let mut moved = false;
            let polled = if self.rest { 0 } else { self.clients.len() };
            for n in 0..polled {
                while let Some(datagram) = self.clients[n].poll(self.now) {
                    self.up(n, datagram);
                }
            }
            while let Some((worker, from, mut datagram)) = self.to_router.pop_front() {
                let router = &mut self.routers[worker];
                counted(&mut self.allocations, || {
                    router.handle_datagram(self.now, address_of(worker), from, &mut datagram);
                });
                moved = true;
            }
            for worker in 0..self.routers.len() {
                moved |= self.turn(worker);
            }
            if !moved {
                return;
            }
        }
        panic!("never quiet");
    }

    fn turn(&mut self, worker: usize) -> bool {
        let now = self.now;
        let mut moved = false;
        let mut outbox = std::mem::replace(&mut self.outboxes[worker], Outbox::new(0));
        loop {
            let router = &mut self.routers[worker];
            let more = counted(&mut self.allocations, || router.fan_out(now, &mut outbox));
            self.runs.extend(outbox.runs(64).map(|r| (r.segment, r.count)));
            moved |= self.deliver(&mut outbox);
            if !more {
                break;
            }
        }
        loop {
            let router = &mut self.routers[worker];
            let more = counted(&mut self.allocations, || router.poll_transmit(now, &mut outbox));
            moved |= self.deliver(&mut outbox);
            if !more {
                break;
            }
        }
        self.outboxes[worker] = outbox;
        while let Some(event) = self.routers[worker].poll_event() {
            self.events[worker].push(event);
        }
        if self.hold_links {
            return moved;
        }
        moved | self.cross(worker)
    }

    /// Carries what a worker has for others.
    pub(crate) fn cross(&mut self, worker: usize) -> bool {
        let mut moved = false;
        while let Some((to, link)) = self.routers[worker].poll_link() {
            assert_ne!(usize::from(to), worker);
            let router = &mut self.routers[usize::from(to)];
            counted(&mut self.allocations, || router.handle_link(self.now, worker as u8, link));
            moved = true;
        }
        while let Some((to, batch)) = self.routers[worker].poll_link_packets() {
            let router = &mut self.routers[usize::from(to)];
            counted(&mut self.allocations, || {
                router.handle_link_packets(self.now, worker as u8, &batch);
                drop(batch);
            });
            moved = true;
        }
        moved
    }

    fn deliver(&mut self, outbox: &mut Outbox) -> bool {
        let moved = !outbox.is_empty();
        for entry in outbox.entries() {
            let to = self.clients.iter().position(|c| c.address == outbox.path(entry).remote);
            let Some(to) = to else { continue };
            let datagram = outbox.payload(entry).to_vec();
            if !(self.lose_down)(to, &datagram) {
                self.clients[to].take(self.now, outbox.path(entry).local, datagram);
            }
        }
        outbox.clear();
        moved
    }

    /// Lets `ms` milliseconds go by.
    pub(crate) fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.settle();
            self.now = self.now.after(Duration::from_millis(1));
            for router in &mut self.routers {
                if router.poll_timeout().is_some_and(|at| at <= self.now.mono) {
                    counted(&mut self.allocations, || router.handle_timeout(self.now));
                }
            }
            for client in self.clients.iter_mut().filter(|_| !self.rest) {
                client.timeout(self.now);
            }
        }
        self.settle();
    }

    pub(crate) fn counters(&self, worker: usize) -> sfu::Counters {
        *self.routers[worker].counters()
    }
}
