//! What the media engine reports.

use clock::Time;
use livekit_protocol as proto;
use proto::signal_response::Message;
use room::{Command, LeaveReason, ParticipantSid, State, TrackKind, TrackSid};
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
        let session = self.sessions.get_mut(&subscriber);
        if let Some(line) = session.and_then(|s| s.downstream.line_mut(&track)) {
            line.paused = Some(paused);
        }
        let Some(info) = self.stream_state(&track, paused) else { return };
        let update = proto::StreamStateUpdate { stream_states: vec![info] };
        self.tell(&subscriber, Message::StreamStateUpdate(update));
    }

    fn stream_state(&self, track: &TrackSid, paused: bool) -> Option<proto::StreamStateInfo> {
        let participant_sid = self.room.track(track)?.publisher.0.clone();
        let state = if paused { proto::StreamState::Paused } else { proto::StreamState::Active };
        Some(proto::StreamStateInfo { participant_sid, track_sid: track.0.clone(), state: state.into() })
    }

    /// Whoever was away learns again which pictures stand, and what is wanted of those that it publishes.
    pub(crate) fn tell_flows_again(&mut self, sid: &ParticipantSid) {
        let lines = self.sessions.get(sid).map(|s| &s.downstream).into_iter().flat_map(|d| d.lines());
        let stream_states: Vec<_> =
            lines.filter_map(|(_, line)| self.stream_state(&line.track, line.paused?)).collect();
        if !stream_states.is_empty() {
            self.tell(sid, Message::StreamStateUpdate(proto::StreamStateUpdate { stream_states }));
        }
        let is_mine = |t: &TrackSid| {
            let track = self.room.track(t).filter(|t| t.draft.kind == TrackKind::Video);
            track.is_some_and(|t| t.publisher == *sid)
        };
        let mine: Vec<_> = self.published.keys().filter(|t| is_mine(t)).cloned().collect();
        for track in mine {
            self.tell_demand(&track);
        }
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
