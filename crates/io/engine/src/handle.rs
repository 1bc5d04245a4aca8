//! The waist between the control plane and the media workers.
//!
//! Owns: routing a command to the worker its id names, choosing a worker for a new room, and the end of the
//! threads. Every call returns at once, whatever the workers are doing, except [`Handle::stop`].

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use peer::{Candidate, Fingerprint};
use sfu::{Command, Counters, PeerId, worker_of};

use crate::config::Egress;
use crate::error::{SendError, Unsent};
use crate::events::Sink;
use crate::lobby::Door;
use crate::mailbox::{Mail, Mailbox, Returned};
use crate::stats::{Published, WorkerStats};

/// Talks to the engine; clones talk to the same one. The engine stops with [`Handle::stop`] or with its
/// last handle.
#[derive(Clone)]
pub struct Handle(Arc<Running>);

struct Running {
    workers: Vec<Remote>,
    fingerprint: Fingerprint,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Of the lobby, where clients over TCP may come.
    door: Option<Arc<Door>>,
    /// Where `place` begins, so that rooms opened at once spread over equally idle workers.
    turn: AtomicUsize,
    /// See [`crate::Config::spread_above`].
    spread_above: u8,
}

/// One worker as seen from outside.
pub(crate) struct Remote {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) published: Arc<Published>,
    pub(crate) candidates: Vec<Candidate>,
}

impl Handle {
    pub(crate) fn new(
        workers: Vec<Remote>,
        fingerprint: Fingerprint,
        threads: Vec<JoinHandle<()>>,
        door: Option<Arc<Door>>,
        spread_above: u8,
    ) -> Self {
        Self(Arc::new(Running {
            workers,
            fingerprint,
            threads: Mutex::new(threads),
            door,
            turn: AtomicUsize::new(0),
            spread_above,
        }))
    }

    /// Hands `command` to the worker that its id names. Commands of one sender to one worker keep their
    /// order. Data for peers of several workers is split; what a worker did not take comes back.
    pub fn send(&self, command: Command) -> Result<(), Unsent> {
        let Command::SendData { peers, label, payload } = command else {
            let worker = home(&command);
            return self.command(worker, command);
        };
        let mut unsent = Vec::new();
        for (worker, peers) in by_worker(peers) {
            let part = Command::SendData { peers, label, payload: payload.clone() };
            if let Err(Unsent(refused)) = self.command(worker, part) {
                unsent.extend(refused);
            }
        }
        if unsent.is_empty() { Ok(()) } else { Err(Unsent(unsent)) }
    }

    /// The least loaded worker, for a new room.
    pub fn place(&self) -> u8 {
        let workers = &self.0.workers;
        let start = self.0.turn.fetch_add(1, Ordering::Relaxed);
        let load = |index: usize| {
            let stats = workers[index].published.read();
            // Steps of a tenth: below that, the number of peers says more about what is coming.
            (workers[index].mailbox.is_closed(), stats.busy_permille / 100, stats.peers)
        };
        let order = (0..workers.len()).map(|i| (start + i) % workers.len());
        order.min_by_key(|&index| load(index)).unwrap_or(0) as u8
    }

    /// The worker for somebody who joins a room that lives on `home`: that one while it has time to spare, for what
    /// stays there crosses to nobody; beyond that the least loaded.
    pub fn beside(&self, home: u8) -> u8 {
        let busy = self.0.workers.get(usize::from(home)).map(|worker| worker.published.read().busy_permille);
        if busy.is_none_or(|busy| busy < u64::from(self.0.spread_above) * 10) { home } else { self.place() }
    }

    /// How many workers there are; their indices count from 0.
    pub fn workers(&self) -> u8 {
        self.0.workers.len() as u8
    }

    /// Addresses on which `worker` is reached, best first.
    pub fn candidates(&self, worker: u8) -> Vec<Candidate> {
        self.0.workers.get(usize::from(worker)).map(|w| w.candidates.clone()).unwrap_or_default()
    }

