//! Data packets.

use livekit_protocol as proto;
use prost::Message as _;
use prost::bytes::Bytes;
use proto::data_packet::Value;
use sfu::{Command, PeerId};

use super::world::*;
use crate::{Admin, Input, Mode};

fn room_of(identities: &[&str]) -> World {
    let mut world = World::new(config());
    for identity in identities {
        world.join(identity, Mode::Single);
        world.connect(identity);
    }
    world.take_commands();
    world
}

pub(super) fn send(world: &mut World, from: &str, label: &str, payload: impl Into<Bytes>) {
    let peer = world.peers_of(from)[0];
    let event = sfu::Event::Data { peer, label: label.into(), payload: payload.into() };
    world.handle(Input::Media(event));
}

pub(super) fn delivered(world: &mut World) -> Vec<(Vec<PeerId>, &'static str, proto::DataPacket)> {
    let sent = world.take_commands().into_iter().filter_map(|c| match c {
        Command::SendData { peers, label, payload } => {
            Some((peers, label, proto::DataPacket::decode(payload).unwrap()))
        }
        _ => None,
    });
    sent.collect()
}

#[allow(deprecated)]
pub(super) fn user(text: &str, to: &[&str], sequence: u32) -> proto::DataPacket {
    proto::DataPacket {
        destination_identities: to.iter().map(|t| (*t).to_owned()).collect(),
        participant_identity: "somebody else".into(),
        participant_sid: "PA_forged".into(),
        sequence,
        value: Some(Value::User(proto::UserPacket {
            payload: text.into(),
            participant_identity: "forged".into(),
            ..Default::default()
        })),
        ..Default::default()
    }
}

#[test]
#[allow(deprecated)]
fn packets_go_to_everyone_else_under_the_true_name() {
    let mut world = room_of(&["alice", "bob", "carol"]);
    send(&mut world, "alice", "_lossy", user("hi", &[], 0).encode_to_vec());
    let sent = delivered(&mut world);
    let [(peers, "_lossy", packet)] = &sent[..] else { panic!("{sent:?}") };
    let mut others = [world.peers_of("bob"), world.peers_of("carol")].concat();
    others.sort();
    let mut got = peers.clone();
    got.sort();
    assert_eq!(got, others);
    assert_eq!(packet.participant_identity, "alice");
    assert_eq!(packet.participant_sid, world.sid("alice"));
    assert_eq!(packet.kind(), proto::data_packet::Kind::Lossy);
    let Some(Value::User(user)) = &packet.value else { panic!() };
    assert_eq!((user.payload.as_slice(), user.participant_identity.as_str()), (&b"hi"[..], "alice"));
}

#[test]
fn destinations_are_kept_to_and_never_echo() {
    let mut world = room_of(&["alice", "bob", "carol"]);
    send(&mut world, "alice", "_reliable", user("hi", &["bob", "alice", "nobody"], 1).encode_to_vec());
    let sent = delivered(&mut world);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].0, world.peers_of("bob"));
    assert_eq!(sent[0].2.sequence, 1);
    send(&mut world, "alice", "_reliable", user("hi", &["alice"], 2).encode_to_vec());
    assert!(delivered(&mut world).is_empty());
}

#[test]
fn repeats_of_reliable_packets_are_dropped() {
    let mut world = room_of(&["alice", "bob"]);
    for (sequence, passes) in [(1, true), (2, true), (2, false), (1, false), (0, true), (5, true), (4, false)]
    {
        send(&mut world, "alice", "_reliable", user("x", &[], sequence).encode_to_vec());
        assert_eq!(!delivered(&mut world).is_empty(), passes, "{sequence}");
    }
}

#[test]
fn what_is_encrypted_or_unknown_passes_as_it_came() {
    let mut world = room_of(&["alice", "bob"]);
    let secret = proto::EncryptedPacket {
        encrypted_value: vec![1, 2, 3],
        iv: vec![9; 12],
        key_index: 3,
        ..Default::default()
    };
    let packet =
        proto::DataPacket { value: Some(Value::EncryptedPacket(secret.clone())), ..Default::default() };
    let mut bytes = packet.encode_to_vec();
    // Field 99, length-delimited, of a client newer than this server.
    bytes.extend_from_slice(&[0x9a, 0x06, 0x02, 0xaa, 0xbb]);
    send(&mut world, "alice", "_reliable", bytes);
    let commands = world.take_commands();
    let [Command::SendData { payload, .. }] = &commands[..] else { panic!("{commands:?}") };
    assert!(payload.windows(5).any(|w| w == [0x9a, 0x06, 0x02, 0xaa, 0xbb]));
    let packet = proto::DataPacket::decode(payload.clone()).unwrap();
    assert_eq!(packet.value, Some(Value::EncryptedPacket(secret)));
}

