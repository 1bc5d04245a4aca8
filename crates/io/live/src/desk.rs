//! Where everybody comes who wants to publish or play.
//!
//! Owns: the hub, the configuration, and for each stay the line over which it is called away. Addresses are
//! resolved and visitors judged here, so that every protocol refuses the same things for the same reasons.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use media::{
    Event, Hub, Name, Offer, PlayError, PlayerId, PublicationId, PublishError, Shared, Source, StreamInfo,
    Viewer, Why,
};
use tokio::sync::{Notify, broadcast, mpsc, watch};
use vhost::{Access, Action, AddressError, Place, Protocol, Query, Refusal};

use crate::away::Away;
use crate::callbacks::{self, Notice};
use crate::fan::{Fans, Seat};
use crate::forms::Forms;
use crate::gate::{Connections, Full, Gate};
use crate::{Config, Following, Playing, Publishing};

/// Events that a listener may be behind before it misses some.
const EVENTS: usize = 1024;

/// Why somebody was not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Access(#[from] Refusal),
    #[error("refused by the operator's server")]
    Callback,
    #[error("its codecs have no place in these segments; index.m3u8 leads to others, if there are any")]
    Codecs,
    #[error("sent away a moment ago")]
    SentAway,
    #[error("the stream is there, and its first pieces are not yet")]
    NotYet,
    #[error(transparent)]
    Crowded(#[from] Full),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Play(#[from] PlayError),
}

impl Refused {
    /// As HTTP says it (RFC 9110 section 15).
    pub fn status(&self) -> u16 {
        match self {
            Self::Address(error) => error.status(),
            Self::Access(refusal) => refusal.status(),
            Self::Callback | Self::SentAway => 403,
            Self::Publish(PublishError::Busy) => 409,
            Self::Play(PlayError::NotFound) | Self::Codecs => 404,
            Self::Publish(PublishError::Full) | Self::Play(PlayError::Full) => 503,
            Self::NotYet | Self::Crowded(_) => 503,
        }
    }

    /// Seconds after which it is worth asking again (RFC 9110 section 10.2.3).
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            Self::NotYet => Some(1),
            Self::Crowded(_) | Self::Publish(PublishError::Full) | Self::Play(PlayError::Full) => {
                Some(Full::RETRY_AFTER)
            }
            _ => None,
        }
    }
}

/// Somebody at the desk.
#[derive(Debug, Clone)]
pub struct Visit {
    pub place: Place,
    pub query: Query,
    pub protocol: Protocol,
    pub address: Option<SocketAddr>,
}

/// See the module's description. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Desk(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: RwLock<Arc<Config>>,
    state: Mutex<State>,
    gate: Arc<Gate>,
    hls: crate::hls::Streams,
    /// A timer may be due earlier than was thought.
    timers: Notify,
    events: broadcast::Sender<Event>,
    /// Notices for the task that has a runtime: a stay may end on a thread without one.
    notices: mpsc::UnboundedSender<Closing>,
    closings: Mutex<Option<mpsc::UnboundedReceiver<Closing>>>,
}

#[derive(Debug)]
struct State {
    hub: Hub,
    /// Publishers and players; their numbers come from one sequence.
    stays: HashMap<u64, Line>,
    /// What is shared by the readers of each stream.
    shares: HashMap<Name, Share>,
    fans: Fans,
    away: Away,
}

/// What the readers of a stream share beside the stream.
#[derive(Debug, Clone)]
struct Share {
    /// The head, for readers that wait for it.
    bell: watch::Sender<u64>,
    forms: Forms,
}

/// The line to a stay.
#[derive(Debug)]
struct Line {
    over: watch::Sender<Option<Why>>,
    /// Where it is, and comes from.
    name: Name,
    protocol: Protocol,
    address: Option<SocketAddr>,
    closing: Option<(String, Duration, Notice)>,
    since: Instant,
}

