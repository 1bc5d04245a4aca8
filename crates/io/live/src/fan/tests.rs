use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use rtmp::chunk::{ChunkWriter, message_type};
use rtmp::client::{Client, Purpose, Target};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpSocket;

use super::line::{LEAVE_LIMIT, LINGER, Line};
use super::seat::BATCH_BYTES;
use super::*;
use crate::accept::Arrival;
use crate::forms::Kind;
use crate::socket::Socket;
use crate::testbed::{desk, picture, publish, visit};
use crate::{Desk, Publishing};

/// Bytes of a frame here, and of what a socket may hold.
const FRAME: usize = 20_000;
const BUFFER: u32 = 8 << 10;

/// A player at a stream, its far end, and the clock that its seat is told.
struct Bench {
    publishing: Publishing,
    desk: Desk,
    seat: Seat,
    far: TcpStream,
    now: Instant,
    sent: i64,
}

/// Two ends of a connection with little room in it.
async fn pair() -> (tokio::net::TcpStream, TcpStream) {
    let listener = TcpSocket::new_v4().unwrap();
    listener.set_send_buffer_size(BUFFER).unwrap();
    listener.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = listener.listen(1).unwrap();
    let far = TcpSocket::new_v4().unwrap();
    far.set_recv_buffer_size(BUFFER).unwrap();
    let connected = far.connect(listener.local_addr().unwrap());
    let (near, far) = tokio::join!(listener.accept(), connected);
    (near.unwrap().0, far.unwrap().into_std().unwrap())
}

#[test]
fn another_sweep_begins_when_each_has_enough() {
    let choose = |lens: &[usize], limit| super::choose(lens.iter().copied(), limit);
    assert_eq!(choose(&[], 2), 0);
    assert_eq!(choose(&[SEATS - 1], 2), 0);
    assert_eq!(choose(&[SEATS], 2), 1);
    assert_eq!(choose(&[SEATS], 1), 0);
    assert_eq!(choose(&[SEATS, SEATS - 1], 2), 1);
    assert_eq!(choose(&[SEATS, SEATS + 1], 2), 0);
    assert_eq!(choose(&[SEATS, SEATS], 3), 2);
    // Of those who have left nobody is missed.
    assert_eq!(choose(&[SEATS, 3], 2), 1);
}

/// The server's half of a connection that plays.
fn server() -> rtmp::Server {
    let target = Target::parse("rtmp://h/live/demo").unwrap();
    let mut client = Client::new(target, Purpose::Play, crate::rtmp::random());
    let mut server = rtmp::Server::new(crate::rtmp::random());
    while server.poll_event().is_none() {
        server.push(&client.take_output()).unwrap();
        client.push(&server.take_output()).unwrap();
    }
    server.accept();
    server.take_output();
    server
}

impl Bench {
    async fn new(form: Form) -> Self {
        let desk = desk(|_| {});
        let publishing = publish(&desk, "demo").await;
        let playing = desk.play(visit(&desk, "demo")).await.unwrap();
        let (near, far) = pair().await;
        let from = near.peer_addr().unwrap();
        let pass = desk.gate().enter(from.ip(), desk.config().limits).unwrap();
        let arrival = Arrival { socket: Socket::Plain(near), from, pass, is_h2: false };
        let seat = Seat::new(arrival, form, playing, Bytes::new());
        Self { publishing, desk, seat, far, now: Instant::now(), sent: 0 }
    }

    fn push(&mut self, count: i64) {
        let frames = (self.sent..self.sent + count).map(|n| picture(n, FRAME));
        self.publishing.push(frames).unwrap();
        self.sent += count;
    }

    /// A sweep, and time for the system to tell what the socket takes.
    async fn sweep(&mut self) {
        for _ in 0..70 {
            tokio::task::yield_now().await;
        }
        self.seat.listen(self.now);
        gather(
            &self.seat.source().stream,
            &self.seat.source().forms,
            std::slice::from_mut(&mut self.seat),
            self.now,
        );
        self.seat.write(self.now);
    }

    /// Until the socket takes no more.
    async fn stall(&mut self) {
        self.push(30);
        self.sweep().await;
        assert!(self.seat.held() > 0 && !self.seat.is_done());
    }

    /// What has come, if anything.
    fn read(&mut self, at_most: usize) -> usize {
        let mut bytes = vec![0; at_most];
        self.far.read(&mut bytes).unwrap_or(0)
    }
}

