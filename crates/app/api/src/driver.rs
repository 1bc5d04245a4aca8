//! One room's task: it drives the pure [`Conference`] against the media engine and its clients' queues.
//!
//! Owns: the loop, the clock it tells, and which queue belongs to which session. Decides nothing about the
//! room. It never waits for a client or a media worker.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use livekit_protocol as proto;
use prost::Message as _;
use proto::signal_response::Message;
use signal::{Conference, Input, Migrant, Output, SessionId};
use tokio::sync::{Notify, mpsc, oneshot};
use tracing::{debug, info, warn};

use crate::app::Shared;
use crate::commands::Commands;
use crate::directory::{AdminResult, Place, ToRoom};
use crate::moving::{Gone, Passage, Ways};
use crate::{opening, queue};

/// Media events taken in one turn, so that a busy engine cannot keep clients waiting.
const EVENTS_A_TURN: usize = 256;
/// How long a media worker that is behind is left alone before it is asked again.
const WORKER_BEHIND: Duration = Duration::from_millis(2);
/// Messages taken in one turn.
const MESSAGES_A_TURN: usize = 64;

pub(crate) struct Driver {
    place: Place,
    shared: Arc<Shared>,
    conference: Conference,
    inbox: mpsc::Receiver<ToRoom>,
    events: engine::Events,
    event_bell: Arc<Notify>,
    /// `None`: told to go, and the connection has not ended yet.
    sessions: HashMap<SessionId, Option<queue::Sender>>,
    /// While one of them waits for a worker the room takes nothing in, so they are bounded by what one turn makes.
    commands: Commands,
    /// Who moves to which other room as soon as the workers have been told all that this one had to say of them.
    leaving: Vec<(String, Box<Migrant>)>,
    /// Who has moved to other rooms.
    gone: Gone,
    /// To the rooms they have gone to, and to those that what is here is forwarded to.
    ways: Ways,
    /// Commands of the server API that wait for their answer, by ticket.
    asked: HashMap<u64, oneshot::Sender<AdminResult>>,
    last_ticket: u64,
    /// Agents that the room is to have from its start.
    wanted: Vec<proto::RoomAgentDispatch>,
    ended: bool,
}

/// Starts a room's task.
pub(crate) fn start(
    shared: Arc<Shared>,
    place: Place,
    inbox: mpsc::Receiver<ToRoom>,
    asked: &opening::Asked,
) {
    let event_bell = Arc::new(Notify::new());
    let bell = Arc::clone(&event_bell);
    let (sink, events) = engine::events(engine::Limits::default(), move || bell.notify_one());
    if let Err(error) = shared.engine.register_room(place.entry.serial, &sink) {
        // Its inbox closes with this return, so whoever wanted in is told that the server is busy.
        warn!(room = %place.name, %error, "room not opened");
        return;
    }
    let config = opening::config(&shared, &place, asked);
    let conference = Conference::new(crate::now(), config, crate::random());
    info!(room = %place.name, serial = place.entry.serial, worker = place.entry.worker, "room opened");
    shared.metrics.rooms_opened.add_one();
    let driver = Driver {
        place,
        shared,
        conference,
        inbox,
        events,
        event_bell,
        sessions: HashMap::new(),
        commands: Commands::default(),
        leaving: Vec::new(),
        gone: Gone::default(),
        ways: Ways::default(),
        asked: HashMap::new(),
        last_ticket: 0,
        wanted: asked.iter().flat_map(|asked| asked.agents.iter().cloned()).collect(),
        ended: false,
    };
    tokio::spawn(driver.run());
}

impl Driver {
    async fn run(mut self) {
        while !self.ended || !self.commands.is_empty() {
            if !self.commands.is_empty() {
                tokio::time::sleep(WORKER_BEHIND).await;
                self.send_commands();
                self.let_go();
                continue;
            }
            let deadline = self.conference.poll_timeout();
            tokio::select! {
                message = self.inbox.recv() => match message {
                    Some(message) => self.take_messages(message),
                    None => break,
                },
                () = self.event_bell.notified() => self.take_events(),
                () = sleep_until(deadline) => self.conference.handle_timeout(crate::now()),
            }
            self.flush();
        }
        self.inbox.close();
        info!(room = %self.place.name, "room closed");
    }

    fn take_messages(&mut self, first: ToRoom) {
        self.take(first);
        for _ in 1..MESSAGES_A_TURN {
            if self.ended {
                break;
            }
            match self.inbox.try_recv() {
                Ok(message) => self.take(message),
                Err(_) => break,
            }
        }
    }

    fn take(&mut self, message: ToRoom) {
        let input = match message {
            ToRoom::Moved(passage) => {
                let Some((migrant, session)) = passage.arrive(self.place.entry.serial) else { return };
                self.gone.forget(&migrant);
                self.sessions.extend(session.map(|(session, queue)| (session, Some(queue))));
                Input::Moved(migrant)
            }
            ToRoom::Media(event) => Input::Media(*event),
            ToRoom::Join { join, queue } => {
                let resumed = join.request.resume.as_deref();
                if let Some(to) = resumed.and_then(|sid| self.gone.participant(sid)) {
                    queue.redirect(to.clone());
                    return self.ways.pass_on(to, ToRoom::Join { join, queue });
                }
                self.sessions.insert(join.session, Some(queue));
                Input::Join(join)
            }
            ToRoom::Request { session, request } => {
                if let Some(to) = self.gone.session(session) {
                    return self.ways.pass_on(to, ToRoom::Request { session, request });
                }
                if !matches!(self.sessions.get(&session), Some(Some(_))) {
                    return;
                }
                Input::Request { session, request }
            }
            ToRoom::Closed { session } => {
                if let Some(to) = self.gone.session(session) {
                    return self.ways.pass_on(to, ToRoom::Closed { session });
                }
                if self.sessions.remove(&session).is_none() {
                    return;
                }
                Input::SocketClosed { session }
            }
            ToRoom::Admin { command, reply } => {
                self.last_ticket += 1;
                self.asked.insert(self.last_ticket, reply);
                Input::Admin { ticket: self.last_ticket, command }
            }
            ToRoom::Forwarded(forwarded) => Input::Forwarded(forwarded),
            ToRoom::Shutdown { reconnect } => Input::Shutdown { reconnect },
        };
        self.conference.handle(crate::now(), input);
        self.flush();
    }