/// A notice to be sent.
#[derive(Debug)]
struct Closing {
    url: String,
    limit: Duration,
    notice: Notice,
}

impl Desk {
    /// Nothing happens by itself until [`Desk::run`].
    pub fn new(config: Config) -> Self {
        let (notices, closings) = mpsc::unbounded_channel();
        let state = State {
            hub: Hub::new(Instant::now(), config.max_streams),
            stays: HashMap::new(),
            shares: HashMap::new(),
            fans: Fans::default(),
            away: Away::default(),
        };
        Self(Arc::new(Inner {
            config: RwLock::new(Arc::new(config)),
            state: Mutex::new(state),
            gate: Arc::default(),
            hls: crate::hls::Streams::default(),
            timers: Notify::new(),
            events: broadcast::Sender::new(EVENTS),
            notices,
            closings: Mutex::new(Some(closings)),
        }))
    }

    /// Turns the hub's timers and sends the notices of ends, until `stop` ends.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let taken = self.0.closings.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut closings) = taken else { return };
        tokio::pin!(stop);
        loop {
            let due = self.state().hub.poll_timeout();
            let sleep = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = &mut stop => return,
                () = sleep => self.with(|hub| hub.handle_timeout(crate::now())),
                () = self.0.timers.notified() => {}
                Some(Closing { url, limit, notice }) = closings.recv() => {
                    tokio::spawn(callbacks::tell(url, limit, notice));
                }
            }
        }
    }

    pub fn config(&self) -> Arc<Config> {
        self.0.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Uses `config` from now on. Streams that run go on, with their application's new settings.
    pub fn apply(&self, config: Config) {
        let max_streams = config.max_streams;
        let config = Arc::new(config);
        *self.0.config.write().unwrap_or_else(PoisonError::into_inner) = config.clone();
        self.with(|hub| {
            hub.set_max_streams(max_streams);
            hub.apply(|name| config.directory.app(name).map(|app| app.stream.clone()));
        });
    }

    /// Lets a publisher in.
    pub async fn publish(&self, mut visit: Visit) -> Result<Publishing, Refused> {
        let config = self.config();
        let access = Access { directory: &config.directory, keys: &config.keys };
        // Software with a single field for the "stream key" sends it in place of a name.
        let named = visit.place.app.stream_of_key(visit.place.name.stream()).map(str::to_owned);
        let is_key = named.is_some() && visit.place.app.protocols.is_on(visit.protocol);
        if let Some(stream) = named.filter(|_| is_key) {
            let name = &visit.place.name;
            visit.place.name = Name::new(name.domain(), name.app(), &stream)
                .ok_or(AddressError::Malformed("a stream key is for no possible name"))?;
        }
        let bearer = match is_key {
            true => vhost::Bearer::default(),
            false => {
                access.judge(crate::now(), Action::Publish, visit.protocol, &visit.place, &visit.query)?
            }
        };
        let callbacks = &visit.place.app.callbacks;
        let notice = visit.notice("on_publish", &bearer.identity);
        if let Some(url) = &callbacks.on_publish
            && !callbacks::ask(url, callbacks, &notice).await
        {
            return Err(Refused::Callback);
        }
        self.begin(visit, Source::Published, Some(notice))
    }

    /// Lets a stream in that was fetched; nobody has to be asked.
    pub fn adopt(&self, visit: Visit) -> Result<Publishing, Refused> {
        self.begin(visit, Source::Pulled, None)
    }

    fn begin(&self, visit: Visit, source: Source, notice: Option<Notice>) -> Result<Publishing, Refused> {
        let offer = Offer { source, label: visit.protocol.name(), address: visit.address };
        let mut state = self.state();
        let Visit { place, protocol, address, .. } = visit;
        let publication = state.hub.publish(crate::now(), &place.name, &place.app.stream, offer)?;
        let over = state.line(publication.id.0, &place, (protocol, address), notice);
        let bell = state.share(&place.name, &publication.stream).bell;
        self.settle(&mut state);
        let media::Publication { id, session, stream } = publication;
        Ok(Publishing { desk: self.clone(), place, id, session, stream, over, bell })
    }

    /// Lets a player in. Where nobody publishes, but the stream can be fetched, its stay begins with waiting.
    pub async fn play(&self, visit: Visit) -> Result<Playing, Refused> {
        let config = self.config();
        let access = Access { directory: &config.directory, keys: &config.keys };
        let bearer = access.judge(crate::now(), Action::Play, visit.protocol, &visit.place, &visit.query)?;
        let is_away = |from: SocketAddr| self.state().away.has(&visit.place.name, visit.protocol, from.ip());
        if visit.address.is_some_and(is_away) {
            return Err(Refused::SentAway);
        }
        let callbacks = &visit.place.app.callbacks;
        let notice = visit.notice("on_play", &bearer.identity);
        if let Some(url) = &callbacks.on_play {
            // An operator's server is not asked about what is not there.
            let can_be = !visit.place.app.pull.is_empty() || self.find(&visit.place.name).is_some();
            if !can_be {
                return Err(PlayError::NotFound.into());
            }
            if !callbacks::ask(url, callbacks, &notice).await {
                return Err(Refused::Callback);
            }
        }
        let viewer = Viewer { label: visit.protocol.name(), address: visit.address };
        let mut state = self.state();
        let Visit { place, query, protocol, address } = visit;
        let can_pull = !place.app.pull.is_empty();
        let player = state.hub.play(crate::now(), &place.name, &place.app.stream, viewer, can_pull)?;
        let over = state.line(player.id.0, &place, (protocol, address), Some(notice));
        let Share { bell, forms } = state.share(&place.name, &player.stream);
        let bell = bell.subscribe();
        self.settle(&mut state);
        let media::Player { id, stream } = player;
        Ok(Playing { desk: self.clone(), place, id, query, stream, over, bell, forms })
    }

    /// Gives a player's socket to the sweeps of its stream.
    pub(crate) fn seat(&self, seat: Seat) {
        let refused = self.state().fans.take(seat);
        // Not in the line above, where the lock is held to its end.
        drop(refused);
    }

    /// Reads a stream without being one of its players: it is not kept for this.
    pub fn follow(&self, name: &Name) -> Option<Following> {
        let state = self.state();
        let stream = state.hub.find(name)?;
        let bell = state.shares.get(name)?.bell.subscribe();
        Some(Following { stream, bell })
    }

    pub(crate) fn gate(&self) -> &Arc<Gate> {
        &self.0.gate
    }

    /// The connections to all listeners.
    pub fn connections(&self) -> Connections {
        self.0.gate.connections()
    }

    pub(crate) fn hls(&self) -> &crate::hls::Streams {
        &self.0.hls
    }

    /// Judges a player without letting it in, as for each file of a stream that is played in pieces.
    pub(crate) fn judge_play(&self, visit: &Visit) -> Result<(), Refused> {
        let config = self.config();
        let access = Access { directory: &config.directory, keys: &config.keys };
        access.judge(crate::now(), Action::Play, visit.protocol, &visit.place, &visit.query)?;
        Ok(())
    }

    pub(crate) fn unpublish(&self, id: PublicationId) {
        self.with(|hub| hub.unpublish(crate::now(), id));
    }

    pub(crate) fn leave(&self, id: PlayerId) {
        self.with(|hub| hub.leave(crate::now(), id));
    }

    /// A stream could not be fetched: those who wait for it are sent away.
    pub fn give_up(&self, name: &Name) {
        self.with(|hub| hub.give_up(crate::now(), name));
    }

    /// Sends a stream's publisher away; whether there was one.
    pub fn kick_publisher(&self, name: &Name) -> bool {
        self.with(|hub| hub.kick_publisher(crate::now(), name))
    }

    /// Sends a player away; whether it was there. For a while its address is not let in to the stream again over
    /// the same protocol: players come back by themselves, and those of HLS with the next file they ask for.
    pub fn kick_player(&self, id: PlayerId) -> bool {
        let mut state = self.state();
        let line = state.stays.get(&id.0);
        let who = line.and_then(|line| Some((line.name.clone(), line.protocol, line.address?.ip())));
        let was_there = state.hub.kick_player(crate::now(), id);
        if let Some((name, protocol, from)) = who.filter(|_| was_there) {
            state.away.send(name, protocol, from);
        }
        self.settle(&mut state);
        was_there
    }

    pub fn find(&self, name: &Name) -> Option<Shared> {
        self.state().hub.find(name)
    }

    /// Every stream, by name.
    pub fn streams(&self) -> Vec<StreamInfo> {
        let state = self.state();
        let mut names: Vec<Name> = state.hub.names().cloned().collect();
        names.sort_unstable();
        names.iter().filter_map(|name| state.hub.info(crate::now(), name)).collect()
    }

    pub fn stream(&self, name: &Name) -> Option<StreamInfo> {
        self.state().hub.info(crate::now(), name)
    }

    /// What happens from now on. Who is too slow misses some, and is told so.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.0.events.subscribe()
    }

    fn with<T>(&self, work: impl FnOnce(&mut Hub) -> T) -> T {
        let mut state = self.state();
        let result = work(&mut state.hub);
        self.settle(&mut state);
        result
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes on what the hub has to say.
    fn settle(&self, state: &mut State) {
        while let Some(event) = state.hub.poll_event() {
            let ended = match &event {
                Event::Stopped { id, why, .. } => Some((id.0, *why)),
                Event::Left { id, why, .. } => Some((id.0, *why)),
                Event::Started { .. } | Event::Wanted { .. } => None,
                Event::Ended { name } => {
                    state.shares.remove(name);
                    state.fans.remove(name);
                    None
                }
            };
            if let Some((line, why)) = ended.and_then(|(id, why)| Some((state.stays.remove(&id)?, why))) {
                line.over.send_replace(Some(why));
                if let Some((url, limit, notice)) = line.closing {
                    let notice = notice.closed(why.name(), line.since.elapsed());
                    // Nobody listens when the server is going down.
                    let _ = self.0.notices.send(Closing { url, limit, notice });
                }
            }
            // Nor need anybody listen to events.
            let _ = self.0.events.send(event);
        }
        self.0.timers.notify_one();
    }
}

