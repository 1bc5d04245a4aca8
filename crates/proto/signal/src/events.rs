//! What the room's rules decide, as messages and commands.

use clock::Time;
use livekit_protocol as proto;
use proto::signal_response::Message;
use room::{Event, LeaveReason, Participant, ParticipantSid, Track, TrackSid};

use crate::conference::Timer;
use crate::{Conference, Output, messages};

/// Counts are told this often at most.
const COUNTS_INTERVAL: std::time::Duration = std::time::Duration::from_secs(5);

impl Conference {
    pub(crate) fn on_room_event(&mut self, now: Time, event: Event) {
        match event {
            Event::Joined { participant } => {
                self.send_join(now, &participant);
                if self.may_wait(&participant) {
                    self.tell_later(now, &participant);
                } else {
                    self.update(&participant, false);
                }
            }
            Event::Activated { participant } => {
                self.tell_of(now, &participant);
            }
            Event::Updated { participant } => {
                let defers = self.crowd.defers && self.is_seen(&participant);
                if defers || self.crowd.activating && self.may_wait(&participant) {
                    self.update_itself(&participant);
                    self.tell_later(now, &participant);
                } else {
                    self.update(&participant, true);
                }
            }
            Event::Permitted { participant } => {
                self.refresh_token(now, &participant);
                self.start_media(now, &participant);
            }
            Event::Hid { participant } => self.on_hid(now, &participant),
            Event::Left { participant, connected, reason } => {
                self.on_left(now, &participant, connected, reason);
            }
            Event::Published { track } => self.on_published(now, &track),
            Event::Unpublished { track, identity, by_server } => {
                self.on_unpublished(now, &track, identity, by_server)
            }
            Event::MutedByServer { track, muted } => {
                let Some(publisher) = self.room.track(&track).map(|t| t.publisher.clone()) else { return };
                self.tell(&publisher, Message::Mute(proto::MuteTrackRequest { sid: track.0, muted }));
            }
            Event::Subscribed { subscriber, track } => self.on_subscribed(now, &subscriber, &track),
            Event::Unsubscribed { subscriber, track } => self.on_unsubscribed(now, &subscriber, &track),
            Event::Adjusted { subscriber, track } => self.on_adjusted(&subscriber, &track),
            Event::NotFound { subscriber, track } => {
                self.refuse_subscription(&subscriber, &track, proto::SubscriptionError::SeTrackNotfound);
            }
            Event::Allowed { subscriber, track, allowed } => self.on_allowed(&subscriber, &track, allowed),
            Event::FirstSubscriber { track } => {
                let Some(publisher) = self.room.track(&track).map(|t| t.publisher.clone()) else { return };
                let track_sid = track.0;
                self.tell(&publisher, Message::TrackSubscribed(proto::TrackSubscribed { track_sid }));
            }
            Event::Demand { track, .. } => self.tell_demand(&track),
            Event::DataSubscribed { subscriber, track, on } => {
                self.on_data_subscribed(&subscriber, &track, on)
            }
            Event::DataUnpublished { track, .. } => self.on_data_unpublished(&track),
            Event::RoomUpdated { metadata } => self.on_room_updated(now, metadata),
            Event::Ended { reason } => self.tell_finished(now, reason),
        }
    }

    fn tell_finished(&mut self, now: Time, reason: LeaveReason) {
        let mut event = self.webhook_event(now, "room_finished");
        event.set_room_end_reason(messages::room_end_reason(reason));
        self.output.push_back(Output::Webhook(Box::new(event)));
    }

    /// Webhooks hear of a participant once its media is connected, and then of what it publishes.
    fn tell_of(&mut self, now: Time, sid: &ParticipantSid) {
        let info = self.room.participant(sid).map(|p| self.info_of(p));
        self.webhook(now, "participant_joined", info, None);
        let Some(session) = self.sessions.get_mut(sid) else { return };
        session.told_of = true;
        for track in std::mem::take(&mut session.untold) {
            self.on_published(now, &track);
        }
    }

    /// Tells of a participant as it is now: the others if they may see it, and itself.
    pub(crate) fn update(&mut self, sid: &ParticipantSid, and_itself: bool) {
        self.crowd.forget(sid);
        let Some(participant) = self.room.participant(sid) else { return };
        let hidden = participant.who.permission.hidden;
        let info = self.info_of(participant);
        let message = Message::Update(proto::ParticipantUpdate { participants: vec![info] });
        let itself = sid.clone();
        self.broadcast(message, |p| if *p == itself { and_itself } else { !hidden });
    }

    fn update_itself(&mut self, sid: &ParticipantSid) {
        let Some(participant) = self.room.participant(sid) else { return };
        let participants = vec![self.info_of(participant)];
        self.tell(sid, Message::Update(proto::ParticipantUpdate { participants }));
    }

