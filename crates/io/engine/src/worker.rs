//! One media worker: a thread, its sockets and its router.
//!
//! Owns: the loop, with its order of priorities and a budget for each. Nothing in it waits but the poller,
//! and nothing that goes wrong with one datagram, command or peer ends a turn. A panic ends the turn and costs the
//! worker its peers, whose rooms are told so; it goes on with a fresh router.

use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clock::Time;
use net::{Poller, Receiver};
use sfu::{Command, Event, FailReason, PeerId, Router, Shed};

use crate::bell::Bell;
use crate::crossing::Crossing;
use crate::doze::{self, Doze};
use crate::hold::Hold;
use crate::lane::{Parcel, Word};
use crate::mailbox::{Mail, Mailbox};
use crate::outgoing::Outgoing;
use crate::port::Port;
use crate::rooms::Rooms;
use crate::stats::{Published, WorkerStats};
use crate::streams::Streams;

/// Messages taken from one socket in a turn; each can be a run of up to 64 datagrams.
pub(crate) const RECEIVE_BATCH: usize = 64;
/// Parcels taken from one other worker in a turn.
const PARCELS: usize = 8;
/// Commands carried out in a turn: signalling may wait, media may not.
const COMMANDS: usize = 128;
/// Time between two rounds of housekeeping.
const HOUSEKEEPING: Duration = Duration::from_millis(250);
/// After a panic, before the next turn: one that comes back each time is not to fill the log.
const AFTER_PANIC: Duration = Duration::from_millis(100);
/// How soon to try again to give a parcel to a worker whose ring is full.
const RING_RETRY: Duration = Duration::from_micros(500);

/// The bell's token in the poller; a port's is its index.
pub(crate) const BELL: u64 = u64::MAX;
/// The token of the poller of clients over TCP.
pub(crate) const STREAMS: u64 = u64::MAX - 1;

/// A worker, before and while it runs.
pub(crate) struct Worker {
    pub(crate) router: Router,
    /// Makes another router.
    pub(crate) routers: Box<dyn Fn() -> Router + Send>,
    pub(crate) poller: Poller,
    pub(crate) ports: Vec<Port>,
    pub(crate) streams: Streams,
    /// The poller says that clients over TCP have something.
    pub(crate) streams_ready: bool,
    pub(crate) receiver: Receiver,
    pub(crate) outgoing: Outgoing,
    pub(crate) crossing: Crossing,
    pub(crate) doze: Doze,
    pub(crate) hold: Hold,
    pub(crate) rooms: Rooms,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) bell: Arc<Bell>,
    pub(crate) published: Arc<Published>,
    pub(crate) inbox: VecDeque<Mail>,
    pub(crate) peers: HashSet<PeerId>,
    pub(crate) stats: WorkerStats,
    pub(crate) housekeeping: Instant,
}

/// Both clocks, read once a turn.
pub(crate) fn now() -> Time {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time { mono: Instant::now(), unix }
}

impl Worker {
    /// Turns until the mailbox is closed.
    pub(crate) fn run(mut self) {
        let mut failed = false;
        while !self.mailbox.is_closed() {
            let turn = catch_unwind(AssertUnwindSafe(|| {
                if failed {
                    self.begin_afresh();
                }
                self.turn(now());
                self.sleep();
            }));
            failed = turn.is_err();
        }
        // What was sent before the end still counts, goodbyes above all.
        let now = now();
        self.mailbox.take(&mut self.inbox);
        let all = self.inbox.len();
        self.commands(now, all);
        self.forward(now);
        self.transmit(now);
        self.publish();
    }

    /// After a panic. What the router knew cannot be trusted any more; sockets, mailbox and rooms can.
    fn begin_afresh(&mut self) {
        std::thread::sleep(AFTER_PANIC);
        let lost = std::mem::take(&mut self.peers);
        tracing::error!(peers = lost.len(), "a media worker has failed; its peers are lost and told so");
        self.stats.panics += 1;
        self.router = (self.routers)();
        self.outgoing.clear(&mut self.ports);
        self.watch_ports();
        for peer in lost {
            let event = Event::Failed { peer, reason: FailReason::Worker };
            // No data waits because of it.
            let _ = self.rooms.deliver(event, &mut self.stats);
        }
    }

    fn turn(&mut self, now: Time) {
        self.stats.turns += 1;
        // 1. What could not leave: nothing is put behind it.
        self.flush(now);
        // 2. What has arrived, from the network and from other workers.
        for index in 0..self.ports.len() {
            if self.ports.get(index).is_some_and(|port| port.more) {
                self.receive(now, index);
            }
        }
        self.streams(now);
        self.parcels(now);
        // 3. What is due.
        if self.router.poll_timeout().is_some_and(|due| due <= now.mono) {
            self.router.handle_timeout(now);
        }
        // 4. What the control plane wants.
        self.mailbox.take(&mut self.inbox);
        self.commands(now, COMMANDS);
        // What all of this has led to.
        if self.hold.due(now.mono) {
            self.forward(now);
        }
        self.resume();
        self.transmit(now);
        self.tell();
        // 5. Housekeeping.
        if now.mono >= self.housekeeping {
            self.housekeeping = now.mono + HOUSEKEEPING;
            self.crossing.homes.expire(now.mono);
            self.stats.receive_overflow +=
                self.ports.iter_mut().map(|port| port.gauge(now.mono)).sum::<u64>();
            self.rooms.sweep();
            self.streams.sweep(now.mono, |remote| self.router.owns_address(remote));
            self.published.publish_router(self.router.counters());
        }
        self.publish();
    }

