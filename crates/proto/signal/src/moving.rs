//! Participants who go to another room with their connections: `MoveParticipant`.
//!
//! Owns: both ends of a move. The session, with its WebSocket, its transports and what stands in its descriptions, is
//! handed over whole, and the tracks keep their names and producers: the client's own media goes on, and only what it
//! receives is another's. The others see somebody go in the one room and come in the other. Clients too old to be told
//! of a move are sent over instead: they join afresh. Neither room waits for the other: of the data that is on its way in
//! that moment some may reach the other room's people, or nobody.

use clock::Time;
use livekit_protocol as proto;
use proto::leave_request::Action;
use proto::signal_response::Message;
use room::{
    Command, DataTrack, LeaveReason, Outcome, Participant, ParticipantSid, State, TrackDraft, TrackSid,
};
use sfu::PeerId;

use crate::conference::{Published, Timer};
use crate::negotiation::Phase;
use crate::session::Session;
use crate::settings::Paced;
use crate::{AdminError, AdminReply, Conference, Output, SessionId, messages};

/// From this client protocol on, `room_moved` is understood.
const MOVED_PROTOCOL: i32 = 16;

/// Somebody between two rooms.
#[derive(Debug)]
pub struct Migrant {
    was: Participant,
    session: Session,
    tracks: Vec<Brought>,
    data_tracks: Vec<DataTrack>,
}

/// A track that comes along.
#[derive(Debug)]
struct Brought {
    track: TrackSid,
    draft: TrackDraft,
    /// `None`: announced, and not negotiated yet.
    published: Option<Published>,
}

impl Migrant {
    /// Its transports.
    pub fn peers(&self) -> impl Iterator<Item = PeerId> {
        let down = self.session.down.as_ref().map(|down| down.peer);
        [Some(self.session.up.peer), down].into_iter().flatten()
    }

    /// What it was called in the room that it leaves.
    pub fn sid(&self) -> &ParticipantSid {
        &self.was.sid
    }

    /// Its WebSocket.
    pub fn socket(&self) -> Option<SessionId> {
        self.session.socket
    }

    /// What the media engine tells of that is named after the room from which it comes.
    pub fn media_ids(&self) -> impl Iterator<Item = u64> {
        let published = self.tracks.iter().filter_map(|t| t.published.as_ref());
        self.peers().map(|peer| peer.0).chain(published.flat_map(Published::producers).map(|p| p.0))
    }
}

impl Conference {
    /// From now on this participant is in `destination`.
    pub(crate) fn send_elsewhere(
        &mut self,
        now: Time,
        sid: &ParticipantSid,
        destination: &str,
    ) -> Result<AdminReply, AdminError> {
        let session = self.sessions.get_mut(sid).ok_or(AdminError::NoParticipant)?;
        // Without a socket it cannot be told where to go; when it comes back it may be told.
        session.socket.ok_or(AdminError::NotAllowed)?;
        let video = session.claims.video.get_or_insert_default();
        destination.clone_into(&mut video.room);
        let understands = session.make.protocol >= MOVED_PROTOCOL || session.media_only;
        let active = self.room.participant(sid).is_some_and(|p| p.state == State::Active);
        if understands && active {
            self.hand_over(now, sid, destination);
        } else {
            self.send_over(now, sid);
        }
        Ok(AdminReply::Done)
    }

    /// The client gets a token for the other room, and is told to join afresh, which every LiveKit client does by
    /// itself and with its tracks. It costs about a second of media.
    fn send_over(&mut self, now: Time, sid: &ParticipantSid) {
        self.refresh_token(now, sid);
        let Some(session) = self.sessions.get_mut(sid) else { return };
        // What the room says about its leaving comes too late.
        let Some(socket) = session.socket.take() else { return };
        let mut leave = messages::leave(LeaveReason::StateMismatch, Action::Reconnect, session.make.protocol);
        if let Message::Leave(leave) = &mut leave {
            leave.set_reason(proto::DisconnectReason::Migration);
        }
        self.send(socket, leave);
        self.output.push_back(Output::Close { session: socket });
        self.sockets.remove(&socket);
        self.expel(now, sid, LeaveReason::ParticipantRemoved);
    }

