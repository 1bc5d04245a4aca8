//! Backup codecs: who lacks the first gets the second, once somebody does.

use std::time::Duration;

use codec::Kind;
use livekit_protocol as proto;
use proto::BackupCodecPolicy as Policy;
use proto::signal_request::Message as Ask;
use proto::signal_response::Message;

use super::publishing::tracks_of;
use super::world::*;
use crate::{Mode, SessionId};

const BACKUP_CID: &str = "the-same-in-vp8";

fn codec(name: &str, cid: &str) -> proto::SimulcastCodec {
    proto::SimulcastCodec { codec: name.into(), cid: cid.into(), ..Default::default() }
}

/// A publisher of VP9 that could send VP8 as well, beside it; the track's id.
fn publisher(world: &mut World, second: Option<&str>) -> (SessionId, String) {
    let mut add = camera();
    add.set_backup_codec_policy(Policy::Simulcast);
    add.simulcast_codecs = vec![codec("vp9", VIDEO_CID)];
    add.simulcast_codecs.extend(second.map(|name| codec(name, "")));
    publisher_of(world, add, CHROMIUM_PUBLISHER)
}

fn publisher_of(world: &mut World, add: proto::AddTrackRequest, sdp: &str) -> (SessionId, String) {
    let alice = world.join("alice", Mode::Dual);
    world.ask(alice, Ask::AddTrack(add));
    world.ask(alice, Ask::Offer(description("offer", sdp, 1)));
    let sid = last(&world.hear(alice), |m| match m {
        Message::TrackPublished(p) => Some(p.track.clone().unwrap().sid),
        _ => None,
    });
    (alice, sid)
}

/// The publisher does as it was told; with `stopped` it ends the second codec.
fn publish_second(world: &mut World, alice: SessionId, sid: &str, id: u32, stopped: bool) {
    if !stopped {
        let mut add = camera();
        (add.cid, add.sid) = (BACKUP_CID.into(), sid.into());
        add.simulcast_codecs = vec![codec("vp8", BACKUP_CID)];
        world.ask(alice, Ask::AddTrack(add));
    }
    let mut offer = parse(CHROMIUM_PUBLISHER);
    let mut section = offer.sections[1].clone();
    section.mid = rtp::Mid::new("9");
    section.rtp.msids[0].track = Some(BACKUP_CID.into());
    section.rtp.ssrcs.clear();
    if stopped {
        section.direction = sdp::Direction::Inactive;
    }
    offer.groups[0].mids.push(section.mid.unwrap());
    offer.sections.push(section);
    world.ask(alice, Ask::Offer(description("offer", offer.to_string(), id)));
}

/// Chromium's offer of one connection without VP9.
fn without_vp9() -> String {
    let mut offer = parse(CHROMIUM_V1);
    for section in &mut offer.sections {
        section.rtp.payloads.retain(|p| !p.is("VP9"));
    }
    offer.to_string()
}

fn join_single(world: &mut World, identity: &str, sdp: &str) -> SessionId {
    let mut request = request(Mode::Single);
    request.offer = Some(description("offer", sdp, 1));
    let session = world.join_with(claims(identity), request);
    world.connect(identity);
    session
}

/// Answers what comes, without VP9, as a client would: what else there is in a section it takes.
fn answer_without_vp9(world: &mut World, session: SessionId) {
    for _ in 0..4 {
        let offers: Vec<_> = world.hear(session).iter().filter_map(an_offer).collect();
        for offer in offers {
            let mut answer = answer_to(&offer);
            let mut sdp = parse(&answer.sdp);
            for section in &mut sdp.sections {
                section.rtp.payloads.retain(|p| !p.is("VP9"));
            }
            answer.sdp = sdp.to_string();
            world.ask(session, Ask::Answer(answer));
        }
        world.pass(Duration::from_millis(200));
    }
}

