//! Where clients over TCP connect, and wait until it is known which worker they are for.
//!
//! Owns: the listeners, on a thread of their own, and connections that have not yet sent a connectivity check. The
//! first of a client's datagrams (RFC 4571) that is one names our user fragment, which names the worker
//! ([`peer::home_of`]); from then on the connection is that worker's. Nobody here has proved anything, so
//! connections are few, short-lived and hold a few hundred bytes each. Knows nothing of peers: a worker may find
//! that there is none.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use net::{EventFd, FRAME_HEADER, Listener, Poller, split_frame};

use crate::mailbox::{Mail, Mailbox};
use crate::port::Local;
use crate::streams::{Arrival, is_transient};

/// Connections that wait; the oldest gives way.
const WAITING_MAX: usize = 1024;
/// Of one address, or of one IPv6 network (/64).
const WAITING_PER_ADDRESS: usize = 64;
/// How long a client may take for its first check.
const FIRST_CHECK: Duration = Duration::from_secs(10);
/// The longest datagram taken here. A check has some 100 to 200 bytes, but a client that comes back may have other
/// things to say first.
const FIRST_MAX: usize = 1500;
/// How many of those are passed over.
const PASSED_OVER_MAX: u8 = 32;
/// Connections accepted from one listener in a turn.
const ACCEPTS: usize = 64;
/// Time between two looks for those that took too long.
const SWEEP: Duration = Duration::from_secs(1);
/// Rest after the system refused a connection, for want of descriptors above all: asking at once spins.
const REST: Duration = Duration::from_millis(100);

/// The bell's token; a listener's is its index.
const BELL: u64 = u64::MAX;
/// The token of the first waiting connection.
const FIRST_WAITING: u64 = 1 << 32;

/// The lobby as seen from outside.
#[derive(Debug)]
pub(crate) struct Door {
    bell: EventFd,
    closed: AtomicBool,
    refused: AtomicU64,
}

impl Door {
    /// Nobody is let in any more; the thread ends.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.bell.notify();
    }

    /// Connections that were closed here: too many, too slow, or no check.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// A connection whose worker is not known.
#[derive(Debug)]
struct Waiting {
    socket: TcpStream,
    local: SocketAddr,
    remote: SocketAddr,
    said: Vec<u8>,
    passed_over: u8,
    since: Instant,
}

/// The lobby, before and while it runs.
pub(crate) struct Lobby {
    listeners: Vec<(Listener, Local)>,
    mailboxes: Vec<Arc<Mailbox>>,
    door: Arc<Door>,
    poller: Poller,
    waiting: HashMap<u64, Waiting>,
    next: u64,
    /// Listeners are not asked before.
    resting: Option<Instant>,
    room: Box<[u8]>,
}

impl Lobby {
    pub(crate) fn new(
        listeners: Vec<(Listener, Local)>,
        mailboxes: Vec<Arc<Mailbox>>,
    ) -> io::Result<(Self, Arc<Door>)> {
        let door = Arc::new(Door {
            bell: EventFd::new()?,
            closed: AtomicBool::new(false),
            refused: AtomicU64::new(0),
        });
        let poller = Poller::new()?;
        poller.add(&door.bell, BELL)?;
        for (token, (listener, _)) in listeners.iter().enumerate() {
            poller.add(listener, token as u64)?;
        }
        let lobby = Self {
            listeners,
            mailboxes,
            door: Arc::clone(&door),
            poller,
            waiting: HashMap::new(),
            next: FIRST_WAITING,
            resting: None,
            room: vec![0; FRAME_HEADER + FIRST_MAX].into(),
        };
        Ok((lobby, door))
    }

