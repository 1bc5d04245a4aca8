//! The HTTP side as clients meet it: a real server with a real media engine on ports of the system's choice.

#![allow(clippy::unwrap_used, reason = "a test's set-up")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use api::{Api, Config, Limits, Rooms};
use auth::{ApiKeys, Claims, VideoGrant};
use futures_util::{SinkExt as _, StreamExt as _};
use livekit_protocol::{self as proto, signal_request, signal_response};
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::{self, Message, client::IntoClientRequest as _};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

#[path = "http/agents.rs"]
mod agents;
#[path = "http/limits.rs"]
mod limits;
#[path = "http/server_api.rs"]
mod server_api;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Longer than anything here takes on a busy machine: it only ends a test that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

struct Server {
    api: Api,
    address: SocketAddr,
    engine: engine::Handle,
    keys: ApiKeys,
    _stop: watch::Sender<bool>,
}

impl Server {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let engine_config = engine::Config {
            workers: 1,
            ports: engine::Ports::Shared(0),
            loopback_candidate: true,
            pin: false,
            ..engine::Config::default()
        };
        let engine = engine::start(&engine_config, &peer::Certificate::generate().unwrap()).unwrap();
        let mut keys = ApiKeys::new();
        keys.insert("devkey", "secret").unwrap();
        let mut config = Config {
            keys: keys.clone(),
            guests: false,
            rooms: Rooms {
                auto_create: true,
                max_name: 64,
                presets: Default::default(),
                rules: room::Config::default(),
                codecs: vec![codec::Kind::Vp8, codec::Kind::Opus],
                profiles: Vec::new(),
                ice_servers: Vec::new(),
                server: signal::Server::default(),
                ice_lite: true,
                signalling: signal::Limits::default(),
            },
            limits: Limits::default(),
            webhooks: None,
            agent_load: 0.7,
        };
        change(&mut config);
        let api = Api::new(config, engine.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let serving = api.clone();
        tokio::spawn(async move { serving.serve(listener, None, stopped).await });
        Self { api, address, engine, keys, _stop: stop }
    }

    fn token(&self, change: impl FnOnce(&mut Claims)) -> String {
        let mut claims = Claims {
            identity: "ann".into(),
            video: Some(VideoGrant::to_join("garden")),
            ..Claims::default()
        };
        change(&mut claims);
        let (key, secret) = self.keys.signing().unwrap();
        auth::issue(&claims, key, secret, now(), Duration::from_secs(600))
    }

    fn token_for(&self, identity: &str) -> String {
        self.token(|claims| claims.identity = identity.into())
    }

