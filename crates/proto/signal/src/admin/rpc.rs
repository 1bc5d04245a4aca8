//! Methods of participants' applications, called by the server API.
//!
//! The call goes out as if the participant had called itself: its answer is then addressed to a name that
//! exists, and nobody else hears of it. It is taken out of the data on its way back by its id.

use std::collections::BTreeMap;
use std::time::Duration;

use clock::Time;
use livekit_protocol as proto;
use prost::Message as _;
use prost::bytes::Bytes;
use proto::data_packet::Value;
use proto::rpc_response::Value as Answer;
use rand::Rng as _;
use room::ParticipantSid;

use crate::conference::Timer;
use crate::{AdminError, AdminReply, Conference, Output};

/// For the acknowledgement, as in LiveKit's clients.
const ACK_TIMEOUT: Duration = Duration::from_secs(7);
/// Bytes of a payload, as in LiveKit's clients for this version of calls.
const PAYLOAD_MAX: usize = 15 * 1024;
/// The version whose request is one packet.
const VERSION: u32 = 1;

/// What LiveKit's clients call what goes wrong.
mod code {
    pub(super) const REQUEST_TOO_LARGE: u32 = 1402;
    pub(super) const CONNECTION_TIMEOUT: u32 = 1501;
    pub(super) const RESPONSE_TIMEOUT: u32 = 1502;
    pub(super) const RECIPIENT_DISCONNECTED: u32 = 1503;
}

/// Calls that wait for their answer, by ticket.
pub(crate) type Calls = BTreeMap<u64, Call>;

#[derive(Debug)]
pub(crate) struct Call {
    /// As the participant knows it.
    id: String,
    participant: ParticipantSid,
    acknowledged: bool,
    /// When it is given up.
    deadline: std::time::Instant,
}

fn failed(code: u32, message: &str) -> AdminError {
    AdminError::Rpc { code, message: message.to_owned(), data: String::new() }
}

impl Conference {
    pub(super) fn call(
        &mut self,
        now: Time,
        ticket: u64,
        identity: &str,
        method: String,
        payload: String,
        timeout: Duration,
    ) -> Result<(), AdminError> {
        let participant = self.find(identity)?;
        if payload.len() > PAYLOAD_MAX {
            return Err(failed(code::REQUEST_TOO_LARGE, "request payload too large"));
        }
        let peer = self.sessions.get(&participant).ok_or(AdminError::NoParticipant)?.sending_peer();
        let id = format!("RPC_{:032x}", self.names.rng.random::<u128>());
        let request = proto::RpcRequest {
            id: id.clone(),
            method,
            payload,
            response_timeout_ms: u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX),
            version: VERSION,
            ..proto::RpcRequest::default()
        };
        let packet = proto::DataPacket {
            participant_identity: identity.to_owned(),
            destination_identities: vec![identity.to_owned()],
            value: Some(Value::RpcRequest(request)),
            ..proto::DataPacket::default()
        };
        let payload = Bytes::from(packet.encode_to_vec());
        self.command(sfu::Command::SendData { peers: vec![peer], label: crate::data::RELIABLE, payload });
        let deadline = now.mono + timeout;
        self.calls.insert(ticket, Call { id, participant, acknowledged: false, deadline });
        self.set_timer(deadline.min(now.mono + ACK_TIMEOUT), Timer::Call(ticket));
        Ok(())
    }

    /// Whether this packet answers a call of ours, and so goes to nobody else.
    pub(crate) fn on_call_answer(&mut self, sender: &ParticipantSid, packet: &Bytes) -> bool {
        if self.calls.is_empty() {
            return false;
        }
        let Ok(packet) = proto::DataPacket::decode(packet.clone()) else { return false };
        let of = |id: &str| {
            self.calls.iter().find(|(_, c)| c.id == id && c.participant == *sender).map(|(ticket, _)| *ticket)
        };
        match packet.value {
            Some(Value::RpcAck(ack)) => {
                let call = of(&ack.request_id).and_then(|ticket| self.calls.get_mut(&ticket));
                call.map(|call| call.acknowledged = true).is_some()
            }
            Some(Value::RpcResponse(response)) => {
                let Some(ticket) = of(&response.request_id) else { return false };
                self.end_call(ticket, answer(response.value));
                true
            }
            _ => false,
        }
    }

    pub(crate) fn check_call(&mut self, now: Time, ticket: u64) {
        let Some(call) = self.calls.get(&ticket) else { return };
        if !call.acknowledged {
            self.end_call(ticket, Err(failed(code::CONNECTION_TIMEOUT, "the participant does not answer")));
        } else if call.deadline <= now.mono {
            self.end_call(ticket, Err(failed(code::RESPONSE_TIMEOUT, "the method did not answer in time")));
        } else {
            let deadline = call.deadline;
            self.set_timer(deadline, Timer::Call(ticket));
        }
    }

    /// Nobody answers for who has gone.
    pub(crate) fn end_calls(&mut self, gone: &ParticipantSid) {
        let theirs: Vec<u64> =
            self.calls.iter().filter(|(_, c)| c.participant == *gone).map(|(ticket, _)| *ticket).collect();
        for ticket in theirs {
            self.end_call(ticket, Err(failed(code::RECIPIENT_DISCONNECTED, "the participant has left")));
        }
    }

    fn end_call(&mut self, ticket: u64, result: Result<AdminReply, AdminError>) {
        if self.calls.remove(&ticket).is_some() {
            self.output.push_back(Output::Reply { ticket, result });
        }
    }
}

fn answer(value: Option<Answer>) -> Result<AdminReply, AdminError> {
    match value {
        Some(Answer::Payload(payload)) => Ok(AdminReply::Payload(payload)),
        Some(Answer::Error(e)) => Err(AdminError::Rpc { code: e.code, message: e.message, data: e.data }),
        // Nobody who was asked in this version packs its answer.
        Some(Answer::CompressedPayload(_)) | None => Ok(AdminReply::Payload(String::new())),
    }
}
