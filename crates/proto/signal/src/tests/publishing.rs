//! Announcing and offering, in either order, twice, never and too late.

use livekit_protocol as proto;
use proto::request_response::Reason;
use proto::signal_request::Message as Ask;
use proto::signal_response::Message;

use super::world::*;
use crate::{Admin, AdminError, Mode};

pub(super) fn tracks_of(world: &World, identity: &str) -> Vec<proto::TrackInfo> {
    let participant = world.conference.room.by_identity(identity).unwrap();
    world.conference.info_of(participant).tracks
}

fn refusal(heard: &[Message]) -> Reason {
    last(heard, |m| match m {
        Message::RequestResponse(r) => Some(r.reason()),
        _ => None,
    })
}

pub(super) fn offer(id: u32) -> Ask {
    Ask::Offer(description("offer", CHROMIUM_PUBLISHER, id))
}

#[test]
fn requests_and_offers_find_each_other_in_any_order() {
    let steps: [fn() -> Ask; 3] = [|| Ask::AddTrack(microphone()), || Ask::AddTrack(camera()), || offer(1)];
    for order in [[0, 1, 2], [0, 2, 1], [1, 2, 0], [2, 0, 1], [2, 1, 0], [1, 0, 2]] {
        let mut world = World::new(config());
        let alice = world.join("alice", Mode::Dual);
        for step in order {
            world.ask(alice, steps[step]());
        }
        let tracks = tracks_of(&world, "alice");
        assert_eq!(tracks.len(), 2, "{order:?}");
        let video = tracks.iter().find(|t| t.sid.starts_with("TR_VC")).expect("named by type and source");
        assert_eq!((video.mime_type.as_str(), video.mid.as_str()), ("video/VP8", "1"));
        assert_eq!((video.codecs.len(), video.codecs[0].layers.len()), (1, 3));
        assert!(tracks.iter().any(|t| t.sid.starts_with("TR_AM") && t.mid == "0"));
        assert_eq!(world.producers.len(), 2);
    }
}

#[test]
fn asking_twice_makes_one_track() {
    let mut world = World::new(config());
    let alice = world.join("alice", Mode::Dual);
    world.ask(alice, Ask::AddTrack(camera()));
    world.ask(alice, Ask::AddTrack(camera()));
    let heard = world.hear(alice);
    let sids: Vec<_> = heard
        .iter()
        .filter_map(|m| match m {
            Message::TrackPublished(p) => Some(p.track.clone().unwrap().sid),
            _ => None,
        })
        .collect();
    assert_eq!(sids.len(), 2);
    assert_eq!(sids[0], sids[1]);
    world.ask(alice, offer(1));
    world.ask(alice, offer(2));
    assert_eq!(tracks_of(&world, "alice").len(), 1);
    assert_eq!(world.producers.len(), 1);
}

#[test]
fn tracks_without_a_section_stay_unseen_and_are_bounded() {
    let mut world = World::new(config());
    let alice = world.join("alice", Mode::Dual);
    for n in 0..20 {
        let add = add_track(&format!("cid{n}"), proto::TrackType::Audio, proto::TrackSource::Microphone);
        world.ask(alice, Ask::AddTrack(add));
    }
    world.hear(alice);
    world.ask(alice, Ask::AddTrack(camera()));
    assert_eq!(refusal(&world.hear(alice)), Reason::LimitExceeded);
    assert!(tracks_of(&world, "alice").is_empty());
}

#[test]
fn only_the_profile_that_is_configured_is_taken_and_clients_are_told_of_it() {
    let mut config = config();
    config.codecs = vec![codec::Kind::H264, codec::Kind::Opus];
    let line = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f";
    config.profiles = vec![(codec::Kind::H264, line.into())];
    let mut world = World::new(config);
    let alice = world.join("alice", Mode::Dual);
    let told = |m: &Message| match m {
        Message::Join(join) => Some(join.enabled_publish_codecs.clone()),
        _ => None,
    };
    let told = world.hear(alice).iter().find_map(told).unwrap();
    assert_eq!((told[0].mime.as_str(), told[0].fmtp_line.as_str()), ("video/H264", line));
    assert_eq!((told[1].mime.as_str(), told[1].fmtp_line.as_str()), ("audio/opus", ""));
    world.ask(alice, Ask::AddTrack(camera()));
    world.ask(alice, offer(1));
    let answer = |m: &Message| match m {
        Message::Answer(answer) => Some(answer.sdp.clone()),
        _ => None,
    };
    let answer = world.hear(alice).iter().find_map(answer).unwrap();
    assert!(answer.contains("profile-level-id=4d00") && !answer.contains("42e0"), "{answer}");
}

