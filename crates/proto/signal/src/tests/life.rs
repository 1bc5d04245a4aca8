//! Coming, staying and going.

use std::time::Duration;

use livekit_protocol as proto;
use proto::DisconnectReason;
use proto::leave_request::Action;
use proto::request_response::Reason;
use proto::signal_request::Message as Ask;
use proto::signal_response::Message;

use super::world::*;
use crate::{Admin, AdminError, AdminReply, Input, Mode};

#[test]
fn the_same_identity_replaces_the_one_before() {
    let mut world = World::new(config());
    let first = world.join("alice", Mode::Dual);
    let bob = world.join("bob", Mode::Single);
    let old = world.sid("alice");
    world.hear(bob);
    let second = world.join("alice", Mode::Dual);
    let leave = last(&world.hear(first), a_leave);
    assert_eq!((leave.reason(), leave.action()), (DisconnectReason::DuplicateIdentity, Action::Disconnect));
    assert!(world.ears[&first].closed);
    assert!(matches!(world.hear(second)[0], Message::Join(_)));
    let updates: Vec<_> = world
        .hear(bob)
        .into_iter()
        .filter_map(|m| match m {
            Message::Update(u) => Some((u.participants[0].sid.clone(), u.participants[0].state())),
            _ => None,
        })
        .collect();
    assert_eq!(updates[0], (old, proto::participant_info::State::Disconnected));
    assert_eq!(updates.last().unwrap().0, world.sid("alice"));
    // The old socket's end means nothing any more.
    world.handle(Input::SocketClosed { session: first });
    assert_eq!(world.conference.participants(), 2);
}

#[test]
fn who_never_connects_is_let_go_after_a_minute() {
    let mut world = World::new(config());
    let mut asked = request(Mode::Single);
    asked.offer = Some(description("offer", CHROMIUM_V1, 1));
    let alice = world.join_with(claims("alice"), asked);
    world.pass(Duration::from_secs(59));
    assert!(!world.ears[&alice].closed);
    world.pass(Duration::from_secs(2));
    assert_eq!(last(&world.hear(alice), a_leave).reason(), DisconnectReason::JoinFailure);
    assert_eq!(world.webhooks, ["room_started", "participant_connection_aborted"]);
    world.pass(Duration::from_secs(21));
    assert!(world.ended);
}

#[test]
fn an_empty_room_ends_in_time() {
    let mut world = World::new(config());
    world.pass(Duration::from_secs(299));
    assert!(!world.ended);
    world.pass(Duration::from_secs(2));
    assert!(world.ended);
    assert_eq!(world.conference.poll_timeout(), None);
}

#[test]
fn leaving_is_told_to_the_others() {
    let mut world = World::new(config());
    let alice = world.join("alice", Mode::Dual);
    let bob = world.join("bob", Mode::Dual);
    world.connect("alice");
    world.hear(alice);
    world.ask(alice, Ask::Leave(proto::LeaveRequest::default()));
    assert!(world.hear(alice).iter().all(|m| !matches!(m, Message::Leave(_))));
    assert!(world.ears[&alice].closed);
    let gone = last(&world.hear(bob), |m| match m {
        Message::Update(u) => Some(u.participants[0].clone()),
        _ => None,
    });
    assert_eq!(gone.state(), proto::participant_info::State::Disconnected);
    assert_eq!(gone.disconnect_reason(), DisconnectReason::ClientInitiated);
    // What it still says is heard by nobody.
    world.ask(alice, Ask::AddTrack(camera()));
}

