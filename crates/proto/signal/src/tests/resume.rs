//! Sessions that are taken up again, and those that are not.

use std::time::Duration;

use livekit_protocol as proto;
use proto::DisconnectReason;
use proto::leave_request::Action;
use proto::signal_request::Message as Ask;
use proto::signal_response::Message;
use proto::simulate_scenario::Scenario;

use super::world::*;
use crate::{Input, Mode, SessionId};

fn resume(sid: &str, mode: Mode) -> crate::JoinRequest {
    let mut request = request(mode);
    request.resume = Some(sid.into());
    request
}

/// Somebody whose media is connected.
pub(super) fn connected(world: &mut World, identity: &str, mode: Mode) -> SessionId {
    let mut asked = request(mode);
    if mode == Mode::Single {
        asked.offer = Some(description("offer", CHROMIUM_V1, 1));
    }
    let session = world.join_with(claims(identity), asked);
    for offer in world.hear(session).iter().filter_map(an_offer) {
        world.ask(session, Ask::Answer(answer_to(&offer)));
    }
    world.connect(identity);
    session
}

/// All transports of somebody fall silent, and then fail.
fn silence(world: &mut World, identity: &str, fail: bool) {
    for peer in
        world.peers_of(identity).into_iter().filter(|p| world.peers.contains_key(p)).collect::<Vec<_>>()
    {
        world.handle(Input::Media(sfu::Event::Disconnected { peer }));
        if fail {
            let reason = sfu::FailReason::IceTimeout;
            world.handle(Input::Media(sfu::Event::Failed { peer, reason }));
        }
    }
}

fn simulate(world: &mut World, session: SessionId, scenario: Scenario) {
    world.ask(session, Ask::Simulate(proto::SimulateScenario { scenario: Some(scenario) }));
}

/// What updates say of each participant, in their order.
fn states(heard: &[Message]) -> Vec<(String, proto::participant_info::State)> {
    let updates = heard.iter().filter_map(|m| if let Message::Update(u) = m { Some(u) } else { None });
    updates.flat_map(|u| &u.participants).map(|p| (p.identity.clone(), p.state())).collect()
}

#[test]
fn whom_a_media_worker_has_lost_is_told_to_start_afresh() {
    for mode in [Mode::Dual, Mode::Single] {
        let mut world = World::new(config());
        let alice = connected(&mut world, "alice", mode);
        world.hear(alice);
        let peer = world.peers_of("alice")[0];
        let reason = sfu::FailReason::Worker;
        world.handle(Input::Media(sfu::Event::Failed { peer, reason }));
        assert_eq!(last(&world.hear(alice), a_leave).action(), Action::Reconnect);
        assert!(world.ears[&alice].closed);
    }
}

#[test]
fn an_unknown_session_is_told_to_start_afresh_first_of_all() {
    for mode in [Mode::Dual, Mode::Single] {
        let mut world = World::new(config());
        let alice = world.join_with(claims("alice"), resume("PA_unknown", mode));
        let heard = world.hear(alice);
        assert_eq!(heard.len(), 1);
        let leave = last(&heard, a_leave);
        assert_eq!((leave.reason(), leave.action()), (DisconnectReason::StateMismatch, Action::Reconnect));
        assert!(world.ears[&alice].closed);
        // Neither does another's session help.
        world.join("bob", mode);
        let sid = world.sid("bob");
        let thief = world.join_with(claims("alice"), resume(&sid, mode));
        assert_eq!(last(&world.hear(thief), a_leave).action(), Action::Reconnect);
        // An old client knows no actions.
        let mut request = resume("PA_unknown", mode);
        request.client.protocol = 12;
        let old = world.join_with(claims("alice"), request);
        let leave = last(&world.hear(old), a_leave);
        assert!(leave.can_reconnect && leave.action() == Action::Disconnect);
    }
}

#[test]
fn a_known_session_resumes_in_both_modes() {
    for mode in [Mode::Dual, Mode::Single] {
        let mut world = World::new(config());
        let mut asked = request(mode);
        if mode == Mode::Single {
            asked.offer = Some(description("offer", CHROMIUM_V1, 1));
        }
        let first = world.join_with(claims("alice"), asked);
        for offer in world.hear(first).iter().filter_map(an_offer) {
            world.ask(first, Ask::Answer(answer_to(&offer)));
        }
        world.connect("alice");
        let sid = world.sid("alice");
        world.handle(Input::SocketClosed { session: first });
        assert_eq!(world.conference.participants(), 1, "media keeps them");
        let second = world.join_with(claims("alice"), resume(&sid, mode));
        let heard = world.hear(second);
        assert!(matches!(heard[0], Message::Reconnect(_)), "{heard:?}");
        assert!(heard.iter().any(|m| matches!(m, Message::RoomUpdate(_))));
        assert_eq!(world.sid("alice"), sid);
        if mode == Mode::Dual {
            let offer = last(&heard, an_offer);
            assert_eq!(offer.id, 2, "the same numbering");
            assert!(world.take_commands().iter().any(|c| matches!(c, sfu::Command::RestartIce { .. })));
            world.ask(second, Ask::Answer(answer_to(&offer)));
        }
        world.pass(Duration::from_secs(30));
        assert!(!world.ears[&second].closed);
    }
}

