//! `livekit.RoomService`.

use std::time::Duration;

use livekit_protocol as proto;
use signal::{Admin, AdminReply};

use super::{Answer, Call, Caller, Code, Error};
use crate::directory::NoRoom;
use crate::opening;

/// For a called method where the caller does not say, as in LiveKit's clients.
const RPC_TIMEOUT: Duration = Duration::from_secs(15);
/// No call keeps its connection longer.
const RPC_TIMEOUT_MAX: Duration = Duration::from_secs(300);
/// Bytes of the number by which receivers know a repeated packet.
const NONCE: usize = 16;

pub(super) async fn serve(method: &str, call: Call) -> Answer {
    match method {
        "CreateRoom" => call.answer(create).await,
        "ListRooms" => call.answer(list).await,
        "DeleteRoom" => call.answer(delete).await,
        "ListParticipants" => call.answer(list_participants).await,
        "GetParticipant" => call.answer(participant).await,
        "RemoveParticipant" => call.answer(remove_participant).await,
        "MutePublishedTrack" => call.answer(mute).await,
        "UpdateParticipant" => call.answer(update_participant).await,
        "UpdateSubscriptions" => call.answer(update_subscriptions).await,
        "SendData" => call.answer(send_data).await,
        "UpdateRoomMetadata" => call.answer(update_metadata).await,
        "PerformRpc" => call.answer(perform_rpc).await,
        "ForwardParticipant" => call.answer(forward_participant).await,
        "MoveParticipant" => call.answer(move_participant).await,
        _ => Ok(None),
    }
}

/// A room answers another question than was asked: never, and not worth a panic.
fn out_of_step() -> Error {
    Error::new(Code::Internal, "the room did not answer the question")
}

impl Caller {
    async fn ask(&self, room: &str, command: Admin) -> Result<AdminReply, Error> {
        let entry = self.shared.directory.running(room).ok_or_else(Error::no_room)?;
        Ok(entry.ask(command).await.ok_or_else(Error::no_room)??)
    }
}

async fn create(caller: Caller, request: proto::CreateRoomRequest) -> Result<proto::Room, Error> {
    caller.may(|video| video.room_create)?;
    let config = caller.shared.config();
    if request.name.is_empty() {
        return Err(Error::invalid("room name cannot be empty"));
    }
    if request.name.len() > config.rooms.max_name {
        return Err(Error::invalid(format!("room name exceeds {} bytes", config.rooms.max_name)));
    }
    if request.metadata.len() > config.rooms.rules.max_metadata {
        return Err(Error::invalid(format!("metadata exceeds {} bytes", config.rooms.rules.max_metadata)));
    }
    if request.egress.is_some() {
        return Err(Error::new(Code::Internal, super::absent::NO_EGRESS));
    }
    let mut asked = opening::Asked::default();
    if !request.room_preset.is_empty() {
        let preset = config.rooms.presets.get(&request.room_preset);
        let preset = preset.ok_or_else(|| Error::invalid(opening::NO_PRESET))?;
        asked.push(preset.clone());
    }
    let name = request.name.clone();
    asked.push(proto::RoomConfiguration {
        empty_timeout: request.empty_timeout,
        departure_timeout: request.departure_timeout,
        max_participants: request.max_participants,
        metadata: request.metadata,
        min_playout_delay: request.min_playout_delay,
        max_playout_delay: request.max_playout_delay,
        sync_streams: request.sync_streams,
        agents: request.agents,
        ..proto::RoomConfiguration::default()
    });
    if caller.shared.directory.running(&name).is_none() && caller.shared.is_full() {
        return Err(Error::new(Code::ResourceExhausted, crate::capacity::FULL));
    }
    // A room that is just ending makes place for another, which takes a moment.
    for _ in 0..crate::join::ATTEMPTS {
        let entry = caller.shared.open(&name, asked.clone())?;
        match entry.ask(Admin::GetRoom).await {
            Some(Ok(AdminReply::Room(room))) => return Ok(*room),
            Some(Ok(_)) => return Err(out_of_step()),
            Some(Err(_)) | None => tokio::task::yield_now().await,
        }
    }
    Err(Error::new(Code::Unavailable, "the room does not open"))
}

