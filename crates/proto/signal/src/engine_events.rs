//! What the media engine reports.

use clock::Time;
use livekit_protocol as proto;
use proto::signal_response::Message;
use room::{Command, LeaveReason, ParticipantSid, State};
use sfu::{ConsumerId, Event, FailReason, PeerId};

use crate::{Conference, messages};

impl Conference {
    pub(crate) fn on_media(&mut self, now: Time, event: Event) {
        match event {
            Event::Connected { peer } => self.set_connected(now, peer, true),
            Event::Disconnected { peer } => self.set_connected(now, peer, false),
            Event::Failed { peer, reason } => self.on_failed(now, peer, reason),
            Event::Data { peer, label, payload } => self.on_data(now, peer, &label, payload),
            Event::AudioLevel { producer, loudest, active_percent } => {
                let Some(track) = self.producers.get(&producer) else { return };
                let Some(publisher) = self.room.track(track).map(|t| t.publisher.clone()) else { return };
                self.speakers.hear(publisher, track.clone(), loudest, active_percent);
                self.schedule_speakers(now);
            }
            Event::StreamPaused { consumer, paused } => self.tell_stream_state(consumer, paused),
            Event::Quality { peer, quality, score } => self.on_quality(peer, quality, score),
            // The codec that a publisher chose is among those that its subscribers were offered.
            Event::EncodingStarted { .. } | Event::ChannelOpen { .. } | Event::LayerChanged { .. } => {}
        }
    }

    /// A subscriber learns that a picture which stands still has not ended: its line does not carry it.
    fn tell_stream_state(&mut self, consumer: ConsumerId, paused: bool) {
        let Some((subscriber, track)) = self.consumers.get(&consumer).cloned() else { return };
        let Some(publisher) = self.room.track(&track).map(|t| t.publisher.clone()) else { return };
        let state = if paused { proto::StreamState::Paused } else { proto::StreamState::Active };
        let info =
            proto::StreamStateInfo { participant_sid: publisher.0, track_sid: track.0, state: state.into() };
        self.tell(
            &subscriber,
            Message::StreamStateUpdate(proto::StreamStateUpdate { stream_states: vec![info] }),
        );
    }

    /// Tells the media engine whether a subscriber's pictures may be held back altogether.
    pub(crate) fn allow_pause(&mut self, sid: &ParticipantSid) {
        let Some(session) = self.sessions.get(sid).filter(|s| s.may_pause) else { return };
        let peer = session.sending_peer();
        self.command(sfu::Command::AllowPause { peer, allowed: true });
    }

    fn set_connected(&mut self, now: Time, peer: PeerId, connected: bool) {
        let Some(sid) = self.peers.get(&peer).cloned() else { return };
        let Some(session) = self.sessions.get_mut(&sid) else { return };
        if session.up.peer == peer {
            session.up.connected = connected;
        }
        if let Some(down) = session.down.as_mut().filter(|d| d.peer == peer) {
            down.connected = connected;
        }
        let lost = !session.has_media();
        let silent = !connected && session.socket.is_none() && lost;
        let primary = session.is_primary(peer);
        self.qualities.set_lost(&sid, lost);
        self.tell_quality(&sid);
        if connected && primary {
            self.crowd.activating = true;
            let _ = self.tell_room(now, Command::Activate { participant: sid });
            self.crowd.activating = false;
        } else if silent {
            self.await_return(now, &sid);
        }
    }

    fn on_failed(&mut self, now: Time, peer: PeerId, reason: FailReason) {
        let Some(sid) = self.peers.get(&peer).cloned() else { return };
        let Some(session) = self.sessions.get(&sid) else { return };
        let active = self.room.participant(&sid).is_some_and(|p| p.state == State::Active);
        let told = session.make.protocol >= messages::LEAVE_ACTION_PROTOCOL && !session.media_only;
        let resumes = told && active;
        let reason = match (reason, session.socket) {
            // Silence: another path may do, to which a restart of ICE leads.
            (FailReason::IceTimeout, Some(_)) if resumes => return self.ask_to_resume(now, &sid),
            // Both are gone: the client itself is.
            (_, None) => LeaveReason::SignalClose,
            // Its transport was all that there was of it.
            (FailReason::Closed, Some(_)) if session.media_only => LeaveReason::ClientInitiated,
            // A transport that has ended cannot be resumed: the client has to start afresh. One that
            // says goodbye itself is usually about to.
            (FailReason::Closed, Some(_)) => return self.set_connected(now, peer, false),
            (_, Some(_)) => LeaveReason::ConnectionTimeout,
        };
        self.expel(now, &sid, reason);
    }
}