#[test]
fn without_socket_and_media_a_participant_goes() {
    let mut world = World::new(config());
    let alice = world.join("alice", Mode::Dual);
    world.handle(Input::SocketClosed { session: alice });
    assert_eq!(world.conference.participants(), 0, "never connected");
    let alice = world.join("alice", Mode::Dual);
    let offer = last(&world.hear(alice), an_offer);
    world.ask(alice, Ask::Answer(answer_to(&offer)));
    world.connect("alice");
    world.handle(Input::SocketClosed { session: alice });
    for peer in world.peers_of("alice") {
        world.handle(Input::Media(sfu::Event::Disconnected { peer }));
    }
    assert_eq!(world.conference.participants(), 1);
    world.pass(Duration::from_secs(6));
    assert_eq!(world.conference.participants(), 0);
    assert!(world.peers.is_empty());
}

#[test]
fn a_failed_transport_is_to_be_resumed_within_a_grace() {
    for mode in [Mode::Dual, Mode::Single] {
        let mut world = World::new(config());
        let alice = connected(&mut world, "alice", mode);
        let sid = world.sid("alice");
        silence(&mut world, "alice", true);
        let leave = last(&world.hear(alice), a_leave);
        assert_eq!((leave.reason(), leave.action()), (DisconnectReason::ConnectionTimeout, Action::Resume));
        assert!(world.ears[&alice].closed);
        world.handle(Input::SocketClosed { session: alice });
        world.pass(Duration::from_secs(4));
        let again = world.join_with(claims("alice"), resume(&sid, mode));
        assert!(matches!(world.hear(again)[0], Message::Reconnect(_)));
        world.pass(Duration::from_secs(10));
        assert_eq!(world.sid("alice"), sid, "the grace of before is over");
        // Nobody comes back from the second failure.
        silence(&mut world, "alice", true);
        world.pass(Duration::from_secs(6));
        assert_eq!(world.conference.participants(), 0);
        assert!(world.peers.is_empty());
    }
}

#[test]
fn a_client_that_knows_no_resume_by_leave_starts_afresh() {
    let mut world = World::new(config());
    let mut old = request(Mode::Dual);
    old.client.protocol = 12;
    let alice = world.join_with(claims("alice"), old);
    world.connect("alice");
    silence(&mut world, "alice", true);
    assert!(last(&world.hear(alice), a_leave).can_reconnect);
    assert_eq!(world.conference.participants(), 0);
    // As does one that never got connected.
    let bob = world.join("bob", Mode::Dual);
    silence(&mut world, "bob", true);
    assert_eq!(last(&world.hear(bob), a_leave).action(), Action::Reconnect);
}

#[test]
fn a_socket_that_goes_after_media_has_a_grace_too() {
    let mut world = World::new(config());
    let alice = connected(&mut world, "alice", Mode::Single);
    let sid = world.sid("alice");
    silence(&mut world, "alice", false);
    world.handle(Input::SocketClosed { session: alice });
    world.pass(Duration::from_secs(4));
    let again = world.join_with(claims("alice"), resume(&sid, Mode::Single));
    assert!(matches!(world.hear(again)[0], Message::Reconnect(_)));
    world.handle(Input::SocketClosed { session: again });
    world.pass(Duration::from_secs(6));
    assert_eq!(world.conference.participants(), 0);
}

#[test]
fn who_resumes_hears_who_has_gone_and_not_who_has_come_back() {
    let mut world = World::new(config());
    let early = connected(&mut world, "early", Mode::Single);
    let alice = connected(&mut world, "alice", Mode::Single);
    world.ask(early, Ask::Leave(proto::LeaveRequest::default()));
    world.pass(Duration::from_secs(60));
    let [bob, cyd] = ["bob", "cyd"].map(|name| connected(&mut world, name, Mode::Single));
    let mut hidden = claims("ghost");
    hidden.video.as_mut().unwrap().hidden = true;
    let ghost = world.join_with(hidden, request(Mode::Single));
    let sid = world.sid("alice");
    world.ask(alice, Ask::Ping(1));
    world.handle(Input::SocketClosed { session: alice });
    world.pass(Duration::from_secs(300));
    for session in [bob, cyd, ghost] {
        world.ask(session, Ask::Leave(proto::LeaveRequest::default()));
    }
    connected(&mut world, "cyd", Mode::Single);
    let again = world.join_with(claims("alice"), resume(&sid, Mode::Single));
    let told = states(&world.hear(again));
    use proto::participant_info::State;
    assert_eq!(told[0], ("bob".into(), State::Disconnected));
    assert_eq!(told.iter().filter(|(who, _)| who == "cyd").count(), 1);
    assert!(told.contains(&("cyd".into(), State::Active)) && told.contains(&("alice".into(), State::Active)));
    assert_eq!(told.len(), 3, "neither who went long before nor who was never seen: {told:?}");
}