/// What the publisher was told last: of each codec, whether any of it is wanted.
fn told(world: &mut World, alice: SessionId) -> Option<Vec<(String, bool)>> {
    let wanted = |c: &proto::SubscribedCodec| (c.codec.clone(), c.qualities.iter().any(|q| q.enabled));
    world.hear(alice).iter().rev().find_map(|m| match m {
        Message::SubscribedQualityUpdate(q) => Some(q.subscribed_codecs.iter().map(wanted).collect()),
        _ => None,
    })
}

fn both(first: bool, second: bool) -> Option<Vec<(String, bool)>> {
    Some(vec![("vp9".into(), first), ("vp8".into(), second)])
}

/// The codecs of all that is sent.
fn sent(world: &World) -> Vec<Kind> {
    let mut kinds: Vec<_> = world.consumers.values().map(|(_, _, p)| p.codecs[0].codec).collect();
    kinds.sort_by_key(|k| k.name());
    kinds
}

fn refused(heard: &[Message]) -> bool {
    heard.iter().any(|m| matches!(m, Message::SubscriptionResponse(_)))
}

#[test]
fn who_lacks_the_first_codec_gets_the_second_once_it_is_there() {
    let mut world = World::new(config());
    let (alice, sid) = publisher(&mut world, Some("vp8"));
    let carol = join_single(&mut world, "carol", CHROMIUM_V1);
    assert_eq!(sent(&world), [Kind::Vp9]);
    world.hear(alice);
    let bob = join_single(&mut world, "bob", &without_vp9());
    assert_eq!(told(&mut world, alice), both(true, true));
    assert_eq!(sent(&world), [Kind::Vp9], "nothing to send yet");
    assert!(!refused(&world.hear(bob)));

    publish_second(&mut world, alice, &sid, 2, false);
    assert_eq!(world.producers.len(), 2);
    world.pass(Duration::from_millis(200));
    world.ask(bob, Ask::Offer(description("offer", without_vp9(), 2)));
    assert_eq!(sent(&world), [Kind::Vp8, Kind::Vp9]);
    let producers: std::collections::BTreeSet<_> = world.consumers.values().map(|(_, p, _)| *p).collect();
    assert_eq!(producers.len(), 2);
    assert_eq!(last(&world.hear(bob), an_answer).mid_to_track_id.values().collect::<Vec<_>>(), [&sid]);

    // Who has the first goes: then only the second is wanted. Somebody who has it comes: both are.
    world.hear(alice);
    world.ask(carol, Ask::Leave(Default::default()));
    assert_eq!(told(&mut world, alice), both(false, true));
    join_single(&mut world, "dave", CHROMIUM_V1);
    assert_eq!(told(&mut world, alice), both(true, true));
    let off = proto::UpdateSubscription { track_sids: vec![sid], ..Default::default() };
    world.ask(bob, Ask::Subscription(off));
    assert_eq!(told(&mut world, alice), both(true, false));
    assert_eq!(sent(&world), [Kind::Vp9]);
}

#[test]
fn with_two_connections_the_refusal_tells() {
    let mut world = World::new(config());
    let (alice, sid) = publisher(&mut world, Some("vp8"));
    let bob = world.join("bob", Mode::Dual);
    answer_without_vp9(&mut world, bob);
    assert_eq!(told(&mut world, alice), both(false, true));
    assert!(world.consumers.is_empty());
    publish_second(&mut world, alice, &sid, 2, false);
    world.pass(Duration::from_millis(200));
    answer_without_vp9(&mut world, bob);
    assert_eq!(sent(&world), [Kind::Vp8]);
}

#[test]
fn a_second_codec_that_ends_is_waited_for_again() {
    let mut world = World::new(config());
    let (alice, sid) = publisher(&mut world, Some("vp8"));
    let bob = world.join("bob", Mode::Dual);
    answer_without_vp9(&mut world, bob);
    for round in 0..2 {
        publish_second(&mut world, alice, &sid, 2 + 2 * round, false);
        world.pass(Duration::from_millis(200));
        answer_without_vp9(&mut world, bob);
        assert_eq!((sent(&world), world.producers.len()), (vec![Kind::Vp8], 2), "round {round}");
        publish_second(&mut world, alice, &sid, 3 + 2 * round, true);
        answer_without_vp9(&mut world, bob);
        assert_eq!((sent(&world), world.producers.len()), (vec![], 1), "round {round}");
    }
    // The publisher goes, and takes everything with it.
    publish_second(&mut world, alice, &sid, 9, false);
    world.pass(Duration::from_millis(200));
    answer_without_vp9(&mut world, bob);
    world.ask(alice, Ask::Leave(Default::default()));
    assert!(world.producers.is_empty());
}

