//! Many datagrams in one call: recvmmsg(2), with runs taken apart (UDP_GRO).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::addr::{RAW_LEN, Raw};
use crate::check;
use crate::control::{self, Buffer, SPACE};
use crate::socket::Socket;

/// Room for one datagram where runs do not come: more than any path carries, so that what does not fit is
/// nothing of ours.
const DATAGRAM_ROOM: usize = 2048;
/// Room for one run: the largest the kernel builds.
const RUN_ROOM: usize = 65_536;

/// Memory for one batch of received datagrams.
pub struct Receiver {
    bytes: Vec<u8>,
    stride: usize,
    headers: Vec<libc::mmsghdr>,
    vectors: Vec<libc::iovec>,
    addrs: Vec<Raw>,
    controls: Vec<Buffer>,
    arrivals: Vec<Arrival>,
    truncated: u64,
}

// SAFETY: the pointers inside are set anew in each call and point into the value's own vectors.
unsafe impl Send for Receiver {}

/// One message as the kernel gave it: a datagram or a run of them.
#[derive(Clone, Copy)]
struct Arrival {
    remote: SocketAddr,
    local: Option<IpAddr>,
    at: Option<Duration>,
    len: usize,
    segment: usize,
    slot: usize,
}

/// A received datagram.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// Who sent it.
    pub remote: SocketAddr,
    /// The local address it was sent to.
    pub local: Option<IpAddr>,
    /// When the kernel took it in, since 1970; where [`Socket::stamp_arrivals`] asked for it.
    pub at: Option<Duration>,
    /// What it carries; to be changed at will.
    pub payload: &'a mut [u8],
}

impl Receiver {
    /// Room for `messages` in one call; each can be a run of datagrams if `runs`.
    pub fn new(messages: usize, runs: bool) -> Self {
        let stride = if runs { RUN_ROOM } else { DATAGRAM_ROOM };
        // SAFETY: these C structures are integers and pointers, for which zero is a value.
        let (header, vector) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        Self {
            // Zeroed by the allocator: pages are taken only when something is received into them.
            bytes: vec![0; messages * stride],
            stride,
            headers: vec![header; messages],
            vectors: vec![vector; messages],
            addrs: vec![Raw::zeroed(); messages],
            controls: vec![Buffer::new(); messages],
            arrivals: Vec::with_capacity(messages),
            truncated: 0,
        }
    }

    /// Takes what has arrived, without waiting. True if there may be more.
    pub fn receive(&mut self, socket: &Socket) -> io::Result<bool> {
        self.arrivals.clear();
        self.prepare();
        let count = loop {
            // SAFETY: `prepare` made every header point to live memory of this value, of the lengths given.
            let result = check(unsafe {
                libc::recvmmsg(
                    socket.raw(),
                    self.headers.as_mut_ptr(),
                    self.headers.len() as u32,
                    libc::MSG_DONTWAIT as _,
                    std::ptr::null_mut(),
                )
            });
            match result {
                Ok(count) => break count as usize,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        };
        for slot in 0..count.min(self.headers.len()) {
            self.collect(slot);
        }
        Ok(count == self.headers.len())
    }

    /// What the last call of [`Receiver::receive`] brought, in order of arrival.
    pub fn datagrams(&mut self) -> impl Iterator<Item = Datagram<'_>> {
        let mut rooms = self.bytes.chunks_mut(self.stride).enumerate();
        self.arrivals.iter().flat_map(move |arrival| {
            // Slots only grow, so each is found by going on from the last.
            let room =
                rooms.find(|(slot, _)| *slot == arrival.slot).map(|(_, room)| room).unwrap_or_default();
            let len = arrival.len.min(room.len());
            room[..len].chunks_mut(arrival.segment).map(|payload| Datagram {
                remote: arrival.remote,
                local: arrival.local,
                at: arrival.at,
                payload,
            })
        })
    }

    /// Datagrams dropped since the beginning because they were larger than anything of ours.
    pub fn truncated(&self) -> u64 {
        self.truncated
    }

    /// Points the headers at this value's memory; the kernel has shortened their lengths.
    fn prepare(&mut self) {
        let rooms = self.bytes.chunks_mut(self.stride);
        let parts = self.vectors.iter_mut().zip(&mut self.addrs).zip(&mut self.controls);
        for ((header, room), ((vector, addr), control)) in self.headers.iter_mut().zip(rooms).zip(parts) {
            *vector = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
            let message = &mut header.msg_hdr;
            message.msg_name = std::ptr::from_mut(addr).cast();
            message.msg_namelen = RAW_LEN;
            message.msg_iov = vector;
            message.msg_iovlen = 1;
            message.msg_control = control.0.as_mut_ptr().cast();
            message.msg_controllen = SPACE as _;
            message.msg_flags = 0;
            header.msg_len = 0;
        }
    }

    fn collect(&mut self, slot: usize) {
        let header = &self.headers[slot];
        if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
            self.truncated += 1;
            return;
        }
        let Some(remote) = self.addrs[slot].to_addr() else { return };
        // SAFETY: `prepare` pointed msg_control at an aligned buffer of this value, which is initialised,
        // and the kernel set msg_controllen to what it used of it.
        let info = unsafe { control::read(&header.msg_hdr) };
        let len = header.msg_len as usize;
        if len == 0 {
            return;
        }
        let segment = info.segment.unwrap_or(len).min(len);
        self.arrivals.push(Arrival { remote, local: info.local, at: info.at, len, segment, slot });
    }
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Receiver({} messages of {} bytes)", self.headers.len(), self.stride)
    }
}
