//! One connection (v1): the client makes the sections.

use std::time::Duration;

use livekit_protocol as proto;
use proto::signal_request::Message as Ask;
use proto::signal_response::Message;

use super::world::*;
use crate::{Mode, SessionId};

fn join_with_offer(world: &mut World, identity: &str, sdp: &str) -> SessionId {
    let mut request = request(Mode::Single);
    request.offer = Some(description("offer", sdp, 1));
    let session = world.join_with(claims(identity), request);
    world.connect(identity);
    session
}

fn publisher(world: &mut World, identity: &str) -> SessionId {
    let mut request = request(Mode::Single);
    request.add_tracks = vec![microphone(), camera()];
    request.offer = Some(description("offer", single_publishing().to_string(), 1));
    let session = world.join_with(claims(identity), request);
    world.connect(identity);
    session
}

fn requirement(heard: &[Message]) -> Option<(u32, u32)> {
    heard.iter().rev().find_map(|m| match m {
        Message::MediaSectionsRequirement(r) => Some((r.num_audios, r.num_videos)),
        _ => None,
    })
}

#[test]
fn the_answer_comes_with_the_join_and_takes_the_tracks_with_it() {
    let mut world = World::new(config());
    let alice = publisher(&mut world, "alice");
    let heard = world.hear(alice);
    let order: Vec<_> = heard
        .iter()
        .filter_map(|m| match m {
            Message::Join(_) => Some("join"),
            Message::TrackPublished(_) => Some("track_published"),
            Message::Answer(_) => Some("answer"),
            _ => None,
        })
        .collect();
    assert_eq!(order, ["join", "track_published", "track_published", "answer"]);
    let Message::Join(join) = &heard[0] else { panic!("{heard:?}") };
    assert!(!join.subscriber_primary);
    assert_eq!(world.producers.len(), 2);
    assert!(world.peers.values().all(Vec::is_empty), "the client opens the channels");

    // A later joiner's first answer carries what is there.
    let bob = join_with_offer(&mut world, "bob", CHROMIUM_V1);
    let answer = last(&world.hear(bob), an_answer);
    assert_eq!(answer.mid_to_track_id.len(), 2);
    let sdp = parse(&answer.sdp);
    let directions: Vec<_> = sdp.sections.iter().map(|s| s.direction).collect();
    use sdp::Direction::{Inactive, SendOnly, SendRecv};
    assert_eq!(directions, [SendOnly, Inactive, Inactive, SendOnly, Inactive, Inactive, SendRecv]);
    // What Chromium 156 is refused in one section it does not offer in the next: then its simulcast fails.
    for section in sdp.sections.iter().filter(|s| s.kind == sdp::Kind::Video) {
        assert!(section.rtp.extension_id(&sdp::Extension::Rid).is_some());
        assert!(section.rtp.extension_id(&sdp::Extension::RepairedRid).is_some());
    }
    // A longer message would end the association, so no more is promised.
    let promised = sdp.sections[6].data.max_message_size;
    assert_eq!(promised, Some(u64::from(peer::Config::default().max_message_size)));
    assert_eq!(world.consumers.len(), 2);
    let (_, _, audio) = world.consumers.values().find(|(_, _, p)| p.rtx_ssrc.is_none()).unwrap();
    assert_eq!(
        (audio.codecs[0].pt, audio.codecs[1].pt),
        (rtp::Pt(63), rtp::Pt(111)),
        "the offerer's numbers"
    );
}

#[test]
fn firefox_gets_its_own_payload_types_back() {
    let mut world = World::new(config());
    publisher(&mut world, "alice");
    let bob = join_with_offer(&mut world, "bob", FIREFOX_V1);
    let sdp = parse(&last(&world.hear(bob), an_answer).sdp);
    assert_eq!(sdp.sections[0].rtp.payloads[0].pt, rtp::Pt(109));
    assert_eq!(sdp.sections[3].rtp.payloads[0].pt, rtp::Pt(120));
    let pts: Vec<_> = world.consumers.values().map(|(_, _, p)| p.codecs[0].pt.0).collect();
    assert!(pts.contains(&109) && pts.contains(&120), "{pts:?}");
}

