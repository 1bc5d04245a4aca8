//! Participants who are in two rooms: both rooms as machines, with what passes between them.

use std::time::Duration;

use livekit_protocol as proto;
use proto::signal_response::Message;
use sfu::Command;

use super::world::*;
use crate::forwarding::Forwarded;
use crate::{Admin, AdminError, AdminReply, Config, Input, Mode, SessionId};

/// `alice` publishes in the first; `bob` is in the second.
fn rooms() -> (World, SessionId, World, SessionId) {
    let mut here = World::new(config());
    let mut request = request(Mode::Single);
    request.add_tracks = vec![microphone(), camera()];
    request.offer = Some(description("offer", single_publishing().to_string(), 1));
    let alice = here.join_with(claims("alice"), request);
    here.connect("alice");
    let mut there = World::new(Config { serial: 8, room: "other".into(), ..config() });
    let bob = there.join("bob", Mode::Dual);
    there.connect("bob");
    (here, alice, there, bob)
}

pub(super) fn forward(world: &mut World, identity: &str) -> Result<AdminReply, AdminError> {
    world.admin(Admin::ForwardParticipant { identity: identity.into(), destination: "other".into() })
}

/// Carries what the first room has told.
pub(super) fn carry(here: &mut World, there: &mut World) -> Vec<Forwarded> {
    let told: Vec<Forwarded> = std::mem::take(&mut here.forwarded);
    for forwarded in told.iter().cloned() {
        there.foreign.extend(forwarded.producers());
        there.handle(Input::Forwarded(Box::new(forwarded)));
    }
    told
}

/// The last that was said of a participant.
fn last_of(heard: &[Message], identity: &str) -> Option<proto::ParticipantInfo> {
    let updates = heard.iter().rev().filter_map(|m| if let Message::Update(u) = m { Some(u) } else { None });
    updates.flat_map(|u| u.participants.iter().rev()).find(|p| p.identity == identity).cloned()
}

#[test]
fn tracks_of_a_forwarded_participant_are_subscribed_in_the_other_room_and_it_stays_in_its_own() {
    let (mut here, alice, mut there, bob) = rooms();
    assert_eq!(forward(&mut here, "alice"), Ok(AdminReply::Done));
    carry(&mut here, &mut there);
    assert!(!here.ears[&alice].closed);
    there.pass(Duration::from_secs(1));
    let heard = there.hear(bob);
    let shadow = last_of(&heard, "alice").unwrap();
    assert_eq!(shadow.tracks.len(), 2);
    assert_eq!(shadow.state(), proto::participant_info::State::Active);
    assert_eq!(shadow.kind_details, [i32::from(proto::participant_info::KindDetail::Forwarded)]);
    assert!(heard.iter().any(|m| matches!(m, Message::Offer(_))), "bob is offered what alice sends");

    // Its producers are the first room's: the second must not end them.
    there.admin(Admin::RemoveParticipant { identity: "alice".into() }).unwrap();
    let ended = there.take_commands().iter().any(|c| matches!(c, Command::RemoveProducer { .. }));
    assert!(!ended && last_of(&there.hear(bob), "alice").unwrap().tracks.is_empty());
}

#[test]
fn what_changes_in_the_first_room_changes_in_the_second() {
    let (mut here, alice, mut there, bob) = rooms();
    forward(&mut here, "alice").unwrap();
    carry(&mut here, &mut there);
    let update = proto::UpdateParticipantRequest {
        identity: "alice".into(),
        name: "Al".into(),
        attributes: [("hand".to_owned(), "up".to_owned())].into(),
        ..Default::default()
    };
    here.admin(Admin::UpdateParticipant(Box::new(update))).unwrap();
    let sid = here.conference.room.by_identity("alice").unwrap().tracks[0].0.clone();
    let mute = proto::MuteTrackRequest { sid, muted: true };
    here.ask(alice, proto::signal_request::Message::Mute(mute));
    carry(&mut here, &mut there);
    let shadow = last_of(&there.hear(bob), "alice").unwrap();
    assert_eq!((shadow.name.as_str(), shadow.attributes["hand"].as_str()), ("Al", "up"));
    assert_eq!(shadow.tracks.iter().filter(|t| t.muted).count(), 1);
    here.ask(alice, proto::signal_request::Message::Leave(proto::LeaveRequest::default()));
    carry(&mut here, &mut there);
    let gone = last_of(&there.hear(bob), "alice").unwrap();
    assert_eq!(gone.state(), proto::participant_info::State::Disconnected);
}

#[test]
fn messages_that_are_late_repeated_or_lost_do_no_harm() {
    let (mut here, alice, mut there, bob) = rooms();
    forward(&mut here, "alice").unwrap();
    let first = std::mem::take(&mut here.forwarded);
    let sid = here.conference.room.by_identity("alice").unwrap().tracks[0].0.clone();
    let mute = proto::MuteTrackRequest { sid, muted: true };
    here.ask(alice, proto::signal_request::Message::Mute(mute));
    // The second before the first, which comes twice.
    let second = carry(&mut here, &mut there);
    for forwarded in first.iter().chain(&first).chain(&second) {
        there.handle(Input::Forwarded(Box::new(forwarded.clone())));
    }
    let shadow = last_of(&there.hear(bob), "alice").unwrap();
    assert_eq!(shadow.tracks.iter().filter(|t| t.muted).count(), 1);
    assert_eq!(there.conference.participants(), 2);
}

#[test]
fn one_that_the_other_room_sends_away_stays_away_until_it_is_forwarded_again() {
    let (mut here, alice, mut there, _) = rooms();
    forward(&mut here, "alice").unwrap();
    carry(&mut here, &mut there);
    there.admin(Admin::RemoveParticipant { identity: "alice".into() }).unwrap();
    let sid = here.conference.room.by_identity("alice").unwrap().tracks[0].0.clone();
    here.ask(alice, proto::signal_request::Message::Mute(proto::MuteTrackRequest { sid, muted: true }));
    carry(&mut here, &mut there);
    assert_eq!(there.conference.participants(), 1);
    forward(&mut here, "alice").unwrap();
    carry(&mut here, &mut there);
    assert_eq!(there.conference.participants(), 2);
    assert_eq!(forward(&mut here, "nobody"), Err(AdminError::NoParticipant));
    assert_eq!(forward(&mut there, "alice"), Err(AdminError::NotAllowed), "one that is forwarded itself");
}
