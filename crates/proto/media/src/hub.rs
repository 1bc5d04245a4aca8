//! Who publishes and who plays, and how long a stream lives without them.
//!
//! Owns: the streams by name, the stays of publishers and players, their timeouts. Knows nothing of frames
//! beyond when the last one came, nor of permission: whoever calls has asked already.

mod event;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use clock::Time;

use crate::wheel::{Timer, Wheel};
use crate::{Config, Name, Session, Shared, Stats, Stream};

pub use event::{Event, Why};

/// A stay of a publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicationId(pub u64);

/// A stay of a player.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlayerId(pub u64);

/// Where a stream comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Somebody sends it here; it stays, watched or not.
    Published,
    /// It was fetched for players; it goes when they do.
    Pulled,
}

/// Who wants to publish.
#[derive(Debug, Clone)]
pub struct Offer {
    pub source: Source,
    /// By what it comes, for statistics.
    pub label: &'static str,
    pub address: Option<SocketAddr>,
}

/// Who wants to play.
#[derive(Debug, Clone)]
pub struct Viewer {
    /// By what it leaves, for statistics.
    pub label: &'static str,
    pub address: Option<SocketAddr>,
}

/// What a publisher holds. Frames go to `stream` with `session`.
#[derive(Debug, Clone)]
pub struct Publication {
    pub id: PublicationId,
    pub session: Session,
    pub stream: Shared,
}

/// What a player holds. It reads from `stream` with a cursor of its own.
#[derive(Debug, Clone)]
pub struct Player {
    pub id: PlayerId,
    pub stream: Shared,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    #[error("the stream has a publisher already")]
    Busy,
    #[error("there are too many streams")]
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlayError {
    #[error("nobody publishes this stream")]
    NotFound,
    #[error("there are too many streams")]
    Full,
}

/// A stream for those who look after the server.
#[derive(Debug, Clone)]
pub struct StreamInfo {
    pub name: Name,
    pub publisher: Option<PublisherInfo>,
    pub players: Vec<PlayerInfo>,
    pub stats: Stats,
}

/// A publisher for those who look after the server.
#[derive(Debug, Clone)]
pub struct PublisherInfo {
    pub id: PublicationId,
    pub offer: Offer,
    pub since: Time,
}

/// A player for those who look after the server.
#[derive(Debug, Clone)]
pub struct PlayerInfo {
    pub id: PlayerId,
    pub viewer: Viewer,
    pub since: Time,
}

/// Streams that are waited for at once, before anybody has sent them: whoever asks for names that nobody has
/// must not take the places of streams that exist, nor make origins be asked for ever more of them.
const MAX_AWAITED: usize = 1024;

/// See the module's description.
#[derive(Debug)]
pub struct Hub {
    max_streams: usize,
    streams: HashMap<Name, Entry>,
    publishers: HashMap<PublicationId, Name>,
    players: HashMap<PlayerId, Name>,
    /// Streams that are being fetched and have not come yet.
    awaited: HashSet<Name>,
    wheel: Wheel<Due>,
    events: VecDeque<Event>,
    last_id: u64,
}

#[derive(Debug)]
struct Entry {
    config: Config,
    stream: Shared,
    publisher: Option<Publisher>,
    players: BTreeMap<PlayerId, PlayerInfo>,
    /// A player has come for it and it is being fetched, or has been.
    is_pulled: bool,
    /// Until it is given up, because nobody needs it or nobody sends it.
    idle: Option<Timer>,
}

#[derive(Debug)]
struct Publisher {
    info: PublisherInfo,
    session: Session,
    silence: Timer,
}

#[derive(Debug)]
enum Due {
    Silence(PublicationId),
    Idle(Name),
}

impl Hub {
    /// A hub of at most `max_streams`, published, awaited and fetched together.
    pub fn new(now: Instant, max_streams: usize) -> Self {
        Self {
            max_streams,
            streams: HashMap::new(),
            publishers: HashMap::new(),
            players: HashMap::new(),
            awaited: HashSet::new(),
            wheel: Wheel::new(now),
            events: VecDeque::new(),
            last_id: 0,
        }
    }

