//! Rules about who receives which track.

use clock::Time;

use crate::participant::Subscription;
use crate::room::Timer;
use crate::{Audience, Event, Participant, ParticipantSid, Refusal, Room, Settings, TrackKind, TrackSid};

/// Tracks that a subscriber may ask for before they exist.
const UNRESOLVED_MAX: usize = 1000;
/// Bytes of a track's id; none is longer.
const SID_MAX: usize = 64;

impl Room {
    /// Notes what a subscriber wants, of tracks that exist and of those that may yet come.
    pub(crate) fn subscribe(
        &mut self,
        now: Time,
        subscriber: &ParticipantSid,
        tracks: &[TrackSid],
        on: bool,
    ) -> Result<(), Refusal> {
        let unresolved_until = now.mono + self.config.unresolved_timeout;
        for track in tracks {
            let exists = self.tracks.contains_key(track);
            let participant = self.participants.get_mut(subscriber).ok_or(Refusal::NoParticipant)?;
            let known = participant.subscriptions.len();
            let initial = participant.who.settings;
            let too_much = known > self.tracks.len() + UNRESOLVED_MAX || track.0.len() > SID_MAX;
            if !exists && (!on || too_much) {
                self.forget_wish(subscriber, track);
                if on {
                    self.emit(Event::NotFound { subscriber: subscriber.clone(), track: track.clone() });
                }
                continue;
            }
            let entry = participant.subscriptions.entry(track.clone()).or_insert_with(|| blank(initial));
            entry.explicit = Some(on);
            if exists {
                self.settle(now, subscriber, track);
            } else if entry.waits.is_none() {
                // Once, however often it is asked for.
                entry.waits = Some(unresolved_until);
                self.set_timer(unresolved_until, Timer::Unresolved(subscriber.clone(), track.clone()));
            }
        }
        Ok(())
    }

    /// Forgets what a subscriber said of a track that does not exist, and its deadline.
    fn forget_wish(&mut self, subscriber: &ParticipantSid, track: &TrackSid) {
        let Some(participant) = self.participants.get_mut(subscriber) else { return };
        if let Some(at) = participant.subscriptions.remove(track).and_then(|s| s.waits) {
            self.clear_timer(at, Timer::Unresolved(subscriber.clone(), track.clone()));
        }
    }

    /// A track that was waited for in vain.
    pub(crate) fn check_resolved(&mut self, subscriber: &ParticipantSid, track: &TrackSid) {
        if self.tracks.contains_key(track) {
            return;
        }
        let Some(participant) = self.participants.get_mut(subscriber) else { return };
        if participant.subscriptions.remove(track).is_some() {
            self.emit(Event::NotFound { subscriber: subscriber.clone(), track: track.clone() });
        }
    }

    pub(crate) fn adjust(
        &mut self,
        now: Time,
        subscriber: &ParticipantSid,
        tracks: &[TrackSid],
        settings: Settings,
    ) -> Result<(), Refusal> {
        for track in tracks {
            if !self.tracks.contains_key(track) {
                continue;
            }
            let participant = self.participants.get_mut(subscriber).ok_or(Refusal::NoParticipant)?;
            let initial = participant.who.settings;
            let entry = participant.subscriptions.entry(track.clone()).or_insert_with(|| blank(initial));
            let changed = entry.settings != settings;
            entry.settings = settings;
            if entry.active && changed {
                self.emit(Event::Adjusted { subscriber: subscriber.clone(), track: track.clone() });
                self.reconsider_demand(now, track);
            }
        }
        Ok(())
    }

    /// Replaces whom a publisher lets subscribe.
    pub(crate) fn admit(
        &mut self,
        now: Time,
        publisher: &ParticipantSid,
        audience: Audience,
    ) -> Result<(), Refusal> {
        let participant = self.participants.get_mut(publisher).ok_or(Refusal::NoParticipant)?;
        participant.admission = audience.into();
        for track in participant.tracks.clone() {
            self.settle_track(now, &track);
        }
        self.settle_all_data();
        Ok(())
    }

    /// A newcomer gets what is already there.
    pub(crate) fn subscribe_to_existing(&mut self, now: Time, subscriber: &ParticipantSid) {
        self.settle_subscriber(now, subscriber);
    }

    /// Looks again at every track for one subscriber.
    pub(crate) fn settle_subscriber(&mut self, now: Time, subscriber: &ParticipantSid) {
        let tracks: Vec<_> = self.tracks.keys().cloned().collect();
        for track in tracks {
            self.settle(now, subscriber, &track);
        }
    }

