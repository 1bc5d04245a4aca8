//! Reliable data while publishers and receivers resume: nothing is lost, doubled or out of order.

use std::time::Duration;

use livekit_protocol as proto;
use proto::signal_request::Message as Ask;
use proto::signal_response::Message;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sfu::{Command, PeerId};

use super::data::{delivered, send, user};
use super::resume::connected;
use super::world::*;
use crate::{Input, Mode, SessionId};

/// Somebody's socket goes, and they resume on another.
pub(super) fn resume(world: &mut World, identity: &str, session: SessionId, mode: Mode) -> SessionId {
    world.handle(Input::SocketClosed { session });
    let mut asked = request(mode);
    asked.resume = Some(world.sid(identity));
    world.join_with(claims(identity), asked)
}

fn acknowledged(world: &mut World, session: SessionId) -> u32 {
    last(&world.hear(session), |m| match m {
        Message::Reconnect(reconnect) => Some(reconnect.last_message_seq),
        _ => None,
    })
}

pub(super) fn got(states: &[(&str, u32)]) -> Ask {
    let states = states
        .iter()
        .map(|(sid, last)| proto::DataChannelReceiveState { publisher_sid: (*sid).into(), last_seq: *last });
    Ask::SyncState(proto::SyncState {
        datachannel_receive_states: states.collect(),
        ..proto::SyncState::default()
    })
}

pub(super) fn say(world: &mut World, from: &str, numbers: impl IntoIterator<Item = u32>) {
    for number in numbers {
        send(world, from, "_reliable", prost::Message::encode_to_vec(&user("x", &[], number)));
    }
}

/// Numbers sent to a peer since the last call.
pub(super) fn heard(world: &mut World, peer: PeerId) -> Vec<u32> {
    let all = delivered(world).into_iter();
    all.filter(|(peers, ..)| peers.contains(&peer)).map(|(.., packet)| packet.sequence).collect()
}

#[test]
fn who_resumes_is_sent_what_it_lacks_and_nothing_else() {
    for mode in [Mode::Single, Mode::Dual] {
        let mut world = World::new(config());
        for identity in ["alice", "carol", "dan"] {
            connected(&mut world, identity, mode);
        }
        let bob = connected(&mut world, "bob", mode);
        let to_carol = user("x", &["carol"], 4);
        say(&mut world, "alice", 1..=3);
        send(&mut world, "alice", "_reliable", prost::Message::encode_to_vec(&to_carol));
        say(&mut world, "alice", 5..=6);
        say(&mut world, "dan", 1..=2);
        send(&mut world, "dan", "_lossy", prost::Message::encode_to_vec(&user("x", &[], 0)));
        let again = resume(&mut world, "bob", bob, mode);
        world.take_commands();
        let alice = world.sid("alice");
        world.ask(again, got(&[(&alice, 2)]));
        let sent = delivered(&mut world);
        let peer = world.conference.sessions[&world.sid("bob").as_str().into()].sending_peer();
        assert!(sent.iter().all(|(peers, label, _)| *peers == [peer] && *label == "_reliable"), "{mode:?}");
        let numbers = |of: &str| {
            let theirs = sent.iter().filter(|(.., p)| p.participant_identity == of);
            theirs.map(|(.., p)| p.sequence).collect::<Vec<_>>()
        };
        assert_eq!((numbers("alice"), numbers("dan")), (vec![3, 5, 6], vec![1, 2]));
        // Once for each resume.
        world.ask(again, got(&[(&alice, 0)]));
        assert!(delivered(&mut world).is_empty());
        // Nor to somebody who has not resumed.
        let alice_socket = *world.ears.keys().next().unwrap();
        world.ask(alice_socket, got(&[]));
        assert!(delivered(&mut world).is_empty());
    }
}

#[test]
fn the_last_words_of_who_has_gone_are_sent_again_too_and_soon_forgotten() {
    for (late, expected) in [(5, vec![2, 3]), (25, vec![])] {
        let mut world = World::new(config());
        let alice = connected(&mut world, "alice", Mode::Dual);
        let bob = connected(&mut world, "bob", Mode::Dual);
        let gone = world.sid("alice");
        world.handle(Input::SocketClosed { session: bob });
        say(&mut world, "alice", 1..=3);
        world.ask(alice, Ask::Leave(proto::LeaveRequest::default()));
        world.pass(Duration::from_secs(late));
        let mut asked = request(Mode::Dual);
        asked.resume = Some(world.sid("bob"));
        let again = world.join_with(claims("bob"), asked);
        world.take_commands();
        world.ask(again, got(&[(&gone, 1)]));
        let numbers: Vec<_> = delivered(&mut world).into_iter().map(|(.., p)| p.sequence).collect();
        assert_eq!(numbers, expected, "after {late} s");
    }
}

