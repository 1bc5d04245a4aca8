//! Participants who are moved with their connections: both rooms as machines, with what passes between them.

use std::time::Duration;

use livekit_protocol as proto;
use proto::signal_request::Message as Ask;
use proto::signal_response::Message;
use sfu::{Command, Event};

use super::resume::connected;
use super::world::*;
use super::{admin, data_tracks, forwarding, reliable, whip};
use crate::{Admin, AdminError, AdminReply, Config, Input, Mode, SessionId};

fn other(rules: room::Config) -> World {
    World::new(Config { serial: 8, room: "other".into(), rules, ..config() })
}

fn publisher(world: &mut World, identity: &str, mode: Mode) -> SessionId {
    let session = match mode {
        Mode::Single => {
            let mut request = request(Mode::Single);
            request.add_tracks = vec![microphone(), camera()];
            request.offer = Some(description("offer", single_publishing().to_string(), 1));
            world.join_with(claims(identity), request)
        }
        Mode::Dual => {
            let session = world.join(identity, Mode::Dual);
            let offer = last(&world.hear(session), an_offer);
            world.ask(session, Ask::Answer(answer_to(&offer)));
            world.ask(session, Ask::AddTrack(microphone()));
            world.ask(session, Ask::AddTrack(camera()));
            world.ask(session, Ask::Offer(description("offer", CHROMIUM_PUBLISHER, 1)));
            session
        }
    };
    world.connect(identity);
    session
}

fn order(here: &mut World, identity: &str, there: &World) {
    let destination = there.conference.name().to_owned();
    let command = Admin::MoveParticipant { identity: identity.into(), destination };
    assert_eq!(here.admin(command), Ok(AdminReply::Done));
}

fn move_alice(here: &mut World, there: &mut World) {
    order(here, "alice", there);
    there.take_migrants(here);
    there.pass(Duration::from_secs(1));
    here.pass(Duration::from_secs(1));
}

fn sids(world: &World, identity: &str) -> Vec<String> {
    let participant = world.conference.room.by_identity(identity).unwrap();
    participant.tracks.iter().map(|t| t.0.clone()).collect()
}

/// Whom `world` sends something that `identity` publishes.
fn consumers_of(world: &World, identity: &str) -> usize {
    let tracks = sids(world, identity);
    world.conference.consumers.values().filter(|(_, track)| tracks.contains(&track.0)).count()
}

#[test]
fn connections_and_tracks_go_along_and_everybody_else_is_another() {
    for mode in [Mode::Single, Mode::Dual] {
        let (mut here, mut there) = (World::new(config()), other(room::Config::default()));
        let alice = publisher(&mut here, "alice", mode);
        let bob = here.join("bob", Mode::Dual);
        here.connect("bob");
        let carol = publisher(&mut there, "carol", Mode::Single);
        let dan = there.join("dan", Mode::Dual);
        there.connect("dan");
        here.pass(Duration::from_secs(1));
        for who in [alice, bob] {
            here.hear(who);
        }
        for who in [carol, dan] {
            there.hear(who);
        }
        let (tracks, producers) = (sids(&here, "alice"), here.producers.len());
        here.take_commands();
        there.take_commands();
        here.webhooks.clear();
        there.webhooks.clear();
        let was = here.sid("alice");

        move_alice(&mut here, &mut there);
        let closes = |c: &Command| matches!(c, Command::ClosePeer { .. } | Command::RemoveProducer { .. });
        assert!(!here.take_commands().iter().any(closes) && !there.take_commands().iter().any(closes));
        assert_eq!((here.producers.len(), there.producers.len()), (0, producers + 2));
        assert_eq!(
            (sids(&there, "alice"), here.webhooks.last().unwrap().as_str()),
            (tracks, "participant_left")
        );
        assert_eq!(there.webhooks, ["participant_joined", "track_published", "track_published"]);
        let told = there.hear(alice);
        let Some(Message::RoomMoved(moved)) = told.first() else { panic!("{told:?}") };
        assert_eq!(moved.room.as_ref().unwrap().name, "other");
        assert_ne!(moved.participant.as_ref().unwrap().sid, was);
        let others: Vec<_> = moved.other_participants.iter().map(|p| p.identity.as_str()).collect();
        assert!(others.len() == 2 && others.contains(&"carol") && others.contains(&"dan"), "{others:?}");
        let asks = |m: &Message| matches!(m, Message::Offer(_) | Message::MediaSectionsRequirement(_));
        assert!(told.iter().any(asks), "{told:?}");
        assert_eq!(there.tokens.last().unwrap().1.video.as_ref().unwrap().room, "other");
        let gone = here.hear(bob);
        assert!(gone.iter().any(|m| matches!(m, Message::Update(u) if u.participants.iter().any(|p|
            p.identity == "alice" && p.state() == proto::participant_info::State::Disconnected))));
        let come = there.hear(dan);
        assert!(come.iter().any(|m| matches!(m, Message::Update(u) if u.participants.iter().any(|p|
            p.identity == "alice" && p.tracks.len() == 2))));
        // What she says and what is told of her counts in the other room alone.
        let track = sids(&there, "alice").remove(0);
        there.ask(alice, Ask::Mute(proto::MuteTrackRequest { sid: track.clone(), muted: true }));
        assert!(there.conference.room.track(&track.as_str().into()).unwrap().draft.muted);
        let peer = there.peers_of("alice")[0];
        here.handle(Input::Media(Event::Failed { peer, reason: sfu::FailReason::Closed }));
        there.ask(alice, Ask::Leave(proto::LeaveRequest::default()));
        assert!(
            there.take_commands().iter().any(|c| matches!(c, Command::ClosePeer { peer: p } if *p == peer))
        );
        assert_eq!((here.conference.participants(), there.conference.participants()), (1, 2));
        assert_eq!(there.producers.len(), 2, "carol's");
    }
}

