#![allow(clippy::disallowed_methods)] // a test has to begin somewhere

use std::time::Duration;

use bytes::Bytes;
use codec::Kind;

use super::*;
use crate::{Frame, Shape, Sound, Ticks, Track, TrackId};

fn start() -> Time {
    Time { mono: Instant::now(), unix: Duration::from_secs(1_700_000_000) }
}

fn offer(source: Source) -> Offer {
    Offer { source, label: "test", address: None }
}

fn viewer() -> Viewer {
    Viewer { label: "test", address: None }
}

fn name(stream: &str) -> Name {
    Name::new("d", "live", stream).unwrap()
}

struct Bench {
    hub: Hub,
    now: Time,
    config: Config,
}

impl Bench {
    fn new() -> Self {
        let now = start();
        Self { hub: Hub::new(now.mono, 10), now, config: Config::default() }
    }

    fn publish(&mut self, stream: &str) -> Publication {
        self.hub.publish(self.now, &name(stream), &self.config, offer(Source::Published)).unwrap()
    }

    fn play(&mut self, stream: &str, can_pull: bool) -> Result<Player, PlayError> {
        self.hub.play(self.now, &name(stream), &self.config, viewer(), can_pull)
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now.after(time);
        // As a driver does: wakes when told, and no more often.
        while let Some(due) = self.hub.poll_timeout().filter(|due| *due <= end.mono) {
            self.now = self.now.after(due.saturating_duration_since(self.now.mono));
            self.hub.handle_timeout(self.now);
        }
        self.now = end;
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.hub.poll_event()).collect()
    }

    fn send(&self, publication: &Publication, millis: i64) {
        let mut stream = publication.stream.lock();
        let track = Track {
            id: TrackId::AUDIO,
            codec: Kind::Opus,
            config: Bytes::new(),
            shape: Shape::Audio(Sound::default()),
        };
        stream.set_track(publication.session, track).unwrap();
        let at = Ticks::from_millis(millis);
        let frame = Frame { track: TrackId::AUDIO, key: true, dts: at, pts: at, payload: Bytes::new() };
        stream.push(publication.session, self.now, frame).unwrap();
    }
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn a_published_stream_stays_though_nobody_watches() {
    // Given: a publisher that sends, and nobody who plays.
    let mut bench = Bench::new();
    let publication = bench.publish("a");
    bench.events();
    for n in 0..600 {
        bench.wait(secs(1));
        bench.send(&publication, n * 1000);
    }
    // Then: after ten minutes it is there, also after a player came and went.
    assert!(bench.hub.is_published(&name("a")));
    let player = bench.play("a", false).unwrap();
    bench.hub.leave(bench.now, player.id);
    bench.events();
    for n in 600..700 {
        bench.wait(secs(1));
        bench.send(&publication, n * 1000);
    }
    assert_eq!(bench.events(), []);
    assert!(bench.hub.is_published(&name("a")));
}

#[test]
fn a_silent_publisher_is_closed_on_time() {
    let mut bench = Bench::new();
    let publication = bench.publish("a");
    bench.wait(secs(15));
    bench.send(&publication, 0);
    bench.events();
    bench.wait(Duration::from_millis(19_900));
    assert_eq!(bench.events(), []);
    bench.wait(Duration::from_millis(200));
    let stopped = Event::Stopped { name: name("a"), id: publication.id, why: Why::Silent };
    assert_eq!(bench.events(), [stopped]);
    assert_eq!(publication.stream.lock().end(publication.session), Err(crate::Replaced));
    // And unpublishing what is over does nothing.
    bench.hub.unpublish(bench.now, publication.id);
    assert_eq!(bench.events(), []);
}

#[test]
fn a_publisher_leaves_and_returns_while_players_wait() {
    let mut bench = Bench::new();
    let first = bench.publish("a");
    bench.send(&first, 0);
    let player = bench.play("a", false).unwrap();
    bench.hub.unpublish(bench.now, first.id);
    bench.wait(secs(25));
    let second = bench.publish("a");
    assert!(second.stream.is(&player.stream), "it is the same stream");
    bench.events();
    for n in 0..60 {
        bench.wait(secs(1));
        bench.send(&second, n * 1000);
    }
    assert_eq!(bench.events(), [], "the timer of before is forgotten");
}