#[cfg(test)]
impl Desk {
    /// What is kept: streams, stays, what readers share, fans, streams that are cut for HLS.
    pub(crate) fn census(&self) -> [usize; 5] {
        let state = self.state();
        let streams = state.hub.names().count();
        [streams, state.stays.len(), state.shares.len(), state.fans.len(), self.0.hls.len()]
    }
}

impl State {
    fn line(
        &mut self,
        id: u64,
        place: &Place,
        (protocol, address): (Protocol, Option<SocketAddr>),
        notice: Option<Notice>,
    ) -> watch::Receiver<Option<Why>> {
        let (over, receiver) = watch::channel(None);
        let callbacks = &place.app.callbacks;
        let closing =
            callbacks.on_close.clone().zip(notice).map(|(url, notice)| (url, callbacks.timeout, notice));
        let name = place.name.clone();
        let line = Line { over, name, protocol, address, closing, since: Instant::now() };
        self.stays.insert(id, line);
        receiver
    }

    fn share(&mut self, name: &Name, stream: &Shared) -> Share {
        let make = || Share { bell: watch::Sender::new(stream.head()), forms: Forms::default() };
        self.shares.entry(name.clone()).or_insert_with(make).clone()
    }
}

impl Visit {
    fn notice(&self, action: &'static str, identity: &str) -> Notice {
        Notice::new(action, &self.place, self.protocol, self.address, &self.query, identity)
    }
}

#[cfg(test)]
mod tests;
