//! Rules about participants: coming, going, their profile and their permissions.

use clock::Time;

use crate::room::Timer;
use crate::{
    Audience, Event, LeaveReason, NewParticipant, Participant, ParticipantSid, Permission, ProfileChange,
    Refusal, Room, State, ids,
};

impl Room {
    /// Whether somebody would be let in now.
    pub fn admits(&self, who: &NewParticipant) -> Result<(), Refusal> {
        let profile = &who.profile;
        if profile.metadata.len() > self.config.max_metadata
            || attributes_size(profile.attributes.iter()) > self.config.max_attributes
            || who.identity.len() > self.config.max_identity
            || profile.name.len() > self.config.max_name
        {
            return Err(Refusal::TooLarge);
        }
        if self.config.max_participants == 0 || who.is_dependent() {
            return Ok(());
        }
        // Whoever is replaced gives up a seat.
        let sits = |p: &&Participant| !p.who.is_dependent() && p.who.identity != who.identity;
        let taken = self.participants.values().filter(sits).count();
        if taken >= self.config.max_participants as usize { Err(Refusal::Full) } else { Ok(()) }
    }

    pub(crate) fn join(&mut self, now: Time, who: NewParticipant) -> Result<ParticipantSid, Refusal> {
        self.admits(&who)?;
        let previous = self.by_identity.get(&who.identity).cloned();
        if let Some(previous) = previous {
            self.leave(now, &previous, LeaveReason::DuplicateIdentity)?;
        }
        let sid = ParticipantSid(ids::random("PA_", &mut self.rng));
        let identity = who.identity.clone();
        if !who.is_dependent() {
            self.someone_came();
        }
        let participant = Participant {
            sid: sid.clone(),
            who,
            state: State::Joined,
            joined_at: now.unix,
            version: 1,
            tracks: Vec::new(),
            is_publisher: false,
            admission: Audience::default().into(),
            subscriptions: Default::default(),
        };
        self.participants.insert(sid.clone(), participant);
        self.by_identity.insert(identity, sid.clone());
        self.set_timer(now.mono + self.config.join_timeout, Timer::Join(sid.clone()));
        self.emit(Event::Joined { participant: sid.clone() });
        self.emit(Event::RoomUpdated { metadata: false });
        self.subscribe_to_existing(now, &sid);
        self.subscribe_to_existing_data(&sid);
        Ok(sid)
    }

    /// Somebody comes from another room.
    pub(crate) fn arrive(&mut self, now: Time, was: Participant) -> Result<ParticipantSid, Refusal> {
        let sid = self.join(now, was.who)?;
        if let Some(participant) = self.participants.get_mut(&sid) {
            participant.admission = was.admission;
        }
        Ok(sid)
    }

    pub(crate) fn activate(&mut self, sid: &ParticipantSid) -> Result<(), Refusal> {
        let participant = self.participants.get_mut(sid).ok_or(Refusal::NoParticipant)?;
        if participant.state == State::Active {
            return Ok(());
        }
        participant.state = State::Active;
        let recorder = participant.who.is_recorder();
        self.touch(sid);
        self.emit(Event::Activated { participant: sid.clone() });
        if recorder {
            self.emit(Event::RoomUpdated { metadata: true });
        }
        Ok(())
    }

