//! Two transports on a seeded link in virtual time.

#![expect(clippy::needless_range_loop, reason = "an end goes by its index")]

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use clock::Time;
use rand::rngs::{SmallRng, StdRng};
use rand::{Rng, SeedableRng};

use crate::{
    Candidate, CandidateKind, Carrier, Certificate, Class, Config, Credentials, DtlsRole, Event,
    LocalTransport, RemoteTransport, SctpRemote, Transport, classify, plain_address,
};

/// Making one takes a millisecond; every test uses the same two.
pub(crate) fn certificate(index: usize) -> &'static Certificate {
    static CERTIFICATES: OnceLock<[Certificate; 2]> = OnceLock::new();
    &CERTIFICATES.get_or_init(|| [0, 1].map(|_| Certificate::generate().unwrap()))[index]
}

/// A start for virtual time.
#[expect(clippy::disallowed_methods, reason = "an Instant has no other origin")]
pub(crate) fn start() -> Time {
    Time { mono: Instant::now(), unix: Duration::from_secs(1_700_000_000) }
}

pub(crate) fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn host(carrier: Carrier, addr: SocketAddr) -> Candidate {
    Candidate { kind: CandidateKind::Host, carrier, addr, priority: 2_130_706_431, foundation: "1".into() }
}

/// How one end is set up.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) lite: bool,
    pub(crate) controlling: bool,
    pub(crate) dtls: DtlsRole,
    pub(crate) carrier: Carrier,
    pub(crate) addrs: Vec<SocketAddr>,
    pub(crate) config: Config,
    pub(crate) sctp: bool,
    /// Told to the far end at once, not trickled.
    pub(crate) tells_candidates: bool,
}

impl Setup {
    /// What our server is: lite, controlled, DTLS server.
    pub(crate) fn server() -> Self {
        Self {
            lite: true,
            controlling: false,
            dtls: DtlsRole::Server,
            carrier: Carrier::Udp,
            addrs: vec![addr("192.0.2.1:7882")],
            config: Config::default(),
            sctp: true,
            tells_candidates: true,
        }
    }

    /// What a browser is: full, controlling, DTLS client, its candidates unknown to the server.
    pub(crate) fn browser() -> Self {
        Self {
            lite: false,
            controlling: true,
            dtls: DtlsRole::Client,
            carrier: Carrier::Udp,
            addrs: vec![addr("198.51.100.7:50000")],
            config: Config::default(),
            sctp: true,
            tells_candidates: false,
        }
    }

    fn candidates(&self) -> Vec<Candidate> {
        self.addrs.iter().map(|addr| host(self.carrier, *addr)).collect()
    }
}

pub(crate) struct End {
    pub(crate) transport: Transport,
    pub(crate) credentials: Credentials,
    pub(crate) setup: Setup,
    pub(crate) events: Vec<Event>,
    /// Sends and receives nothing.
    pub(crate) silent: bool,
    /// Packets from the first address leave from, and come back to, the second: a NAT.
    pub(crate) nat: Option<(SocketAddr, SocketAddr)>,
}

impl End {
    pub(crate) fn has(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(wanted)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.transport.is_connected()
    }

    pub(crate) fn description(&self, index: usize) -> RemoteTransport {
        RemoteTransport {
            credentials: self.credentials.clone(),
            ice_lite: self.setup.lite,
            fingerprints: vec![certificate(index).fingerprint()],
            dtls_role: match self.setup.dtls {
                DtlsRole::Client => DtlsRole::Server,
                DtlsRole::Server => DtlsRole::Client,
            },
            candidates: if self.setup.tells_candidates { self.setup.candidates() } else { Vec::new() },
            sctp: self
                .setup
                .sctp
                .then_some(SctpRemote { port: 5000, max_message_size: self.setup.config.max_message_size }),
        }
    }
}

/// A datagram under way.
pub(crate) struct Flight {
    pub(crate) due: Instant,
    pub(crate) order: u64,
    pub(crate) to_end: usize,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

impl Flight {
    /// The same way, with nothing in it.
    pub(crate) fn copied(&self) -> Self {
        Self { bytes: Vec::new(), ..*self }
    }
}

/// What the link does to a datagram; may change it. False loses it.
type Tamper = Box<dyn FnMut(usize, &mut Vec<u8>) -> bool>;

pub(crate) struct Net {
    pub(crate) now: Time,
    pub(crate) ends: [End; 2],
    pub(crate) rng: SmallRng,
    /// Share of datagrams lost.
    pub(crate) loss: f64,
    /// Share of datagrams that come twice.
    pub(crate) duplicates: f64,
    pub(crate) delay: Duration,
    /// Up to this much more, so that datagrams overtake each other.
    pub(crate) jitter: Duration,
    pub(crate) tamper: Option<Tamper>,
    pub(crate) flights: Vec<Flight>,
    order: u64,
    /// Datagrams that an end refused.
    pub(crate) rejects: usize,
}

impl Net {
    /// Two ends that do not know of each other yet.
    pub(crate) fn new(seed: u64, setups: [Setup; 2]) -> Self {
        let now = start();
        let mut rng = StdRng::seed_from_u64(seed);
        let mut index = 0;
        let ends = setups.map(|setup| {
            let credentials = Credentials::generate(0, &mut rng);
            let local = LocalTransport {
                credentials: credentials.clone(),
                ice_lite: setup.lite,
                controlling: setup.controlling,
                candidates: setup.candidates(),
            };
            let transport = Transport::new(now, local, certificate(index), &setup.config, rng.random());
            index += 1;
            End { transport, credentials, setup, events: Vec::new(), silent: false, nat: None }
        });
        Self {
            now,
            ends,
            rng: SmallRng::seed_from_u64(seed),
            loss: 0.0,
            duplicates: 0.0,
            delay: Duration::from_millis(10),
            jitter: Duration::ZERO,
            tamper: None,
            flights: Vec::new(),
            order: 0,
            rejects: 0,
        }
    }