/// As LiveKit has it, an application hears of nobody's tracks before it hears of them.
#[test]
fn webhooks_hear_of_a_participant_before_its_tracks() {
    let mut world = World::new(config());
    let alice = world.join("alice", Mode::Dual);
    world.ask(alice, Ask::AddTrack(microphone()));
    world.ask(alice, Ask::AddTrack(camera()));
    world.ask(alice, offer(1));
    assert_eq!(tracks_of(&world, "alice").len(), 2, "others see them");
    assert_eq!(world.webhooks, ["room_started"]);
    // One that is gone before anybody was told of it is not spoken of.
    let stopped = CHROMIUM_PUBLISHER.replacen("a=sendonly", "a=inactive", 1);
    world.ask(alice, Ask::Offer(description("offer", stopped, 2)));
    assert_eq!(world.webhooks, ["room_started"]);
    world.connect("alice");
    assert_eq!(world.webhooks, ["room_started", "participant_joined", "track_published"]);
    // From then on each is told at once, and connecting again tells nothing twice.
    world.connect("alice");
    world.ask(alice, Ask::AddTrack(microphone()));
    world.ask(alice, offer(3));
    world.ask(alice, Ask::Leave(proto::LeaveRequest::default()));
    let after = ["track_published", "track_unpublished", "track_unpublished", "participant_left"];
    assert_eq!(world.webhooks[3..], after);
}

#[test]
fn webhooks_hear_nothing_of_the_tracks_of_one_who_never_connects() {
    let mut world = World::new(config());
    let alice = world.join("alice", Mode::Dual);
    world.ask(alice, Ask::AddTrack(camera()));
    world.ask(alice, offer(1));
    world.pass(std::time::Duration::from_secs(90));
    assert_eq!(world.webhooks, ["room_started", "participant_connection_aborted", "room_finished"]);
}

#[test]
fn a_stopped_section_unpublishes() {
    let mut world = World::new(config());
    let alice = world.join("alice", Mode::Dual);
    world.ask(alice, Ask::AddTrack(microphone()));
    world.ask(alice, Ask::AddTrack(camera()));
    world.ask(alice, offer(1));
    world.connect("alice");
    let stopped = CHROMIUM_PUBLISHER.replacen("a=sendonly", "a=inactive", 1);
    world.ask(alice, Ask::Offer(description("offer", stopped, 2)));
    let tracks = tracks_of(&world, "alice");
    assert_eq!(tracks.len(), 1);
    assert!(tracks[0].sid.starts_with("TR_VC"));
    assert_eq!(world.producers.len(), 1);
    assert!(!world.hear(alice).iter().any(|m| matches!(m, Message::TrackUnpublished(_))), "it knows");
    assert!(world.webhooks.contains(&"track_unpublished".into()));
    // The section can be used again.
    world.ask(alice, Ask::AddTrack(microphone()));
    world.ask(alice, offer(3));
    assert_eq!(tracks_of(&world, "alice").len(), 2);
}

#[test]
fn sources_and_the_right_to_publish_are_checked_and_can_be_taken_away() {
    let mut world = World::new(config());
    let mut limited = claims("alice");
    limited.video.as_mut().unwrap().can_publish_sources = vec![auth::Source::Microphone];
    let alice = world.join_with(limited, request(Mode::Dual));
    world.hear(alice);
    world.ask(alice, Ask::AddTrack(camera()));
    assert_eq!(refusal(&world.hear(alice)), Reason::NotAllowed);
    world.ask(alice, Ask::AddTrack(microphone()));
    world.ask(alice, offer(1));
    assert_eq!(tracks_of(&world, "alice").len(), 1);
    let update = proto::UpdateParticipantRequest {
        identity: "alice".into(),
        permission: Some(proto::ParticipantPermission { can_subscribe: true, ..Default::default() }),
        ..Default::default()
    };
    world.hear(alice);
    world.admin(Admin::UpdateParticipant(Box::new(update))).unwrap();
    assert!(world.hear(alice).iter().any(|m| matches!(m, Message::TrackUnpublished(_))));
    assert!(tracks_of(&world, "alice").is_empty() && world.producers.is_empty());
    assert_eq!(world.tokens.last().unwrap().1.video.as_ref().unwrap().can_publish, Some(false));
}