    fn flush(&mut self, now: Time) -> bool {
        let was_blocked = self.outgoing.blocked();
        let empty = self.outgoing.flush(now.mono, &mut self.ports, &mut self.streams, &mut self.stats);
        if was_blocked == empty {
            self.watch_ports();
        }
        empty
    }

    /// Has the poller say when ports that take no more do so again.
    fn watch_ports(&mut self) {
        for (token, port) in self.ports.iter().enumerate() {
            // If the poller refuses, the patience of `Outgoing` ends the wait.
            let _ = self.poller.want_write(&port.socket, token as u64, port.blocked);
        }
    }

    fn receive(&mut self, now: Time, index: usize) {
        let Self { ports, receiver, router, crossing, hold, stats, .. } = self;
        let Some(port) = ports.get_mut(index) else { return };
        let Ok(more) = receiver.receive(&port.socket) else {
            // Only a broken socket fails here, and it will say so again; the worker has others.
            port.more = false;
            return;
        };
        port.more = more;
        if more || port.shed > Shed::Nothing {
            stats.receive_overflow += port.gauge(now.mono);
        }
        let local = port.local();
        // What cannot all be carried is carried without video, or even without sound.
        let shed = ports.iter().map(|port| port.shed).max().unwrap_or_default();
        stats.overloads += u64::from(stats.behind == 0 && shed > Shed::Nothing);
        stats.behind = shed as u64;
        router.shed(shed);
        let mut any = false;
        for datagram in receiver.datagrams() {
            any = true;
            stats.datagrams_in += 1;
            stats.bytes_in += datagram.payload.len() as u64;
            let (to, from) = (local.told(datagram.local), datagram.remote);
            if crossing.route(to, from, datagram.payload, || router.knows_address(from), stats) {
                let check = !crossing.homes.alone() && is_stun(datagram.payload);
                hold.arrived(now.mono, datagram.payload);
                router.handle_datagram(now, to, from, datagram.payload);
                if check && router.owns_address(from) {
                    crossing.homes.claim(from);
                }
            }
        }
        stats.receive_calls += u64::from(any);
    }

    /// Clients over TCP. Their connections have come to their worker already.
    fn streams(&mut self, now: Time) {
        let ready = std::mem::take(&mut self.streams_ready) && self.streams.poll();
        if !ready && !self.streams.pending() {
            return;
        }
        let Self { streams, router, hold, stats, .. } = self;
        streams.serve(now.mono, stats, |to, from, datagram, known| {
            hold.arrived(now.mono, datagram);
            router.handle_datagram(now, to, from, datagram);
            known || router.owns_address(from)
        });
    }

    fn parcels(&mut self, now: Time) {
        for worker in 0..self.crossing.workers() {
            for _ in 0..PARCELS {
                let Some(mut parcel) = self.crossing.take(worker, now.mono) else { break };
                self.doze.came();
                self.unpack(now, worker, &mut parcel);
                self.crossing.give_back(worker, parcel);
            }
        }
    }

    fn unpack(&mut self, now: Time, worker: u8, parcel: &mut Parcel) {
        self.stats.foreign_in += parcel.datagram_count() as u64;
        for (to, from, datagram) in parcel.datagrams() {
            let check = is_stun(datagram);
            self.hold.arrived(now.mono, datagram);
            self.router.handle_datagram(now, to, from, datagram);
            if check && self.router.owns_address(from) {
                self.crossing.confirm(worker, from);
            }
        }
        for word in parcel.words.drain(..) {
            match word {
                Word::Link(link) => self.router.handle_link(now, worker, link),
                Word::Packets(batch) => {
                    self.stats.links_in += batch.len() as u64;
                    self.hold.arrived_held(now.mono);
                    self.router.handle_link_packets(now, worker, &batch);
                }
            }
        }
    }

    fn commands(&mut self, now: Time, budget: usize) {
        for _ in 0..budget {
            let Some(mail) = self.inbox.pop_front() else { break };
            match mail {
                Mail::Command(command) => {
                    self.stats.commands += 1;
                    self.command(now, command);
                }
                Mail::Register { room, sink } => self.rooms.register(room, sink),
                Mail::Unregister { room } => self.rooms.unregister(room),
                Mail::Adopt { id, room } => {
                    self.rooms.adopt(id, room);
                    if let Some(peer) = self.peers.get(&PeerId(id)).copied() {
                        self.router.hold_data(peer, self.rooms.holds(peer));
                    }
                }
                Mail::Egress(egress) => self.hold.configure(egress),
                Mail::Stream(arrival) => self.streams.adopt(now.mono, *arrival, &mut self.stats),
            }
        }
    }

