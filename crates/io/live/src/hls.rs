//! HLS on sockets: whose segmenter runs, who plays, and how long a request waits.
//!
//! Owns: a task for each stream that somebody plays over HLS, from the first request until a while after the
//! last. A player has no connection that lasts, so it is known by its address, and is gone when nothing has
//! been heard from there for [`FORGET`].

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hls::{Position, Segmenter};
use media::{Name, Ticks};
use tokio::sync::watch;
use vhost::{AddressError, App, Protocol};

use crate::{Desk, Following, Playing, Refused, Visit};

/// A player that asks for nothing for so long has left.
const FORGET: Duration = Duration::from_secs(30);
/// How often that is looked for.
const TICK: Duration = Duration::from_secs(2);
/// For the first segment of a stream, and for a playlist or part that was asked for ahead.
pub(crate) const WAIT: Duration = Duration::from_secs(15);
/// Segments ahead that may be asked for (rfc8216bis section 6.2.5.2).
const AHEAD: u64 = 2;
/// Frames read in one go.
const BATCH: usize = 256;

/// An answer that is not a refusal.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) content_type: &'static str,
    /// Whether others may keep it: segments never change.
    pub(crate) is_lasting: bool,
    pub(crate) pieces: Vec<Bytes>,
}

/// The streams that are played over HLS.
#[derive(Debug, Default)]
pub(crate) struct Streams(Mutex<HashMap<Name, Arc<Stream>>>);

#[derive(Debug)]
struct Stream {
    segmenter: Mutex<Segmenter>,
    /// How far it has come, and whether it can be said if it plays.
    progress: watch::Sender<(Position, bool)>,
    players: Mutex<HashMap<IpAddr, Player>>,
}

#[derive(Debug)]
struct Player {
    stay: Playing,
    heard: Instant,
}

/// What a file's name asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Playlist,
    Segment(u64),
    Part(u64, usize),
}

impl Wanted {
    /// Any `.m3u8`; `7.ts`; `7.3.ts`.
    fn parse(file: &str) -> Option<Self> {
        if file.ends_with(".m3u8") {
            return Some(Self::Playlist);
        }
        let name = file.strip_suffix(".ts")?;
        match name.split_once('.') {
            Some((segment, part)) => Some(Self::Part(segment.parse().ok()?, part.parse().ok()?)),
            None => name.parse().ok().map(Self::Segment),
        }
    }
}

/// Answers a request for `file` in the stream's folder.
pub(crate) async fn file(desk: &Desk, visit: Visit, file: &str) -> Result<File, Refused> {
    let wanted = Wanted::parse(file).ok_or(AddressError::UnknownFile)?;
    desk.judge_play(&visit)?;
    let stream = stream(desk, &visit).await?;
    match wanted {
        Wanted::Playlist => stream.playlist(&visit).await,
        Wanted::Segment(sequence) => {
            let segment = stream.lock().segment(sequence).ok_or(AddressError::UnknownFile)?;
            Ok(transport_stream(segment.bytes()))
        }
        Wanted::Part(sequence, part) => {
            // A part that was hinted is waited for; one further on is not.
            stream.reach(Position { segment: sequence, parts: part + 1 }).await?;
            let bytes = stream.lock().part(sequence, part).ok_or(AddressError::UnknownFile)?;
            Ok(transport_stream(vec![bytes]))
        }
    }
}

fn transport_stream(pieces: Vec<Bytes>) -> File {
    File { content_type: "video/mp2t", is_lasting: true, pieces }
}

/// Which of the two switches lets an application's playlists out.
pub(crate) fn protocol(app: &App) -> Protocol {
    if app.protocols.is_on(Protocol::Hls) { Protocol::Hls } else { Protocol::LlHls }
}

/// The stream of a visit, begun if need be; its player is noted, and let in if it is new.
async fn stream(desk: &Desk, visit: &Visit) -> Result<Arc<Stream>, Refused> {
    let name = &visit.place.name;
    let from = visit.address.map(|address| address.ip());
    let from = from.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
    let known = desk.hls().lock().get(name).cloned();
    if let Some(stream) = known
        && stream.hears(from)
    {
        return Ok(stream);
    }
    let stay = desk.play(visit.clone()).await?;
    let mut streams = desk.hls().lock();
    let stream = match streams.get(name) {
        Some(stream) => stream.clone(),
        None => {
            let following = desk.follow(name).ok_or(media::PlayError::NotFound)?;
            let stream = Arc::new(Stream::new(&visit.place.app));
            streams.insert(name.clone(), stream.clone());
            tokio::spawn(run(desk.clone(), name.clone(), stream.clone(), following));
            stream
        }
    };
    drop(streams);
    let before = stream.players().insert(from, Player { stay, heard: Instant::now() });
    // Two requests at once: one stay is enough, and it does not end under a lock.
    drop(before);
    Ok(stream)
}

impl Streams {
    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Arc<Stream>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Streams {
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }
}

