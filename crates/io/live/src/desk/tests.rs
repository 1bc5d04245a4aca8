use std::collections::BTreeMap;

use bytes::Bytes;
use media::{Frame, Shape, Sound, Ticks, Track, TrackId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use vhost::{App, Callbacks, Directory, Domain, Origin, Policy, StreamKey};

use super::*;

fn open() -> App {
    App { publish: Policy::Open, ..App::default() }
}

fn config(app: App) -> Config {
    let apps = BTreeMap::from([("live".to_owned(), Arc::new(app))]);
    let directory = Directory::new(vec![Domain { name: "d".into(), apps, auto: None }]);
    Config { directory, ..Config::default() }
}

fn visit(desk: &Desk, stream: &str) -> Visit {
    let (path, query) = Query::split(stream);
    let place = desk.config().directory.stream("h", &format!("live/{path}")).unwrap();
    Visit { place, query, protocol: Protocol::Rtmp, address: None }
}

fn name(stream: &str) -> Name {
    Name::new("d", "live", stream).unwrap()
}

fn sound(millis: i64) -> Frame {
    let at = Ticks::from_millis(millis);
    Frame { track: TrackId::AUDIO, key: true, dts: at, pts: at, payload: Bytes::from_static(b"x") }
}

fn opus() -> Track {
    let shape = Shape::Audio(Sound { rate: 48_000, channels: 2 });
    Track { id: TrackId::AUDIO, codec: codec::Kind::Opus, config: Bytes::new(), shape }
}

#[tokio::test]
async fn frames_reach_who_plays_and_stays_end_when_dropped() {
    let desk = Desk::new(config(open()));
    let refused = desk.play(visit(&desk, "a")).await.unwrap_err();
    assert_eq!(refused.status(), 404);
    let publishing = desk.publish(visit(&desk, "a")).await.unwrap();
    publishing.set_track(opus()).unwrap();
    let mut playing = desk.play(visit(&desk, "a?latency=0")).await.unwrap();
    let waits = tokio::spawn(async move {
        assert!(playing.beyond(0).await);
        let mut cursor = playing.cursor();
        let step = playing.stream().lock().next(&mut cursor, 10);
        assert_eq!(step.range, 1..2, "latency=0 begins at the newest");
        playing
    });
    publishing.push([sound(0), sound(20)]).unwrap();
    let playing = waits.await.unwrap();
    let info = &desk.streams()[0];
    assert_eq!((info.name.clone(), info.players.len()), (name("a"), 1));
    drop(playing);
    assert_eq!(desk.stream(&name("a")).unwrap().players.len(), 0);
    drop(publishing);
    assert!(desk.stream(&name("a")).unwrap().publisher.is_none());
}

#[tokio::test]
async fn who_is_sent_away_learns_it_and_why() {
    let desk = Desk::new(config(open()));
    let mut first = desk.publish(visit(&desk, "a")).await.unwrap();
    let mut player = desk.play(visit(&desk, "a")).await.unwrap();
    let second = desk.publish(visit(&desk, "a")).await.unwrap();
    assert_eq!(first.ended().await, Why::Replaced);
    assert_eq!(first.push([sound(0)]), Err(media::Replaced));
    drop(first);
    assert_eq!((second.over(), player.over()), (None, None), "and nobody else is");
    assert!(desk.kick_player(player.id()));
    assert_eq!(player.ended().await, Why::Kicked);
    assert!(!player.beyond(0).await, "nothing is waited for any more");
    assert!(desk.kick_publisher(&name("a")));
    assert_eq!(second.over(), Some(Why::Kicked));
}

#[tokio::test]
async fn what_is_fetched_is_asked_for_once_and_can_be_given_up() {
    let origin = Origin {
        protocol: Protocol::Rtmp,
        url: "rtmp://o/live".into(),
        interval: Duration::from_secs(1),
        max_retry: 1,
    };
    let desk = Desk::new(config(App { pull: vec![origin], ..open() }));
    let mut events = desk.events();
    let mut one = desk.play(visit(&desk, "a")).await.unwrap();
    let two = desk.play(visit(&desk, "a")).await.unwrap();
    assert_eq!(events.recv().await.unwrap(), Event::Wanted { name: name("a") });
    assert!(events.is_empty());
    desk.give_up(&name("a"));
    assert_eq!((one.ended().await, two.over()), (Why::Ended, Some(Why::Ended)));
    assert!(desk.find(&name("a")).is_none());
}

#[tokio::test]
async fn refusals_have_their_status() {
    let key = StreamKey::new("hush").unwrap();
    let mut app = App { stream_keys: [("a".into(), key)].into(), ..App::default() };
    app.stream.replace_publisher = false;
    let desk = Desk::new(config(app));
    let status = async |stream| desk.publish(visit(&desk, stream)).await.unwrap_err().status();
    assert_eq!(status("a").await, 401);
    assert_eq!(status("a?token=x.y.z").await, 401);
    assert_eq!(status("a?key=wrong").await, 401);
    // The key in place of the name publishes its stream, and shows nowhere.
    let publishing = desk.publish(visit(&desk, "hush")).await.unwrap();
    assert_eq!(publishing.place().name, name("a"));
    assert_eq!(desk.streams().len(), 1);
    assert_eq!(status("a?key=hush").await, 409);
    assert_eq!(desk.play(visit(&desk, "hush")).await.unwrap_err().status(), 404);
}

#[tokio::test]
async fn new_settings_leave_streams_running() {
    let desk = Desk::new(config(open()));
    let publishing = desk.publish(visit(&desk, "a")).await.unwrap();
    publishing.set_track(opus()).unwrap();
    desk.apply(config(App::default()));
    publishing.push([sound(0)]).unwrap();
    assert_eq!(publishing.over(), None);
    assert_eq!(desk.publish(visit(&desk, "b")).await.unwrap_err().status(), 401, "now a token is needed");
    desk.apply(Config::default());
    publishing.push([sound(20)]).unwrap();
}

/// An operator's server that answers each request with the next status, and keeps what it was sent.
async fn operator(statuses: &'static [u16]) -> (String, mpsc::UnboundedReceiver<serde_json::Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for status in statuses {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            let body = loop {
                let n = stream.read(&mut buffer).await.unwrap();
                request.extend_from_slice(&buffer[..n]);
                let at = request.windows(4).position(|end| end == b"\r\n\r\n");
                let body = at.map(|at| request[at + 4..].to_vec()).unwrap_or_default();
                if let Ok(body) = serde_json::from_slice(&body) {
                    break body;
                }
            };
            sender.send(body).unwrap();
            if *status > 0 {
                let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            } else {
                // It says nothing until it is left.
                let _ = stream.read(&mut buffer).await;
            }
        }
    });
    (url, receiver)
}

