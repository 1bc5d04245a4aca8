//! How good a connection is: who hears of whom, and what is never said.

use livekit_protocol as proto;
use proto::ConnectionQuality::{self as Said, Excellent, Good, Lost, Poor};
use proto::signal_response::Message;
use sfu::{Event, PeerId, Quality};

use super::world::*;
use crate::{Input, JoinRequest, Mode, SessionId};

/// What somebody hears of connections: of whom, and what.
fn heard(world: &mut World, who: SessionId) -> Vec<(String, Said)> {
    let updates = world.hear(who).into_iter().filter_map(|message| match message {
        Message::ConnectionQuality(update) => Some(update.updates),
        _ => None,
    });
    updates.flatten().map(|info| (info.participant_sid.clone(), info.quality())).collect()
}

fn judge(world: &mut World, peer: PeerId, quality: Quality, score: u8) {
    world.handle(Input::Media(Event::Quality { peer, quality, score }));
}

/// Alice publishes, to bob and to nobody else.
fn publisher() -> (World, SessionId) {
    let mut world = World::new(config());
    let mut ask = request(Mode::Single);
    ask.add_tracks = vec![microphone(), camera()];
    ask.offer = Some(description("offer", single_publishing().to_string(), 1));
    let alice = world.join_with(claims("alice"), ask);
    world.connect("alice");
    (world, alice)
}

fn subscriber(world: &mut World, name: &str, ask: JoinRequest) -> SessionId {
    let session = world.join_with(claims(name), ask);
    world.connect(name);
    session
}

fn listening() -> JoinRequest {
    let mut ask = request(Mode::Single);
    ask.offer = Some(description("offer", CHROMIUM_V1, 1));
    ask
}

#[test]
fn one_hears_of_oneself_and_of_those_one_subscribes_to() {
    let (mut world, alice) = publisher();
    let bob = subscriber(&mut world, "bob", listening());
    let (a, b) = (world.sid("alice"), world.sid("bob"));
    let (of_alice, of_bob) = (world.peers_of("alice")[0], world.peers_of("bob")[0]);
    world.hear(alice);
    world.hear(bob);
    judge(&mut world, of_alice, Quality::Good, 60);
    assert_eq!(heard(&mut world, alice), [(a.clone(), Good)]);
    assert_eq!(heard(&mut world, bob), [(a.clone(), Good)]);
    judge(&mut world, of_bob, Quality::Poor, 10);
    assert_eq!(heard(&mut world, alice), [], "bob publishes nothing");
    assert_eq!(heard(&mut world, bob), [(b, Poor)]);
    // The same again, and of somebody unknown.
    judge(&mut world, of_alice, Quality::Good, 55);
    judge(&mut world, PeerId(77), Quality::Poor, 0);
    assert_eq!(heard(&mut world, alice), []);
    assert_eq!(heard(&mut world, bob), []);
}

#[test]
fn who_subscribes_later_hears_what_is_known() {
    let (mut world, alice) = publisher();
    let of_alice = world.peers_of("alice")[0];
    judge(&mut world, of_alice, Quality::Poor, 20);
    world.hear(alice);
    let bob = subscriber(&mut world, "bob", listening());
    let of = world.sid("alice");
    let heard = heard(&mut world, bob);
    assert!(!heard.is_empty() && heard.iter().all(|one| *one == (of.clone(), Poor)), "{heard:?}");
}

#[test]
fn lost_is_told_to_others_who_know_it_and_never_to_whom_it_concerns() {
    let (mut world, alice) = publisher();
    let bob = subscriber(&mut world, "bob", listening());
    let mut old = listening();
    old.client.protocol = 10;
    let carol = subscriber(&mut world, "carol", old);
    let (of, peer) = (world.sid("alice"), world.peers_of("alice")[0]);
    judge(&mut world, peer, Quality::Excellent, 100);
    for session in [alice, bob, carol] {
        world.hear(session);
    }
    world.handle(Input::Media(Event::Disconnected { peer }));
    assert_eq!(heard(&mut world, alice), []);
    assert_eq!(heard(&mut world, bob), [(of.clone(), Lost)]);
    assert_eq!(heard(&mut world, carol), [(of.clone(), Poor)]);
    world.handle(Input::Media(Event::Connected { peer }));
    assert_eq!(heard(&mut world, bob), [(of.clone(), Excellent)]);
    assert_eq!(heard(&mut world, alice), [(of, Excellent)]);
}

#[test]
fn of_two_transports_the_worse_one_counts() {
    let mut world = World::new(config());
    let dora = subscriber(&mut world, "dora", request(Mode::Dual));
    let of = world.sid("dora");
    let peers = world.peers_of("dora");
    let [up, down] = peers[..] else { panic!("{peers:?}") };
    world.hear(dora);
    judge(&mut world, up, Quality::Good, 70);
    judge(&mut world, down, Quality::Excellent, 95);
    assert_eq!(heard(&mut world, dora), [(of.clone(), Good)]);
    judge(&mut world, down, Quality::Poor, 5);
    judge(&mut world, up, Quality::Excellent, 100);
    assert_eq!(heard(&mut world, dora), [(of.clone(), Poor)]);
    judge(&mut world, down, Quality::Excellent, 90);
    assert_eq!(heard(&mut world, dora), [(of, Excellent)]);
}