#[test]
fn who_may_not_and_what_may_not_is_dropped() {
    let mut world = room_of(&["bob"]);
    let mut silent = claims("alice");
    silent.video.as_mut().unwrap().can_publish_data = Some(false);
    world.join_with(silent, request(Mode::Single));
    world.connect("alice");
    world.take_commands();
    send(&mut world, "alice", "_reliable", user("x", &[], 1).encode_to_vec());
    send(&mut world, "alice", "a channel of its own", "x");
    let transcription = proto::DataPacket {
        value: Some(Value::Transcription(proto::Transcription::default())),
        ..Default::default()
    };
    world.join("carol", Mode::Single);
    world.connect("carol");
    world.take_commands();
    send(&mut world, "carol", "_reliable", transcription.encode_to_vec());
    send(&mut world, "carol", "_reliable", user(&"x".repeat(80_000), &[], 1).encode_to_vec());
    let metrics = proto::DataPacket {
        value: Some(Value::Metrics(proto::MetricsBatch::default())),
        ..Default::default()
    };
    send(&mut world, "carol", "_reliable", metrics.encode_to_vec());
    assert!(delivered(&mut world).is_empty());
}

#[test]
fn broken_packets_are_dropped() {
    let whole = user("hello", &["bob"], 3).encode_to_vec();
    let mut world = room_of(&["alice", "bob"]);
    for cut in 1..whole.len() {
        send(&mut world, "alice", "_reliable", whole[..cut].to_vec());
    }
    for byte in 0..=255u8 {
        send(&mut world, "alice", "_lossy", vec![byte; 40]);
    }
    world.take_commands();
    send(&mut world, "alice", "_lossy", user("still here", &[], 0).encode_to_vec());
    assert_eq!(delivered(&mut world).len(), 1);
}

#[test]
fn the_server_sends_as_nobody() {
    let mut world = room_of(&["alice", "bob"]);
    let send = |identities: &[&str]| Admin::SendData {
        payload: Bytes::from_static(b"hi"),
        reliable: true,
        topic: Some("t".into()),
        identities: identities.iter().map(|i| (*i).to_owned()).collect(),
        sids: Vec::new(),
        nonce: Bytes::from_static(b"0123456789abcdef"),
    };
    world.admin(send(&[])).unwrap();
    let sent = delivered(&mut world);
    assert_eq!((sent[0].0.len(), sent[0].2.participant_identity.as_str()), (2, ""));
    world.admin(send(&["bob"])).unwrap();
    assert_eq!(delivered(&mut world)[0].0, world.peers_of("bob"));
}

#[test]
fn who_has_joined_and_is_about_to_be_connected_gets_packets_too() {
    // Given: bob, whose client may know that it is connected before the server has heard of it.
    let mut world = room_of(&["alice"]);
    world.join("bob", Mode::Single);
    world.take_commands();
    for label in ["_reliable", "_lossy"] {
        send(&mut world, "alice", label, user("hi", &[], 0).encode_to_vec());
        let sent = delivered(&mut world);
        assert_eq!(sent.len(), 1, "{label}");
        assert_eq!(sent[0].0, world.peers_of("bob"));
    }
}

#[test]
fn what_comes_over_a_channel_of_an_applications_own_goes_to_everyone_else_as_it_is() {
    let mut world = room_of(&["alice", "bob"]);
    // Also where it looks like something else.
    for bytes in [user("inner", &["nobody"], 7).encode_to_vec(), vec![0xff; 9], Vec::new()] {
        send(&mut world, "alice", "chat", bytes.clone());
        let sent = delivered(&mut world);
        let [(peers, "_reliable", packet)] = &sent[..] else { panic!("{sent:?}") };
        assert_eq!(*peers, world.peers_of("bob"));
        assert_eq!((packet.participant_identity.as_str(), packet.sequence), ("alice", 0));
        assert!(matches!(&packet.value, Some(Value::User(user)) if user.payload == bytes));
    }
    send(&mut world, "alice", "chat", vec![0; 1 << 20]);
    assert!(delivered(&mut world).is_empty());
}