#[test]
fn an_offer_that_is_out_is_answered_in_the_other_room() {
    let (mut here, mut there) = (World::new(config()), other(room::Config::default()));
    let carol = publisher(&mut there, "carol", Mode::Single);
    let alice = here.join("alice", Mode::Dual);
    here.connect("alice");
    let offers = |heard: Vec<Message>| heard.iter().filter_map(an_offer).collect::<Vec<_>>();
    let out = offers(here.hear(alice)).pop().unwrap();
    move_alice(&mut here, &mut there);
    there.hear(carol);
    assert!(offers(there.hear(alice)).is_empty(), "one at a time");
    there.ask(alice, Ask::Answer(answer_to(&out)));
    there.pass(Duration::from_secs(1));
    let next = offers(there.hear(alice)).pop().unwrap();
    assert_eq!(next.id, out.id + 1);
    there.ask(alice, Ask::Answer(answer_to(&next)));
    assert_eq!(consumers_of(&there, "carol"), 2);
    // One that is never answered ends her stay there, too.
    there.ask(carol, Ask::Leave(proto::LeaveRequest::default()));
    there.pass(Duration::from_secs(60));
    assert_eq!(there.conference.participants(), 0);
}

#[test]
fn whom_she_lets_subscribe_goes_along() {
    let (mut here, mut there) = (World::new(config()), other(room::Config::default()));
    let alice = publisher(&mut here, "alice", Mode::Single);
    there.join("bob", Mode::Dual);
    there.connect("bob");
    let nobody = proto::SubscriptionPermission { all_participants: false, track_permissions: Vec::new() };
    here.ask(alice, Ask::SubscriptionPermission(nobody));
    move_alice(&mut here, &mut there);
    assert_eq!(sids(&there, "alice").len(), 2);
    let bob = there.conference.room.by_identity("bob").unwrap();
    assert_eq!(bob.subscribed().count(), 0);
}

#[test]
fn whom_the_other_room_does_not_take_is_told_and_closed() {
    let rules = room::Config { max_participants: 1, ..room::Config::default() };
    let (mut here, mut there) = (World::new(config()), other(rules));
    let alice = publisher(&mut here, "alice", Mode::Dual);
    there.join("bob", Mode::Dual);
    there.take_commands();
    move_alice(&mut here, &mut there);
    let leave = last(&there.hear(alice), a_leave);
    assert_eq!(leave.reason(), proto::DisconnectReason::JoinFailure);
    assert!(there.ears[&alice].closed);
    let closed = there.take_commands().iter().filter(|c| matches!(c, Command::ClosePeer { .. })).count();
    assert_eq!((closed, there.conference.participants(), here.conference.participants()), (2, 1, 0));
}

#[test]
fn who_does_not_fit_is_known_before() {
    let rules = room::Config { max_participants: 1, ..room::Config::default() };
    let (mut here, mut there) = (World::new(config()), other(rules));
    connected(&mut here, "alice", Mode::Single);
    let mut asks = |there: &mut World| {
        let Ok(AdminReply::Described(who)) = here.admin(Admin::Describe { identity: "alice".into() }) else {
            panic!()
        };
        there.admin(Admin::MayCome(who))
    };
    assert_eq!(asks(&mut there), Ok(AdminReply::Done));
    there.join("alice", Mode::Dual);
    assert_eq!(asks(&mut there), Ok(AdminReply::Done), "she takes her own seat");
    there.admin(Admin::RemoveParticipant { identity: "alice".into() }).unwrap();
    there.join("bob", Mode::Dual);
    assert_eq!(asks(&mut there), Err(AdminError::Full));
}

