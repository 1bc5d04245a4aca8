//! The room itself: what it holds, and which rule answers which command.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use clock::Time;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::{
    Command, Config, DataTrack, Event, LeaveReason, Outcome, Participant, ParticipantSid, Refusal, RoomSid,
    State, Track, TrackSid, ids,
};

/// A deadline's cause. What it was for may have gone when it comes: it is looked at again then.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// Nobody is here, or nobody but agents and recorders.
    Idle,
    /// Has this participant got connected?
    Join(ParticipantSid),
    /// Has this track appeared for this subscriber?
    Unresolved(ParticipantSid, TrackSid),
    /// Is the demand for this track still lower?
    Demand(TrackSid),
}

/// A room, as a machine.
#[derive(Debug)]
pub struct Room {
    pub(crate) config: Config,
    sid: RoomSid,
    created_at: Duration,
    metadata: String,
    pub(crate) participants: BTreeMap<ParticipantSid, Participant>,
    pub(crate) by_identity: BTreeMap<String, ParticipantSid>,
    pub(crate) tracks: BTreeMap<TrackSid, Track>,
    pub(crate) data_tracks: BTreeMap<TrackSid, DataTrack>,
    pub(crate) rng: SmallRng,
    events: VecDeque<Event>,
    timers: BTreeSet<(Instant, Timer)>,
    idle_until: Option<Instant>,
    ended: bool,
}

impl Room {
    /// An empty room. The seed makes its ids.
    pub fn new(now: Time, config: Config, seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut room = Self {
            sid: RoomSid(ids::random("RM_", &mut rng)),
            created_at: now.unix,
            metadata: config.metadata.clone(),
            participants: BTreeMap::new(),
            by_identity: BTreeMap::new(),
            tracks: BTreeMap::new(),
            data_tracks: BTreeMap::new(),
            rng,
            events: VecDeque::new(),
            timers: BTreeSet::new(),
            idle_until: None,
            ended: false,
            config,
        };
        let patience = room.config.empty_timeout;
        room.wait_for_someone(now, patience);
        room
    }

    /// Does what it is told, or says why not.
    pub fn handle(&mut self, now: Time, command: Command) -> Result<Outcome, Refusal> {
        if self.ended {
            return Err(Refusal::Ended);
        }
        match command {
            Command::Join(who) => return self.join(now, *who).map(Outcome::Participant),
            Command::Arrive(who) => return self.arrive(now, *who).map(Outcome::Participant),
            Command::Announce { publisher, draft } => {
                return self.announce(now, &publisher, *draft).map(Outcome::Track);
            }
            Command::Bring { publisher, track, draft } => {
                self.announce_as(now, &publisher, track, *draft)?;
            }
            Command::Activate { participant } => self.activate(&participant)?,
            Command::Leave { participant, reason } => self.leave(now, &participant, reason)?,
            Command::GoLive { track, codecs } => self.go_live(now, &track, codecs)?,
            Command::Unpublish { track, by_server } => self.unpublish(now, &track, by_server)?,
            Command::Mute { track, muted, by_server } => self.mute(&track, muted, by_server)?,
            Command::Describe { track, change } => self.describe(&track, change)?,
            Command::Subscribe { subscriber, tracks, on } => self.subscribe(now, &subscriber, &tracks, on)?,
            Command::Adjust { subscriber, tracks, settings } => {
                self.adjust(now, &subscriber, &tracks, settings)?;
            }
            Command::Admit { publisher, audience } => self.admit(now, &publisher, audience)?,
            Command::PublishData { publisher, draft } => {
                return self.publish_data(&publisher, *draft).map(Outcome::Track);
            }
            Command::BringData { publisher, track, draft } => {
                self.publish_data_as(&publisher, track, *draft)?;
            }
            Command::UnpublishData { publisher, handle } => self.unpublish_data(&publisher, handle, false)?,
            Command::SubscribeData { subscriber, track, on } => {
                self.subscribe_data(&subscriber, &track, on)?
            }
            Command::Update { participant, change, by_server } => {
                self.update_profile(&participant, change, by_server)?;
            }
            Command::Permit { participant, permission } => self.permit(now, &participant, permission)?,
            Command::SetMetadata { metadata } => self.set_metadata(metadata)?,
            Command::Close { reason } => self.close(now, reason),
        }
        Ok(Outcome::Done)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some((at, _)) = self.timers.first() {
            if *at > now.mono {
                break;
            }
            let Some((at, timer)) = self.timers.pop_first() else { break };
            match timer {
                Timer::Idle if self.idle_until == Some(at) => self.close(now, LeaveReason::RoomClosed),
                Timer::Idle => {}
                Timer::Join(participant) => self.check_joined(now, &participant),
                Timer::Unresolved(subscriber, track) => self.check_resolved(&subscriber, &track),
                Timer::Demand(track) => self.check_demand(now, &track),
            }
        }
    }