#[tokio::test]
async fn what_is_held_for_a_player_is_bounded_in_bytes_and_the_rest_comes_at_once() {
    let mut bench = Bench::new(Form::Flv).await;
    bench.push(100);
    let mut sweeps = 0;
    let mut read = 0;
    while read < 100 * FRAME {
        bench.sweep().await;
        sweeps += 1;
        assert!(bench.seat.held() < BATCH_BYTES + FRAME + 1000, "{} bytes", bench.seat.held());
        let rests = bench.seat.position() < 100 && bench.seat.held() == 0;
        assert!(!rests || bench.seat.is_hungry(), "what is left waits for the next frame");
        read += bench.read(1 << 16);
        assert!(sweeps < 10_000, "{read} bytes");
    }
    bench.sweep().await;
    bench.sweep().await;
    assert!(!bench.seat.is_hungry(), "nor is there an endless turn");
}

#[tokio::test]
async fn players_that_want_the_same_share_one_buffer_of_the_same_bytes() {
    let mut bench = Bench::new(Form::Flv).await;
    bench.push(10);
    let source = bench.seat.source();
    let (stream, mut forms) = (source.stream.lock(), source.forms.lock());
    for kind in [Kind::Rtmp, Kind::Flv, Kind::FlvMessages] {
        let alone: Vec<u8> = (2..10).flat_map(|n| forms.one(kind, &stream, n).unwrap()).collect();
        assert_eq!(forms.run(kind, &stream, 2..10), None, "nobody else wants them so far");
        let second = forms.run(kind, &stream, 2..10).unwrap();
        assert_eq!(second, alone, "{kind:?}");
        assert_eq!(forms.run(kind, &stream, 2..10).unwrap().as_ptr(), second.as_ptr());
        assert_eq!(forms.run(kind, &stream, 3..10), None);
        assert_eq!(forms.run(kind, &stream, 9..10), None, "one frame is shared as it is");
    }
    forms.forget_runs();
    assert_eq!(forms.run(Kind::Flv, &stream, 3..10), None, "nothing is held until the next sweep");
}

/// The shortest question with an answer that is longer.
fn question() -> BytesMut {
    let mut question = BytesMut::new();
    let writer = ChunkWriter::with_chunk_size(1 << 16);
    writer.write(3, message_type::COMMAND, 1, 0, b"\x02\0\x04seek", &mut question);
    question
}

#[tokio::test]
async fn whoever_asks_is_answered_each_time_between_frames() {
    let mut bench = Bench::new(Form::Rtmp(Box::new(server()))).await;
    for _ in 0..3 {
        bench.sweep().await;
        assert_eq!(bench.read(1 << 16), 0, "nobody asked");
        bench.far.write_all(&question()).unwrap();
        bench.sweep().await;
        assert!(bench.read(1 << 16) > 50, "no answer");
    }
}

#[tokio::test]
async fn answers_wait_while_the_socket_takes_nothing() {
    let mut bench = Bench::new(Form::Rtmp(Box::new(server()))).await;
    bench.stall().await;
    let held = bench.seat.held();
    let question = question();
    let mut asked = 0;
    while !bench.seat.is_done() {
        // It asks, a little at a time, and never reads.
        for _ in 0..10 {
            asked += 1;
            bench.far.write_all(&question).unwrap();
        }
        bench.sweep().await;
        assert!(bench.seat.held() <= held, "{} bytes after {asked} questions", bench.seat.held());
        assert!(asked < 5000, "it is never refused");
    }
}

#[tokio::test]
async fn a_player_that_takes_a_byte_now_and_then_is_cut_off() {
    let mut bench = Bench::new(Form::Flv).await;
    bench.stall().await;
    let start = bench.now;
    let mut progress = 0;
    while !bench.seat.is_done() {
        bench.now += Duration::from_secs(1);
        let before = bench.seat.held();
        // As little as opens the window again.
        bench.read(BUFFER as usize / 4);
        bench.sweep().await;
        progress += usize::from(bench.seat.held() < before);
        assert!(bench.now - start < LEAVE_LIMIT * 3, "it holds {} bytes", bench.seat.held());
    }
    assert!(progress > 5, "it has read, {progress} times");
    assert!(bench.now - start >= LEAVE_LIMIT);
    assert_eq!(bench.seat.held(), 0);
}