#[test]
fn missing_sections_are_asked_for_until_all_tracks_have_one() {
    let mut world = World::new(config());
    for n in 0..5 {
        publisher(&mut world, &format!("p{n}"));
    }
    let bob = join_with_offer(&mut world, "bob", CHROMIUM_V1);
    let answer = last(&world.hear(bob), an_answer);
    assert_eq!(answer.mid_to_track_id.len(), 6);
    world.pass(Duration::from_millis(200));
    assert_eq!(requirement(&world.hear(bob)), Some((2, 2)));
    world.pass(Duration::from_secs(60));
    assert_eq!(requirement(&world.hear(bob)), None, "asked once an offer");
    let mut offer = parse(CHROMIUM_V1);
    for (kind, mid) in [(0, "7"), (0, "8"), (3, "9"), (3, "10")] {
        let mut section = offer.sections[kind].clone();
        section.mid = rtp::Mid::new(mid);
        offer.sections.push(section);
    }
    offer.groups[0].mids = offer.sections.iter().filter_map(|s| s.mid).collect();
    world.ask(bob, Ask::Offer(description("offer", offer.to_string(), 2)));
    assert_eq!(last(&world.hear(bob), an_answer).mid_to_track_id.len(), 10);
    assert_eq!(world.consumers.values().filter(|(p, ..)| world.peers_of("bob").contains(p)).count(), 10);
    world.pass(Duration::from_secs(1));
    assert_eq!(requirement(&world.hear(bob)), None);
}

#[test]
fn a_client_that_never_makes_sections_is_not_asked_for_ever() {
    let mut world = World::new(config());
    for n in 0..5 {
        publisher(&mut world, &format!("p{n}"));
    }
    let bob = join_with_offer(&mut world, "bob", CHROMIUM_V1);
    let mut asked = 0;
    for id in 2..200 {
        world.pass(Duration::from_millis(200));
        let Some(need) = requirement(&world.hear(bob)) else { break };
        assert_eq!(need, (2, 2));
        asked += 1;
        world.ask(bob, Ask::Offer(description("offer", CHROMIUM_V1, id)));
    }
    assert!((1..=16).contains(&asked), "{asked}");
}

#[test]
fn unsubscribing_frees_the_section_after_another_round() {
    let mut world = World::new(config());
    publisher(&mut world, "alice");
    let bob = join_with_offer(&mut world, "bob", CHROMIUM_V1);
    let answer = last(&world.hear(bob), an_answer);
    let (mid, track) = answer.mid_to_track_id.iter().find(|(_, t)| t.starts_with("TR_V")).unwrap();
    let subscribe = |on| {
        Ask::Subscription(proto::UpdateSubscription {
            track_sids: vec![track.clone()],
            subscribe: on,
            ..Default::default()
        })
    };
    world.ask(bob, subscribe(false));
    assert_eq!(world.consumers.len(), 1);
    world.pass(Duration::from_millis(200));
    assert_eq!(requirement(&world.hear(bob)), Some((0, 0)), "a plain offer, please");
    world.ask(bob, Ask::Offer(description("offer", CHROMIUM_V1, 2)));
    let answer = last(&world.hear(bob), an_answer);
    let section = parse(&answer.sdp);
    let section = section.section(rtp::Mid::new(mid).unwrap()).unwrap().clone();
    assert_eq!(section.direction, sdp::Direction::Inactive);
    world.ask(bob, subscribe(true));
    world.pass(Duration::from_millis(200));
    assert_eq!(requirement(&world.hear(bob)), Some((0, 0)));
    world.ask(bob, Ask::Offer(description("offer", CHROMIUM_V1, 3)));
    assert_eq!(last(&world.hear(bob), an_answer).mid_to_track_id.get(mid), Some(track));
}

#[test]
fn ice_restarts_when_the_client_offers_new_credentials() {
    let mut world = World::new(config());
    let alice = join_with_offer(&mut world, "alice", CHROMIUM_V1);
    let first = parse(&last(&world.hear(alice), an_answer).sdp);
    // The same credentials again: nothing restarts.
    world.ask(alice, Ask::Offer(description("offer", CHROMIUM_V1, 2)));
    let again = parse(&last(&world.hear(alice), an_answer).sdp);
    assert_eq!(first.sections[0].transport.ice, again.sections[0].transport.ice);
    world.take_commands();
    let other = CHROMIUM_V1.replace("a=ice-ufrag:YvQo", "a=ice-ufrag:ZZZZ");
    world.ask(alice, Ask::Offer(description("offer", other, 3)));
    let restarted = parse(&last(&world.hear(alice), an_answer).sdp);
    assert_ne!(first.sections[0].transport.ice, restarted.sections[0].transport.ice);
    assert!(world.take_commands().iter().any(|c| matches!(c, sfu::Command::RestartIce { .. })));
}
