use std::net::SocketAddr;

use ::rtmp::client::{self, Client, Purpose, Target};
use flv::Item;
use media::Name;
use tokio::net::TcpStream;
use vhost::Policy;

use super::*;
use crate::testbed::{PATIENCE, desk, listener, number, picture, publish};

/// A client on a socket.
struct Peer {
    socket: TcpStream,
    client: Client,
    ingest: Ingest,
    items: Vec<Item>,
}

impl Peer {
    async fn connect(address: SocketAddr, path: &str, purpose: Purpose) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        let target = Target::parse(&format!("rtmp://{address}/{path}")).unwrap();
        let client = Client::new(target, purpose, random());
        let mut peer = Self { socket, client, ingest: Ingest::default(), items: Vec::new() };
        peer.flush().await;
        peer
    }

    async fn flush(&mut self) {
        let bytes = self.client.take_output();
        self.socket.write_all(&bytes).await.unwrap();
    }

    /// The next thing that the server says; none when it has closed the connection.
    async fn said(&mut self) -> Option<client::Event> {
        let next = async {
            loop {
                if let Some(event) = self.client.poll_event() {
                    return Some(event);
                }
                let mut bytes = [0; 4096];
                let n = self.socket.read(&mut bytes).await.unwrap_or(0);
                if n == 0 {
                    return None;
                }
                self.client.push(&bytes[..n]).unwrap();
                let bytes = self.client.take_output();
                self.socket.write_all(&bytes).await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, next).await.unwrap()
    }

    async fn started(&mut self) {
        assert_eq!(self.said().await, Some(client::Event::Started));
    }

    /// The number of the next picture that comes.
    async fn picture(&mut self) -> i64 {
        number(&self.frame().await)
    }

    /// The next picture that comes.
    async fn frame(&mut self) -> media::Frame {
        loop {
            while let Some(item) = (!self.items.is_empty()).then(|| self.items.remove(0)) {
                if let Item::Frame(frame) = item {
                    return frame;
                }
            }
            match self.said().await.expect("the connection stays") {
                client::Event::Media(media) => {
                    self.ingest.tag(media.kind, media.timestamp, &media.body, &mut self.items).unwrap();
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn send(&mut self, n: i64) {
        self.send_at(n, flv::egress::timestamp(picture(n, 0).dts));
    }

    /// The `n`th picture with a time of the publisher's own.
    fn send_at(&mut self, n: i64, timestamp: u32) {
        let mut stream = media::Stream::new(media::Config::default());
        let session = stream.begin(crate::now());
        stream.set_track(session, crate::testbed::track()).unwrap();
        let mut frame = picture(n, 100);
        stream.push(session, crate::now(), media::Frame { key: true, ..frame.clone() }).unwrap();
        let headers = stream.headers().unwrap();
        if n == 0 {
            for (kind, body) in ::rtmp::egress::configs(headers) {
                self.client.send(kind, 0, &body);
            }
        }
        frame.key = n % 25 == 0;
        let (kind, body) = ::rtmp::egress::body(headers, &frame).unwrap();
        self.client.send(kind, timestamp, &body);
    }
}

async fn served(desk: &Desk) -> SocketAddr {
    let (listener, address) = listener().await;
    tokio::spawn(serve(desk.clone(), listener, None, std::future::pending()));
    address
}

/// A publisher of `live/demo` and a player that has seen its first picture.
async fn begun(address: SocketAddr) -> (Peer, Peer) {
    let mut publisher = Peer::connect(address, "live/demo", Purpose::Publish).await;
    publisher.started().await;
    publisher.send(0);
    publisher.flush().await;
    let mut player = Peer::connect(address, "live/demo", Purpose::Play).await;
    player.started().await;
    assert_eq!(player.picture().await, 0);
    (publisher, player)
}

#[tokio::test]
async fn what_is_published_is_played_by_many() {
    let desk = desk(|_| {});
    let address = served(&desk).await;
    let mut publisher = Peer::connect(address, "live/demo", Purpose::Publish).await;
    publisher.started().await;
    let mut players = Vec::new();
    for _ in 0..5 {
        let mut player = Peer::connect(address, "d/live/demo", Purpose::Play).await;
        player.started().await;
        players.push(player);
    }
    for n in 0..60 {
        publisher.send(n);
    }
    publisher.flush().await;
    for player in &mut players {
        for n in 0..60 {
            assert_eq!(player.picture().await, n);
        }
    }
    // One who comes later begins at a key frame, at once.
    let mut late = Peer::connect(address, "live/demo?latency=0", Purpose::Play).await;
    late.started().await;
    assert_eq!(late.picture().await, 50);
    let info = desk.stream(&Name::new("d", "live", "demo").unwrap()).unwrap();
    assert_eq!((info.players.len(), info.publisher.unwrap().offer.label), (6, "rtmp"));
}

#[tokio::test]
async fn a_publisher_killed_and_back_is_played_on() {
    let desk = desk(|_| {});
    let address = served(&desk).await;
    let (publisher, mut player) = begun(address).await;
    drop(publisher);
    let mut publisher = Peer::connect(address, "live/demo", Purpose::Publish).await;
    publisher.started().await;
    for n in [0, 1, 2] {
        publisher.send(n);
    }
    publisher.flush().await;
    assert_eq!((player.picture().await, player.picture().await), (0, 1));
}

#[tokio::test]
async fn refusals_are_said_and_the_connection_ends() {
    let desk = desk(|app| {
        app.publish = Policy::Token;
        app.play = Policy::Open;
    });
    let address = served(&desk).await;
    for (path, purpose, code) in [
        ("live/demo", Purpose::Play, "NetStream.Play.StreamNotFound"),
        ("nope/demo", Purpose::Play, "NetStream.Play.StreamNotFound"),
        ("live/demo", Purpose::Publish, "NetStream.Publish.Denied"),
        ("live/demo?token=a.b.c", Purpose::Publish, "NetStream.Publish.Denied"),
        ("live/..", Purpose::Publish, "NetStream.Publish.Denied"),
    ] {
        let mut peer = Peer::connect(address, path, purpose).await;
        let Some(client::Event::Ended { code: said, .. }) = peer.said().await else { panic!("{path}") };
        assert_eq!(said, code, "{path}");
        assert_eq!(peer.said().await, None, "{path}");
    }
}

#[tokio::test]
async fn who_is_kicked_or_replaced_is_told_and_closed() {
    let desk = desk(|_| {});
    let address = served(&desk).await;
    let mut first = Peer::connect(address, "live/demo", Purpose::Publish).await;
    first.started().await;
    let mut second = Peer::connect(address, "live/demo", Purpose::Publish).await;
    second.started().await;
    assert!(
        matches!(first.said().await, Some(client::Event::Ended { description, .. }) if description == "replaced")
    );
    assert_eq!(first.said().await, None);
    let mut player = Peer::connect(address, "live/demo", Purpose::Play).await;
    player.started().await;
    let name = Name::new("d", "live", "demo").unwrap();
    let id = desk.stream(&name).unwrap().players[0].id;
    assert!(desk.kick_player(id));
    // Behind what every player is told first.
    let mut said = player.said().await;
    while matches!(said, Some(client::Event::Media(_))) {
        said = player.said().await;
    }
    assert!(
        matches!(&said, Some(client::Event::Ended { description, .. }) if description == "kicked"),
        "{said:?}"
    );
    assert_eq!(player.said().await, None);
}

#[tokio::test]
async fn a_player_that_stops_reading_jumps_ahead_and_nobody_else_notices() {
    let desk = desk(|app| app.stream.content_latency = Duration::from_secs(1));
    let address = served(&desk).await;
    let publishing = publish(&desk, "demo").await;
    publishing.push([picture(0, 100)]).unwrap();
    let mut stopped = Peer::connect(address, "live/demo", Purpose::Play).await;
    let mut other = Peer::connect(address, "live/demo", Purpose::Play).await;
    stopped.started().await;
    other.started().await;
    assert_eq!((stopped.picture().await, other.picture().await), (0, 0));
    // When: more than sockets hold is sent, while only one of them reads.
    for n in 1..=400 {
        publishing.push([picture(n, 100_000)]).unwrap();
        assert_eq!(other.picture().await, n);
    }
    // Then: the other reads on, to what it had; and then to a key frame near the live edge.
    let mut last = 0;
    let jump = loop {
        let next = stopped.picture().await;
        if next != last + 1 {
            break next;
        }
        last = next;
    };
    assert!(jump % 25 == 0 && jump >= 350, "from {last} to {jump}");
    let info = desk.stream(&Name::new("d", "live", "demo").unwrap()).unwrap();
    assert_eq!(info.stats.skipped, (jump - last - 1) as u64);
}

#[tokio::test]
async fn players_that_leave_are_forgotten() {
    let desk = desk(|_| {});
    let address = served(&desk).await;
    let publishing = publish(&desk, "demo").await;
    publishing.push([picture(0, 100)]).unwrap();
    let mut events = desk.events();
    let mut player = Peer::connect(address, "live/demo", Purpose::Play).await;
    player.picture_after_start().await;
    drop(player);
    let left = tokio::time::timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
    assert!(matches!(left, media::Event::Left { why: media::Why::Left, .. }), "{left:?}");
    assert!(desk.streams()[0].players.is_empty());
    // Nor is anything left but the publisher's stay.
    assert_eq!(desk.census()[1], 1);
}

impl Peer {
    async fn picture_after_start(&mut self) -> i64 {
        self.started().await;
        self.picture().await
    }
}

#[tokio::test(start_paused = true)]
async fn half_a_handshake_holds_nothing_for_ever() {
    let desk = desk(|_| {});
    let address = served(&desk).await;
    // What is not RTMP is closed at once.
    let mut web = TcpStream::connect(address).await.unwrap();
    web.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(tokio::time::timeout(PATIENCE, web.read(&mut [0; 16])).await.unwrap().unwrap_or(0), 0);
    // Half a handshake is closed in time.
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(&[3; 700]).await.unwrap();
    let closed = tokio::time::timeout(PATIENCE, half.read(&mut [0; 16])).await.unwrap();
    assert_eq!(closed.unwrap_or(0), 0);
    // So is a whole one behind which nothing comes, and half a length of a chunk.
    for rest in [&b""[..], b"\x03\0\0\0\0"] {
        let mut shaken = shaken(address).await;
        shaken.write_all(rest).await.unwrap();
        let closed = tokio::time::timeout(PATIENCE, shaken.read(&mut [0; 16])).await.unwrap();
        assert_eq!(closed.unwrap_or(0), 0);
    }
    assert_eq!(desk.connections().open, 0);
}

#[tokio::test]
async fn a_stream_of_unknown_names_leaves_nothing_behind() {
    let desk = desk(|_| {});
    let address = served(&desk).await;
    let _publishing = publish(&desk, "demo").await;
    let before = desk.census();
    for n in 0..300 {
        let mut peer = Peer::connect(address, &format!("live/s{n}"), Purpose::Play).await;
        let Some(client::Event::Ended { code, .. }) = peer.said().await else { panic!("not told") };
        assert_eq!(code, "NetStream.Play.StreamNotFound");
        assert_eq!(peer.said().await, None);
    }
    assert_eq!(desk.census(), before);
}

/// A connection behind its handshake.
async fn shaken(address: SocketAddr) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let mut hello = BytesMut::new();
    let mut handshake = ::rtmp::handshake::Handshake::client(random(), &mut hello);
    let mut bytes = [0; 4096];
    while !handshake.is_done() {
        socket.write_all(&hello.split()).await.unwrap();
        let count = socket.read(&mut bytes).await.unwrap();
        handshake.push(::rtmp::handshake::Role::Client, &bytes[..count], &mut hello).unwrap();
    }
    socket.write_all(&hello).await.unwrap();
    socket
}

/// A message of a client that says what it likes.
fn message(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    ::rtmp::chunk::ChunkWriter::default().write(3, kind, 0, 0, payload, &mut out);
    out.to_vec()
}

#[tokio::test]
async fn bad_input_ends_its_own_connection_and_disturbs_nobody() {
    use ::rtmp::chunk::message_type::{ABORT, COMMAND, SET_CHUNK_SIZE};
    let desk = desk(|_| {});
    let address = served(&desk).await;
    let publishing = publish(&desk, "demo").await;
    publishing.push([picture(0, 100)]).unwrap();
    let mut player = Peer::connect(address, "live/demo", Purpose::Play).await;
    player.started().await;
    assert_eq!(player.picture().await, 0);
    let many: Vec<u8> = (64..84)
        .flat_map(|id| [&[0, id - 64, 0, 0, 0, 0, 1, 0, 9, 0, 0, 0, 0][..], &[0; 128]].concat())
        .collect();
    let bad: [(&str, Vec<u8>); 9] = [
        ("chunks of nothing", message(SET_CHUNK_SIZE, &[0; 4])),
        ("chunks of 2^31", message(SET_CHUNK_SIZE, &[0x80, 0, 0, 0])),
        ("half a control message", message(ABORT, &[0; 2])),
        ("AMF that nests for ever", message(COMMAND, &[3, 0, 1, b'a'].repeat(1000))),
        ("a command without a name", message(COMMAND, &[5])),
        ("a string longer than its message", message(COMMAND, &[2, 0xff, 0xff, b'c'])),
        ("a message of 16 MiB", vec![4, 0, 0, 0, 0xff, 0xff, 0xff, 9, 1, 0, 0, 0]),
        ("twenty messages at once", many),
        ("the rest of what never began", vec![0xc5; 64]),
    ];
    for (n, (what, bytes)) in (1..).zip(bad) {
        let mut peer = shaken(address).await;
        // It may be closed before all of it was taken.
        let _ = peer.write_all(&bytes).await;
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(PATIENCE / 4, peer.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "{what} does not end the connection");
        publishing.push([picture(n, 100)]).unwrap();
        assert_eq!(player.picture().await, n, "after {what}");
    }
    assert_eq!(desk.streams()[0].stats.skipped, 0);
}

#[tokio::test]
async fn tags_that_are_none_are_left_out_and_what_follows_is_played() {
    use container::flv::TagKind;
    let desk = desk(|_| {});
    let address = served(&desk).await;
    let mut publisher = Peer::connect(address, "live/demo", Purpose::Publish).await;
    publisher.started().await;
    // Frames before any codec header, headers of nothing, tags that end too soon.
    let bad = [
        (TagKind::Video, &b"\x17\x01\0\0\0\0\0\0\x01a"[..]),
        (TagKind::Audio, b"\xaf\x01aac"),
        (TagKind::Video, b"\x17"),
        (TagKind::Video, b"\x90nope"),
        (TagKind::Video, b"\x96\x20hvc1\xff\xff\xff"),
        (TagKind::Audio, b"\xf0"),
        (TagKind::Script, b"\x03\x03\x03"),
        (TagKind::Script, b"\x0c\xff\xff\xff\xff"),
    ];
    for (kind, body) in bad {
        publisher.client.send(kind, 0, body);
    }
    publisher.send(0);
    // The first of them would be a picture now.
    for &(kind, body) in &bad[1..] {
        publisher.client.send(kind, 0, body);
    }
    publisher.send(1);
    publisher.flush().await;
    let mut player = Peer::connect(address, "live/demo", Purpose::Play).await;
    player.started().await;
    let mut numbers = Vec::new();
    while numbers.last() != Some(&1) {
        numbers.push(player.picture().await);
    }
    assert_eq!(numbers[0], 0, "{numbers:?}");
}

#[tokio::test]
async fn who_is_sent_away_may_finish_its_sentence() {
    let desk = desk(|_| {});
    let address = served(&desk).await;
    let mut first = Peer::connect(address, "live/demo", Purpose::Publish).await;
    first.started().await;
    let mut second = Peer::connect(address, "live/demo", Purpose::Publish).await;
    second.started().await;
    assert!(matches!(first.said().await, Some(client::Event::Ended { .. })));
    assert_eq!(first.said().await, None);
    // More than a moment after the last word: a connection that is gone would say so with the second frame.
    for n in 0..20 {
        first.send(n);
        let bytes = first.client.take_output();
        first.socket.write_all(&bytes).await.unwrap();
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn timestamps_that_jump_come_out_as_one_clock() {
    let desk = desk(|_| {});
    let address = served(&desk).await;
    let mut publisher = Peer::connect(address, "live/demo", Purpose::Publish).await;
    publisher.started().await;
    // Ten pictures each: from where 32 bits end on into the next round, back to 0, days ahead, half the range back.
    let runs = [u32::MAX - 200, 0, 500_000_000, 0x8000_0000, 10];
    for (n, at) in (0..).zip(runs.iter().flat_map(|from| (0..10).map(|n| from.wrapping_add(n * 40)))) {
        publisher.send_at(n, at);
    }
    // And one that lies alone.
    for (n, at) in [(50, 410), (51, 0xffff_0000), (52, 490), (53, 530)] {
        publisher.send_at(n, at);
    }
    publisher.flush().await;
    let mut player = Peer::connect(address, "live/demo", Purpose::Play).await;
    player.started().await;
    let mut times = Vec::new();
    for n in 0..54 {
        let frame = player.frame().await;
        assert_eq!(number(&frame), n);
        times.push(frame.dts.millis());
    }
    let steps: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(steps.iter().all(|step| (1..=120).contains(step)), "{steps:?}");
}

#[tokio::test]
async fn codec_headers_that_never_come_or_always_change_cost_little_and_disturb_nobody() {
    use container::flv::TagKind;
    let desk = desk(|_| {});
    let address = served(&desk).await;
    let publishing = publish(&desk, "demo").await;
    publishing.push([picture(0, 100)]).unwrap();
    let mut player = Peer::connect(address, "live/demo", Purpose::Play).await;
    player.started().await;
    assert_eq!(player.picture().await, 0);
    let mut never = Peer::connect(address, "live/never", Purpose::Publish).await;
    never.started().await;
    let mut always = Peer::connect(address, "live/always", Purpose::Publish).await;
    always.started().await;
    always.send(0);
    always.flush().await;
    let mut watcher = Peer::connect(address, "live/always", Purpose::Play).await;
    watcher.started().await;
    assert_eq!(watcher.picture().await, 0);
    for n in 1..1000_u32 {
        // H.264 and AAC that nothing was said about, and a picture behind a record of its own.
        never.client.send(TagKind::Video, n * 40, b"\x17\x01\0\0\0\0\0\0\x01a");
        never.client.send(TagKind::Audio, n * 40, b"\xaf\x01aac");
        let mut record = b"\x17\0\0\0\0avcC\xff".to_vec();
        record.extend(n.to_be_bytes());
        always.client.send(TagKind::Video, n * 40, &record);
        let mut body = b"\x17\x01\0\0\0".to_vec();
        body.extend(i64::from(n).to_be_bytes());
        always.client.send(TagKind::Video, n * 40, &body);
        never.flush().await;
        always.flush().await;

        assert_eq!(watcher.picture().await, i64::from(n), "with the record before it");
        if n % 100 == 0 {
            publishing.push([picture(i64::from(n / 100), 100)]).unwrap();
            assert_eq!(player.picture().await, i64::from(n / 100));
        }
    }
    let of = |name| desk.stream(&Name::new("d", "live", name).unwrap()).unwrap().stats;
    let (never, always) = (of("never"), of("always"));
    assert_eq!((never.ring_frames, never.ring_bytes), (0, 0), "what cannot be decoded is not kept");
    assert!(always.ring_frames <= 65, "{} frames, each with a record", always.ring_frames);
    assert_eq!(of("demo").skipped, 0);
}

#[tokio::test]
async fn aggregates_whose_tags_lie_about_their_size_are_left_out() {
    use ::rtmp::chunk::message_type::AGGREGATE;
    let desk = desk(|_| {});
    let address = served(&desk).await;
    let (mut publisher, mut player) = begun(address).await;
    for (n, size) in (1..).zip([[0xff, 0xff, 0xff], [0, 0, 100], [0, 0, 1], [0, 0, 0]]) {
        // A tag of 11 bytes.
        let tag = [&[9][..], &size, b"\0\0\0\0\0\0\0\x17\x01\0\0\0\0\0\0\x01a\0\0\0\x16"].concat();
        let mut bytes = BytesMut::new();
        ::rtmp::chunk::ChunkWriter::default().write(63, AGGREGATE, 1, 0, &tag, &mut bytes);
        publisher.socket.write_all(&bytes).await.unwrap();
        publisher.send(n);
        publisher.flush().await;
        while player.picture().await != n {}
    }
}

#[tokio::test]
async fn paths_that_lead_elsewhere_are_refused_to_publishers_and_players() {
    let desk = desk(|_| {});
    let address = served(&desk).await;
    let before = desk.census();
    for path in ["live/..", "live/../etc", "../live/demo", "live/.", "live/a\\..\\b", "d/../demo"] {
        for (purpose, code) in
            [(Purpose::Publish, "NetStream.Publish.Denied"), (Purpose::Play, "NetStream.Play.Failed")]
        {
            let mut peer = Peer::connect(address, path, purpose).await;
            let Some(client::Event::Ended { code: said, .. }) = peer.said().await else { panic!("{path}") };
            // Some of them are names of what is not there.
            assert!(said == code || said == "NetStream.Play.StreamNotFound", "{path}: {said}");
            assert_eq!(peer.said().await, None, "{path}");
        }
    }
    assert_eq!(desk.census(), before);
}
