//! Data tracks and data blobs.

use std::time::Duration;

use livekit_protocol as proto;
use prost::bytes::Bytes;
use proto::request_response::Reason;
use proto::signal_request::Message as Ask;
use proto::signal_response::Message;
use sfu::{Command, PeerId};

use super::world::*;
use crate::{Input, Mode, SessionId};

pub(super) fn publish(handle: u32, name: &str) -> Ask {
    Ask::PublishDataTrackRequest(proto::PublishDataTrackRequest {
        pub_handle: handle,
        name: name.into(),
        encryption: 1,
        ..Default::default()
    })
}

fn published(world: &mut World, session: SessionId) -> proto::DataTrackInfo {
    let heard = world.hear(session);
    let at = |wanted: fn(&Message) -> bool| heard.iter().position(wanted);
    let told = at(|m| matches!(m, Message::PublishDataTrackResponse(_)));
    assert!(told < at(|m| matches!(m, Message::Update(_))), "its publisher first");
    last(&heard, |m| if let Message::PublishDataTrackResponse(r) = m { r.info.clone() } else { None })
}

pub(super) fn subscribe(track: &str, on: bool, fps: Option<u32>) -> Ask {
    let options = fps.map(|fps| proto::DataTrackSubscriptionOptions { target_fps: Some(fps) });
    let update = proto::update_data_subscription::Update { track_sid: track.into(), subscribe: on, options };
    Ask::UpdateDataSubscription(proto::UpdateDataSubscription { updates: vec![update] })
}

/// The handle under which a track comes.
fn handle_of(heard: &[Message], track: &str) -> Option<u16> {
    let maps = heard
        .iter()
        .filter_map(|m| if let Message::DataTrackSubscriberHandles(h) = m { Some(h) } else { None });
    maps.flat_map(|h| &h.sub_handles)
        .find(|(_, t)| t.track_sid == track)
        .map(|(h, _)| u16::try_from(*h).unwrap())
}

/// A packet after section 13.6 of LiveKit's protocol: one frame in one packet.
pub(super) fn packet(handle: u16, frame: u16) -> Vec<u8> {
    let mut packet = vec![0b0001_1000, 0];
    for part in [handle, frame, frame, 0, 9] {
        packet.extend_from_slice(&part.to_be_bytes());
    }
    packet.extend_from_slice(b"payload");
    packet
}

fn send(world: &mut World, peer: PeerId, payload: impl Into<Bytes>) -> Vec<(Vec<PeerId>, Bytes)> {
    world.take_commands();
    let event = sfu::Event::Data { peer, label: "_data_track".into(), payload: payload.into() };
    world.handle(Input::Media(event));
    let sent = world.take_commands().into_iter().filter_map(|c| match c {
        Command::SendData { peers, label: "_data_track", payload } => Some((peers, payload)),
        Command::SendData { label, .. } => panic!("{label}"),
        _ => None,
    });
    sent.collect()
}

fn room_of(identities: &[&str]) -> (World, Vec<SessionId>) {
    let mut world = World::new(config());
    let sessions = identities.iter().map(|who| world.join(who, Mode::Single)).collect();
    identities.iter().for_each(|who| world.connect(who));
    (world, sessions)
}

