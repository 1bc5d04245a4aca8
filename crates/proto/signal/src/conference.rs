//! One room with its sessions.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use clock::Time;
use livekit_protocol as proto;
use proto::signal_response::Message;
use rand::Rng;
use room::{LeaveReason, ParticipantSid, Room, TrackSid};
use sfu::{ConsumerId, PeerId, ProducerId};

use crate::admin::Calls;
use crate::blobs::Blobs;
use crate::crowd::Crowd;
use crate::data_tracks::Routes;
use crate::forwarding::Forwardings;
use crate::media::Names;
use crate::messages;
use crate::negotiation::Chosen;
use crate::quality::Qualities;
use crate::reliable::Legacies;
use crate::resume::Departures;
use crate::second_codec::Second;
use crate::session::Session;
use crate::simulate::Ways;
use crate::speakers::Speakers;
use crate::{Config, Input, Output, SessionId};

/// A deadline's cause; looked at again when it comes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Make this participant an offer, or ask it for sections.
    Negotiate(ParticipantSid),
    /// Has this offer been answered?
    Answer(ParticipantSid, u32),
    /// Has this loss of a transport been mended?
    Grace(ParticipantSid, u32),
    /// Renew the token.
    Token(ParticipantSid),
    /// Tell who speaks.
    Speakers,
    /// Tell how many there are.
    Counts,
    /// Has this call of a method been answered?
    Call(u64),
    /// Tell of those who came.
    Crowd,
    /// Has what this publisher left out come?
    Gap(ParticipantSid),
    /// What has this subscriber wanted of its tracks meanwhile?
    Settings(ParticipantSid),
    /// Who was made to seem to speak falls silent.
    Hush(ParticipantSid),
}

/// A track in the media engine.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) producer: ProducerId,
    /// What its publisher may send, the preferred codec first.
    pub(crate) codecs: Vec<Chosen>,
    pub(crate) second: Second,
    /// Its publisher is in another room, which has its producer.
    pub(crate) foreign: bool,
}

impl Published {
    /// In the media engine, in both codecs.
    pub(crate) fn producers(&self) -> impl Iterator<Item = ProducerId> {
        let second = self.second.sent.as_ref().map(|(producer, _)| *producer);
        [Some(self.producer), second].into_iter().flatten()
    }
}

/// A room, its participants' sessions and their negotiations, as one machine.
#[derive(Debug)]
pub struct Conference {
    pub(crate) config: Config,
    pub(crate) room: Room,
    pub(crate) sessions: BTreeMap<ParticipantSid, Session>,
    pub(crate) sockets: BTreeMap<SessionId, ParticipantSid>,
    pub(crate) peers: BTreeMap<PeerId, ParticipantSid>,
    pub(crate) published: BTreeMap<TrackSid, Published>,
    pub(crate) producers: BTreeMap<ProducerId, TrackSid>,
    pub(crate) consumers: BTreeMap<ConsumerId, (ParticipantSid, TrackSid)>,
    pub(crate) names: Names,
    pub(crate) speakers: Speakers,
    pub(crate) qualities: Qualities,
    pub(crate) crowd: Crowd,
    pub(crate) routes: Routes,
    pub(crate) blobs: Blobs,
    pub(crate) data_refused: u64,
    /// Who has gone lately.
    pub(crate) departures: Departures,
    pub(crate) legacies: Legacies,
    /// Whom SDKs' tests have limited to a way, by identity.
    pub(crate) ways: Ways,
    /// Methods that the server API has called and that have not answered.
    pub(crate) calls: Calls,
    /// Participants who are in other rooms too, and those of other rooms who are here.
    pub(crate) forwardings: Forwardings,
    /// Counts have changed since they were told.
    pub(crate) counts_due: bool,
    /// [`Output::Ended`] has been told.
    ended: bool,
    pub(crate) output: VecDeque<Output>,
    timers: BTreeSet<(Instant, Timer)>,
}

