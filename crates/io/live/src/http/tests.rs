use bytes::BytesMut;
use container::flv::Demuxer;
use flv::{Ingest, Item};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use vhost::Policy;

use super::*;
use crate::testbed::{Browser, PATIENCE, desk, listener, number, picture, publish};

async fn served(desk: &Desk) -> SocketAddr {
    let (listener, address) = listener().await;
    tokio::spawn(serve(desk.clone(), listener, None, std::future::pending()));
    address
}

/// Sends a request; the head of the answer, and what follows on the socket.
async fn ask(address: SocketAddr, request: &str) -> (String, BytesMut, TcpStream) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(format!("{request}\r\nHost: {address}\r\n\r\n").as_bytes()).await.unwrap();
    let mut bytes = BytesMut::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            break at + 4;
        }
        // The server may wait as long itself before it answers.
        let n = tokio::time::timeout(2 * PATIENCE, socket.read_buf(&mut bytes)).await.unwrap().unwrap();
        assert!(n > 0, "closed without an answer");
    };
    let head = String::from_utf8(bytes.split_to(end).to_vec()).unwrap();
    (head, bytes, socket)
}

async fn status(address: SocketAddr, request: &str) -> u16 {
    let (head, ..) = ask(address, request).await;
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_stream_is_played_as_a_file_without_end() {
    let desk = desk(|_| {});
    let address = served(&desk).await;
    let publishing = publish(&desk, "demo").await;
    publishing.push((0..30).map(|n| picture(n, 100))).unwrap();
    let (head, rest, mut socket) = ask(address, "GET /live/demo.flv HTTP/1.1").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\n"), "{head}");
    assert!(head.contains("Access-Control-Allow-Origin: *\r\n"));
    publishing.push((30..60).map(|n| picture(n, 100_000))).unwrap();
    let (mut demuxer, mut ingest, mut items) = (Demuxer::default(), Ingest::default(), Vec::new());
    demuxer.push(&rest);
    let mut pictures = Vec::new();
    while pictures.len() < 60 {
        let mut bytes = BytesMut::with_capacity(65536);
        tokio::time::timeout(PATIENCE, socket.read_buf(&mut bytes)).await.unwrap().unwrap();
        demuxer.push(&bytes);
        while let Some((header, body)) = demuxer.poll().unwrap() {
            ingest.tag(header.kind, header.timestamp, &body, &mut items).unwrap();
        }
        pictures.extend(items.drain(..).filter_map(|item| match item {
            Item::Frame(frame) => Some(number(&frame)),
            Item::Track(_) => None,
        }));
    }
    assert_eq!(pictures, (0..60).collect::<Vec<_>>());
    // When the stream ends for good, so does the file.
    assert!(desk.kick_player(desk.streams()[0].players[0].id));
    let mut rest = Vec::new();
    tokio::time::timeout(PATIENCE, socket.read_to_end(&mut rest)).await.unwrap().unwrap();
}

#[tokio::test]
async fn every_one_of_many_players_is_written_in_the_same_sweep() {
    let desk = desk(|_| {});
    let address = served(&desk).await;
    let publishing = publish(&desk, "demo").await;
    publishing.push([picture(0, 100)]).unwrap();
    // More in one sweep than a task of the runtime may usually ask for in one turn.
    let count = std::thread::available_parallelism().map_or(1, usize::from).min(3) * 150;
    let mut players = Vec::new();
    for _ in 0..count {
        let (head, rest, socket) = ask(address, "GET /live/demo.flv HTTP/1.1").await;
        assert!(head.starts_with("HTTP/1.1 200"));
        players.push((rest, socket));
    }
    let has = |bytes: &[u8], n: i64| bytes.windows(8).any(|part| part == n.to_be_bytes());
    // The system's own view of what has been written to each, whatever this runtime has noticed.
    let (mut first, mut socket) = players.remove(0);
    let mut others: Vec<_> =
        players.into_iter().map(|(rest, socket)| (rest, socket.into_std().unwrap())).collect();
    for n in 1..20 {
        publishing.push([picture(n, 100)]).unwrap();
        while !has(&first, n) {
            let read = tokio::time::timeout(PATIENCE, socket.read_buf(&mut first)).await;
            assert!(read.expect("the first is written").unwrap() > 0);
        }
        // Who is in the first one's sweep has been written with the one before, while there is always more.
        for (bytes, socket) in &mut others {
            let mut buffer = [0; 4096];
            while let Ok(count) = std::io::Read::read(socket, &mut buffer) {
                bytes.extend_from_slice(&buffer[..count]);
            }
        }
    }
    let starving = others.iter().filter(|(bytes, _)| !has(bytes, 10)).count();
    assert_eq!(starving, 0, "of {count} players nobody is ten pictures behind");
}

#[tokio::test]
async fn a_stream_is_played_over_a_websocket() {
    use futures_util::StreamExt as _;
    use tokio_tungstenite::tungstenite::Message;
    let desk = desk(|_| {});
    let address = served(&desk).await;
    let publishing = publish(&desk, "demo").await;
    // Lengths on either side of what one and two bytes can say.
    publishing.push([picture(0, 10), picture(1, 200), picture(2, 70_000)]).unwrap();
    let url = format!("ws://{address}/d/live/demo.flv");
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let (mut demuxer, mut ingest, mut items) = (Demuxer::default(), Ingest::default(), Vec::new());
    let mut pictures = Vec::new();
    while pictures.len() < 3 {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
        let Message::Binary(bytes) = message else { panic!("{message:?}") };
        demuxer.push(&bytes);
        while let Some((header, body)) = demuxer.poll().unwrap() {
            ingest.tag(header.kind, header.timestamp, &body, &mut items).unwrap();
        }
        pictures.extend(items.drain(..).filter_map(|item| match item {
            Item::Frame(frame) => Some((number(&frame), frame.payload.len())),
            Item::Track(_) => None,
        }));
    }
    assert_eq!(pictures, [(0, 10), (1, 200), (2, 70_000)]);
    let mut events = desk.events();
    socket.close(None).await.unwrap();
    let left = tokio::time::timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
    assert!(matches!(left, media::Event::Left { .. }));
}

#[tokio::test]
async fn every_refusal_has_its_status() {
    let desk = desk(|app| app.play = Policy::Open);
    let address = served(&desk).await;
    let publishing = publish(&desk, "demo").await;
    publishing.push([picture(0, 10)]).unwrap();
    for (request, wanted) in [
        ("GET /live/other.flv HTTP/1.1", 404),
        ("GET /nope/demo.flv HTTP/1.1", 404),
        ("GET /live/demo/index.html HTTP/1.1", 404),
        ("GET /live/demo/999.ts HTTP/1.1", 404),
        ("GET /live/demo/9999999999.1.ts HTTP/1.1", 400),
        ("GET /live/demo/ts.m3u8?_HLS_msn=9999999999 HTTP/1.1", 400),
        ("GET /live/demo/ts.m3u8?_HLS_part=1 HTTP/1.1", 400),
        ("GET /live/other/index.m3u8 HTTP/1.1", 404),
        ("GET /live/..%2fdemo/a.flv HTTP/1.1", 400),
        ("GET / HTTP/1.1", 400),
        ("POST /live/demo.flv HTTP/1.1", 405),
        ("OPTIONS /live/demo.flv HTTP/1.1", 204),
        ("HEAD /live/demo.flv HTTP/1.1", 200),
        ("nonsense", 400),
    ] {
        assert_eq!(status(address, request).await, wanted, "{request}");
    }
    let endless = format!("GET /live/demo.flv HTTP/1.1\r\nX: {}", "x".repeat(20_000));
    assert_eq!(status(address, &endless).await, 400);
    let closed = crate::testbed::desk(|app| app.play = Policy::Token);
    let address = served(&closed).await;
    let _publishing = publish(&closed, "demo").await;
    assert_eq!(status(address, "GET /live/demo.flv HTTP/1.1").await, 401);
    assert_eq!(status(address, "GET /live/demo.flv?token=a.b.c HTTP/1.1").await, 401);
    assert_eq!(status(address, "GET /live/demo/index.m3u8 HTTP/1.1").await, 401);
    assert_eq!(status(address, "GET /live/demo/0.ts HTTP/1.1").await, 401, "nor are segments free");
    let off = crate::testbed::desk(|app| {
        app.protocols.switch(Protocol::Hls, false);
        app.protocols.switch(Protocol::LlHls, false);
    });
    let address = served(&off).await;
    let _publishing = publish(&off, "demo").await;
    assert_eq!(status(address, "GET /live/demo/index.m3u8 HTTP/1.1").await, 403);
    let off = crate::testbed::desk(|app| app.protocols.switch(Protocol::Flv, false));
    let address = served(&off).await;
    let _publishing = publish(&off, "demo").await;
    assert_eq!(status(address, "GET /live/demo.flv HTTP/1.1").await, 403);
}

#[tokio::test]
async fn ten_thousand_unknown_names_leave_nothing_behind_and_disturb_nobody() {
    let desk = desk(|app| app.stream.idle_time = Duration::from_secs(3600));
    let address = served(&desk).await;
    let publishing = publish(&desk, "demo").await;
    publishing.push([picture(0, 100)]).unwrap();
    let (_, mut seen, mut watcher) = ask(address, "GET /live/demo.flv HTTP/1.1").await;
    let before = desk.census();
    // Given: somebody who asks on several connections, and on new ones, for what is not there.
    let mut crowd = Vec::new();
    for _ in 0..10 {
        crowd.push(Browser::connect(address).await);
    }
    for n in 0..100 {
        for (who, browser) in (0..).zip(&mut crowd) {
            for at in 0..10 {
                let name = format!("s{}", (n * 10 + who) * 10 + at);
                let (status, ..) = browser.get(&format!("/live/{name}/index.m3u8")).await;
                assert_eq!(status, 404, "{name}");
            }
        }
        assert_eq!(status(address, &format!("GET /live/s{n}.flv HTTP/1.1")).await, 404);
        // When: a picture comes meanwhile. Then: it is there for whoever watches.
        publishing.push([picture(n + 1, 100)]).unwrap();
        while !seen.windows(8).any(|part| part == (n + 1).to_be_bytes()) {
            let read = tokio::time::timeout(PATIENCE, watcher.read_buf(&mut seen)).await;
            assert!(read.expect("the watcher is written to").unwrap() > 0);
        }
    }
    assert_eq!(desk.census(), before);
    assert_eq!(desk.streams()[0].stats.skipped, 0);
}

#[tokio::test]
async fn paths_that_lead_elsewhere_are_refused() {
    let desk = desk(|_| {});
    let address = served(&desk).await;
    let publishing = publish(&desk, "demo").await;
    publishing.push([picture(0, 10)]).unwrap();
    let before = desk.census();
    for path in [
        "/../etc/passwd",
        "/live/../../etc/passwd.flv",
        "/live/demo/../../../etc/passwd",
        "/live/%2e%2e/%2e%2e/etc/passwd",
        "/live/..%2f..%2fetc%2fpasswd.flv",
        "/live/demo/..%5c..%5cboot.ini",
        "/live/demo/%2e%2e",
        "/live/demo/%00.flv",
        "/live/demo/a%0d%0aX-Evil:%20yes.flv",
        "/live/demo/....//index.m3u8",
        "//live//demo.flv",
        "/live/%ff%fe.flv",
    ] {
        let (head, rest, _) = ask(address, &format!("GET {path} HTTP/1.1")).await;
        let status = head.split(' ').nth(1).unwrap();
        assert!(matches!(status, "400" | "404"), "{path}: {head}");
        assert!(!head.contains("X-Evil") && rest.len() < 200, "{path}: {head}");
    }
    assert_eq!(desk.census(), before);
}

#[tokio::test(start_paused = true)]
async fn half_a_head_holds_nothing_for_ever_however_slowly_it_comes() {
    let desk = desk(|_| {});
    let address = served(&desk).await;
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /live/demo.flv HTTP/1.1\r\nX-").await.unwrap();
    let start = tokio::time::Instant::now();
    let mut answer = [0; 16];
    loop {
        tokio::select! {
            read = slow.read(&mut answer) => {
                assert_eq!(read.unwrap_or(0), 0);
                break;
            }
            () = tokio::time::sleep(Duration::from_secs(1)) => {
                // A byte a second, until it is closed.
                let _ = slow.write_all(b"x").await;
            }
        }
        assert!(start.elapsed() < HEAD_LIMIT * 2, "{:?}", start.elapsed());
    }
    assert_eq!(desk.connections().open, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_there_but_has_not_begun_is_worth_asking_for_again() {
    let desk = desk(|app| app.stream.timeout_time = Duration::from_secs(3600));
    let address = served(&desk).await;
    let publishing = publish(&desk, "demo").await;
    for file in ["demo/index.m3u8", "demo.flv"] {
        let (head, ..) = ask(address, &format!("GET /live/{file} HTTP/1.1")).await;
        assert!(
            head.starts_with("HTTP/1.1 503 ") && head.contains("\r\nRetry-After: 1\r\n"),
            "{file}: {head}"
        );
    }
    // Frames, but no whole segment.
    publishing.push((0..20).map(|n| picture(n, 100))).unwrap();
    for file in ["index.m3u8", "ts.m3u8"] {
        let (head, ..) = ask(address, &format!("GET /live/demo/{file} HTTP/1.1")).await;
        assert!(
            head.starts_with("HTTP/1.1 503 ") && head.contains("\r\nRetry-After: 1\r\n"),
            "{file}: {head}"
        );
    }
    // Nobody is kept waiting for what will never come.
    let name = desk.streams()[0].name.clone();
    let waiting = tokio::spawn(async move { status(address, "GET /live/demo/ts.m3u8 HTTP/1.1").await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(desk.kick_publisher(&name));
    desk.give_up(&name);
    drop(publishing);
    assert_ne!(waiting.await.unwrap(), 200);
}

#[tokio::test]
async fn whoever_was_sent_away_stays_away_for_a_while_and_others_come() {
    let desk = desk(|app| app.hls.segment = Duration::from_secs(1));
    let address = served(&desk).await;
    let publishing = publish(&desk, "demo").await;
    publishing.push((0..80).map(|n| picture(n, 100))).unwrap();
    let other = publish(&desk, "other").await;
    other.push([picture(0, 100)]).unwrap();
    let mut browser = Browser::connect(address).await;
    let list = browser.playlist("ts.m3u8").await;
    let segment = list.lines().find(|line| line.ends_with(".ts") && !line.starts_with('#')).unwrap();
    let segment = format!("/live/demo/{segment}");
    assert_eq!(browser.get(&segment).await.0, 200);
    assert!(desk.kick_player(desk.streams()[0].players[0].id));
    for target in ["/live/demo/ts.m3u8", "/live/demo/index.m3u8", &segment] {
        assert_eq!(status(address, &format!("GET {target} HTTP/1.1")).await, 403, "{target}");
    }
    assert_eq!(status(address, "HEAD /live/other.flv HTTP/1.1").await, 200, "of this stream alone");
    let from = |ip: [u8; 4]| Visit {
        address: Some((ip, 1).into()),
        protocol: Protocol::Hls,
        ..crate::testbed::visit(&desk, "demo")
    };
    assert_eq!(desk.play(from([127, 0, 0, 1])).await.err(), Some(Refused::SentAway));
    let over_rtmp = Visit { protocol: Protocol::Rtmp, ..from([127, 0, 0, 1]) };
    assert!(desk.play(over_rtmp).await.is_ok(), "only in the way it played");
    assert!(desk.play(from([127, 0, 0, 2])).await.is_ok());
    tokio::time::pause();
    tokio::time::advance(crate::away::AWAY).await;
    assert!(desk.play(from([127, 0, 0, 1])).await.is_ok(), "it is over");
}

#[tokio::test]
async fn a_crowd_may_wait_for_a_first_playlist() {
    let desk = desk(|app| app.hls.segment = Duration::from_secs(1));
    let address = served(&desk).await;
    let publishing = publish(&desk, "demo").await;
    publishing.push([picture(0, 100)]).unwrap();
    // More than there may be strangers of one address.
    let mut crowd = Vec::new();
    for _ in 0..600 {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(b"GET /live/demo/ts.m3u8 HTTP/1.1\r\nConnection: close\r\n\r\n").await.unwrap();
        crowd.push(socket);
    }
    let all_in = async {
        while desk.connections().open < 600 || desk.connections().strangers > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, all_in).await.expect("all are in, and wait");
    publishing.push((1..60).map(|n| picture(n, 100))).unwrap();
    for mut socket in crowd {
        let mut said = String::new();
        tokio::time::timeout(PATIENCE, socket.read_to_string(&mut said)).await.unwrap().unwrap();
        assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    }
}
