//! Both ends against each other, and against what only bad software sends.

use bytes::{Bytes, BytesMut};
use container::amf::Value;
use container::flv::TagKind;

use crate::chunk::{ChunkReader, ChunkWriter, Limits, message_type};
use crate::client::{self, Client, Purpose, Target};
use crate::handshake::{Handshake, Role};
use crate::server::{self, Address, Event, Refusal, Server};
use crate::{Error, Media};

fn random(seed: u32) -> impl FnMut() -> u32 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state
    }
}

/// Carries bytes both ways, in pieces, until nothing moves.
fn carry(client: &mut Client, server: &mut Server, piece: usize) {
    loop {
        let (up, down) = (client.take_output(), server.take_output());
        if up.is_empty() && down.is_empty() {
            return;
        }
        up.chunks(piece).for_each(|bytes| server.push(bytes).unwrap());
        down.chunks(piece).for_each(|bytes| client.push(bytes).unwrap());
    }
}

fn pair(url: &str, purpose: Purpose, piece: usize) -> (Client, Server, Event) {
    let mut client = Client::new(Target::parse(url).unwrap(), purpose, random(1));
    let mut server = Server::new(random(2));
    carry(&mut client, &mut server, piece);
    let event = server.poll_event().expect("it asks");
    (client, server, event)
}

