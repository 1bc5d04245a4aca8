//! `livekit.AgentDispatchService`: which agents a room is to have.

use livekit_protocol as proto;
use signal::Admin;

use super::{Answer, Call, Caller, Code, Error};
use crate::opening;

pub(super) async fn serve(method: &str, call: Call) -> Answer {
    match method {
        "CreateDispatch" => call.answer(create).await,
        "DeleteDispatch" => call.answer(delete).await,
        "ListDispatch" => call.answer(list).await,
        _ => Ok(None),
    }
}

async fn create(
    caller: Caller,
    request: proto::CreateAgentDispatchRequest,
) -> Result<proto::AgentDispatch, Error> {
    caller.administers(&request.room)?;
    let config = caller.shared.config();
    if request.room.is_empty() || request.room.len() > config.rooms.max_name {
        return Err(Error::invalid("room name is empty or too long"));
    }
    if request.metadata.len() > config.rooms.rules.max_metadata {
        return Err(Error::invalid(format!("metadata exceeds {} bytes", config.rooms.rules.max_metadata)));
    }
    let entry = match config.rooms.auto_create {
        true => caller.shared.open(&request.room, opening::Asked::default())?,
        false => caller.shared.directory.running(&request.room).ok_or_else(Error::no_room)?,
    };
    // Once it answers it has told of its start.
    entry.ask(Admin::GetRoom).await.ok_or_else(Error::no_room)??;
    let wanted = proto::RoomAgentDispatch {
        agent_name: request.agent_name,
        metadata: request.metadata,
        restart_policy: request.restart_policy,
        deployment: request.deployment,
        attributes: request.attributes,
    };
    caller
        .shared
        .create_dispatch(&request.room, wanted)
        .ok_or_else(|| Error::new(Code::FailedPrecondition, "the room has too many dispatches, or is over"))
}

fn no_dispatch() -> Error {
    Error::new(Code::NotFound, "agent dispatch not found")
}

async fn delete(
    caller: Caller,
    request: proto::DeleteAgentDispatchRequest,
) -> Result<proto::AgentDispatch, Error> {
    caller.administers(&request.room)?;
    caller.shared.delete_dispatch(&request.room, &request.dispatch_id).ok_or_else(no_dispatch)
}

async fn list(
    caller: Caller,
    request: proto::ListAgentDispatchRequest,
) -> Result<proto::ListAgentDispatchResponse, Error> {
    caller.administers(&request.room)?;
    let mut agent_dispatches = caller.shared.dispatches(&request.room);
    if !request.dispatch_id.is_empty() {
        agent_dispatches.retain(|dispatch| dispatch.id == request.dispatch_id);
    }
    Ok(proto::ListAgentDispatchResponse { agent_dispatches })
}
