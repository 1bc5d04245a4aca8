//! RTMP with other servers: from an origin, and to where streams are forwarded.

use std::time::Duration;

use ::rtmp::Client;
use ::rtmp::client::{Event, Purpose, Target};
use ::rtmp::egress;
use bytes::{Bytes, BytesMut};
use flv::Ingest;
use media::Ticks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;
use tracing::debug;

use super::Failure;
use super::intake::Intake;
use crate::Following;

/// For a connection to be there.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// A server that takes nothing for so long is dead.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// Read at once.
const READ: usize = 64 << 10;
/// Frames sent at once, and bytes of them unless one is larger.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 1 << 20;
/// For the last words to leave.
const END_LIMIT: Duration = Duration::from_secs(2);

struct Line {
    socket: Box<dyn fetch::Stream>,
    client: Client,
    buffer: BytesMut,
    /// What is being written; whoever is interrupted goes on there.
    writing: Bytes,
}

impl Line {
    async fn open(url: &str, purpose: Purpose) -> Result<Self, Failure> {
        let target = Target::parse(url).ok_or(Failure::Address)?;
        let socket = fetch::connect(&target.host, target.port, target.is_tls, CONNECT_LIMIT).await?;
        let client = Client::new(target, purpose, crate::rtmp::random());
        let mut line = Self { socket, client, buffer: BytesMut::new(), writing: Bytes::new() };
        line.flush().await?;
        Ok(line)
    }

    async fn read(&mut self) -> Result<(), Failure> {
        self.buffer.clear();
        self.buffer.reserve(READ);
        if self.socket.read_buf(&mut self.buffer).await? == 0 {
            return Err(Failure::Ended);
        }
        Ok(self.client.push(&self.buffer)?)
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        let write = async {
            self.socket.write_all_buf(&mut self.writing).await?;
            self.writing = self.client.take_output();
            self.socket.write_all_buf(&mut self.writing).await?;
            self.socket.flush().await
        };
        let stalled = |_| Failure::Io(std::io::ErrorKind::TimedOut.into());
        Ok(tokio::time::timeout(WRITE_LIMIT, write).await.map_err(stalled)??)
    }

    /// Says that this is the end, if there is somebody to take it.
    async fn end(mut self) {
        self.client.end();
        let last_words = async {
            if self.flush().await.is_ok() {
                let _ = self.socket.shutdown().await;
            }
        };
        let _ = tokio::time::timeout(END_LIMIT, last_words).await;
    }

    /// What the other server says, apart from media.
    fn said(&mut self) -> Result<Option<Event>, Failure> {
        match self.client.poll_event() {
            Some(Event::Ended { code, description }) => Err(Failure::Said { code, description }),
            other => Ok(other),
        }
    }
}

/// Plays `url` into `intake` until either ends.
pub(super) async fn pull(url: String, mut intake: Intake) -> Result<(), Failure> {
    let mut line = Line::open(&url, Purpose::Play).await?;
    let (mut ingest, mut items) = (Ingest::default(), Vec::new());
    loop {
        tokio::select! {
            read = line.read() => read?,
            failure = intake.ended() => return Err(failure),
        }
        while let Some(event) = line.said()? {
            if let Event::Media(media) = event
                && let Err(error) = ingest.tag(media.kind, media.timestamp, &media.body, &mut items)
            {
                debug!(%error, "a message of an origin is left out");
            }
        }
        intake.take(&mut items)?;
        line.flush().await?;
    }
}

/// Publishes a stream to `url` until either ends, or `stop` does. `on_start` hears when the other server takes it.
pub(super) async fn push(
    url: String,
    mut following: Following,
    on_start: impl Fn(),
    mut stop: oneshot::Receiver<()>,
) -> Result<(), Failure> {
    let mut line = tokio::select! {
        line = Line::open(&url, Purpose::Publish) => line?,
        _ = &mut stop => return Ok(()),
    };
    let result = tokio::select! {
        result = forward(&mut line, &mut following, on_start) => result,
        _ = &mut stop => Ok(()),
    };
    if result.is_ok() {
        line.end().await;
    }
    result
}

/// Until the stream is gone, or the other server.
async fn forward(line: &mut Line, following: &mut Following, on_start: impl Fn()) -> Result<(), Failure> {
    while !matches!(line.said()?, Some(Event::Started)) {
        line.flush().await?;
        line.read().await?;
    }
    on_start();
    // From the newest key frame: what is forwarded is to be as live as it can.
    let mut cursor = following.stream().lock().cursor(Some(Ticks(0)));
    loop {
        while send(&mut line.client, following, &mut cursor) {
            line.flush().await?;
        }
        line.flush().await?;
        let position = cursor.position();
        tokio::select! {
            is_there = following.beyond(position) => if !is_there { return Ok(()) },
            read = line.read() => read?,
        }
        while line.said()?.is_some() {}
    }
}

/// Appends what comes next to what is to be sent; whether there was anything.
fn send(client: &mut Client, following: &Following, cursor: &mut media::Cursor) -> bool {
    let mut stream = following.stream().lock();
    let step = stream.next_within(cursor, BATCH, BATCH_BYTES);
    if step.is_empty() {
        return false;
    }
    if let Some(headers) = &step.headers {
        let at = stream.frame(step.range.start).map_or(Ticks(0), |frame| frame.dts);
        let mut metadata = BytesMut::new();
        flv::egress::metadata(headers, &mut metadata);
        client.send_metadata(&metadata);
        for (kind, body) in egress::configs(headers) {
            client.send(kind, flv::egress::timestamp(at), &body);
        }
    }
    for (index, frame) in stream.frames(step.range) {
        let headers = stream.headers_at(index);
        if let Some((kind, body)) = headers.and_then(|headers| egress::body(headers, frame)) {
            client.send(kind, flv::egress::timestamp(frame.dts), &body);
        }
    }
    true
}