    /// The certificate that every transport presents.
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint
    }

    /// From now on events of ids whose room serial is `room` go to `sink`, whichever worker they come from.
    /// To be called before the room's first command.
    pub fn register_room(&self, room: u32, sink: &Sink) -> Result<(), SendError> {
        for worker in 0..self.workers() {
            self.post(worker, Mail::Register { room, sink: sink.clone() })?;
        }
        Ok(())
    }

    /// Forgets the room's sink; dropping its [`crate::Events`] does the same a little later.
    pub fn unregister_room(&self, room: u32) {
        for worker in 0..self.workers() {
            // A worker that is full or gone finds out when the reading end is dropped.
            let _ = self.post(worker, Mail::Unregister { room });
        }
    }

    /// From now on events of these peers and tracks go to the sink of `room`, which their ids do not name.
    pub fn adopt(&self, room: u32, ids: impl IntoIterator<Item = u64>) -> Result<(), SendError> {
        ids.into_iter().try_for_each(|id| self.post(worker_of(id), Mail::Adopt { id, room }))
    }

    /// Changes how long packets may wait for company, on every worker.
    pub fn set_egress(&self, egress: Egress) -> Result<(), SendError> {
        (0..self.workers()).try_for_each(|worker| self.post(worker, Mail::Egress(egress)))
    }

    /// A worker that has ended, if there is one: the rooms on it stand still until the engine is started again.
    pub fn ended(&self) -> Option<u8> {
        self.0.workers.iter().position(|worker| worker.mailbox.is_closed()).map(|index| index as u8)
    }

    /// What each worker has counted.
    pub fn stats(&self) -> Vec<WorkerStats> {
        self.0.workers.iter().map(|worker| worker.published.read()).collect()
    }

    /// Connections over TCP that were closed before their worker was known: too many, too slow, or no check.
    pub fn lobby_refused(&self) -> u64 {
        self.0.door.as_ref().map_or(0, |door| door.refused())
    }

    /// What each worker's router has counted, up to a quarter of a second ago.
    pub fn router_counters(&self) -> Vec<Counters> {
        self.0.workers.iter().map(|worker| worker.published.read_router()).collect()
    }

    /// Ends every worker and waits for it: what has been sent until now goes out, nothing comes in any
    /// more. Calling it twice is harmless.
    pub fn stop(&self) {
        self.0.stop();
    }

    fn post(&self, worker: u8, mail: Mail) -> Result<(), SendError> {
        match self.0.workers.get(usize::from(worker)) {
            Some(remote) => remote.mailbox.post(mail).map_err(|returned| returned.error),
            None => Err(SendError::Stopped(worker)),
        }
    }

    fn command(&self, worker: u8, command: Command) -> Result<(), Unsent> {
        let refused = |error, command| Err(Unsent(vec![(error, command)]));
        let Some(remote) = self.0.workers.get(usize::from(worker)) else {
            return refused(SendError::Stopped(worker), command);
        };
        match remote.mailbox.post(Mail::Command(command)).map_err(|returned| *returned) {
            Err(Returned { error, mail: Mail::Command(command) }) => refused(error, command),
            // Nothing but what was posted comes back.
            Err(_) | Ok(()) => Ok(()),
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({} workers)", self.0.workers.len())
    }
}

impl Running {
    fn stop(&self) {
        if let Some(door) = &self.door {
            door.close();
        }
        for worker in &self.workers {
            worker.mailbox.close();
        }
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A worker that panicked has said so in the log.
            let _ = thread.join();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The worker on which `command` is to be carried out.
fn home(command: &Command) -> u8 {
    let id = match command {
        Command::OpenPeer { peer, .. }
        | Command::SetRemote { peer, .. }
        | Command::AddCandidate { peer, .. }
        | Command::RestartIce { peer, .. }
        | Command::SetReceiveExtensions { peer, .. }
        | Command::ClosePeer { peer }
        | Command::AddProducer { peer, .. }
        | Command::AddConsumer { peer, .. }
        | Command::OpenChannel { peer, .. }
        | Command::AllowPause { peer, .. }
        | Command::LimitBandwidth { peer, .. } => peer.0,
        Command::UpdateProducer { producer, .. } | Command::RemoveProducer { producer } => producer.0,
        Command::SetWish { consumer, .. } | Command::RemoveConsumer { consumer } => consumer.0,
        Command::SendData { peers, .. } => peers.first().map_or(0, |peer| peer.0),
    };
    worker_of(id)
}

/// Peers by the worker they live on, order kept; a room's are nearly always on one.
fn by_worker(peers: Vec<PeerId>) -> Vec<(u8, Vec<PeerId>)> {
    let Some(first) = peers.first().map(|peer| worker_of(peer.0)) else { return Vec::new() };
    if peers.iter().all(|peer| worker_of(peer.0) == first) {
        return vec![(first, peers)];
    }
    let mut parts: Vec<(u8, Vec<PeerId>)> = Vec::new();
    for peer in peers {
        let worker = worker_of(peer.0);
        match parts.iter_mut().find(|(w, _)| *w == worker) {
            Some((_, part)) => part.push(peer),
            None => parts.push((worker, vec![peer])),
        }
    }
    parts
}