    /// One HTTP request as text; the answer's head and body.
    async fn request(&self, head: &str, body: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let text =
            format!("{head}\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_ascii_lowercase(), body.to_owned())
    }

    async fn get(&self, target: &str) -> (u16, String, String) {
        self.request(&format!("GET {target} HTTP/1.1"), "").await
    }

    async fn connect(&self, target: &str) -> Result<Socket, tungstenite::Error> {
        let request = format!("ws://{}{target}", self.address).into_client_request().unwrap();
        let connecting = tokio_tungstenite::connect_async(request);
        tokio::time::timeout(PATIENCE, connecting).await.unwrap().map(|(socket, _)| socket)
    }

    async fn join(&self, identity: &str) -> Socket {
        let target = format!("/rtc?access_token={}&protocol=16&sdk=rust", self.token_for(identity));
        self.connect(&target).await.unwrap()
    }

    /// Status and body of a handshake that must fail.
    async fn refused(&self, target: &str) -> (u16, String) {
        match self.connect(target).await {
            Err(tungstenite::Error::Http(response)) => {
                let body = response.body().as_deref().unwrap_or_default();
                (response.status().as_u16(), String::from_utf8_lossy(body).into_owned())
            }
            other => panic!("{target:.60} gave {other:?}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.engine.stop();
    }
}

fn now() -> clock::Time {
    clock::Time { mono: Instant::now(), unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap() }
}

async fn next(socket: &mut Socket) -> Option<Message> {
    tokio::time::timeout(PATIENCE, socket.next()).await.expect("a message in time")?.ok()
}

/// The next signal message that `pick` likes.
async fn until<T>(socket: &mut Socket, pick: impl Fn(signal_response::Message) -> Option<T>) -> T {
    loop {
        match next(socket).await {
            Some(Message::Binary(bytes)) => {
                let message = proto::SignalResponse::decode(bytes).unwrap().message.unwrap();
                if let Some(found) = pick(message) {
                    return found;
                }
            }
            Some(Message::Ping(_) | Message::Pong(_)) => {}
            other => panic!("ended with {other:?}"),
        }
    }
}

/// The close code that the server ends with.
async fn close_code(socket: &mut Socket) -> Option<u16> {
    loop {
        match next(socket).await {
            Some(Message::Close(frame)) => return frame.map(|frame| frame.code.into()),
            Some(_) => {}
            None => return None,
        }
    }
}

fn request(message: signal_request::Message) -> Message {
    Message::Binary(proto::SignalRequest { message: Some(message) }.encode_to_vec().into())
}

fn as_join(message: signal_response::Message) -> Option<Box<proto::JoinResponse>> {
    match message {
        signal_response::Message::Join(join) => Some(Box::new(join)),
        _ => None,
    }
}

fn as_pong(message: signal_response::Message) -> Option<proto::Pong> {
    match message {
        signal_response::Message::PongResp(pong) => Some(pong),
        _ => None,
    }
}

fn as_leave(message: signal_response::Message) -> Option<proto::LeaveRequest> {
    match message {
        signal_response::Message::Leave(leave) => Some(leave),
        _ => None,
    }
}

async fn answers_pings(socket: &mut Socket) {
    let ping = proto::Ping { timestamp: 4711, rtt: 0 };
    socket.send(request(signal_request::Message::PingReq(ping))).await.unwrap();
    assert_eq!(until(socket, as_pong).await.last_ping_timestamp, 4711);
}

#[tokio::test]
async fn a_join_is_answered_and_pings_too() {
    let server = Server::start().await;
    let mut socket = server.join("ann").await;
    let join = until(&mut socket, as_join).await;
    assert_eq!(join.room.unwrap().name, "garden");
    assert_eq!(join.participant.unwrap().identity, "ann");
    answers_pings(&mut socket).await;
    assert!(server.api.metrics().contains("\nmillrace_participants 1\n"));
}

#[tokio::test]
async fn every_wrong_way_in_has_its_status_with_and_without_a_websocket() {
    let server = Server::start().await;
    let good = server.token(|_| {});
    let grant = |change: fn(&mut VideoGrant)| server.token(|claims| change(claims.video.as_mut().unwrap()));
    let expired = {
        let (key, secret) = server.keys.signing().unwrap();
        let past = clock::Time { unix: now().unix - Duration::from_secs(3600), ..now() };
        let claims =
            Claims { identity: "a".into(), video: Some(VideoGrant::to_join("r")), ..Claims::default() };
        auth::issue(&claims, key, secret, past, Duration::from_secs(60))
    };
    let forged = format!("{}{}", &good[..good.len() - 2], if good.ends_with("AA") { "BB" } else { "AA" });
    for (query, status, part) in [
        (String::new(), 401, "no access token"),
        ("access_token=".into(), 401, "no access token"),
        ("access_token=x.y.z".into(), 401, "invalid token"),
        (format!("access_token={forged}"), 401, "signature"),
        (format!("access_token={expired}"), 401, "expired"),
        (format!("access_token={}", server.token(|c| c.video = None)), 401, "permissions denied"),
        (format!("access_token={}", grant(|g| g.room_join = false)), 401, "permissions denied"),
        (format!("access_token={}", server.token_for("")), 400, "identity"),
        (format!("access_token={}", server.token_for(&"i".repeat(257))), 400, "too long"),
        (format!("access_token={}", grant(|g| g.room.clear())), 400, "room name"),
        (format!("access_token={}", grant(|g| g.room = "r".repeat(65))), 400, "too long"),
        (format!("access_token={}", server.token(|c| c.name = "n".repeat(257))), 400, "too long"),
        (format!("access_token={good}&attributes=eyJhIjoiYiJ9"), 401, "does not permit"),
        (
            format!("access_token={}&publish=x", grant(|g| g.can_publish = Some(false))),
            401,
            "permissions denied",
        ),
        (format!("access_token={good}&attributes=e30x!"), 400, "attributes"),
        (format!("access_token={}", server.token(|c| c.room_preset = "none".into())), 400, "preset"),
        (format!("access_token={good}&join_request=%00"), 400, "join_request"),
    ] {
        let (got, text) = server.refused(&format!("/rtc?{query}")).await;
        assert_eq!(got, status, "{query:.80}");
        let (got, head, body) = server.get(&format!("/rtc/validate?{query}")).await;
        assert_eq!((got, &body), (status, &text), "{query:.80}");
        assert!(body.contains(part), "{query:.80} gave {body:?}");
        assert!(head.contains("access-control-allow-origin: *"), "{head}");
    }
    for query in ["", "&join_request=", "&join_request=%25", "&join_request=AAAA"] {
        let (status, _) = server.refused(&format!("/rtc/v1?access_token={good}{query}")).await;
        assert_eq!(status, 400, "{query}");
        assert_eq!(
            server.get(&format!("/rtc/v1/validate?access_token={good}{query}")).await.0,
            400,
            "{query}"
        );
    }
    assert_eq!(server.get(&format!("/rtc/validate?access_token={good}")).await.2, "success");
    assert!(!server.api.metrics().contains("millrace_rooms_opened_total 1"), "nobody has got in");
}

#[tokio::test]
async fn somebody_may_publish_beside_themselves() {
    let server = Server::start().await;
    let mut ann = server.join("ann").await;
    until(&mut ann, as_join).await;
    let target = format!("/rtc?access_token={}&protocol=16&publish=screen", server.token_for("ann"));
    let mut twin = server.connect(&target).await.unwrap();
    let me = until(&mut twin, as_join).await.participant.unwrap();
    assert_eq!(me.identity, "ann#screen");
    assert!(me.permission.is_some_and(|may| may.can_publish && !may.can_subscribe));
    answers_pings(&mut ann).await;
}

#[tokio::test]
async fn a_token_may_come_in_a_header() {
    let server = Server::start().await;
    let head = format!("GET /rtc/validate HTTP/1.1\r\nAuthorization: Bearer {}", server.token(|_| {}));
    assert_eq!(server.request(&head, "").await.0, 200);
}

#[tokio::test]
async fn rooms_that_may_not_be_made_do_not_exist() {
    let server = Server::start_with(|config| config.rooms.auto_create = false).await;
    let (status, text) = server.refused(&format!("/rtc?access_token={}", server.token(|_| {}))).await;
    assert_eq!(status, 404);
    assert!(text.contains("requested room does not exist"), "clients look for these words: {text}");
}

#[tokio::test]
async fn paths_that_are_not_there_and_slashes_that_are_too_many() {
    let server = Server::start().await;
    for path in
        ["/rtc", "/rtc/v1", "/settings/regions", "/twirp/nothing", "/../etc/passwd", "/assets/nothing.js"]
    {
        assert_eq!(server.get(path).await.0, 404, "{path}");
    }
    assert_eq!(server.get("//rtc/validate").await.0, 401);
    assert_eq!(server.get("/").await.2, "OK");
    assert_eq!(server.get("/healthz").await.2, "OK");
    let head = "GET / HTTP/1.1\r\nAccept: text/html,application/xhtml+xml";
    let (status, head, body) = server.request(head, "").await;
    assert!(status == 200 && head.contains("text/html") && body.contains("<"), "{head}");
}

#[tokio::test]
async fn any_origin_may_ask() {
    let server = Server::start().await;
    let head = "OPTIONS /rtc/v1/validate HTTP/1.1\r\nOrigin: https://app.example\r\n\
                Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: x-a, authorization";
    let (status, head, _) = server.request(head, "").await;
    assert_eq!(status, 204);
    assert!(head.contains("access-control-allow-origin: https://app.example"), "{head}");
    assert!(head.contains("access-control-allow-headers: x-a, authorization"), "{head}");
    assert!(head.contains("access-control-max-age: 86400") && head.contains("patch"), "{head}");
}

#[tokio::test]
async fn a_target_of_64_kilobytes_is_read_and_a_longer_one_refused() {
    let server = Server::start().await;
    let start = format!("/rtc/validate?access_token={}&filler=", server.token(|_| {}));
    // What hyper takes, in bytes.
    let longest = usize::from(u16::MAX) - 1;
    let filler = |target_len: usize| format!("{start}{}", "f".repeat(target_len - start.len()));
    assert_eq!(server.get(&filler(longest)).await.0, 200);
    assert_eq!(server.get(&filler(longest + 1)).await.0, 414);
}

#[tokio::test]
async fn malformed_messages_end_their_sender_only() {
    let server = Server::start().await;
    let mut neighbour = server.join("bob").await;
    until(&mut neighbour, as_join).await;
    let whole = request(signal_request::Message::PingReq(proto::Ping { timestamp: 1, rtt: 1 })).into_data();
    for (bad, code) in [
        (Message::Binary(whole.slice(..whole.len() - 1)), 1007),
        (Message::Binary(vec![0xff; 64].into()), 1007),
        (Message::Text("{\"offer\": 5}".into()), 1007),
        (Message::Text("not json".into()), 1007),
        // More than the sockets between hold: the answer is only seen if the server reads on for a while.
        (Message::Binary(vec![0; 24 << 20].into()), 1009),
    ] {
        let mut socket = server.join("eve").await;
        until(&mut socket, as_join).await;
        socket.send(bad).await.unwrap();
        assert_eq!(close_code(&mut socket).await, Some(code));
    }
    answers_pings(&mut neighbour).await;
    let metrics = server.api.metrics();
    assert!(metrics.contains("\nmillrace_signal_undecodable_total 4\n"), "{metrics}");
    assert!(metrics.contains("\nmillrace_signal_too_large_total 1\n"), "{metrics}");
}

#[tokio::test]
async fn unknown_requests_are_ignored() {
    let server = Server::start().await;
    let mut socket = server.join("ann").await;
    until(&mut socket, as_join).await;
    socket.send(Message::Binary(Vec::new().into())).await.unwrap();
    // Field 4095, length-delimited: a oneof member of a future version.
    socket.send(Message::Binary(vec![0xfa, 0xff, 0x01, 0x01, 0x00].into())).await.unwrap();
    answers_pings(&mut socket).await;
}

#[tokio::test]
async fn whoever_speaks_json_is_answered_in_json() {
    let server = Server::start().await;
    let mut socket = server.join("ann").await;
    until(&mut socket, as_join).await;
    socket
        .send(Message::Text(r#"{"pingReq":{"timestamp":"12","rtt":"0"},"future":1}"#.into()))
        .await
        .unwrap();
    loop {
        if let Some(Message::Text(text)) = next(&mut socket).await {
            let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
            if answer.get("pongResp").is_some() {
                assert_eq!(answer["pongResp"]["lastPingTimestamp"], "12");
                return;
            }
        }
    }
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let server = Server::start_with(|config| config.limits.head_timeout = Duration::from_millis(50)).await;
    for said in ["", "GET /rtc HTTP/1.1\r\nHost:"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "still open after {said:?}");
    }
}

#[tokio::test]
async fn strangers_are_limited_and_their_places_are_free_again() {
    let limits = Limits { connections: 1, head_timeout: Duration::from_millis(200), ..Limits::default() };
    let server = Server::start_with(|config| config.limits = limits).await;
    // Holds the only place until the server loses its patience with it; a session holds none.
    let _silent = TcpStream::connect(server.address).await.unwrap();
    let mut ann = server.join("ann").await;
    until(&mut ann, as_join).await;
    let mut bob = server.join("bob").await;
    until(&mut bob, as_join).await;
}

#[tokio::test]
async fn a_session_without_a_sign_of_life_ends() {
    let limits = Limits {
        ping_interval: Duration::from_millis(20),
        silence: Duration::from_millis(60),
        ..Limits::default()
    };
    let server = Server::start_with(|config| config.limits = limits).await;
    let socket = server.join("ann").await;
    // Not polled any more, so that nothing answers the pings.
    let MaybeTlsStream::Plain(mut stream) = socket.into_inner() else { panic!("not plain") };
    let mut rest = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("closed in time").unwrap();
    assert!(server.api.metrics().contains("millrace_joins_total 1"));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped_and_its_neighbour_is_not() {
    let server = Server::start_with(|config| {
        config.limits.queued_messages = 4;
        config.rooms.signalling.updates = signal::Rate { burst: 100_000, per_second: 100_000 };
    })
    .await;
    let mut reader = server.join("reader").await;
    until(&mut reader, as_join).await;
    let lazy = server.token(|claims| {
        claims.identity = "lazy".into();
        claims.video.as_mut().unwrap().can_update_own_metadata = Some(true);
    });
    let lazy = server.connect(&format!("/rtc?access_token={lazy}&protocol=16")).await.unwrap();
    let talker = server.token(|claims| {
        claims.identity = "talker".into();
        claims.video.as_mut().unwrap().can_update_own_metadata = Some(true);
    });
    let mut talker = server.connect(&format!("/rtc?access_token={talker}&protocol=16")).await.unwrap();
    // Each change reaches everyone; `lazy` never reads, and kernel buffers do not hold it all.
    let mut dropped = false;
    for i in 0..2000 {
        let update = proto::UpdateParticipantMetadata {
            metadata: format!("{i}{}", "m".repeat(100_000)),
            ..proto::UpdateParticipantMetadata::default()
        };
        talker.send(request(signal_request::Message::UpdateMetadata(update))).await.unwrap();
        // Its answer comes before the next one is sent, so that only `lazy` falls behind.
        let seen = format!("{i}m");
        until(&mut talker, |m| match m {
            signal_response::Message::Update(u) => {
                u.participants.iter().any(|p| p.metadata.starts_with(&seen)).then_some(())
            }
            _ => None,
        })
        .await;
        until(&mut reader, |m| match m {
            signal_response::Message::Update(u) => {
                u.participants.iter().any(|p| p.metadata.starts_with(&seen)).then_some(())
            }
            _ => None,
        })
        .await;
        if server.api.metrics().contains("\nmillrace_signal_slow_total 1\n") {
            dropped = true;
            break;
        }
    }
    assert!(dropped, "the queue of a client that does not read is bounded");
    answers_pings(&mut reader).await;
    drop(lazy);
}

#[tokio::test]
async fn guests_get_tokens_where_they_are_let_in() {
    let post = "POST /api/v1/guest-token HTTP/1.1\r\nContent-Type: application/json";
    let closed = Server::start().await;
    assert_eq!(closed.request(post, r#"{"room":"a","name":"b"}"#).await.0, 403);

    let server = Server::start_with(|config| config.guests = true).await;
    let (status, _, body) = server.request(post, r#"{"room":" lake ","name":"Zoë"}"#).await;
    let pass: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, pass["room"].as_str()), (200, Some("lake")));
    let claims = auth::verify(pass["token"].as_str().unwrap(), &server.keys, now()).unwrap();
    assert_eq!((claims.name.as_str(), claims.video.unwrap().room.as_str()), ("Zoë", "lake"));
    assert_eq!(claims.identity, pass["identity"].as_str().unwrap());
    for body in ["", "{}", r#"{"room":"","name":"b"}"#] {
        let (status, _, text) = server.request(post, body).await;
        assert!(status == 400 && text.contains("\"error\""), "{body} gave {text}");
    }
    assert_eq!(server.request(post, &"x".repeat(20_000)).await.0, 413);
    assert_eq!(server.get("/api/v1/guest-token").await.0, 405);
}

#[tokio::test]
async fn a_stranger_who_promises_a_body_and_sends_none_makes_place() {
    let server = Server::start_with(|config| {
        config.guests = true;
        config.limits.head_timeout = Duration::from_millis(200);
        config.limits.connections = 1;
    })
    .await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /api/v1/guest-token HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(server.get("/healthz").await.0, 200);
}

#[tokio::test]
async fn a_server_without_its_media_worker_says_so() {
    let server = Server::start().await;
    assert_eq!(server.get("/healthz").await.0, 200);
    server.engine.stop();
    let (status, _, body) = server.get("/healthz").await;
    assert_eq!((status, body.as_str()), (503, "media worker 0 has ended"));
}

#[tokio::test]
async fn a_draining_server_says_goodbye_and_lets_nobody_in() {
    for (reconnect, action) in [(false, 0), (true, 2)] {
        let server = Server::start().await;
        let mut socket = server.join("ann").await;
        until(&mut socket, as_join).await;
        let api = server.api.clone();
        let draining = tokio::spawn(async move { api.drain(reconnect, PATIENCE).await });
        let leave = until(&mut socket, as_leave).await;
        assert_eq!(leave.action, action);
        if !reconnect {
            assert_eq!(leave.reason(), proto::DisconnectReason::ServerShutdown);
        }
        assert_eq!(close_code(&mut socket).await, Some(1000));
        assert_eq!(draining.await.unwrap(), 0, "nobody is left");
        let token = server.token(|_| {});
        assert_eq!(server.refused(&format!("/rtc?access_token={token}")).await.0, 503);
        assert_eq!(server.get("/healthz").await.0, 503);
        let (status, answer) =
            server.call(&server.operator("x"), "CreateRoom", serde_json::json!({"name": "x"})).await;
        assert_eq!((status, &answer["code"]), (503, &"unavailable".into()));
    }
}

#[tokio::test]
async fn a_client_that_does_not_answer_the_goodbye_does_not_hold_the_server_up() {
    let server = Server::start().await;
    let mut socket = server.join("ann").await;
    until(&mut socket, as_join).await;
    // Nobody polls the socket, so nothing echoes the close.
    assert_eq!(server.api.drain(false, PATIENCE / 2).await, 0);
}

#[tokio::test]
async fn a_resume_of_nobody_is_told_to_start_over() {
    let server = Server::start().await;
    let target = format!("/rtc?access_token={}&protocol=16&reconnect=1&sid=PA_nobody", server.token(|_| {}));
    let mut socket = server.connect(&target).await.unwrap();
    let leave = until(&mut socket, as_leave).await;
    assert_eq!((leave.action, leave.reason()), (2, proto::DisconnectReason::StateMismatch));
    assert_eq!(close_code(&mut socket).await, Some(1000));
}

#[tokio::test]
async fn joins_of_many_at_once_all_arrive() {
    let server = Arc::new(Server::start().await);
    let joins = (0..40).map(|i| {
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            let mut socket = server.join(&format!("p{i}")).await;
            until(&mut socket, as_join).await;
            socket
        })
    });
    let sockets = futures_util::future::join_all(joins).await;
    assert_eq!(sockets.len(), 40);
    assert!(server.api.metrics().contains("\nmillrace_participants 40\n"));
}

/// A desk with one stream, `default/live/demo`, that anybody may publish.
fn desk() -> live::Desk {
    let app = vhost::App { publish: vhost::Policy::Open, ..vhost::App::default() };
    let apps = [("live".to_owned(), Arc::new(app))].into();
    let domain = vhost::Domain { name: vhost::DEFAULT_DOMAIN.into(), apps, auto: None };
    let directory = vhost::Directory::new(vec![domain]);
    live::Desk::new(live::Config { directory, ..live::Config::default() })
}

fn visit(desk: &live::Desk, protocol: vhost::Protocol) -> live::Visit {
    let place = desk.config().directory.stream("x", "live/demo").unwrap();
    let address = Some("192.0.2.7:1234".parse().unwrap());
    live::Visit { place, query: vhost::Query::default(), protocol, address }
}

/// Pictures at 25 a second with a key frame every second, for three seconds.
fn send(publishing: &live::Publishing) {
    let shape = media::Shape::Video(media::Picture { width: 1280, height: 720 });
    let config = bytes::Bytes::from_static(b"avcC");
    let id = media::TrackId::VIDEO;
    publishing.set_track(media::Track { id, codec: codec::Kind::H264, config, shape }).unwrap();
    let frames = (0..75).map(|n| {
        let at = media::Ticks::from_millis(n * 40);
        let payload = bytes::Bytes::from_static(&[0; 100]);
        media::Frame { track: id, key: n % 25 == 0, dts: at, pts: at, payload }
    });
    publishing.push(frames).unwrap();
}

#[tokio::test]
async fn live_streams_are_listed_and_their_people_sent_away() {
    let server = Server::start().await;
    let admin = server.token(|claims| {
        claims.video = None;
        claims.live = Some(auth::LiveGrant { admin: true, ..auth::LiveGrant::default() });
    });
    let ask = async |line: &str, token: &str| {
        let head = format!("{line} HTTP/1.1\r\nAuthorization: Bearer {token}");
        let (status, _, body) = server.request(&head, "").await;
        (status, serde_json::from_str::<serde_json::Value>(&body).unwrap_or_default())
    };
    let all = "GET /api/v1/live/streams";
    let one = "GET /api/v1/live/streams/default/live/demo";
    assert_eq!(ask(all, &admin).await.0, 404, "live streams are off");

    let desk = desk();
    server.api.watch_streams(desk.clone(), api::LivePorts { http: Some(8080), ..Default::default() });
    assert_eq!(ask(all, "").await.0, 401);
    let (status, body) = ask(all, &server.token_for("ann")).await;
    assert_eq!((status, body["error"].as_str().unwrap().contains("live.admin")), (403, true));
    let publisher = server.token(|claims| {
        let live = auth::LiveGrant { publish: true, stream: "*/*/*".into(), ..auth::LiveGrant::default() };
        claims.live = Some(live);
    });
    assert_eq!(ask("DELETE /api/v1/live/players/1", &publisher).await.0, 403);
    assert_eq!(ask(one, &admin).await.0, 404);
    assert_eq!(ask(all, &admin).await, (200, serde_json::json!({ "streams": [] })));

    // Given: a publisher and two players.
    let publishing = desk.publish(visit(&desk, vhost::Protocol::Rtmp)).await.unwrap();
    send(&publishing);
    let first = desk.play(visit(&desk, vhost::Protocol::Flv)).await.unwrap();
    let _second = desk.play(visit(&desk, vhost::Protocol::Hls)).await.unwrap();
    let (_, body) = ask(all, &admin).await;
    let stream = &body["streams"][0];
    assert_eq!(stream["name"], "default/live/demo");
    assert_eq!(stream["publisher"]["protocol"], "rtmp");
    let track = &stream["tracks"][0];
    assert_eq!((&track["codec"], &track["width"]), (&"H264".into(), &1280.into()));
    assert_eq!(stream["group"], serde_json::json!({ "seconds": 1.0, "frames": 25 }));
    assert_eq!(stream["players"], serde_json::json!({ "total": 2, "by_protocol": { "flv": 1, "hls": 1 } }));
    let (_, body) = ask(one, &admin).await;
    assert_eq!(body["playing"][0]["id"], first.id().0);
    assert_eq!(body["playing"][0]["address"], "192.0.2.7:1234");
    let page = server.api.metrics();
    for line in [
        "millrace_live_streams 1",
        "millrace_live_connections_refused_total{reason=\"address\"} 0",
        "millrace_live_frames_total{stream=\"default/live/demo\"} 75",
        "millrace_live_group_milliseconds{stream=\"default/live/demo\"} 1000",
        "millrace_live_players{stream=\"default/live/demo\",protocol=\"flv\"} 1",
    ] {
        assert!(page.lines().any(|l| l == line), "{line} is not in\n{page}");
    }

    // Who watches is told where; what is live only where guests are welcome.
    let (status, body) = ask("GET /api/v1/watch", "").await;
    assert_eq!((status, &body["http"], &body["rtmp"]), (200, &8080.into(), &serde_json::Value::Null));
    assert_eq!(body["streams"], serde_json::Value::Null);
    let (status, headers, _) = server.request("GET /watch/live/demo HTTP/1.1", "").await;
    assert_eq!(status, 200);
    assert!(headers.contains("text/html"), "{headers}");

    // When: they are sent away. Then: they are, once.
    let kick = format!("DELETE /api/v1/live/players/{}", first.id().0);
    assert_eq!(ask(&kick, &admin).await.0, 204);
    assert_eq!(first.over(), Some(media::Why::Kicked));
    assert_eq!(ask(&kick, &admin).await.0, 404);
    assert_eq!(ask("DELETE /api/v1/live/players/x", &admin).await.0, 400);
    let kick = "DELETE /api/v1/live/streams/default/live/demo/publisher";
    assert_eq!(ask(kick, &admin).await.0, 204);
    assert_eq!(publishing.over(), Some(media::Why::Kicked));
    assert_eq!(ask(kick, &admin).await.0, 404);
    assert_eq!(ask("DELETE /api/v1/live/streams/default/live/../publisher", &admin).await.0, 404);
}
