//! A UDP socket with the options that a media server needs.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::addr::Raw;
use crate::check;

/// How a socket is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Several sockets of this process share the port, each taking a part of the senders.
    pub reuse_port: bool,
    /// Bytes of kernel buffer wanted in each direction; 0 leaves the system's default.
    pub buffer: usize,
    /// Take runs of datagrams in one piece (UDP_GRO, Linux 5.0), if the kernel can.
    pub gro: bool,
}

/// The kernel's account of what a socket has received, in its own bytes, which count more than the payload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Queue {
    /// Bytes that wait to be received.
    pub waiting: u32,
    /// Bytes that may.
    pub room: u32,
    /// Datagrams that were dropped for lack of room since the socket was opened; wraps.
    pub dropped: u32,
}

/// socket(7) since Linux 4.12; as in `asm-generic/socket.h`.
const SO_MEMINFO: i32 = 55;
/// `SK_MEMINFO_VARS`: memory allocated and allowed for receiving come first, drops last.
const MEMINFO_WORDS: usize = 9;

/// A bound, non-blocking UDP socket that tells which local address each datagram was sent to. An IPv6
/// socket carries IPv6 only.
#[derive(Debug)]
pub struct Socket {
    socket: UdpSocket,
    local: SocketAddr,
    gro: bool,
}

impl Socket {
    /// Opens a socket on `addr`; port 0 takes a free one.
    pub fn bind(addr: SocketAddr, options: Options) -> io::Result<Self> {
        let family = if addr.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        // SAFETY: no pointers are passed; a descriptor comes back or an error does.
        let fd = check(unsafe {
            libc::socket(family, libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0)
        })?;
        // SAFETY: `fd` is open and nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let raw_fd = fd.as_raw_fd();
        if addr.is_ipv4() {
            set(raw_fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
        } else {
            set(raw_fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
            set(raw_fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
        }
        if options.reuse_port {
            set(raw_fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
        }
        if options.buffer > 0 {
            let bytes = i32::try_from(options.buffer).unwrap_or(i32::MAX);
            set(raw_fd, libc::SOL_SOCKET, libc::SO_RCVBUF, bytes)?;
            set(raw_fd, libc::SOL_SOCKET, libc::SO_SNDBUF, bytes)?;
        }
        let gro = options.gro && set(raw_fd, libc::SOL_UDP, libc::UDP_GRO, 1).is_ok();
        let (raw, len) = Raw::from(addr);
        // SAFETY: `raw` lives through the call, and `len` is the length of its variant.
        check(unsafe { libc::bind(raw_fd, (&raw const raw).cast(), len) })?;
        let socket = UdpSocket::from(fd);
        let local = socket.local_addr()?;
        Ok(Self { socket, local, gro })
    }

    /// What it is bound to, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Whether datagrams may come in runs; a [`crate::Receiver`] then needs room for them.
    pub fn gro(&self) -> bool {
        self.gro
    }

    /// Has the kernel tell when each datagram came: [`crate::Datagram::at`] (socket(7), SO_TIMESTAMPNS).
    pub fn stamp_arrivals(&self) -> io::Result<()> {
        set(self.raw(), libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)
    }

    /// Bytes of receive buffer that the kernel granted (it counts its own overhead in).
    pub fn receive_buffer(&self) -> io::Result<usize> {
        Ok(get(self.raw(), libc::SOL_SOCKET, libc::SO_RCVBUF)?.try_into().unwrap_or(0))
    }

    /// What waits to be received, and what found no room.
    pub fn receive_queue(&self) -> io::Result<Queue> {
        let mut words = [0u32; MEMINFO_WORDS];
        let mut len = size_of_val(&words) as libc::socklen_t;
        // SAFETY: `words` and `len` live through the call, and `len` is the room in `words`.
        check(unsafe {
            libc::getsockopt(
                self.raw(),
                libc::SOL_SOCKET,
                SO_MEMINFO,
                words.as_mut_ptr().cast(),
                &raw mut len,
            )
        })?;
        let [waiting, room, .., dropped] = words;
        Ok(Queue { waiting, room, dropped })
    }

    /// Sends without UDP checksum (IPv4). Such a socket refuses GSO, which is how the fallback is tested.
    #[cfg(test)]
    pub(crate) fn forbid_checksum(&self) -> io::Result<()> {
        set(self.raw(), libc::SOL_SOCKET, libc::SO_NO_CHECK, 1)
    }

    pub(crate) fn raw(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

pub(crate) fn set(fd: RawFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: `value` lives through the call and is as long as said.
    check(unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), size_of::<i32>() as u32) })?;
    Ok(())
}

fn get(fd: RawFd, level: i32, name: i32) -> io::Result<i32> {
    let mut value = 0i32;
    let mut len = size_of::<i32>() as libc::socklen_t;
    // SAFETY: `value` and `len` live through the call, and `len` is the room in `value`.
    check(unsafe { libc::getsockopt(fd, level, name, (&raw mut value).cast(), &raw mut len) })?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Options = Options { reuse_port: false, buffer: 0, gro: false };
    const SHARED: Options = Options { reuse_port: true, ..PLAIN };

    #[test]
    fn a_port_is_shared_only_if_all_agree() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let first = Socket::bind(any, SHARED).unwrap();
        let second = Socket::bind(first.local_addr(), SHARED).unwrap();
        assert_eq!(first.local_addr(), second.local_addr());
        let refused = Socket::bind(first.local_addr(), PLAIN).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn both_families_have_the_same_port_side_by_side() {
        let six = Socket::bind("[::]:0".parse().unwrap(), PLAIN).unwrap();
        let four = Socket::bind(SocketAddr::from(([0, 0, 0, 0], six.local_addr().port())), PLAIN).unwrap();
        assert_eq!(four.local_addr().port(), six.local_addr().port());
    }

    #[test]
    fn what_waits_and_what_found_no_room_is_told() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let socket = Socket::bind(any, Options { buffer: 20_000, ..PLAIN }).unwrap();
        let empty = socket.receive_queue().unwrap();
        assert!(empty.waiting == 0 && empty.dropped == 0 && empty.room >= 20_000, "{empty:?}");
        let sender = UdpSocket::bind(any).unwrap();
        for _ in 0..200 {
            sender.send_to(&[0; 1000], socket.local_addr()).unwrap();
        }
        let full = socket.receive_queue().unwrap();
        assert!(full.waiting * 2 > full.room && full.dropped > 0 && full.dropped < 200, "{full:?}");
    }

    #[test]
    fn buffers_grow_when_asked() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let small = Socket::bind(any, Options { buffer: 20_000, ..PLAIN }).unwrap();
        let large = Socket::bind(any, Options { buffer: 150_000, ..PLAIN }).unwrap();
        assert!(large.receive_buffer().unwrap() > small.receive_buffer().unwrap());
    }
}
