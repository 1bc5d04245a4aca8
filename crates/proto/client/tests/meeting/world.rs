//! A server without sockets, its participants, and a link each way to each of them.
//!
//! The same seed is the same meeting. Handshakes are not: signatures differ in length, and timers of the DTLS
//! library are drawn. So a participant's links have their delay alone until it is connected, and what they do from
//! then on follows from the seed. How handshakes fare on bad lines is tested in `peer`.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use client::{Endpoint, Participant};
use clock::Time;
use livekit_protocol as proto;
use netem::Link;
use peer::Certificate;
use proto::signal_response::Message as Told;
use sfu::{Outbox, Router};
use signal::{Conference, Input, Join, JoinRequest, Limits, Media, Output, Server, SessionId};

/// The server's only address.
const SERVER: ([u8; 4], u16) = ([192, 0, 2, 1], 7882);
/// Virtual time is ahead of the machine's by this: a library that reads the clock (`sctp-proto` when it connects)
/// is then always late, not late or early by how busy the machine is.
const AHEAD: Duration = Duration::from_secs(86_400);
/// The last words of a handshake are still on their way when one end is connected, for a round trip at most.
const HANDSHAKES_END: Duration = Duration::from_millis(300);
/// No meeting has this many moments without time going on.
const MAX_TURNS: usize = 10_000;

fn certificate(which: usize) -> &'static Certificate {
    static MADE: OnceLock<[Certificate; 2]> = OnceLock::new();
    &MADE.get_or_init(|| [Certificate::generate().unwrap(), Certificate::generate().unwrap()])[which]
}

pub(crate) struct World {
    pub(crate) now: Time,
    conference: Conference,
    pub(crate) router: Router,
    outbox: Outbox,
    pub(crate) guests: Vec<Guest>,
    link: netem::Config,
    seed: u64,
    /// Ids of all tracks that were published.
    tracks: Vec<String>,
    /// Everything that was sent so far, by time, direction and length, as one number.
    trace: Trace,
}

/// FNV-1a over what is told to it.
#[derive(Clone, Copy)]
struct Trace(u64);

