//! Clients that ask faster than anybody needs to.

use std::time::Duration;

use livekit_protocol as proto;
use proto::request_response::Reason;
use proto::signal_request::Message as Ask;
use proto::signal_response::Message;

use super::world::*;
use crate::Mode;

fn refusals(heard: &[Message]) -> Vec<(u32, Reason)> {
    let of = |m: &Message| match m {
        Message::RequestResponse(r) => Some((r.request_id, r.reason())),
        _ => None,
    };
    heard.iter().filter_map(of).filter(|(_, reason)| *reason != Reason::Ok).collect()
}

#[test]
fn a_flood_of_changes_is_refused_one_by_one_and_told_to_nobody() {
    let mut config = config();
    config.limits.updates = crate::Rate { burst: 3, per_second: 1 };
    let mut world = World::new(config);
    let mut claims = claims("alice");
    claims.video.as_mut().unwrap().can_update_own_metadata = Some(true);
    let alice = world.join_with(claims, request(Mode::Dual));
    let bob = world.join("bob", Mode::Dual);
    world.hear(alice);
    world.hear(bob);
    let change = |request_id: u32| {
        Ask::UpdateMetadata(proto::UpdateParticipantMetadata {
            metadata: format!("m{request_id}"),
            request_id,
            ..Default::default()
        })
    };
    (1..=10).for_each(|n| world.ask(alice, change(n)));
    let refused = refusals(&world.hear(alice));
    assert_eq!(refused, (4..=10).map(|n| (n, Reason::LimitExceeded)).collect::<Vec<_>>());
    let updates = world.hear(bob).iter().filter(|m| matches!(m, Message::Update(_))).count();
    assert_eq!(updates, 3);
    world.pass(Duration::from_secs(1));
    world.hear(alice);
    world.ask(alice, change(11));
    assert_eq!(refusals(&world.hear(alice)), []);
}

#[test]
fn a_flood_of_requests_is_refused_and_what_keeps_the_connection_is_not() {
    let mut config = config();
    config.limits.requests = crate::Rate { burst: 5, per_second: 1 };
    let floods = [
        Ask::Trickle(proto::TrickleRequest::default()),
        Ask::Subscription(proto::UpdateSubscription {
            track_sids: vec!["TR_x".into()],
            subscribe: true,
            ..Default::default()
        }),
        Ask::TrackSetting(proto::UpdateTrackSettings::default()),
        Ask::SubscriptionPermission(proto::SubscriptionPermission::default()),
        Ask::Mute(proto::MuteTrackRequest::default()),
    ];
    for ask in floods {
        let mut world = World::new(config.clone());
        let alice = world.join("alice", Mode::Dual);
        world.hear(alice);
        (0..5).for_each(|_| world.ask(alice, ask.clone()));
        let over = refusals(&world.hear(alice)).iter().filter(|(_, r)| *r == Reason::LimitExceeded).count();
        assert_eq!(over, 0, "{ask:?}");
        (0..100).for_each(|_| world.ask(alice, ask.clone()));
        let over = refusals(&world.hear(alice)).iter().filter(|(_, r)| *r == Reason::LimitExceeded).count();
        assert_eq!(over, 100, "{ask:?}");
        world.ask(alice, Ask::Ping(1));
        assert!(world.hear(alice).iter().any(|m| matches!(m, Message::Pong(_))), "{ask:?}");
        world.ask(alice, Ask::Leave(proto::LeaveRequest::default()));
        assert_eq!(world.conference.participants(), 0, "{ask:?}");
    }
}

#[test]
fn subscriptions_to_more_than_there_can_be_are_refused_at_once_and_soon_forgotten() {
    let mut config = config();
    config.rules.unresolved_timeout = Duration::from_secs(5);
    let mut world = World::new(config);
    let alice = world.join("alice", Mode::Dual);
    world.hear(alice);
    let track_sids: Vec<String> = (0..3000).map(|n| format!("TR_{n}")).collect();
    world.ask(
        alice,
        Ask::Subscription(proto::UpdateSubscription { track_sids, subscribe: true, ..Default::default() }),
    );
    let unknown = |heard: &[Message]| {
        let of = |m: &&Message| matches!(m, Message::SubscriptionResponse(r) if r.err() == proto::SubscriptionError::SeTrackNotfound);
        heard.iter().filter(of).count()
    };
    let at_once = unknown(&world.hear(alice));
    assert!((1900..=2000).contains(&at_once), "{at_once}");
    world.pass(Duration::from_secs(6));
    assert_eq!(unknown(&world.hear(alice)), 3000 - at_once);
}

#[test]
fn a_flood_of_data_is_dropped_beyond_the_rate_and_its_sender_told_once_a_second() {
    let mut config = config();
    config.limits.data = crate::Rate { burst: 10, per_second: 5 };
    let mut world = World::new(config);
    let alice = world.join("alice", Mode::Single);
    let bob = world.join("bob", Mode::Single);
    for identity in ["alice", "bob"] {
        world.connect(identity);
    }
    world.hear(alice);
    world.take_commands();
    let (from, other) = (world.peers_of("alice")[0], world.peers_of("bob")[0]);
    let send = |world: &mut World, peer, label: &str| {
        let user = proto::UserPacket { payload: b"x".to_vec(), ..Default::default() };
        let packet =
            proto::DataPacket { value: Some(proto::data_packet::Value::User(user)), ..Default::default() };
        let payload = prost::Message::encode_to_vec(&packet).into();
        world.handle(crate::Input::Media(sfu::Event::Data { peer, label: label.into(), payload }));
        world.take_commands().iter().filter(|c| matches!(c, sfu::Command::SendData { .. })).count()
    };
    let passed: usize =
        (0..100).map(|n| send(&mut world, from, ["_reliable", "_lossy", "_data_track"][n % 3])).sum();
    // Frames of no track go nowhere, and count.
    assert_eq!(passed, 7);
    assert_eq!(refusals(&world.hear(alice)), [(0, Reason::LimitExceeded)]);
    assert_eq!(world.conference.take_data_refused(), 90);
    assert_eq!((world.conference.take_data_refused(), send(&mut world, other, "_reliable")), (0, 1));
    world.pass(Duration::from_secs(1));
    let passed: usize = (0..10).map(|_| send(&mut world, from, "_reliable")).sum();
    assert_eq!(passed, 5);
    assert_eq!(refusals(&world.hear(alice)), [(0, Reason::LimitExceeded)]);
    assert_eq!(refusals(&world.hear(bob)), []);
}