/// livekit-client asks for H.265 also where its browser cannot send it, and goes on calling the track so. To a demand for
/// another codec it would answer with the same picture once more.
#[test]
fn a_publisher_that_lacks_its_own_codec_is_told_of_one_track_by_the_name_it_has_for_it() {
    let mut config = config();
    config.codecs.push(Kind::H265);
    let mut world = World::new(config);
    let mut add = camera();
    add.simulcast_codecs = vec![codec("h265", VIDEO_CID), codec("vp8", "")];
    let (alice, sid) = publisher_of(&mut world, add, CHROMIUM_PUBLISHER);
    let bob = join_single(&mut world, "bob", CHROMIUM_V1);
    assert_eq!(sent(&world), [Kind::Vp8]);
    let mut less = proto::UpdateTrackSettings { track_sids: vec![sid], ..Default::default() };
    less.set_quality(proto::VideoQuality::Low);
    world.ask(bob, Ask::TrackSetting(less));
    world.pass(Duration::from_secs(6));
    assert_eq!(told(&mut world, alice), Some(vec![("h265".into(), true)]));
    let codecs = tracks_of(&world, "alice").remove(0).codecs;
    assert_eq!(codecs.iter().map(|c| c.mime_type.as_str()).collect::<Vec<_>>(), ["video/VP8"]);
}

#[test]
fn without_a_second_codec_that_helps_the_subscription_fails() {
    for second in [None, Some("h265"), Some("theora")] {
        let mut world = World::new(config());
        let (alice, _) = publisher(&mut world, second);
        world.hear(alice);
        let bob = join_single(&mut world, "bob", &without_vp9());
        assert!(refused(&world.hear(bob)), "{second:?}");
        assert_eq!(told(&mut world, alice), None, "{second:?}");
    }
    // Who lacks the second too is told so when it is there.
    let mut world = World::new(config());
    let (alice, sid) = publisher(&mut world, Some("vp8"));
    let bob = world.join("bob", Mode::Dual);
    let refuse_all = |world: &mut World| {
        for _ in 0..3 {
            let offers: Vec<_> = world.hear(bob).iter().filter_map(an_offer).collect();
            for offer in offers {
                let mut answer = answer_to(&offer);
                answer.sdp = answer.sdp.replace("a=recvonly", "a=inactive");
                world.ask(bob, Ask::Answer(answer));
            }
            world.pass(Duration::from_millis(200));
        }
    };
    refuse_all(&mut world);
    publish_second(&mut world, alice, &sid, 2, false);
    world.pass(Duration::from_millis(200));
    let offer = last(&world.hear(bob), an_offer);
    let mut answer = answer_to(&offer);
    answer.sdp = answer.sdp.replace("a=recvonly", "a=inactive");
    world.ask(bob, Ask::Answer(answer));
    assert!(refused(&world.hear(bob)));
    assert!(world.consumers.is_empty());
}

#[test]
fn a_publisher_of_h265_is_asked_for_vp8_by_who_lacks_it() {
    let mut with_h265 = config();
    with_h265.codecs.push(Kind::H265);
    let mut world = World::new(with_h265);
    let mut add = camera();
    add.simulcast_codecs = vec![codec("h265", VIDEO_CID), codec("vp8", "")];
    let sdp = CHROMIUM_PUBLISHER
        .replace("98 VP9/90000", "98 H265/90000")
        .replace("a=fmtp:98 profile-id=0", "a=fmtp:98 profile-id=1");
    let (alice, sid) = publisher_of(&mut world, add, &sdp);
    world.hear(alice);
    let bob = join_single(&mut world, "bob", CHROMIUM_V1);
    assert_eq!(told(&mut world, alice), Some(vec![("h265".into(), false), ("vp8".into(), true)]));
    assert!(!refused(&world.hear(bob)));
    publish_second(&mut world, alice, &sid, 2, false);
    world.pass(Duration::from_millis(200));
    world.ask(bob, Ask::Offer(description("offer", CHROMIUM_V1, 2)));
    assert_eq!(sent(&world), [Kind::Vp8]);
}