#[test]
fn a_resume_that_was_to_break_off_does_so_once() {
    for (scenario, says) in [
        (Scenario::DisconnectSignalOnResume(true), true),
        (Scenario::DisconnectSignalOnResumeNoMessages(true), false),
    ] {
        let mut world = World::new(config());
        let alice = connected(&mut world, "alice", Mode::Single);
        let sid = world.sid("alice");
        simulate(&mut world, alice, scenario);
        assert!(!world.ears[&alice].closed);
        world.handle(Input::SocketClosed { session: alice });
        let broken = world.join_with(claims("alice"), resume(&sid, Mode::Single));
        let heard = world.hear(broken);
        assert_eq!(matches!(heard.first(), Some(Message::Reconnect(_))), says, "{heard:?}");
        assert!(world.ears[&broken].closed);
        world.handle(Input::SocketClosed { session: broken });
        let works = world.join_with(claims("alice"), resume(&sid, Mode::Single));
        assert!(matches!(world.hear(works)[0], Message::Reconnect(_)));
        assert!(!world.ears[&works].closed);
        assert_eq!(world.sid("alice"), sid);
    }
}

#[test]
fn who_is_limited_to_tcp_finds_tcp_alone_when_it_comes_again() {
    let mut config = config();
    let udp = config.media.candidates[1][0].clone();
    let tcp = peer::Candidate { carrier: peer::Carrier::Tcp, ..udp };
    config.media.candidates[1].push(tcp);
    let mut world = World::new(config);
    let alice = connected(&mut world, "alice", Mode::Dual);
    let lines = |offer: &proto::SessionDescription| offer.sdp.matches("a=candidate").count();
    for (way, expected) in [(1, 1), (0, 2), (2, 1)] {
        let session = world.ears.iter().rfind(|(_, ears)| !ears.closed).map_or(alice, |(s, _)| *s);
        simulate(&mut world, session, Scenario::SwitchCandidateProtocol(way));
        let again = world.join("alice", Mode::Dual);
        let offer = last(&world.hear(again), an_offer);
        assert_eq!(lines(&offer), expected, "way {way}: {}", offer.sdp);
    }
}

#[test]
fn tls_means_a_relay_where_there_is_one() {
    let mut config = config();
    let urls = vec!["turn:t.example:3478?transport=udp".into(), "turns:t.example:443?transport=tcp".into()];
    config.ice_servers = vec![crate::IceServer { urls, ..Default::default() }];
    let mut world = World::new(config);
    let alice = connected(&mut world, "alice", Mode::Single);
    simulate(&mut world, alice, Scenario::SwitchCandidateProtocol(2));
    let again = world.join("alice", Mode::Single);
    let Message::Join(join) = &world.hear(again)[0] else { panic!() };
    assert_eq!(join.ice_servers[0].urls, ["turns:t.example:443?transport=tcp"]);
    let configuration = join.client_configuration.as_ref().unwrap();
    assert_eq!(configuration.force_relay(), proto::ClientConfigSetting::Enabled);
}

#[test]
fn clients_are_told_what_their_make_does_badly() {
    let avoided = |browser: &str, version: &str, os: &str| {
        let mut world = World::new(config());
        let mut request = request(Mode::Single);
        request.client.browser = browser.into();
        request.client.browser_version = version.into();
        request.client.os = os.into();
        let session = world.join_with(claims("alice"), request);
        let Message::Join(join) = world.hear(session).remove(0) else { panic!() };
        let disabled = join.client_configuration.and_then(|c| c.disabled_codecs);
        disabled.map(|d| d.publish.into_iter().map(|c| c.mime).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(avoided("Chrome", "140.0", "Linux"), None);
    assert_eq!(avoided("Safari", "18.3", "macOS").as_deref(), Some("video/AV1"));
    assert_eq!(avoided("Safari", "18.4.1", "macOS").as_deref(), Some("video/AV1 video/VP9"));
    assert_eq!(avoided("Firefox", "150.0", "Android").as_deref(), Some("video/H264"));
    assert_eq!(avoided("Firefox", "150.0", "Windows"), None);
}

#[test]
fn somebody_seems_to_speak_for_a_while() {
    let mut world = World::new(config());
    let alice = connected(&mut world, "alice", Mode::Single);
    let bob = connected(&mut world, "bob", Mode::Single);
    world.hear(bob);
    let told = |heard: &[Message]| -> Vec<bool> {
        let said =
            heard.iter().filter_map(|m| if let Message::SpeakersChanged(s) = m { Some(s) } else { None });
        said.flat_map(|s| &s.speakers).map(|s| s.active).collect()
    };
    simulate(&mut world, alice, Scenario::SpeakerUpdate(3));
    assert_eq!(told(&world.hear(bob)), [true]);
    world.pass(Duration::from_secs(4));
    assert_eq!(told(&world.hear(bob)), [false]);
    simulate(&mut world, alice, Scenario::SpeakerUpdate(i32::MIN));
    world.pass(Duration::from_secs(1));
    assert_eq!(told(&world.hear(bob)), [true, false]);
}
