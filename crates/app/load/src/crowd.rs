//! A thread with many participants: their sockets, their timers, their numbers.
//!
//! It looks at its sockets at most every [`TICK`], so that its wake-ups cost a server on the same machine
//! nothing, and takes each packet's arrival time from the kernel.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use client::{Config, Endpoint, Mode, Pacing, Participant, Publish, Quality, Stats};
use clock::Time;
use livekit_protocol as proto;
use net::{EventFd, Message, Options, Poller, Receiver, Sender, Socket};

use crate::delays::Delays;

/// Longest time between two looks at the sockets.
const TICK: Duration = Duration::from_millis(10);
/// Datagrams taken by one call.
const BATCH: usize = 64;
/// Kernel buffer of each socket, bytes: a tick of 50 Mbit/s.
const BUFFER: usize = 256 << 10;

/// What a participant does.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) mode: Mode,
    pub(crate) publish: Vec<Publish>,
    pub(crate) subscribes: bool,
    pub(crate) pacing: Pacing,
    pub(crate) quality: Option<Quality>,
}

pub(crate) enum ToCrowd {
    /// The WebSocket of a participant is open.
    Entered {
        index: usize,
        began: Instant,
        ip: IpAddr,
        say: tokio::sync::mpsc::UnboundedSender<proto::SignalRequest>,
    },
    Said {
        index: usize,
        response: Box<proto::SignalResponse>,
    },
    Closed {
        index: usize,
    },
    /// Somebody was not let in.
    Refused {
        why: String,
    },
    /// Delays count from here.
    Begin,
    /// Tell the numbers so far.
    Look(mpsc::Sender<Snapshot>),
    /// Everybody goes; the thread ends.
    Leave,
}

/// What a crowd has come to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    pub(crate) connected: usize,
    /// Join times of those who have connected, from opening the WebSocket.
    pub(crate) joins: Vec<Duration>,
    /// Why somebody did not get in or fell out, each reason with its count.
    pub(crate) failures: HashMap<String, usize>,
    pub(crate) stats: Stats,
    /// Since [`ToCrowd::Begin`].
    pub(crate) delays: Delays,
}

impl Snapshot {
    /// Adds another crowd's.
    pub(crate) fn add(&mut self, other: Self) {
        self.connected += other.connected;
        self.joins.extend(other.joins);
        for (why, count) in other.failures {
            *self.failures.entry(why).or_default() += count;
        }
        self.stats.add(other.stats);
        self.delays.merge(&other.delays);
    }
}

/// Where a thread is told things.
#[derive(Clone)]
pub(crate) struct Post {
    queue: mpsc::Sender<ToCrowd>,
    bell: Arc<EventFd>,
}

impl Post {
    pub(crate) fn send(&self, what: ToCrowd) {
        // A crowd that has ended wants to hear nothing.
        if self.queue.send(what).is_ok() {
            self.bell.notify();
        }
    }
}

/// Starts a thread for participants with these parts.
pub(crate) fn start(
    parts: HashMap<usize, Part>,
    certificate: peer::Certificate,
) -> anyhow::Result<(Post, std::thread::JoinHandle<()>)> {
    let (queue, inbox) = mpsc::channel();
    let bell = Arc::new(EventFd::new().context("eventfd")?);
    let poller = Poller::new().context("epoll")?;
    poller.add(bell.as_ref(), BELL).context("epoll")?;
    let post = Post { queue, bell: Arc::clone(&bell) };
    let crowd = Crowd {
        parts,
        certificate,
        inbox,
        bell,
        poller,
        receiver: Receiver::new(BATCH, false),
        members: HashMap::new(),
        snapshot: Snapshot::default(),
        leaving: false,
    };
    let thread = std::thread::Builder::new().name("crowd".into()).spawn(move || crowd.run());
    Ok((post, thread.context("cannot start a thread")?))
}

/// The bell's token; sockets have their participant's index, doubled, with the second one odd.
const BELL: u64 = u64::MAX;

struct Crowd {
    parts: HashMap<usize, Part>,
    certificate: peer::Certificate,
    inbox: mpsc::Receiver<ToCrowd>,
    bell: Arc<EventFd>,
    poller: Poller,
    receiver: Receiver,
    members: HashMap<usize, Member>,
    snapshot: Snapshot,
    leaving: bool,
}

struct Member {
    participant: Participant,
    sockets: Vec<(Socket, Sender)>,
    say: tokio::sync::mpsc::UnboundedSender<proto::SignalRequest>,
    began: Instant,
    connected: bool,
    over: bool,
    next: Option<Instant>,
}

fn now() -> Time {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time { mono: Instant::now(), unix }
}

impl Crowd {
    fn run(mut self) {
        while !self.leaving {
            // 1. What signalling brings.
            self.hear();
            // 2. Datagrams, at most once a tick.
            self.receive();
            // 3. Timers, and what is to be sent.
            let now = now();
            for member in self.members.values_mut() {
                if member.next.is_some_and(|at| at <= now.mono) {
                    member.participant.handle_timeout(now);
                }
                member.settle(now, &mut self.snapshot);
            }
            // 4. Wait for the next deadline, or a tick.
            let next = self.members.values().filter_map(|member| member.next).min();
            let patience = next.map_or(TICK, |at| at.saturating_duration_since(Instant::now()).min(TICK));
            std::thread::sleep(patience);
        }
        let now = now();
        for member in self.members.values_mut() {
            member.participant.leave(now);
            member.settle(now, &mut self.snapshot);
        }
    }

