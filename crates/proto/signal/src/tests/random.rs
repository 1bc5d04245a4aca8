//! Clients that do anything at any time. [`World`](super::world::World) checks each output against the
//! ordering rules and the media engine's sense; here the scripts come from seeds.

use std::time::Duration;

use livekit_protocol as proto;
use proto::signal_request::Message as Ask;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::world::*;
use crate::{Admin, Input, Mode, SessionId};

const IDENTITIES: [&str; 4] = ["alice", "bob", "carol", "dave"];

struct Client {
    session: SessionId,
    mode: Mode,
    offers: u32,
}

fn step(world: &mut World, clients: &mut Vec<Client>, rng: &mut StdRng) {
    let identity = IDENTITIES[rng.random_range(0..IDENTITIES.len())];
    if clients.is_empty() || rng.random_bool(0.08) {
        let mode = if rng.random() { Mode::Dual } else { Mode::Single };
        let mut asked = request(mode);
        if mode == Mode::Single && rng.random_bool(0.7) {
            asked.add_tracks = if rng.random() { vec![camera()] } else { Vec::new() };
            asked.offer = Some(description("offer", single_publishing().to_string(), 1));
        }
        if rng.random_bool(0.1) {
            asked.resume = world.conference.room.by_identity(identity).map(|p| p.sid.0.clone());
        }
        let session = world.join_with(claims(identity), asked);
        clients.push(Client { session, mode, offers: 1 });
        return;
    }
    let at = rng.random_range(0..clients.len());
    let session = clients[at].session;
    if world.ears[&session].closed {
        world.handle(Input::SocketClosed { session });
        clients.swap_remove(at);
        return;
    }
    let tracks: Vec<String> =
        world.conference.room.participants().flat_map(|p| &p.tracks).map(|t| t.0.clone()).collect();
    let track =
        if tracks.is_empty() { "TR_none".into() } else { tracks[rng.random_range(0..tracks.len())].clone() };
    match rng.random_range(0..16) {
        0 => world.ask(session, Ask::AddTrack(camera())),
        1 => world.ask(session, Ask::AddTrack(microphone())),
        2 | 3 => {
            clients[at].offers += 1;
            let (mode, id) = (clients[at].mode, clients[at].offers);
            let mut sdp = match mode {
                Mode::Dual => CHROMIUM_PUBLISHER.to_owned(),
                Mode::Single => single_publishing().to_string(),
            };
            if rng.random_bool(0.4) {
                sdp = sdp.replacen("a=sendonly", "a=inactive", rng.random_range(1..3));
            }
            if rng.random_bool(0.1) {
                sdp = sdp.replace("a=ice-ufrag:", "a=ice-ufrag:r");
            }
            world.ask(session, Ask::Offer(description("offer", sdp, id)));
        }
        4..=6 => {
            for offer in world.hear(session).iter().filter_map(an_offer) {
                let mut answer = answer_to(&offer);
                if rng.random_bool(0.1) {
                    answer.sdp = answer.sdp.replacen("a=recvonly", "a=inactive", 1);
                }
                world.ask(session, Ask::Answer(answer));
            }
        }
        7 => world.ask(session, Ask::Mute(proto::MuteTrackRequest { sid: track, muted: rng.random() })),
        8 | 9 => {
            let subscription = proto::UpdateSubscription {
                track_sids: vec![track],
                subscribe: rng.random(),
                ..Default::default()
            };
            world.ask(session, Ask::Subscription(subscription));
        }
        10 => {
            let settings = proto::UpdateTrackSettings {
                track_sids: vec![track],
                disabled: rng.random_bool(0.3),
                quality: rng.random_range(0..4),
                ..Default::default()
            };
            world.ask(session, Ask::TrackSetting(settings));
        }
        11 => {
            if rng.random_bool(0.3) {
                world.ask(session, Ask::Leave(proto::LeaveRequest::default()));
            }
        }
        12 => {
            let peers: Vec<_> = world.peers.keys().copied().collect();
            if let Some(peer) = peers.get(rng.random_range(0..peers.len().max(1))).copied() {
                let event = match rng.random_range(0..12) {
                    0 => sfu::Event::Failed { peer, reason: sfu::FailReason::IceTimeout },
                    1 => sfu::Event::Failed { peer, reason: sfu::FailReason::Closed },
                    2 => sfu::Event::Disconnected { peer },
                    _ => sfu::Event::Connected { peer },
                };
                world.handle(Input::Media(event));
            }
        }
        13 => {
            if rng.random_bool(0.3) {
                world.handle(Input::SocketClosed { session });
                clients.swap_remove(at);
            }
        }
        14 => {
            let permission = proto::ParticipantPermission {
                can_subscribe: rng.random(),
                can_publish: rng.random(),
                hidden: rng.random_bool(0.1),
                ..Default::default()
            };
            let update = proto::UpdateParticipantRequest {
                identity: identity.into(),
                permission: Some(permission),
                ..Default::default()
            };
            let _ = world.admin(Admin::UpdateParticipant(Box::new(update)));
        }
        _ => world.pass(Duration::from_millis(rng.random_range(0..3000))),
    }
}

#[test]
fn whatever_clients_do_the_rules_hold() {
    for seed in 0..60 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::new(config());
        let mut clients = Vec::new();
        for _ in 0..250 {
            if world.ended {
                break;
            }
            step(&mut world, &mut clients, &mut rng);
        }
        // Everyone goes: nothing is left behind.
        if !world.ended {
            world.handle(Input::Shutdown { reconnect: rng.random() });
        }
        assert!(world.ended && world.peers.is_empty() && world.producers.is_empty(), "seed {seed}");
        assert!(world.consumers.is_empty() && world.conference.consumers.is_empty(), "seed {seed}");
        assert!(world.conference.published.is_empty() && world.conference.sockets.is_empty(), "seed {seed}");
    }
}
