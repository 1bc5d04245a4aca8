//! Telling others over HTTP what happens in rooms, as LiveKit does.
//!
//! Owns: who is told what, signatures, order, repetition, and what is counted when somebody cannot be told.
//! Events of one room reach a receiver one after the other; those of different rooms need not. What waits is
//! in memory and bounded: an event beyond the bound is dropped and counted, and so is one that a receiver
//! did not take in [`ATTEMPTS`].

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use auth::Claims;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use livekit_protocol as proto;
use telemetry::Counter;
use tokio::sync::{mpsc, watch};
use tracing::{debug, warn};

use crate::Webhooks;

/// Its own type, so that no framework parses the body before its signature is checked.
const CONTENT_TYPE: &str = "application/webhook+json";
/// A signature's life.
const TOKEN_LIFE: Duration = Duration::from_secs(300);
/// For one attempt, from connecting to the answer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often an event is tried.
const ATTEMPTS: u32 = 6;
/// Before the second attempt; before each further one twice as long: 15.5 s altogether.
const PAUSE: Duration = Duration::from_millis(500);

/// Bytes of events that may wait for one receiver: each tells of a participant with all its metadata.
const QUEUED_BYTES: usize = 32 << 20;

/// Events that are about a track.
const ABOUT_TRACKS: [&str; 2] = ["track_published", "track_unpublished"];

/// What became of events, one count a receiver and event.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sent: Counter,
    pub(crate) retried: Counter,
    pub(crate) failed: Counter,
    pub(crate) dropped: Counter,
}

/// Tells everybody who is to be told.
#[derive(Debug)]
pub(crate) struct Notifier {
    state: RwLock<State>,
    pub(crate) counts: Arc<Counts>,
    /// Events that wait or are on their way.
    waiting: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    config: Option<Arc<Webhooks>>,
    receivers: Vec<Receiver>,
}

#[derive(Debug)]
struct Receiver {
    url: String,
    /// Bounded by `waiting`: a busy room may fill what others leave.
    lanes: Vec<mpsc::UnboundedSender<Delivery>>,
    waiting: Arc<Waiting>,
    /// Said once, not for every event that is dropped.
    is_behind: AtomicBool,
}

/// What waits for one receiver, in all lanes.
#[derive(Debug, Default)]
struct Waiting {
    events: AtomicUsize,
    bytes: AtomicUsize,
}

