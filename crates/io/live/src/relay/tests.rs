use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use media::{Config as StreamConfig, Frame, Shape, Sound, Stream, Ticks, Track, TrackId, Why};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use vhost::{App, Directory, Domain, Origin, Query};

use super::*;
use crate::{Config, Visit};

/// An FLV file of 30 frames of sound whose payload is `mark`.
fn file(mark: &'static [u8]) -> Vec<u8> {
    let mut stream = Stream::new(StreamConfig::default());
    let session = stream.begin(crate::now());
    let shape = Shape::Audio(Sound { rate: 44_100, channels: 2 });
    let config = Bytes::from_static(&[0x12, 0x10]);
    stream.set_track(session, Track { id: TrackId::AUDIO, codec: codec::Kind::Aac, config, shape }).unwrap();
    let mut tags = flv::Tags::default();
    let mut file = Vec::new();
    for n in 0..30 {
        let at = Ticks::from_millis(n * 20);
        let payload = Bytes::from_static(mark);
        let frame = Frame { track: TrackId::AUDIO, key: true, dts: at, pts: at, payload };
        let index = stream.push(session, crate::now(), frame).unwrap().unwrap();
        if n == 0 {
            file.extend_from_slice(&flv::egress::head(stream.headers().unwrap(), Ticks(0)));
        }
        file.extend_from_slice(&tags.get(&stream, index).unwrap());
    }
    file
}

/// An origin for one player: it is killed when the sender is dropped. What it was asked for comes back.
async fn origin(mark: &'static [u8]) -> (String, oneshot::Sender<()>, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/live", listener.local_addr().unwrap());
    let (kill, killed) = oneshot::channel();
    let task = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 2048];
        let n = socket.read(&mut request).await.unwrap();
        request.truncate(n);
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\n\r\n").await.unwrap();
        socket.write_all(&file(mark)).await.unwrap();
        let mut rest = [0; 16];
        tokio::select! {
            _ = killed => {}
            // Or it is left.
            _ = socket.read(&mut rest) => {}
        }
        String::from_utf8(request).unwrap()
    });
    (url, kill, task)
}

fn desk(urls: &[&str], idle: Duration) -> Desk {
    let pull = urls.iter().map(|url| Origin {
        protocol: Protocol::Flv,
        url: (*url).to_owned(),
        interval: Duration::from_secs(1),
        max_retry: 0,
    });
    let mut app = App { pull: pull.collect(), ..App::default() };
    app.stream.idle_time = idle;
    let apps = BTreeMap::from([("live".to_owned(), Arc::new(app))]);
    let directory = Directory::new(vec![Domain { name: "d".into(), apps, auto: None }]);
    let desk = Desk::new(Config { directory, ..Config::default() });
    tokio::spawn(desk.clone().run(std::future::pending()));
    tokio::spawn(run(desk.clone(), std::future::pending()));
    desk
}

fn visit(desk: &Desk) -> Visit {
    let place = desk.config().directory.stream("h", "live/demo").unwrap();
    Visit { place, query: Query::default(), protocol: Protocol::Flv, address: None }
}

/// Reads until a frame whose payload is `mark`.
async fn until(playing: &mut crate::Playing, cursor: &mut media::Cursor, mark: &[u8]) {
    loop {
        let position = cursor.position();
        let step = playing.stream().lock().next(cursor, 1);
        let stream = playing.stream().clone();
        if stream.lock().frames(step.range.clone()).any(|(_, frame)| frame.payload == mark) {
            return;
        }
        if step.is_empty() {
            assert!(playing.beyond(position).await, "over: {:?}", playing.over());
        }
    }
}

#[tokio::test]
async fn a_stream_is_fetched_when_a_player_comes_and_fails_over_when_its_origin_is_killed() {
    let (one, kill, first) = origin(b"one").await;
    let (two, _alive, _second) = origin(b"two").await;
    let desk = desk(&[&one, &two], Duration::from_secs(30));
    let mut playing = desk.play(visit(&desk)).await.unwrap();
    let mut cursor = playing.cursor();
    until(&mut playing, &mut cursor, b"one").await;
    let began = std::time::Instant::now();
    drop(kill);
    until(&mut playing, &mut cursor, b"two").await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(first.await.unwrap().starts_with("GET /live/demo.flv HTTP/1.1\r\n"));
    let info = desk.stream(&playing.place().name).unwrap();
    assert_eq!(info.publisher.unwrap().offer.source, Source::Pulled);
}

#[tokio::test]
async fn who_waits_for_what_no_origin_has_is_told() {
    let desk = desk(&["http://127.0.0.1:1/live", "nonsense"], Duration::from_secs(30));
    let mut playing = desk.play(visit(&desk)).await.unwrap();
    assert_eq!(playing.ended().await, Why::Ended);
}

#[tokio::test]
async fn what_nobody_plays_is_let_go() {
    let (url, _alive, origin) = origin(b"one").await;
    let desk = desk(&[&url], Duration::from_millis(50));
    let mut playing = desk.play(visit(&desk)).await.unwrap();
    let mut cursor = playing.cursor();
    until(&mut playing, &mut cursor, b"one").await;
    drop(playing);
    // The origin sees that it was left.
    origin.await.unwrap();
    assert!(desk.streams().is_empty());
}