    /// Lets clients in on a thread of its own until the door is closed.
    pub(crate) fn spawn(self) -> io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("media-lobby".into()).spawn(move || self.run())
    }

    fn run(mut self) {
        let mut ready = Vec::new();
        while !self.door.closed.load(Ordering::Acquire) {
            let timeout = if self.resting.is_some() { REST } else { SWEEP };
            // While nobody waits and nothing rests there is nothing to look for.
            let timeout = (self.resting.is_some() || !self.waiting.is_empty()).then_some(timeout);
            ready.clear();
            match self.poller.wait(timeout) {
                Ok(events) => ready.extend(events.iter().map(|event| event.token)),
                Err(_) => self.rest(Instant::now()),
            }
            self.turn(Instant::now(), &ready);
        }
    }

    fn turn(&mut self, now: Instant, ready: &[u64]) {
        // 1. Those that have said something.
        for token in ready {
            self.listen_to(*token);
        }
        // 2. Those that took too long.
        let before = self.waiting.len();
        self.waiting.retain(|_, waiting| now.saturating_duration_since(waiting.since) < FIRST_CHECK);
        self.count_refused(before - self.waiting.len());
        // 3. New ones.
        if self.resting.is_some_and(|until| now < until) {
            return;
        }
        if self.resting.take().is_some() {
            self.watch_listeners(true);
        }
        for listener in 0..self.listeners.len() {
            if ready.contains(&(listener as u64)) {
                self.accept(now, listener);
            }
        }
    }

    fn accept(&mut self, now: Instant, listener: usize) {
        for _ in 0..ACCEPTS {
            let Some((listener, local)) = self.listeners.get(listener) else { return };
            match listener.accept() {
                Ok(Some((socket, remote))) => {
                    // Which address of ours it came to, as the client was told it.
                    let Ok(bound) = socket.local_addr() else { continue };
                    let local = local.told(Some(bound.ip()));
                    self.admit(Waiting {
                        socket,
                        local,
                        remote,
                        said: Vec::new(),
                        passed_over: 0,
                        since: now,
                    });
                }
                Ok(None) => return,
                // The client has gone again: that says nothing about the next.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => return self.rest(now),
            }
        }
    }

    fn admit(&mut self, waiting: Waiting) {
        let network = network(waiting.remote.ip());
        let same = self.waiting.values().filter(|w| self::network(w.remote.ip()) == network).count();
        if same >= WAITING_PER_ADDRESS {
            return self.count_refused(1);
        }
        if self.waiting.len() >= WAITING_MAX
            && let Some(oldest) = self.waiting.keys().min().copied()
        {
            self.waiting.remove(&oldest);
            self.count_refused(1);
        }
        let token = self.next;
        self.next += 1;
        match self.poller.add(&waiting.socket, token) {
            Ok(()) => drop(self.waiting.insert(token, waiting)),
            Err(_) => self.count_refused(1),
        }
    }

    /// Reads on until there is a check.
    fn listen_to(&mut self, token: u64) {
        let Some(waiting) = self.waiting.get_mut(&token) else { return };
        let held = waiting.said.len();
        let Some((front, behind)) = self.room.split_at_mut_checked(held) else { return };
        front.copy_from_slice(&waiting.said);
        let count = match waiting.socket.read(behind) {
            Ok(count) if count > 0 => count,
            Err(error) if is_transient(&error) => return,
            Ok(_) | Err(_) => return self.refuse(token),
        };
        let mut said = self.room.get_mut(..held + count).unwrap_or_default();
        let mut home = None;
        while home.is_none() {
            match split_frame(said, FIRST_MAX) {
                Ok(None) => break,
                Ok(Some((datagram, _))) => {
                    home = peer::stun_ufrag(datagram).map(peer::home_of);
                    if home.is_none() {
                        let len = FRAME_HEADER + datagram.len();
                        said = said.get_mut(len..).unwrap_or_default();
                        waiting.passed_over = waiting.passed_over.saturating_add(1);
                    }
                }
                Err(_) => home = Some(None),
            }
        }
        waiting.said.clear();
        waiting.said.extend_from_slice(said);
        match home {
            Some(Some(worker)) => self.hand_over(token, worker),
            Some(None) => self.refuse(token),
            None if waiting.passed_over > PASSED_OVER_MAX => self.refuse(token),
            None => {}
        }
    }

    fn hand_over(&mut self, token: u64, worker: u8) {
        let Some(waiting) = self.waiting.remove(&token) else { return };
        let Some(mailbox) = self.mailboxes.get(usize::from(worker)) else { return self.count_refused(1) };
        let Waiting { socket, local, remote, said, .. } = waiting;
        // The worker's poller gets it next; two would both wake for it.
        let forgotten = self.poller.remove(&socket);
        let mail = Mail::Stream(Box::new(Arrival { socket, local, remote, said }));
        if forgotten.is_err() || mailbox.post(mail).is_err() {
            self.count_refused(1);
        }
    }

    fn refuse(&mut self, token: u64) {
        self.waiting.remove(&token);
        self.count_refused(1);
    }

    fn rest(&mut self, now: Instant) {
        self.resting = Some(now + REST);
        self.watch_listeners(false);
    }

    fn watch_listeners(&self, on: bool) {
        for (token, (listener, _)) in self.listeners.iter().enumerate() {
            // One that cannot be changed wakes the thread more often than needed, and no more.
            let _ = match on {
                true => self.poller.add(listener, token as u64),
                false => self.poller.remove(listener),
            };
        }
    }

    fn count_refused(&self, count: usize) {
        self.door.refused.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// What is counted as one sender.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into(),
    }
}