    fn hand_over(&mut self, now: Time, sid: &ParticipantSid, destination: &str) {
        let Some(was) = self.room.participant(sid).cloned() else { return };
        // What waits in this room's timers waits no longer.
        self.pass_early(now, sid, true);
        for track in was.subscribed() {
            self.on_unsubscribed(now, sid, track);
        }
        let data_tracks = self.room.data_tracks_of(sid).cloned().collect();
        let tracks = was.tracks.iter().filter_map(|t| self.bring(t)).collect();
        let Some(mut session) = self.sessions.remove(sid) else { return };
        self.legacies.keep(now.mono, sid.clone(), session.reliable.part());
        session.need.due = None;
        session.settings = Paced::default();
        if let Some(down) = session.down.as_mut().filter(|d| matches!(d.phase, Phase::Due(_))) {
            down.phase = Phase::Settled;
        }
        if let Some(socket) = session.socket {
            self.sockets.remove(&socket);
        }
        self.peers.retain(|_, of| of != sid);
        self.expel(now, sid, LeaveReason::ParticipantRemoved);
        let migrant = Box::new(Migrant { was, session, tracks, data_tracks });
        self.output.push_back(Output::Move { destination: destination.to_owned(), migrant });
    }

    /// A track that goes: from here on its producers are another room's.
    fn bring(&mut self, sid: &TrackSid) -> Option<Brought> {
        let track = self.room.track(sid)?;
        let published = self.published.get_mut(sid).map(|published| {
            let mut brought = published.clone();
            brought.second.wanted_by.clear();
            published.foreign = true;
            brought
        });
        for producer in published.iter().flat_map(Published::producers) {
            self.producers.remove(&producer);
        }
        Some(Brought { track: sid.clone(), draft: track.draft.clone(), published })
    }

    /// Somebody comes from another room.
    pub(crate) fn on_moved(&mut self, now: Time, migrant: Migrant) {
        let peers: Vec<PeerId> = migrant.peers().collect();
        let Migrant { was, mut session, tracks, data_tracks } = migrant;
        let arrived = self.room.handle(now, Command::Arrive(Box::new(was)));
        let Ok(Outcome::Participant(sid)) = arrived else {
            self.after(now);
            for peer in peers {
                self.command(sfu::Command::ClosePeer { peer });
            }
            let Some(socket) = session.socket else { return };
            let protocol = session.make.protocol;
            self.send(socket, messages::leave(LeaveReason::JoinFailure, Action::Disconnect, protocol));
            self.output.push_back(Output::Close { session: socket });
            return;
        };
        session.formerly = Some(std::mem::replace(&mut session.participant, sid.clone()));
        (session.greeted, session.arrives, session.told_of) = (false, true, false);
        self.peers.extend(peers.into_iter().map(|peer| (peer, sid.clone())));
        self.sockets.extend(session.socket.map(|socket| (socket, sid.clone())));
        self.sessions.insert(sid.clone(), session);
        // Passes on the room's account of it: the client is told first of all, and the others hear.
        self.after(now);
        let renewal = now.mono + self.config.limits.token_interval;
        self.set_timer(renewal, Timer::Token(sid.clone()));
        for brought in tracks {
            self.take_track(now, &sid, brought);
        }
        for DataTrack { sid: track, draft, .. } in data_tracks {
            let command = Command::BringData { publisher: sid.clone(), track, draft: Box::new(draft) };
            // It was taken in the other room by the same rules.
            let _ = self.tell_room(now, command);
        }
        let _ = self.tell_room(now, Command::Activate { participant: sid.clone() });
        let Some(session) = self.sessions.get(&sid) else { return };
        let offered =
            session.down.as_ref().filter(|d| matches!(d.phase, Phase::Waiting { .. })).map(|d| d.id);
        if session.downstream.is_unsettled() {
            self.want_negotiation(now, &sid, true);
        }
        if let Some(id) = offered {
            self.set_timer(now.mono + self.config.limits.negotiation_timeout, Timer::Answer(sid, id));
        }
    }

    fn take_track(&mut self, now: Time, publisher: &ParticipantSid, brought: Brought) {
        let Brought { track, draft, published } = brought;
        let codecs = draft.codecs.clone();
        let command =
            Command::Bring { publisher: publisher.clone(), track: track.clone(), draft: Box::new(draft) };
        if self.tell_room(now, command).is_err() {
            for producer in published.iter().flat_map(Published::producers) {
                self.command(sfu::Command::RemoveProducer { producer });
            }
            return;
        }
        let Some(published) = published else { return };
        self.producers.extend(published.producers().map(|producer| (producer, track.clone())));
        self.published.insert(track.clone(), published);
        let _ = self.tell_room(now, Command::GoLive { track: track.clone(), codecs });
        self.tell_demand(&track);
    }

    /// The first message to somebody who has come from another room.
    pub(crate) fn tell_moved(&mut self, now: Time, sid: &ParticipantSid) {
        let Some(participant) = self.room.participant(sid) else { return };
        let moved = proto::RoomMovedResponse {
            room: Some(messages::room_info(&self.room, &self.config)),
            token: String::new(),
            participant: Some(self.info_of(participant)),
            other_participants: self.others(sid),
        };
        self.send_token(now, sid, Some(Box::new(moved)));
        if let Some(session) = self.sessions.get_mut(sid) {
            (session.greeted, session.arrives) = (true, false);
        }
    }
}