    /// Two ends that have been described to each other.
    pub(crate) fn described(seed: u64, setups: [Setup; 2]) -> Self {
        let mut net = Self::new(seed, setups);
        net.describe(0, 1);
        net.describe(1, 0);
        net
    }

    /// A server and a browser, connected.
    pub(crate) fn connected(seed: u64) -> Self {
        let mut net = Self::described(seed, [Setup::server(), Setup::browser()]);
        net.connect();
        net
    }

    /// Tells `to` about `from`.
    pub(crate) fn describe(&mut self, from: usize, to: usize) {
        let description = self.ends[from].description(from);
        self.ends[to].transport.set_remote(self.now, &description);
    }

    pub(crate) fn connect(&mut self) {
        self.run("both connected", Duration::from_secs(30), |net| net.ends.iter().all(End::is_connected));
    }

    /// Runs until `done`, which must come within `limit`.
    pub(crate) fn run(&mut self, what: &str, limit: Duration, done: impl Fn(&Self) -> bool) {
        let end = self.now.mono + limit;
        while !done(self) {
            assert!(self.step(end), "not within {limit:?}: {what}; events {:?}", self.events());
        }
    }

    /// Runs for as long as `d`, whatever happens.
    pub(crate) fn run_for(&mut self, d: Duration) {
        let end = self.now.mono + d;
        while self.step(end) {}
    }

    fn events(&self) -> [Vec<String>; 2] {
        [0, 1].map(|i| self.ends[i].events.iter().map(|e| format!("{e:?}")).collect())
    }

    /// Moves to the next thing that happens before `end`; false if there is none: then it is `end`.
    pub(crate) fn step(&mut self, end: Instant) -> bool {
        self.poll();
        let flight = self.flights.iter().map(|f| f.due).min();
        let timers = [0, 1].map(|i| {
            let end = &mut self.ends[i];
            if end.silent { None } else { end.transport.poll_timeout() }
        });
        let next = timers.into_iter().chain([flight]).flatten().min();
        let Some(next) = next.filter(|at| *at < end) else {
            self.now = self.now.after(end.saturating_duration_since(self.now.mono));
            return false;
        };
        // A timer may lie in the past: it is late by at least a tick.
        let step = next.saturating_duration_since(self.now.mono).max(Duration::from_micros(100));
        self.now = self.now.after(step);
        self.deliver();
        for i in 0..2 {
            if timers[i].is_some_and(|at| at <= self.now.mono) {
                self.ends[i].transport.handle_timeout(self.now);
            }
        }
        self.poll();
        true
    }

    fn deliver(&mut self) {
        let mut due: Vec<Flight> = Vec::new();
        let mut i = 0;
        while i < self.flights.len() {
            if self.flights[i].due <= self.now.mono {
                due.push(self.flights.swap_remove(i));
            } else {
                i += 1;
            }
        }
        due.sort_by_key(|f| (f.due, f.order));
        for flight in due {
            self.hand_in(&flight);
        }
    }

    /// Gives a datagram to its end.
    pub(crate) fn hand_in(&mut self, flight: &Flight) {
        let end = &mut self.ends[flight.to_end];
        let to = match end.nat {
            _ if end.silent => return,
            Some((inside, outside)) if flight.to == outside => inside,
            // Behind a NAT nobody is reached directly.
            Some((inside, _)) if flight.to == inside => return,
            _ => flight.to,
        };
        if !end.setup.addrs.contains(&to) {
            return;
        }
        let result = match classify(*flight.bytes.first().unwrap_or(&255)) {
            Class::Stun => end.transport.handle_stun(self.now, flight.from, to, &flight.bytes),
            Class::Dtls => end.transport.handle_dtls(self.now, flight.from, to, &flight.bytes),
            _ => return,
        };
        self.rejects += usize::from(result.is_err());
    }

    /// Takes out what the ends have to send and to tell.
    pub(crate) fn poll(&mut self) {
        let mut buf = [0; 1500];
        for i in 0..2 {
            while let Some(transmit) = self.ends[i].transport.poll_transmit(self.now, &mut buf) {
                assert!(transmit.len <= 1200, "a datagram of {} bytes", transmit.len);
                let nat = self.ends[i].nat;
                let from = nat.filter(|(inside, _)| *inside == transmit.from).map_or(transmit.from, |n| n.1);
                if !self.ends[i].silent {
                    assert_eq!(Carrier::of(transmit.to), self.ends[i].setup.carrier);
                    let from = self.ends[i].setup.carrier.mark(from);
                    self.send(i, from, plain_address(transmit.to), buf[..transmit.len].to_vec());
                }
            }
            while let Some(event) = self.ends[i].transport.poll_event() {
                self.ends[i].events.push(event);
            }
        }
    }

    fn send(&mut self, from_end: usize, from: SocketAddr, to: SocketAddr, mut bytes: Vec<u8>) {
        let copies = 1 + usize::from(self.rng.random_bool(self.duplicates));
        let keep = match &mut self.tamper {
            Some(tamper) => tamper(from_end, &mut bytes),
            None => true,
        };
        for _ in 0..copies {
            let lost = self.rng.random_bool(self.loss);
            let jitter = self.jitter.mul_f64(self.rng.random());
            if keep && !lost {
                self.order += 1;
                self.flights.push(Flight {
                    due: self.now.mono + self.delay + jitter,
                    order: self.order,
                    to_end: 1 - from_end,
                    from,
                    to,
                    bytes: bytes.clone(),
                });
            }
        }
    }
}