#[tokio::test]
async fn an_origin_whose_tags_lie_about_their_size_is_followed_by_the_next() {
    let good = file(b"one");
    let mut huge = good.clone();
    let end = huge.len();
    huge.extend_from_slice(&[9, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0]);
    let mut wrong = good.clone();
    // The last size behind a tag.
    wrong[end - 1] ^= 1;
    let mut kind = good.clone();
    kind.extend_from_slice(&[0x77; 15]);
    for (what, bytes) in [("a tag of 16 MiB", huge), ("another size behind", wrong), ("no kind of tag", kind)]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let liar = format!("http://{}/live", listener.local_addr().unwrap());
        let left = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\n\r\n").await.unwrap();
            socket.write_all(&bytes).await.unwrap();
            // It does not end it: whoever believes it waits for ever.
            let mut rest = Vec::new();
            let _ = socket.read_to_end(&mut rest).await;
        });
        let (next, _alive, _task) = origin(b"two").await;
        let desk = desk(&[&liar, &next], Duration::from_secs(30));
        let mut playing = desk.play(visit(&desk)).await.unwrap();
        let mut cursor = playing.cursor();
        let both = async {
            until(&mut playing, &mut cursor, b"two").await;
            left.await.unwrap();
        };
        tokio::time::timeout(crate::testbed::PATIENCE, both).await.unwrap_or_else(|_| panic!("{what}"));
    }
}

/// A server that speaks RTMP, whose desk it is.
async fn rtmp_server() -> (Desk, String) {
    let desk = crate::testbed::desk(|_| {});
    let (listener, address) = crate::testbed::listener().await;
    tokio::spawn(crate::rtmp::serve(desk.clone(), listener, None, std::future::pending()));
    (desk, format!("rtmp://{address}/live"))
}

#[tokio::test]
async fn a_stream_is_fetched_over_rtmp_and_forwarded_over_rtmp() {
    use crate::testbed::{number, picture, publish};
    // Given: an origin where it is published, one in the middle, and one to which the middle forwards.
    let (origin, origin_url) = rtmp_server().await;
    let (last, last_url) = rtmp_server().await;
    let publishing = publish(&origin, "demo").await;
    publishing.push((0..10).map(|n| picture(n, 5000))).unwrap();
    let middle = crate::testbed::desk(|app| {
        app.pull = vec![Origin {
            protocol: Protocol::Rtmp,
            url: origin_url,
            interval: Duration::from_secs(1),
            max_retry: 3,
        }];
        app.push = vec![vhost::Push { url: last_url }];
    });
    tokio::spawn(run(middle.clone(), std::future::pending()));
    // When: somebody plays it in the middle.
    let mut began = last.events();
    let mut playing = middle.play(crate::testbed::visit(&middle, "demo")).await.unwrap();
    let mut cursor = playing.cursor();
    until(&mut playing, &mut cursor, &picture(9, 5000).payload).await;
    // Then: it comes to the last, and goes on there.
    let started = tokio::time::timeout(crate::testbed::PATIENCE, began.recv()).await.unwrap().unwrap();
    assert!(matches!(started, Event::Started { .. }));
    let mut at_last = last.play(crate::testbed::visit(&last, "demo")).await.unwrap();
    let mut cursor = at_last.cursor();
    publishing.push((10..60).map(|n| picture(n, 5000))).unwrap();
    until(&mut at_last, &mut cursor, &picture(59, 5000).payload).await;
    let stream = at_last.stream().lock();
    let numbers: Vec<_> =
        stream.frames(stream.base()..stream.head()).map(|(_, frame)| number(frame)).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    assert_eq!(stream.headers().unwrap().tracks[0].config, crate::testbed::track().config);
}

#[tokio::test]
async fn an_origin_that_refuses_is_followed_by_the_next() {
    let (empty, empty_url) = rtmp_server().await;
    let (url, _alive, _task) = origin(b"two").await;
    let desk = crate::testbed::desk(|app| {
        let origin = |protocol, url| Origin { protocol, url, interval: Duration::from_secs(1), max_retry: 0 };
        app.pull = vec![origin(Protocol::Rtmp, empty_url), origin(Protocol::Flv, url)];
    });
    tokio::spawn(run(desk.clone(), std::future::pending()));
    let mut playing = desk.play(visit(&desk)).await.unwrap();
    let mut cursor = playing.cursor();
    until(&mut playing, &mut cursor, b"two").await;
    assert!(empty.streams().is_empty());
}

#[tokio::test]
async fn where_a_forwarded_stream_ends_the_other_server_is_told() {
    use crate::testbed::{PATIENCE, listener, picture, publish};
    let (listener, address) = listener().await;
    // What the other server is told, in order, until the connection ends.
    let (tell, mut told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut server = ::rtmp::Server::new(crate::rtmp::random());
        let mut bytes = vec![0; 4096];
        loop {
            let count = socket.read(&mut bytes).await.unwrap();
            if count == 0 {
                return;
            }
            server.push(&bytes[..count]).unwrap();
            while let Some(event) = server.poll_event() {
                let word = match event {
                    ::rtmp::server::Event::Publish(_) => "publish",
                    ::rtmp::server::Event::Stop => "stop",
                    _ => "media",
                };
                tell.send(word).unwrap();
                server.accept();
            }
            socket.write_all(&server.take_output()).await.unwrap();
        }
    });
    let desk = crate::testbed::desk(|app| {
        app.push = vec![vhost::Push { url: format!("rtmp://{address}/live") }];
        app.stream.idle_time = Duration::from_millis(10);
    });
    tokio::spawn(run(desk.clone(), std::future::pending()));
    let publishing = publish(&desk, "demo").await;
    publishing.push((0..10).map(|n| picture(n, 100))).unwrap();
    assert_eq!(told.recv().await, Some("publish"));
    assert_eq!(told.recv().await, Some("media"));
    drop(publishing);
    let mut last = None;
    while let Some(word) = tokio::time::timeout(PATIENCE, told.recv()).await.unwrap() {
        last = Some(word);
    }
    assert_eq!(last, Some("stop"), "before the connection ends");
}
