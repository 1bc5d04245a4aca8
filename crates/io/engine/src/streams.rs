//! A worker's clients over TCP (RFC 6544), framed as in RFC 4571.
//!
//! Owns: connections that the lobby has handed to this worker, what waits to be written to each, and their end. A
//! client that reads slowly delays nobody: its queue is short in bytes and in time, and media that does not fit is
//! dropped and counted, as a full UDP path would. A connection whose peer passes no check is closed soon.
//!
//! A connection's far address is marked ([`peer::Carrier`]), so that the router's tables tell it from a UDP sender
//! of the same number. The router is not told of a connection's end: the peer's checks stop, or come by another.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use net::{FRAME_HEADER, Poller, push_frame, split_frame};
use peer::Carrier;
use sfu::Outbox;

use crate::stats::WorkerStats;

/// The longest datagram taken, bytes. What browsers send stays below the MTU of a path.
pub(crate) const FRAME_MAX: usize = 4096;
/// Connections of one worker.
const STREAMS_MAX: usize = 8192;
/// Connections that have not passed a check, of one worker; the oldest gives way.
const STRANGERS_MAX: usize = 256;
/// How long a connection may take to pass a check.
const CHECK_TIME: Duration = Duration::from_secs(10);
/// Silence after which a connection is closed: consent is renewed every few seconds, and expires after 30
/// (RFC 7675 section 5.1).
const SILENCE_MAX: Duration = Duration::from_secs(40);
/// Bytes that may wait for a client: a key frame and what follows it.
const QUEUE_BYTES: usize = 256 << 10;
/// What checks, handshakes and data channels may take beyond it: without them the connection is lost altogether.
const QUEUE_RESERVE: usize = 64 << 10;
/// How long what waits may have waited before media is dropped: later than this nobody misses it.
const QUEUE_TIME: Duration = Duration::from_millis(500);
/// Bytes that the kernel may keep unsent behind a slow line.
const UNSENT_BYTES: usize = 64 << 10;
/// Bytes read from one connection in a turn.
const READ_BYTES: usize = 64 << 10;
/// Time between two looks for connections to close.
const SWEEP: Duration = Duration::from_secs(1);

/// A connection as the lobby hands it over, with what it has said so far.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) socket: TcpStream,
    /// Our address as the client was told it.
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) said: Vec<u8>,
}

/// One client.
#[derive(Debug)]
struct Stream {
    socket: TcpStream,
    local: SocketAddr,
    /// Marked.
    remote: SocketAddr,
    /// An incomplete frame.
    said: Vec<u8>,
    queue: VecDeque<u8>,
    /// Since when the queue has not been empty.
    waiting_since: Option<Instant>,
    since: Instant,
    heard: Instant,
    /// A peer has passed a check over it.
    known: bool,
}

/// Whether a connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    Ends,
}

/// All clients over TCP of one worker.
#[derive(Debug)]
pub(crate) struct Streams {
    poller: Poller,
    slots: Vec<Option<Stream>>,
    by_remote: HashMap<SocketAddr, usize>,
    /// Slots to look at in this turn.
    ready: Vec<(usize, bool)>,
    room: Box<[u8]>,
    /// What goes to one client at once.
    frames: Vec<u8>,
    sweep: Option<Instant>,
}