    /// Somebody begins to publish; whoever did before is told to stop.
    pub fn publish(
        &mut self,
        now: Time,
        name: &Name,
        config: &Config,
        offer: Offer,
    ) -> Result<Publication, PublishError> {
        if let Some(present) = self.streams.get(name).and_then(|entry| entry.publisher.as_ref()) {
            let may = match (present.info.offer.source, offer.source) {
                // What is sent here is nearer than what can be fetched.
                (Source::Pulled, Source::Published) => true,
                (_, Source::Pulled) => false,
                (Source::Published, Source::Published) => config.replace_publisher,
            };
            if !may {
                return Err(PublishError::Busy);
            }
            self.stop(now, present.info.id, Why::Replaced);
        }
        self.open(name, config).ok_or(PublishError::Full)?;
        let id = PublicationId(self.next_id());
        let silence = self.wheel.set(now.mono + config.timeout_time, Due::Silence(id));
        let Some(entry) = self.streams.get_mut(name) else { return Err(PublishError::Full) };
        entry.is_pulled = offer.source == Source::Pulled;
        self.awaited.remove(name);
        entry.config = config.clone();
        let mut stream = entry.stream.lock();
        stream.apply(config.clone());
        let session = stream.begin(now);
        drop(stream);
        let info = PublisherInfo { id, offer, since: now };
        entry.publisher = Some(Publisher { info, session, silence });
        let stream = entry.stream.clone();
        self.publishers.insert(id, name.clone());
        self.events.push_back(Event::Started { name: name.clone(), id });
        self.review(now, name);
        Ok(Publication { id, session, stream })
    }

    /// A publisher has left. Players stay, and wait for the next.
    pub fn unpublish(&mut self, now: Time, id: PublicationId) {
        self.stop(now, id, Why::Left);
    }

    /// Somebody begins to play. If nobody publishes and the stream can be fetched (`can_pull`), it waits
    /// while that is tried.
    pub fn play(
        &mut self,
        now: Time,
        name: &Name,
        config: &Config,
        viewer: Viewer,
        can_pull: bool,
    ) -> Result<Player, PlayError> {
        let known = self.streams.get(name);
        if known.is_none() && !can_pull {
            return Err(PlayError::NotFound);
        }
        if known.is_none() && self.awaited.len() >= MAX_AWAITED.min(self.max_streams.div_ceil(2)) {
            return Err(PlayError::Full);
        }
        let is_wanted = known.is_none_or(|entry| entry.publisher.is_none() && !entry.is_pulled);
        self.open(name, config).ok_or(PlayError::Full)?;
        let id = PlayerId(self.next_id());
        let Some(entry) = self.streams.get_mut(name) else { return Err(PlayError::Full) };
        entry.players.insert(id, PlayerInfo { id, viewer, since: now });
        let stream = entry.stream.clone();
        if is_wanted && can_pull {
            entry.is_pulled = true;
            self.awaited.insert(name.clone());
            self.events.push_back(Event::Wanted { name: name.clone() });
        }
        self.players.insert(id, name.clone());
        self.review(now, name);
        Ok(Player { id, stream })
    }

    /// A player has left.
    pub fn leave(&mut self, now: Time, id: PlayerId) {
        self.remove_player(now, id, Why::Left);
    }

    /// A stream could not be fetched: those who wait for it are sent away.
    pub fn give_up(&mut self, now: Time, name: &Name) {
        let is_waiting = |entry: &Entry| entry.publisher.is_none() && entry.is_pulled;
        if self.streams.get(name).is_some_and(is_waiting) {
            self.close(now, name, Why::Ended);
        }
    }

    /// Sends a stream's publisher away; whether there was one.
    pub fn kick_publisher(&mut self, now: Time, name: &Name) -> bool {
        let id = self.streams.get(name).and_then(|e| e.publisher.as_ref()).map(|p| p.info.id);
        id.is_some_and(|id| self.stop(now, id, Why::Kicked))
    }

    /// Sends a player away; whether it was there.
    pub fn kick_player(&mut self, now: Time, id: PlayerId) -> bool {
        self.remove_player(now, id, Why::Kicked)
    }

    /// Another bound, for streams that come from now on.
    pub fn set_max_streams(&mut self, max_streams: usize) {
        self.max_streams = max_streams;
    }

    /// Other settings, for the streams for which `settings` has any.
    pub fn apply(&mut self, settings: impl Fn(&Name) -> Option<Config>) {
        for (name, entry) in &mut self.streams {
            if let Some(config) = settings(name) {
                entry.stream.lock().apply(config.clone());
                entry.config = config;
            }
        }
    }

    pub fn find(&self, name: &Name) -> Option<Shared> {
        self.streams.get(name).map(|entry| entry.stream.clone())
    }

    /// Whether somebody sends this stream, here or from where it is fetched.
    pub fn is_published(&self, name: &Name) -> bool {
        self.streams.get(name).is_some_and(|entry| entry.publisher.is_some())
    }

    /// The name of every stream, in no order.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.streams.keys()
    }

