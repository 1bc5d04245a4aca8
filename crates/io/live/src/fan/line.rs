//! A player's socket, written without waiting.
//!
//! Owns: what was gathered and has not left yet, how long that may take, and the way out: what is still to be
//! said leaves first, then the far end has a moment to take it.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::time::Instant;

use crate::socket::Socket;

/// Buffers of one vectored write.
const SLICES: usize = 64;
/// What waits has left by then, or nobody is there who can use it: a player that takes a byte now and then
/// must not hold frames that the stream has given up.
pub(super) const LEAVE_LIMIT: Duration = Duration::from_secs(60);
/// From our last byte until the far end has closed as well. Closing before it has read all takes from it
/// what is on the way (RFC 9112 section 9.6).
pub(super) const LINGER: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Nothing more is to come; what is pending is still written.
    Ending,
    /// All has been said; the far end is waited for.
    Ended,
    Closed,
}

/// See the module's description.
#[derive(Debug)]
pub(super) struct Line {
    socket: Socket,
    /// What is to be written next; empty if there is nothing. Mostly that is all, and it needs no queue.
    next: Bytes,
    /// What follows it.
    behind: VecDeque<Bytes>,
    /// Since when something waits: bytes to leave, or the far end to close.
    since: Option<Instant>,
    state: State,
}

impl Line {
    pub(super) fn new(socket: Socket) -> Self {
        Self { socket, next: Bytes::new(), behind: VecDeque::new(), since: None, state: State::Open }
    }

    /// Appends to what is to be written. Empty buffers say nothing.
    pub(super) fn put(&mut self, bytes: Bytes) {
        if self.next.is_empty() {
            self.next = bytes;
        } else if !bytes.is_empty() {
            self.behind.push_back(bytes);
        }
    }

    /// Whether all that was put here has left.
    pub(super) fn is_clear(&self) -> bool {
        self.next.is_empty() && self.since.is_none()
    }

    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Nothing more is to come.
    pub(super) fn end(&mut self) {
        if self.state == State::Open {
            self.state = State::Ending;
        }
    }

    /// Whatever waits is given up.
    pub(super) fn close(&mut self) {
        self.state = State::Closed;
        self.next = Bytes::new();
        self.behind.clear();
    }

    /// What the far end has sent; none if that is nothing, or it has closed.
    pub(super) fn read<'a>(&mut self, bytes: &'a mut [u8]) -> Option<&'a [u8]> {
        let mut buffer = ReadBuf::new(bytes);
        let mut context = Context::from_waker(Waker::noop());
        match Pin::new(&mut self.socket).poll_read(&mut context, &mut buffer) {
            Poll::Pending => None,
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                let len = buffer.filled().len();
                bytes.get(..len)
            }
            Poll::Ready(_) => {
                self.close();
                None
            }
        }
    }

    /// Writes as much as the socket takes.
    pub(super) fn write(&mut self, now: Instant) {
        if self.state == State::Closed {
            return;
        }
        match self.advance() {
            Err(_) => self.close(),
            Ok(true) if self.state == State::Open => self.since = None,
            Ok(true) if self.state == State::Ending => (self.state, self.since) = (State::Ended, Some(now)),
            Ok(_) => {
                let limit = if self.state == State::Ended { LINGER } else { LEAVE_LIMIT };
                if now.duration_since(*self.since.get_or_insert(now)) >= limit {
                    self.close();
                }
            }
        }
    }

    /// Whether all has left, and where nothing more is to come, that has been said.
    fn advance(&mut self) -> io::Result<bool> {
        let was_full = self.since.is_some();
        while !self.next.is_empty() {
            let written = if self.behind.is_empty() {
                self.socket.write_now(&[IoSlice::new(&self.next)], was_full)
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES];
                let mut count = 0;
                for (slice, bytes) in slices.iter_mut().zip(std::iter::once(&self.next).chain(&self.behind)) {
                    *slice = IoSlice::new(bytes);
                    count += 1;
                }
                self.socket.write_now(slices.get(..count).unwrap_or_default(), was_full)
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.written(written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        // TLS keeps records back until it is flushed; a plain socket has nothing to flush.
        let mut context = Context::from_waker(Waker::noop());
        let is_flushed = Pin::new(&mut self.socket).poll_flush(&mut context)?.is_ready();
        if !is_flushed || !self.next.is_empty() {
            return Ok(false);
        }
        match self.state {
            State::Ending => Ok(Pin::new(&mut self.socket).poll_shutdown(&mut context)?.is_ready()),
            state => Ok(state == State::Open),
        }
    }

    fn written(&mut self, mut count: usize) {
        while count >= self.next.len() && !self.next.is_empty() {
            count -= self.next.len();
            self.next = self.behind.pop_front().unwrap_or_default();
        }
        self.next.advance(count.min(self.next.len()));
    }

    /// Bytes that are held.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.next.len() + self.behind.iter().map(Bytes::len).sum::<usize>()
    }
}