#[test]
fn frames_go_to_those_who_asked_under_a_handle_of_their_own() {
    let (mut world, s) = room_of(&["alice", "bob", "carol"]);
    world.hear(s[0]);
    world.ask(s[0], publish(7, "joint"));
    let info = published(&mut world, s[0]);
    assert_eq!((info.pub_handle, info.name.as_str(), info.encryption), (7, "joint", 1));
    let seen = last(&world.hear(s[1]), |m| match m {
        Message::Update(u) => Some(u.participants[0].data_tracks.clone()),
        _ => None,
    });
    assert_eq!(seen, std::slice::from_ref(&info));
    let [alice, bob] = ["alice", "bob"].map(|who| world.peers_of(who)[0]);
    assert!(send(&mut world, alice, packet(7, 1)).is_empty(), "nobody asked");
    world.ask(s[1], subscribe(&info.sid, true, None));
    let handle = handle_of(&world.hear(s[1]), &info.sid).unwrap();
    let sent = send(&mut world, alice, packet(7, 1));
    assert_eq!(sent, [(vec![bob], Bytes::from(packet(handle, 1)))]);
    // Not what is none, is somebody else's, or is of no track.
    for bad in [Vec::new(), packet(7, 1)[..11].to_vec(), packet(8, 1), packet(0, 1)] {
        assert!(send(&mut world, alice, bad).is_empty());
    }
    let mut newer = packet(7, 1);
    newer[0] |= 0b0010_0000;
    assert!(send(&mut world, alice, newer).is_empty());
    assert!(send(&mut world, bob, packet(7, 1)).is_empty());
    assert!(send(&mut world, alice, vec![0; 100_000]).is_empty());
    // Off, on again, and its end.
    world.ask(s[1], subscribe(&info.sid, false, None));
    assert!(send(&mut world, alice, packet(7, 2)).is_empty());
    world.ask(s[1], subscribe(&info.sid, true, None));
    assert_eq!(send(&mut world, alice, packet(7, 3)).len(), 1);
    world.hear(s[0]);
    world.ask(s[0], Ask::UnpublishDataTrackRequest(proto::UnpublishDataTrackRequest { pub_handle: 7 }));
    let ended = last(&world.hear(s[0]), |m| match m {
        Message::UnpublishDataTrackResponse(r) => r.info.clone(),
        _ => None,
    });
    assert_eq!(ended, info);
    assert!(send(&mut world, alice, packet(7, 4)).is_empty());
    world.hear(s[1]);
    world.ask(s[1], subscribe(&info.sid, true, None));
    assert_eq!(handle_of(&world.hear(s[1]), &info.sid), None);
}

#[test]
fn refusals_have_their_reasons() {
    let (mut world, s) = room_of(&["alice"]);
    let mut reason = |ask: Ask| {
        world.hear(s[0]);
        world.ask(s[0], ask);
        last(&world.hear(s[0]), |m| match m {
            Message::RequestResponse(r) => Some((r.reason(), r.request.is_some())),
            Message::PublishDataTrackResponse(_) => Some((Reason::Ok, false)),
            _ => None,
        })
    };
    assert_eq!(reason(publish(1, "a")), (Reason::Ok, false));
    assert_eq!(reason(publish(0, "b")), (Reason::InvalidHandle, true));
    assert_eq!(reason(publish(65_536, "b")), (Reason::InvalidHandle, true));
    assert_eq!(reason(publish(1, "b")), (Reason::DuplicateHandle, true));
    assert_eq!(reason(publish(2, "a")), (Reason::DuplicateName, true));
    assert_eq!(reason(publish(2, "")), (Reason::InvalidName, true));
    let none = Ask::UnpublishDataTrackRequest(proto::UnpublishDataTrackRequest { pub_handle: 9 });
    assert_eq!(reason(none), (Reason::NotFound, true));
    let mut silent = claims("silent");
    silent.video.as_mut().unwrap().can_publish_data = Some(false);
    let session = world.join_with(silent, request(Mode::Single));
    world.ask(session, publish(1, "a"));
    let refused = last(&world.hear(session), |m| match m {
        Message::RequestResponse(r) => Some(r.reason()),
        _ => None,
    });
    assert_eq!(refused, Reason::NotAllowed);
}

#[test]
fn a_subscriber_may_ask_for_fewer_frames() {
    let (mut world, s) = room_of(&["alice", "bob", "carol"]);
    world.hear(s[0]);
    world.ask(s[0], publish(1, "joint"));
    let track = published(&mut world, s[0]).sid;
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|who| world.peers_of(who)[0]);
    world.ask(s[1], subscribe(&track, true, Some(10)));
    world.ask(s[2], subscribe(&track, true, None));
    let mut got = (0, 0);
    for frame in 0..300u16 {
        // 100 frames a second, in three packets each.
        let mut first = packet(1, frame);
        first[0] = 0b0001_0000;
        let mut middle = packet(1, frame);
        middle[0] = 0;
        let mut end = packet(1, frame);
        end[0] = 0b0000_1000;
        let mut whole = 0;
        for part in [first, middle, end] {
            for (peers, _) in send(&mut world, alice, part) {
                got.0 += usize::from(peers.contains(&bob));
                got.1 += usize::from(peers.contains(&carol));
                whole += usize::from(peers.contains(&bob));
            }
        }
        assert!(whole == 0 || whole == 3, "whole frames or none");
        world.pass(Duration::from_millis(10));
    }
    assert_eq!(got.1, 900);
    assert!((87..=93).contains(&got.0), "{} packets", got.0);
}

