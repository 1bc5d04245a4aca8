//! Redundant audio (RFC 2198): taken from who wants it, offered to who knows it, and Opus for the others.

use std::time::Duration;

use codec::Kind;
use livekit_protocol as proto;
use proto::signal_request::Message as Ask;
use rtp::Pt;

use super::world::*;
use crate::Mode;

/// What a client is told about sending its microphone: names of codecs in order.
fn told_to_send(world: &mut World, add: proto::AddTrackRequest, sdp: &str) -> Vec<String> {
    let alice = world.join("alice", Mode::Dual);
    world.ask(alice, Ask::AddTrack(add));
    world.ask(alice, Ask::Offer(description("offer", sdp, 1)));
    let answer = parse(&last(&world.hear(alice), an_answer).sdp);
    answer.sections[0].rtp.payloads.iter().map(|p| p.name.to_ascii_lowercase()).collect()
}

fn mime(world: &World, identity: &str) -> String {
    let participant = world.conference.room.by_identity(identity).unwrap();
    world.conference.info_of(participant).tracks[0].mime_type.clone()
}

/// To the only consumer, G.711 left aside, which follows.
fn sent(world: &World) -> Vec<(Kind, Pt)> {
    let (_, _, params) = world.consumers.values().next().unwrap();
    let modern = params.codecs.iter().filter(|c| matches!(c.codec, Kind::Red | Kind::Opus));
    modern.map(|c| (c.codec, c.pt)).collect()
}

/// A client of two connections that answers with `edit` applied to what it is offered; what it is sent.
fn subscribed(world: &mut World, edit: impl Fn(&mut sdp::Session)) -> Vec<(Kind, Pt)> {
    let bob = world.join("bob", Mode::Dual);
    for _ in 0..2 {
        let offers: Vec<_> = world.hear(bob).iter().filter_map(an_offer).collect();
        for offer in offers {
            let mut answer = answer_to(&offer);
            let mut sdp = parse(&answer.sdp);
            edit(&mut sdp);
            answer.sdp = sdp.to_string();
            world.ask(bob, Ask::Answer(answer));
        }
        world.pass(Duration::from_millis(200));
    }
    sent(world)
}

/// One connection: a subscriber whose offer has been edited; what it is sent.
fn subscribed_single(world: &mut World, sdp: &str) -> Vec<(Kind, Pt)> {
    let mut request = request(Mode::Single);
    request.offer = Some(description("offer", sdp, 1));
    world.join_with(claims("bob"), request);
    sent(world)
}

#[test]
fn redundant_audio_comes_first_and_reaches_who_knows_it() {
    let mut world = World::new(config());
    let told = told_to_send(&mut world, microphone(), CHROMIUM_PUBLISHER);
    assert_eq!(told[..2], ["red", "opus"]);
    assert_eq!(mime(&world, "alice"), "audio/red");
    let params = world.producers.values().next().unwrap();
    assert_eq!((params.codecs[0].codec, params.codecs[0].clock_rate), (Kind::Red, 48_000));
    assert!(params.codecs[0].nack, "what is lost is asked for again, as with Opus");
    assert_eq!(subscribed(&mut world, |_| {}), [(Kind::Red, Pt(63)), (Kind::Opus, Pt(111))]);
}

#[test]
fn our_own_offer_describes_it_as_rfc_2198_says() {
    let mut world = World::new(config());
    told_to_send(&mut world, microphone(), CHROMIUM_PUBLISHER);
    let bob = world.join("bob", Mode::Dual);
    let offer = last(&world.hear(bob), an_offer);
    assert!(offer.sdp.contains("a=rtpmap:63 red/48000/2\r\n"), "{}", offer.sdp);
    assert!(offer.sdp.contains("a=fmtp:63 111/111\r\n"), "{}", offer.sdp);
}

#[test]
fn who_does_not_know_it_gets_opus() {
    let plain = |sdp: &mut sdp::Session| {
        for section in &mut sdp.sections {
            section.rtp.payloads.retain(|p| !p.is("red"));
        }
    };
    let mut world = World::new(config());
    told_to_send(&mut world, microphone(), CHROMIUM_PUBLISHER);
    assert_eq!(subscribed(&mut world, plain), [(Kind::Opus, Pt(111))]);

    let mut world = World::new(config());
    told_to_send(&mut world, microphone(), CHROMIUM_PUBLISHER);
    let mut offer = parse(CHROMIUM_V1);
    plain(&mut offer);
    assert_eq!(subscribed_single(&mut world, &offer.to_string()), [(Kind::Opus, Pt(111))]);

    let mut world = World::new(config());
    told_to_send(&mut world, microphone(), CHROMIUM_PUBLISHER);
    assert_eq!(subscribed_single(&mut world, FIREFOX_V1), [(Kind::Opus, Pt(109))]);
}