#[tokio::test]
async fn an_operators_server_is_asked_and_told() {
    let (url, mut notices) = operator(&[200, 403, 204, 200, 0]).await;
    let callbacks = Callbacks {
        on_publish: Some(url.clone()),
        on_play: Some(url.clone()),
        on_close: Some(url),
        timeout: Duration::from_secs(10),
    };
    let desk = Desk::new(config(App { callbacks: callbacks.clone(), ..open() }));
    tokio::spawn(desk.clone().run(std::future::pending()));
    let publishing = desk.publish(visit(&desk, "a?who=me")).await.unwrap();
    let said = notices.recv().await.unwrap();
    assert_eq!(said["action"], "on_publish");
    assert_eq!((&said["domain"], &said["app"], &said["stream"]), (&"d".into(), &"live".into(), &"a".into()));
    assert_eq!((&said["protocol"], &said["query"]["who"]), (&"rtmp".into(), &"me".into()));
    // Refused: and then there is no player, and no notice of an end.
    let refused = desk.play(visit(&desk, "a")).await.unwrap_err();
    assert_eq!((refused.status(), notices.recv().await.unwrap()["action"].clone()), (403, "on_play".into()));
    let playing = desk.play(visit(&desk, "a")).await.unwrap();
    notices.recv().await.unwrap();
    // Not asked about what is not there.
    assert_eq!(desk.play(visit(&desk, "none")).await.unwrap_err().status(), 404);
    drop(playing);
    let said = notices.recv().await.unwrap();
    let shown = (&said["action"], &said["what"], &said["why"]);
    assert_eq!(shown, (&"on_close".into(), &"play".into(), &"left".into()));
    assert!(said["seconds"].as_f64().unwrap() >= 0.0);
    // No answer in time is a refusal.
    let mut app = open();
    app.callbacks = Callbacks { on_close: None, timeout: Duration::from_millis(20), ..callbacks };
    desk.apply(config(app));
    let refused = desk.publish(visit(&desk, "b")).await.unwrap_err();
    assert_eq!(refused, Refused::Callback);
    assert_eq!(notices.recv().await.unwrap()["stream"], "b");
    drop(publishing);
}

#[tokio::test]
async fn a_silent_publisher_is_closed_by_the_desks_own_timer() {
    let mut app = open();
    app.stream.timeout_time = Duration::from_millis(30);
    let desk = Desk::new(config(app));
    tokio::spawn(desk.clone().run(std::future::pending()));
    let mut publishing = desk.publish(visit(&desk, "a")).await.unwrap();
    assert_eq!(publishing.ended().await, Why::Silent);
}

#[tokio::test]
async fn one_streams_frames_wake_nobody_elses_players() {
    let desk = Desk::new(config(open()));
    let busy = desk.publish(visit(&desk, "busy")).await.unwrap();
    let quiet = desk.publish(visit(&desk, "quiet")).await.unwrap();
    for publishing in [&busy, &quiet] {
        publishing.set_track(opus()).unwrap();
    }
    let there = desk.play(visit(&desk, "busy")).await.unwrap();
    let elsewhere = desk.play(visit(&desk, "quiet")).await.unwrap();
    busy.push([sound(0)]).unwrap();
    assert!(there.bell.has_changed().unwrap());
    assert!(!elsewhere.bell.has_changed().unwrap());
}

#[tokio::test]
async fn a_reload_changes_how_many_streams_there_may_be() {
    let desk = Desk::new(Config { max_streams: 1, ..config(open()) });
    let _first = desk.publish(visit(&desk, "a")).await.unwrap();
    assert_eq!(desk.publish(visit(&desk, "b")).await.unwrap_err().status(), 503);
    desk.apply(Config { max_streams: 2, ..config(open()) });
    assert!(desk.publish(visit(&desk, "b")).await.is_ok());
}