    fn command(&mut self, now: Time, command: Command) {
        let mut opened = None;
        match &command {
            Command::OpenPeer { peer, .. } => {
                self.peers.insert(*peer);
                opened = Some(*peer);
            }
            Command::ClosePeer { peer } => {
                self.peers.remove(peer);
                self.rooms.forget(peer.0);
            }
            Command::RemoveProducer { producer } => self.rooms.forget(producer.0),
            _ => {}
        }
        self.router.handle_command(now, command);
        if let Some(peer) = opened.filter(|peer| self.rooms.holds(*peer)) {
            self.router.hold_data(peer, true);
        }
    }

    /// Forwards the media that has arrived, as far as the sockets take it.
    fn forward(&mut self, now: Time) {
        if self.outgoing.blocked() {
            return;
        }
        let began = Instant::now();
        loop {
            let more = self.router.fan_out(now, &mut self.outgoing.outbox);
            // Other workers begin with their share while this one sends its own.
            self.hand_over();
            if !self.flush(now) {
                return;
            }
            if !more {
                break;
            }
        }
        self.hold.forwarded(began.elapsed());
    }

    /// Gives other workers what the router has for them.
    fn hand_over(&mut self) {
        while let Some((worker, link)) = self.router.poll_link() {
            self.crossing.link(worker, link, &mut self.stats);
        }
        while let Some((worker, batch)) = self.router.poll_link_packets() {
            self.crossing.packets(worker, batch, &mut self.stats);
        }
        // What finds no room is shipped before this worker sleeps.
        self.crossing.ship();
    }

    /// Sends everything that is not forwarded media.
    fn transmit(&mut self, now: Time) {
        while !self.outgoing.blocked() {
            let more = self.router.poll_transmit(now, &mut self.outgoing.outbox);
            if !self.flush(now) || !more {
                break;
            }
        }
        self.hand_over();
    }

    /// Gives events to rooms. Of a room whose reader does not keep up, data stays with its peers.
    fn tell(&mut self) {
        while let Some(event) = self.router.poll_event() {
            if let Some(room) = self.rooms.deliver(event, &mut self.stats) {
                self.hold_data(room, true);
            }
        }
    }

    /// Takes data again of rooms whose readers have caught up. True if there are such.
    fn resume(&mut self) -> bool {
        let caught_up = self.rooms.retry(&mut self.stats);
        for room in &caught_up {
            self.hold_data(*room, false);
        }
        !caught_up.is_empty()
    }

    fn hold_data(&mut self, room: u32, held: bool) {
        for peer in self.peers.iter().filter(|peer| self.rooms.of(peer.0) == room) {
            self.router.hold_data(*peer, held);
        }
    }

    fn publish(&mut self) {
        self.stats.busy_permille = u64::from(self.hold.busy_permille());
        self.stats.peers = self.peers.len() as u64;
        self.stats.streams = self.streams.len() as u64;
        self.published.publish(&self.stats);
    }

    /// Waits until there is something to do.
    fn sleep(&mut self) {
        let waits = self.crossing.ship();
        let before = Instant::now();
        let mut timeout = self.deadline(before).saturating_duration_since(before);
        if waits {
            timeout = timeout.min(RING_RETRY);
        }
        if !self.inbox.is_empty() || self.streams.pending() || self.ports.iter().any(|port| port.more) {
            timeout = Duration::ZERO;
        }
        let looks = self.doze.looks(before);
        if looks {
            timeout = timeout.min(doze::TICK);
        }
        if !timeout.is_zero() {
            if !looks {
                self.bell.lie_down();
            }
            // A reader that caught up while this worker was awake has rung for nobody.
            if self.resume()
                || !self.mailbox.is_empty()
                || !self.crossing.is_empty()
                || self.mailbox.is_closed()
            {
                timeout = Duration::ZERO;
            } else if self.hold.deadline().is_some() {
                self.stats.holds += 1;
            }
        }
        match self.poller.wait(Some(timeout)) {
            Ok(all) => {
                for ready in all {
                    self.streams_ready |= ready.token == STREAMS;
                    let port = usize::try_from(ready.token).ok().and_then(|token| self.ports.get_mut(token));
                    if let Some(port) = port.filter(|_| ready.readable) {
                        port.more = true;
                    }
                }
            }
            // A wait that fails is a turn without sleep, not an end.
            Err(_) => self.ports.iter_mut().for_each(|port| port.more = true),
        }
        self.bell.get_up();
        self.hold.slept(before, Instant::now());
    }

    /// When the worker has something to do at the latest.
    fn deadline(&mut self, now: Instant) -> Instant {
        // While the sockets are full, nothing is forwarded: the hold is no reason to wake up.
        let held = if self.outgoing.blocked() { self.outgoing.deadline() } else { self.hold.deadline() };
        let deadlines = [self.router.poll_timeout(), held, Some(self.housekeeping)];
        deadlines.into_iter().flatten().min().unwrap_or(now)
    }
}

fn is_stun(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|&first| peer::classify(first) == peer::Class::Stun)
}
