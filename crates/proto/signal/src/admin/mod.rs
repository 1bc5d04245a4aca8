//! Commands of the server API about this room.
//!
//! Owns: what each command means to the room, and why it cannot be done. Who may say it is judged before it
//! comes here.

mod rpc;

use clock::Time;
use room::{Command, LeaveReason, ParticipantSid, ProfileChange, Refusal, TrackSid};

use crate::{Admin, AdminError, AdminReply, Conference, messages};

pub(crate) use rpc::Calls;

impl Conference {
    /// Does what is asked. `None`: the answer comes later, or never, because the room is over.
    pub(crate) fn on_admin(
        &mut self,
        now: Time,
        ticket: u64,
        command: Admin,
    ) -> Option<Result<AdminReply, AdminError>> {
        if self.room.ended() {
            return None;
        }
        match command {
            Admin::PerformRpc { identity, method, payload, timeout } => {
                self.call(now, ticket, &identity, method, payload, timeout).err().map(Err)
            }
            command => Some(self.do_admin(now, command)),
        }
    }

    fn do_admin(&mut self, now: Time, command: Admin) -> Result<AdminReply, AdminError> {
        match command {
            Admin::GetRoom => Ok(self.room_reply()),
            Admin::ListParticipants => {
                let all = self.room.participants().map(|p| self.info_of(p));
                Ok(AdminReply::Participants(all.collect()))
            }
            Admin::GetParticipant { identity } => {
                let sid = self.find(&identity)?;
                self.participant_reply(&sid)
            }
            Admin::RemoveParticipant { identity } => {
                let mut whom = self.twins(&identity);
                whom.extend(self.find(&identity).ok());
                if whom.is_empty() {
                    return Err(AdminError::NoParticipant);
                }
                for sid in whom {
                    self.expel(now, &sid, LeaveReason::ParticipantRemoved);
                }
                Ok(AdminReply::Done)
            }
            Admin::MutePublishedTrack { identity, track, muted } => {
                let sid = self.find(&identity)?;
                let track = TrackSid(track);
                if self.room.track(&track).is_none_or(|t| t.publisher != sid) {
                    return Err(AdminError::NoTrack);
                }
                let command = Command::Mute { track: track.clone(), muted, by_server: true };
                self.tell_room(now, command).map_err(|refusal| match refusal {
                    Refusal::NotAllowed => AdminError::RemoteUnmute,
                    other => error_of(other),
                })?;
                let info = self.room.track(&track).map(messages::track_info).ok_or(AdminError::NoTrack)?;
                Ok(AdminReply::Track(Box::new(info)))
            }
            Admin::UpdateParticipant(update) => self.update_participant(now, *update),
            Admin::UpdateSubscriptions(update) => {
                let sid = self.find(&update.identity)?;
                let update = livekit_protocol::UpdateSubscription {
                    track_sids: update.track_sids,
                    subscribe: update.subscribe,
                    participant_tracks: update.participant_tracks,
                };
                self.on_subscription(now, &sid, update);
                Ok(AdminReply::Done)
            }
            Admin::SendData { payload, reliable, topic, identities, sids, nonce } => {
                self.send_server_data(&payload, reliable, topic, identities, sids, &nonce)
            }
            // Answered later: see `on_admin`.
            Admin::PerformRpc { .. } => Err(AdminError::NotAllowed),
            Admin::Describe { identity } => {
                let sid = self.find(&identity)?;
                let participant = self.room.participant(&sid).ok_or(AdminError::NoParticipant)?;
                Ok(AdminReply::Described(Box::new(participant.who.clone())))
            }
            Admin::MayCome(who) => self.room.admits(&who).map(|()| AdminReply::Done).map_err(error_of),
            Admin::MoveParticipant { identity, destination } => {
                let sid = self.find(&identity)?;
                self.send_elsewhere(now, &sid, &destination)?;
                for twin in self.twins(&identity) {
                    if self.send_elsewhere(now, &twin, &destination).is_err() {
                        self.expel(now, &twin, LeaveReason::ParticipantRemoved);
                    }
                }
                Ok(AdminReply::Done)
            }
            Admin::ForwardParticipant { identity, destination } => {
                let sid = self.find(&identity)?;
                self.forward(&sid, &destination)
            }
            Admin::UpdateRoomMetadata { metadata } => {
                self.tell_room(now, Command::SetMetadata { metadata }).map_err(error_of)?;
                Ok(self.room_reply())
            }
            Admin::DeleteRoom => {
                self.tell_room(now, Command::Close { reason: LeaveReason::RoomDeleted }).map_err(error_of)?;
                Ok(AdminReply::Done)
            }
        }
    }

    fn update_participant(
        &mut self,
        now: Time,
        update: livekit_protocol::UpdateParticipantRequest,
    ) -> Result<AdminReply, AdminError> {
        let sid = self.find(&update.identity)?;
        let change = ProfileChange {
            name: update.name,
            metadata: update.metadata,
            attributes: update.attributes.into_iter().collect(),
        };
        if change != ProfileChange::default() {
            let command = Command::Update { participant: sid.clone(), change, by_server: true };
            self.tell_room(now, command).map_err(error_of)?;
            self.refresh_token(now, &sid);
        }
        if let Some(permission) = &update.permission {
            let permission = messages::permission_from(permission);
            for participant in self.twins(&update.identity) {
                let permission = room::Permission { can_subscribe: false, ..permission.clone() };
                self.tell_room(now, Command::Permit { participant, permission }).map_err(error_of)?;
            }
            let command = Command::Permit { participant: sid.clone(), permission };
            self.tell_room(now, command).map_err(error_of)?;
        }
        self.participant_reply(&sid)
    }

    fn room_reply(&self) -> AdminReply {
        AdminReply::Room(Box::new(messages::room_info(&self.room, &self.config)))
    }

    /// Connections by which a participant publishes beside its own. What it may not, they may not.
    fn twins(&self, identity: &str) -> Vec<ParticipantSid> {
        let twins = self.sessions.values().filter(|s| s.twin_of.as_deref() == Some(identity));
        twins.map(|s| s.participant.clone()).collect()
    }

    fn find(&self, identity: &str) -> Result<ParticipantSid, AdminError> {
        self.room.by_identity(identity).map(|p| p.sid.clone()).ok_or(AdminError::NoParticipant)
    }

    fn participant_reply(&self, sid: &ParticipantSid) -> Result<AdminReply, AdminError> {
        let participant = self.room.participant(sid).ok_or(AdminError::NoParticipant)?;
        Ok(AdminReply::Participant(Box::new(self.info_of(participant))))
    }
}

fn error_of(refusal: Refusal) -> AdminError {
    match refusal {
        Refusal::TooLarge => AdminError::TooLarge,
        Refusal::NoTrack => AdminError::NoTrack,
        Refusal::Full => AdminError::Full,
        Refusal::NotAllowed
        | Refusal::InvalidHandle
        | Refusal::InvalidName
        | Refusal::DuplicateHandle
        | Refusal::DuplicateName => AdminError::NotAllowed,
        Refusal::Ended => AdminError::NoRoom,
        Refusal::NoParticipant => AdminError::NoParticipant,
    }
}
