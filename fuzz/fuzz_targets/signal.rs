//! Signal messages of somebody who has joined, one after the other.
#![no_main]

use std::time::{Duration, Instant};

use auth::{Claims, VideoGrant};
use clock::Time;
use libfuzzer_sys::fuzz_target;
use livekit_protocol::SignalRequest;
use prost::Message as _;
use signal::{Conference, Config, Input, Join, JoinRequest, Media, SessionId};

fn config() -> Config {
    Config {
        room: "room".into(),
        serial: 1,
        rules: room::Config::default(),
        codecs: vec![codec::Kind::Vp8, codec::Kind::H264, codec::Kind::Opus],
        profiles: Vec::new(),
        ice_servers: Vec::new(),
        server: signal::Server::default(),
        media: Media { fingerprint: peer::Fingerprint([1; 32]), candidates: vec![Vec::new()], ice_lite: true },
        limits: signal::Limits::default(),
    }
}

fuzz_target!(|data: &[u8]| {
    let now = Time { mono: Instant::now(), unix: Duration::from_secs(1_800_000_000) };
    let mut conference = Conference::new(now, config(), [3; 32]);
    for n in 1..=2 {
        let claims = Claims {
            identity: format!("p{n}"),
            video: Some(VideoGrant::to_join("room")),
            ..Claims::default()
        };
        let Ok(request) = JoinRequest::from_query([("protocol", "17"), ("sdk", "js")]) else { return };
        let join = Join { session: SessionId(n), claims, request, worker: 0 };
        conference.handle(now, Input::Join(Box::new(join)));
    }
    let mut rest = data;
    while let Some((head, tail)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes(*head) & 0x0fff);
        let (message, tail) = tail.split_at(len.min(tail.len()));
        if let Ok(request) = SignalRequest::decode(message) {
            let session = SessionId(1 + u64::from(head[0] >> 7));
            conference.handle(now, Input::Request { session, request: Box::new(request) });
        }
        rest = tail;
    }
    conference.handle_timeout(now.after(Duration::from_secs(90)));
    while conference.poll_output().is_some() {}
});