#[tokio::test]
async fn a_slow_player_that_takes_what_it_is_given_stays() {
    let mut bench = Bench::new(Form::Flv).await;
    bench.stall().await;
    let start = bench.now;
    while bench.now - start < LEAVE_LIMIT * 4 {
        bench.now += LEAVE_LIMIT / 2;
        bench.push(1);
        for _ in 0..60 {
            bench.read(1 << 16);
            bench.sweep().await;
        }
        assert!(!bench.seat.is_done());
    }
}

#[tokio::test]
async fn who_is_sent_away_is_told_everything_and_then_waited_for_a_moment() {
    let mut bench = Bench::new(Form::FlvMessages).await;
    bench.stall().await;
    assert!(bench.desk.kick_player(bench.seat.playing().id()));
    bench.sweep().await;
    assert!(!bench.seat.is_done(), "what it was given is still written");
    let (mut said, mut bytes) = (Vec::new(), vec![0; 1 << 16]);
    bench.far.set_nonblocking(true).unwrap();
    let is_over = loop {
        match bench.far.read(&mut bytes) {
            Ok(0) => break true,
            Ok(count) => said.extend_from_slice(&bytes[..count]),
            Err(_) => bench.sweep().await,
        }
    };
    assert!(is_over && said.ends_with(b"\x88\x08\x03\xe8kicked"), "a close is the last thing said");
    assert!(!bench.seat.is_done());
    bench.now += LINGER;
    bench.sweep().await;
    assert!(bench.seat.is_done(), "nobody has to answer");
}

#[tokio::test]
async fn a_websocket_that_says_goodbye_is_answered_and_closed() {
    let mut bench = Bench::new(Form::FlvMessages).await;
    bench.far.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]).unwrap();
    bench.sweep().await;
    bench.sweep().await;
    let mut said = Vec::new();
    bench.far.set_nonblocking(false).unwrap();
    bench.far.read_to_end(&mut said).unwrap();
    assert_eq!(said, [0x88, 2, 0x03, 0xe8]);
    drop(std::mem::replace(&mut bench.far, pair().await.1));
    bench.sweep().await;
    assert!(bench.seat.is_done());
}

#[tokio::test]
async fn what_is_taken_in_pieces_leaves_whole_and_in_order() {
    let buffers = ["abc", "d", "", "efghi", "jk"];
    let all = buffers.concat();
    for size in 1..=all.len() + 1 {
        let (near, mut far) = tokio::io::duplex(size);
        let mut line = Line::new(Socket::other(near));
        buffers.iter().for_each(|text| line.put(Bytes::from_static(text.as_bytes())));
        let mut read = Vec::new();
        while read.len() < all.len() {
            line.write(Instant::now());
            far.read_buf(&mut read).await.unwrap();
            assert_eq!(line.held(), all.len() - read.len(), "{size} at a time");
            assert_eq!(line.is_clear(), line.held() == 0);
        }
        assert_eq!(read, all.as_bytes());
    }
}

/// As TLS is: what is written stays here until a flush has time for it.
#[derive(Debug, Default)]
struct Kept {
    kept: Vec<u8>,
    sent: std::sync::Arc<std::sync::Mutex<Vec<u8>>>,
    /// Flushes that are still too early.
    busy: usize,
}

impl AsyncRead for Kept {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Kept {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.kept.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.busy > 0 {
            self.busy -= 1;
            return Poll::Pending;
        }
        let kept = std::mem::take(&mut self.kept);
        self.sent.lock().unwrap().extend(kept);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.kept.extend_from_slice(b"<end>");
        self.poll_flush(&mut Context::from_waker(std::task::Waker::noop()))
    }
}

#[test]
fn what_a_socket_keeps_back_is_flushed_before_more_is_given_and_before_the_end() {
    let sent = std::sync::Arc::default();
    let mut line =
        Line::new(Socket::other(Kept { sent: std::sync::Arc::clone(&sent), busy: 3, ..Kept::default() }));
    let now = Instant::now();
    line.put(Bytes::from_static(b"frame"));
    line.end();
    for _ in 0..3 {
        line.write(now);
        assert!(!line.is_clear() && !line.is_closed());
        assert!(sent.lock().unwrap().is_empty());
    }
    line.write(now);
    assert_eq!(sent.lock().unwrap().as_slice(), b"frame<end>");
    line.write(now + LINGER);
    assert!(line.is_closed());
    // One that is never flushed holds its connection no longer than one that takes nothing.
    let mut line = Line::new(Socket::other(Kept { busy: usize::MAX, ..Kept::default() }));
    line.put(Bytes::from_static(b"frame"));
    line.write(now);
    line.write(now + LEAVE_LIMIT);
    assert!(line.is_closed());
}
