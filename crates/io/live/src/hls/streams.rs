//! The streams that are cut for players.
//!
//! Owns: a task for each variant of a stream that somebody plays, from the first request until a while after the
//! last, and the stays of those who play. Locks are taken in the order of [`Streams`], cuts, players.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hls::{Position, Segmenter, Tracks, Variant};
use media::{Name, PlayError, Ticks};
use tokio::sync::watch;
use vhost::{AddressError, App, Protocol};

use crate::{Desk, Following, Playing, Refused, Visit};

/// A player that asks for nothing for so long has left, and what nobody asks for is not cut any longer.
const FORGET: Duration = Duration::from_secs(30);
/// How often that is looked for.
const TICK: Duration = Duration::from_secs(2);
/// Frames read in one go.
const BATCH: usize = 256;

/// The streams that are played over HLS.
#[derive(Debug, Default)]
pub(crate) struct Streams(Mutex<HashMap<Name, Arc<Stream>>>);

/// A stream's variants and players.
#[derive(Debug)]
pub(super) struct Stream {
    config: hls::Config,
    cuts: Mutex<BTreeMap<Variant, Arc<Cut>>>,
    players: Mutex<HashMap<IpAddr, Player>>,
    /// Requests on their way.
    asking: AtomicUsize,
}

/// A request on its way. However it ends, with the last one a stream goes of which nothing came to be cut.
pub(super) struct Asking<'a> {
    desk: &'a Desk,
    name: &'a Name,
    stream: &'a Arc<Stream>,
}

impl<'a> Asking<'a> {
    pub(super) fn new(desk: &'a Desk, name: &'a Name, stream: &'a Arc<Stream>) -> Self {
        stream.asking.fetch_add(1, Ordering::Relaxed);
        Self { desk, name, stream }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if self.stream.asking.fetch_sub(1, Ordering::Relaxed) == 1 {
            forget_unused(self.desk, self.name, self.stream);
        }
    }
}

/// A variant while it is cut.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) variant: Variant,
    segmenter: Mutex<Segmenter>,
    pub(super) progress: watch::Sender<Progress>,
    /// When somebody asked for a file of it last.
    asked: Mutex<Instant>,
}

/// What requests wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Progress {
    position: Position,
    /// It can be said if it plays.
    pub(super) is_known: bool,
    /// Nothing more comes.
    pub(super) is_over: bool,
}

#[derive(Debug)]
struct Player {
    stay: Playing,
    heard: Instant,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere has left maps that are at worst an entry short.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The stream of a visit; its player is noted, and let in if it is new.
pub(super) async fn stream(desk: &Desk, visit: &Visit) -> Result<Arc<Stream>, Refused> {
    let name = &visit.place.name;
    let from = visit.address.map(|address| address.ip());
    let from = from.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
    let known = locked(&desk.hls().0).get(name).cloned();
    if let Some(stream) = known
        && stream.hears(from)
    {
        return Ok(stream);
    }
    let stay = desk.play(visit.clone()).await?;
    let mut streams = locked(&desk.hls().0);
    let stream =
        streams.entry(name.clone()).or_insert_with(|| Arc::new(Stream::new(&visit.place.app))).clone();
    drop(streams);
    let before = locked(&stream.players).insert(from, Player { stay, heard: Instant::now() });
    // Two requests at once: one stay is enough, and it does not end under a lock.
    drop(before);
    Ok(stream)
}

/// What is cut for these variants of a stream, begun together if need be.
pub(super) fn cuts(
    desk: &Desk,
    name: &Name,
    stream: &Arc<Stream>,
    variants: &[Variant],
) -> Result<Vec<Arc<Cut>>, Refused> {
    let mut streams = locked(&desk.hls().0);
    // It may have been forgotten in between.
    streams.entry(name.clone()).or_insert_with(|| stream.clone());
    let mut cuts = locked(&stream.cuts);
    // A stream that is cut anew has greater numbers than before: files of one name are the same file.
    let first = crate::now().unix.as_secs();
    let mut found = Vec::with_capacity(variants.len());
    for variant in variants {
        let cut = match cuts.get(variant) {
            Some(cut) => cut.clone(),
            None => {
                let following = desk.follow(name).ok_or(PlayError::NotFound)?;
                let known = following.stream().lock().headers().map(|headers| Tracks::renditions(headers));
                if variant.rendition >= known.unwrap_or(1) {
                    return Err(AddressError::UnknownFile.into());
                }
                let cut = Arc::new(Cut::new(stream.config, *variant, first));
                cuts.insert(*variant, cut.clone());
                tokio::spawn(run(desk.clone(), name.clone(), stream.clone(), cut.clone(), following));
                cut
            }
        };
        *locked(&cut.asked) = Instant::now();
        found.push(cut);
    }
    Ok(found)
}

#[cfg(test)]
impl Streams {
    pub(crate) fn len(&self) -> usize {
        locked(&self.0).len()
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
        Self { config, cuts: Mutex::default(), players: Mutex::default(), asking: AtomicUsize::new(0) }
    }

