use container::flv::Demuxer;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2::{SendRequest, handshake};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::testbed::{PATIENCE, desk, picture, publish};

const FROM: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);

/// The far end of a connection that is being served.
fn served(desk: &Desk) -> DuplexStream {
    let (near, far) = tokio::io::duplex(1 << 20);
    let pass = desk.gate().enter(FROM.ip(), desk.config().limits).unwrap();
    tokio::spawn(connection(
        desk.clone(),
        Arrival { socket: Socket::other(near), from: FROM, pass, is_h2: true },
    ));
    far
}

async fn client(desk: &Desk) -> SendRequest<Empty<Bytes>> {
    let (client, connection) = handshake(TokioExecutor::new(), TokioIo::new(served(desk))).await.unwrap();
    tokio::spawn(connection);
    client
}

fn request(method: &str, target: &str) -> Request<Empty<Bytes>> {
    Request::builder().method(method).uri(format!("https://h{target}")).body(Empty::new()).unwrap()
}

async fn ask(client: &SendRequest<Empty<Bytes>>, method: &str, target: &str) -> Response<Incoming> {
    let answer = client.clone().send_request(request(method, target));
    tokio::time::timeout(PATIENCE, answer).await.expect("an answer").unwrap()
}

async fn text(answer: Response<Incoming>) -> String {
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn playlists_wait_and_pieces_come_beside_them_on_one_connection() {
    let desk = desk(|app| app.hls.segment = Duration::from_secs(1));
    let publishing = publish(&desk, "demo").await;
    publishing.push((0..80).map(|n| picture(n, 20_000))).unwrap();
    let client = client(&desk).await;
    let answer = ask(&client, "GET", "/live/demo/ts.m3u8").await;
    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, hyper::Version::HTTP_2));
    assert_eq!(answer.headers()["content-type"], "application/vnd.apple.mpegurl");
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    assert_eq!(desk.connections().strangers, 0);
    let list = text(answer).await;
    let segment = list.lines().find(|line| line.ends_with(".ts") && !line.starts_with('#')).unwrap();
    let newest: u64 = list.lines().rev().find_map(|line| line.strip_suffix(".ts")?.parse().ok()).unwrap();
    // A playlist that is not there yet holds nothing up but itself.
    let later = format!("/live/demo/ts.m3u8?_HLS_msn={}", newest + 1);
    let waiting = tokio::spawn(client.clone().send_request(request("GET", &later)));
    for _ in 0..3 {
        let answer = ask(&client, "GET", &format!("/live/demo/{segment}")).await;
        let length: usize = answer.headers()["content-length"].to_str().unwrap().parse().unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(body.len() == length && body[0] == 0x47, "{length}");
    }
    assert!(!waiting.is_finished());
    publishing.push((80..140).map(|n| picture(n, 100))).unwrap();
    let answer = tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap().unwrap();
    assert!(text(answer).await.contains(&format!("\n{}.ts", newest + 1)));
    // The same refusals as elsewhere.
    for (method, target, wanted) in [
        ("GET", "/live/other.flv", 404),
        ("GET", "/live/other/index.m3u8", 404),
        ("GET", "/live/demo/999.ts", 404),
        ("GET", "/live/demo/ts.m3u8?_HLS_part=1", 400),
        ("GET", "/live/..%2fdemo/a.flv", 400),
        ("POST", "/live/demo.flv", 405),
        ("OPTIONS", "/live/demo.flv", 204),
        ("HEAD", "/live/demo.flv", 200),
    ] {
        assert_eq!(ask(&client, method, target).await.status(), wanted, "{method} {target}");
    }
    let mut endless = request("GET", "/live/demo.flv");
    endless.headers_mut().insert("x", "x".repeat(2 * MAX_HEAD).parse().unwrap());
    let answer = client.clone().send_request(endless).await;
    // Too much is refused by status, or with the stream.
    assert!(answer.map_or(true, |answer| answer.status() == 431));
    assert_eq!(ask(&client, "OPTIONS", "/").await.status(), 204, "the connection goes on");
}

#[tokio::test]
async fn a_stream_without_end_is_played_is_counted_and_has_an_end() {
    let desk = desk(|_| {});
    let publishing = publish(&desk, "demo").await;
    publishing.push((0..30).map(|n| picture(n, 30_000))).unwrap();
    let client = client(&desk).await;
    let answer = ask(&client, "GET", "/live/demo.flv").await;
    assert_eq!(answer.headers()["content-type"], "video/x-flv");
    assert_eq!(desk.connections().open, 2, "the connection and a player");
    let mut body = answer.into_body();
    let (mut demuxer, mut pictures) = (Demuxer::default(), 0);
    while pictures < 30 {
        let frame = tokio::time::timeout(PATIENCE, body.frame()).await.unwrap().unwrap().unwrap();
        demuxer.push(frame.data_ref().unwrap());
        while let Some((_, body)) = demuxer.poll().unwrap() {
            pictures += usize::from(body.len() > 30_000);
        }
    }
    // Whoever leaves is noticed, and the connection with the other stream goes on.
    let other = ask(&client, "GET", "/live/demo.flv").await;
    let mut events = desk.events();
    drop(body);
    let left = tokio::time::timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
    assert!(matches!(left, media::Event::Left { .. }), "{left:?}");
    assert!(desk.kick_player(desk.streams()[0].players[0].id));
    // A stream that is sent away ends, and does not break off.
    tokio::time::timeout(PATIENCE, other.into_body().collect()).await.unwrap().unwrap();
    assert_eq!(ask(&client, "GET", "/live/demo.flv").await.status(), 403);
}