impl Streams {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            poller: Poller::new()?,
            slots: Vec::new(),
            by_remote: HashMap::new(),
            ready: Vec::new(),
            room: Vec::new().into(),
            frames: Vec::new(),
            sweep: None,
        })
    }

    /// What wakes the worker.
    pub(crate) fn poller(&self) -> &Poller {
        &self.poller
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_remote.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_remote.len()
    }

    /// Takes a connection in; what it has said is read with what comes next or at once.
    pub(crate) fn adopt(&mut self, now: Instant, arrival: Arrival, stats: &mut WorkerStats) {
        let remote = Carrier::Tcp.mark(arrival.remote);
        if self.room.is_empty() {
            self.room = vec![0; READ_BYTES + FRAME_MAX + FRAME_HEADER].into();
        }
        if let Some(old) = self.by_remote.get(&remote).copied() {
            // The kernel gives an address to one connection at a time: the old one has ended unnoticed.
            self.close(old);
        }
        let strangers = self.slots.iter().flatten().filter(|s| !s.known).count();
        if strangers >= STRANGERS_MAX || self.len() >= STREAMS_MAX {
            let oldest = self.slots.iter().enumerate().filter_map(|(slot, s)| Some((slot, s.as_ref()?)));
            match oldest.filter(|(_, s)| !s.known).min_by_key(|(_, s)| s.since) {
                Some((slot, _)) => self.close(slot),
                None => {
                    stats.streams_refused += 1;
                    return;
                }
            }
            stats.streams_refused += 1;
        }
        let slot = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
        if self.poller.add(&arrival.socket, slot as u64).is_err() {
            stats.streams_refused += 1;
            return;
        }
        // Where the kernel cannot, more waits in its buffer than is good; the client still works.
        let _ = net::limit_unsent(&arrival.socket, UNSENT_BYTES);
        let stream = Stream {
            socket: arrival.socket,
            local: arrival.local,
            remote,
            said: arrival.said,
            queue: VecDeque::new(),
            waiting_since: None,
            since: now,
            heard: now,
            known: false,
        };
        match self.slots.get_mut(slot) {
            Some(place) => *place = Some(stream),
            None => self.slots.push(Some(stream)),
        }
        self.by_remote.insert(remote, slot);
        stats.streams_in += 1;
        // What it has said waits for nobody to write more.
        self.ready.push((slot, true));
    }

    /// Whether something is to be read without waiting.
    pub(crate) fn pending(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Asks the kernel which clients have sent something or can take more. True if there may be more of them.
    pub(crate) fn poll(&mut self) -> bool {
        let Ok(ready) = self.poller.wait(Some(Duration::ZERO)) else { return false };
        for ready in ready {
            self.ready.push((ready.token as usize, ready.readable));
        }
        !self.ready.is_empty()
    }

    /// Writes to those that can take more and shows `take` every datagram that came in: (local, remote, datagram,
    /// whether a peer is known to have the remote address), to which it answers whether one has it now.
    pub(crate) fn serve(
        &mut self,
        now: Instant,
        stats: &mut WorkerStats,
        mut take: impl FnMut(SocketAddr, SocketAddr, &mut [u8], bool) -> bool,
    ) {
        while let Some((slot, readable)) = self.ready.pop() {
            let Some(Some(stream)) = self.slots.get_mut(slot) else { continue };
            let mut fate = Fate::Stays;
            if !stream.queue.is_empty() {
                fate = stream.drain(slot, &self.poller);
            }
            if readable && fate == Fate::Stays {
                fate = stream.read(now, &mut self.room, stats, &mut take);
            }
            if fate == Fate::Ends {
                self.close(slot);
            }
        }
    }

    /// Frames the datagrams of the outbox that go over TCP and writes what the sockets take. How many datagrams they
    /// were, dropped ones included; those for connections that have gone are not among them.
    pub(crate) fn send(&mut self, now: Instant, outbox: &Outbox, stats: &mut WorkerStats) -> usize {
        if self.is_empty() {
            return 0;
        }
        let mut done = 0;
        let mut entries = outbox.entries().iter().peekable();
        while let Some(entry) = entries.next() {
            let remote = outbox.path(entry).remote;
            if Carrier::of(remote) != Carrier::Tcp {
                continue;
            }
            let Some(&slot) = self.by_remote.get(&remote) else { continue };
            let Some(Some(stream)) = self.slots.get_mut(slot) else { continue };
            self.frames.clear();
            done += 1;
            stream.frame(now, outbox.payload(entry), &mut self.frames, stats);
            while let Some(next) = entries.next_if(|next| outbox.path(next).remote == remote) {
                done += 1;
                stream.frame(now, outbox.payload(next), &mut self.frames, stats);
            }
            if stream.write(now, slot, &self.frames, &self.poller, stats) == Fate::Ends {
                self.close(slot);
            }
        }
        done
    }

    /// Closes what is of no use any more; `owned` says whether a peer has a remote address.
    pub(crate) fn sweep(&mut self, now: Instant, owned: impl Fn(SocketAddr) -> bool) {
        if self.is_empty() || self.sweep.is_some_and(|at| now < at) {
            return;
        }
        self.sweep = Some(now + SWEEP);
        for slot in 0..self.slots.len() {
            let Some(Some(stream)) = self.slots.get(slot) else { continue };
            let age = now.saturating_duration_since(stream.since);
            let silent = now.saturating_duration_since(stream.heard) >= SILENCE_MAX;
            // A peer that is gone gets what waits for it, its goodbye, with the sweep's patience.
            let gone = stream.known && !owned(stream.remote);
            if silent || gone || (!stream.known && age >= CHECK_TIME) {
                self.close(slot);
            }
        }
    }

    fn close(&mut self, slot: usize) {
        // The descriptor leaves the poller as it closes.
        if let Some(stream) = self.slots.get_mut(slot).and_then(Option::take)
            && self.by_remote.get(&stream.remote) == Some(&slot)
        {
            self.by_remote.remove(&stream.remote);
        }
        self.ready.retain(|(ready, _)| *ready != slot);
    }
}