#[test]
fn muting_is_told_to_all_and_unmuting_from_afar_needs_permission() {
    let mut world = World::new(config());
    let alice = world.join("alice", Mode::Dual);
    let bob = world.join("bob", Mode::Dual);
    world.ask(alice, Ask::AddTrack(microphone()));
    world.ask(alice, offer(1));
    let sid = tracks_of(&world, "alice")[0].sid.clone();
    let muted = |heard: &[Message]| {
        last(heard, |m| match m {
            Message::Update(u) => u.participants[0].tracks.first().map(|t| t.muted),
            _ => None,
        })
    };
    world.ask(alice, Ask::Mute(proto::MuteTrackRequest { sid: sid.clone(), muted: true }));
    assert!(muted(&world.hear(bob)) && muted(&world.hear(alice)));
    // Nobody mutes another's track.
    world.ask(bob, Ask::Mute(proto::MuteTrackRequest { sid: sid.clone(), muted: false }));
    assert!(tracks_of(&world, "alice")[0].muted);
    let admin = |muted| Admin::MutePublishedTrack { identity: "alice".into(), track: sid.clone(), muted };
    assert_eq!(world.admin(admin(false)), Err(AdminError::RemoteUnmute));
    world.ask(alice, Ask::Mute(proto::MuteTrackRequest { sid: sid.clone(), muted: false }));
    world.hear(alice);
    assert!(matches!(world.admin(admin(true)), Ok(crate::AdminReply::Track(t)) if t.muted));
    assert!(world.hear(alice).iter().any(|m| matches!(m, Message::Mute(m) if m.muted)));
}

#[test]
fn preferred_codecs_come_first_and_unknown_ones_are_replaced() {
    let mut world = World::new(config());
    let alice = world.join("alice", Mode::Dual);
    let mut add = camera();
    add.simulcast_codecs = vec![
        proto::SimulcastCodec { codec: "vp9".into(), cid: VIDEO_CID.into(), ..Default::default() },
        proto::SimulcastCodec { codec: "vp8".into(), ..Default::default() },
    ];
    world.ask(alice, Ask::AddTrack(add));
    world.ask(alice, offer(1));
    let answer = parse(&last(&world.hear(alice), an_answer).sdp);
    assert_eq!(answer.sections[1].rtp.payloads[0].name, "VP9");
    let track = &tracks_of(&world, "alice")[0];
    assert_eq!(track.mime_type, "video/VP9");
    assert_eq!(track.codecs.len(), 2);

    let mut add = camera();
    add.simulcast_codecs = vec![proto::SimulcastCodec { codec: "theora".into(), ..Default::default() }];
    let bob = world.join("bob", Mode::Dual);
    world.ask(bob, Ask::AddTrack(add));
    world.ask(bob, offer(1));
    assert_eq!(tracks_of(&world, "bob")[0].mime_type, "video/VP8");
}

/// How a camera's layers are taken that is announced in `codec` with a layer mode, in a section with `rids` or
/// without.
fn layers_inside(codec: &str, mode: proto::video_layer::Mode, rids: bool) -> bool {
    let mut world = World::new(config());
    let alice = world.join("alice", Mode::Dual);
    let mut add = camera();
    add.simulcast_codecs = vec![proto::SimulcastCodec {
        codec: codec.into(),
        cid: VIDEO_CID.into(),
        video_layer_mode: mode.into(),
        ..Default::default()
    }];
    world.ask(alice, Ask::AddTrack(add));
    let mut sdp = parse(CHROMIUM_PUBLISHER);
    if !rids {
        sdp.sections[1].rtp.rids.clear();
        sdp.sections[1].rtp.simulcast = None;
    }
    world.ask(alice, Ask::Offer(description("offer", sdp.to_string(), 1)));
    world.producers.values().next().unwrap().svc
}

#[test]
fn layers_are_inside_a_stream_where_the_client_says_so_or_the_codec_has_them() {
    use proto::video_layer::Mode::{MultipleSpatialLayersPerStream, OneSpatialLayerPerStream, Unused};
    assert!(layers_inside("vp9", Unused, false));
    assert!(layers_inside("av1", Unused, false));
    assert!(layers_inside("vp9", MultipleSpatialLayersPerStream, false));
    assert!(!layers_inside("vp8", Unused, false));
    assert!(!layers_inside("vp9", OneSpatialLayerPerStream, false));
    assert!(!layers_inside("vp9", Unused, true), "simulcast is told by its rids");
}