fn address(event: &Event) -> Address {
    match event {
        Event::Publish(address) | Event::Play(address) => address.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_publisher_is_let_in_and_its_media_comes_whatever_the_pieces() {
    for piece in [1, 13, 4096, 1 << 20] {
        let url = "rtmp://example.org:1936/live/demo?token=t";
        let (mut client, mut server, event) = pair(url, Purpose::Publish, piece);
        assert!(matches!(event, Event::Publish(_)));
        let Address { host, path, query } = address(&event);
        assert_eq!(
            (host.as_str(), path.as_str(), query.as_str()),
            ("example.org:1936", "live/demo", "token=t")
        );
        assert_eq!(client.poll_event(), None, "not before it was let in");
        server.accept();
        carry(&mut client, &mut server, piece);
        assert_eq!(client.poll_event(), Some(client::Event::Started));
        // A frame of many chunks, and one after the 24 bits of the short timestamp.
        let big = Bytes::from(vec![7; 200_000]);
        for (kind, timestamp, body) in
            [(TagKind::Video, 40, big), (TagKind::Audio, 0x0100_0000, Bytes::from_static(b"sound"))]
        {
            client.send(kind, timestamp, &body);
            carry(&mut client, &mut server, piece);
            assert_eq!(server.poll_event(), Some(Event::Media(Media { kind, timestamp, body })));
        }
    }
}

#[test]
fn a_player_is_let_in_and_gets_what_is_written_for_all() {
    let (mut client, mut server, event) = pair("rtmp://h/domain/live/demo", Purpose::Play, 1000);
    assert!(matches!(event, Event::Play(_)));
    assert_eq!(address(&event).path, "domain/live/demo");
    server.accept();
    carry(&mut client, &mut server, 1000);
    assert_eq!(client.poll_event(), Some(client::Event::Started));
    // Whatever the server had to say is out of the way.
    while client.poll_event().is_some() {}
    let mut shared = BytesMut::new();
    server::write_media(TagKind::Video, 0xffff_fff0, &[1; 100_000], &mut shared);
    client.push(&shared).unwrap();
    let media = Media { kind: TagKind::Video, timestamp: 0xffff_fff0, body: vec![1; 100_000].into() };
    assert_eq!(client.poll_event(), Some(client::Event::Media(media)));
    server.end("over");
    carry(&mut client, &mut server, 1000);
    let Some(client::Event::Ended { code, .. }) = client.poll_event() else { panic!("not told") };
    assert_eq!(code, "NetStream.Play.UnpublishNotify");
}

#[test]
fn a_refusal_is_said_in_rtmps_words() {
    for (purpose, refusal, wanted) in [
        (Purpose::Publish, Refusal::Busy, "NetStream.Publish.BadName"),
        (Purpose::Publish, Refusal::Denied, "NetStream.Publish.Denied"),
        (Purpose::Play, Refusal::NotFound, "NetStream.Play.StreamNotFound"),
        (Purpose::Play, Refusal::Denied, "NetStream.Play.Failed"),
    ] {
        let (mut client, mut server, _) = pair("rtmp://h/live/demo?token=hush", purpose, 500);
        server.refuse(refusal, "because");
        let said = server.take_output();
        assert!(!said.windows(4).any(|part| part == b"hush"), "a token is not repeated");
        client.push(&said).unwrap();
        let Some(client::Event::Ended { code, description }) = client.poll_event() else { panic!() };
        assert_eq!((code.as_str(), description.as_str()), (wanted, "because"));
        // Too late to be let in.
        server.accept();
        assert!(server.take_output().is_empty());
    }
}

/// A client that says what it is told to.
struct Script {
    server: Server,
    writer: ChunkWriter,
}

impl Script {
    fn new() -> Self {
        let mut to_server = BytesMut::new();
        let mut handshake = Handshake::client(random(5), &mut to_server);
        let mut server = Server::new(random(6));
        while !handshake.is_done() {
            server.push(&to_server.split()).unwrap();
            handshake.push(Role::Client, &server.take_output(), &mut to_server).unwrap();
        }
        server.push(&to_server).unwrap();
        Self { server, writer: ChunkWriter::default() }
    }

    fn message(&mut self, kind: u8, timestamp: u32, payload: &[u8]) -> Result<(), Error> {
        let mut out = BytesMut::new();
        self.writer.write(3, kind, 1, timestamp, payload, &mut out);
        self.server.push(&out)
    }

    fn command(&mut self, values: &[Value]) -> Result<(), Error> {
        let mut payload = BytesMut::new();
        values.iter().for_each(|value| value.write(&mut payload));
        self.message(message_type::COMMAND, 0, &payload)
    }

    fn connect(&mut self, app: &str, url: &str) {
        let object = Value::object([("app", app.into()), ("tcUrl", url.into())]);
        self.command(&["connect".into(), 1.0.into(), object]).unwrap();
    }

    fn ask(&mut self, what: &str, name: &str) -> Result<(), Error> {
        self.command(&[what.into(), 5.0.into(), Value::Null, name.into()])
    }

    /// The commands that were answered, by name with all that they say.
    fn answers(&mut self) -> Vec<Vec<Value>> {
        let mut reader = ChunkReader::new(Limits::default());
        reader.push(&self.server.take_output());
        let mut answers = Vec::new();
        while let Some(message) = reader.poll().unwrap() {
            if message.kind == message_type::COMMAND {
                answers.push(container::amf::read_all(&message.payload).unwrap());
            }
        }
        answers
    }

    fn codes(&mut self) -> Vec<String> {
        let answers = self.answers();
        let code = |values: &Vec<Value>| Some(values.get(3)?.get("code")?.as_str()?.to_owned());
        answers.iter().filter_map(code).collect()
    }
}

#[test]
fn every_way_of_writing_an_address_is_understood() {
    for (app, name, path, query) in [
        ("live", "demo", "live/demo", ""),
        ("domain/live", "demo?token=t", "domain/live/demo", "token=t"),
        ("live/", "/demo", "live/demo", ""),
        ("live?token=t", "demo", "live/demo", "token=t"),
        ("live?token=old", "demo?token=t", "live/demo", "token=t"),
        ("live/demo", "", "live/demo", ""),
        ("", "live/demo", "live/demo", ""),
        ("live", "../../etc", "live/../../etc", ""),
    ] {
        let mut script = Script::new();
        script.connect(app, "rtmp://h.example:1935/x");
        script.ask("publish", name).unwrap();
        let address = address(&script.server.poll_event().unwrap());
        let wanted = Address { host: "h.example:1935".into(), path: path.into(), query: query.into() };
        assert_eq!(address, wanted, "{app} {name}");
    }
}

#[test]
fn the_connect_answer_says_what_is_understood() {
    let mut script = Script::new();
    script.connect("live", "rtmp://h/live");
    let answers = script.answers();
    let info = &answers[0][3];
    assert_eq!(answers[0][0], "_result".into());
    assert_eq!(info.get("code").and_then(Value::as_str), Some("NetConnection.Connect.Success"));
    let Some(Value::Array(list)) = info.get("fourCcList") else { panic!("{info:?}") };
    assert!(list.contains(&"hvc1".into()) && list.contains(&"Opus".into()));
    assert_eq!(info.get("capsEx").and_then(Value::as_number), Some(6.0));
}

#[test]
fn encoders_habits_are_answered_and_seek_is_refused_politely() {
    let mut script = Script::new();
    script.connect("live", "rtmp://h/live");
    script.answers();
    for (n, name) in
        ["releaseStream", "FCPublish", "createStream", "_checkbw", "getStreamLength"].iter().enumerate()
    {
        script.command(&[(*name).into(), (n as f64 + 2.0).into(), Value::Null]).unwrap();
        let answers = script.answers();
        assert_eq!(answers[0][..2], ["_result".into(), Value::Number(n as f64 + 2.0)], "{name}");
    }
    script.ask("play", "demo").unwrap();
    script.server.accept();
    assert_eq!(script.codes(), ["NetStream.Play.Reset", "NetStream.Play.Start"]);
    script.command(&["seek".into(), 0.0.into(), Value::Null, 1000.0.into()]).unwrap();
    script.command(&["pause".into(), 0.0.into(), Value::Null, true.into(), 0.0.into()]).unwrap();
    script.command(&["pause".into(), 0.0.into(), Value::Null, false.into(), 0.0.into()]).unwrap();
    assert_eq!(
        script.codes(),
        ["NetStream.Seek.Failed", "NetStream.Pause.Notify", "NetStream.Unpause.Notify"]
    );
    script.server.poll_event();
    assert_eq!(script.server.poll_event(), Some(Event::Pause(true)));
    assert_eq!(script.server.poll_event(), Some(Event::Pause(false)));
    // Leaving, twice; and then again something.
    script.command(&["closeStream".into(), 0.0.into(), Value::Null]).unwrap();
    script.command(&["deleteStream".into(), 0.0.into(), Value::Null, 1.0.into()]).unwrap();
    assert_eq!(script.server.poll_event(), Some(Event::Stop));
    assert_eq!(script.server.poll_event(), None);
    script.ask("publish", "demo").unwrap();
    assert!(matches!(script.server.poll_event(), Some(Event::Publish(_))));
}

#[test]
fn one_stream_a_connection_and_none_before_connect() {
    let mut script = Script::new();
    assert_eq!(script.ask("publish", "a"), Err(Error::NotConnected("publish")));
    let mut script = Script::new();
    script.connect("live", "rtmp://h/live");
    script.ask("publish", "a").unwrap();
    script.server.accept();
    script.answers();
    script.ask("publish", "b").unwrap();
    assert_eq!(script.codes(), ["NetStream.Failed"]);
    assert!(matches!(script.server.poll_event(), Some(Event::Publish(_))));
    assert_eq!(script.server.poll_event(), None);
}

#[test]
fn aggregates_are_taken_apart_and_their_lengths_not_trusted() {
    let mut script = Script::new();
    script.connect("live", "rtmp://h/live");
    script.ask("publish", "a").unwrap();
    script.server.accept();
    script.server.poll_event();
    let mut tags = BytesMut::new();
    for (kind, at) in [(TagKind::Audio, 500), (TagKind::Video, 520)] {
        container::flv::write_tag(kind, at, &mut tags, |out| out.extend_from_slice(b"body"));
    }
    script.message(message_type::AGGREGATE, 9000, &tags).unwrap();
    let body = Bytes::from_static(b"body");
    let media = |kind, timestamp| Some(Event::Media(Media { kind, timestamp, body: body.clone() }));
    assert_eq!(script.server.poll_event(), media(TagKind::Audio, 9000));
    assert_eq!(script.server.poll_event(), media(TagKind::Video, 9020));
    for cut in 1..tags.len() {
        script.message(message_type::AGGREGATE, 0, &tags[..cut]).unwrap();
    }
    tags[1] = 0xff;
    script.message(message_type::AGGREGATE, 0, &tags).unwrap();
}

#[test]
fn what_may_be_held_before_somebody_is_let_in_is_little() {
    // Media that nobody asked for is not kept; a large message is refused before it is there.
    let mut script = Script::new();
    script.connect("live", "rtmp://h/live");
    script.message(message_type::VIDEO, 0, b"x").unwrap();
    assert_eq!(script.server.poll_event(), None);
    assert!(script.message(message_type::VIDEO, 0, &[0; 100_000]).is_err());
    // Once it publishes, frames may be large.
    let mut script = Script::new();
    script.connect("live", "rtmp://h/live");
    script.ask("publish", "a").unwrap();
    script.server.accept();
    script.message(message_type::VIDEO, 0, &vec![0; 1 << 20]).unwrap();
    // Commands for ever are no way to stay.
    let mut script = Script::new();
    let forever = (0..1000).try_for_each(|_| script.command(&["_checkbw".into(), 2.0.into()]));
    assert_eq!(forever, Err(Error::TooManyCommands(100)));
    // Nor is AMF that nests for ever, or a command without a name.
    let nested = [3, 0, 1, b'a'].repeat(1000);
    assert!(matches!(Script::new().message(message_type::COMMAND, 0, &nested), Err(Error::Amf(_))));
    assert_eq!(Script::new().command(&[1.0.into()]), Err(Error::NoName));
}

#[test]
fn bytes_are_acknowledged_as_the_other_end_wants_it() {
    let mut script = Script::new();
    script.connect("live", "rtmp://h/live");
    script.ask("publish", "a").unwrap();
    script.server.accept();
    script.message(message_type::WINDOW_ACK_SIZE, 0, &10_000_u32.to_be_bytes()).unwrap();
    script.server.take_output();
    let mut acknowledged = Vec::new();
    for _ in 0..10 {
        script.message(message_type::AUDIO, 0, &[0; 5000]).unwrap();
        let mut reader = ChunkReader::new(Limits::default());
        reader.push(&script.server.take_output());
        while let Some(message) = reader.poll().unwrap() {
            if message.kind == message_type::ACKNOWLEDGEMENT {
                acknowledged.push(u32::from_be_bytes(message.payload[..4].try_into().unwrap()));
            }
        }
    }
    assert!((4..=5).contains(&acknowledged.len()) && acknowledged.is_sorted(), "{acknowledged:?}");
    // A ping is answered with what it holds.
    script.message(message_type::USER_CONTROL, 0, &[0, 6, 1, 2, 3, 4]).unwrap();
    let pong = script.server.take_output();
    assert!(pong.ends_with(&[0, 7, 1, 2, 3, 4]));
}

#[test]
fn addresses_to_connect_to_are_read_or_refused() {
    let target = Target::parse("rtmp://h/domain/live/demo").unwrap();
    assert_eq!((target.host.as_str(), target.port, target.is_tls), ("h", 1935, false));
    let target = Target::parse("rtmps://[::1]:444/live/demo?x=y").unwrap();
    assert_eq!((target.host.as_str(), target.port, target.is_tls), ("::1", 444, true));
    assert_eq!(Target::parse("rtmp://[::1]/live/demo").unwrap().port, 1935);
    for bad in
        ["http://h/live/demo", "rtmp://h/demo", "rtmp:///live/demo", "rtmp://h:x/live/demo", "rtmp://h", ""]
    {
        assert_eq!(Target::parse(bad), None, "{bad}");
    }
}

#[test]
fn questions_by_the_thousand_are_refused_whatever_the_state() {
    // The shortest question with the longest answer, which repeats the stream's name.
    let seek = b"\x02\0\x04seek";
    let states: [fn(&mut Script); 3] = [
        |_| {},
        |script| script.ask("play", &"x".repeat(4096)).unwrap(),
        |script| {
            script.ask("play", &"x".repeat(4096)).unwrap();
            script.server.accept();
        },
    ];
    for state in states {
        let mut script = Script::new();
        script.connect("live", "rtmp://h/live");
        state(&mut script);
        script.server.take_output();
        let refused = (0..8000).find_map(|_| script.message(message_type::COMMAND, 0, seek).err());
        assert!(matches!(refused, Some(Error::TooManyAnswers(_) | Error::TooManyCommands(_))), "{refused:?}");
        let held = script.server.take_output().len();
        assert!(held < 80 << 10, "{held} bytes");
    }
}

#[test]
fn questions_whose_answers_are_taken_go_on_for_ever() {
    let mut script = Script::new();
    script.connect("live", "rtmp://h/live");
    script.ask("play", "demo").unwrap();
    script.server.accept();
    script.codes();
    for _ in 0..1000 {
        script.message(message_type::COMMAND, 0, b"\x02\0\x04seek").unwrap();
        assert_eq!(script.codes(), ["NetStream.Seek.Failed"]);
    }
}

#[test]
fn who_ends_says_so_once() {
    for purpose in [Purpose::Publish, Purpose::Play] {
        let (mut client, mut server, _) = pair("rtmp://h/live/demo", purpose, 1000);
        server.accept();
        carry(&mut client, &mut server, 1000);
        client.end();
        client.end();
        carry(&mut client, &mut server, 1000);
        let events: Vec<_> = std::iter::from_fn(|| server.poll_event()).collect();
        assert_eq!(events, [Event::Stop]);
    }
    // Before there is anything to end, nothing is said.
    let mut client = Client::new(Target::parse("rtmp://h/live/demo").unwrap(), Purpose::Publish, random(1));
    client.take_output();
    client.end();
    assert!(client.take_output().is_empty());
}

#[test]
fn whatever_is_sent_is_an_error_or_is_passed_over() {
    // Given: all that an encoder sends, behind a handshake.
    let mut said = BytesMut::new();
    let mut writer = ChunkWriter::default();
    let command = |values: &[Value]| {
        let mut payload = BytesMut::new();
        values.iter().for_each(|value| value.write(&mut payload));
        payload
    };
    let app = Value::object([("app", "live".into()), ("tcUrl", "rtmp://h/live".into())]);
    let connect = command(&["connect".into(), 1.0.into(), app]);
    let publish = command(&["publish".into(), 2.0.into(), Value::Null, "demo".into()]);
    let delete = command(&["deleteStream".into(), 3.0.into(), Value::Null, 1.0.into()]);
    writer.write(3, message_type::COMMAND, 0, 0, &connect, &mut said);
    writer.write(3, message_type::COMMAND, 1, 0, &publish, &mut said);
    writer.set_chunk_size(300, &mut said);
    writer.write(2, message_type::ABORT, 0, 0, &6_u32.to_be_bytes(), &mut said);
    for n in 0..4 {
        writer.write(6, message_type::VIDEO, 1, n * 0x0080_0000, &[7; 1000], &mut said);
        writer.write(4, message_type::AGGREGATE, 1, n * 40, &[8; 100], &mut said);
    }
    writer.write(3, message_type::COMMAND_AMF3, 1, 0, &[&[0], &delete[..]].concat(), &mut said);
    let (mut refused, mut survived) = (0, 0);
    for seed in 0..3000 {
        let mut random = random(seed);
        let mut next = |below: usize| random() as usize / 7 % below;
        let mut bytes = said.to_vec();
        // When: some of it is something else, or missing.
        for _ in 0..=next(4) {
            let at = next(bytes.len());
            match next(3) {
                0 => bytes[at] = next(256) as u8,
                1 => drop(bytes.drain(at..(at + next(20)).min(bytes.len()))),
                _ => bytes[at] ^= 1 << next(8),
            }
        }
        let mut script = Script::new();
        let mut media = 0;
        let result = bytes.chunks(1 + next(2000)).try_for_each(|piece| {
            script.server.push(piece)?;
            while let Some(event) = script.server.poll_event() {
                match event {
                    Event::Publish(_) => script.server.accept(),
                    Event::Media(one) => media += one.body.len(),
                    _ => {}
                }
            }
            Ok::<(), Error>(())
        });
        // Then: nothing is made out of nothing, and answers stay few.
        assert!(media <= bytes.len(), "seed {seed}");
        assert!(script.server.take_output().len() < 80 << 10, "seed {seed}");
        if result.is_ok() { survived += 1 } else { refused += 1 }
    }
    assert!(refused > 100 && survived > 100, "{refused} refused, {survived} survived");
}
