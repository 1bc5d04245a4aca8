//! Commands of the server API that take time or lead elsewhere.

use std::time::Duration;

use livekit_protocol as proto;
use prost::Message as _;
use prost::bytes::Bytes;
use proto::data_packet::Value;
use proto::leave_request::Action;
use proto::rpc_response::Value as Answer;
use proto::signal_response::Message;
use sfu::Command;

use super::publishing::{offer, tracks_of};
use super::world::*;
use crate::{Admin, AdminError, AdminReply, Input, Mode, SessionId};

const TIMEOUT: Duration = Duration::from_secs(10);

/// A room in which `alice` has been called; the id of the call.
fn called(world: &mut World) -> String {
    let command = Admin::PerformRpc {
        identity: "alice".into(),
        method: "sum".into(),
        payload: "1,2".into(),
        timeout: TIMEOUT,
    };
    world.take_commands();
    world.handle(Input::Admin { ticket: 9, command: Box::new(command) });
    assert!(world.replies.is_empty(), "the answer is the participant's");
    let peer = world.peers_of("alice")[0];
    let commands = world.take_commands();
    let [Command::SendData { peers, label: "_reliable", payload }] = &commands[..] else {
        panic!("{commands:?}")
    };
    assert_eq!(*peers, [peer]);
    let packet = proto::DataPacket::decode(payload.clone()).unwrap();
    let Some(Value::RpcRequest(request)) = packet.value else { panic!() };
    assert_eq!((request.method.as_str(), request.payload.as_str(), request.version), ("sum", "1,2", 1));
    assert_eq!(request.response_timeout_ms, 10_000);
    assert_eq!(packet.participant_identity, "alice", "its answer has to go somewhere");
    request.id
}

fn room() -> World {
    let mut world = World::new(config());
    for identity in ["alice", "bob"] {
        world.join(identity, Mode::Single);
        world.connect(identity);
    }
    world
}

fn says(world: &mut World, who: &str, value: Value) {
    let packet = proto::DataPacket {
        destination_identities: vec!["alice".into()],
        value: Some(value),
        ..proto::DataPacket::default()
    };
    let peer = world.peers_of(who)[0];
    let payload = Bytes::from(packet.encode_to_vec());
    world.handle(Input::Media(sfu::Event::Data { peer, label: "_reliable".into(), payload }));
}

fn ack(id: &str) -> Value {
    Value::RpcAck(proto::RpcAck { request_id: id.into() })
}

fn response(id: &str, value: Answer) -> Value {
    Value::RpcResponse(proto::RpcResponse { request_id: id.into(), value: Some(value) })
}