#[test]
fn who_has_her_name_there_is_replaced() {
    let (mut here, mut there) = (World::new(config()), other(room::Config::default()));
    let alice = publisher(&mut here, "alice", Mode::Single);
    let namesake = publisher(&mut there, "alice", Mode::Dual);
    let old = sids(&there, "alice");
    move_alice(&mut here, &mut there);
    assert_eq!(last(&there.hear(namesake), a_leave).reason(), proto::DisconnectReason::DuplicateIdentity);
    assert!(!there.ears[&alice].closed && there.conference.participants() == 1);
    assert!(sids(&there, "alice").len() == 2 && sids(&there, "alice") != old);
    assert_eq!(there.producers.len(), 2);
}

#[test]
fn moved_on_and_back_she_is_where_she_was_sent_last() {
    for mode in [Mode::Single, Mode::Dual] {
        let (mut here, mut there) = (World::new(config()), other(room::Config::default()));
        let mut third = World::new(Config { serial: 9, room: "third".into(), ..config() });
        let alice = publisher(&mut here, "alice", mode);
        connected(&mut here, "bob", Mode::Dual);
        connected(&mut there, "carol", Mode::Single);
        let (tracks, peers) = (sids(&here, "alice"), here.peers_of("alice"));
        move_alice(&mut here, &mut there);
        move_alice(&mut there, &mut third);
        // Whatever is named meanwhile is named differently: the engine knows her by the names that she has from here.
        connected(&mut here, "dan", Mode::Dual);
        move_alice(&mut third, &mut here);
        assert_eq!((sids(&here, "alice"), here.peers_of("alice")), (tracks.clone(), peers));
        for track in tracks {
            assert_eq!(here.conference.room.track(&track.as_str().into()).unwrap().subscribers().count(), 2);
        }
        assert_eq!((there.conference.participants(), third.conference.participants()), (1, 0));
        assert!(there.webhooks.ends_with(&["participant_left".to_owned()]));
        here.ask(alice, Ask::Leave(proto::LeaveRequest::default()));
        assert!(here.producers.is_empty() && there.producers.is_empty() && third.producers.is_empty());
        assert_eq!((here.peers_of("alice").len(), third.peers.len()), (0, 0));
    }
}

#[test]
fn a_client_that_could_not_be_told_hears_of_it_when_it_resumes() {
    for mode in [Mode::Single, Mode::Dual] {
        let (mut here, mut there) = (World::new(config()), other(room::Config::default()));
        let alice = publisher(&mut here, "alice", mode);
        there.join("bob", Mode::Dual);
        let was = here.sid("alice");
        move_alice(&mut here, &mut there);
        let mut asked = request(mode);
        asked.resume = Some(was);
        // Who was that is nobody else's to say.
        let stranger = there.join_with(claims("mallory"), asked.clone());
        assert!(there.ears[&stranger].closed && !there.ears[&alice].closed);
        let again = there.join_with(claims("alice"), asked);
        let heard = there.hear(again);
        let [Message::Reconnect(_), Message::RoomMoved(moved), ..] = heard.as_slice() else {
            panic!("{heard:?}")
        };
        assert_eq!(moved.participant.as_ref().unwrap().sid, there.sid("alice"));
        assert_eq!(moved.participant.as_ref().unwrap().tracks.len(), 2);
        assert!(there.ears[&alice].closed && !there.ears[&again].closed);
        assert_eq!(there.conference.participants(), 2);
    }
}

#[test]
fn what_she_says_of_herself_after_a_resume_holds_there_too() {
    for moves_first in [true, false] {
        let (mut here, mut there) = (World::new(config()), other(room::Config::default()));
        let alice = publisher(&mut here, "alice", Mode::Single);
        connected(&mut there, "bob", Mode::Dual);
        here.ask(alice, data_tracks::publish(3, "position"));
        let data: Vec<_> = {
            let alice = here.conference.room.by_identity("alice").unwrap();
            here.conference.room.data_tracks_of(&alice.sid).map(|t| t.sid.0.clone()).collect()
        };
        let tracks = sids(&here, "alice");
        let again = if moves_first {
            move_alice(&mut here, &mut there);
            reliable::resume(&mut there, "alice", alice, Mode::Single)
        } else {
            let again = reliable::resume(&mut here, "alice", alice, Mode::Single);
            move_alice(&mut here, &mut there);
            again
        };
        let info = |sid: &String| proto::DataTrackInfo { sid: sid.clone(), ..Default::default() };
        let track = |sid: &String| proto::TrackInfo { sid: sid.clone(), ..Default::default() };
        there.ask(
            again,
            Ask::SyncState(proto::SyncState {
                publish_tracks: tracks
                    .iter()
                    .map(|sid| proto::TrackPublishedResponse {
                        track: Some(track(sid)),
                        ..Default::default()
                    })
                    .collect(),
                publish_data_tracks: data
                    .iter()
                    .map(|sid| proto::PublishDataTrackResponse { info: Some(info(sid)) })
                    .collect(),
                ..proto::SyncState::default()
            }),
        );
        assert!(!there.ears[&again].closed && data.len() == 1);
        // Her packets are for those who ask for them there.
        let bob = there.conference.room.by_identity("bob").unwrap().sid.clone();
        let (from, to) = (there.peers_of("alice")[0], there.conference.sessions[&bob].sending_peer());
        let socket = there.conference.sessions[&bob].socket.unwrap();
        there.ask(socket, data_tracks::subscribe(&data[0], true, None));
        there.take_commands();
        let payload = data_tracks::packet(3, 1).into();
        there.handle(Input::Media(Event::Data { peer: from, label: "_data_track".into(), payload }));
        let sent = there.take_commands();
        assert!(matches!(&sent[..], [Command::SendData { peers, .. }] if *peers == [to]), "{sent:?}");
    }
}