#[test]
fn a_full_room_says_so_after_the_upgrade() {
    let mut config = config();
    config.rules.max_participants = 1;
    let mut world = World::new(config);
    world.join("alice", Mode::Dual);
    let bob = world.join("bob", Mode::Dual);
    let leave = last(&world.hear(bob), a_leave);
    assert_eq!((leave.reason(), leave.action()), (DisconnectReason::JoinFailure, Action::Disconnect));
    assert!(world.ears[&bob].closed);
    // Agents fill no seat, and whoever comes again takes their own.
    let mut agent = claims("agent");
    agent.kind = auth::Kind::Agent;
    let agent = world.join_with(agent, request(Mode::Dual));
    assert!(matches!(world.hear(agent)[0], Message::Join(_)));
    let again = world.join("alice", Mode::Dual);
    assert!(matches!(world.hear(again)[0], Message::Join(_)));
}

#[test]
fn shutdown_tells_everyone() {
    for (reconnect, action) in [(false, Action::Disconnect), (true, Action::Reconnect)] {
        let mut world = World::new(config());
        let alice = world.join("alice", Mode::Dual);
        let bob = world.join("bob", Mode::Single);
        world.handle(Input::Shutdown { reconnect });
        for session in [alice, bob] {
            let leave = last(&world.hear(session), a_leave);
            assert_eq!((leave.reason(), leave.action()), (DisconnectReason::ServerShutdown, action));
            assert!(world.ears[&session].closed);
        }
        assert!(world.ended && world.peers.is_empty());
    }
}

#[test]
fn pings_are_answered() {
    let mut world = World::new(config());
    let alice = world.join("alice", Mode::Dual);
    world.hear(alice);
    world.ask(alice, Ask::Ping(1));
    world.ask(alice, Ask::PingReq(proto::Ping { timestamp: 42, rtt: 3 }));
    let now = world.now.unix_millis();
    let heard = world.hear(alice);
    assert_eq!(heard[0], Message::Pong(now));
    assert_eq!(heard[1], Message::PongResp(proto::Pong { last_ping_timestamp: 42, timestamp: now }));
}

#[test]
fn profiles_change_with_permission_within_limits() {
    let mut world = World::new(config());
    let mut allowed = claims("alice");
    allowed.video.as_mut().unwrap().can_update_own_metadata = Some(true);
    let alice = world.join_with(allowed, request(Mode::Dual));
    let bob = world.join("bob", Mode::Dual);
    let update = |metadata: &str| {
        Ask::UpdateMetadata(proto::UpdateParticipantMetadata {
            metadata: metadata.into(),
            attributes: [("k".to_owned(), "v".to_owned())].into(),
            request_id: 5,
            ..Default::default()
        })
    };
    let answer = |world: &mut World, session| {
        last(&world.hear(session), |m| match m {
            Message::RequestResponse(r) => Some((r.request_id, r.reason())),
            _ => None,
        })
    };
    world.ask(alice, update("hello"));
    assert_eq!(answer(&mut world, alice), (5, Reason::Ok));
    let seen = last(&world.hear(bob), |m| match m {
        Message::Update(u) => Some(u.participants[0].clone()),
        _ => None,
    });
    assert_eq!((seen.metadata.as_str(), seen.attributes["k"].as_str()), ("hello", "v"));
    assert_eq!(world.tokens.last().unwrap().1.metadata, "hello");
    world.ask(alice, update(&"x".repeat(600_000)));
    assert_eq!(answer(&mut world, alice), (5, Reason::LimitExceeded));
    world.ask(bob, update("no"));
    assert_eq!(answer(&mut world, bob), (5, Reason::NotAllowed));
}

#[test]
fn hidden_participants_are_seen_by_nobody() {
    let mut world = World::new(config());
    let bob = world.join("bob", Mode::Dual);
    world.hear(bob);
    let mut hidden = claims("ghost");
    hidden.video.as_mut().unwrap().hidden = true;
    let ghost = world.join_with(hidden, request(Mode::Dual));
    world.ask(ghost, Ask::AddTrack(camera()));
    world.ask(ghost, Ask::Offer(description("offer", CHROMIUM_PUBLISHER, 1)));
    world.connect("ghost");
    world.ask(ghost, Ask::Leave(proto::LeaveRequest::default()));
    world.pass(Duration::from_secs(1));
    let about_ghost = world.hear(bob).iter().any(|m| matches!(m, Message::Update(_) | Message::Offer(_)));
    assert!(!about_ghost);
}