#[tokio::test]
async fn one_connection_has_so_many_streams_and_no_more() {
    let desk = desk(|_| {});
    let publishing = publish(&desk, "demo").await;
    publishing.push([picture(0, 100)]).unwrap();
    let client = client(&desk).await;
    let mut players = Vec::new();
    for _ in 0..STREAMS {
        players.push(ask(&client, "GET", "/live/demo.flv").await);
    }
    let mut next = tokio::spawn(client.clone().send_request(request("GET", "/live/demo.flv")));
    let early = tokio::time::timeout(Duration::from_millis(200), &mut next).await;
    assert!(early.is_err(), "it waits for one to end");
    players.pop();
    let answer = tokio::time::timeout(PATIENCE, next).await.unwrap().unwrap().unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn whoever_says_nothing_or_nonsense_is_gone_in_time() {
    let desk = desk(|_| {});
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    // An empty SETTINGS, then: a frame longer than any, HEADERS of stream 0, half a HEADERS, an endless header block.
    let settings = [PREFACE, b"\0\0\0\x04\0\0\0\0\0"].concat();
    for said in [
        b"".to_vec(),
        PREFACE[..10].to_vec(),
        b"GET /live/demo.flv HTTP/1.1\r\n\r\n".to_vec(),
        settings.clone(),
        [&settings[..], b"\xff\xff\xff\0\0\0\0\0\x01"].concat(),
        [&settings[..], b"\0\0\x01\x01\x05\0\0\0\0\x82"].concat(),
        [&settings[..], b"\0\0\x10\x01\x04\0\0\0\x01\x82"].concat(),
        [&settings[..], b"\0\0\x01\x01\0\0\0\0\x01\x82", &b"\0\0\0\x09\0\0\0\0\x01".repeat(10_000)].concat(),
    ] {
        let mut far = served(&desk);
        let _ = far.write_all(&said).await;
        let mut heard = Vec::new();
        let limit = HEAD_LIMIT + LEAVE_LIMIT + 2 * TICK;
        let gone = tokio::time::timeout(limit, far.read_to_end(&mut heard)).await;
        assert!(gone.is_ok(), "{:?}", said.len());
        tokio::task::yield_now().await;
        assert_eq!(desk.connections().open, 0);
    }
}

#[tokio::test]
async fn requests_that_are_reset_at_once_are_not_served_for_ever() {
    let desk = desk(|_| {});
    let mut far = served(&desk);
    let mut said = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for n in 0..2000_u32 {
        let stream = (2 * n + 1).to_be_bytes();
        // GET https: / with nothing else, and RST_STREAM behind it.
        said.extend_from_slice(b"\0\0\x03\x01\x05");
        said.extend_from_slice(&stream);
        said.extend_from_slice(&[0x82, 0x87, 0x84]);
        said.extend_from_slice(b"\0\0\x04\x03\0");
        said.extend_from_slice(&stream);
        said.extend_from_slice(&8_u32.to_be_bytes());
    }
    let _ = far.write_all(&said).await;
    let mut heard = Vec::new();
    tokio::time::timeout(PATIENCE, far.read_to_end(&mut heard)).await.expect("closed").unwrap();
    // GOAWAY with ENHANCE_YOUR_CALM (11).
    assert!(heard.windows(4).any(|code| code == 11_u32.to_be_bytes()));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_taken_ends_the_connection() {
    let desk = desk(|_| {});
    let pass = desk.gate().enter(FROM.ip(), desk.config().limits).unwrap();
    let open = Arc::new(Open::new(pass));
    let at = |seconds| Instant::now() + Duration::from_secs(seconds);
    let asked = Asked::new(&open);
    assert_eq!([at(99), at(101)].map(|now| open.look(now)), [Look::Goes, Look::Stuck]);
    // A stream without end is as long as it likes.
    asked.lasts();
    assert_eq!(open.look(at(3600)), Look::Goes);
    drop(asked);
    assert_eq!([at(19), at(21), at(31)].map(|now| open.look(now)), [Look::Goes, Look::Idle, Look::Stuck]);
}
