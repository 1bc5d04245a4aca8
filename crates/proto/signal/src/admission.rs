//! Coming and going: joins, resumes, lost sockets, lost transports, shutdown.

use std::collections::BTreeMap;
use std::time::Instant;

use auth::Claims;
use clock::Time;
use livekit_protocol as proto;
use peer::Credentials;
use proto::leave_request::Action;
use proto::signal_response::Message;
use room::{Client, LeaveReason, NewParticipant, ParticipantSid, Permission, Profile, Quality, Settings};

use crate::conference::Timer;
use crate::messages;
use crate::negotiation::{Downstream, Upstream};
use crate::rate::Allowance;
use crate::reliable::Reliable;
use crate::session::{Hold, Make, Session};
use crate::settings::Paced;
use crate::{Conference, Join, JoinRequest, Mode, Output, SessionId};

/// A token's shortest life when it is renewed.
const TOKEN_LIFE_MIN: std::time::Duration = std::time::Duration::from_secs(600);

/// Whose second connection it is, if it is one: its identity is that and the name of the connection.
fn twin_of(identity: &str, request: &JoinRequest) -> Option<String> {
    let name = request.publish.as_ref()?;
    identity.strip_suffix(name)?.strip_suffix('#').map(str::to_owned)
}

impl Conference {
    pub(crate) fn on_join(&mut self, now: Time, join: Join) {
        if let Some(resume) = join.request.resume.clone() {
            self.on_resume(now, join, &ParticipantSid(resume));
            return;
        }
        let Join { session: socket, claims, request, worker } = join;
        let command = room::Command::Join(Box::new(newcomer(&claims, &request)));
        let participant = match self.room.handle(now, command) {
            Ok(room::Outcome::Participant(sid)) => sid,
            Ok(_) | Err(_) => {
                self.after(now);
                let protocol = request.client.protocol;
                self.send(socket, messages::leave(LeaveReason::JoinFailure, Action::Disconnect, protocol));
                self.output.push_back(Output::Close { session: socket });
                return;
            }
        };
        let session = self.new_session(now.mono, participant.clone(), socket, claims, &request, worker);
        self.sockets.insert(socket, participant.clone());
        self.sessions.insert(participant.clone(), session);
        // Passes on the room's account of the join: whoever was replaced goes, `join` is sent, others hear.
        self.after(now);
        self.refresh_token(now, &participant);
        let renewal = now.mono + self.config.limits.token_interval;
        self.set_timer(renewal, Timer::Token(participant.clone()));
        self.start_media(now, &participant);
        for add in request.add_tracks {
            self.on_add_track(now, &participant, add);
        }
        if let Some(offer) = request.offer {
            if request.media_only {
                self.announce_offered(now, &participant, &offer);
            }
            self.on_offer(now, &participant, offer);
        }
    }

    fn new_session(
        &mut self,
        now: Instant,
        participant: ParticipantSid,
        socket: SessionId,
        claims: Claims,
        request: &JoinRequest,
        worker: u8,
    ) -> Session {
        let peer = self.names.peer(worker);
        self.peers.insert(peer, participant.clone());
        let hold = Hold::new(now, self.way_of(&claims.identity));
        let credentials = Credentials::generate(worker, &mut self.names.rng);
        Session {
            participant,
            socket: Some(socket),
            greeted: false,
            arrives: false,
            formerly: None,
            worker,
            mode: request.mode,
            media_only: request.media_only,
            make: Make::of(request),
            twin_of: twin_of(&claims.identity, request),
            claims,
            ice_lite: self.config.media.ice_lite && !request.disable_ice_lite,
            may_pause: request.allow_pause.unwrap_or(self.config.limits.allow_pause),
            up: Upstream::new(peer, credentials),
            down: None,
            downstream: Downstream::default(),
            need: Default::default(),
            told_of: false,
            untold: Vec::new(),
            requests: Allowance::full(self.config.limits.requests, now),
            descriptions: Allowance::full(self.config.limits.descriptions, now),
            settings: Paced::default(),
            updates: Allowance::full(self.config.limits.updates, now),
            data: Allowance::full(self.config.limits.data, now),
            data_refused: None,
            reliable: Reliable::default(),
            hold,
        }
    }

    /// The first message to a newcomer.
    pub(crate) fn send_join(&mut self, now: Time, sid: &ParticipantSid) {
        let Some(session) = self.sessions.get(sid) else { return };
        if session.arrives {
            return self.tell_moved(now, sid);
        }
        let Some(participant) = self.room.participant(sid) else { return };
        let Some(socket) = session.socket else { return };
        let may = &participant.who.permission;
        let limits = &self.config.limits;
        let seconds = |d: std::time::Duration| i32::try_from(d.as_secs()).unwrap_or(i32::MAX);
        let join = proto::JoinResponse {
            room: Some(messages::room_info(&self.room, &self.config)),
            participant: Some(self.info_of(participant)),
            other_participants: self.others(sid),
            server_version: self.config.server.version.clone(),
            server_region: self.config.server.region.clone(),
            server_info: Some(messages::server_info(&self.config.server)),
            ice_servers: self.ice_servers(now, sid),
            client_configuration: session.make.configuration(session.hold.way),
            subscriber_primary: session.mode == Mode::Dual && session.make.protocol > 2 && may.can_subscribe,
            ping_timeout: seconds(limits.ping_timeout),
            ping_interval: seconds(limits.ping_interval),
            enabled_publish_codecs: messages::enabled_codecs(&self.config),
            fast_publish: may.can_publish,
            ..proto::JoinResponse::default()
        };
        self.send(socket, Message::Join(join));
        if let Some(session) = self.sessions.get_mut(sid) {
            session.greeted = true;
        }
    }

