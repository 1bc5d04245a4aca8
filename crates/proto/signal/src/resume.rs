//! Sessions that are taken up again: lost sockets, lost transports, and what a client missed meanwhile.
//!
//! A participant outlives its socket for as long as media connects it, and for a grace after that. A client whose
//! transport failed is told to resume, which restarts ICE; keys and data channels stay, so that what waits in them
//! arrives once, in order.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use clock::Time;
use livekit_protocol as proto;
use peer::Carrier;
use proto::leave_request::Action;
use proto::signal_response::Message;
use room::{LeaveReason, ParticipantSid, State};

use crate::conference::Timer;
use crate::messages;
use crate::session::{NextResume, Way};
use crate::{Conference, Join, Output, SessionId};

/// Departures remembered in one room.
const DEPARTURES_MAX: usize = 1000;
/// What a client was told this long before its last sign of life it may not have read: its socket may have been dead
/// for a while without either side knowing.
const UNREAD: Duration = Duration::from_secs(20);

/// Who has gone lately, for those who could not be told.
#[derive(Debug, Default)]
pub(crate) struct Departures(VecDeque<(Instant, proto::ParticipantInfo)>);

impl Departures {
    /// Remembers somebody's end, without what others knew of them.
    pub(crate) fn note(&mut self, now: Instant, goodbye: &proto::ParticipantInfo) {
        if self.0.len() >= DEPARTURES_MAX {
            self.0.pop_front();
        }
        let goodbye = proto::ParticipantInfo {
            sid: goodbye.sid.clone(),
            identity: goodbye.identity.clone(),
            state: goodbye.state,
            version: goodbye.version,
            joined_at: goodbye.joined_at,
            disconnect_reason: goodbye.disconnect_reason,
            ..proto::ParticipantInfo::default()
        };
        self.0.push_back((now, goodbye));
    }

    fn since(&self, then: Instant) -> impl Iterator<Item = &proto::ParticipantInfo> {
        self.0.iter().filter(move |(at, _)| *at >= then).map(|(_, goodbye)| goodbye)
    }
}

impl Conference {
    /// Takes a lost session up again. One that is not known makes the client start afresh.
    pub(crate) fn on_resume(&mut self, now: Time, join: Join, sid: &ParticipantSid) {
        let Join { session: socket, claims, request, .. } = join;
        let moved = self.sessions.values().find(|s| s.formerly.as_ref() == Some(sid));
        let moved = moved.map(|s| s.participant.clone());
        let sid = moved.as_ref().unwrap_or(sid);
        let fits = self.sessions.get(sid).is_some_and(|s| s.mode == request.mode)
            && self.room.participant(sid).is_some_and(|p| p.identity() == claims.identity);
        if !fits {
            let protocol = request.client.protocol;
            self.send(socket, messages::leave(LeaveReason::StateMismatch, Action::Reconnect, protocol));
            self.output.push_back(Output::Close { session: socket });
            return;
        }
        let Some(session) = self.sessions.get_mut(sid) else { return };
        let ends = std::mem::replace(&mut session.hold.next_resume, NextResume::Works);
        if ends == NextResume::EndsSilent {
            self.output.push_back(Output::Close { session: socket });
            return;
        }
        let previous = session.socket.replace(socket);
        session.hold.losses += 1;
        let unread = session.hold.heard.checked_sub(UNREAD).unwrap_or(session.hold.heard);
        session.hold.heard = now.mono;
        session.hold.resumed = Some(now.mono);
        session.hold.replay_due = true;
        let client_configuration = session.make.configuration(session.hold.way);
        session.claims.expires_at = claims.expires_at;
        let last_message_seq = session.reliable.last();
        if let Some(previous) = previous {
            self.sockets.remove(&previous);
            self.output.push_back(Output::Close { session: previous });
        }
        self.sockets.insert(socket, sid.clone());
        let reconnect = proto::ReconnectResponse {
            ice_servers: self.ice_servers(now, sid),
            client_configuration,
            server_info: Some(messages::server_info(&self.config.server)),
            last_message_seq,
        };
        self.send(socket, Message::Reconnect(reconnect));
        if moved.is_some() {
            self.tell_moved(now, sid);
        }
        // Clients name each other by identity: whoever has come back under theirs, and is seen, has not gone.
        let identity = claims.identity.as_str();
        let is_seen = |g: &str| self.room.by_identity(g).is_some_and(|p| !p.who.permission.hidden);
        let gone = self.departures.since(unread);
        let gone = gone.filter(|g| g.identity != identity && !is_seen(&g.identity));
        let visible = self.room.participants().filter(|p| p.sid == *sid || !p.who.permission.hidden);
        let present = visible.map(|p| self.info_of(p));
        let participants = gone.cloned().chain(present).collect();
        self.send(socket, Message::Update(proto::ParticipantUpdate { participants }));
        let room = Some(messages::room_info(&self.room, &self.config));
        self.send(socket, Message::RoomUpdate(proto::RoomUpdate { room }));
        self.refresh_token(now, sid);
        self.restart_subscriber(now, sid);
        if let Some(state) = request.sync_state {
            self.on_sync_state(now, sid, state);
        }
        if let Some(offer) = request.offer {
            self.on_offer(now, sid, offer);
        }
        self.tell_flows_again(sid);
        if ends == NextResume::EndsEarly {
            self.hang_up(sid);
        }
    }

