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
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Buffers of one vectored write.
const SLICES: usize = 64;
/// What waits has left by then, or nobody is there who can use it: a player that takes a byte now and then
/// must not hold frames that the stream has given up.
pub(super) const LEAVE_LIMIT: Duration = Duration::from_secs(60);
/// From our last byte until the far end has closed as well. Closing before it has read all takes from it
/// what is on the way (RFC 9112 section 9.6).
pub(super) const LINGER: Duration = Duration::from_secs(5);

/// A connection, plain or over TLS.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug> Socket for T {}

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
    socket: Box<dyn Socket>,
    pending: VecDeque<Bytes>,
    /// Since when something waits: bytes to leave, or the far end to close.
    since: Option<Instant>,
    state: State,
}

impl Line {
    pub(super) fn new(socket: Box<dyn Socket>) -> Self {
        Self { socket, pending: VecDeque::new(), since: None, state: State::Open }
    }

    /// Appends to what is to be written. Empty buffers say nothing.
    pub(super) fn put(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.pending.push_back(bytes);
        }
    }

    /// Whether all that was put here has left.
    pub(super) fn is_clear(&self) -> bool {
        self.pending.is_empty() && self.since.is_none()
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
        self.pending.clear();
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
        let mut context = Context::from_waker(Waker::noop());
        while let Some(first) = self.pending.front() {
            let socket = Pin::new(&mut self.socket);
            let written = if self.pending.len() == 1 {
                // Most frames leave alone, and send(2) is cheaper than writev(2).
                socket.poll_write(&mut context, first)?
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES];
                let mut count = 0;
                for (slice, bytes) in slices.iter_mut().zip(&self.pending) {
                    *slice = IoSlice::new(bytes);
                    count += 1;
                }
                socket.poll_write_vectored(&mut context, slices.get(..count).unwrap_or_default())?
            };
            match written {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(written) => self.written(written),
                Poll::Pending => break,
            }
        }
        // TLS keeps records back until it is flushed; a plain socket has nothing to flush.
        let is_flushed = Pin::new(&mut self.socket).poll_flush(&mut context)?.is_ready();
        if !is_flushed || !self.pending.is_empty() {
            return Ok(false);
        }
        match self.state {
            State::Ending => Ok(Pin::new(&mut self.socket).poll_shutdown(&mut context)?.is_ready()),
            state => Ok(state == State::Open),
        }
    }

    fn written(&mut self, mut count: usize) {
        while let Some(bytes) = self.pending.front_mut() {
            if count < bytes.len() {
                bytes.advance(count);
                return;
            }
            count -= bytes.len();
            self.pending.pop_front();
        }
    }

    /// Bytes that are held.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.pending.iter().map(Bytes::len).sum()
    }
}
