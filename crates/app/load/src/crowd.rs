//! A thread with many participants: their sockets, their timers, their numbers.
//!
//! It looks at its sockets at most every [`TICK`], and once it measures at all of them where they are few, so that its
//! wake-ups cost a server on the same machine nothing, and takes each packet's arrival time from the kernel. Timers are
//! kept to the microsecond, because packets leave by them; those who publish have threads of their own, where little
//! else happens.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use client::{Mode, Pacing, Publish, Quality, Stats};
use clock::Time;
use livekit_protocol as proto;
use net::{EventFd, Poller, Receiver};

use crate::delays::Delays;
use crate::files;

mod member;

use member::Member;

/// Longest time between two looks at the sockets.
const TICK: Duration = Duration::from_millis(10);
/// The same while everybody gets connected, so that join times are the server's.
const JOINING_TICK: Duration = Duration::from_millis(1);
/// With nobody who publishes, deadlines are kept to this: thousands of heartbeats are no reason to wake at each.
const COARSE: Duration = Duration::from_millis(1);
/// A thread that sleeps comes back this much late (the kernel's timer slack is 50 µs): shorter waits are spun.
const OVERSLEEP: Duration = Duration::from_micros(60);
/// Deadlines served before something else gets its turn.
const TURN: usize = 1000;
/// Sockets up to which all are looked at in turn while it is measured. Epoll tells which of them have something, without
/// which many would take too long to join; but it costs the server: loopback hands a packet to the receiver's queue, and
/// to its epoll, on the sender's time.
const FEW: usize = 2500;
/// Datagrams taken by one call.
const BATCH: usize = 64;
/// Why somebody whose WebSocket is open does not get in.
const NO_MEDIA: &str = "the WebSocket opened but the media never connected: is the server's UDP port open?";

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
    /// Delays count from here, and whoever is not connected is given up.
    Begin,
    /// Nothing is published any more.
    Hush,
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
    /// Those of sound, which are in `delays` too.
    pub(crate) audio_delays: Delays,
    /// Datagrams that came and that the load's own sockets had no room for.
    pub(crate) dropped: u64,
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
        self.audio_delays.merge(&other.audio_delays);
        self.dropped += other.dropped;
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

/// Starts a thread for participants with these parts; all of the run need so many files. Where nobody publishes,
/// nothing has to leave to the microsecond.
pub(crate) fn start(
    parts: HashMap<usize, Part>,
    certificate: peer::Certificate,
    files: u64,
    is_patient: bool,
) -> anyhow::Result<(Post, std::thread::JoinHandle<()>)> {
    let (queue, inbox) = mpsc::channel();
    let bell = Arc::new(EventFd::new().context("eventfd")?);
    let poller = Poller::new().context("epoll")?;
    poller.add(bell.as_ref(), BELL).context("epoll")?;
    let post = Post { queue, bell: Arc::clone(&bell) };
    let few = parts.values().map(|part| if part.mode == Mode::Dual { 2 } else { 1 }).sum::<usize>() <= FEW;
    let crowd = Crowd {
        few,
        order: Vec::new(),
        turn: 0,
        parts,
        certificate,
        inbox,
        bell,
        poller,
        receiver: Receiver::new(BATCH, false),
        members: HashMap::new(),
        timers: BinaryHeap::new(),
        snapshot: Snapshot::default(),
        begun: false,
        leaving: false,
        is_patient,
        files,
    };
    let thread = std::thread::Builder::new().name("crowd".into()).spawn(move || crowd.run());
    Ok((post, thread.context("cannot start a thread")?))
}

/// The bell's token; sockets have their participant's index, doubled, with the second one odd.
const BELL: u64 = u64::MAX;

struct Crowd {
    /// Few enough to look at all sockets in turn.
    few: bool,
    /// Whose turn it is: members in the order in which they came, and an index into it.
    order: Vec<usize>,
    turn: usize,
    parts: HashMap<usize, Part>,
    certificate: peer::Certificate,
    inbox: mpsc::Receiver<ToCrowd>,
    bell: Arc<EventFd>,
    poller: Poller,
    receiver: Receiver,
    members: HashMap<usize, Member>,
    /// Deadlines with whose they are; one that its member no longer has is void.
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
    snapshot: Snapshot,
    begun: bool,
    leaving: bool,
    is_patient: bool,
    files: u64,
}

fn now() -> Time {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time { mono: Instant::now(), unix }
}