    /// When [`Room::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// What has happened, in order.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// This life of the room.
    pub fn sid(&self) -> &RoomSid {
        &self.sid
    }

    /// Wall clock, since 1970.
    pub fn created_at(&self) -> Duration {
        self.created_at
    }

    /// The room's rules.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The room's metadata.
    pub fn metadata(&self) -> &str {
        &self.metadata
    }

    /// The room is over.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Everyone, hidden ones too, ordered by sid.
    pub fn participants(&self) -> impl ExactSizeIterator<Item = &Participant> {
        self.participants.values()
    }

    /// Someone by sid.
    pub fn participant(&self, sid: &ParticipantSid) -> Option<&Participant> {
        self.participants.get(sid)
    }

    /// Someone by identity.
    pub fn by_identity(&self, identity: &str) -> Option<&Participant> {
        self.by_identity.get(identity).and_then(|sid| self.participants.get(sid))
    }

    /// A track, live or only announced.
    pub fn track(&self, sid: &TrackSid) -> Option<&Track> {
        self.tracks.get(sid)
    }

    /// A participant's live tracks, in the order of their announcement.
    pub fn live_tracks<'a>(&'a self, participant: &'a Participant) -> impl Iterator<Item = &'a Track> {
        participant.tracks.iter().filter_map(|t| self.tracks.get(t)).filter(|t| t.live)
    }

    /// How many are here and seen, agents and recorders aside.
    pub fn visible_count(&self) -> usize {
        let counts = |p: &&Participant| !p.who.permission.hidden && !p.who.is_dependent();
        self.participants.values().filter(counts).count()
    }

    /// How many of them publish.
    pub fn publisher_count(&self) -> usize {
        let publishes = |p: &&Participant| !p.who.permission.hidden && self.live_tracks(p).next().is_some();
        self.participants.values().filter(publishes).count()
    }

    /// A recorder is connected.
    pub fn recorded(&self) -> bool {
        self.participants.values().any(|p| p.who.is_recorder() && p.state == State::Active)
    }

    pub(crate) fn emit(&mut self, event: Event) {
        self.events.push_back(event);
    }

    pub(crate) fn set_timer(&mut self, at: Instant, timer: Timer) {
        self.timers.insert((at, timer));
    }

    pub(crate) fn clear_timer(&mut self, at: Instant, timer: Timer) {
        self.timers.remove(&(at, timer));
    }

    /// How many deadlines are kept.
    #[cfg(test)]
    pub(crate) fn deadlines(&self) -> usize {
        self.timers.len()
    }

    /// Notes a change that others see.
    pub(crate) fn touch(&mut self, sid: &ParticipantSid) {
        if let Some(participant) = self.participants.get_mut(sid) {
            participant.version += 1;
            self.emit(Event::Updated { participant: sid.clone() });
        }
    }

    pub(crate) fn wait_for_someone(&mut self, now: Time, patience: Duration) {
        let at = now.mono + patience;
        self.idle_until = Some(at);
        self.set_timer(at, Timer::Idle);
    }

    pub(crate) fn someone_came(&mut self) {
        self.idle_until = None;
    }

    fn set_metadata(&mut self, metadata: String) -> Result<(), Refusal> {
        if metadata.len() > self.config.max_metadata {
            return Err(Refusal::TooLarge);
        }
        self.metadata = metadata;
        self.emit(Event::RoomUpdated { metadata: true });
        Ok(())
    }

    fn close(&mut self, now: Time, reason: LeaveReason) {
        let everyone: Vec<_> = self.participants.keys().cloned().collect();
        for sid in everyone {
            // They exist: the list was taken a moment ago and leaving removes nobody else.
            let _ = self.leave(now, &sid, reason);
        }
        self.ended = true;
        self.timers.clear();
        self.emit(Event::Ended { reason });
    }
}