#[test]
fn the_server_api_sees_and_removes() {
    let mut world = World::new(config());
    let alice = world.join("alice", Mode::Dual);
    let Ok(AdminReply::Room(room)) = world.admin(Admin::GetRoom) else { panic!() };
    assert_eq!((room.num_participants, room.name.as_str()), (1, "room"));
    let remove = |identity: &str| Admin::RemoveParticipant { identity: identity.into() };
    assert_eq!(world.admin(remove("nobody")), Err(AdminError::NoParticipant));
    assert_eq!(world.admin(remove("alice")), Ok(AdminReply::Done));
    assert_eq!(last(&world.hear(alice), a_leave).reason(), DisconnectReason::ParticipantRemoved);
    let bob = world.join("bob", Mode::Dual);
    world.admin(Admin::UpdateRoomMetadata { metadata: "m".into() }).unwrap();
    assert!(world.hear(bob).iter().any(|m| matches!(m, Message::RoomUpdate(r)
        if r.room.as_ref().unwrap().metadata == "m")));
    world.admin(Admin::DeleteRoom).unwrap();
    assert_eq!(last(&world.hear(bob), a_leave).reason(), DisconnectReason::RoomDeleted);
    assert!(world.ended);
}

#[test]
fn tracks_that_never_come_are_reported() {
    let mut world = World::new(config());
    let alice = world.join("alice", Mode::Dual);
    let offer = last(&world.hear(alice), an_offer);
    world.ask(alice, Ask::Answer(answer_to(&offer)));
    world.connect("alice");
    let subscription = proto::UpdateSubscription {
        track_sids: vec!["TR_none".into()],
        subscribe: true,
        ..Default::default()
    };
    world.ask(alice, Ask::Subscription(subscription));
    world.pass(Duration::from_secs(61));
    let told = last(&world.hear(alice), |m| match m {
        Message::SubscriptionResponse(r) => Some((r.track_sid.clone(), r.err())),
        _ => None,
    });
    assert_eq!(told, ("TR_none".into(), proto::SubscriptionError::SeTrackNotfound));
}

#[test]
fn speakers_are_told_when_they_start_and_stop() {
    let mut world = World::new(config());
    let alice = world.join("alice", Mode::Dual);
    let bob = world.join("bob", Mode::Dual);
    world.ask(alice, Ask::AddTrack(microphone()));
    world.ask(alice, Ask::Offer(description("offer", CHROMIUM_PUBLISHER, 1)));
    let producer = *world.producers.keys().next().unwrap();
    let sid = world.sid("alice");
    let spoke = |heard: Vec<Message>| -> Vec<(String, bool)> {
        heard
            .into_iter()
            .filter_map(|m| if let Message::SpeakersChanged(s) = m { Some(s.speakers) } else { None })
            .flatten()
            .inspect(|s| assert!((0.0..=1.0).contains(&s.level) && (s.level * 8.0).fract() == 0.0))
            .map(|s| (s.sid, s.active))
            .collect()
    };
    for _ in 0..10 {
        let event = sfu::Event::AudioLevel { producer, loudest: 15, active_percent: 90 };
        world.handle(Input::Media(event));
        world.pass(Duration::from_millis(400));
    }
    assert!(spoke(world.hear(bob)).contains(&(sid.clone(), true)));
    assert!(spoke(world.hear(alice)).contains(&(sid.clone(), true)));
    world.pass(Duration::from_secs(3));
    assert_eq!(spoke(world.hear(bob)).last(), Some(&(sid, false)));
    world.pass(Duration::from_secs(3));
    assert!(spoke(world.hear(bob)).is_empty(), "silence is told once");
}
