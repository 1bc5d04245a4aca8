//! An engine, a room and its clients, driven by one thread that waits for all of them at once.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clock::Time;
use engine::{Config, Events, Handle, Limits, Ports};
use net::{EventFd, Poller};
use peer::{Carrier, Certificate, Credentials, DtlsRole, LocalTransport};
use rtp::{Label, Pt, Ssrc};
use sfu::{
    CodecParams, Command, ConsumerId, ConsumerParams, Encoding, Event, ExtensionIds, Kind, PeerId,
    ProducerId, ProducerParams, Wish, id_on,
};

use crate::client::{Client, Terms, describe, host};
use crate::line::Line;

/// Longer than anything takes on a machine that is busy with other things.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn certificate() -> &'static Certificate {
    static CERTIFICATE: OnceLock<Certificate> = OnceLock::new();
    CERTIFICATE.get_or_init(|| Certificate::generate().unwrap())
}

pub(crate) fn now() -> Time {
    Time { mono: Instant::now(), unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap() }
}

pub(crate) fn on(ip: &str, workers: usize) -> Config {
    Config { workers, ports: Ports::Shared(0), bind: vec![ip.parse().unwrap()], ..Config::default() }
}

pub(crate) struct Stage {
    pub(crate) engine: Handle,
    pub(crate) clients: Vec<Client>,
    /// What the room was told.
    pub(crate) told: Vec<Event>,
    /// Whether the room takes its events.
    pub(crate) reading: bool,
    /// Whether the server answers checks only, as by default.
    pub(crate) lite: bool,
    /// What clients come over, where the server offers both.
    pub(crate) carrier: Carrier,
    events: Events,
    poller: Poller,
    rang: Arc<EventFd>,
    /// The room that ids belong to from now on.
    pub(crate) room: u32,
    serial: u64,
}

impl Stage {
    pub(crate) fn new(config: &Config) -> Self {
        Self::with(config, Limits::default())
    }

    pub(crate) fn with(config: &Config, limits: Limits) -> Self {
        let engine = engine::start(config, certificate()).unwrap();
        let rang = Arc::new(EventFd::new().unwrap());
        let poller = Poller::new().unwrap();
        poller.add(&*rang, u64::MAX).unwrap();
        let ring = Arc::clone(&rang);
        let (sink, events) = engine::events(limits, move || ring.notify());
        let room = 7;
        engine.register_room(room, &sink).unwrap();
        Self {
            engine,
            clients: Vec::new(),
            told: Vec::new(),
            reading: true,
            lite: true,
            carrier: if config.tcp_only { Carrier::Tcp } else { Carrier::Udp },
            events,
            poller,
            rang,
            room,
            serial: 0,
        }
    }

    /// An id of this room on `worker`.
    pub(crate) fn id(&mut self, worker: u8) -> u64 {
        self.serial += 1;
        id_on(worker, u64::from(self.room) << 24 | self.serial)
    }