impl Waiting {
    /// Whether one more finds no room. One of any size goes to a receiver that has heard all before.
    fn is_full(&self, most: usize, bytes: usize) -> bool {
        let (events, queued) = (self.events.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        events >= most || (queued > 0 && queued + bytes > QUEUED_BYTES)
    }

    fn enter(&self, bytes: usize) {
        self.events.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn leave(&self, bytes: usize) {
        self.events.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// An event on its way to one receiver.
#[derive(Debug, Clone)]
struct Delivery {
    event: Arc<str>,
    body: Bytes,
    /// Of the body, in base64.
    sha256: Arc<str>,
    config: Arc<Webhooks>,
}

impl Notifier {
    pub(crate) fn new(config: Option<Webhooks>) -> Self {
        let notifier =
            Self { state: RwLock::default(), counts: Arc::default(), waiting: watch::Sender::new(0) };
        notifier.apply(config);
        notifier
    }

    /// Uses `config` for events from now on. A receiver that stays keeps what waits for it in order; one that
    /// goes is still told what waits.
    pub(crate) fn apply(&self, config: Option<Webhooks>) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let previous = std::mem::take(&mut *state);
        let Some(config) = config else { return };
        let same_lanes = previous.config.is_some_and(|p| p.lanes == config.lanes);
        let mut kept = if same_lanes { previous.receivers } else { Vec::new() };
        for url in &config.urls {
            let receiver = match kept.iter().position(|r| r.url == *url) {
                Some(at) => kept.swap_remove(at),
                None => self.receiver(url, &config),
            };
            state.receivers.push(receiver);
        }
        state.config = Some(Arc::new(config));
    }

    fn receiver(&self, url: &str, config: &Webhooks) -> Receiver {
        let waiting = Arc::new(Waiting::default());
        let lane = |_| {
            let (sender, deliveries) = mpsc::unbounded_channel();
            let lane = Lane {
                url: url.to_owned(),
                deliveries,
                counts: Arc::clone(&self.counts),
                waiting_here: Arc::clone(&waiting),
                waiting: self.waiting.clone(),
            };
            tokio::spawn(lane.run());
            sender
        };
        let lanes = (0..config.lanes.max(1)).map(lane).collect();
        Receiver { url: url.to_owned(), lanes, waiting, is_behind: AtomicBool::new(false) }
    }

    /// Tells of `event`, in order with what went before about its room. Waits for nobody.
    pub(crate) fn send(&self, mut event: proto::WebhookEvent) {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let Some(config) = state.config.as_ref().filter(|config| wants(config, &event.event)) else { return };
        event.id = format!("EV_{:016x}", u64::from_le_bytes(crate::random()));
        let mut hasher = DefaultHasher::new();
        if let Some(room) = &mut event.room {
            room.name.hash(&mut hasher);
            if !config.full_room && ABOUT_TRACKS.contains(&event.event.as_str()) {
                *room = proto::Room {
                    sid: std::mem::take(&mut room.sid),
                    name: std::mem::take(&mut room.name),
                    ..proto::Room::default()
                };
            }
        }
        let Ok(body) = serde_json::to_vec(&event) else { return };
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &body);
        let delivery = Delivery {
            event: event.event.into(),
            body: body.into(),
            sha256: STANDARD.encode(digest).into(),
            config: Arc::clone(config),
        };
        let lane = usize::try_from(hasher.finish() % (1 << 31)).unwrap_or(0);
        for receiver in &state.receivers {
            self.put(receiver, lane, delivery.clone());
        }
    }

    fn put(&self, receiver: &Receiver, lane: usize, delivery: Delivery) {
        let Some(lane) = receiver.lanes.get(lane % receiver.lanes.len().max(1)) else { return };
        // Senders hold the state's lock shared, so a few may pass the bound together.
        let is_behind = receiver.waiting.is_full(delivery.config.queued, delivery.body.len());
        if is_behind {
            self.counts.dropped.add_one();
        } else {
            self.waiting.send_modify(|waiting| *waiting += 1);
            receiver.waiting.enter(delivery.body.len());
            // The lane listens as long as its receiver is here.
            let _ = lane.send(delivery);
        }
        if receiver.is_behind.swap(is_behind, Ordering::Relaxed) != is_behind && is_behind {
            warn!(receiver = %host(&receiver.url), "webhooks are dropped: the receiver is behind");
        }
    }

    /// Returns when nothing waits.
    pub(crate) async fn idle(&self) {
        // The sender lives as long as `self`.
        let _ = self.waiting.subscribe().wait_for(|waiting| *waiting == 0).await;
    }
}

fn wants(config: &Webhooks, event: &str) -> bool {
    let named = |list: &[String]| list.iter().any(|name| name == event);
    (config.include.is_empty() || named(&config.include)) && !named(&config.exclude)
}

/// What may be said of a URL: the rest of it may be a secret.
fn host(url: &str) -> String {
    let parsed = url.parse::<axum::http::Uri>().ok();
    parsed.and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default()
}

/// Deliveries to one receiver, one after the other.
struct Lane {
    url: String,
    deliveries: mpsc::UnboundedReceiver<Delivery>,
    counts: Arc<Counts>,
    waiting_here: Arc<Waiting>,
    waiting: watch::Sender<usize>,
}

impl Lane {
    async fn run(mut self) {
        while let Some(delivery) = self.deliveries.recv().await {
            self.deliver(&delivery).await;
            self.waiting_here.leave(delivery.body.len());
            self.waiting.send_modify(|waiting| *waiting -= 1);
        }
    }

    async fn deliver(&self, delivery: &Delivery) {
        let receiver = host(&self.url);
        let mut pause = PAUSE;
        for attempt in 1..=ATTEMPTS {
            let outcome = self.attempt(delivery).await;
            match outcome {
                Ok(status @ 200..300) => {
                    debug!(%receiver, event = %delivery.event, status, "webhook");
                    self.counts.sent.add_one();
                    return;
                }
                // The receiver has understood, and does not want it: it will not want it again.
                Ok(status @ 300..500) if !matches!(status, 408 | 425 | 429) => {
                    warn!(%receiver, event = %delivery.event, status, "webhook refused");
                    self.counts.failed.add_one();
                    return;
                }
                Ok(status) => debug!(%receiver, event = %delivery.event, status, attempt, "webhook failed"),
                Err(error) => debug!(%receiver, event = %delivery.event, %error, attempt, "webhook failed"),
            }
            if attempt < ATTEMPTS {
                self.counts.retried.add_one();
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
        warn!(%receiver, event = %delivery.event, "webhook given up");
        self.counts.failed.add_one();
    }

    /// Signed for each attempt: a signature that waits would grow old.
    async fn attempt(&self, delivery: &Delivery) -> Result<u16, fetch::Error> {
        let config = &delivery.config;
        let claims = Claims { sha256: delivery.sha256.to_string(), ..Claims::default() };
        let token = auth::issue(&claims, &config.api_key, &config.secret, crate::now(), TOKEN_LIFE);
        fetch::post_authorized(&self.url, CONTENT_TYPE, &token, delivery.body.clone(), ATTEMPT_TIMEOUT).await
    }
}

#[cfg(test)]
mod tests;