#[test]
fn a_subscribers_own_numbers_are_kept() {
    let mut world = World::new(config());
    told_to_send(&mut world, microphone(), CHROMIUM_PUBLISHER);
    let offer = CHROMIUM_V1
        .replace("SAVPF 111 63 ", "SAVPF 96 97 ")
        .replace(":111 ", ":96 ")
        .replace("a=rtpmap:63 ", "a=rtpmap:97 ")
        .replace("a=fmtp:63 111/111", "a=fmtp:97 96/96");
    // In Chromium's offer video has 96 and 97 as well, which a client in one bundle would not do.
    let mut offer = parse(&offer);
    offer.sections.retain(|s| s.kind != sdp::Kind::Video);
    let sent = subscribed_single(&mut world, &offer.to_string());
    assert_eq!(sent, [(Kind::Red, Pt(97)), (Kind::Opus, Pt(96))]);
}

#[test]
fn it_is_not_taken_from_who_disables_it_or_encrypts_end_to_end() {
    let disabled = proto::AddTrackRequest { disable_red: true, ..microphone() };
    let encrypted =
        proto::AddTrackRequest { encryption: proto::encryption::Type::Gcm.into(), ..microphone() };
    for add in [disabled, encrypted] {
        let mut world = World::new(config());
        let told = told_to_send(&mut world, add, CHROMIUM_PUBLISHER);
        assert!(!told.contains(&"red".to_owned()), "{told:?}");
        assert_eq!(mime(&world, "alice"), "audio/opus");
        assert_eq!(subscribed(&mut world, |_| {}), [(Kind::Opus, Pt(111))]);
    }
}

#[test]
fn it_is_not_taken_where_it_is_switched_off_or_before_the_track_is_known() {
    let mut config = config();
    config.codecs.retain(|c| *c != Kind::Red);
    let told = told_to_send(&mut World::new(config), microphone(), CHROMIUM_PUBLISHER);
    assert_eq!(told[0], "opus");

    let mut world = World::new(super::world::config());
    let alice = world.join("alice", Mode::Dual);
    world.ask(alice, Ask::Offer(description("offer", CHROMIUM_PUBLISHER, 1)));
    let answer = parse(&last(&world.hear(alice), an_answer).sdp);
    assert!(answer.sections[0].rtp.payloads.iter().all(|p| !p.is("red")));
    world.ask(alice, Ask::AddTrack(microphone()));
    assert_eq!(mime(&world, "alice"), "audio/opus");
    // The next negotiation makes up for it.
    world.ask(alice, Ask::Offer(description("offer", CHROMIUM_PUBLISHER, 2)));
    let answer = parse(&last(&world.hear(alice), an_answer).sdp);
    assert!(answer.sections[0].rtp.payloads[0].is("red"));
    assert_eq!(world.producers.values().next().unwrap().codecs[0].codec, Kind::Red);
}

#[test]
fn of_plain_opus_it_is_made_for_who_knows_it_where_that_is_switched_on() {
    let made = || {
        let mut config = config();
        config.limits.redundant_audio = true;
        World::new(config)
    };
    // A publisher that knows nothing of it.
    let mut offer = parse(CHROMIUM_PUBLISHER);
    offer.sections[0].rtp.payloads.retain(|p| !p.is("red"));
    let plain = offer.to_string();
    let (red, opus) = ((Kind::Red, Pt(63)), (Kind::Opus, Pt(111)));
    for (mut world, sent) in [(World::new(config()), vec![opus]), (made(), vec![red, opus])] {
        told_to_send(&mut world, microphone(), &plain);
        assert_eq!(mime(&world, "alice"), "audio/opus");
        let codecs = &world.producers.values().next().unwrap().codecs;
        assert!(codecs.iter().all(|c| c.codec != Kind::Red), "none comes");
        assert_eq!(subscribed(&mut world, |_| {}), sent);
    }
    let mut world = made();
    told_to_send(&mut world, microphone(), &plain);
    assert_eq!(subscribed_single(&mut world, CHROMIUM_V1), [red, opus]);
    let mut world = made();
    told_to_send(&mut world, microphone(), &plain);
    assert_eq!(subscribed_single(&mut world, FIREFOX_V1), [(Kind::Opus, Pt(109))]);
    // Not of what is encrypted, nor against the publisher's will, nor where there is to be none at all.
    let disabled = proto::AddTrackRequest { disable_red: true, ..microphone() };
    let encrypted =
        proto::AddTrackRequest { encryption: proto::encryption::Type::Gcm.into(), ..microphone() };
    for add in [disabled, encrypted] {
        let mut world = made();
        told_to_send(&mut world, add, CHROMIUM_PUBLISHER);
        assert_eq!(subscribed(&mut world, |_| {}), [opus]);
    }
    let mut off = config();
    off.limits.redundant_audio = true;
    off.codecs.retain(|c| *c != Kind::Red);
    let mut world = World::new(off);
    told_to_send(&mut world, microphone(), &plain);
    assert_eq!(subscribed(&mut world, |_| {}), [opus]);
}

