//! Waiting for sockets and wake-ups: epoll(7) and eventfd(2).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use crate::check;

/// A counter that wakes a [`Poller`] from another thread.
#[derive(Debug)]
pub struct EventFd(OwnedFd);

impl EventFd {
    /// A new, quiet one.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed; a descriptor comes back or an error does.
        let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: `fd` is open and nobody else's.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Wakes whoever waits for it, now or next.
    pub fn notify(&self) {
        let one = 1u64;
        // SAFETY: eight bytes are read from a live u64. The only failure is a counter that is full, which
        // wakes as well.
        unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), size_of::<u64>()) };
    }

    /// Makes it quiet again.
    pub fn clear(&self) {
        let mut count = 0u64;
        // SAFETY: eight bytes are written to a live u64. The only failure is a counter that is zero.
        unsafe { libc::read(self.0.as_raw_fd(), (&raw mut count).cast(), size_of::<u64>()) };
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What a descriptor is ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// As given to [`Poller::add`].
    pub token: u64,
    /// There is something to read, or an error to collect.
    pub readable: bool,
    /// There is room to write.
    pub writable: bool,
}

/// An epoll instance, level-triggered but for bells.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
    ready: Vec<Ready>,
    /// Whether the kernel has epoll_pwait2 (Linux 5.11), whose time-out is finer than a millisecond.
    fine: bool,
}

impl AsFd for Poller {
    /// Readable while something in it is ready: pollers nest.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// Descriptors reported by one wait; more come with the next one.
const EVENTS: usize = 32;

impl Poller {
    /// An empty one.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed; a descriptor comes back or an error does.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: `fd` is open and nobody else's.
        let epoll = unsafe { OwnedFd::from_raw_fd(fd) };
        let events = vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        Ok(Self { epoll, events, ready: Vec::with_capacity(EVENTS), fine: true })
    }

    /// Waits for `fd` to become readable. The descriptor leaves the poller when it is closed.
    pub fn add(&self, fd: &impl AsFd, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, libc::EPOLLIN)
    }

    /// Waits for notifications, each of which is told once: there is nothing to clear.
    pub fn add_bell(&self, bell: &EventFd, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, bell, token, libc::EPOLLIN | libc::EPOLLET)
    }

    /// Waits for `fd` to become writable too, or no longer.
    pub fn want_write(&self, fd: &impl AsFd, token: u64, wanted: bool) -> io::Result<()> {
        let interest = if wanted { libc::EPOLLIN | libc::EPOLLOUT } else { libc::EPOLLIN };
        self.control(libc::EPOLL_CTL_MOD, fd, token, interest)
    }

    /// Waits for `fd` no more, which stays open.
    pub fn remove(&self, fd: &impl AsFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, 0)
    }

    fn control(&self, operation: i32, fd: &impl AsFd, token: u64, interest: i32) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest as u32, u64: token };
        // SAFETY: both descriptors are open, and `event` lives through the call.
        check(unsafe {
            libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd.as_fd().as_raw_fd(), &raw mut event)
        })?;
        Ok(())
    }

    /// Waits until something is ready or `timeout` has passed; `None` waits as long as it takes. An
    /// interrupted wait ends early with nothing.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<&[Ready]> {
        let count = match self.wait_once(timeout) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) if self.fine && error.raw_os_error() == Some(libc::ENOSYS) => {
                self.fine = false;
                self.wait_once(timeout)?
            }
            Err(error) => return Err(error),
        };
        self.ready.clear();
        for event in self.events.iter().take(count) {
            let flags = event.events as i32;
            self.ready.push(Ready {
                token: event.u64,
                readable: flags & (libc::EPOLLIN | libc::EPOLLERR | libc::EPOLLHUP) != 0,
                writable: flags & libc::EPOLLOUT != 0,
            });
        }
        Ok(&self.ready)
    }

    fn wait_once(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let (events, room) = (self.events.as_mut_ptr(), self.events.len() as i32);
        let count = if self.fine {
            let time = timeout.map(|t| libc::timespec {
                tv_sec: t.as_secs().min(i32::MAX as u64) as libc::time_t,
                tv_nsec: t.subsec_nanos().into(),
            });
            let time_ptr = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
            // SAFETY: `events` has room for `room` entries, `time` lives through the call, and the signal
            // mask is null (its size is then ignored).
            check(unsafe {
                libc::syscall(
                    libc::SYS_epoll_pwait2,
                    self.epoll.as_raw_fd(),
                    events,
                    room,
                    time_ptr,
                    std::ptr::null::<libc::sigset_t>(),
                    0usize,
                )
            } as i32)?
        } else {
            // Rounded up: waking early would spin until the deadline.
            let millis =
                timeout.map_or(-1, |t| t.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128) as i32);
            // SAFETY: `events` has room for `room` entries.
            check(unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events, room, millis) })?
        };
        Ok(count as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_notified_eventfd_wakes_once_until_notified_again() {
        let mut poller = Poller::new().unwrap();
        let event = EventFd::new().unwrap();
        poller.add(&event, 7).unwrap();
        assert_eq!(poller.wait(Some(Duration::ZERO)).unwrap(), &[]);

        // When: two threads ring before anybody looks.
        std::thread::scope(|s| {
            s.spawn(|| event.notify());
            s.spawn(|| event.notify());
        });
        let ready = poller.wait(None).unwrap();
        assert_eq!(ready, &[Ready { token: 7, readable: true, writable: false }]);

        // Then: clearing once is enough.
        event.clear();
        assert_eq!(poller.wait(Some(Duration::ZERO)).unwrap(), &[]);
    }

    #[test]
    fn a_bell_is_told_once_each_time_it_rings_and_needs_no_clearing() {
        let mut poller = Poller::new().unwrap();
        let bell = EventFd::new().unwrap();
        poller.add_bell(&bell, 7).unwrap();
        for _ in 0..3 {
            bell.notify();
            let ready = poller.wait(None).unwrap();
            assert_eq!(ready, &[Ready { token: 7, readable: true, writable: false }]);
            assert_eq!(poller.wait(Some(Duration::ZERO)).unwrap(), &[]);
        }
    }

    #[test]
    fn a_timeout_below_a_millisecond_is_kept_and_never_early() {
        for fine in [true, false] {
            let mut poller = Poller::new().unwrap();
            poller.fine = fine;
            let before = Instant::now();
            assert_eq!(poller.wait(Some(Duration::from_micros(300))).unwrap(), &[]);
            assert!(before.elapsed() >= Duration::from_micros(300));
        }
    }

    #[test]
    fn a_socket_is_writable_only_when_asked() {
        let mut poller = Poller::new().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        poller.add(&socket, 1).unwrap();
        assert_eq!(poller.wait(Some(Duration::ZERO)).unwrap(), &[]);
        poller.want_write(&socket, 1, true).unwrap();
        assert_eq!(poller.wait(None).unwrap(), &[Ready { token: 1, readable: false, writable: true }]);
        poller.want_write(&socket, 1, false).unwrap();
        socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        assert_eq!(poller.wait(None).unwrap(), &[Ready { token: 1, readable: true, writable: false }]);
    }
}