impl Conference {
    /// A room that waits for its first participant. ICE passwords come from the seed: outside of tests
    /// it is random, and long enough not to be guessed.
    pub fn new(now: Time, config: Config, seed: [u8; 32]) -> Self {
        let mut names = Names::new(config.serial, seed);
        let room = Room::new(now, config.rules.clone(), names.rng.random());
        let mut conference = Self {
            room,
            sessions: BTreeMap::new(),
            sockets: BTreeMap::new(),
            peers: BTreeMap::new(),
            published: BTreeMap::new(),
            producers: BTreeMap::new(),
            consumers: BTreeMap::new(),
            names,
            speakers: Speakers::default(),
            qualities: Qualities::default(),
            crowd: Crowd::default(),
            routes: Routes::default(),
            blobs: Blobs::default(),
            data_refused: 0,
            departures: Departures::default(),
            legacies: Legacies::default(),
            ways: Ways::default(),
            calls: Calls::default(),
            forwardings: Forwardings::default(),
            counts_due: false,
            ended: false,
            output: VecDeque::new(),
            timers: BTreeSet::new(),
            config,
        };
        conference.webhook(now, "room_started", None, None);
        conference
    }

    /// Takes one input; what follows from it waits in [`Conference::poll_output`].
    pub fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Join(join) => self.on_join(now, *join),
            Input::Request { session, request } => self.on_request(now, session, *request),
            Input::SocketClosed { session } => self.on_socket_closed(now, session),
            Input::Media(event) => self.on_media(now, event),
            Input::Forwarded(forwarded) => self.on_forwarded(now, *forwarded),
            Input::Moved(migrant) => self.on_moved(now, *migrant),
            Input::Shutdown { reconnect } => self.on_shutdown(now, reconnect),
            Input::Admin { ticket, command } => {
                if let Some(result) = self.on_admin(now, ticket, *command) {
                    self.output.push_back(Output::Reply { ticket, result });
                }
            }
        }
        self.after(now);
        self.tell_end();
    }

    /// Does what is due. To be called when [`Conference::poll_timeout`] has passed.
    pub fn handle_timeout(&mut self, now: Time) {
        self.room.handle_timeout(now);
        self.after(now);
        while let Some((at, _)) = self.timers.first() {
            if *at > now.mono {
                break;
            }
            let Some((_, timer)) = self.timers.pop_first() else { break };
            match timer {
                Timer::Negotiate(participant) => self.negotiate(now, &participant),
                Timer::Answer(participant, id) => self.check_answer(now, &participant, id),
                Timer::Grace(participant, loss) => self.check_grace(now, &participant, loss),
                Timer::Token(participant) => {
                    self.refresh_token(now, &participant);
                    let next = now.mono + self.config.limits.token_interval;
                    if let Some(session) = self.sessions.get_mut(&participant) {
                        session.reliable.forget(now.mono);
                        self.set_timer(next, Timer::Token(participant));
                    }
                }
                Timer::Speakers => self.tell_speakers(now),
                Timer::Counts => self.tell_counts(now),
                Timer::Call(ticket) => self.check_call(now, ticket),
                Timer::Crowd => self.tell_crowd(),
                Timer::Gap(publisher) => self.check_gap(now, &publisher),
                Timer::Settings(subscriber) => self.settle_settings(now, &subscriber),
                Timer::Hush(participant) => self.pretend_speaking(&participant, false),
            }
            self.after(now);
        }
        self.tell_end();
    }

    /// What other rooms are to know, and the last word.
    fn tell_end(&mut self) {
        self.tell_forwards();
        if self.room.ended() && !std::mem::replace(&mut self.ended, true) {
            self.timers.clear();
            self.output.push_back(Output::Ended);
        }
    }

    /// What is to be said and done, in order. To be drained after each call above.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.output.pop_front()
    }

    /// When [`Conference::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let own = self.timers.first().map(|(at, _)| *at);
        match (own, self.room.poll_timeout()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// How many participants there are, hidden ones too.
    pub fn participants(&self) -> usize {
        self.room.participants().len()
    }

    /// How many tracks are published.
    pub fn tracks(&self) -> usize {
        self.published.len()
    }

    /// How many tracks participants are sent: one for each subscriber.
    pub fn subscriptions(&self) -> usize {
        self.consumers.len()
    }

    /// Data packets dropped because their sender sent too many, since this was last asked.
    pub fn take_data_refused(&mut self) -> u64 {
        std::mem::take(&mut self.data_refused)
    }

    /// The room's name.
    pub fn name(&self) -> &str {
        &self.config.room
    }

    /// Passes on what the room's rules made of the last command.
    pub(crate) fn after(&mut self, now: Time) {
        while let Some(event) = self.room.poll_event() {
            self.on_room_event(now, event);
        }
    }

    pub(crate) fn set_timer(&mut self, at: Instant, timer: Timer) {
        self.timers.insert((at, timer));
    }

    /// To one WebSocket.
    pub(crate) fn send(&mut self, socket: SessionId, message: Message) {
        self.output.push_back(Output::Send { to: vec![socket], message: messages::response(message) });
    }

    /// To a participant, if it can be reached now.
    pub(crate) fn tell(&mut self, participant: &ParticipantSid, message: Message) {
        if let Some(socket) = self.sessions.get(participant).filter(|s| s.greeted).and_then(|s| s.socket) {
            self.send(socket, message);
        }
    }

    /// One message to those who fit.
    pub(crate) fn broadcast(&mut self, message: Message, to: impl Fn(&ParticipantSid) -> bool) {
        let reached = self.sessions.values().filter(|s| s.greeted && to(&s.participant));
        let sockets: Vec<_> = reached.filter_map(|s| s.socket).collect();
        if !sockets.is_empty() {
            self.output.push_back(Output::Send { to: sockets, message: messages::response(message) });
        }
    }

    pub(crate) fn command(&mut self, command: sfu::Command) {
        self.output.push_back(Output::Media(command));
    }

    /// Tells the media engine that a track ends.
    pub(crate) fn remove_producer(&mut self, producer: ProducerId) {
        self.producers.remove(&producer);
        self.names.release(producer.0);
        self.command(sfu::Command::RemoveProducer { producer });
    }

    /// Does what the room is told; what it makes of it is passed on at once, so that what follows in
    /// the same turn comes after it.
    pub(crate) fn tell_room(
        &mut self,
        now: Time,
        command: room::Command,
    ) -> Result<room::Outcome, room::Refusal> {
        let outcome = self.room.handle(now, command);
        self.after(now);
        outcome
    }

    /// Ends someone's stay; the session is told as the room reports it.
    pub(crate) fn expel(&mut self, now: Time, participant: &ParticipantSid, reason: LeaveReason) {
        let command = room::Command::Leave { participant: participant.clone(), reason };
        // Whoever has gone already needs no sending away.
        let _ = self.tell_room(now, command);
    }

    /// A participant as clients see it.
    pub(crate) fn info_of(&self, participant: &room::Participant) -> proto::ParticipantInfo {
        messages::participant_info(&self.room, &self.config, participant)
    }

    pub(crate) fn webhook(
        &mut self,
        now: Time,
        event: &str,
        participant: Option<proto::ParticipantInfo>,
        track: Option<proto::TrackInfo>,
    ) {
        let told = proto::WebhookEvent { participant, track, ..self.webhook_event(now, event) };
        self.output.push_back(Output::Webhook(Box::new(told)));
    }

    /// What all events have in common.
    pub(crate) fn webhook_event(&self, now: Time, event: &str) -> proto::WebhookEvent {
        proto::WebhookEvent {
            event: event.to_owned(),
            room: Some(messages::room_info(&self.room, &self.config)),
            created_at: i64::try_from(now.unix.as_secs()).unwrap_or(i64::MAX),
            ..proto::WebhookEvent::default()
        }
    }
}
