//! HTTP/2 (RFC 9113), where the far end chose it in TLS.
//!
//! Owns: one connection with its streams, how many there may be, and when it is over: players that block on playlists
//! and ask for parts meanwhile use several at once. A player of FLV has a pipe to its stream's sweep instead of a
//! socket, and counts as a connection of its own.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead as _, DuplexStream, ReadBuf};
use tokio::time::Instant;

use super::answer::Answer;
use super::head::Head;
use super::{BODY_LIMIT, HEAD_LIMIT, MAX_HEAD, Outcome, handle};
use crate::Desk;
use crate::accept::Arrival;
use crate::fan::{Form, Seat};
use crate::gate::Pass;
use crate::socket::Socket;

/// Streams at once. A player of LL-HLS has a few: a playlist and a part of each rendition, and what it reads.
const STREAMS: u32 = 64;
/// Bytes that may be sent to us before we have taken them: requests have no bodies worth more.
const WINDOW: u32 = 65_535;
/// Bytes of one stream that wait for the far end.
const SEND_BUFFER: usize = 256 << 10;
/// Bytes between a sweep and a stream, and of one DATA frame.
const PIPE: usize = 64 << 10;
const DATA: usize = 16 << 10;
/// How often the far end is asked for a sign of life, and how long it has for that.
const PING: Duration = Duration::from_secs(20);
/// How often it is looked whether the connection is over.
const TICK: Duration = Duration::from_secs(5);
/// From a request to the end of its answer: it may wait for a stream, and then for a segment.
const REQUEST_LIMIT: Duration = Duration::from_secs(2 * 20 + BODY_LIMIT.as_secs());
/// For a connection to end that was told to.
const LEAVE_LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn connection(desk: Desk, arrival: Arrival) -> io::Result<()> {
    let Arrival { socket, from, pass, .. } = arrival;
    let open = Arc::new(Open::new(pass));
    let service = {
        let open = open.clone();
        service_fn(move |request: Request<Incoming>| {
            let (desk, open) = (desk.clone(), open.clone());
            let asked = Asked::new(&open);
            async move { Ok::<_, Infallible>(respond(&desk, &request, from, &open.pass, asked).await) }
        })
    };
    let connection = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(MAX_HEAD as u32)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = std::pin::pin!(connection);
    loop {
        tokio::select! {
            ended = connection.as_mut() => return ended.map_err(io::Error::other),
            () = tokio::time::sleep(TICK) => match open.look(Instant::now()) {
                Look::Goes => {}
                Look::Idle => connection.as_mut().graceful_shutdown(),
                Look::Stuck => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
    }
}

async fn respond(
    desk: &Desk,
    request: &Request<Incoming>,
    from: SocketAddr,
    pass: &Pass,
    asked: Asked,
) -> Response<Body> {
    let head = Head::of(request);
    let playing = match handle(desk, &head, from, pass).await {
        Outcome::Answer(answer) => return response(answer, asked),
        Outcome::Play(playing) => playing,
    };
    let pass = match desk.gate().enter(from.ip(), desk.config().limits) {
        Ok(pass) => pass,
        Err(full) => return response(Answer::refusal(&full.into()), asked),
    };
    pass.let_in();
    let (near, far) = tokio::io::duplex(PIPE);
    let arrival = Arrival { socket: Socket::other(near), from, pass, is_h2: true };
    desk.seat(Seat::new(arrival, Form::Flv, *playing, Bytes::new()));
    asked.lasts();
    let content = Content::Live(far, vec![0; DATA].into());
    response(Answer::flv(), asked).map(|body| Body { content, ..body })
}

fn response(answer: Answer, asked: Asked) -> Response<Body> {
    let pieces = answer.pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
    let mut response = Response::new(Body { content: Content::Pieces(pieces), _asked: asked });
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    for (name, value) in answer.headers {
        let name = hyper::header::HeaderName::try_from(name);
        let value = hyper::header::HeaderValue::try_from(value.as_ref());
        if let (Ok(name), Ok(value)) = (name, value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// The body of an answer.
struct Body {
    content: Content,
    _asked: Asked,
}

enum Content {
    Pieces(VecDeque<Bytes>),
    /// What a sweep writes, and room for a frame of it.
    Live(DuplexStream, Box<[u8]>),
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let (pipe, room) = match &mut self.get_mut().content {
            Content::Pieces(pieces) => {
                return Poll::Ready(pieces.pop_front().map(|piece| Ok(Frame::data(piece))));
            }
            Content::Live(pipe, room) => (pipe, room),
        };
        let mut buffer = ReadBuf::new(room);
        if let Err(error) = ready!(Pin::new(pipe).poll_read(context, &mut buffer)) {
            return Poll::Ready(Some(Err(error)));
        }
        let data = Bytes::copy_from_slice(buffer.filled());
        Poll::Ready((!data.is_empty()).then(|| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.content, Content::Pieces(pieces) if pieces.is_empty())
    }
}

/// A connection, and what is asked on it.
#[derive(Debug)]
struct Open {
    pass: Pass,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Since when each request is being answered; none for those that last.
    asked: BTreeMap<u64, Option<Instant>>,
    next: u64,
    /// When the last of them was over.
    idle: Instant,
}

/// How a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Goes,
    /// Nothing is asked on it any more.
    Idle,
    /// It does not take what it asked for, or does not end.
    Stuck,
}

impl Open {
    fn new(pass: Pass) -> Self {
        let state = State { asked: BTreeMap::new(), next: 0, idle: Instant::now() };
        Self { pass, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, now: Instant) -> Look {
        let state = self.lock();
        let idle = now.duration_since(state.idle);
        match state.asked.is_empty() {
            true if idle >= HEAD_LIMIT + LEAVE_LIMIT => Look::Stuck,
            true if idle >= HEAD_LIMIT => Look::Idle,
            true => Look::Goes,
            false => {
                let is_late = |since: &Instant| now.duration_since(*since) >= REQUEST_LIMIT;
                if state.asked.values().flatten().any(is_late) { Look::Stuck } else { Look::Goes }
            }
        }
    }
}

/// A request until its answer has left.
#[derive(Debug)]
struct Asked {
    open: Arc<Open>,
    id: u64,
}

impl Asked {
    fn new(open: &Arc<Open>) -> Self {
        let mut state = open.lock();
        let id = state.next;
        state.next += 1;
        state.asked.insert(id, Some(Instant::now()));
        drop(state);
        Self { open: open.clone(), id }
    }

    /// Its answer has no end: whether it is taken is looked after elsewhere.
    fn lasts(&self) {
        self.open.lock().asked.insert(self.id, None);
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let mut state = self.open.lock();
        state.asked.remove(&self.id);
        state.idle = Instant::now();
    }
}

#[cfg(test)]
mod tests;
