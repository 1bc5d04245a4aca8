//! One player in a sweep: what it is given next, and what it says.

use std::time::Duration;

use bytes::Bytes;
use media::{Cursor, Name, Stream, Ticks, Why};
use tokio::time::Instant;

use crate::Playing;
use crate::accept::Arrival;
use crate::forms::{FormCache, Kind};
use crate::gate::Pass;

use super::Source;
use super::line::Line;
use super::websocket::{self, Heard, Talk, message};

/// Frames taken in one go: what a new player gets at once, and more.
const BATCH: usize = 512;
/// Bytes of them, unless a single one is larger: what a player that reads no more can hold of frames that the
/// stream has given up.
pub(super) const BATCH_BYTES: usize = 256 << 10;
/// What a player has to say is short.
const READ: usize = 4096;

/// How a player is spoken to.
#[derive(Debug)]
pub(crate) enum Form {
    /// With the connection's other half, which hears what the player says.
    Rtmp(Box<rtmp::Server>),
    Flv,
    /// FLV in messages of a WebSocket.
    FlvMessages,
}

/// The connection's other half.
#[derive(Debug)]
enum Voice {
    Rtmp(Box<rtmp::Server>),
    /// It has nothing to say.
    Flv,
    FlvMessages(Talk),
}

impl Voice {
    fn kind(&self) -> Kind {
        match self {
            Self::Rtmp(_) => Kind::Rtmp,
            Self::Flv => Kind::Flv,
            Self::FlvMessages(_) => Kind::FlvMessages,
        }
    }
}

/// A player and its socket.
#[derive(Debug)]
pub(crate) struct Seat {
    line: Line,
    /// Counts the connection for as long as it is here.
    _pass: Pass,
    voice: Voice,
    /// It has said something since its answers were taken. Most never do, and what would hear them stays untouched.
    has_spoken: bool,
    playing: Playing,
    cursor: Cursor,
    pub(super) merge_latency: Duration,
    has_begun: bool,
    is_paused: bool,
    /// There was more than fits into one go.
    has_more: bool,
}

impl Seat {
    /// `first` is sent before anything else.
    pub(crate) fn new(arrival: Arrival, form: Form, playing: Playing, first: Bytes) -> Self {
        let Arrival { socket, pass, .. } = arrival;
        let mut line = Line::new(socket);
        line.put(first);
        Self {
            line,
            _pass: pass,
            voice: match form {
                Form::Rtmp(server) => Voice::Rtmp(server),
                Form::Flv => Voice::Flv,
                Form::FlvMessages => Voice::FlvMessages(Talk::new(Instant::now())),
            },
            has_spoken: false,
            cursor: playing.cursor(),
            merge_latency: playing.place().app.merge_latency,
            playing,
            has_begun: false,
            is_paused: false,
            has_more: true,
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
        self.line.is_closed()
    }

    /// Whether it has written what it was given and there is more: it need not wait for the next frame.
    pub(super) fn is_hungry(&self) -> bool {
        self.has_more && self.line.is_open() && self.line.is_clear()
    }

    /// Hears what the player says: that it leaves, most of all.
    pub(super) fn listen(&mut self, now: Instant) {
        let mut bytes = [0; READ];
        // A player that talks without end is heard again in the next sweep.
        for _ in 0..4 {
            let Some(said) = self.line.read(&mut bytes) else { break };
            // On the way out nobody listens any more.
            if !self.line.is_open() {
                continue;
            }
            self.has_spoken = true;
            match &mut self.voice {
                Voice::Rtmp(server) => {
                    if server.push(said).is_err() {
                        self.line.close();
                    }
                }
                Voice::FlvMessages(talk) => {
                    if let Heard::Over(last) = talk.hear(now, said) {
                        self.line.put(last);
                        self.line.end();
                    }
                }
                Voice::Flv => {}
            }
        }
        self.obey(now);
        if let Some(why) = self.playing.over() {
            self.end(why);
        }
    }

    fn obey(&mut self, now: Instant) {
        let server = match &mut self.voice {
            Voice::Rtmp(server) if self.has_spoken => server,
            Voice::FlvMessages(talk) if talk.is_dead(now) => return self.line.close(),
            _ => return,
        };
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
                rtmp::server::Event::Stop => {
                    self.line.put(server.take_output());
                    self.line.end();
                }
                // One stream a connection while it plays.
                rtmp::server::Event::Publish(_) | rtmp::server::Event::Play(_) => self.line.close(),
                rtmp::server::Event::Media(_) => {}
            }
        }
    }

    fn end(&mut self, why: Why) {
        if !self.line.is_open() {
            return;
        }
        match &mut self.voice {
            Voice::Rtmp(server) => {
                server.end(why.name());
                self.line.put(server.take_output());
            }
            Voice::FlvMessages(_) => self.line.put(websocket::close(websocket::NORMAL, why.name())),
            Voice::Flv => {}
        }
        self.line.end();
    }

    /// Takes what it has not had, if it has written what it took before. Answers wait until then too: they
    /// are bounded where they are made.
    pub(super) fn gather(&mut self, stream: &mut Stream, forms: &mut FormCache, now: Instant) {
        if !self.line.is_clear() || !self.line.is_open() {
            return;
        }
        let answer = match &mut self.voice {
            Voice::Rtmp(server) if std::mem::take(&mut self.has_spoken) => Some(server.take_output()),
            Voice::FlvMessages(talk) => talk.answer(now),
            Voice::Rtmp(_) | Voice::Flv => None,
        };
        answer.into_iter().for_each(|answer| self.line.put(answer));
        self.has_more = false;
        if self.is_paused {
            return;
        }
        let (mut frames, mut bytes) = (BATCH, BATCH_BYTES);
        while frames > 0 && bytes > 0 {
            let step = stream.next_within(&mut self.cursor, frames, bytes);
            if step.is_empty() {
                return;
            }
            if let Some(headers) = &step.headers {
                self.announce(stream, headers, step.range.start);
            }
            frames = frames.saturating_sub((step.range.end - step.range.start) as usize);
            let kind = self.voice.kind();
            if let Some(run) = forms.run(kind, stream, step.range.clone()) {
                bytes = bytes.saturating_sub(run.len());
                self.line.put(run);
                continue;
            }
            for index in step.range {
                let Some(form) = forms.one(kind, stream, index) else { continue };
                bytes = bytes.saturating_sub(form.len());
                self.line.put(form);
            }
        }
        self.has_more = self.cursor.position() < stream.head();
    }

    /// Tells the tracks of the frames from `index` on.
    fn announce(&mut self, stream: &Stream, headers: &media::Headers, index: u64) {
        let at = stream.frame(index).map_or(Ticks(0), |frame| frame.dts);
        let tags = || match self.has_begun {
            true => flv::egress::change(headers, at),
            false => flv::egress::head(headers, at),
        };
        self.line.put(match self.voice {
            Voice::Rtmp(_) => rtmp::egress::headers(headers, at),
            Voice::Flv => tags(),
            Voice::FlvMessages(_) => message(&tags()),
        });
        self.has_begun = true;
    }

    /// Writes as much as the socket takes.
    pub(super) fn write(&mut self, now: Instant) {
        self.line.write(now);
    }
}

#[cfg(test)]
impl Seat {
    pub(super) fn playing(&self) -> &Playing {
        &self.playing
    }

    /// Bytes that are held for the player.
    pub(super) fn held(&self) -> usize {
        self.line.held()
    }

    /// The frame that it is given next.
    pub(super) fn position(&self) -> u64 {
        self.cursor.position()
    }
}
