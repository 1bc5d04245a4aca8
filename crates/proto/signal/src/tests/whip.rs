//! Participants without signalling: one offer, one answer.

use std::time::Duration;

use livekit_protocol as proto;
use proto::signal_response::Message;
use sfu::{Command, Event, FailReason};

use super::world::*;
use crate::whip::{Fragment, OfferError, fragment_of, read_offer, ufrag_of};
use crate::{Mode, SessionId};

/// As OBS 30 sends it (libdatachannel, written by hand after its sources): one session-level fingerprint, no
/// extensions, two m-sections that only send, and streams named by `ssrc` lines alone.
pub(super) const OBS: &str = include_str!("obs-30.sdp");

pub(super) fn publish(world: &mut World, identity: &str, offer: &str) -> SessionId {
    let mut request = request(Mode::Single);
    request.auto_subscribe = false;
    request.media_only = true;
    request.offer = Some(description("offer", offer, 1));
    world.join_with(claims(identity), request)
}

fn answer_in(heard: &[Message]) -> String {
    heard
        .iter()
        .rev()
        .find_map(|m| if let Message::Answer(a) = m { Some(a.sdp.clone()) } else { None })
        .unwrap()
}

#[test]
fn the_sections_of_an_offer_announce_its_tracks() {
    assert_eq!(read_offer(OBS).map(|o| (o.sends, o.receives)), Ok((true, false)));
    let mut world = World::new(config());
    let bob = world.join("bob", Mode::Dual);
    world.connect("bob");
    let obs = publish(&mut world, "obs", OBS);
    let answer = answer_in(&world.hear(obs));
    assert!(ufrag_of(&answer).is_some() && answer.contains("a=recvonly") && answer.contains("H264"));
    world.connect("obs");
    let tracks: Vec<_> = world
        .hear(bob)
        .into_iter()
        .filter_map(|m| if let Message::Update(u) = m { u.participants.into_iter().next() } else { None })
        .filter(|p| p.identity == "obs")
        .flat_map(|p| p.tracks)
        .map(|t| (t.source(), t.mime_type))
        .collect();
    assert!(tracks.contains(&(proto::TrackSource::Camera, "video/H264".into())), "{tracks:?}");
    assert!(tracks.contains(&(proto::TrackSource::Microphone, "audio/opus".into())), "{tracks:?}");
}

#[test]
fn one_that_closes_its_transport_or_never_connects_is_gone() {
    let mut world = World::new(config());
    let obs = publish(&mut world, "obs", OBS);
    world.connect("obs");
    let peer = world.peers_of("obs")[0];
    world.handle(crate::Input::Media(Event::Failed { peer, reason: FailReason::Closed }));
    assert!(world.ears[&obs].closed && world.peers_of("obs").is_empty());

    let late = publish(&mut world, "late", OBS);
    world.pass(Duration::from_secs(90));
    assert!(world.ears[&late].closed && world.peers_of("late").is_empty());
}

#[test]
fn a_restart_is_the_last_offer_with_other_credentials() {
    let mut world = World::new(config());
    let obs = publish(&mut world, "obs", OBS);
    let first = answer_in(&world.hear(obs));
    let fragment = Fragment::parse("a=ice-ufrag:wxyz\r\na=ice-pwd:0123456789abcdefghijkl\r\n").unwrap();
    let offer = fragment.restart(OBS).unwrap();
    assert!(offer.contains("a=ice-ufrag:wxyz\r\n") && !offer.contains("a=candidate"));
    world.take_commands();
    world.ask(obs, proto::signal_request::Message::Offer(description("offer", offer, 2)));
    assert!(world.take_commands().iter().any(|c| matches!(c, Command::RestartIce { .. })));
    let second = answer_in(&world.hear(obs));
    assert_ne!(ufrag_of(&first), ufrag_of(&second));
    let fragment = fragment_of(&second).unwrap();
    assert!(fragment.contains(&format!("a=ice-ufrag:{}\r\n", ufrag_of(&second).unwrap())));
    assert!(fragment.contains("a=candidate:") && fragment.contains("a=mid:"));
    assert_eq!(fragment.matches("m=").count(), 1, "{fragment}");
}

#[test]
fn fragments_are_read_and_malformed_ones_refused() {
    let good = "a=group:BUNDLE 0 1\r\nm=audio 9 X 0\r\na=mid:0\r\na=ice-ufrag:EsAw\r\n\
                a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host\r\n\
                a=end-of-candidates\r\n";
    let fragment = Fragment::parse(good).unwrap();
    assert_eq!((fragment.ufrag.as_str(), fragment.candidates.len()), ("EsAw", 1));
    assert!(!format!("{fragment:?}").contains("P2uYro"), "the password is a secret");
    assert_eq!(Fragment::parse("").unwrap().restart(OBS), None);
    for bad in [
        "a=ice-ufrag:EsAw\r\n",
        "a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n",
        "a=ice-ufrag:E\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n",
        "a=ice-ufrag:Es Aw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n",
    ] {
        assert!(Fragment::parse(bad).is_err(), "{bad}");
    }
    assert!(Fragment::parse(&"a=candidate:x\r\n".repeat(33)).is_err());
    assert!(Fragment::parse(&"x".repeat(20_000)).is_err());
}