#[test]
fn a_publisher_that_does_not_return_ends_the_stream_for_everybody() {
    let mut bench = Bench::new();
    let publication = bench.publish("a");
    let player = bench.play("a", false).unwrap();
    bench.hub.unpublish(bench.now, publication.id);
    bench.events();
    bench.wait(secs(29));
    assert_eq!(bench.events(), []);
    bench.wait(secs(2));
    let left = Event::Left { name: name("a"), id: player.id, why: Why::Ended };
    assert_eq!(bench.events(), [left, Event::Ended { name: name("a") }]);
    assert_eq!(bench.play("a", false).unwrap_err(), PlayError::NotFound);
    assert!(bench.hub.streams.is_empty() && bench.hub.players.is_empty() && bench.hub.wheel.is_empty());
}

#[test]
fn a_second_publisher_takes_over_or_is_refused() {
    let mut bench = Bench::new();
    let first = bench.publish("a");
    let second = bench.publish("a");
    let events = bench.events();
    assert_eq!(events[1], Event::Stopped { name: name("a"), id: first.id, why: Why::Replaced });
    assert_eq!(events[2], Event::Started { name: name("a"), id: second.id });
    bench.hub.unpublish(bench.now, first.id);
    assert!(bench.hub.is_published(&name("a")), "the first is gone already");
    bench.config.replace_publisher = false;
    let third = bench.hub.publish(bench.now, &name("a"), &bench.config, offer(Source::Published));
    assert_eq!(third.unwrap_err(), PublishError::Busy);
    // When the one who has it leaves, it is free.
    bench.hub.unpublish(bench.now, second.id);
    bench.publish("a");
}

#[test]
fn a_pulled_stream_is_fetched_once_and_let_go_without_players() {
    let mut bench = Bench::new();
    let one = bench.play("a", true).unwrap();
    let two = bench.play("a", true).unwrap();
    assert_eq!(bench.events(), [Event::Wanted { name: name("a") }]);
    let source = offer(Source::Pulled);
    let publication = bench.hub.publish(bench.now, &name("a"), &bench.config, source).unwrap();
    assert!(publication.stream.is(&one.stream));
    bench.hub.leave(bench.now, one.id);
    bench.wait(secs(15));
    bench.send(&publication, 0);
    bench.hub.leave(bench.now, two.id);
    bench.hub.leave(bench.now, two.id);
    bench.events();
    // A player within the time keeps it.
    bench.wait(secs(15));
    bench.send(&publication, 15_000);
    let three = bench.play("a", true).unwrap();
    bench.wait(secs(15));
    bench.send(&publication, 30_000);
    bench.hub.leave(bench.now, three.id);
    bench.events();
    for n in 31..60 {
        bench.wait(secs(1));
        bench.send(&publication, n * 1000);
    }
    assert_eq!(bench.events(), []);
    bench.wait(secs(2));
    let stopped = Event::Stopped { name: name("a"), id: publication.id, why: Why::Idle };
    assert_eq!(bench.events(), [stopped, Event::Ended { name: name("a") }]);
}

#[test]
fn who_waits_for_a_stream_that_cannot_be_fetched_is_told() {
    let mut bench = Bench::new();
    let player = bench.play("a", true).unwrap();
    bench.events();
    bench.hub.give_up(bench.now, &name("a"));
    let left = Event::Left { name: name("a"), id: player.id, why: Why::Ended };
    assert_eq!(bench.events(), [left, Event::Ended { name: name("a") }]);
    // What is published meanwhile is not given up.
    bench.play("b", true).unwrap();
    bench.publish("b");
    bench.hub.give_up(bench.now, &name("b"));
    assert!(bench.hub.is_published(&name("b")));
}