async fn list(caller: Caller, request: proto::ListRoomsRequest) -> Result<proto::ListRoomsResponse, Error> {
    caller.may(|video| video.room_list)?;
    let mut waiting = Vec::new();
    for (name, entry) in caller.shared.directory.list() {
        if request.names.is_empty() || request.names.contains(&name) {
            waiting.push(entry.put(Admin::GetRoom).await);
        }
    }
    let mut rooms = Vec::new();
    for answer in waiting {
        // Rooms that have ended in the meantime are not there.
        if let Ok(Ok(AdminReply::Room(room))) = answer.await {
            rooms.push(*room);
        }
    }
    rooms.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(proto::ListRoomsResponse { rooms })
}

async fn delete(
    caller: Caller,
    request: proto::DeleteRoomRequest,
) -> Result<proto::DeleteRoomResponse, Error> {
    caller.may(|video| video.room_create)?;
    caller.ask(&request.room, Admin::DeleteRoom).await?;
    Ok(proto::DeleteRoomResponse {})
}

async fn list_participants(
    caller: Caller,
    request: proto::ListParticipantsRequest,
) -> Result<proto::ListParticipantsResponse, Error> {
    caller.administers(&request.room)?;
    // As in LiveKit's own server: nobody is in a room that is not there.
    let Some(entry) = caller.shared.directory.running(&request.room) else {
        return Ok(proto::ListParticipantsResponse::default());
    };
    match entry.ask(Admin::ListParticipants).await {
        Some(Ok(AdminReply::Participants(participants))) => {
            Ok(proto::ListParticipantsResponse { participants })
        }
        Some(Ok(_)) => Err(out_of_step()),
        Some(Err(_)) | None => Ok(proto::ListParticipantsResponse::default()),
    }
}

/// About a participant a room that is not there gives the same answer as a room without them.
fn about_participant(error: Error) -> Error {
    if error.is_no_room() { Error::no_participant() } else { error }
}

async fn participant(
    caller: Caller,
    request: proto::RoomParticipantIdentity,
) -> Result<proto::ParticipantInfo, Error> {
    caller.administers(&request.room)?;
    let command = Admin::GetParticipant { identity: request.identity };
    match caller.ask(&request.room, command).await.map_err(about_participant)? {
        AdminReply::Participant(participant) => Ok(*participant),
        _ => Err(out_of_step()),
    }
}

async fn remove_participant(
    caller: Caller,
    request: proto::RoomParticipantIdentity,
) -> Result<proto::RemoveParticipantResponse, Error> {
    caller.administers(&request.room)?;
    let command = Admin::RemoveParticipant { identity: request.identity.clone() };
    let removed = caller.ask(&request.room, command).await.map_err(about_participant);
    // Whoever is told from when on tokens hold may mean somebody who is about to come back.
    if removed.is_ok() || request.revoke_token_ts > 0 {
        let revoked = &caller.shared.revoked;
        revoked.revoke(&request.room, &request.identity, request.revoke_token_ts, crate::now());
    }
    removed?;
    Ok(proto::RemoveParticipantResponse {})
}

async fn mute(
    caller: Caller,
    request: proto::MuteRoomTrackRequest,
) -> Result<proto::MuteRoomTrackResponse, Error> {
    caller.administers(&request.room)?;
    let command = Admin::MutePublishedTrack {
        identity: request.identity,
        track: request.track_sid,
        muted: request.muted,
    };
    match caller.ask(&request.room, command).await.map_err(about_participant)? {
        AdminReply::Track(track) => Ok(proto::MuteRoomTrackResponse { track: Some(*track) }),
        _ => Err(out_of_step()),
    }
}

async fn update_participant(
    caller: Caller,
    request: proto::UpdateParticipantRequest,
) -> Result<proto::ParticipantInfo, Error> {
    caller.administers(&request.room)?;
    let room = request.room.clone();
    let command = Admin::UpdateParticipant(Box::new(request));
    match caller.ask(&room, command).await.map_err(about_participant)? {
        AdminReply::Participant(participant) => Ok(*participant),
        _ => Err(out_of_step()),
    }
}

async fn update_subscriptions(
    caller: Caller,
    request: proto::UpdateSubscriptionsRequest,
) -> Result<proto::UpdateSubscriptionsResponse, Error> {
    caller.administers(&request.room)?;
    let room = request.room.clone();
    let command = Admin::UpdateSubscriptions(Box::new(request));
    caller.ask(&room, command).await.map_err(about_participant)?;
    Ok(proto::UpdateSubscriptionsResponse {})
}