    /// Removes someone: their tracks first, so that nobody is left with a track of nobody.
    pub(crate) fn leave(
        &mut self,
        now: Time,
        sid: &ParticipantSid,
        reason: LeaveReason,
    ) -> Result<(), Refusal> {
        let participant = self.participants.get_mut(sid).ok_or(Refusal::NoParticipant)?;
        let tracks = participant.tracks.clone();
        let received: Vec<_> = participant.subscriptions.keys().cloned().collect();
        for track in tracks {
            self.unpublish(now, &track, false)?;
        }
        self.unpublish_all_data(sid, false);
        self.forget_data_subscriber(sid);
        for track in received {
            if let Some(track_of) = self.tracks.get_mut(&track) {
                track_of.subscribers.remove(sid);
            }
            self.reconsider_demand(now, &track);
        }
        let Some(mut participant) = self.participants.remove(sid) else { return Ok(()) };
        self.by_identity.remove(&participant.who.identity);
        for (track, subscription) in &participant.subscriptions {
            if let Some(at) = subscription.waits {
                self.clear_timer(at, Timer::Unresolved(sid.clone(), track.clone()));
            }
        }
        let connected = participant.state == State::Active;
        participant.state = State::Disconnected;
        participant.version += 1;
        let (recorder, dependent) = (participant.who.is_recorder(), participant.who.is_dependent());
        self.emit(Event::Left { participant: Box::new(participant), connected, reason });
        self.emit(Event::RoomUpdated { metadata: recorder });
        if !dependent && self.participants.values().all(|p| p.who.is_dependent()) {
            let patience = self.config.departure_timeout;
            self.wait_for_someone(now, patience);
        }
        Ok(())
    }

    /// A participant who never got connected is let go.
    pub(crate) fn check_joined(&mut self, now: Time, sid: &ParticipantSid) {
        if self.participants.get(sid).is_some_and(|p| p.state != State::Active) {
            let _ = self.leave(now, sid, LeaveReason::JoinFailure);
        }
    }

    pub(crate) fn update_profile(
        &mut self,
        sid: &ParticipantSid,
        change: ProfileChange,
        by_server: bool,
    ) -> Result<(), Refusal> {
        let config = &self.config;
        let participant = self.participants.get_mut(sid).ok_or(Refusal::NoParticipant)?;
        if !by_server && !participant.who.permission.can_update_metadata {
            return Err(Refusal::NotAllowed);
        }
        if change.metadata.len() > config.max_metadata || change.name.len() > config.max_name {
            return Err(Refusal::TooLarge);
        }
        let mut attributes = participant.who.profile.attributes.clone();
        for (key, value) in change.attributes {
            if value.is_empty() {
                attributes.remove(&key);
            } else {
                attributes.insert(key, value);
            }
        }
        if attributes_size(attributes.iter()) > config.max_attributes {
            return Err(Refusal::TooLarge);
        }
        let profile = &mut participant.who.profile;
        profile.attributes = attributes;
        if !change.metadata.is_empty() {
            profile.metadata = change.metadata;
        }
        if !change.name.is_empty() {
            profile.name = change.name;
        }
        self.touch(sid);
        Ok(())
    }

    /// Replaces what someone may do: what is no longer allowed ends at once.
    pub(crate) fn permit(
        &mut self,
        now: Time,
        sid: &ParticipantSid,
        permission: Permission,
    ) -> Result<(), Refusal> {
        let participant = self.participants.get_mut(sid).ok_or(Refusal::NoParticipant)?;
        if participant.who.permission == permission {
            return Ok(());
        }
        let seen_differs = participant.who.permission.hidden != permission.hidden;
        participant.who.permission = permission.clone();
        let tracks = participant.tracks.clone();
        self.touch(sid);
        self.emit(Event::Permitted { participant: sid.clone() });
        for track in tracks {
            let source = self.tracks.get(&track).map(|t| t.draft.source);
            if source.is_some_and(|s| !permission.may_publish(s)) {
                self.unpublish(now, &track, true)?;
            } else {
                self.settle_track(now, &track);
            }
        }
        self.settle_subscriber(now, sid);
        if !permission.can_publish_data {
            self.unpublish_all_data(sid, true);
        }
        self.settle_all_data();
        if seen_differs {
            if permission.hidden {
                self.emit(Event::Hid { participant: sid.clone() });
            }
            self.emit(Event::RoomUpdated { metadata: false });
        }
        Ok(())
    }
}

fn attributes_size<'a>(attributes: impl Iterator<Item = (&'a String, &'a String)>) -> usize {
    attributes.map(|(k, v)| k.len() + v.len()).sum()
}