#[test]
fn redundancy_of_anything_but_opus_is_refused() {
    for fmtp in ["a=fmtp:63 111/0\r\n", "a=fmtp:63 0/0\r\n", "a=fmtp:63 111/\r\n", "a=fmtp:63 x\r\n", ""] {
        let sdp = CHROMIUM_PUBLISHER.replace("\r\n", "\n").replace('\n', "\r\n");
        assert!(sdp.contains("a=fmtp:63 111/111\r\n"));
        let sdp = sdp.replace("a=fmtp:63 111/111\r\n", fmtp);
        let told = told_to_send(&mut World::new(config()), microphone(), &sdp);
        assert_eq!(told[0], "opus", "{fmtp:?}");
        assert!(!told.contains(&"red".to_owned()), "{fmtp:?}");
    }
    // A narrower clock than Opus has.
    let sdp = CHROMIUM_PUBLISHER.replace("red/48000/2", "red/8000");
    assert_eq!(told_to_send(&mut World::new(config()), microphone(), &sdp)[0], "opus");
}

/// A microphone with two channels.
fn stereo() -> proto::AddTrackRequest {
    let audio_features =
        vec![proto::AudioTrackFeature::TfStereo.into(), proto::AudioTrackFeature::TfNoDtx.into()];
    proto::AddTrackRequest { audio_features, ..microphone() }
}

/// The values of a parameter of Opus in each section of a description that has it.
fn of_opus(sdp: &str, name: &str) -> Vec<Option<String>> {
    let session = parse(sdp);
    let payloads = session.sections.iter().flat_map(|s| &s.rtp.payloads).filter(|p| p.is("opus"));
    payloads.map(|p| p.fmtp.get(name).map(str::to_owned)).collect()
}

#[test]
fn who_publishes_is_asked_for_two_channels_and_for_pauses_where_the_track_has_them() {
    // livekit-client wants to hear everything in stereo, which is no reason to send a microphone twice.
    let wants_stereo = |sdp: &str| sdp.replace("a=fmtp:111 ", "a=fmtp:111 stereo=1;");
    assert!(wants_stereo(CHROMIUM_PUBLISHER).contains("stereo=1;minptime"));
    let yes = || Some("1".to_owned());
    for (add, channels, pauses) in [(microphone(), None, yes()), (stereo(), yes(), None)] {
        for mode in [Mode::Dual, Mode::Single] {
            let mut world = World::new(config());
            let offer = match mode {
                Mode::Dual => wants_stereo(CHROMIUM_PUBLISHER),
                Mode::Single => wants_stereo(&single_publishing().to_string()),
            };
            let alice = world.join("alice", mode);
            world.ask(alice, Ask::AddTrack(add.clone()));
            world.ask(alice, Ask::Offer(description("offer", offer, 1)));
            let answer = last(&world.hear(alice), an_answer).sdp;
            for (name, value) in [("stereo", &channels), ("usedtx", &pauses)] {
                let told = of_opus(&answer, name);
                assert!(!told.is_empty() && told.iter().all(|v| v == value), "{mode:?} {name}: {told:?}");
            }
            assert_eq!(of_opus(&answer, "useinbandfec")[0], yes());
        }
    }
}

#[test]
fn who_is_offered_a_track_of_two_channels_is_told_so_in_every_section() {
    let yes = Some("1".to_owned());
    for (add, told) in [(microphone(), None), (stereo(), yes)] {
        let mut world = World::new(config());
        told_to_send(&mut world, add, CHROMIUM_PUBLISHER);
        // Somebody else has one channel, so that there are two sections.
        let carol = world.join("carol", Mode::Dual);
        world.ask(carol, Ask::AddTrack(microphone()));
        world.ask(carol, Ask::Offer(description("offer", CHROMIUM_PUBLISHER, 1)));
        let bob = world.join("bob", Mode::Dual);
        let offer = last(&world.hear(bob), an_offer).sdp;
        assert_eq!(of_opus(&offer, "sprop-stereo"), [told.clone(), told]);
    }
}
