//! The HTTP side as a whole: what its parts share, and what the binary does with it.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use auth::Claims;
use signal::SessionId;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;
use tracing::info;

use crate::agents::Agents;
use crate::capacity::{self, Load};
use crate::directory::{Directory, Entry, NoRoom, ToRoom};
use crate::metrics::Metrics;
use crate::revoked::Revoked;
use crate::webhook::Notifier;
use crate::whip::Publications;
use crate::{Config, driver, opening};

/// LiveKit's HTTP and WebSocket interface, guest tokens and the page, in front of one media engine.
#[derive(Clone)]
pub struct Api {
    shared: Arc<Shared>,
}

/// Where live streams are listened for, as the watch page tells it; none where a listener is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LivePorts {
    pub rtmp: Option<u16>,
    pub rtmps: Option<u16>,
    /// HTTP-FLV and HLS.
    pub http: Option<u16>,
    /// Whether that is over TLS.
    pub is_secure: bool,
}

/// What connections, rooms and handlers share.
pub(crate) struct Shared {
    config: RwLock<Arc<Config>>,
    pub(crate) engine: engine::Handle,
    pub(crate) directory: Arc<Directory>,
    pub(crate) metrics: Metrics,
    /// Through which connections come to [`Api::serve`], those over all listeners together.
    pub(crate) gate: Arc<live::Gate>,
    pub(crate) load: Load,
    pub(crate) webhooks: Notifier,
    pub(crate) agents: Agents,
    pub(crate) revoked: Revoked,
    pub(crate) publications: Publications,
    /// How many WebSockets are open.
    pub(crate) sessions: watch::Sender<usize>,
    last_session: AtomicU64,
    /// Where live streams are, if there are any.
    pub(crate) desk: OnceLock<live::Desk>,
    pub(crate) turn: OnceLock<turn_net::Service>,
    pub(crate) live_ports: OnceLock<LivePorts>,
}

impl Api {
    /// Nothing listens yet: see [`Api::serve`].
    pub fn new(config: Config, engine: engine::Handle) -> Self {
        let webhooks = Notifier::new(config.webhooks.clone());
        let shared = Shared {
            webhooks,
            agents: Agents::default(),
            revoked: Revoked::default(),
            publications: Publications::default(),
            gate: Arc::new(live::Gate::new(config.limits.connections)),
            config: RwLock::new(Arc::new(config)),
            engine,
            directory: Arc::default(),
            metrics: Metrics::default(),
            load: Load::default(),
            sessions: watch::Sender::new(0),
            last_session: AtomicU64::new(0),
            desk: OnceLock::new(),
            turn: OnceLock::new(),
            live_ports: OnceLock::new(),
        };
        let shared = Arc::new(shared);
        capacity::start(&shared);
        Self { shared }
    }

    /// Uses `config` from now on: keys, guests and webhooks at once, the rest for new connections and new rooms.
    pub fn apply(&self, config: Config) {
        self.shared.webhooks.apply(config.webhooks.clone());
        *self.shared.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    /// Shows these live streams, and lets operators look after them. Said once.
    pub fn watch_streams(&self, desk: live::Desk, ports: LivePorts) {
        let _ = self.shared.desk.set(desk);
        let _ = self.shared.live_ports.set(ports);
    }

    /// Counts what this TURN server does. Said once.
    pub fn watch_turn(&self, turn: turn_net::Service) {
        let _ = self.shared.turn.set(turn);
    }

    /// Stops taking joins and waits for rooms to end by themselves, for at most `patience`.
    pub async fn wait_for_rooms(&self, patience: Duration) {
        let rooms = self.shared.directory.drain();
        info!(rooms = rooms.len(), ?patience, "waiting for rooms to end");
        // A room that waits for somebody to come would wait in vain.
        let _ = tokio::time::timeout(patience, async {
            let mut sessions = self.shared.sessions.subscribe();
            // The sender lives as long as `self`.
            let _ = sessions.wait_for(|open| *open == 0).await;
        })
        .await;
    }

    /// Stops taking joins, tells every client to leave (or, with `reconnect`, to join again, which a load
    /// balancer turns into another server) and waits until they have, for at most `grace`. Returns how many
    /// were still there.
    pub async fn drain(&self, reconnect: bool, grace: Duration) -> usize {
        let rooms = self.shared.directory.drain();
        info!(rooms = rooms.len(), sessions = *self.shared.sessions.borrow(), reconnect, "draining");
        let everyone_gone = async {
            for room in rooms {
                // A room that has ended in the meantime has nobody left to tell.
                let _ = room.inbox.send(ToRoom::Shutdown { reconnect }).await;
            }
            let mut sessions = self.shared.sessions.subscribe();
            // The sender lives as long as `self`.
            let _ = sessions.wait_for(|open| *open == 0).await;
            self.shared.directory.empty().await;
            self.shared.webhooks.idle().await;
        };
        match tokio::time::timeout(grace, everyone_gone).await {
            Ok(()) => 0,
            Err(_) => *self.shared.sessions.borrow(),
        }
    }

    /// A page of metrics in Prometheus' text format.
    pub fn metrics(&self) -> String {
        crate::metrics::page(&self.shared)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Shared {
    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn next_session(&self) -> SessionId {
        SessionId(self.last_session.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The way into the room called `name`. It is opened if need be and allowed, on the media worker that
    /// has least to do.
    pub(crate) fn room(self: &Arc<Self>, name: &str, opener: &Claims) -> Result<Entry, NoRoom> {
        let rooms = &self.config().rooms;
        if !rooms.auto_create {
            return self.directory.find(name);
        }
        self.open(name, opening::asked_by(rooms, opener))
    }

    /// The room called `name`, opened as `asked` if it does not run.
    pub(crate) fn open(self: &Arc<Self>, name: &str, asked: opening::Asked) -> Result<Entry, NoRoom> {
        self.directory.find_or_start(
            name,
            || self.engine.place(),
            |place, inbox| driver::start(Arc::clone(self), place, inbox, &asked),
        )
    }

    /// A token that says what `claims` say; `None` if there is no key to sign with.
    pub(crate) fn refresh_token(&self, claims: &Claims, lifetime: Duration) -> Option<String> {
        let config = self.config();
        // The key that signed the old one, if it is still there: other services may know only that one.
        let named = config.keys.get(&claims.api_key).map(|secret| (claims.api_key.as_str(), secret));
        let (key, secret) = named.or_else(|| config.keys.signing())?;
        Some(auth::issue(claims, key, secret, crate::now(), lifetime))
    }
}