#[test]
fn whoever_resumes_hears_the_handles_again() {
    let (mut world, s) = room_of(&["alice", "bob"]);
    world.hear(s[0]);
    world.ask(s[0], publish(1, "joint"));
    let info = published(&mut world, s[0]);
    world.ask(s[1], subscribe(&info.sid, true, None));
    let handle = handle_of(&world.hear(s[1]), &info.sid);
    let resumed = |world: &mut World, who: &str, state: proto::SyncState| {
        let mut again = request(Mode::Single);
        again.resume = Some(world.sid(who));
        again.sync_state = Some(state);
        let session = world.join_with(claims(who), again);
        world.hear(session)
    };
    let heard = resumed(&mut world, "bob", proto::SyncState::default());
    assert_eq!(handle_of(&heard, &info.sid), handle);
    let tracks = |info: proto::DataTrackInfo| {
        let publish_data_tracks = vec![proto::PublishDataTrackResponse { info: Some(info) }];
        proto::SyncState { publish_data_tracks, ..Default::default() }
    };
    let heard = resumed(&mut world, "alice", tracks(info.clone()));
    assert!(
        matches!(heard[0], Message::Reconnect(_)) && !heard.iter().any(|m| matches!(m, Message::Leave(_)))
    );
    let unknown = proto::DataTrackInfo { sid: "DTR_unknown".into(), ..info };
    let heard = resumed(&mut world, "alice", tracks(unknown));
    assert_eq!(last(&heard, a_leave).action(), proto::leave_request::Action::Reconnect);
}

#[test]
fn channels_are_agreed_on_with_new_clients_that_have_one_connection() {
    for (mode, protocol, expected) in
        [(Mode::Single, 18, vec![100, 101, 102]), (Mode::Single, 17, vec![]), (Mode::Dual, 18, vec![])]
    {
        let mut world = World::new(config());
        let mut request = request(mode);
        request.client.protocol = protocol;
        world.join_with(claims("alice"), request);
        let ids = world.take_commands().into_iter().filter_map(|c| match c {
            Command::OpenChannel { params, .. } => params.negotiated_id,
            _ => None,
        });
        assert_eq!(ids.collect::<Vec<_>>(), expected, "{mode:?} {protocol}");
    }
}

#[test]
fn blobs_are_kept_as_long_as_their_owner_stays() {
    let (mut world, s) = room_of(&["alice", "bob"]);
    let key = |name: &str| proto::DataBlobKey { key: Some(proto::data_blob_key::Key::Generic(name.into())) };
    let store = |name: &str, size: usize| {
        let blob = Some(proto::DataBlob { key: Some(key(name)), contents: vec![7; size] });
        Ask::StoreDataBlobRequest(proto::StoreDataBlobRequest { request_id: 3, blob })
    };
    let get = |name: &str| {
        Ask::GetDataBlobRequest(proto::GetDataBlobRequest {
            request_id: 4,
            participant_identity: "alice".into(),
            key: Some(key(name)),
        })
    };
    let mut answer = |session: SessionId, ask: Ask| {
        world.hear(session);
        world.ask(session, ask);
        last(&world.hear(session), |m| match m {
            Message::StoreDataBlobResponse(r) => Some((r.request_id, Ok(0))),
            Message::GetDataBlobResponse(r) => {
                Some((r.request_id, Ok(r.blob.as_ref().unwrap().contents.len())))
            }
            Message::RequestResponse(r) => Some((r.request_id, Err(r.reason()))),
            _ => None,
        })
    };
    assert_eq!(answer(s[0], store("a", 40_000)), (3, Ok(0)));
    assert_eq!(answer(s[1], get("a")), (4, Ok(40_000)));
    assert_eq!(answer(s[1], get("b")), (4, Err(Reason::NotFound)));
    assert_eq!(answer(s[0], store("b", 30_000)), (3, Err(Reason::LimitExceeded)), "together");
    assert_eq!(answer(s[0], store("a", 50_001)), (3, Err(Reason::LimitExceeded)), "alone");
    assert_eq!(answer(s[0], store("a", 10)), (3, Ok(0)), "replaced");
    assert_eq!(answer(s[1], get("a")), (4, Ok(10)));
    let nothing = proto::StoreDataBlobRequest { request_id: 5, blob: None };
    assert_eq!(answer(s[0], Ask::StoreDataBlobRequest(nothing)), (5, Err(Reason::InvalidRequest)));
    world.ask(s[0], Ask::Leave(proto::LeaveRequest::default()));
    world.hear(s[1]);
    world.ask(s[1], get("a"));
    assert!(matches!(world.hear(s[1])[0], Message::RequestResponse(_)));
}
