//! A thread that publishes all streams of a run over RTMP.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::{Buf as _, BytesMut};
use container::flv::TagKind;
use net::Poller;
use rtmp::Client;
use rtmp::client::{Event, Purpose};

use super::address::Address;
use super::content::{BLOCK, Content, RATE, Stamp};
use super::{KNOCKING, unix};
use crate::files;

/// For a connection to be taken.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// A server that leaves this much waiting does not keep up.
const BACKLOG: usize = 16 << 20;
/// Frames sent before servers are heard again: whoever is behind still lets publishers in.
const TURN: usize = 500;
/// Longest wait, so that an end is noticed.
const TICK: Duration = Duration::from_millis(20);

/// What the publishers have come to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Published {
    /// Streams that were let in and are still there.
    pub(crate) live: usize,
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    pub(crate) failures: HashMap<String, usize>,
}

/// The thread, and what it says.
#[derive(Debug)]
pub(crate) struct Publisher {
    published: Arc<Mutex<Published>>,
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Publisher {
    pub(crate) fn start(
        address: &Address,
        streams: usize,
        content: Content,
        rate: f64,
    ) -> anyhow::Result<Self> {
        let published = Arc::new(Mutex::new(Published::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let poller = Poller::new().context("epoll")?;
        let room = Room {
            poller,
            content,
            publications: (0..streams).map(|_| None).collect(),
            due: BinaryHeap::new(),
            shared: published.clone(),
            counted: Published::default(),
        };
        let (address, halt) = (address.clone(), stop.clone());
        let thread = std::thread::Builder::new().name("publisher".into());
        let thread =
            thread.spawn(move || room.run(&address, rate, &halt)).context("cannot start a thread")?;
        Ok(Self { published, stop, thread })
    }

    pub(crate) fn look(&self) -> Published {
        self.published.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        // A thread that panicked has said so.
        let _ = self.thread.join();
    }
}

struct Room {
    poller: Poller,
    content: Content,
    publications: Vec<Option<Publication>>,
    /// When each stream's next frame leaves.
    due: BinaryHeap<Reverse<(Instant, usize)>>,
    shared: Arc<Mutex<Published>>,
    counted: Published,
}

struct Publication {
    socket: TcpStream,
    client: Client,
    /// What the socket has not taken yet.
    waiting: BytesMut,
    began: Option<Instant>,
    pictures: u64,
    blocks: u64,
}

impl Room {
    fn run(mut self, address: &Address, rate: f64, stop: &AtomicBool) {
        let began = Instant::now();
        let mut next = 0;
        let mut body = BytesMut::new();
        while !stop.load(Ordering::Relaxed) {
            // 1. Streams that begin, at their rate, and as the server lets them in.
            let mut knocking = if next < self.publications.len() { self.knocking() } else { 0 };
            while knocking < KNOCKING
                && next < self.publications.len()
                && began.elapsed().as_secs_f64() * rate >= next as f64
            {
                knocking += 1;
                match connect(address, next) {
                    Ok(publication) => self.enter(next, publication),
                    Err(error) => self.fail(format!("{error:#}")),
                }
                next += 1;
            }
            // 2. Frames that are due.
            let now = Instant::now();
            for _ in 0..TURN {
                let Some(Reverse((at, index))) =
                    self.due.peek().copied().filter(|Reverse((at, _))| *at <= now)
                else {
                    break;
                };
                self.due.pop();
                self.frame(index, at, &mut body);
            }
            *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = self.counted.clone();
            // 3. What servers say, until the next frame is due.
            let patience = self.due.peek().map_or(TICK, |Reverse((at, _))| at.duration_since(now).min(TICK));
            let Ok(ready) = self.poller.wait(Some(patience)) else { return };
            let tokens: Vec<u64> = ready.iter().map(|ready| ready.token).collect();
            tokens.into_iter().for_each(|token| self.listen(token as usize));
        }
    }

    /// How many have not been let in yet.
    fn knocking(&self) -> usize {
        self.publications.iter().flatten().filter(|publication| publication.began.is_none()).count()
    }

    fn enter(&mut self, index: usize, publication: Publication) {
        if self.poller.add(&publication.socket, index as u64).is_err() {
            return self.fail("epoll takes no more sockets".into());
        }
        if let Some(place) = self.publications.get_mut(index) {
            *place = Some(publication);
            self.settle(index);
        }
    }

    fn fail(&mut self, why: String) {
        *self.counted.failures.entry(why).or_default() += 1;
    }

    /// Ends a publication that cannot go on.
    fn lose(&mut self, index: usize, why: String) {
        let Some(lost) = self.publications.get_mut(index).and_then(Option::take) else { return };
        self.counted.live -= usize::from(lost.began.is_some());
        self.fail(why);
    }

    fn listen(&mut self, index: usize) {
        let Some(Some(publication)) = self.publications.get_mut(index) else { return };
        let mut buffer = [0; 4096];
        match publication.socket.read(&mut buffer) {
            Ok(0) => self.lose(index, "the server closed a publisher's connection".into()),
            Ok(count) => match publication.client.push(buffer.get(..count).unwrap_or_default()) {
                Ok(()) => self.settle(index),
                Err(error) => self.lose(index, format!("a publisher's server: {error}")),
            },
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => self.lose(index, format!("a publisher's connection: {error}")),
        }
    }

    /// Obeys what came, and sends what is to be said.
    fn settle(&mut self, index: usize) {
        let count = self.publications.len();
        let Some(Some(publication)) = self.publications.get_mut(index) else { return };
        let mut ended = None;
        while let Some(event) = publication.client.poll_event() {
            match event {
                Event::Started => {
                    // Streams beside each other send their frames one after the other.
                    let step = Duration::from_secs(1) / self.content.fps as u32;
                    let began = Instant::now() + step * index as u32 / count as u32;
                    publication.begin(&self.content, began);
                    self.due.push(Reverse((began, index)));
                    self.counted.live += 1;
                }
                Event::Media(_) => {}
                Event::Ended { code, description } => {
                    ended = Some(format!("publishing was refused or ended: {code} {description}"));
                }
            }
        }
        if let Some(why) = ended.or_else(|| publication.flush().err()) {
            self.lose(index, why);
        }
    }

    fn frame(&mut self, index: usize, at: Instant, body: &mut BytesMut) {
        let Some(Some(publication)) = self.publications.get_mut(index) else { return };
        let Some(began) = publication.began else { return };
        let millis = at.saturating_duration_since(began).as_millis() as u32;
        let content = &self.content;
        // The one that is due: blocks of sound go first, as encoders send them.
        if content.audio && publication.next_block() <= publication.next_picture(content.fps) {
            content.block(body);
            publication.client.send(TagKind::Audio, millis, body);
            publication.blocks += 1;
        } else {
            content.picture(Stamp { at: unix(), number: publication.pictures as u32 }, body);
            publication.client.send(TagKind::Video, millis, body);
            publication.pictures += 1;
        }
        self.counted.frames += 1;
        self.counted.bytes += body.len() as u64;
        let mut next = publication.next_picture(content.fps);
        if content.audio {
            next = next.min(publication.next_block());
        }
        self.due.push(Reverse((began + next, index)));
        if let Err(why) = publication.flush() {
            self.lose(index, why);
        }
    }
}

impl Publication {
    /// Sends what stands before the first frame.
    fn begin(&mut self, content: &Content, at: Instant) {
        self.began = Some(at);
        self.client.send_metadata(&content.metadata());
        self.client.send(TagKind::Video, 0, &content.video_config());
        if content.audio {
            self.client.send(TagKind::Audio, 0, &content.audio_config());
        }
    }

    fn next_picture(&self, fps: u64) -> Duration {
        Duration::from_nanos(self.pictures * 1_000_000_000 / fps)
    }

    fn next_block(&self) -> Duration {
        Duration::from_nanos(self.blocks * BLOCK * 1_000_000_000 / RATE)
    }

    fn flush(&mut self) -> Result<(), String> {
        let more = self.client.take_output();
        if self.waiting.is_empty() {
            self.waiting = more.into();
        } else {
            self.waiting.extend_from_slice(&more);
        }
        while !self.waiting.is_empty() {
            match self.socket.write(&self.waiting) {
                Ok(count) => self.waiting.advance(count),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(format!("a publisher's connection: {error}")),
            }
        }
        match self.waiting.len() {
            0..BACKLOG => Ok(()),
            _ => Err("the server does not take what is published as fast as it comes".into()),
        }
    }
}

fn connect(address: &Address, stream: usize) -> anyhow::Result<Publication> {
    let socket = TcpStream::connect_timeout(&address.rtmp, CONNECT_LIMIT)
        .map_err(|error| files::unanswered(error, "--url", address.rtmp, address.files))?;
    socket.set_nonblocking(true).and_then(|()| socket.set_nodelay(true)).context("a socket")?;
    let client = Client::new(address.target(stream)?, Purpose::Publish, super::noise());
    Ok(Publication { socket, client, waiting: BytesMut::new(), began: None, pictures: 0, blocks: 0 })
}
