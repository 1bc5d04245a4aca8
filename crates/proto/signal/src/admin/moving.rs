//! Participants who are sent to another room.
//!
//! Rooms share nothing, so nobody is carried over: the client gets a token for the other room, and is told to
//! join afresh, which every LiveKit client does by itself and with its tracks. It costs about a second of media.

use clock::Time;
use livekit_protocol as proto;
use proto::leave_request::Action;
use proto::signal_response::Message;
use room::{LeaveReason, ParticipantSid};

use crate::{AdminError, AdminReply, Conference, Output, messages};

impl Conference {
    pub(super) fn send_elsewhere(
        &mut self,
        now: Time,
        sid: &ParticipantSid,
        destination: &str,
    ) -> Result<AdminReply, AdminError> {
        let session = self.sessions.get_mut(sid).ok_or(AdminError::NoParticipant)?;
        let protocol = session.make.protocol;
        // Without a socket it cannot be told where to go; when it comes back it may be told.
        let socket = session.socket.ok_or(AdminError::NotAllowed)?;
        let video = session.claims.video.get_or_insert_default();
        destination.clone_into(&mut video.room);
        self.refresh_token(now, sid);
        let mut leave = messages::leave(LeaveReason::StateMismatch, Action::Reconnect, protocol);
        if let Message::Leave(leave) = &mut leave {
            leave.set_reason(proto::DisconnectReason::Migration);
        }
        self.send(socket, leave);
        self.output.push_back(Output::Close { session: socket });
        self.sockets.remove(&socket);
        if let Some(session) = self.sessions.get_mut(sid) {
            // It has been told already.
            session.socket = None;
        }
        self.expel(now, sid, LeaveReason::ParticipantRemoved);
        Ok(AdminReply::Done)
    }
}