    fn take_events(&mut self) {
        let now = crate::now();
        for _ in 0..EVENTS_A_TURN {
            let Some(event) = self.events.pop() else { return };
            if let Some(to) = self.gone.media(engine::id_of(&event)) {
                self.ways.pass_on(to, ToRoom::Media(Box::new(event)));
                continue;
            }
            self.conference.handle(now, Input::Media(event));
            self.flush();
        }
        // The bell rings only for an empty queue; what is left has to be come back for.
        self.event_bell.notify_one();
    }

    /// Does what the conference wants done.
    fn flush(&mut self) {
        while let Some(output) = self.conference.poll_output() {
            match output {
                Output::Send { to, message } => self.send(&to, &message),
                Output::Close { session } => {
                    if let Some(queue) = self.sessions.get_mut(&session) {
                        *queue = None;
                    }
                }
                Output::Media(command) => self.command(command),
                Output::Token { session, claims, lifetime, within } => {
                    let token = self.shared.refresh_token(&claims, lifetime);
                    let message = match within {
                        Some(moved) => {
                            let token = token.unwrap_or_default();
                            Some(Message::RoomMoved(proto::RoomMovedResponse { token, ..*moved }))
                        }
                        None => token.map(Message::RefreshToken),
                    };
                    if message.is_some() {
                        self.send(&[session], &proto::SignalResponse { message });
                    }
                }
                Output::Webhook(event) => {
                    self.shared.tell_agents(&event, std::mem::take(&mut self.wanted));
                    self.shared.webhooks.send(*event);
                }
                Output::Forward { destination, forwarded } => self.forward(&destination, forwarded),
                Output::Move { destination, migrant } => self.leaving.push((destination, migrant)),
                Output::Reply { ticket, result } => {
                    if let Some(reply) = self.asked.remove(&ticket) {
                        // Whoever asked may have gone.
                        let _ = reply.send(result);
                    }
                }
                Output::Ended => self.ended = true,
            }
        }
        self.let_go();
        self.place.entry.participants.store(self.conference.participants(), Ordering::Relaxed);
        self.place.entry.tracks.store(self.conference.tracks(), Ordering::Relaxed);
        self.place.entry.subscriptions.store(self.conference.subscriptions(), Ordering::Relaxed);
        self.shared.metrics.data_refused.add(self.conference.take_data_refused());
        self.shared.metrics.passed_on_dropped.add(self.ways.take_dropped());
    }

    /// To another room. One that does not run, or no longer, has nobody to tell.
    fn forward(&mut self, destination: &str, forwarded: signal::Forwarded) {
        let Some(room) = self.shared.directory.running(destination) else { return };
        // What is overtaken on the way is known by its number.
        self.ways.pass_on(&room.inbox, ToRoom::Forwarded(Box::new(forwarded)));
    }

    fn let_go(&mut self) {
        if self.commands.is_empty() {
            for (destination, migrant) in std::mem::take(&mut self.leaving) {
                self.hand_over(&destination, migrant);
            }
        }
    }

    /// To another room, with the connections.
    fn hand_over(&mut self, destination: &str, migrant: Box<Migrant>) {
        let session = migrant.socket();
        let queue = session.and_then(|session| self.sessions.remove(&session)).flatten();
        let room = self.shared.directory.running(destination);
        if let Some(room) = &room {
            if let Some(queue) = &queue {
                queue.redirect(room.inbox.clone());
            }
            self.gone.note(session, &migrant, room.inbox.clone());
        }
        let passage = Box::new(Passage::new(self.shared.engine.clone(), session, migrant, queue));
        if let Some(room) = room {
            self.ways.pass_on(&room.inbox, ToRoom::Moved(passage));
        }
    }

    /// Encodes once, however many it goes to.
    fn send(&mut self, to: &[SessionId], message: &proto::SignalResponse) {
        let encoded = Bytes::from(message.encode_to_vec());
        for session in to {
            let Some(Some(queue)) = self.sessions.get(session) else { continue };
            if queue.push(encoded.clone()).is_err() {
                queue.abort();
                debug!(room = %self.place.name, session = session.0, "client does not read: dropped");
                self.shared.metrics.slow_clients.add_one();
                // The conference hears of it when the connection has ended, from the connection.
                self.sessions.insert(*session, None);
            }
        }
    }

    fn command(&mut self, command: sfu::Command) {
        self.commands.push(command);
        self.send_commands();
    }

    /// Sends what waits until a worker has no room.
    fn send_commands(&mut self) {
        let sent = self.commands.send(|command| self.shared.engine.send(command));
        self.shared.metrics.commands_held.add(u64::from(sent.held));
        self.shared.metrics.commands_refused.add(sent.refused);
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.engine.unregister_room(self.place.entry.serial);
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
