//! Clients that ask faster than anybody needs to.

use std::time::Duration;

use livekit_protocol as proto;
use proto::request_response::Reason;
use proto::signal_request::Message as Ask;
use proto::signal_response::Message;

use super::publishing::{offer, tracks_of};
use super::resume::connected;
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
fn a_flood_of_offers_ends_in_a_fresh_start() {
    let mut config = config();
    config.limits.descriptions = crate::Rate { burst: 5, per_second: 1 };
    for ask in [offer(1), Ask::SyncState(proto::SyncState::default())] {
        let mut world = World::new(config.clone());
        let alice = world.join("alice", Mode::Dual);
        for _ in 0..10 {
            world.pass(Duration::from_secs(1));
            world.ask(alice, ask.clone());
        }
        assert_eq!(world.conference.participants(), 1, "{ask:?}");
        (0..5).for_each(|_| world.ask(alice, ask.clone()));
        let leave = last(&world.hear(alice), a_leave);
        assert_eq!(leave.action(), proto::leave_request::Action::Reconnect);
        assert_eq!(world.conference.participants(), 0, "{ask:?}");
    }
}

#[test]
fn a_request_that_names_many_tracks_counts_for_several() {
    let mut config = config();
    config.limits.requests = crate::Rate { burst: 20, per_second: 1 };
    let mut world = World::new(config);
    let alice = world.join("alice", Mode::Dual);
    world.hear(alice);
    let track_sids: Vec<String> = (0..1000).map(|n| format!("TR_{n}")).collect();
    let ask = Ask::TrackSetting(proto::UpdateTrackSettings { track_sids, ..Default::default() });
    (0..3).for_each(|_| world.ask(alice, ask.clone()));
    assert_eq!(refusals(&world.hear(alice)).len(), 2);
}

#[test]
fn of_a_flood_of_settings_the_first_and_the_last_count() {
    let mut world = World::new(config());
    let alice = connected(&mut world, "alice", Mode::Dual);
    let bob = connected(&mut world, "bob", Mode::Dual);
    world.ask(alice, Ask::AddTrack(camera()));
    world.ask(alice, offer(1));
    world.pass(Duration::from_millis(100));
    let offered = last(&world.hear(bob), an_offer);
    world.ask(bob, Ask::Answer(answer_to(&offered)));
    world.pass(Duration::from_secs(1));
    let sid = tracks_of(&world, "alice")[0].sid.clone();
    let set = |world: &mut World, quality: i32| {
        let track_sids = vec![sid.clone(), "TR_none".into(), sid.clone()];
        world.ask(
            bob,
            Ask::TrackSetting(proto::UpdateTrackSettings { track_sids, quality, ..Default::default() }),
        );
    };
    let wishes = |world: &mut World| -> Vec<u8> {
        let spatial = |c: &sfu::Command| match c {
            sfu::Command::SetWish { wish, .. } => Some(wish.max_spatial),
            _ => None,
        };
        world.take_commands().iter().filter_map(spatial).collect()
    };
    world.hear(alice);
    wishes(&mut world);
    (0..=100).for_each(|n| set(&mut world, n % 2));
    assert_eq!(wishes(&mut world), [0]);
    set(&mut world, 1);
    world.pass(Duration::from_millis(100));
    assert_eq!(wishes(&mut world), [1]);
    // What is changed now and then is done at once.
    world.pass(Duration::from_secs(1));
    assert!(wishes(&mut world).is_empty());
    set(&mut world, 0);
    assert_eq!(wishes(&mut world), [0]);
    let told = world.hear(alice).iter().filter(|m| matches!(m, Message::SubscribedQualityUpdate(_))).count();
    assert!(told <= 3, "the publisher hears of it {told} times");
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

#[test]
fn changes_in_a_row_are_all_made_and_the_others_hear_the_last_of_them() {
    let mut config = config();
    config.limits.updates = crate::Rate { burst: 3, per_second: 1 };
    let mut world = World::new(config);
    let (alice, bob) = (world.join("alice", Mode::Dual), world.join("bob", Mode::Dual));
    world.hear(alice);
    world.hear(bob);
    let tracks = |heard: &[Message]| -> Vec<usize> {
        let of = |m: &Message| match m {
            Message::Update(update) => update.participants.first().map(|p| p.data_tracks.len()),
            _ => None,
        };
        heard.iter().filter_map(of).collect()
    };
    for n in 1..=10u32 {
        let request =
            proto::PublishDataTrackRequest { pub_handle: n, name: format!("{n}"), ..Default::default() };
        world.ask(alice, Ask::PublishDataTrackRequest(request));
    }
    assert_eq!(tracks(&world.hear(bob)), [1, 2, 3]);
    let heard = world.hear(alice);
    assert_eq!(refusals(&heard), []);
    assert_eq!(tracks(&heard).last(), Some(&10), "she knows herself");
    world.pass(Duration::from_secs(2));
    assert_eq!(tracks(&world.hear(bob)), [10]);
}

#[test]
fn large_metadata_is_told_less_often() {
    let mut config = config();
    config.limits.updates = crate::Rate { burst: 20, per_second: 1 };
    let mut world = World::new(config);
    let mut claims = claims("alice");
    claims.video.as_mut().unwrap().can_update_own_metadata = Some(true);
    let alice = world.join_with(claims, request(Mode::Dual));
    let bob = world.join("bob", Mode::Dual);
    world.hear(alice);
    world.hear(bob);
    for request_id in 1..=10 {
        let metadata = "m".repeat(200_000);
        let update = proto::UpdateParticipantMetadata { metadata, request_id, ..Default::default() };
        world.ask(alice, Ask::UpdateMetadata(update));
    }
    assert_eq!(world.hear(bob).iter().filter(|m| matches!(m, Message::Update(_))).count(), 1);
    assert_eq!(refusals(&world.hear(alice)).len(), 9);
    world.pass(Duration::from_secs(20));
    world.hear(alice);
    let update = proto::UpdateParticipantMetadata { metadata: "m".into(), ..Default::default() };
    world.ask(alice, Ask::UpdateMetadata(update));
    assert_eq!(refusals(&world.hear(alice)), []);
}

#[test]
fn what_everybody_is_told_of_a_track_is_no_longer_than_words_are() {
    let mut world = World::new(config());
    let alice = world.join("alice", Mode::Dual);
    world.hear(alice);
    let with = |codec: &str, cid: &str| {
        let codec = proto::SimulcastCodec { codec: codec.into(), cid: cid.into(), ..Default::default() };
        Ask::AddTrack(proto::AddTrackRequest { simulcast_codecs: vec![codec], ..camera() })
    };
    let long = "x".repeat(1000);
    for ask in [with("vp8", &long), with(&long, "cid")] {
        world.ask(alice, ask);
        assert_eq!(refusals(&world.hear(alice)), [(0, Reason::LimitExceeded)]);
    }
    world.ask(alice, with("vp8", "cid"));
    assert_eq!(refusals(&world.hear(alice)), []);
}