fn code(world: &mut World) -> u32 {
    match world.replies.pop() {
        Some(Err(AdminError::Rpc { code, .. })) => code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_called_method_answers_once_and_to_nobody_else() {
    let mut world = room();
    let id = called(&mut world);
    says(&mut world, "alice", ack(&id));
    // Past the time for the acknowledgement, within that for the answer.
    world.pass(Duration::from_secs(9));
    assert!(world.replies.is_empty());
    says(&mut world, "bob", response(&id, Answer::Payload("forged".into())));
    assert!(world.replies.is_empty(), "only who was asked may answer");
    world.take_commands();
    says(&mut world, "alice", response(&id, Answer::Payload("3".into())));
    assert_eq!(world.replies.pop(), Some(Ok(AdminReply::Payload("3".into()))));
    says(&mut world, "alice", response(&id, Answer::Payload("4".into())));
    assert!(world.replies.is_empty(), "the second answer is to nothing");
    assert!(!world.take_commands().iter().any(|c| matches!(c, Command::SendData { .. })));
    world.pass(Duration::from_secs(30));
    assert!(world.replies.is_empty());
}

#[test]
fn everybody_is_told_where_a_participant_is() {
    let mut config = config();
    config.server.region = "mars".into();
    let mut world = World::new(config);
    world.join("alice", Mode::Single);
    let Ok(AdminReply::Participants(all)) = world.admin(Admin::ListParticipants) else { panic!() };
    assert_eq!(all[0].region, "mars");
}

#[test]
fn an_answer_may_be_an_error_and_may_come_without_acknowledgement() {
    let mut world = room();
    let id = called(&mut world);
    let error = proto::RpcError { code: 1400, message: "no such method".into(), data: "d".into() };
    says(&mut world, "alice", response(&id, Answer::Error(error)));
    let expected = AdminError::Rpc { code: 1400, message: "no such method".into(), data: "d".into() };
    assert_eq!(world.replies.pop(), Some(Err(expected)));
}

#[test]
fn silence_is_told_apart() {
    let mut world = room();
    called(&mut world);
    world.pass(Duration::from_secs(6));
    assert!(world.replies.is_empty());
    world.pass(Duration::from_secs(1));
    assert_eq!(code(&mut world), 1501, "not even acknowledged");
    let id = called(&mut world);
    says(&mut world, "alice", ack(&id));
    world.pass(TIMEOUT);
    assert_eq!(code(&mut world), 1502, "acknowledged, and nothing more");
}

#[test]
fn whoever_leaves_answers_no_more() {
    let mut world = room();
    let id = called(&mut world);
    says(&mut world, "alice", ack(&id));
    world.handle(Input::Admin { ticket: 1, command: Box::new(Admin::DeleteRoom) });
    assert_eq!(
        world.replies.remove(0),
        Err(AdminError::Rpc { code: 1503, message: "the participant has left".into(), data: String::new() })
    );
    assert_eq!(world.replies, [Ok(AdminReply::Done)]);
    assert!(world.ended);
}

#[test]
fn calls_that_cannot_be_made_are_refused_at_once() {
    let mut world = room();
    let call = |identity: &str, payload: String| Admin::PerformRpc {
        identity: identity.into(),
        method: "m".into(),
        payload,
        timeout: TIMEOUT,
    };
    assert_eq!(world.admin(call("nobody", String::new())), Err(AdminError::NoParticipant));
    let refused = world.admin(call("alice", "x".repeat(15 * 1024 + 1)));
    assert!(matches!(refused, Err(AdminError::Rpc { code: 1402, .. })), "{refused:?}");
}

#[test]
fn who_is_not_connected_yet_is_moved_by_a_token_and_told_to_join_afresh() {
    let mut world = World::new(config());
    let alice = world.join("alice", Mode::Single);
    let bob = world.join("bob", Mode::Dual);
    world.hear(alice);
    world.hear(bob);
    world.tokens.clear();
    let command =
        |identity: &str| Admin::MoveParticipant { identity: identity.into(), destination: "attic".into() };
    assert_eq!(world.admin(command("nobody")), Err(AdminError::NoParticipant));
    assert_eq!(world.admin(command("alice")), Ok(AdminReply::Done));
    let (to, claims) = world.tokens.pop().unwrap();
    assert_eq!((to, claims.video.unwrap().room.as_str()), (alice, "attic"));
    let leave = last(&world.hear(alice), a_leave);
    assert_eq!(leave.action(), Action::Reconnect);
    assert_eq!(leave.reason(), proto::DisconnectReason::Migration);
    assert!(world.ears[&alice].closed);
    let heard = world.hear(bob);
    assert!(heard.iter().any(|m| matches!(m, Message::Update(u) if u.participants.iter().any(|p|
        p.identity == "alice" && p.state() == proto::participant_info::State::Disconnected))));
    // Once: it is not here any more.
    assert_eq!(world.admin(command("alice")), Err(AdminError::NoParticipant));
    world.handle(Input::SocketClosed { session: alice });
    assert_eq!(world.conference.participants(), 1);
}

#[test]
fn a_room_that_is_over_says_nothing() {
    let mut world = World::new(config());
    assert_eq!(world.admin(Admin::DeleteRoom), Ok(AdminReply::Done));
    assert!(world.ended);
    world.handle(Input::Admin { ticket: 2, command: Box::new(Admin::GetRoom) });
    assert!(world.replies.is_empty());
}

/// Alice, and a second connection of hers to publish.
pub(super) fn twins(world: &mut World) -> [SessionId; 2] {
    let alice = world.join("alice", Mode::Dual);
    let mut asked = request(Mode::Dual);
    asked.publish = Some("screen".into());
    let twin = world.join_with(claims("alice#screen"), asked);
    [alice, twin]
}

#[test]
fn what_a_participant_may_not_its_second_connection_may_not() {
    let mut world = World::new(config());
    let [_, twin] = twins(&mut world);
    world.join("alice#other", Mode::Dual);
    world.ask(twin, proto::signal_request::Message::AddTrack(camera()));
    world.ask(twin, offer(1));
    assert_eq!(tracks_of(&world, "alice#screen").len(), 1);
    let permission = proto::ParticipantPermission { can_subscribe: true, ..Default::default() };
    let update = proto::UpdateParticipantRequest {
        identity: "alice".into(),
        permission: Some(permission),
        ..Default::default()
    };
    world.admin(Admin::UpdateParticipant(Box::new(update))).unwrap();
    assert_eq!(tracks_of(&world, "alice#screen").len(), 0, "what it published has ended");
    let may = |identity: &str| {
        let participant = world.conference.room.by_identity(identity).unwrap();
        let may = &participant.who.permission;
        (may.can_publish, may.can_publish_data, may.can_subscribe)
    };
    assert_eq!(may("alice#screen"), (false, false, false));
    assert_eq!(may("alice#other"), (true, true, true), "only looks like one");
    // Its tokens are those of whom it belongs to, and end with them.
    let (_, renewed) = world.tokens.iter().rev().find(|(session, _)| *session == twin).unwrap();
    assert_eq!(renewed.identity, "alice");
    assert_eq!(renewed.video.as_ref().unwrap().can_publish, Some(false));
}

#[test]
fn with_a_participant_goes_its_second_connection() {
    let mut world = World::new(config());
    let [alice, twin] = twins(&mut world);
    world.admin(Admin::RemoveParticipant { identity: "alice".into() }).unwrap();
    assert!(world.ears[&alice].closed && world.ears[&twin].closed);
    let [alice, twin] = twins(&mut world);
    world.ask(alice, proto::signal_request::Message::Leave(proto::LeaveRequest::default()));
    assert!(!world.ears[&twin].closed);
    world.admin(Admin::RemoveParticipant { identity: "alice".into() }).unwrap();
    assert!(world.ears[&twin].closed);
    let gone = world.admin(Admin::RemoveParticipant { identity: "alice".into() });
    assert_eq!(gone, Err(AdminError::NoParticipant));
}
