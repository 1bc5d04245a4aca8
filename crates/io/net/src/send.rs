//! Many datagrams in one call: sendmmsg(2), with runs in one piece (UDP_SEGMENT, Linux 4.18).
//!
//! Owns: what happens when the kernel does not take something: a full buffer, a destination that cannot be
//! reached, a device that cannot do runs. Nothing here waits, and nothing fails as a whole.

use std::io;
use std::net::{IpAddr, SocketAddr};

use crate::addr::Raw;
use crate::check;
use crate::control::Buffer;
use crate::socket::Socket;

/// Datagrams in one run: `UDP_MAX_SEGMENTS` of Linux before 6.9.
pub const MAX_SEGMENTS: usize = 64;
/// Bytes in one run: the largest UDP payload over IPv4, RFC 768 and RFC 791.
pub const MAX_RUN_BYTES: usize = 65_507;

/// Messages in one call.
const BATCH: usize = 64;

/// Payload that fits every path (IPv6's least MTU of 1280, RFC 8200 section 5, less 48 bytes of headers): a
/// run of such segments that is refused is refused for being a run, not for its size.
const SAFE_SEGMENT: usize = 1232;

/// Something to send: one datagram, or a run of them to one destination.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Where to.
    pub remote: SocketAddr,
    /// The local address to leave from; the kernel chooses if `None`.
    pub local: Option<IpAddr>,
    /// Datagrams back to back.
    pub payload: &'a [u8],
    /// Bytes of each datagram; the last may be shorter.
    pub segment: usize,
}

impl Message<'_> {
    fn count(&self) -> usize {
        self.payload.len().div_ceil(self.segment.max(1)).max(1)
    }
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Datagrams from the front of the batch that are done with, whether sent or dropped.
    pub done: usize,
    /// Datagrams the kernel took.
    pub sent: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Messages they were; a run is one.
    pub messages: usize,
    /// System calls.
    pub calls: usize,
    /// Datagrams the kernel refused: no route, too long, forbidden.
    pub refused: usize,
    /// Datagrams dropped because a queue below the socket was full (ENOBUFS).
    pub overflow: usize,
    /// The socket's buffer is full: the rest is to be offered again when it is writable.
    pub blocked: bool,
}

/// Sends through one socket, and remembers whether runs work there.
pub struct Sender {
    headers: Vec<libc::mmsghdr>,
    vectors: Vec<libc::iovec>,
    addrs: Vec<Raw>,
    controls: Vec<Buffer>,
    /// Datagrams and bytes of each message laid out.
    counts: Vec<(usize, usize)>,
    gso: bool,
    /// Answers given instead of the kernel's, first one first: loopback never fills a send buffer.
    #[cfg(test)]
    faults: std::collections::VecDeque<i32>,
}

// SAFETY: the pointers inside are set anew in each call, before they are used.
unsafe impl Send for Sender {}

/// How the kernel answered the message at the front.
enum Trouble {
    /// Later.
    Blocked,
    /// Not as a run. Never again if `always`.
    NoRuns { always: bool },
    /// A queue is full: dropped.
    Overflow,
    /// This message cannot be sent.
    Refused,
}

impl Sender {
    /// `gso` says whether runs may be tried at all.
    pub fn new(gso: bool) -> Self {
        // SAFETY: these C structures are integers and pointers, for which zero is a value.
        let (header, vector) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        Self {
            headers: vec![header; BATCH],
            vectors: vec![vector; BATCH],
            addrs: vec![Raw::zeroed(); BATCH],
            controls: vec![Buffer::new(); BATCH],
            counts: Vec::with_capacity(BATCH),
            gso,
            #[cfg(test)]
            faults: std::collections::VecDeque::new(),
        }
    }

    /// How many datagrams a run should have: 1 once the kernel or a device has refused runs.
    pub fn max_segments(&self) -> usize {
        if self.gso { MAX_SEGMENTS } else { 1 }
    }

