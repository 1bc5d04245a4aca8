//! Input that nobody sends in good faith.

use livekit_protocol as proto;
use prost::Message as _;
use proto::leave_request::Action;
use proto::signal_request::Message as Ask;

use super::world::*;
use crate::join::check;
use crate::{BadRequest, JoinRequest, Mode, Refusal};

fn offer(sdp: impl Into<String>) -> Ask {
    Ask::Offer(description("offer", sdp, 1))
}

#[test]
fn descriptions_that_cannot_be_read_end_the_session_alone() {
    let many = {
        let mut text = String::from(CHROMIUM_PUBLISHER);
        for n in 0..500 {
            text.push_str(&format!("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:x{n}\r\na=recvonly\r\n"));
        }
        text
    };
    let no_credentials = CHROMIUM_PUBLISHER.replace("a=ice-ufrag", "a=x-ufrag");
    let no_fingerprint = CHROMIUM_PUBLISHER.replace("a=fingerprint:sha-256", "a=fingerprint:sha-1");
    for sdp in ["", "hello", "v=0\r\nm=\r\n", &many, &no_credentials, &no_fingerprint] {
        for mode in [Mode::Dual, Mode::Single] {
            let mut world = World::new(config());
            let neighbour = world.join("bob", mode);
            let alice = world.join("alice", mode);
            world.ask(alice, offer(sdp));
            let leave = last(&world.hear(alice), a_leave);
            assert_eq!(leave.action(), Action::Reconnect);
            assert_eq!(leave.reason(), proto::DisconnectReason::StateMismatch);
            assert!(!world.ears[&neighbour].closed);
        }
    }
}

#[test]
fn sections_without_anything_in_common_are_rejected_and_the_rest_goes_on() {
    let mut world = World::new(config());
    let alice = world.join("alice", Mode::Dual);
    world.ask(alice, Ask::AddTrack(microphone()));
    world.ask(alice, Ask::AddTrack(camera()));
    let strange = CHROMIUM_PUBLISHER
        .replace("VP8/90000", "XX8/90000")
        .replace("VP9/90000", "XX9/90000")
        .replace("H264/90000", "XX4/90000")
        .replace("AV1/90000", "XX1/90000");
    world.ask(alice, offer(strange));
    let answer = parse(&last(&world.hear(alice), an_answer).sdp);
    assert!(answer.sections[1].is_rejected() && !answer.sections[0].is_rejected());
    assert_eq!(answer.bundle().len(), 2);
    assert_eq!(world.producers.len(), 1);
}

#[test]
fn lies_about_rids_do_no_harm() {
    for lie in [
        "a=simulcast:send a;b;c",
        "a=simulcast:send q;q;q",
        "a=simulcast:send q;h;f;q;h;f;q;h;f",
        "a=simulcast:recv q;h;f",
        "a=simulcast:send ",
        "a=simulcast:send qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq",
    ] {
        let mut world = World::new(config());
        let alice = world.join("alice", Mode::Dual);
        world.ask(alice, Ask::AddTrack(camera()));
        world.ask(alice, offer(CHROMIUM_PUBLISHER.replace("a=simulcast:send q;h;f", lie)));
        for producer in world.producers.values() {
            assert!((1..=4).contains(&producer.encodings.len()), "{lie}");
            let mut rids: Vec<_> = producer.encodings.iter().map(|e| e.rid).collect();
            rids.dedup();
            assert_eq!(rids.len(), producer.encodings.len(), "{lie}");
        }
    }
}