    /// Notes that a player lives; whether it is known, and was not sent away.
    fn hears(&self, from: IpAddr) -> bool {
        let mut players = locked(&self.players);
        let Some(player) = players.get_mut(&from).filter(|player| player.stay.over().is_none()) else {
            return false;
        };
        player.heard = Instant::now();
        true
    }

    /// How far the other renditions are. They are cut for as long as one of them is played, since a player may
    /// change over.
    pub(super) fn reports(&self, of: Variant) -> Vec<(Variant, u64, Option<usize>)> {
        let others: Vec<Arc<Cut>> = locked(&self.cuts)
            .values()
            .filter(|cut| cut.variant != of && cut.variant.container == of.container)
            .cloned()
            .collect();
        let report = |cut: &Arc<Cut>| {
            *locked(&cut.asked) = Instant::now();
            let (segment, part) = cut.lock().last()?;
            Some((cut.variant, segment, part))
        };
        others.iter().filter_map(report).collect()
    }

    /// Sends away who was not heard.
    fn forget(&self) {
        let gone: Vec<Player> = locked(&self.players)
            .extract_if(|_, player| player.heard.elapsed() > FORGET || player.stay.over().is_some())
            .map(|(_, player)| player)
            .collect();
        // Not under the lock.
        drop(gone);
    }
}

impl Cut {
    fn new(config: hls::Config, variant: Variant, first: u64) -> Self {
        Self {
            variant,
            segmenter: Mutex::new(Segmenter::new(config, variant, first)),
            progress: watch::Sender::new(Progress::default()),
            asked: Mutex::new(Instant::now()),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Segmenter> {
        locked(&self.segmenter)
    }
}

/// Cuts a variant for as long as somebody asks for it and the stream is there.
async fn run(desk: Desk, name: Name, stream: Arc<Stream>, cut: Arc<Cut>, mut following: Following) {
    // From the oldest key frame on: a new player has something to play at once.
    let oldest = Ticks::from_duration(Duration::from_secs(3600));
    let mut cursor = following.stream().lock().cursor(Some(oldest));
    let mut looked = Instant::now();
    loop {
        read(&cut, &following, &mut cursor);
        if looked.elapsed() >= TICK {
            looked = Instant::now();
            stream.forget();
            if end(&desk, &name, &stream, &cut, FORGET) {
                break;
            }
        }
        let position = cursor.position();
        if let Ok(false) = tokio::time::timeout(TICK, following.beyond(position)).await {
            end(&desk, &name, &stream, &cut, Duration::ZERO);
            break;
        }
    }
    cut.progress.send_modify(|progress| progress.is_over = true);
}

/// Forgets a stream of which nothing is cut: whoever came for it was refused, or has gone.
fn forget_unused(desk: &Desk, name: &Name, stream: &Arc<Stream>) {
    let mut streams = locked(&desk.hls().0);
    if !locked(&stream.cuts).is_empty() {
        return;
    }
    if streams.get(name).is_some_and(|other| Arc::ptr_eq(other, stream)) {
        streams.remove(name);
    }
    drop(streams);
    let left = std::mem::take(&mut *locked(&stream.players));
    drop(left);
}

/// Takes a variant out that nobody has asked for within `since`, and with the last one the stream; whether it did.
fn end(desk: &Desk, name: &Name, stream: &Arc<Stream>, cut: &Arc<Cut>, since: Duration) -> bool {
    let mut streams = locked(&desk.hls().0);
    let mut cuts = locked(&stream.cuts);
    if locked(&cut.asked).elapsed() < since {
        return false;
    }
    if cuts.get(&cut.variant).is_some_and(|other| Arc::ptr_eq(other, cut)) {
        cuts.remove(&cut.variant);
    }
    let is_last = cuts.is_empty();
    drop(cuts);
    if is_last && streams.get(name).is_some_and(|other| Arc::ptr_eq(other, stream)) {
        streams.remove(name);
    }
    drop(streams);
    let left = if is_last { std::mem::take(&mut *locked(&stream.players)) } else { HashMap::new() };
    drop(left);
    true
}

/// Takes what is new into segments.
fn read(cut: &Cut, following: &Following, cursor: &mut media::Cursor) {
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
        let mut segmenter = cut.lock();
        if step.skipped > 0 {
            segmenter.gap();
        }
        if let Some(headers) = step.headers {
            segmenter.set_headers(&headers);
        }
        for frame in &frames {
            segmenter.push(unix - (newest - frame.dts).millis(), frame);
        }
    }
    let segmenter = cut.lock();
    let is_known = segmenter.has_begun() || segmenter.is_refused();
    let progress = Progress { position: segmenter.position(), is_known, is_over: false };
    drop(segmenter);
    cut.progress.send_if_modified(|known| std::mem::replace(known, progress) != progress);
}