    /// Sends `messages` in order until all are done with or the socket blocks.
    pub fn send<'a>(&mut self, socket: &Socket, messages: impl IntoIterator<Item = Message<'a>>) -> Outcome {
        let mut outcome = Outcome::default();
        let mut messages = messages.into_iter();
        let mut batch: [Option<Message<'a>>; BATCH] = [None; BATCH];
        loop {
            let mut len = 0;
            for (place, message) in batch.iter_mut().zip(messages.by_ref()) {
                *place = Some(message);
                len += 1;
            }
            if len == 0 {
                return outcome;
            }
            self.send_batch(socket, &batch[..len], &mut outcome);
            if outcome.blocked || len < BATCH {
                return outcome;
            }
        }
    }

    /// Up to [`BATCH`] messages.
    fn send_batch(&mut self, socket: &Socket, batch: &[Option<Message<'_>>], outcome: &mut Outcome) {
        let mut rest = batch;
        while let Some(Some(first)) = rest.first() {
            if first.count() > 1 && !self.gso {
                self.send_apart(socket, *first, outcome);
                if outcome.blocked {
                    return;
                }
                rest = &rest[1..];
                continue;
            }
            // Up to the next run that has to be taken apart.
            let runs = self.gso;
            let plain = rest.iter().flatten().take_while(|m| runs || m.count() == 1);
            let (taken, trouble) = self.call(socket, plain.copied(), outcome);
            rest = rest.get(taken..).unwrap_or_default();
            let (Some(trouble), Some(Some(first))) = (trouble, rest.first()) else { continue };
            match trouble {
                Trouble::Blocked => {
                    outcome.blocked = true;
                    return;
                }
                Trouble::NoRuns { always } => {
                    self.gso &= !always;
                    self.send_apart(socket, *first, outcome);
                    if outcome.blocked {
                        return;
                    }
                }
                Trouble::Overflow => {
                    outcome.overflow += first.count();
                    outcome.done += first.count();
                }
                Trouble::Refused => {
                    outcome.refused += first.count();
                    outcome.done += first.count();
                }
            }
            rest = &rest[1..];
        }
    }

    /// Sends a run datagram by datagram.
    fn send_apart(&mut self, socket: &Socket, run: Message<'_>, outcome: &mut Outcome) {
        let mut rest = run.payload;
        while !rest.is_empty() {
            let one = |payload| Message { payload, segment: run.segment, ..run };
            let parts = rest.chunks(run.segment.max(1)).take(BATCH).map(one);
            let before = outcome.done;
            let (_, trouble) = self.call(socket, parts, outcome);
            match trouble {
                Some(Trouble::Blocked) => {
                    outcome.blocked = true;
                    return;
                }
                Some(Trouble::Overflow) => {
                    outcome.overflow += 1;
                    outcome.done += 1;
                }
                Some(Trouble::Refused | Trouble::NoRuns { .. }) => {
                    outcome.refused += 1;
                    outcome.done += 1;
                }
                None => {}
            }
            let done = outcome.done - before;
            rest = rest.get(done * run.segment.max(1)..).unwrap_or_default();
        }
    }

    /// One sendmmsg: how many messages it took, and what the kernel says to the next one.
    fn call<'a>(
        &mut self,
        socket: &Socket,
        messages: impl Iterator<Item = Message<'a>>,
        outcome: &mut Outcome,
    ) -> (usize, Option<Trouble>) {
        let first = self.prepare(messages);
        let Some(first) = first else { return (0, None) };
        let mut retried = false;
        loop {
            outcome.calls += 1;
            match self.sendmmsg(socket) {
                Ok(taken) => {
                    let taken = (taken as usize).min(self.counts.len());
                    for &(count, bytes) in &self.counts[..taken] {
                        outcome.done += count;
                        outcome.sent += count;
                        outcome.bytes += bytes;
                        outcome.messages += 1;
                    }
                    // Fewer than given: the next call gets the error of the one that failed.
                    return (taken, None);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // An ICMP error of an earlier datagram, reported once and then gone.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && !retried => retried = true,
                Err(error) => return (0, Some(trouble(&error, first))),
            }
        }
    }

    fn sendmmsg(&mut self, socket: &Socket) -> io::Result<i32> {
        #[cfg(test)]
        if let Some(errno) = self.faults.pop_front() {
            return Err(io::Error::from_raw_os_error(errno));
        }
        let count = self.counts.len() as u32;
        // SAFETY: `prepare`, called just before, made as many headers as `counts` has entries point to this
        // value's memory and to payloads that outlive `call`; the kernel only reads through them.
        check(unsafe {
            libc::sendmmsg(socket.raw(), self.headers.as_mut_ptr(), count, libc::MSG_DONTWAIT as _)
        })
    }

    /// Lays out up to [`BATCH`] messages for the kernel; the first one's segment size, and whether it is a
    /// run.
    fn prepare<'a>(&mut self, messages: impl Iterator<Item = Message<'a>>) -> Option<(usize, bool)> {
        self.counts.clear();
        let mut first = None;
        let places =
            self.headers.iter_mut().zip(&mut self.vectors).zip(&mut self.addrs).zip(&mut self.controls);
        for ((((header, vector), addr), control), message) in places.zip(messages) {
            let count = message.count();
            let segment = u16::try_from(message.segment).ok().filter(|_| count > 1);
            let (raw, raw_len) = Raw::from(message.remote);
            *addr = raw;
            // The kernel does not write through a send's vector.
            *vector = libc::iovec {
                iov_base: message.payload.as_ptr().cast_mut().cast(),
                iov_len: message.payload.len(),
            };
            let used = control.write(message.local, segment);
            let out = &mut header.msg_hdr;
            out.msg_name = std::ptr::from_mut(addr).cast();
            out.msg_namelen = raw_len;
            out.msg_iov = vector;
            out.msg_iovlen = 1;
            out.msg_control = if used == 0 { std::ptr::null_mut() } else { control.0.as_mut_ptr().cast() };
            out.msg_controllen = used as _;
            header.msg_len = 0;
            first.get_or_insert((message.segment, count > 1));
            self.counts.push((count, message.payload.len()));
        }
        first
    }
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sender(runs of {})", self.max_segments())
    }
}

/// What an error says about the message at the front, which has segments of this size and is a run or not.
fn trouble(error: &io::Error, (segment, run): (usize, bool)) -> Trouble {
    match error.raw_os_error() {
        Some(libc::EAGAIN) => Trouble::Blocked,
        Some(libc::ENOBUFS | libc::ENOMEM) => Trouble::Overflow,
        // The device cannot compute checksums, without which there are no runs.
        Some(libc::EIO | libc::EOPNOTSUPP | libc::ENOPROTOOPT) if run => Trouble::NoRuns { always: true },
        // Either runs do not work at all, or these segments are too long for this path.
        Some(libc::EINVAL | libc::EMSGSIZE) if run => Trouble::NoRuns { always: segment <= SAFE_SEGMENT },
        _ => Trouble::Refused,
    }
}

#[cfg(test)]
mod tests;