    /// Looks again at every subscriber of one track.
    pub(crate) fn settle_track(&mut self, now: Time, track: &TrackSid) {
        let everyone: Vec<_> = self.participants.keys().cloned().collect();
        for subscriber in everyone {
            self.settle(now, &subscriber, track);
        }
    }

    /// Makes one subscription what it should be.
    fn settle(&mut self, now: Time, subscriber: &ParticipantSid, track: &TrackSid) {
        let Some(published) = self.tracks.get(track) else { return };
        let Some(publisher) = self.participants.get(&published.publisher) else { return };
        let Some(participant) = self.participants.get(subscriber) else { return };
        if participant.sid == publisher.sid {
            return;
        }
        let known = participant.subscriptions.get(track);
        let desired = known.and_then(|s| s.explicit).unwrap_or(participant.who.auto_subscribe);
        let permitted = publisher.admission.permits(participant, track);
        let offered = published.live && !publisher.who.permission.hidden;
        let allowed = offered && participant.who.permission.can_subscribe;
        let was_active = known.is_some_and(|s| s.active);
        let wanted = desired && permitted && allowed;
        // Beyond the limit a subscription waits for another's end.
        let active = wanted && (was_active || self.has_room_for(participant, published.draft.kind));
        let was_forbidden = known.is_some_and(|s| s.forbidden);
        let forbidden = offered && !permitted;
        if active == was_active && forbidden == was_forbidden {
            return;
        }
        self.set_subscription(subscriber, track, active, forbidden);
        if forbidden != was_forbidden && published_is_live(self, track) {
            self.emit(Event::Allowed {
                subscriber: subscriber.clone(),
                track: track.clone(),
                allowed: !forbidden,
            });
        }
        if active != was_active {
            self.tell_subscription(now, subscriber, track, active);
        }
    }

    /// Whether a subscriber may get one more track of a kind.
    fn has_room_for(&self, subscriber: &Participant, kind: TrackKind) -> bool {
        let limit = match kind {
            TrackKind::Audio => self.config.max_audios,
            TrackKind::Video => self.config.max_videos,
        };
        if limit == 0 {
            return true;
        }
        let is_kind = |track: &&TrackSid| self.tracks.get(*track).is_some_and(|t| t.draft.kind == kind);
        subscriber.subscribed().filter(is_kind).count() < limit as usize
    }

    /// A place has become free: the subscriber gets the next track that it waits for, if any.
    pub(crate) fn fill_place(&mut self, now: Time, subscriber: &ParticipantSid) {
        if self.config.max_audios > 0 || self.config.max_videos > 0 {
            self.settle_subscriber(now, subscriber);
        }
    }

    fn set_subscription(
        &mut self,
        subscriber: &ParticipantSid,
        track: &TrackSid,
        active: bool,
        forbidden: bool,
    ) {
        let Some(participant) = self.participants.get_mut(subscriber) else { return };
        let initial = participant.who.settings;
        let entry = participant.subscriptions.entry(track.clone()).or_insert_with(|| blank(initial));
        entry.active = active;
        entry.forbidden = forbidden;
        if let Some(published) = self.tracks.get_mut(track) {
            if active {
                published.subscribers.insert(subscriber.clone());
            } else {
                published.subscribers.remove(subscriber);
            }
        }
    }

    fn tell_subscription(&mut self, now: Time, subscriber: &ParticipantSid, track: &TrackSid, active: bool) {
        let (subscriber, sid) = (subscriber.clone(), track.clone());
        if !active {
            self.emit(Event::Unsubscribed { subscriber: subscriber.clone(), track: sid });
            self.reconsider_demand(now, track);
            self.fill_place(now, &subscriber);
            return;
        }
        self.emit(Event::Subscribed { subscriber, track: sid.clone() });
        if let Some(published) = self.tracks.get_mut(track)
            && !published.first_told
        {
            published.first_told = true;
            self.emit(Event::FirstSubscriber { track: sid });
        }
        self.reconsider_demand(now, track);
    }

    /// Who sees `participant`'s tracks and who does not is a matter of being hidden alone.
    pub fn sees(&self, viewer: &Participant, participant: &Participant) -> bool {
        viewer.sid == participant.sid || !participant.who.permission.hidden
    }
}

fn published_is_live(room: &Room, track: &TrackSid) -> bool {
    room.tracks.get(track).is_some_and(|t| t.live)
}

fn blank(settings: Settings) -> Subscription {
    Subscription { explicit: None, active: false, forbidden: false, waits: None, settings }
}