impl Stream {
    /// Adds a datagram to what is about to be written, unless the client is behind.
    fn frame(&self, now: Instant, datagram: &[u8], frames: &mut Vec<u8>, stats: &mut WorkerStats) {
        let waits = self.queue.len() + frames.len() + FRAME_HEADER + datagram.len();
        let late = self.waiting_since.is_some_and(|since| now.saturating_duration_since(since) >= QUEUE_TIME);
        let is_media = datagram.first().is_some_and(|&first| peer::classify(first) == peer::Class::Rtp);
        let fits = match is_media {
            true => !late && waits <= QUEUE_BYTES,
            false => waits <= QUEUE_BYTES + QUEUE_RESERVE,
        };
        if fits && push_frame(frames, datagram) {
            stats.datagrams_out += 1;
            stats.bytes_out += datagram.len() as u64;
        } else {
            stats.streams_overflow += 1;
        }
    }

    /// Writes whole frames, behind what waits.
    fn write(
        &mut self,
        now: Instant,
        slot: usize,
        frames: &[u8],
        poller: &Poller,
        stats: &mut WorkerStats,
    ) -> Fate {
        let mut taken = 0;
        if self.queue.is_empty() && !frames.is_empty() {
            stats.send_calls += 1;
            match self.socket.write(frames) {
                Ok(count) => taken = count,
                Err(error) if is_transient(&error) => {}
                Err(_) => return Fate::Ends,
            }
        }
        let rest = frames.get(taken..).unwrap_or_default();
        if rest.is_empty() {
            return Fate::Stays;
        }
        if self.queue.is_empty() {
            self.waiting_since = Some(now);
            stats.send_blocked += 1;
            if poller.want_write(&self.socket, slot as u64, true).is_err() {
                return Fate::Ends;
            }
        }
        // What is in the middle of being written has to be finished, or the stream means nothing any more.
        self.queue.extend(rest);
        Fate::Stays
    }

    /// Writes what waits.
    fn drain(&mut self, slot: usize, poller: &Poller) -> Fate {
        while !self.queue.is_empty() {
            let (front, _) = self.queue.as_slices();
            match self.socket.write(front) {
                Ok(0) => return Fate::Ends,
                Ok(count) => drop(self.queue.drain(..count)),
                Err(error) if is_transient(&error) => return Fate::Stays,
                Err(_) => return Fate::Ends,
            }
        }
        self.waiting_since = None;
        match poller.want_write(&self.socket, slot as u64, false) {
            Ok(()) => Fate::Stays,
            Err(_) => Fate::Ends,
        }
    }

    fn read(
        &mut self,
        now: Instant,
        room: &mut [u8],
        stats: &mut WorkerStats,
        take: &mut impl FnMut(SocketAddr, SocketAddr, &mut [u8], bool) -> bool,
    ) -> Fate {
        let held = self.said.len();
        let Some((front, behind)) = room.split_at_mut_checked(held) else { return Fate::Ends };
        front.copy_from_slice(&self.said);
        let (count, ended) = match self.socket.read(behind) {
            Ok(0) => (0, true),
            Ok(count) => (count, false),
            Err(error) if is_transient(&error) => (0, false),
            Err(_) => return Fate::Ends,
        };
        stats.receive_calls += u64::from(count > 0);
        let mut rest = room.get_mut(..held + count).unwrap_or_default();
        loop {
            match split_frame(rest, FRAME_MAX) {
                Ok(None) => break,
                Ok(Some((datagram, _))) => {
                    let len = datagram.len();
                    stats.datagrams_in += 1;
                    stats.bytes_in += len as u64;
                    self.heard = now;
                    self.known = take(self.local, self.remote, datagram, self.known);
                    rest = rest.get_mut(FRAME_HEADER + len..).unwrap_or_default();
                }
                Err(_) => return Fate::Ends,
            }
        }
        self.said.clear();
        self.said.extend_from_slice(rest);
        if ended { Fate::Ends } else { Fate::Stays }
    }
}

/// Nothing can be read or written just now.
pub(crate) fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests;