impl Crowd {
    fn run(mut self) {
        let mut look_at = Instant::now();
        while !self.leaving {
            // 1. What signalling brings.
            self.hear();
            // 2. Timers, and what is to be sent.
            self.fire();
            // 3. Datagrams, at most once a tick.
            if Instant::now() >= look_at {
                self.receive();
                look_at = Instant::now() + if self.begun { TICK } else { JOINING_TICK };
            }
            // 4. Wait for the next deadline, or the tick.
            let next = self.timers.peek().map_or(look_at, |Reverse((at, _))| look_at.min(*at));
            let patience = next.saturating_duration_since(Instant::now());
            let patience = if self.is_patient { patience.max(COARSE) } else { patience };
            if patience > OVERSLEEP {
                std::thread::sleep(patience - OVERSLEEP);
            } else {
                std::hint::spin_loop();
            }
        }
        let now = now();
        for member in self.members.values_mut() {
            member.participant.leave(now);
            member.settle(now, &mut self.snapshot);
        }
    }

    /// Serves deadlines that have come.
    fn fire(&mut self) {
        for _ in 0..TURN {
            let Some(Reverse((at, index))) = self.timers.peek().copied() else { return };
            let now = now();
            if at > now.mono {
                return;
            }
            self.timers.pop();
            let Some(member) = self.members.get_mut(&index) else { continue };
            if member.next == Some(at) {
                member.participant.handle_timeout(now);
                member.next = None;
                self.settle(now, index);
            }
        }
    }

    fn settle(&mut self, now: Time, index: usize) {
        let Some(member) = self.members.get_mut(&index) else { return };
        if let Some(next) = member.settle(now, &mut self.snapshot) {
            self.timers.push(Reverse((next, index)));
        }
    }

    fn hear(&mut self) {
        while let Ok(what) = self.inbox.try_recv() {
            match what {
                ToCrowd::Entered { index, began, ip, say } => {
                    let Some(part) = self.parts.get(&index) else { continue };
                    let poller = (!self.looks_at_all()).then_some(&self.poller);
                    match Member::enter(index, part, (began, ip, say), &self.certificate, poller) {
                        Ok(member) => {
                            self.members.insert(index, member);
                            self.order.push(index);
                            self.settle(now(), index);
                        }
                        Err(error) => self.fail(files::explain(error, self.files)),
                    }
                }
                ToCrowd::Said { index, response } => {
                    if let Some(member) = self.members.get_mut(&index) {
                        let now = now();
                        member.participant.handle_signal(now, *response);
                        self.settle(now, index);
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
                ToCrowd::Begin => {
                    self.begun = true;
                    (self.snapshot.delays, self.snapshot.audio_delays) = Default::default();
                    if self.few {
                        self.members.values().for_each(|member| member.forget_poller(&self.poller));
                    }
                    let late = self.members.values_mut().filter(|member| member.is_joining());
                    let count = late.map(|member| member.over = true).count();
                    if count > 0 {
                        *self.snapshot.failures.entry(NO_MEDIA.to_owned()).or_default() += count;
                    }
                }
                ToCrowd::Hush => self.members.values_mut().for_each(|member| member.participant.hush()),
                ToCrowd::Look(answer) => {
                    let _ = answer.send(self.look());
                }
                ToCrowd::Leave => self.leaving = true,
            }
        }
    }

    fn fail(&mut self, why: String) {
        *self.snapshot.failures.entry(why).or_default() += 1;
    }

    /// The poller knows no socket: all are looked at in turn.
    fn looks_at_all(&self) -> bool {
        self.few && self.begun
    }

    fn receive(&mut self) {
        if self.looks_at_all() {
            return self.receive_of_all();
        }
        // Who cannot keep up still hears what is asked of it.
        let enough = Instant::now() + TICK;
        while Instant::now() < enough {
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
                let index = token as usize / 2;
                let Some(member) = self.members.get_mut(&index) else { continue };
                member.receive(token as usize % 2, &mut self.receiver);
                self.settle(now(), index);
                // Packets that are due do not wait for those that have come.
                self.fire();
            }
        }
    }

    /// Looks at every socket, or goes on next time where it takes longer than it may.
    fn receive_of_all(&mut self) {
        let enough = Instant::now() + TICK;
        for _ in 0..self.order.len() {
            self.turn = (self.turn + 1) % self.order.len();
            let Some(index) = self.order.get(self.turn).copied() else { return };
            let Some(member) = self.members.get_mut(&index) else { continue };
            if member.receive_all(&mut self.receiver) {
                self.settle(now(), index);
            }
            // Packets that are due do not wait for those that have come.
            self.fire();
            if Instant::now() >= enough {
                return;
            }
        }
    }

    fn look(&mut self) -> Snapshot {
        let now = now();
        let mut snapshot = self.snapshot.clone();
        for member in self.members.values() {
            member.participant.account(now, &mut snapshot.stats);
            snapshot.dropped += member.dropped();
        }
        snapshot
    }
}