    /// Everybody else, as a participant sees them.
    pub(crate) fn others(&self, sid: &ParticipantSid) -> Vec<proto::ParticipantInfo> {
        let seen = self.room.participants().filter(|p| p.sid != *sid && !p.who.permission.hidden);
        seen.map(|p| self.info_of(p)).collect()
    }

    /// The process ends.
    pub(crate) fn on_shutdown(&mut self, now: Time, reconnect: bool) {
        if reconnect {
            let everyone: Vec<_> = self.sessions.values().map(|s| (s.socket, s.make.protocol)).collect();
            for (socket, protocol) in everyone {
                let Some(socket) = socket else { continue };
                self.send(socket, messages::leave(LeaveReason::ServerShutdown, Action::Reconnect, protocol));
                self.output.push_back(Output::Close { session: socket });
                // What the room says about their leaving comes too late to be sent.
                self.sockets.remove(&socket);
            }
            for session in self.sessions.values_mut() {
                session.socket = None;
            }
        }
        let _ = self.tell_room(now, room::Command::Close { reason: LeaveReason::ServerShutdown });
    }

    /// Forgets a participant who has left the room; tells it why, unless it said so itself.
    pub(crate) fn drop_session(&mut self, now: Time, sid: &ParticipantSid, reason: LeaveReason) {
        let Some(session) = self.sessions.remove(sid) else { return };
        if let Some(socket) = session.socket {
            self.sockets.remove(&socket);
            if reason != LeaveReason::ClientInitiated {
                let action = messages::action_for(reason);
                self.send(socket, messages::leave(reason, action, session.make.protocol));
            }
            self.output.push_back(Output::Close { session: socket });
        }
        for (_, line) in session.downstream.lines() {
            self.consumers.remove(&line.consumer);
            self.names.release_line(line);
        }
        self.peers.remove(&session.up.peer);
        self.names.release(session.up.peer.0);
        if session.up.opened {
            self.command(sfu::Command::ClosePeer { peer: session.up.peer });
        }
        self.legacies.keep(now.mono, sid.clone(), session.reliable);
        if let Some(down) = session.down {
            self.peers.remove(&down.peer);
            self.names.release(down.peer.0);
            self.command(sfu::Command::ClosePeer { peer: down.peer });
        }
    }

    /// A token with what the participant is and may now.
    pub(crate) fn refresh_token(&mut self, now: Time, sid: &ParticipantSid) {
        self.send_token(now, sid, None);
    }

    /// The same, in another message.
    pub(crate) fn send_token(
        &mut self,
        now: Time,
        sid: &ParticipantSid,
        within: Option<Box<proto::RoomMovedResponse>>,
    ) {
        let Some(session) = self.sessions.get(sid) else { return };
        let Some(socket) = session.socket else { return };
        let Some(participant) = self.room.participant(sid) else { return };
        let mut claims = session.claims.clone();
        if let Some(identity) = &session.twin_of {
            // The token is that of whom it belongs to, and ends with it.
            claims.identity.clone_from(identity);
        }
        let profile = &participant.who.profile;
        claims.name.clone_from(&profile.name);
        claims.metadata.clone_from(&profile.metadata);
        claims.attributes.clone_from(&profile.attributes);
        let may = &participant.who.permission;
        if let Some(video) = claims.video.as_mut() {
            video.can_publish = Some(may.can_publish);
            video.can_subscribe = Some(may.can_subscribe);
            video.can_publish_data = Some(may.can_publish_data);
            video.can_publish_sources.clone_from(&may.sources);
            video.can_update_own_metadata = Some(may.can_update_metadata);
            video.can_subscribe_metrics = Some(may.can_subscribe_metrics);
            video.can_manage_agent_session = Some(may.can_manage_agent_session);
            video.hidden = may.hidden;
        }
        let now_seconds = i64::try_from(now.unix.as_secs()).unwrap_or(i64::MAX);
        let left = claims.expires_at.saturating_sub(now_seconds).max(0).unsigned_abs();
        let lifetime = std::time::Duration::from_secs(left).max(TOKEN_LIFE_MIN);
        let claims = Box::new(claims);
        self.output.push_back(Output::Token { session: socket, claims, lifetime, within });
    }
}

/// Who joins, by token and by request: the request's profile goes before the token's.
fn newcomer(claims: &Claims, request: &JoinRequest) -> NewParticipant {
    let permission = claims.video.as_ref().map(Permission::from_grant).unwrap_or_default();
    let mut profile = Profile {
        name: claims.name.clone(),
        metadata: claims.metadata.clone(),
        attributes: claims.attributes.clone(),
    };
    if permission.can_update_metadata {
        if !request.metadata.is_empty() {
            profile.metadata.clone_from(&request.metadata);
        }
        let set = request.attributes.iter().filter(|(_, v)| !v.is_empty());
        profile.attributes.extend(set.map(|(k, v)| (k.clone(), v.clone())).collect::<BTreeMap<_, _>>());
    }
    let quality = if request.adaptive_stream { Quality::Low } else { Quality::High };
    NewParticipant {
        identity: claims.identity.clone(),
        kind: claims.kind,
        kind_details: claims.kind_details.clone(),
        profile,
        permission,
        client: Client {
            protocol: request.client.client_protocol,
            capabilities: request.client.capabilities.clone(),
        },
        auto_subscribe: request.auto_subscribe,
        auto_subscribe_data: request.auto_subscribe_data,
        settings: Settings::initial(quality),
    }
}