    fn hear(&mut self) {
        while let Ok(what) = self.inbox.try_recv() {
            match what {
                ToCrowd::Entered { index, began, ip, say } => {
                    if let Err(error) = self.enter(index, began, ip, say) {
                        self.fail(format!("{error:#}"));
                    }
                }
                ToCrowd::Said { index, response } => {
                    if let Some(member) = self.members.get_mut(&index) {
                        member.participant.handle_signal(now(), *response);
                    }
                }
                ToCrowd::Refused { why } => self.fail(why),
                ToCrowd::Closed { index } => {
                    let member = self.members.get_mut(&index).filter(|member| !member.over);
                    if let Some(member) = member {
                        member.over = true;
                        self.snapshot.connected -= usize::from(member.connected);
                        let why = member.participant.over();
                        self.fail(why.unwrap_or_else(|| "the server closed the WebSocket".into()));
                    }
                }
                ToCrowd::Begin => self.snapshot.delays = Delays::default(),
                ToCrowd::Look(answer) => {
                    let _ = answer.send(self.look());
                }
                ToCrowd::Leave => self.leaving = true,
            }
        }
    }

    fn enter(
        &mut self,
        index: usize,
        began: Instant,
        ip: IpAddr,
        say: tokio::sync::mpsc::UnboundedSender<proto::SignalRequest>,
    ) -> anyhow::Result<()> {
        let Some(part) = self.parts.get(&index) else { return Ok(()) };
        let count = if part.mode == Mode::Dual { 2 } else { 1 };
        let mut sockets = Vec::with_capacity(count);
        for n in 0..count {
            let options = Options { reuse_port: false, buffer: BUFFER, gro: false };
            let socket = Socket::bind(SocketAddr::new(ip, 0), options).context("a UDP socket")?;
            socket.stamp_arrivals().context("arrival times")?;
            self.poller.add(&socket, (index * 2 + n) as u64).context("epoll")?;
            sockets.push((socket, Sender::new(true)));
        }
        let first = sockets.first().map(|(socket, _)| socket.local_addr()).context("a UDP socket")?;
        let config = Config {
            mode: part.mode,
            endpoint: Endpoint {
                address: first,
                certificate: self.certificate.clone(),
                verify: false,
                pacing: part.pacing,
                // Differs between participants, and between runs: SSRCs and passwords come from it.
                seed: now().unix.as_nanos() as u64 ^ (index as u64) << 40,
            },
            second_address: sockets.last().map_or(first, |(socket, _)| socket.local_addr()),
            publish: part.publish.clone(),
            quality: part.quality,
        };
        let participant = Participant::new(now(), config);
        let member = Member { participant, sockets, say, began, connected: false, over: false, next: None };
        self.members.insert(index, member);
        Ok(())
    }

    fn fail(&mut self, why: String) {
        *self.snapshot.failures.entry(why).or_default() += 1;
    }

    fn receive(&mut self) {
        loop {
            // Level-triggered: what is not emptied is told again.
            let Ok(ready) = self.poller.wait(Some(Duration::ZERO)) else { return };
            let tokens: Vec<u64> = ready.iter().map(|ready| ready.token).collect();
            if tokens.is_empty() {
                return;
            }
            for token in tokens {
                if token == BELL {
                    self.bell.clear();
                    continue;
                }
                let Some(member) = self.members.get_mut(&(token as usize / 2)) else { continue };
                member.receive(token as usize % 2, &mut self.receiver);
            }
        }
    }

    fn look(&mut self) -> Snapshot {
        let now = now();
        let mut snapshot = self.snapshot.clone();
        for member in self.members.values() {
            member.participant.account(now, &mut snapshot.stats);
        }
        snapshot
    }
}

impl Member {
    fn receive(&mut self, which: usize, receiver: &mut Receiver) {
        let Some((socket, _)) = self.sockets.get(which) else { return };
        let to = socket.local_addr();
        loop {
            // An ICMP error of an earlier packet is told here and means nothing.
            let more = receiver.receive(socket).unwrap_or(false);
            let clock = now();
            for datagram in receiver.datagrams() {
                let at = Time { unix: datagram.at.unwrap_or(clock.unix), ..clock };
                self.participant.handle_datagram(at, datagram.remote, to, datagram.payload);
            }
            if !more {
                return;
            }
        }
    }

    fn settle(&mut self, now: Time, snapshot: &mut Snapshot) {
        while let Some(request) = self.participant.poll_signal() {
            // The WebSocket's end is told by itself.
            let _ = self.say.send(request);
        }
        let mut buf = [0; 1500];
        while let Some(transmit) = self.participant.poll_transmit(now, &mut buf) {
            let socket = self.sockets.iter_mut().find(|(socket, _)| socket.local_addr() == transmit.from);
            let Some((socket, sender)) = socket else { continue };
            let payload = buf.get(..transmit.len).unwrap_or_default();
            let message = Message { remote: transmit.to, local: None, payload, segment: payload.len() };
            sender.send(socket, [message]);
        }
        self.participant.take_delays(|delay| snapshot.delays.record(delay));
        if !self.connected && !self.over && self.participant.is_connected() {
            self.connected = true;
            snapshot.connected += 1;
            snapshot.joins.push(now.since(self.began));
        }
        if !self.over
            && let Some(why) = self.participant.over()
        {
            self.over = true;
            snapshot.connected -= usize::from(self.connected);
            *snapshot.failures.entry(why).or_default() += 1;
        }
        self.next = if self.over { None } else { self.participant.poll_timeout(now.mono) };
    }
}