#[test]
fn firefox_publishes_under_other_ids_with_its_own_payload_types() {
    let mut world = World::new(config());
    let mut asked = request(Mode::Dual);
    asked.client.browser = "Firefox".into();
    let alice = world.join_with(claims("alice"), asked);
    world.ask(alice, Ask::AddTrack(microphone()));
    world.ask(alice, Ask::AddTrack(camera()));
    world.ask(alice, Ask::Offer(description("offer", FIREFOX_PUBLISHER, 1)));
    let answer = parse(&last(&world.hear(alice), an_answer).sdp);
    let video = &answer.sections[1];
    assert_eq!(video.rtp.payloads[0].pt, rtp::Pt(120));
    assert!(video.rtp.extensions.iter().all(|e| e.direction.is_none()), "sendonly is not echoed");
    assert!(video.rtp.extension_id(&sdp::Extension::Rid).is_some());
    assert!(video.rtp.payloads.iter().all(|p| p.is("VP8") || p.is("rtx")), "the preferred codec alone");
    let tracks = tracks_of(&world, "alice");
    assert!(tracks.iter().all(|t| !t.codecs[0].sdp_cid.is_empty()));
}

#[test]
fn demand_follows_what_subscribers_ask_for() {
    let mut world = World::new(config());
    let alice = world.join("alice", Mode::Dual);
    world.join("bob", Mode::Dual);
    world.ask(alice, Ask::AddTrack(camera()));
    world.ask(alice, offer(1));
    assert!(world.hear(alice).iter().any(|m| matches!(m, Message::TrackSubscribed(_))));
    let sid = tracks_of(&world, "alice")[0].sid.clone();
    let bob = *world.ears.keys().last().unwrap();
    let offered = last(&world.hear(bob), an_offer);
    world.ask(bob, Ask::Answer(answer_to(&offered)));
    world.pass(std::time::Duration::from_millis(100));
    let offered = last(&world.hear(bob), an_offer);
    world.ask(bob, Ask::Answer(answer_to(&offered)));
    let set = |width: u32, height: u32, disabled| {
        Ask::TrackSetting(proto::UpdateTrackSettings {
            track_sids: vec![sid.clone()],
            disabled,
            quality: 2,
            width,
            height,
            ..Default::default()
        })
    };
    let told = |world: &mut World| {
        world.hear(alice).iter().rev().find_map(|m| match m {
            Message::SubscribedQualityUpdate(q) => {
                Some(q.subscribed_codecs[0].qualities.iter().map(|q| q.enabled).collect::<Vec<_>>())
            }
            _ => None,
        })
    };
    world.take_commands();
    world.ask(bob, set(300, 200, false));
    assert!(matches!(
        world.take_commands()[..],
        [sfu::Command::SetWish { wish: sfu::Wish { max_spatial: 1, paused: false, .. }, .. }]
    ));
    assert_eq!(told(&mut world), None, "lower waits");
    world.pass(std::time::Duration::from_secs(6));
    assert_eq!(told(&mut world), Some(vec![true, true, false]));
    world.ask(bob, set(1280, 720, false));
    assert_eq!(told(&mut world), Some(vec![true, true, true]), "higher does not");
    world.ask(bob, set(0, 0, true));
    world.pass(std::time::Duration::from_secs(6));
    assert_eq!(told(&mut world), Some(vec![false, false, false]));
}

#[test]
fn publishers_choose_who_subscribes() {
    let mut world = World::new(config());
    let alice = world.join("alice", Mode::Dual);
    let bob = world.join("bob", Mode::Dual);
    world.ask(alice, Ask::AddTrack(camera()));
    world.ask(alice, offer(1));
    let subscribers = |world: &World| {
        let room = &world.conference.room;
        room.by_identity("bob").unwrap().subscribed().count()
    };
    assert_eq!(subscribers(&world), 1);
    let permit = |identity: &str| {
        Ask::SubscriptionPermission(proto::SubscriptionPermission {
            all_participants: false,
            track_permissions: vec![proto::TrackPermission {
                participant_identity: identity.into(),
                all_tracks: true,
                ..Default::default()
            }],
        })
    };
    let allowed = |heard: &[Message]| {
        last(heard, |m| match m {
            Message::SubscriptionPermissionUpdate(u) => Some(u.allowed),
            _ => None,
        })
    };
    world.ask(alice, permit("carol"));
    assert_eq!(subscribers(&world), 0);
    assert!(!allowed(&world.hear(bob)));
    world.ask(alice, permit("bob"));
    assert_eq!(subscribers(&world), 1);
    assert!(allowed(&world.hear(bob)));
}
