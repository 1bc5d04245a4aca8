//! Lines that do not carry everything: who may be paused, and what subscribers are told.

use livekit_protocol as proto;
use proto::signal_request::Message as Ask;
use proto::signal_response::Message;
use proto::simulate_scenario::Scenario;
use sfu::{Command, Event};

use super::world::*;
use crate::{Config, Input, Mode};

fn with_pause(allowed: bool) -> Config {
    let mut config = config();
    config.limits.allow_pause = allowed;
    config
}

/// Alice publishes, bob subscribes over one connection.
fn pair(config: Config, says: Option<bool>) -> (World, crate::SessionId) {
    let mut world = World::new(config);
    let mut ask = request(Mode::Single);
    ask.add_tracks = vec![microphone(), camera()];
    ask.offer = Some(description("offer", single_publishing().to_string(), 1));
    world.join_with(claims("alice"), ask);
    world.connect("alice");
    let mut ask = request(Mode::Single);
    ask.allow_pause = says;
    ask.offer = Some(description("offer", CHROMIUM_V1, 1));
    let bob = world.join_with(claims("bob"), ask);
    world.connect("bob");
    (world, bob)
}

#[test]
fn whoever_joins_says_whether_pictures_may_be_paused_and_else_the_server_does() {
    for (server, client, allowed) in
        [(false, None, false), (true, None, true), (true, Some(false), false), (false, Some(true), true)]
    {
        let (mut world, _) = pair(with_pause(server), client);
        let bob = world.peers_of("bob");
        let told = world.take_commands().into_iter().filter_map(|c| match c {
            Command::AllowPause { peer, allowed } if bob.contains(&peer) => Some(allowed),
            _ => None,
        });
        assert_eq!(
            told.collect::<Vec<_>>(),
            if allowed { vec![true] } else { vec![] },
            "{server} {client:?}"
        );
    }
}

#[test]
fn a_subscriber_is_told_that_a_picture_is_paused_and_that_it_goes_on() {
    let (mut world, bob) = pair(config(), Some(true));
    world.hear(bob);
    let video = world.consumers.iter().find(|(_, (_, _, p))| p.rtx_ssrc.is_some());
    let consumer = *video.unwrap().0;
    for (paused, expected) in [(true, proto::StreamState::Paused), (false, proto::StreamState::Active)] {
        world.handle(Input::Media(Event::StreamPaused { consumer, paused }));
        let heard = world.hear(bob);
        let [Message::StreamStateUpdate(update)] = &heard[..] else { panic!("{heard:?}") };
        let [info] = &update.stream_states[..] else { panic!("{update:?}") };
        assert_eq!((info.state(), &info.participant_sid), (expected, &world.sid("alice")));
        assert!(info.track_sid.starts_with("TR_"));
    }
    // Of somebody who has left in the meantime.
    let gone = sfu::ConsumerId(99);
    world.handle(Input::Media(Event::StreamPaused { consumer: gone, paused: true }));
    assert!(world.hear(bob).is_empty());
}

#[test]
fn who_resumes_is_told_again_which_pictures_stand_and_what_is_wanted_of_its_own() {
    let (mut world, bob) = pair(config(), Some(true));
    let video =
        |world: &World| *world.consumers.iter().find(|(_, (_, _, p))| p.rtx_ssrc.is_some()).unwrap().0;
    let resumed = |world: &mut World, identity: &str| {
        let mut ask = request(Mode::Single);
        ask.resume = Some(world.sid(identity));
        let session = world.join_with(claims(identity), ask);
        world.hear(session)
    };
    let states = |heard: &[Message]| -> Vec<proto::StreamState> {
        let updates = heard.iter().filter_map(|m| match m {
            Message::StreamStateUpdate(update) => Some(update.stream_states.iter().map(|s| s.state())),
            _ => None,
        });
        updates.flatten().collect()
    };
    // Nothing was ever paused: there is nothing to say.
    assert_eq!(states(&resumed(&mut world, "bob")), []);
    for (paused, expected) in [(true, proto::StreamState::Paused), (false, proto::StreamState::Active)] {
        // It happens while nobody listens.
        world.handle(Input::SocketClosed { session: bob });
        let consumer = video(&world);
        world.handle(Input::Media(Event::StreamPaused { consumer, paused }));
        assert_eq!(states(&resumed(&mut world, "bob")), [expected]);
    }
    let wanted = |heard: &[Message]| -> Vec<bool> {
        let demands = heard.iter().filter_map(|m| match m {
            Message::SubscribedQualityUpdate(q) => {
                Some(q.subscribed_codecs[0].qualities.iter().map(|q| q.enabled))
            }
            _ => None,
        });
        demands.flatten().collect()
    };
    assert_eq!(wanted(&resumed(&mut world, "alice")), [true, true, true]);
    assert_eq!(wanted(&resumed(&mut world, "bob")), [] as [bool; 0]);
}

#[test]
fn an_application_may_try_a_narrow_line() {
    let (mut world, bob) = pair(config(), None);
    world.take_commands();
    for (bitrate, limit) in [(300_000, Some(rtp::Bitrate(300_000))), (0, None), (-5, None)] {
        let scenario = Some(Scenario::SubscriberBandwidth(bitrate));
        world.ask(bob, Ask::Simulate(proto::SimulateScenario { scenario }));
        let peer = world.peers_of("bob")[0];
        let commands = world.take_commands();
        let [Command::LimitBandwidth { peer: told, limit: set }] = &commands[..] else {
            panic!("{commands:?}")
        };
        assert_eq!((*told, *set), (peer, limit));
    }
}
