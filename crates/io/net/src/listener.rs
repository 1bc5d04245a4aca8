//! TCP listeners and what a media stream over TCP needs of its socket.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::addr::Raw;
use crate::check;
use crate::socket::set;

/// Connections that may wait to be accepted; the kernel has its own, lower limit (somaxconn).
const BACKLOG: i32 = 4096;

/// A non-blocking TCP listener. On IPv6 it takes IPv6 only, so that one for IPv4 fits beside it.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    local: SocketAddr,
}

impl Listener {
    /// Listens on `addr`; port 0 takes a free one.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let family = if addr.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        // SAFETY: no pointers are passed; a descriptor comes back or an error does.
        let fd = check(unsafe {
            libc::socket(family, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0)
        })?;
        // SAFETY: `fd` is open and nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // A restart must not wait for old connections to be forgotten.
        set(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
        if addr.is_ipv6() {
            set(fd.as_raw_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
        }
        let (raw, len) = Raw::from(addr);
        // SAFETY: `raw` lives through the call, and `len` is the length of its variant.
        check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const raw).cast(), len) })?;
        // SAFETY: no pointers are passed.
        check(unsafe { libc::listen(fd.as_raw_fd(), BACKLOG) })?;
        let listener = TcpListener::from(fd);
        let local = listener.local_addr()?;
        Ok(Self { listener, local })
    }

    /// What it is bound to, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The next connection, non-blocking; `None` if none waits.
    pub fn accept(&self) -> io::Result<Option<(TcpStream, SocketAddr)>> {
        match self.listener.accept() {
            Ok((stream, remote)) => {
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                Ok(Some((stream, remote)))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// Has the kernel take at most about `bytes` that it has not sent yet (tcp(7), TCP_NOTSENT_LOWAT): what waits behind
/// a slow line then waits where it can still be dropped.
pub fn limit_unsent(stream: &TcpStream, bytes: usize) -> io::Result<()> {
    let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
    set(stream.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, bytes)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn both_families_listen_side_by_side_and_accept_does_not_wait() {
        let six = Listener::bind("[::]:0".parse().unwrap()).unwrap();
        let port = six.local_addr().port();
        let four = Listener::bind(SocketAddr::from(([0, 0, 0, 0], port))).unwrap();
        assert!(four.accept().unwrap().is_none());
        let mut client = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
        let (mut stream, remote) = loop {
            if let Some(accepted) = four.accept().unwrap() {
                break accepted;
            }
        };
        assert_eq!(remote, client.local_addr().unwrap());
        let mut room = [0; 8];
        assert_eq!(stream.read(&mut room).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        client.write_all(b"x").unwrap();
        assert!(six.accept().unwrap().is_none());
    }

    #[test]
    fn a_reader_that_sleeps_is_noticed_before_much_is_in_the_kernel() {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let client = TcpStream::connect(listener.local_addr()).unwrap();
        let (mut stream, _) = loop {
            if let Some(accepted) = listener.accept().unwrap() {
                break accepted;
            }
        };
        limit_unsent(&stream, 16_384).unwrap();
        let chunk = [0; 4096];
        let taken = std::iter::from_fn(|| stream.write(&chunk).ok()).take(100_000).sum::<usize>();
        // All but the last few kilobytes has left for the far end's buffer, whose size is the system's.
        assert!(taken < 64 << 20, "{taken}");
        drop(client);
    }
}