    pub fn info(&self, now: Time, name: &Name) -> Option<StreamInfo> {
        let entry = self.streams.get(name)?;
        Some(StreamInfo {
            name: name.clone(),
            publisher: entry.publisher.as_ref().map(|publisher| publisher.info.clone()),
            players: entry.players.values().cloned().collect(),
            stats: entry.stream.lock().stats(now),
        })
    }

    /// What has happened since; each stay begins once and ends once.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wheel.due()
    }

    pub fn handle_timeout(&mut self, now: Time) {
        let mut due = Vec::new();
        self.wheel.turn(now.mono, &mut due);
        for due in due {
            match due {
                Due::Silence(id) => self.check_silence(now, id),
                Due::Idle(name) => {
                    if let Some(entry) = self.streams.get_mut(&name) {
                        entry.idle = None;
                        let is_unneeded = entry.publisher.is_some() || entry.is_pulled;
                        self.close(now, &name, if is_unneeded { Why::Idle } else { Why::Ended });
                    }
                }
            }
        }
    }
}

/// Within.
impl Hub {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Makes the stream if it is not there; none if there are too many.
    fn open(&mut self, name: &Name, config: &Config) -> Option<()> {
        if self.streams.contains_key(name) {
            return Some(());
        }
        if self.streams.len() >= self.max_streams {
            return None;
        }
        let entry = Entry {
            config: config.clone(),
            stream: Shared::new(Stream::new(config.clone())),
            publisher: None,
            players: BTreeMap::new(),
            is_pulled: false,
            idle: None,
        };
        self.streams.insert(name.clone(), entry);
        Some(())
    }

    fn stop(&mut self, now: Time, id: PublicationId, why: Why) -> bool {
        let Some(name) = self.publishers.remove(&id) else { return false };
        let Some(entry) = self.streams.get_mut(&name) else { return false };
        let Some(publisher) = entry.publisher.take() else { return false };
        self.wheel.cancel(publisher.silence);
        // It may have been ended by another way already.
        let _ = entry.stream.lock().end(publisher.session);
        self.events.push_back(Event::Stopped { name: name.clone(), id, why });
        self.review(now, &name);
        true
    }

    fn remove_player(&mut self, now: Time, id: PlayerId, why: Why) -> bool {
        let Some(name) = self.players.remove(&id) else { return false };
        if let Some(entry) = self.streams.get_mut(&name) {
            entry.players.remove(&id);
        }
        self.events.push_back(Event::Left { name: name.clone(), id, why });
        self.review(now, &name);
        true
    }

    /// Sets or takes back the timer after which a stream is given up: one that is fetched while nobody
    /// plays it, one that was published while nobody publishes it. A published one stays.
    fn review(&mut self, now: Time, name: &Name) {
        let Some(entry) = self.streams.get_mut(name) else { return };
        let is_idle = match (&entry.publisher, entry.is_pulled) {
            (_, true) => entry.players.is_empty(),
            (Some(_), false) => false,
            (None, false) => true,
        };
        match (is_idle, entry.idle) {
            (true, None) => {
                let at = now.mono + entry.config.idle_time;
                entry.idle = Some(self.wheel.set(at, Due::Idle(name.clone())));
            }
            (false, Some(timer)) => {
                self.wheel.cancel(timer);
                entry.idle = None;
            }
            _ => {}
        }
    }

    fn check_silence(&mut self, now: Time, id: PublicationId) {
        let Some(name) = self.publishers.get(&id) else { return };
        let Some(entry) = self.streams.get_mut(name) else { return };
        let heard = entry.stream.lock().heard().unwrap_or(now.mono);
        let Some(publisher) = entry.publisher.as_mut() else { return };
        let until = heard + entry.config.timeout_time;
        if until > now.mono {
            publisher.silence = self.wheel.set(until, Due::Silence(id));
        } else {
            self.stop(now, id, Why::Silent);
        }
    }

    /// Ends a stream: its publisher, its players and itself.
    fn close(&mut self, now: Time, name: &Name, why: Why) {
        let Some(entry) = self.streams.get(name) else { return };
        let publisher = entry.publisher.as_ref().map(|publisher| publisher.info.id);
        let players: Vec<PlayerId> = entry.players.keys().copied().collect();
        if let Some(id) = publisher {
            self.stop(now, id, why);
        }
        for id in players {
            self.remove_player(now, id, why);
        }
        if let Some(entry) = self.streams.remove(name) {
            entry.idle.and_then(|timer| self.wheel.cancel(timer));
            entry.stream.lock().clear();
        }
        self.awaited.remove(name);
        self.events.push_back(Event::Ended { name: name.clone() });
    }
}

#[cfg(test)]
mod tests;
