//! How subscribers are to play what they get: extensions, playout delay, tracks that belong together.

use std::time::Duration;

use proto::signal_request::Message as Ask;

use livekit_protocol as proto;
use rtp::ext::PlayoutDelay;

use super::world::*;
use crate::{Config, Mode};

fn with_rules(edit: impl FnOnce(&mut room::Config)) -> Config {
    let mut config = config();
    edit(&mut config.rules);
    config
}

/// A publisher of both kinds, and what a subscriber of two connections is offered.
fn offered(world: &mut World, protocol: i32, browser: &str) -> proto::SessionDescription {
    let alice = world.join("alice", Mode::Dual);
    world.ask(alice, Ask::AddTrack(microphone()));
    world.ask(alice, Ask::AddTrack(camera()));
    world.ask(alice, Ask::Offer(description("offer", CHROMIUM_PUBLISHER, 1)));
    let mut request = request(Mode::Dual);
    request.client.protocol = protocol;
    request.client.browser = browser.into();
    let bob = world.join_with(claims("bob"), request);
    let offer = last(&world.hear(bob), an_offer);
    world.ask(bob, Ask::Answer(answer_to(&offer)));
    world.pass(Duration::from_millis(200));
    offer
}

fn streams(offer: &proto::SessionDescription) -> Vec<String> {
    let sdp = parse(&offer.sdp);
    sdp.sections.iter().filter_map(|s| s.rtp.msids.first()).map(|m| m.stream.clone()).collect()
}

#[test]
fn loudness_and_playout_delay_are_offered_where_they_make_sense_and_passed_on() {
    let mut world = World::new(config());
    let sdp = parse(&offered(&mut world, 16, "Chrome").sdp);
    let has = |kind, extension| {
        let section = sdp.sections.iter().find(|s| s.kind == kind).unwrap();
        section.rtp.extension_id(&extension).is_some()
    };
    use sdp::Extension::{AudioLevel, PlayoutDelay, Rid, VideoOrientation};
    assert!(has(sdp::Kind::Audio, AudioLevel) && !has(sdp::Kind::Video, AudioLevel));
    assert!(has(sdp::Kind::Video, PlayoutDelay) && !has(sdp::Kind::Audio, PlayoutDelay));
    assert!(!has(sdp::Kind::Video, Rid) && !has(sdp::Kind::Video, VideoOrientation));
    let ids: Vec<_> =
        world.consumers.values().map(|(_, _, p)| (p.rtx_ssrc.is_some(), p.extensions)).collect();
    for (video, ids) in ids {
        assert_eq!(ids.audio_level.is_some(), !video);
        assert_eq!(ids.playout_delay.is_some(), video);
    }
    assert!(world.consumers.values().all(|(_, _, p)| p.playout_delay.is_none()));
}

#[test]
fn nobody_sends_pictures_that_others_would_show_on_their_side() {
    let mut world = World::new(config());
    let alice = world.join("alice", Mode::Dual);
    world.ask(alice, Ask::AddTrack(camera()));
    assert!(CHROMIUM_PUBLISHER.contains("urn:3gpp:video-orientation"));
    world.ask(alice, Ask::Offer(description("offer", CHROMIUM_PUBLISHER, 1)));
    let answer = parse(&last(&world.hear(alice), an_answer).sdp);
    let orientation = sdp::Extension::VideoOrientation;
    assert!(answer.sections.iter().all(|s| s.rtp.extension_id(&orientation).is_none()));
    assert!(answer.sections[1].rtp.extension_id(&sdp::Extension::PlayoutDelay).is_some());
}

#[test]
fn a_rooms_playout_delay_reaches_every_subscriber() {
    let rules = |min, max| with_rules(|r| r.playout_delay = Some(room::PlayoutDelay::of_millis(min, max)));
    for (config, told) in [
        (rules(200, 1000), PlayoutDelay { min: 20, max: 100 }),
        (rules(0, 100), PlayoutDelay { min: 0, max: 10 }),
        (rules(500, 0), PlayoutDelay { min: 50, max: 1000 }),
        (rules(500, 100), PlayoutDelay { min: 50, max: 50 }),
        (rules(u32::MAX, u32::MAX), PlayoutDelay { min: 0xfff, max: 0xfff }),
    ] {
        let mut world = World::new(config);
        offered(&mut world, 16, "Chrome");
        assert_eq!(world.consumers.len(), 2);
        assert!(world.consumers.values().all(|(_, _, p)| p.playout_delay == Some(told)), "{told:?}");
    }
}

#[test]
fn tracks_of_one_stream_share_its_name_where_the_room_says_so_and_the_client_can() {
    let mut world = World::new(config());
    let apart = streams(&offered(&mut world, 16, "Chrome"));
    assert!(apart[0] != apart[1] && apart.iter().all(|s| s.contains("|TR_")), "{apart:?}");

    let synchronous = || with_rules(|r| r.sync_streams = true);
    let mut world = World::new(synchronous());
    world.named_streams = true;
    let offer = offered(&mut world, 16, "Chrome");
    let together = streams(&offer);
    assert_eq!(
        together,
        [format!("{}|camera", world.sid("alice")), format!("{}|camera", world.sid("alice"))]
    );
    let sdp = parse(&offer.sdp);
    let tracks = sdp.sections.iter().filter_map(|s| s.rtp.msids.first()?.track.clone());
    assert!(tracks.clone().count() == 2 && tracks.into_iter().all(|t| t.starts_with("TR_")));

    for (protocol, browser) in [(9, "Chrome"), (16, "Firefox")] {
        let apart = streams(&offered(&mut World::new(synchronous()), protocol, browser));
        assert!(apart.iter().all(|s| s.contains("|TR_")), "{apart:?}");
    }
}

#[test]
fn a_stream_name_that_is_none_is_not_used() {
    for name in ["TR_VCfake", "a b", "a|b", "a\r\nb", "ä", &"x".repeat(33)] {
        let mut world = World::new(with_rules(|r| r.sync_streams = true));
        let alice = world.join("alice", Mode::Dual);
        let add = proto::AddTrackRequest { stream: name.to_owned(), ..camera() };
        world.ask(alice, Ask::AddTrack(add));
        world.ask(alice, Ask::Offer(description("offer", CHROMIUM_PUBLISHER, 1)));
        let bob = world.join("bob", Mode::Dual);
        let names = streams(&last(&world.hear(bob), an_offer));
        assert!(names.len() == 1 && names[0].contains("|TR_VC") && !names[0].contains("fake"), "{names:?}");
    }
}