#[test]
fn candidates_that_do_not_parse_are_ignored() {
    let mut world = World::new(config());
    let alice = world.join("alice", Mode::Dual);
    world.ask(alice, Ask::AddTrack(camera()));
    world.ask(alice, offer(CHROMIUM_PUBLISHER));
    world.take_commands();
    let long = format!(r#"{{"candidate":"candidate:{}"}}"#, "1".repeat(10_000));
    for init in [
        "",
        "{}",
        "null",
        "[1]",
        r#"{"candidate":null}"#,
        r#"{"candidate":""}"#,
        r#"{"candidate":"candidate:"}"#,
        r#"{"candidate":"candidate:1 1 udp 1 abc.local 9 typ host"}"#,
        r#"{"candidate":"candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype active"}"#,
        r#"{"candidate":"candidate:1 2 udp 1 192.0.2.1 9 typ host"}"#,
        r#"{"candidate":"candidate:1 1 udp 99999999999 192.0.2.1 9 typ host"}"#,
        &long,
    ] {
        let trickle = proto::TrickleRequest { candidate_init: init.into(), target: 7, r#final: true };
        world.ask(alice, Ask::Trickle(trickle));
    }
    assert!(world.take_commands().is_empty());
    assert!(!world.ears[&alice].closed);
}

#[test]
fn requests_about_what_is_not_theirs_change_nothing() {
    let mut world = World::new(config());
    let alice = world.join("alice", Mode::Dual);
    let bob = world.join("bob", Mode::Dual);
    world.ask(alice, Ask::AddTrack(camera()));
    world.ask(alice, offer(CHROMIUM_PUBLISHER));
    let sid = world.conference.room.by_identity("alice").unwrap().tracks[0].0.clone();
    world.take_commands();
    let asks = [
        Ask::AddTrack(proto::AddTrackRequest {
            cid: "c".into(),
            sid: sid.clone(),
            r#type: 1,
            ..Default::default()
        }),
        Ask::AddTrack(proto::AddTrackRequest { cid: "c".repeat(300), ..Default::default() }),
        Ask::AddTrack(proto::AddTrackRequest { cid: "d".into(), r#type: 2, ..Default::default() }),
        Ask::UpdateVideoTrack(proto::UpdateLocalVideoTrack { track_sid: sid.clone(), width: 1, height: 1 }),
        Ask::UpdateAudioTrack(proto::UpdateLocalAudioTrack { track_sid: sid, features: vec![1; 1000] }),
        Ask::TrackSetting(proto::UpdateTrackSettings {
            track_sids: vec!["TR_none".into()],
            quality: 99,
            ..Default::default()
        }),
        Ask::Answer(description("answer", "nonsense", 77)),
        Ask::SyncState(proto::SyncState::default()),
        Ask::Simulate(proto::SimulateScenario::default()),
    ];
    for ask in asks {
        world.ask(bob, ask);
    }
    assert!(world.take_commands().is_empty());
    assert!(!world.ears[&bob].closed);
    let alices = world.conference.room.by_identity("alice").unwrap().tracks.len();
    assert_eq!(alices, 1);
    // A request of a newer client.
    let request = Box::new(proto::SignalRequest { message: None });
    world.handle(crate::Input::Request { session: bob, request });
}

#[test]
fn join_requests_are_read_in_every_spelling_and_bounded() {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use std::io::Write as _;
    let body = proto::JoinRequest {
        metadata: "ÿÿÿ???>>>".repeat(20),
        reconnect: true,
        participant_sid: "PA_x".into(),
        client_info: Some(proto::ClientInfo { capabilities: vec![1; 100_000], ..Default::default() }),
        ..Default::default()
    };
    let pack = |bytes: &[u8]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(bytes).unwrap();
        let mut wrapped =
            proto::WrappedJoinRequest { join_request: gzip.finish().unwrap(), ..Default::default() };
        wrapped.set_compression(proto::wrapped_join_request::Compression::Gzip);
        wrapped.encode_to_vec()
    };
    let packed = pack(&body.encode_to_vec());
    for text in [STANDARD.encode(&packed), URL_SAFE_NO_PAD.encode(&packed)] {
        let request = JoinRequest::from_wrapped(&text).unwrap();
        assert_eq!((request.mode, request.resume.as_deref()), (Mode::Single, Some("PA_x")));
        assert!(!request.auto_subscribe, "unset is false, other than in v0");
        assert!(request.client.capabilities.len() < 100, "everybody is told of them");
    }
    let bomb = pack(&vec![0; 64 << 20]);
    assert_eq!(JoinRequest::from_wrapped(&STANDARD.encode(bomb)).unwrap_err(), BadRequest::Compression);
    let cut = &packed[..packed.len() / 2];
    assert!(JoinRequest::from_wrapped(&STANDARD.encode(cut)).is_err());
    assert_eq!(JoinRequest::from_wrapped("%%%").unwrap_err(), BadRequest::Base64);
    let v0 = JoinRequest::from_query([
        ("protocol", "16"),
        ("sdk", "js"),
        ("auto_subscribe", "0"),
        ("reconnect", "1"),
        ("sid", "PA_y"),
        ("capabilities", "CAP_PACKET_TRAILER,NONSENSE"),
        ("nonsense", "x"),
    ])
    .unwrap();
    assert_eq!((v0.mode, v0.auto_subscribe, v0.resume.as_deref()), (Mode::Dual, false, Some("PA_y")));
    assert_eq!((v0.client.protocol, v0.client.capabilities.as_slice()), (16, &[1][..]));
    let empty = ["protocol", "auto_subscribe", "reconnect", "publish", "attributes", "join_request"];
    let said = JoinRequest::from_query(empty.map(|key| (key, ""))).unwrap();
    assert!(said.auto_subscribe && said.publish.is_none() && said.resume.is_none(), "nothing is said");
}

#[test]
fn joins_are_checked_before_the_socket_opens() {
    let rules = room::Config::default();
    let fine = request(Mode::Dual);
    assert_eq!(check(&claims("a"), &fine, &rules), Ok(()));
    assert_eq!(check(&claims(""), &fine, &rules), Err(Refusal::EmptyIdentity));
    assert_eq!(check(&claims(&"a".repeat(257)), &fine, &rules), Err(Refusal::TooLong));
    let mut grantless = claims("a");
    grantless.video = None;
    assert_eq!(check(&grantless, &fine, &rules).unwrap_err().status(), 401);
    let mut vain = request(Mode::Dual);
    vain.metadata = "x".into();
    assert_eq!(check(&claims("a"), &vain, &rules).unwrap_err().status(), 401);
}