impl Trace {
    fn note(&mut self, values: [u64; 3]) {
        for byte in values.iter().flat_map(|value| value.to_le_bytes()) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

pub(crate) struct Guest {
    session: SessionId,
    pub(crate) participant: Participant,
    addresses: [SocketAddr; 2],
    /// Datagrams with the client's address.
    up: Link<(SocketAddr, Vec<u8>)>,
    down: Link<(SocketAddr, Vec<u8>)>,
    /// What its links do once it is connected and its handshakes are over, and from which seed.
    weather: Option<(netem::Config, u64)>,
    connected: Option<Instant>,
}

impl Guest {
    /// Its links are what they are to be from the moment on at which it is connected.
    fn expose(&mut self, now: Time) {
        if self.weather.is_none() || !self.participant.is_connected() {
            return;
        }
        if now.since(*self.connected.get_or_insert(now.mono)) < HANDSHAKES_END {
            return;
        }
        if let Some((config, seed)) = self.weather.take() {
            for (link, seed) in [(&mut self.up, seed << 1), (&mut self.down, seed << 1 | 1)] {
                link.set_config(config);
                link.set_seed(seed);
            }
        }
    }
}

impl World {
    #[allow(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
    pub(crate) fn new(link: netem::Config, seed: u64) -> Self {
        let now = Time { mono: Instant::now() + AHEAD, unix: Duration::from_secs(1_790_000_000) };
        let config = signal::Config {
            room: "room".into(),
            serial: 7,
            rules: room::Config::default(),
            codecs: vec![codec::Kind::Vp8, codec::Kind::Opus],
            profiles: Vec::new(),
            ice_servers: Vec::new(),
            server: Server::default(),
            media: Media {
                fingerprint: certificate(0).fingerprint(),
                candidates: vec![vec![peer::Candidate {
                    carrier: peer::Carrier::Udp,
                    kind: peer::CandidateKind::Host,
                    addr: SERVER.into(),
                    priority: 2_130_706_431,
                    foundation: "1".into(),
                }]],
                ice_lite: true,
            },
            limits: Limits::default(),
        };
        let router = Router::new(now, sfu::Config::default(), certificate(0).clone(), 0, seed);
        Self {
            now,
            conference: Conference::new(now, config, [seed as u8; 32]),
            router,
            outbox: Outbox::new(256 << 10),
            guests: Vec::new(),
            link,
            seed,
            tracks: Vec::new(),
            trace: Trace(0xcbf2_9ce4_8422_2325),
        }
    }

    /// Two worlds in which the same was sent at the same times have the same.
    pub(crate) fn trace(&self) -> u64 {
        self.trace.0
    }

    /// Somebody comes in; their index.
    pub(crate) fn join(&mut self, mode: client::Mode, publish: Vec<client::Publish>) -> usize {
        let n = self.guests.len();
        let port = 5000 + 2 * n as u16;
        let addresses = [port, port + 1].map(|port| SocketAddr::from(([10, 0, 0, 1], port)));
        let seed = self.seed.wrapping_mul(1000) + n as u64;
        let endpoint = Endpoint {
            address: addresses[0],
            certificate: certificate(1).clone(),
            verify: true,
            pacing: client::Pacing::default(),
            seed,
        };
        let config = client::Config { mode, endpoint, second_address: addresses[1], publish, quality: None };
        let session = SessionId(n as u64 + 1);
        let mut request = JoinRequest { auto_subscribe: true, ..JoinRequest::default() };
        request.mode = match mode {
            client::Mode::Single => signal::Mode::Single,
            client::Mode::Dual => signal::Mode::Dual,
        };
        request.client.protocol = 16;
        let claims = auth::Claims {
            api_key: "key".into(),
            identity: format!("guest-{n}"),
            video: Some(auth::VideoGrant::to_join("room")),
            expires_at: 2_000_000_000,
            ..auth::Claims::default()
        };
        let calm = netem::Config { delay: self.link.delay, ..netem::Config::default() };
        self.guests.push(Guest {
            session,
            participant: Participant::new(self.now, config),
            addresses,
            up: Link::new(calm, 0),
            down: Link::new(calm, 0),
            weather: Some((self.link, seed)),
            connected: None,
        });
        let join = Join { session, claims, request, worker: 0 };
        self.conference.handle(self.now, Input::Join(Box::new(join)));
        n
    }

    /// What the line of those who join from now on does.
    pub(crate) fn set_link(&mut self, link: netem::Config) {
        self.link = link;
    }

    /// A participant asks for a layer of everything that is published: 0 is the lowest.
    pub(crate) fn want(&mut self, guest: usize, layer: i32) {
        let settings = proto::UpdateTrackSettings {
            track_sids: self.tracks.clone(),
            quality: layer,
            ..Default::default()
        };
        let message = Some(proto::signal_request::Message::TrackSetting(settings));
        let request = Box::new(proto::SignalRequest { message });
        let session = self.guests[guest].session;
        self.conference.handle(self.now, Input::Request { session, request });
    }

    /// What a participant has of its first video track.
    pub(crate) fn video(&self, guest: usize) -> Option<client::VideoStats> {
        self.guests[guest].participant.stats(self.now).videos.first().copied()
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, span: Duration) {
        let end = self.now.after(span);
        loop {
            self.settle();
            let Some(at) = self.next().filter(|at| *at <= end.mono) else { break };
            self.now = self.now.after(at.saturating_duration_since(self.now.mono));
            self.fire();
        }
        self.now = self.now.after(end.mono.saturating_duration_since(self.now.mono));
    }

    /// Lets time pass until `done`, which must come within 30 s.
    pub(crate) fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        for _ in 0..3000 {
            if done(self) {
                return;
            }
            self.pass(Duration::from_millis(10));
        }
        panic!("{what} never happened; {:?}", self.router.counters());
    }

    fn next(&mut self) -> Option<Instant> {
        let now = self.now.mono;
        let guests = self.guests.iter_mut().flat_map(|guest| {
            [guest.participant.poll_timeout(now), guest.up.poll_timeout(), guest.down.poll_timeout()]
        });
        let first = guests.flatten().min();
        [first, self.conference.poll_timeout(), self.router.poll_timeout()].into_iter().flatten().min()
    }

    fn fire(&mut self) {
        let now = self.now;
        if self.conference.poll_timeout().is_some_and(|at| at <= now.mono) {
            self.conference.handle_timeout(now);
        }
        if self.router.poll_timeout().is_some_and(|at| at <= now.mono) {
            self.router.handle_timeout(now);
        }
        for guest in &mut self.guests {
            if guest.participant.poll_timeout(now.mono).is_some_and(|at| at <= now.mono) {
                guest.participant.handle_timeout(now);
            }
        }
    }

    /// Everything that happens now.
    fn settle(&mut self) {
        for _ in 0..MAX_TURNS {
            let mut moved = self.signal();
            moved |= self.arrivals();
            moved |= self.departures();
            if !moved {
                return;
            }
        }
        panic!("never quiet");
    }

    fn signal(&mut self) -> bool {
        let now = self.now;
        let mut moved = false;
        for guest in &mut self.guests {
            while let Some(request) = guest.participant.poll_signal() {
                let session = guest.session;
                self.conference.handle(now, Input::Request { session, request: Box::new(request) });
                moved = true;
            }
        }
        while let Some(event) = self.router.poll_event() {
            self.conference.handle(now, Input::Media(event));
            moved = true;
        }
        while let Some(output) = self.conference.poll_output() {
            moved = true;
            match output {
                Output::Send { to, message } => {
                    if let Some(Told::TrackPublished(told)) = &message.message {
                        self.tracks.extend(told.track.as_ref().map(|track| track.sid.clone()));
                    }
                    for guest in self.guests.iter_mut().filter(|guest| to.contains(&guest.session)) {
                        guest.participant.handle_signal(now, (*message).clone());
                    }
                }
                Output::Media(command) => self.router.handle_command(now, command),
                _ => {}
            }
        }
        moved
    }

    fn arrivals(&mut self) -> bool {
        let now = self.now;
        let mut moved = false;
        for guest in &mut self.guests {
            while let Some((from, mut datagram)) = guest.up.receive(now) {
                self.router.handle_datagram(now, SERVER.into(), from, &mut datagram);
                moved = true;
            }
            while let Some((to, mut datagram)) = guest.down.receive(now) {
                guest.participant.handle_datagram(now, SERVER.into(), to, &mut datagram);
                moved = true;
            }
        }
        moved
    }

    fn departures(&mut self) -> bool {
        let now = self.now;
        let mut moved = false;
        let at = now.unix.as_nanos() as u64;
        for guest in &mut self.guests {
            guest.expose(now);
            let mut buf = [0; 1500];
            while let Some(transmit) = guest.participant.poll_transmit(now, &mut buf) {
                if guest.weather.is_none() {
                    self.trace.note([at, 0, transmit.len as u64]);
                }
                guest.up.send(now, transmit.len, (transmit.from, buf[..transmit.len].to_vec()));
                moved = true;
            }
        }
        while self.router.fan_out(now, &mut self.outbox) {
            moved |= deliver(now, &mut self.guests, &mut self.outbox, &mut self.trace);
        }
        while self.router.poll_transmit(now, &mut self.outbox) {
            moved |= deliver(now, &mut self.guests, &mut self.outbox, &mut self.trace);
        }
        moved | deliver(now, &mut self.guests, &mut self.outbox, &mut self.trace)
    }
}

fn deliver(now: Time, guests: &mut [Guest], outbox: &mut Outbox, trace: &mut Trace) -> bool {
    for entry in outbox.entries() {
        let to = outbox.path(entry).remote;
        let datagram = outbox.payload(entry).to_vec();
        if let Some(guest) = guests.iter_mut().find(|guest| guest.addresses.contains(&to)) {
            if guest.weather.is_none() {
                trace.note([now.unix.as_nanos() as u64, 1, datagram.len() as u64]);
            }
            guest.down.send(now, datagram.len(), (to, datagram));
        }
    }
    let moved = !outbox.is_empty();
    outbox.clear();
    moved
}
