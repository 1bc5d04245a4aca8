//! Two connections (v0): the server offers what it sends.

use std::time::Duration;

use livekit_protocol as proto;
use proto::signal_request::Message as Ask;
use proto::signal_response::Message;
use sfu::Command;

use super::world::*;
use crate::{Mode, SessionId};

fn answer_offers(world: &mut World, session: SessionId) {
    let heard = world.hear(session);
    for offer in heard.iter().filter_map(an_offer) {
        world.ask(session, Ask::Answer(answer_to(&offer)));
    }
}

/// Joined, its subscriber connection answered and connected.
fn join_connected(world: &mut World, identity: &str) -> SessionId {
    let session = world.join(identity, Mode::Dual);
    answer_offers(world, session);
    world.connect(identity);
    world.hear(session);
    session
}

fn publish(world: &mut World, session: SessionId) {
    world.ask(session, Ask::AddTrack(microphone()));
    world.ask(session, Ask::AddTrack(camera()));
    world.ask(session, Ask::Offer(description("offer", CHROMIUM_PUBLISHER, 1)));
}

#[test]
fn a_newcomer_is_offered_data_channels_even_without_tracks() {
    let mut world = World::new(config());
    let alice = world.join("alice", Mode::Dual);
    let heard = world.hear(alice);
    let Message::Join(join) = &heard[0] else { panic!("{heard:?}") };
    assert!(join.subscriber_primary && join.fast_publish);
    assert_eq!((join.ping_interval, join.ping_timeout), (5, 15));
    assert_eq!(join.enabled_publish_codecs[0].mime, "video/VP8");
    let offer = last(&heard, an_offer);
    assert_eq!(offer.id, 1);
    let sdp = parse(&offer.sdp);
    assert_eq!(sdp.sections.len(), 1);
    assert!(sdp.sections[0].is_data() && sdp.ice_lite);
    assert_eq!(sdp.sections[0].transport.setup, Some(sdp::Setup::ActPass));
    assert_eq!(sdp.sections[0].transport.candidates.len(), 1);
    let labels: Vec<_> = world.peers.values().flatten().cloned().collect();
    assert_eq!(labels, ["_reliable", "_lossy", "_data_track"]);
    // Connected, they are active, and are told so themselves.
    world.ask(alice, Ask::Answer(answer_to(&offer)));
    world.connect("alice");
    let heard = world.hear(alice);
    let active = last(&heard, |m| match m {
        Message::Update(u) => u.participants.first().cloned(),
        _ => None,
    });
    assert_eq!(active.state(), proto::participant_info::State::Active);
}

#[test]
fn a_published_track_reaches_the_others_with_simulcast_and_repair() {
    let mut world = World::new(config());
    let alice = join_connected(&mut world, "alice");
    let bob = join_connected(&mut world, "bob");
    publish(&mut world, alice);
    let heard = world.hear(alice);
    let answer = parse(&last(&heard, an_answer).sdp);
    let video = answer.sections.iter().find(|s| s.kind == sdp::Kind::Video).unwrap();
    assert_eq!(video.direction, sdp::Direction::RecvOnly);
    let rids: Vec<_> = video.rtp.encodings(sdp::Way::Recv).iter().map(ToString::to_string).collect();
    assert_eq!(rids, ["q", "h", "f"]);
    assert!(video.rtp.extension_id(&sdp::Extension::RepairedRid).is_some());
    assert!(video.rtp.extension_id(&sdp::Extension::TransportCc).is_some());
    assert_eq!(video.rtp.payloads[0].name, "VP8");
    assert_eq!(video.transport.setup, Some(sdp::Setup::Passive));
    let audio = answer.sections.iter().find(|s| s.kind == sdp::Kind::Audio).unwrap();
    let opus = audio.rtp.payloads.iter().find(|p| p.is("opus")).unwrap();
    assert_eq!(opus.fmtp.get("usedtx"), Some("1"));
    assert!(opus.has(&sdp::Feedback::Nack));
    assert_eq!(world.producers.len(), 2);
    let producer = world.producers.values().find(|p| p.kind == sfu::Kind::Video).unwrap();
    assert_eq!(producer.encodings.len(), 3);
    assert!(producer.transport_cc && producer.codecs[0].rtx.is_some() && producer.codecs[0].nack);

    // Both tracks come to bob in one offer, a little later.
    world.pass(Duration::from_millis(200));
    let heard = world.hear(bob);
    assert_eq!(heard.iter().filter_map(an_offer).count(), 1);
    let offer = last(&heard, an_offer);
    assert_eq!(offer.mid_to_track_id.len(), 2);
    assert!(world.consumers.is_empty(), "nothing is sent before the answer");
    world.ask(bob, Ask::Answer(answer_to(&offer)));
    assert_eq!(world.consumers.len(), 2);
    let (_, _, params) = world.consumers.values().find(|(_, _, p)| p.rtx_ssrc.is_some()).unwrap();
    assert_eq!((params.codecs[0].codec, params.codecs[0].pt), (codec::Kind::Vp8, rtp::Pt(96)));
    assert_eq!(params.codecs[0].rtx, Some(rtp::Pt(97)));
    assert_eq!(params.wish.max_spatial, 2);
    assert!(params.extensions.mid.is_some() && params.extensions.transport_cc.is_some());
    // Answered twice: the second is stale.
    world.take_commands();
    world.ask(bob, Ask::Answer(answer_to(&offer)));
    assert!(world.take_commands().is_empty());
}