#[allow(deprecated)] // Old callers name receivers by sid.
async fn send_data(
    caller: Caller,
    request: proto::SendDataRequest,
) -> Result<proto::SendDataResponse, Error> {
    caller.administers(&request.room)?;
    if !matches!(request.nonce.len(), 0 | NONCE) {
        let message = format!("nonce should be {NONCE} bytes or not present, got: {}", request.nonce.len());
        return Err(Error::invalid(message));
    }
    let command = Admin::SendData {
        reliable: request.kind() == proto::data_packet::Kind::Reliable,
        payload: request.data.into(),
        topic: request.topic,
        identities: request.destination_identities,
        sids: request.destination_sids,
        nonce: request.nonce.into(),
    };
    caller.ask(&request.room, command).await?;
    Ok(proto::SendDataResponse {})
}

async fn update_metadata(
    caller: Caller,
    request: proto::UpdateRoomMetadataRequest,
) -> Result<proto::Room, Error> {
    caller.administers(&request.room)?;
    match caller.ask(&request.room, Admin::UpdateRoomMetadata { metadata: request.metadata }).await? {
        AdminReply::Room(room) => Ok(*room),
        _ => Err(out_of_step()),
    }
}

async fn perform_rpc(
    caller: Caller,
    request: proto::PerformRpcRequest,
) -> Result<proto::PerformRpcResponse, Error> {
    caller.administers(&request.room)?;
    if request.destination_identity.is_empty() {
        return Err(Error::invalid("destination identity cannot be empty"));
    }
    if request.method.is_empty() {
        return Err(Error::invalid("method cannot be empty"));
    }
    let timeout = match request.response_timeout_ms {
        0 => RPC_TIMEOUT,
        millis => Duration::from_millis(millis.into()).min(RPC_TIMEOUT_MAX),
    };
    let command = Admin::PerformRpc {
        identity: request.destination_identity,
        method: request.method,
        payload: request.payload,
        timeout,
    };
    match caller.ask(&request.room, command).await.map_err(about_participant)? {
        AdminReply::Payload(payload) => Ok(proto::PerformRpcResponse { payload }),
        _ => Err(out_of_step()),
    }
}

fn may_send_to(caller: &Caller, room: &str, destination: &str) -> Result<(), Error> {
    caller.administers(room)?;
    caller.may(|video| !destination.is_empty() && video.destination_room == destination)?;
    if room == destination {
        return Err(Error::invalid("room and destination room are the same"));
    }
    let rooms = &caller.shared.config().rooms;
    if destination.len() > rooms.max_name {
        return Err(Error::invalid(format!("destination room exceeds {} bytes", rooms.max_name)));
    }
    match caller.shared.directory.find(destination) {
        Err(NoRoom::Unknown) if rooms.auto_create => Ok(()),
        other => other.map(drop).map_err(Error::from),
    }
}

/// The other room runs, and takes a participant who is here.
async fn open_for(caller: &Caller, room: &str, identity: &str, destination: &str) -> Result<(), Error> {
    may_send_to(caller, room, destination)?;
    let here = Admin::Describe { identity: identity.to_owned() };
    let AdminReply::Described(who) = caller.ask(room, here).await.map_err(about_participant)? else {
        return Err(out_of_step());
    };
    caller.shared.open(destination, opening::Asked::default())?;
    // Its seat may be another's by the time of its arrival: then it is told so.
    caller.ask(destination, Admin::MayCome(who)).await?;
    Ok(())
}

async fn move_participant(
    caller: Caller,
    request: proto::MoveParticipantRequest,
) -> Result<proto::MoveParticipantResponse, Error> {
    let (room, identity, destination) = (request.room, request.identity, request.destination_room);
    open_for(&caller, &room, &identity, &destination).await?;
    let command = Admin::MoveParticipant { identity, destination };
    caller.ask(&room, command).await.map_err(about_participant)?;
    Ok(proto::MoveParticipantResponse {})
}

async fn forward_participant(
    caller: Caller,
    request: proto::ForwardParticipantRequest,
) -> Result<proto::ForwardParticipantResponse, Error> {
    let (room, identity, destination) = (request.room, request.identity, request.destination_room);
    open_for(&caller, &room, &identity, &destination).await?;
    let command = Admin::ForwardParticipant { identity, destination };
    caller.ask(&room, command).await.map_err(about_participant)?;
    Ok(proto::ForwardParticipantResponse {})
}