#[test]
fn her_last_words_stay_with_those_to_whom_she_said_them() {
    let (mut here, mut there) = (World::new(config()), other(room::Config::default()));
    connected(&mut here, "alice", Mode::Single);
    let bob = connected(&mut here, "bob", Mode::Single);
    let carol = connected(&mut there, "carol", Mode::Single);
    reliable::say(&mut here, "alice", 1..=2);
    let was = here.sid("alice");
    move_alice(&mut here, &mut there);
    let peer = here.peers_of("bob")[0];
    let bob = reliable::resume(&mut here, "bob", bob, Mode::Single);
    here.take_commands();
    here.ask(bob, reliable::got(&[(&was, 1)]));
    assert_eq!(reliable::heard(&mut here, peer), [2]);
    let peer = there.peers_of("carol")[0];
    let carol = reliable::resume(&mut there, "carol", carol, Mode::Single);
    there.take_commands();
    there.ask(carol, reliable::got(&[("PA_somebody", 1)]));
    assert!(reliable::heard(&mut there, peer).is_empty());
    // She numbers on.
    reliable::say(&mut there, "alice", 2..=3);
    assert_eq!(reliable::heard(&mut there, peer), [3]);
}

#[test]
fn her_second_connection_goes_along() {
    let (mut here, mut there) = (World::new(config()), other(room::Config::default()));
    let [alice, twin] = admin::twins(&mut here);
    here.connect("alice");
    here.connect("alice#screen");
    order(&mut here, "alice", &there);
    there.take_migrants(&mut here);
    assert!(!there.ears[&alice].closed && !there.ears[&twin].closed);
    assert_eq!((here.conference.participants(), there.conference.participants()), (0, 2));
    // It goes on belonging to her.
    there.admin(Admin::RemoveParticipant { identity: "alice".into() }).unwrap();
    assert_eq!(there.conference.participants(), 0);
}

#[test]
fn who_has_no_signalling_is_moved_without_a_word() {
    let (mut here, mut there) = (World::new(config()), other(room::Config::default()));
    whip::publish(&mut here, "obs", whip::OBS);
    here.connect("obs");
    connected(&mut there, "bob", Mode::Dual);
    let peer = here.peers_of("obs")[0];
    order(&mut here, "obs", &there);
    there.take_migrants(&mut here);
    assert_eq!((sids(&there, "obs").len(), there.peers_of("obs")), (2, vec![peer]));
    assert_eq!(there.conference.room.by_identity("bob").unwrap().subscribed().count(), 2);
    there.handle(Input::Media(Event::Failed { peer, reason: sfu::FailReason::Closed }));
    assert!(there.conference.room.by_identity("obs").is_none());
}

#[test]
fn who_is_forwarded_there_already_comes_in_person() {
    for told_first in [true, false] {
        let (mut here, mut there) = (World::new(config()), other(room::Config::default()));
        let alice = publisher(&mut here, "alice", Mode::Single);
        connected(&mut there, "bob", Mode::Dual);
        forwarding::forward(&mut here, "alice").unwrap();
        forwarding::carry(&mut here, &mut there);
        let shadow = sids(&there, "alice");
        order(&mut here, "alice", &there);
        if told_first {
            forwarding::carry(&mut here, &mut there);
        }
        there.take_migrants(&mut here);
        forwarding::carry(&mut here, &mut there);
        there.pass(Duration::from_secs(1));
        assert!(sids(&there, "alice").len() == 2 && sids(&there, "alice") != shadow);
        assert_eq!(there.conference.room.by_identity("bob").unwrap().subscribed().count(), 2);
        assert!(!there.ears[&alice].closed && there.producers.len() == 2);
    }
}
