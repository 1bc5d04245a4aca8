//! One player's socket in a sweep.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use media::{Cursor, Name, Stream, Ticks, Why};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::Playing;
use crate::forms::{FormCache, message};

use super::Source;

/// Frames taken in one go: what a new player gets at once, and more.
const BATCH: usize = 512;
/// Buffers of one vectored write.
const SLICES: usize = 64;
/// A socket that takes nothing for so long is dead.
const STALLED: Duration = Duration::from_secs(60);
/// What a player has to say is short.
const READ: usize = 4096;

/// A connection, plain or over TLS.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + std::fmt::Debug> Socket for T {}

/// How a player is spoken to.
#[derive(Debug)]
pub(crate) enum Form {
    /// With the connection's other half, which hears what the player says.
    Rtmp(Box<rtmp::Server>),
    Flv,
    /// FLV in messages of a WebSocket.
    FlvMessages,
}

/// A player and its socket.
#[derive(Debug)]
pub(crate) struct Seat {
    socket: Box<dyn Socket>,
    form: Form,
    playing: Playing,
    cursor: Cursor,
    pub(super) merge_latency: Duration,
    /// What was gathered and not yet written.
    pending: VecDeque<Bytes>,
    has_begun: bool,
    is_paused: bool,
    /// Nothing more is to come; what is pending is still written.
    is_ending: bool,
    is_closed: bool,
    /// Since when the socket has taken nothing.
    stalled: Option<Instant>,
}

impl Seat {
    /// `first` is sent before anything else.
    pub(crate) fn new(socket: Box<dyn Socket>, form: Form, playing: Playing, first: Bytes) -> Self {
        let pending = Some(first).filter(|bytes| !bytes.is_empty()).into_iter().collect();
        Self {
            socket,
            form,
            cursor: playing.cursor(),
            merge_latency: playing.place().app.merge_latency,
            playing,
            pending,
            has_begun: false,
            is_paused: false,
            is_ending: false,
            is_closed: false,
            stalled: None,
        }
    }

    pub(super) fn name(&self) -> &Name {
        &self.playing.place().name
    }

    /// Whether it has been called away already.
    pub(super) fn is_over(&self) -> bool {
        self.playing.over().is_some()
    }

    /// What a sweep of this stream is to know.
    pub(super) fn source(&self) -> Source {
        Source {
            stream: self.playing.stream().clone(),
            forms: self.playing.forms.clone(),
            bell: self.playing.bell.clone(),
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.is_closed || (self.is_ending && self.pending.is_empty())
    }

    /// Hears what the player says: that it leaves, most of all.
    pub(super) fn listen(&mut self) {
        let mut bytes = [0; READ];
        let mut context = Context::from_waker(Waker::noop());
        // A player that talks without end is heard again in the next sweep.
        for _ in 0..4 {
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.socket).poll_read(&mut context, &mut buffer) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.is_closed |= match &mut self.form {
                        Form::Rtmp(server) => server.push(buffer.filled()).is_err(),
                        Form::Flv => false,
                        Form::FlvMessages => says_goodbye(buffer.filled()),
                    };
                }
                Poll::Ready(_) => {
                    self.is_closed = true;
                    break;
                }
            }
        }
        self.obey();
        if let Some(why) = self.playing.over() {
            self.end(why);
        }
    }

    fn obey(&mut self) {
        let Form::Rtmp(server) = &mut self.form else { return };
        while let Some(event) = server.poll_event() {
            match event {
                rtmp::server::Event::Pause(pauses) => {
                    if self.is_paused && !pauses {
                        // It goes on where the stream is now.
                        self.cursor = self.playing.cursor();
                        self.has_begun = false;
                    }
                    self.is_paused = pauses;
                }
                rtmp::server::Event::Stop => self.is_ending = true,
                // One stream a connection while it plays.
                rtmp::server::Event::Publish(_) | rtmp::server::Event::Play(_) => self.is_closed = true,
                rtmp::server::Event::Media(_) => {}
            }
        }
        let answer = server.take_output();
        if !answer.is_empty() {
            self.pending.push_back(answer);
        }
    }

    fn end(&mut self, why: Why) {
        if std::mem::replace(&mut self.is_ending, true) {
            return;
        }
        if let Form::Rtmp(server) = &mut self.form {
            server.end(why.name());
            self.pending.push_back(server.take_output());
        }
    }

    /// Takes what it has not had, if it has written what it took before.
    pub(super) fn gather(&mut self, stream: &mut Stream, forms: &mut FormCache) {
        if !self.pending.is_empty() || self.is_paused || self.is_ending || self.is_closed {
            return;
        }
        let mut budget = BATCH;
        while budget > 0 {
            let step = stream.next(&mut self.cursor, budget);
            if step.is_empty() {
                return;
            }
            if let Some(headers) = &step.headers {
                let at = stream.frame(step.range.start).map_or(Ticks(0), |frame| frame.dts);
                let tags = || match self.has_begun {
                    true => flv::egress::change(headers, at),
                    false => flv::egress::head(headers, at),
                };
                self.pending.push_back(match self.form {
                    Form::Rtmp(_) => rtmp::egress::headers(headers, at),
                    Form::Flv => tags(),
                    Form::FlvMessages => message(&tags()),
                });
                self.has_begun = true;
            }
            budget = budget.saturating_sub((step.range.end - step.range.start) as usize);
            for index in step.range {
                let bytes = match self.form {
                    Form::Rtmp(_) => forms.rtmp.get(stream, index),
                    Form::Flv => forms.flv.get(stream, index),
                    Form::FlvMessages => forms.message(stream, index),
                };
                self.pending.extend(bytes);
            }
        }
    }

    /// Writes as much as the socket takes.
    pub(super) fn write(&mut self, now: Instant) {
        let mut context = Context::from_waker(Waker::noop());
        while !self.pending.is_empty() && !self.is_closed {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut count = 0;
            for (slice, bytes) in slices.iter_mut().zip(&self.pending) {
                *slice = IoSlice::new(bytes);
                count += 1;
            }
            let slices = slices.get(..count).unwrap_or_default();
            match Pin::new(&mut self.socket).poll_write_vectored(&mut context, slices) {
                Poll::Ready(Ok(written)) if written > 0 => {
                    self.stalled = None;
                    self.written(written);
                }
                Poll::Ready(_) => self.is_closed = true,
                Poll::Pending => {
                    let since = *self.stalled.get_or_insert(now);
                    self.is_closed = now.duration_since(since) >= STALLED;
                    break;
                }
            }
        }
        // TLS keeps records back until it is flushed; a plain socket has nothing to flush.
        if let Poll::Ready(Err(_)) = Pin::new(&mut self.socket).poll_flush(&mut context) {
            self.is_closed = true;
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
}

/// Whether a WebSocket's frame is the one that closes it (RFC 6455 section 5.5.1). Nothing else is expected of
/// a player.
fn says_goodbye(frame: &[u8]) -> bool {
    const CLOSE: u8 = 8;
    frame.first().is_some_and(|first| first & 0x0f == CLOSE)
}