#[test]
fn a_publisher_that_wants_one_codec_alone_has_everybody_moved_to_the_second_and_one_that_would_like_to_in_small_rooms()
 {
    // With so many participants where the second codec comes: alice, bob, carol and dave.
    for (policy, below, moved) in [
        (Policy::Regression, 1, true),
        (Policy::PreferRegression, 5, true),
        (Policy::PreferRegression, 0, true),
        (Policy::PreferRegression, 4, false),
        (Policy::Simulcast, 0, false),
    ] {
        let mut config = config();
        config.limits.regression_below = below;
        let mut world = World::new(config);
        let mut add = camera();
        add.simulcast_codecs = vec![codec("vp9", VIDEO_CID), codec("vp8", "")];
        add.set_backup_codec_policy(policy);
        let (alice, sid) = publisher_of(&mut world, add, CHROMIUM_PUBLISHER);
        // Of either kind of connection, with the first codec.
        let carol = join_single(&mut world, "carol", CHROMIUM_V1);
        let dave = world.join("dave", Mode::Dual);
        let answer_all = |world: &mut World, dave| {
            for _ in 0..4 {
                for offer in world.hear(dave).iter().filter_map(an_offer) {
                    world.ask(dave, Ask::Answer(answer_to(&offer)));
                }
                world.pass(Duration::from_millis(200));
            }
        };
        answer_all(&mut world, dave);
        world.connect("dave");
        assert_eq!(sent(&world), [Kind::Vp9, Kind::Vp9]);
        world.hear(alice);
        let bob = join_single(&mut world, "bob", &without_vp9());
        // Until the second is there, the first goes on.
        assert_eq!((told(&mut world, alice), sent(&world).len()), (both(true, true), 2));

        publish_second(&mut world, alice, &sid, 2, false);
        let (then, others) = if moved { (both(false, true), Kind::Vp8) } else { (None, Kind::Vp9) };
        assert_eq!(told(&mut world, alice), then, "{policy:?} below {below}");
        for (id, who, sdp) in
            [(2, bob, without_vp9()), (2, carol, CHROMIUM_V1.into()), (3, carol, CHROMIUM_V1.into())]
        {
            world.pass(Duration::from_millis(200));
            world.ask(who, Ask::Offer(description("offer", sdp, id)));
        }
        answer_all(&mut world, dave);
        assert_eq!(sent(&world), [Kind::Vp8, others, others], "{policy:?} below {below}");
        // Who comes now is given what the others have.
        join_single(&mut world, "erin", CHROMIUM_V1);
        assert_eq!(sent(&world), [Kind::Vp8, others, others, others], "{policy:?} below {below}");
        assert_eq!(told(&mut world, alice), both(!moved, true));
    }
}

#[test]
fn what_has_taken_the_firsts_place_keeps_it_though_the_room_grows_and_empties() {
    let mut world = World::new(config());
    let mut add = camera();
    add.simulcast_codecs = vec![codec("vp9", VIDEO_CID), codec("vp8", "")];
    let (alice, sid) = publisher_of(&mut world, add, CHROMIUM_PUBLISHER);
    let bob = join_single(&mut world, "bob", &without_vp9());
    publish_second(&mut world, alice, &sid, 2, false);
    world.pass(Duration::from_millis(200));
    world.ask(bob, Ask::Offer(description("offer", without_vp9(), 2)));
    assert_eq!(sent(&world), [Kind::Vp8]);
    world.ask(bob, Ask::Leave(Default::default()));
    for n in 0..6 {
        join_single(&mut world, &format!("viewer-{n}"), CHROMIUM_V1);
    }
    assert_eq!(sent(&world), [Kind::Vp8; 6]);
}