#[test]
fn offers_that_cannot_be_answered_are_named() {
    let reason = |text: &str| read_offer(text).unwrap_err();
    assert!(matches!(reason(""), OfferError::Malformed(_)));
    assert!(matches!(reason(&format!("{OBS}{}", "a=x:y\r\n".repeat(40_000))), OfferError::Malformed(_)));
    let without = |line: &str| OBS.lines().filter(|l| !l.starts_with(line)).collect::<Vec<_>>().join("\r\n");
    assert_eq!(reason(&without("a=ice-ufrag")), OfferError::Unusable("no ICE credentials"));
    assert_eq!(reason(&without("a=fingerprint")), OfferError::Unusable("no SHA-256 fingerprint"));
    assert_eq!(reason(&OBS.replace("a=sendonly", "a=inactive")), OfferError::Unusable("no audio or video"));
}

#[test]
fn an_offer_that_only_receives_gets_what_the_room_has() {
    let mut world = World::new(config());
    let ada = publish(&mut world, "ada", OBS);
    world.connect("ada");
    world.hear(ada);
    let offer = OBS.replace("a=sendonly", "a=recvonly");
    assert_eq!(read_offer(&offer).map(|o| (o.sends, o.receives)), Ok((false, true)));
    let mut request = request(Mode::Single);
    request.media_only = true;
    request.offer = Some(description("offer", offer, 1));
    let viewer = world.join_with(claims("viewer"), request);
    let answer = answer_in(&world.hear(viewer));
    assert_eq!(answer.matches("a=sendonly").count(), 2, "{answer}");
}

/// A player's offer, as it comes before anybody has published.
fn play(world: &mut World) -> (SessionId, String) {
    let mut request = request(Mode::Single);
    request.media_only = true;
    request.offer = Some(description("offer", OBS.replace("a=sendonly", "a=recvonly"), 1));
    let viewer = world.join_with(claims("viewer"), request);
    world.connect("viewer");
    let answer = answer_in(&world.hear(viewer));
    (viewer, answer)
}

/// The sections in which a player gets something.
fn played(world: &World) -> Vec<String> {
    let peer = world.peers_of("viewer")[0];
    let mut mids: Vec<_> = world
        .consumers
        .values()
        .filter(|(of, _, _)| *of == peer)
        .map(|(_, _, params)| params.mid.to_string())
        .collect();
    mids.sort();
    mids
}

#[test]
fn tracks_that_come_later_go_into_the_sections_that_were_left_open() {
    let mut world = World::new(config());
    let (_, answer) = play(&mut world);
    let sections = parse(&answer).sections;
    assert!(sections.iter().all(|s| s.direction == sdp::Direction::SendOnly), "{answer}");
    assert!(sections.iter().all(|s| !s.rtp.payloads.is_empty() && s.rtp.ssrcs.is_empty()));
    assert_eq!(played(&world), [] as [String; 0]);
    let ada = publish(&mut world, "ada", OBS);
    world.connect("ada");
    world.pass(Duration::from_millis(300));
    assert_eq!(played(&world), ["0", "1"]);
    // Whoever comes next has no place until the first has gone.
    publish(&mut world, "eve", OBS);
    world.connect("eve");
    world.pass(Duration::from_millis(300));
    assert_eq!(world.consumers.len(), 2);
    let before: Vec<_> = world.consumers.keys().copied().collect();
    world.ask(ada, proto::signal_request::Message::Leave(proto::LeaveRequest::default()));
    world.pass(Duration::from_millis(300));
    assert_eq!(played(&world), ["0", "1"]);
    assert!(world.consumers.keys().all(|consumer| !before.contains(consumer)), "others than before");
}

#[test]
fn data_is_not_kept_for_who_opens_no_channel() {
    use livekit_protocol::data_packet::Value;
    use prost::Message as _;
    let mut world = World::new(config());
    for identity in ["ann", "bob"] {
        world.join(identity, Mode::Single);
        world.connect(identity);
    }
    publish(&mut world, "obs", OBS);
    world.connect("obs");
    world.take_commands();
    let value = Some(Value::User(proto::UserPacket { payload: b"hi".to_vec(), ..Default::default() }));
    let payload = proto::DataPacket { value, ..Default::default() }.encode_to_vec().into();
    let (peer, label) = (world.peers_of("ann")[0], "_reliable".to_owned());
    world.handle(crate::Input::Media(Event::Data { peer, label, payload }));
    let sent = world.take_commands().into_iter().filter_map(|command| match command {
        Command::SendData { peers, .. } => Some(peers),
        _ => None,
    });
    assert_eq!(sent.collect::<Vec<_>>(), [world.peers_of("bob")]);
}
