//! Commands of the server API about this room.

use clock::Time;
use room::{Command, LeaveReason, ParticipantSid, ProfileChange, Refusal, TrackSid};

use crate::{Admin, AdminError, AdminReply, Conference, messages};

impl Conference {
    pub(crate) fn on_admin(&mut self, now: Time, command: Admin) -> Result<AdminReply, AdminError> {
        match command {
            Admin::GetRoom => Ok(self.room_reply()),
            Admin::ListParticipants => {
                let all = self.room.participants().map(|p| messages::participant_info(&self.room, p));
                Ok(AdminReply::Participants(all.collect()))
            }
            Admin::GetParticipant { identity } => {
                let sid = self.find(&identity)?;
                self.participant_reply(&sid)
            }
            Admin::RemoveParticipant { identity } => {
                let sid = self.find(&identity)?;
                self.expel(now, &sid, LeaveReason::ParticipantRemoved);
                Ok(AdminReply::Done)
            }
            Admin::MutePublishedTrack { identity, track, muted } => {
                let sid = self.find(&identity)?;
                let track = TrackSid(track);
                if self.room.track(&track).is_none_or(|t| t.publisher != sid) {
                    return Err(AdminError::NoTrack);
                }
                let command = Command::Mute { track: track.clone(), muted, by_server: true };
                self.tell_room(now, command).map_err(|_| AdminError::RemoteUnmute)?;
                let info = self.room.track(&track).map(messages::track_info).ok_or(AdminError::NoTrack)?;
                Ok(AdminReply::Track(Box::new(info)))
            }
            Admin::UpdateParticipant(update) => {
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
                    let command = Command::Permit { participant: sid.clone(), permission };
                    self.tell_room(now, command).map_err(error_of)?;
                }
                self.participant_reply(&sid)
            }
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
            Admin::SendData { payload, reliable, topic, identities, sids } => {
                self.send_server_data(&payload, reliable, topic, identities, sids)
            }
            Admin::UpdateRoomMetadata { metadata } => {
                self.tell_room(now, Command::SetMetadata { metadata }).map_err(error_of)?;
                Ok(self.room_reply())
            }
            Admin::DeleteRoom => {
                let _ = self.tell_room(now, Command::Close { reason: LeaveReason::RoomDeleted });
                Ok(AdminReply::Done)
            }
        }
    }

    fn room_reply(&self) -> AdminReply {
        AdminReply::Room(Box::new(messages::room_info(&self.room, &self.config)))
    }

    fn find(&self, identity: &str) -> Result<ParticipantSid, AdminError> {
        self.room.by_identity(identity).map(|p| p.sid.clone()).ok_or(AdminError::NoParticipant)
    }

    fn participant_reply(&self, sid: &ParticipantSid) -> Result<AdminReply, AdminError> {
        let participant = self.room.participant(sid).ok_or(AdminError::NoParticipant)?;
        Ok(AdminReply::Participant(Box::new(messages::participant_info(&self.room, participant))))
    }
}

fn error_of(refusal: Refusal) -> AdminError {
    match refusal {
        Refusal::TooLarge => AdminError::TooLarge,
        Refusal::NoTrack => AdminError::NoTrack,
        Refusal::NotAllowed => AdminError::RemoteUnmute,
        Refusal::Full | Refusal::Ended | Refusal::NoParticipant => AdminError::NoParticipant,
    }
}