#[test]
fn one_who_sends_here_takes_over_from_what_is_fetched_not_the_other_way_round() {
    let mut bench = Bench::new();
    bench.play("a", true).unwrap();
    let pulled = bench.hub.publish(bench.now, &name("a"), &bench.config, offer(Source::Pulled)).unwrap();
    bench.config.replace_publisher = false;
    bench.publish("a");
    assert!(bench.events().contains(&Event::Stopped { name: name("a"), id: pulled.id, why: Why::Replaced }));
    let again = bench.hub.publish(bench.now, &name("a"), &bench.config, offer(Source::Pulled));
    assert_eq!(again.unwrap_err(), PublishError::Busy);
}

#[test]
fn unknown_names_leave_no_trace_and_known_ones_are_bounded() {
    let mut bench = Bench::new();
    for n in 0..10_000 {
        assert_eq!(bench.play(&format!("s{n}"), false).unwrap_err(), PlayError::NotFound);
    }
    assert!(bench.hub.streams.is_empty() && bench.hub.wheel.is_empty());
    // What is fetched for whoever asks leaves half of the places to what is sent here.
    for n in 0..10_000 {
        let answer = bench.play(&format!("s{n}"), true);
        assert_eq!(answer.err(), (n >= 5).then_some(PlayError::Full), "{n}");
    }
    bench.play("s1", true).unwrap();
    for n in 0..5 {
        bench.publish(&format!("p{n}"));
    }
    let full = bench.hub.publish(bench.now, &name("more"), &bench.config, offer(Source::Published));
    assert_eq!(full.unwrap_err(), PublishError::Full);
    // More room, as after a reload; and what came, or was given up, is not waited for any more.
    bench.hub.set_max_streams(100);
    bench.hub.publish(bench.now, &name("s0"), &bench.config, offer(Source::Pulled)).unwrap();
    bench.hub.give_up(bench.now, &name("s1"));
    assert_eq!(bench.hub.awaited.len(), 3);
    for n in 0..47 {
        bench.play(&format!("t{n}"), true).unwrap();
    }
    assert_eq!(bench.play("t47", true).unwrap_err(), PlayError::Full);
    bench.wait(bench.config.idle_time * 10);
    assert_eq!(bench.hub.streams.len(), 51, "players are there and wait; publishers were silent");
    let players: Vec<_> = bench.hub.players.keys().copied().collect();
    players.into_iter().for_each(|id| bench.hub.leave(bench.now, id));
    bench.wait(bench.config.idle_time * 2);
    assert!(bench.hub.awaited.is_empty());
}

#[test]
fn kicked_is_said_once_and_to_the_right_one() {
    let mut bench = Bench::new();
    let publication = bench.publish("a");
    let one = bench.play("a", false).unwrap();
    let two = bench.play("a", false).unwrap();
    bench.events();
    assert!(bench.hub.kick_player(bench.now, one.id));
    assert!(!bench.hub.kick_player(bench.now, one.id));
    assert!(bench.hub.kick_publisher(bench.now, &name("a")));
    assert!(!bench.hub.kick_publisher(bench.now, &name("a")));
    assert_eq!(
        bench.events(),
        [
            Event::Left { name: name("a"), id: one.id, why: Why::Kicked },
            Event::Stopped { name: name("a"), id: publication.id, why: Why::Kicked },
        ]
    );
    let info = bench.hub.info(bench.now, &name("a")).unwrap();
    assert!(info.publisher.is_none());
    assert_eq!(info.players.iter().map(|player| player.id).collect::<Vec<_>>(), [two.id]);
}

#[test]
fn settings_change_without_anybody_noticing() {
    let mut bench = Bench::new();
    let publication = bench.publish("a");
    bench.events();
    let config = Config { timeout_time: secs(60), ..Config::default() };
    bench.hub.apply(|name| (name.app() == "live").then(|| config.clone()));
    bench.wait(secs(59));
    assert_eq!(bench.events(), []);
    bench.send(&publication, 0);
    bench.wait(secs(61));
    assert_eq!(bench.events().len(), 1);
}
