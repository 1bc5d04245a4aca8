//! Large rooms.

use std::collections::BTreeSet;
use std::time::Duration;

use livekit_protocol as proto;
use proto::participant_info::State;
use proto::signal_response::Message;

use super::world::*;
use crate::{Input, Mode, SessionId};

fn updates(heard: &[Message]) -> Vec<&proto::ParticipantUpdate> {
    heard.iter().filter_map(|m| if let Message::Update(u) = m { Some(u) } else { None }).collect()
}

/// So many people that news of more may wait.
fn crowd(world: &mut World, size: usize) -> Vec<SessionId> {
    (0..size)
        .map(|n| {
            let who = format!("p{n}");
            let session = world.join(&who, Mode::Single);
            world.connect(&who);
            session
        })
        .collect()
}

#[test]
fn a_crowd_is_told_of_together_and_nobody_is_missed() {
    let mut world = World::new(config());
    let first = crowd(&mut world, 1)[0];
    world.hear(first);
    // 200 in 20 s.
    for n in 1..200 {
        let who = format!("w{n}");
        world.join(&who, Mode::Single);
        world.connect(&who);
        world.pass(Duration::from_millis(100));
    }
    world.pass(Duration::from_secs(2));
    let heard = world.hear(first);
    let told = updates(&heard);
    let active = told.iter().flat_map(|u| &u.participants).filter(|p| p.state() == State::Active);
    let names: BTreeSet<_> = active.map(|p| p.identity.clone()).collect();
    assert_eq!(names.len(), 199, "everybody, and connected");
    assert!(told.len() < 70, "{} updates", told.len());
    // Nothing is left to be told.
    world.pass(Duration::from_secs(3));
    assert!(updates(&world.hear(first)).is_empty());
}

#[test]
fn publishers_changes_and_departures_do_not_wait() {
    let mut world = World::new(config());
    let people = crowd(&mut world, 30);
    world.pass(Duration::from_secs(2));
    let viewer = people[0];
    world.hear(viewer);
    let late = world.join("late", Mode::Dual);
    assert!(updates(&world.hear(viewer)).is_empty());
    // Whoever publishes is told of at once, and not again with the batch.
    world.ask(late, proto::signal_request::Message::AddTrack(camera()));
    let offer = description("offer", CHROMIUM_PUBLISHER, 1);
    world.ask(late, proto::signal_request::Message::Offer(offer));
    assert_eq!(updates(&world.hear(viewer))[0].participants[0].identity, "late");
    world.pass(Duration::from_secs(2));
    assert!(updates(&world.hear(viewer)).is_empty());
    // Somebody who sends data is told of before.
    world.join("talker", Mode::Single);
    let peer = world.peers_of("talker")[0];
    let packet = proto::DataPacket {
        value: Some(proto::data_packet::Value::User(proto::UserPacket::default())),
        ..Default::default()
    };
    let payload = prost::Message::encode_to_vec(&packet).into();
    world.handle(Input::Media(sfu::Event::Data { peer, label: "_reliable".into(), payload }));
    assert_eq!(updates(&world.hear(viewer))[0].participants[0].identity, "talker");
    // Whoever goes before the others have heard of them is told of once, as gone.
    let brief = world.join("brief", Mode::Single);
    world.ask(brief, proto::signal_request::Message::Leave(proto::LeaveRequest::default()));
    world.pass(Duration::from_secs(2));
    let heard = world.hear(viewer);
    let states: Vec<_> = updates(&heard).iter().flat_map(|u| &u.participants).map(|p| p.state()).collect();
    assert_eq!(states, [State::Disconnected]);
    // A small room hears at once.
    let mut small = World::new(config());
    let one = small.join("one", Mode::Single);
    small.hear(one);
    small.join("two", Mode::Single);
    assert_eq!(updates(&small.hear(one)).len(), 1);
}

#[test]
fn a_batch_is_no_larger_than_it_should_be() {
    let mut world = World::new(config());
    let viewer = crowd(&mut world, 30)[0];
    world.pass(Duration::from_secs(2));
    world.hear(viewer);
    for n in 0..10 {
        let mut claims = claims(&format!("big{n}"));
        claims.metadata = "m".repeat(60_000);
        world.join_with(claims, request(Mode::Single));
    }
    world.pass(Duration::from_secs(2));
    let heard = world.hear(viewer);
    let told = updates(&heard);
    assert_eq!(told.iter().map(|u| u.participants.len()).sum::<usize>(), 10);
    assert!(told.len() >= 3 && told.iter().all(|u| prost::Message::encoded_len(*u) < 200_000));
}