impl Stream {
    fn new(app: &App) -> Self {
        let config = hls::Config {
            segment: app.hls.segment,
            max_segment: app.hls.max_segment,
            part: app.hls.part,
            window: app.hls.window,
            low_latency: app.protocols.is_on(Protocol::LlHls),
        };
        Self {
            segmenter: Mutex::new(Segmenter::new(config)),
            progress: watch::Sender::new((Position::default(), false)),
            players: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Segmenter> {
        self.segmenter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn players(&self) -> MutexGuard<'_, HashMap<IpAddr, Player>> {
        self.players.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a player lives; whether it is known, and was not sent away.
    fn hears(&self, from: IpAddr) -> bool {
        let mut players = self.players();
        let Some(player) = players.get_mut(&from).filter(|player| player.stay.over().is_none()) else {
            return false;
        };
        player.heard = Instant::now();
        true
    }

    async fn playlist(&self, visit: &Visit) -> Result<File, Refused> {
        let number = |key| visit.query.get(key).and_then(|value| value.parse::<u64>().ok());
        match (number("_HLS_msn"), number("_HLS_part")) {
            (None, Some(_)) => return Err(AddressError::Malformed("_HLS_part needs _HLS_msn").into()),
            (Some(segment), part) => {
                // The part after the last of a segment is the first of the next (section 6.2.5.2).
                let wanted = match part.and_then(|part| usize::try_from(part).ok()) {
                    Some(part) => Position { segment, parts: part.saturating_add(1) },
                    None => Position { segment: segment.saturating_add(1), parts: 0 },
                };
                self.reach(wanted).await?;
            }
            (None, None) => {}
        }
        let mut progress = self.progress.subscribe();
        let begun = tokio::time::timeout(WAIT, progress.wait_for(|(_, is_known)| *is_known)).await;
        if !matches!(begun, Ok(Ok(_))) {
            return Err(media::PlayError::NotFound.into());
        }
        if self.lock().is_refused() {
            return Err(Refused::Codecs);
        }
        // A token is asked for with every file, and players repeat none by themselves.
        let is_plain = |token: &&str| token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        let suffix = visit.query.token().filter(is_plain).map(|token| format!("?token={token}"));
        let text = self.lock().playlist(suffix.as_deref().unwrap_or_default());
        let content_type = "application/vnd.apple.mpegurl";
        Ok(File { content_type, is_lasting: false, pieces: vec![text.into()] })
    }

    /// Waits until the stream is there. What is too far ahead is malformed.
    async fn reach(&self, wanted: Position) -> Result<(), Refused> {
        let mut progress = self.progress.subscribe();
        let (now, _) = *progress.borrow();
        if wanted.segment > now.segment + AHEAD {
            return Err(AddressError::Malformed("it is too far ahead").into());
        }
        let reached = tokio::time::timeout(WAIT, progress.wait_for(|(at, _)| *at >= wanted)).await;
        if matches!(reached, Ok(Ok(_))) { Ok(()) } else { Err(AddressError::UnknownFile.into()) }
    }

    /// Sends away who was not heard; whether anybody is left.
    fn forget(&self) -> bool {
        let mut players = self.players();
        let gone: Vec<Player> = players
            .extract_if(|_, player| player.heard.elapsed() > FORGET || player.stay.over().is_some())
            .map(|(_, player)| player)
            .collect();
        let is_anybody = !players.is_empty();
        drop(players);
        drop(gone);
        is_anybody
    }
}

/// Cuts a stream for as long as somebody plays it and it is there.
async fn run(desk: Desk, name: Name, stream: Arc<Stream>, mut following: Following) {
    // From the oldest key frame on: a new player has something to play at once.
    let oldest = Ticks::from_duration(Duration::from_secs(3600));
    let mut cursor = following.stream().lock().cursor(Some(oldest));
    let mut looked = Instant::now();
    loop {
        read(&stream, &following, &mut cursor);
        if looked.elapsed() >= TICK {
            looked = Instant::now();
            if !stream.forget() {
                break;
            }
        }
        let position = cursor.position();
        if let Ok(false) = tokio::time::timeout(TICK, following.beyond(position)).await {
            break;
        }
    }
    let mut streams = desk.hls().lock();
    if streams.get(&name).is_some_and(|other| Arc::ptr_eq(other, &stream)) {
        streams.remove(&name);
    }
    drop(streams);
    let left = std::mem::take(&mut *stream.players());
    drop(left);
}

/// Takes what is new into segments.
fn read(stream: &Stream, following: &Following, cursor: &mut media::Cursor) {
    loop {
        let unix = crate::now().unix_millis();
        let mut source = following.stream().lock();
        let step = source.next(cursor, BATCH);
        if step.is_empty() {
            break;
        }
        // When a frame came is told by how far it is from the newest.
        let newest = source.newest();
        let frames: Vec<_> = source.frames(step.range).map(|(_, frame)| frame.clone()).collect();
        drop(source);
        let mut segmenter = stream.lock();
        if let Some(headers) = step.headers {
            segmenter.set_headers(headers);
        }
        for frame in &frames {
            segmenter.push(unix - (newest - frame.dts).millis(), frame);
        }
    }
    let segmenter = stream.lock();
    let progress = (segmenter.position(), segmenter.has_begun() || segmenter.is_refused());
    drop(segmenter);
    stream.progress.send_if_modified(|known| std::mem::replace(known, progress) != progress);
}