    /// Compares what a resumed client holds true with what is.
    pub(crate) fn on_sync_state(&mut self, now: Time, sid: &ParticipantSid, state: proto::SyncState) {
        let unknown = state
            .publish_tracks
            .iter()
            .filter_map(|p| p.track.as_ref())
            .any(|t| self.room.track(&t.sid.as_str().into()).is_none_or(|track| track.publisher != *sid));
        let mine = |t: &proto::DataTrackInfo| {
            self.room.data_track(&t.sid.as_str().into()).is_some_and(|track| track.publisher == *sid)
        };
        let unknown = unknown || !state.publish_data_tracks.iter().filter_map(|p| p.info.as_ref()).all(mine);
        if unknown {
            self.expel(now, sid, LeaveReason::StateMismatch);
            return;
        }
        self.replay_data(now, sid, &state.datachannel_receive_states);
        if let Some(subscription) = state.subscription {
            self.on_subscription(now, sid, subscription);
        }
        if let Some(subscription) = state.data_subscription {
            self.on_data_subscription(now, sid, subscription);
        }
        // Also those that were told while nobody listened.
        self.tell_handles(sid, None);
    }

    /// A socket has gone. The participant stays while media connects it.
    pub(crate) fn on_socket_closed(&mut self, now: Time, socket: SessionId) {
        let Some(sid) = self.sockets.remove(&socket) else { return };
        let Some(session) = self.sessions.get_mut(&sid) else { return };
        if session.socket != Some(socket) {
            return;
        }
        session.socket = None;
        if session.has_media() {
            return;
        }
        if self.room.participant(&sid).is_some_and(|p| p.state == State::Active) {
            self.await_return(now, &sid);
        } else {
            self.expel(now, &sid, LeaveReason::SignalClose);
        }
    }

    /// A transport lost its connection and may find it again.
    pub(crate) fn check_grace(&mut self, now: Time, sid: &ParticipantSid, loss: u32) {
        let lost = self.sessions.get(sid).is_some_and(|s| s.hold.losses == loss && !s.has_media());
        if lost {
            self.expel(now, sid, LeaveReason::ConnectionTimeout);
        }
    }

    /// A transport failed although its client can be told: it is to resume, which restarts ICE.
    pub(crate) fn ask_to_resume(&mut self, now: Time, sid: &ParticipantSid) {
        let Some(session) = self.sessions.get(sid) else { return };
        let Some(socket) = session.socket else { return };
        let protocol = session.make.protocol;
        self.send(socket, messages::leave(LeaveReason::ConnectionTimeout, Action::Resume, protocol));
        self.hang_up(sid);
        self.await_return(now, sid);
    }

    /// Neither socket nor media: gone, unless it comes back soon.
    pub(crate) fn await_return(&mut self, now: Time, sid: &ParticipantSid) {
        let grace = self.config.limits.transport_grace;
        let Some(session) = self.sessions.get_mut(sid) else { return };
        session.hold.losses += 1;
        let losses = session.hold.losses;
        self.set_timer(now.mono + grace, Timer::Grace(sid.clone(), losses));
    }

    /// Our candidates on `worker` that a client may use.
    pub(crate) fn candidates(&self, worker: u8, way: Way) -> Vec<peer::Candidate> {
        let ours = self.config.media.candidates.get(usize::from(worker)).map_or(&[][..], Vec::as_slice);
        let fits = |c: &&peer::Candidate| way != Way::Tcp || c.carrier == Carrier::Tcp;
        ours.iter().filter(fits).cloned().collect()
    }

    /// The way that a test asked for, as far as there is one.
    pub(crate) fn way_of(&self, identity: &str) -> Way {
        let over_tls = || self.config.ice_servers.iter().flat_map(|s| &s.urls).any(|url| is_tls(url));
        let over_tcp = || self.config.media.candidates.iter().flatten().any(|c| c.carrier == Carrier::Tcp);
        match self.ways.of(identity) {
            Way::Relay if over_tls() => Way::Relay,
            Way::Relay | Way::Tcp if over_tcp() => Way::Tcp,
            _ => Way::Any,
        }
    }

    /// The STUN and TURN servers for a participant.
    pub(crate) fn ice_servers(&self, now: Time, sid: &ParticipantSid) -> Vec<proto::IceServer> {
        let mut servers = messages::ice_servers(&self.config, now, sid);
        if self.sessions.get(sid).is_some_and(|s| s.hold.way == Way::Relay) {
            for server in &mut servers {
                server.urls.retain(|url| is_tls(url));
            }
            servers.retain(|server| !server.urls.is_empty());
        }
        servers
    }
}

fn is_tls(url: &str) -> bool {
    url.starts_with("turns:")
}