    /// Lets everything go on until `done`.
    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let mut wait = Duration::from_millis(200);
            for client in &mut self.clients {
                wait = wait.min(client.turn(now()));
            }
            if self.reading {
                self.told.extend(std::iter::from_fn(|| self.events.pop()));
            }
            if done(self) {
                return;
            }
            assert!(Instant::now() < deadline, "{what} did not happen: {:?}", self.engine.stats());
            let ready = self.poller.wait(Some(wait)).unwrap();
            if ready.iter().any(|ready| ready.token == u64::MAX) {
                self.rang.clear();
            }
        }
    }

    /// A client whose home is `worker`, connected, with a data channel; its index.
    pub(crate) fn join(&mut self, worker: u8) -> usize {
        let n = self.enter(worker);
        let connected = Event::Connected { peer: self.clients[n].id };
        self.until("a connection", |s| s.told.contains(&connected) && s.clients[n].channel.is_some());
        n
    }

    /// The same, without waiting.
    pub(crate) fn enter(&mut self, worker: u8) -> usize {
        let n = self.clients.len();
        let peer = PeerId(self.id(worker));
        let offered = self.engine.candidates(worker);
        let candidate = offered.into_iter().find(|c| c.carrier == self.carrier).unwrap();
        let address = candidate.addr;
        let line = match self.carrier {
            Carrier::Udp => Line::udp(address.ip()),
            Carrier::Tcp => Line::tcp(address),
        };
        self.poller.add(&line, n as u64).unwrap();
        let terms = Terms {
            // As `Credentials::generate` writes it: the worker in hexadecimal, then ten characters.
            server: Credentials {
                ufrag: format!("{worker:02x}{:010}", peer.0 & 0xff_ffff),
                pwd: "p".repeat(24),
            },
            client: Credentials { ufrag: format!("client{n:04}"), pwd: "q".repeat(24) },
            address,
            lite: self.lite,
        };
        let local = LocalTransport {
            credentials: terms.server.clone(),
            ice_lite: self.lite,
            controlling: false,
            candidates: vec![candidate],
        };
        self.engine.send(Command::OpenPeer { peer, local }).unwrap();
        let theirs = host(line.carrier(), line.local_addr());
        let remote = describe(certificate(), &terms.client, theirs, false, DtlsRole::Server);
        self.engine.send(Command::SetRemote { peer, remote }).unwrap();
        let params = sfu::ChannelParams {
            label: "_reliable".into(),
            ordered: true,
            max_retransmits: None,
            negotiated_id: None,
        };
        self.engine.send(Command::OpenChannel { peer, params }).unwrap();
        self.clients.push(Client::new(peer, line, certificate(), &terms, now()));
        n
    }

    /// A client over TCP loses its connection and comes again by another, as the same participant.
    pub(crate) fn reconnect(&mut self, n: usize) {
        let Line::Tcp { socket, .. } = &self.clients[n].line else { panic!("not over TCP") };
        let line = Line::tcp(socket.peer_addr().unwrap());
        self.poller.add(&line, n as u64).unwrap();
        self.clients[n].line = line;
    }

    /// A video track of `client`, which calls its section "v".
    pub(crate) fn publish(&mut self, client: usize, ssrc: u32) -> ProducerId {
        let peer = self.clients[client].id;
        let producer = ProducerId(self.id(sfu::worker_of(peer.0)));
        let extensions = ExtensionIds { mid: Some(4), ..ExtensionIds::default() };
        self.engine.send(Command::SetReceiveExtensions { peer, extensions }).unwrap();
        let params = ProducerParams {
            kind: Kind::Video,
            mid: Label::new("v"),
            encodings: vec![Encoding { ssrc: Some(Ssrc(ssrc)), ..Encoding::default() }],
            codecs: vec![vp8()],
            svc: false,
            transport_cc: false,
        };
        self.engine.send(Command::AddProducer { peer, producer, params }).unwrap();
        producer
    }

    /// Sends `producer` to `client` under `ssrc`.
    pub(crate) fn subscribe(&mut self, client: usize, producer: ProducerId, ssrc: u32) {
        let peer = self.clients[client].id;
        let consumer = ConsumerId(self.id(sfu::worker_of(peer.0)));
        let params = ConsumerParams {
            mid: Label::new("0").unwrap(),
            ssrc: Ssrc(ssrc),
            rtx_ssrc: None,
            codecs: vec![vp8()],
            extensions: ExtensionIds { mid: Some(4), ..ExtensionIds::default() },
            playout_delay: None,
            trailers: sfu::Trailers::None,
            wish: Wish { paused: false, max_spatial: 2, max_temporal: 7, priority: 0 },
        };
        self.engine.send(Command::AddConsumer { peer, consumer, producer, params }).unwrap();
    }

    /// Sends frames, each once the one before has arrived at all of `to`.
    pub(crate) fn film(
        &mut self,
        from: usize,
        ssrc: u32,
        to: &[(usize, u32)],
        frames: usize,
        packets: usize,
    ) {
        let counts: Vec<usize> = to.iter().map(|&(client, ssrc)| self.received(client, ssrc)).collect();
        for frame in 1..=frames {
            self.clients[from].frame(ssrc, true, packets, 900);
            self.until("a frame at every subscriber", |s| {
                to.iter()
                    .zip(&counts)
                    .all(|(&(c, ssrc), before)| s.received(c, ssrc) >= before + frame * packets)
            });
        }
    }

    /// Packets that `client` has received under `ssrc`.
    pub(crate) fn received(&self, client: usize, ssrc: u32) -> usize {
        self.clients[client].media.iter().filter(|(s, _)| *s == Ssrc(ssrc)).count()
    }

    /// The sum of a counter over all workers.
    pub(crate) fn sum(&self, name: &str) -> u64 {
        let values = self.engine.stats().into_iter().flat_map(|stats| stats.named().collect::<Vec<_>>());
        values.filter(|(n, _)| *n == name).map(|(_, value)| value).sum()
    }
}

fn vp8() -> CodecParams {
    CodecParams {
        codec: codec::Kind::Vp8,
        pt: Pt(96),
        rtx: None,
        clock_rate: 90_000,
        nack: true,
        fmtp: String::new(),
    }
}