#[test]
fn what_is_old_or_too_much_is_kept_no_longer() {
    let mut world = World::new(config());
    connected(&mut world, "alice", Mode::Single);
    let bob = connected(&mut world, "bob", Mode::Single);
    let peer = world.peers_of("bob")[0];
    say(&mut world, "alice", 1..=2);
    world.pass(Duration::from_secs(21));
    let big = "x".repeat(50_000);
    for number in 3..=6 {
        send(&mut world, "alice", "_reliable", prost::Message::encode_to_vec(&user(&big, &[], number)));
    }
    let again = resume(&mut world, "bob", bob, Mode::Single);
    world.take_commands();
    let alice = world.sid("alice");
    world.ask(again, got(&[(&alice, 0)]));
    assert_eq!(heard(&mut world, peer), [5, 6]);
    // A receiver that numbers nothing gets nothing that it would take twice.
    let mut old = request(Mode::Single);
    old.client.client_protocol = 0;
    let carol = world.join_with(claims("carol"), old);
    world.connect("carol");
    say(&mut world, "alice", 7..=8);
    let carol = resume(&mut world, "carol", carol, Mode::Single);
    world.take_commands();
    world.ask(carol, got(&[]));
    assert!(delivered(&mut world).is_empty());
}

#[test]
fn what_a_publisher_holds_back_is_put_before_what_it_does_not() {
    let mut world = World::new(config());
    let alice = connected(&mut world, "alice", Mode::Single);
    connected(&mut world, "bob", Mode::Single);
    let peer = world.peers_of("bob")[0];
    say(&mut world, "alice", 1..=2);
    // Given: a first attempt that breaks off, and what livekit-client 2.23 sends until the next.
    let broken = resume(&mut world, "alice", alice, Mode::Single);
    assert_eq!(acknowledged(&mut world, broken), 2);
    world.handle(Input::SocketClosed { session: broken });
    say(&mut world, "alice", [5, 6, 5]);
    assert_eq!(heard(&mut world, peer), [1, 2], "5 and 6 wait");
    // When: it is told how far all has come, and sends on from there.
    let works = resume(&mut world, "alice", broken, Mode::Single);
    assert_eq!(acknowledged(&mut world, works), 2);
    say(&mut world, "alice", [3, 4, 5, 6, 7]);
    // Then
    assert_eq!(heard(&mut world, peer), [3, 4, 5, 6, 7]);
    world.pass(Duration::from_secs(60));
    assert!(delivered(&mut world).is_empty());
}

#[test]
fn a_gap_that_does_not_close_holds_nothing_up_for_long() {
    let mut world = World::new(config());
    let alice = connected(&mut world, "alice", Mode::Single);
    connected(&mut world, "bob", Mode::Single);
    let peer = world.peers_of("bob")[0];
    // Nobody waits where nothing broke: numbers are lost with packets that a client could not send.
    say(&mut world, "alice", [1, 3]);
    assert_eq!(heard(&mut world, peer), [1, 3]);
    let again = resume(&mut world, "alice", alice, Mode::Single);
    say(&mut world, "alice", [7, 5]);
    world.pass(Duration::from_secs(5));
    say(&mut world, "alice", [0]);
    assert_eq!(heard(&mut world, peer), [0], "what has no number waits for none");
    world.pass(Duration::from_secs(6));
    assert_eq!(heard(&mut world, peer), [5, 7]);
    say(&mut world, "alice", [6, 9]);
    assert_eq!(heard(&mut world, peer), [9], "6 is a repeat, and the resume is over");
    // A second gap has the whole time again, although the first one's deadline comes meanwhile.
    let again = resume(&mut world, "alice", again, Mode::Single);
    say(&mut world, "alice", [12]);
    world.pass(Duration::from_secs(4));
    say(&mut world, "alice", [10, 11, 14]);
    world.pass(Duration::from_secs(7));
    assert_eq!(heard(&mut world, peer), [10, 11, 12]);
    say(&mut world, "alice", [13]);
    assert_eq!(heard(&mut world, peer), [13, 14]);
    // Neither does more wait than there is room for.
    resume(&mut world, "alice", again, Mode::Single);
    let big = "x".repeat(60_000);
    for number in 16..=40 {
        send(&mut world, "alice", "_reliable", prost::Message::encode_to_vec(&user(&big, &[], number)));
    }
    let numbers = heard(&mut world, peer);
    assert!(numbers.starts_with(&[16, 17]) && numbers.len() >= 17, "{numbers:?}");
}