#[test]
fn a_section_is_used_again_only_after_it_was_inactive() {
    let mut world = World::new(config());
    let alice = join_connected(&mut world, "alice");
    let bob = join_connected(&mut world, "bob");
    publish(&mut world, alice);
    world.pass(Duration::from_millis(200));
    let offer = last(&world.hear(bob), an_offer);
    let ids = offer.mid_to_track_id.clone();
    world.ask(bob, Ask::Answer(answer_to(&offer)));
    let tracks: Vec<_> = ids.values().cloned().collect();
    let subscribe = |on| {
        Ask::Subscription(proto::UpdateSubscription {
            track_sids: tracks.clone(),
            subscribe: on,
            ..Default::default()
        })
    };
    world.ask(bob, subscribe(false));
    assert!(world.consumers.is_empty(), "stopped at once");
    world.ask(bob, subscribe(true));
    world.pass(Duration::from_millis(200));
    // What was offered for the new subscription went into new sections, the old ones being told off.
    let offer = last(&world.hear(bob), an_offer);
    let sdp = parse(&offer.sdp);
    assert_eq!(sdp.sections.len(), 5);
    assert_eq!(sdp.sections[1].direction, sdp::Direction::Inactive);
    assert_eq!(sdp.sections[3].direction, sdp::Direction::SendOnly);
    world.ask(bob, Ask::Answer(answer_to(&offer)));
    assert_eq!(world.consumers.len(), 2);
    // Now the old ones are free: the next subscription takes them, under other SSRCs.
    world.ask(bob, subscribe(false));
    world.pass(Duration::from_millis(200));
    answer_offers(&mut world, bob);
    world.ask(bob, subscribe(true));
    world.pass(Duration::from_millis(200));
    let offer = last(&world.hear(bob), an_offer);
    assert_eq!(parse(&offer.sdp).sections.len(), 5);
}

#[test]
fn one_offer_is_out_at_a_time_and_an_unanswered_one_ends_the_session() {
    let mut world = World::new(config());
    let alice = join_connected(&mut world, "alice");
    let bob = world.join("bob", Mode::Dual);
    let first = last(&world.hear(bob), an_offer);
    publish(&mut world, alice);
    world.pass(Duration::from_secs(2));
    assert!(world.hear(bob).iter().filter_map(an_offer).next().is_none(), "the first is still out");
    // A stale id is dropped, the right one brings the next offer.
    let mut stale = answer_to(&first);
    stale.id = 9;
    world.ask(bob, Ask::Answer(stale));
    world.ask(bob, Ask::Answer(answer_to(&first)));
    world.pass(Duration::from_millis(50));
    assert_eq!(last(&world.hear(bob), an_offer).id, 2);
    world.pass(Duration::from_secs(16));
    let leave = last(&world.hear(bob), a_leave);
    assert_eq!(leave.reason(), proto::DisconnectReason::StateMismatch);
    assert_eq!(leave.action(), proto::leave_request::Action::Reconnect);
    assert!(world.ears[&bob].closed && world.conference.participants() == 1);
}

#[test]
fn early_candidates_wait_for_the_description() {
    let mut world = World::new(config());
    let alice = world.join("alice", Mode::Dual);
    let offer = last(&world.hear(alice), an_offer);
    let candidate = r#"{"candidate":"candidate:1 1 udp 2122260223 192.0.2.9 40000 typ host","sdpMid":"0"}"#;
    let trickle = |target: proto::SignalTarget| {
        Ask::Trickle(proto::TrickleRequest {
            candidate_init: candidate.into(),
            target: target.into(),
            r#final: false,
        })
    };
    let count = |world: &mut World| {
        world.take_commands().iter().filter(|c| matches!(c, Command::AddCandidate { .. })).count()
    };
    world.ask(alice, trickle(proto::SignalTarget::Subscriber));
    world.ask(alice, trickle(proto::SignalTarget::Publisher));
    assert_eq!(count(&mut world), 0);
    world.ask(alice, Ask::Answer(answer_to(&offer)));
    assert_eq!(count(&mut world), 1);
    world.ask(alice, Ask::Offer(description("offer", CHROMIUM_PUBLISHER, 1)));
    assert_eq!(count(&mut world), 1);
    world.ask(alice, trickle(proto::SignalTarget::Subscriber));
    assert_eq!(count(&mut world), 1);
}

#[test]
fn who_may_not_subscribe_has_one_connection() {
    let mut world = World::new(config());
    let mut claims = claims("alice");
    claims.video.as_mut().unwrap().can_subscribe = Some(false);
    let alice = world.join_with(claims, request(Mode::Dual));
    let heard = world.hear(alice);
    let Message::Join(join) = &heard[0] else { panic!("{heard:?}") };
    assert!(!join.subscriber_primary);
    assert!(heard.iter().filter_map(an_offer).next().is_none());
    publish(&mut world, alice);
    world.connect("alice");
    assert_eq!(world.conference.room.by_identity("alice").unwrap().state, room::State::Active);
}

#[test]
fn full_ice_makes_the_offerer_nominate() {
    let mut config = config();
    config.media.ice_lite = false;
    let mut world = World::new(config);
    let alice = world.join("alice", Mode::Dual);
    assert!(!parse(&last(&world.hear(alice), an_offer).sdp).ice_lite);
    publish(&mut world, alice);
    let roles: Vec<_> = world
        .take_commands()
        .iter()
        .filter_map(|c| match c {
            Command::OpenPeer { local, .. } => Some((local.ice_lite, local.controlling)),
            _ => None,
        })
        .collect();
    assert_eq!(roles, [(false, true), (false, false)]);
    // A client's wish to do without lite is heard where lite is the rule.
    let mut world = World::new(super::world::config());
    let mut request = request(Mode::Dual);
    request.disable_ice_lite = true;
    let bob = world.join_with(claims("bob"), request);
    assert!(!parse(&last(&world.hear(bob), an_offer).sdp).ice_lite);
}