    /// For the others, whoever hides is gone, and whoever shows again has come.
    fn on_hid(&mut self, now: Time, sid: &ParticipantSid) {
        let Some(participant) = self.room.participant(sid) else { return };
        let mut info = self.info_of(participant);
        info.tracks.clear();
        info.data_tracks.clear();
        info.set_state(proto::participant_info::State::Disconnected);
        self.departures.note(now.mono, &info);
        let message = Message::Update(proto::ParticipantUpdate { participants: vec![info] });
        self.broadcast(message, |p| p != sid);
    }

    fn on_left(&mut self, now: Time, participant: &Participant, connected: bool, reason: LeaveReason) {
        let info = messages::goodbye(&self.room, &self.config, participant, reason);
        self.drop_session(now, &participant.sid, reason);
        self.count_out_of_all(&participant.sid);
        self.speakers.forget(&participant.sid);
        self.qualities.forget(&participant.sid);
        self.end_calls(&participant.sid);
        self.blobs.forget(&participant.sid);
        self.crowd.forget(&participant.sid);
        if !participant.who.permission.hidden {
            self.departures.note(now.mono, &info);
            let message = Message::Update(proto::ParticipantUpdate { participants: vec![info.clone()] });
            self.broadcast(message, |_| true);
        }
        let event = if connected { "participant_left" } else { "participant_connection_aborted" };
        self.webhook(now, event, Some(info), None);
    }

    fn on_published(&mut self, now: Time, sid: &TrackSid) {
        let Some(track) = self.room.track(sid) else { return };
        if let Some(session) = self.sessions.get_mut(&track.publisher).filter(|s| !s.told_of) {
            session.untold.push(sid.clone());
            return;
        }
        let info = messages::track_info(track);
        let publisher = self.room.participant(&track.publisher);
        let publisher = publisher.map(|p| self.info_of(p));
        self.webhook(now, "track_published", publisher, Some(info));
    }

    fn on_unpublished(&mut self, now: Time, track: &Track, identity: String, by_server: bool) {
        let published = self.published.remove(&track.sid);
        let was_negotiated = published.is_some();
        if let Some(published) = published.filter(|published| !published.foreign) {
            for producer in published.producers() {
                self.remove_producer(producer);
            }
        }
        let mut was_told = true;
        if let Some(session) = self.sessions.get_mut(&track.publisher) {
            was_told = session.told_of;
            session.untold.retain(|untold| *untold != track.sid);
            session.up.pending.retain(|p| p.track != track.sid);
            for section in session.up.sections.iter_mut().filter(|s| s.track.as_ref() == Some(&track.sid)) {
                section.track = None;
                section.producer = None;
                // The client sends on until it has heard: what it sends belongs to nobody.
                section.sends = false;
            }
        }
        if by_server {
            let track_sid = track.sid.0.clone();
            let message = Message::TrackUnpublished(proto::TrackUnpublishedResponse { track_sid });
            self.tell(&track.publisher, message);
        }
        if was_negotiated && was_told {
            let publisher = self.publisher_of(track, identity);
            self.webhook(now, "track_unpublished", Some(publisher), Some(messages::track_info(track)));
        }
    }

    /// Whose track it is. Of somebody who is leaving no more than who they are is still known.
    fn publisher_of(&self, track: &Track, identity: String) -> proto::ParticipantInfo {
        match self.room.participant(&track.publisher) {
            Some(publisher) => self.info_of(publisher),
            None => proto::ParticipantInfo {
                sid: track.publisher.0.clone(),
                identity,
                ..proto::ParticipantInfo::default()
            },
        }
    }

    fn on_allowed(&mut self, subscriber: &ParticipantSid, track: &TrackSid, allowed: bool) {
        let Some(publisher) = self.room.track(track).map(|t| t.publisher.clone()) else { return };
        let message = Message::SubscriptionPermissionUpdate(proto::SubscriptionPermissionUpdate {
            participant_sid: publisher.0,
            track_sid: track.0.clone(),
            allowed,
        });
        self.tell(subscriber, message);
    }

    /// Metadata is told at once; counts may wait for more of their kind.
    fn on_room_updated(&mut self, now: Time, metadata: bool) {
        if metadata {
            let room = Some(messages::room_info(&self.room, &self.config));
            self.broadcast(Message::RoomUpdate(proto::RoomUpdate { room }), |_| true);
        } else if !self.counts_due {
            self.counts_due = true;
            self.set_timer(now.mono + COUNTS_INTERVAL, Timer::Counts);
        }
    }

    pub(crate) fn tell_counts(&mut self, now: Time) {
        if std::mem::take(&mut self.counts_due) {
            self.on_room_updated(now, true);
        }
    }
}