/// A publisher that loses its socket at any moment, sends again whatever was not acknowledged, in any order between two
/// attempts, and a receiver on a line that repeats what was sent.
#[test]
fn whatever_is_sent_again_arrives_once_and_in_order() {
    for seed in 0..200 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::new(config());
        let mut alice = connected(&mut world, "alice", Mode::Single);
        connected(&mut world, "bob", Mode::Single);
        let peer = world.peers_of("bob")[0];
        let mut next = 1;
        let mut arrived = Vec::new();
        for _ in 0..rng.random_range(1..6) {
            let some = rng.random_range(0..5);
            say(&mut world, "alice", next..next + some);
            next += some;
            // Held back from here on.
            let held = next;
            next += rng.random_range(0..4);
            let holds = next > held;
            for _ in 0..rng.random_range(0..3) {
                alice = resume(&mut world, "alice", alice, Mode::Single);
                world.handle(Input::SocketClosed { session: alice });
                let early = rng.random_range(0..3);
                say(&mut world, "alice", next..next + early);
                next += early;
                world.pass(Duration::from_millis(rng.random_range(0..2000)));
            }
            alice = resume(&mut world, "alice", alice, Mode::Single);
            let from = acknowledged(&mut world, alice) + 1;
            assert!(from <= held || !holds, "seed {seed}: what is held back is not acknowledged");
            say(&mut world, "alice", from..next);
            arrived.extend(heard(&mut world, peer));
        }
        assert_eq!(arrived, (1..next).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn who_hides_is_gone_for_the_others_and_comes_back() {
    use proto::participant_info::State;
    for mode in [Mode::Single, Mode::Dual] {
        let mut world = World::new(config());
        let alice = connected(&mut world, "alice", mode);
        let bob = world.join("bob", Mode::Dual);
        world.ask(bob, Ask::AddTrack(camera()));
        world.ask(bob, Ask::Offer(description("offer", CHROMIUM_PUBLISHER, 1)));
        world.connect("bob");
        world.hear(alice);
        world.hear(bob);
        let hide = |world: &mut World, hidden: bool| {
            let permission = proto::ParticipantPermission {
                can_subscribe: true,
                can_publish: true,
                can_publish_data: true,
                hidden,
                ..Default::default()
            };
            let identity = "bob".into();
            let update = proto::UpdateParticipantRequest {
                identity,
                permission: Some(permission),
                ..Default::default()
            };
            world.admin(crate::Admin::UpdateParticipant(Box::new(update))).unwrap();
        };
        let about_bob = |heard: &[Message]| -> Vec<(State, usize)> {
            let updates =
                heard.iter().filter_map(|m| if let Message::Update(u) = m { Some(u) } else { None });
            let all = updates.flat_map(|u| &u.participants).filter(|p| p.identity == "bob");
            all.map(|p| (p.state(), p.tracks.len())).collect()
        };
        hide(&mut world, true);
        assert_eq!(about_bob(&world.hear(alice)), [(State::Disconnected, 0)], "{mode:?}");
        assert!(about_bob(&world.hear(bob)).iter().all(|told| *told == (State::Active, 1)), "but not itself");
        // Who comes or resumes meanwhile hears the same.
        let carol = world.join("carol", Mode::Single);
        let Message::Join(join) = world.hear(carol).remove(0) else { panic!() };
        assert!(join.other_participants.iter().all(|p| p.identity != "bob"));
        let again = resume(&mut world, "alice", alice, mode);
        assert_eq!(about_bob(&world.hear(again)), [(State::Disconnected, 0)]);
        let bob = resume(&mut world, "bob", bob, Mode::Dual);
        assert!(about_bob(&world.hear(bob)).iter().all(|told| *told == (State::Active, 1)));
        hide(&mut world, false);
        assert_eq!(about_bob(&world.hear(again)).first(), Some(&(State::Active, 1)));
        let later = resume(&mut world, "alice", again, mode);
        assert_eq!(about_bob(&world.hear(later)), [(State::Active, 1)]);
        assert!(!world.take_commands().iter().any(|c| matches!(c, Command::ClosePeer { .. })));
    }
}
