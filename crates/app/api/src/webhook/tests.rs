//! Receivers that listen, refuse, hesitate and are not there.

use std::time::Duration;

use auth::ApiKeys;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// What came, in order: the token and the body.
type Heard = mpsc::UnboundedReceiver<(String, Vec<u8>)>;

/// A receiver that answers with these statuses, then with 200.
async fn receiver(statuses: Vec<u16>) -> (String, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?secret=1", listener.local_addr().unwrap());
    let (heard, hear) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut statuses = statuses.into_iter();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut text = Vec::new();
            let body_at = loop {
                let mut piece = [0; 4096];
                let n = stream.read(&mut piece).await.unwrap();
                text.extend_from_slice(&piece[..n]);
                let head_end = text.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4);
                if let Some(at) = head_end {
                    let length = header(&text, "content-length").parse::<usize>().unwrap();
                    if text.len() >= at + length {
                        break at;
                    }
                }
            };
            assert_eq!(header(&text, "content-type"), "application/webhook+json");
            let status = statuses.next().unwrap_or(200);
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            let _ = heard.send((header(&text, "authorization"), text[body_at..].to_vec()));
        }
    });
    (url, hear)
}

fn header(request: &[u8], name: &str) -> String {
    let text = String::from_utf8_lossy(request);
    let line = text.lines().find(|l| l.to_ascii_lowercase().starts_with(&format!("{name}:")));
    line.and_then(|l| l.split_once(':')).map(|(_, v)| v.trim().to_owned()).unwrap_or_default()
}

fn config(urls: &[&str]) -> Webhooks {
    Webhooks {
        api_key: "key".into(),
        secret: auth::Secret::new("a secret that is long enough for anybody").unwrap(),
        urls: urls.iter().map(|u| (*u).to_owned()).collect(),
        include: Vec::new(),
        exclude: Vec::new(),
        full_room: false,
        lanes: 4,
        queued: 8,
    }
}

fn event(name: &str, room: &str) -> proto::WebhookEvent {
    proto::WebhookEvent {
        event: name.into(),
        room: Some(proto::Room { name: room.into(), metadata: "m".into(), ..proto::Room::default() }),
        created_at: 1_790_000_000,
        ..proto::WebhookEvent::default()
    }
}

#[tokio::test]
async fn an_event_is_signed_over_its_body() {
    let (url, mut heard) = receiver(vec![]).await;
    let notifier = Notifier::new(Some(config(&[&url])));
    notifier.send(event("room_started", "a"));
    let (token, body) = heard.recv().await.expect("a request");
    let mut keys = ApiKeys::new();
    keys.insert("key", "a secret that is long enough for anybody").unwrap();
    let claims = auth::verify(&token, &keys, crate::now()).unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &body);
    assert_eq!(claims.sha256, STANDARD.encode(digest));
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["event"], "room_started");
    assert_eq!(body["room"]["metadata"], "m");
    assert_eq!(body["createdAt"], "1790000000", "protojson writes 64 bits as text");
    assert!(body["id"].as_str().unwrap().starts_with("EV_"));
    notifier.idle().await;
    assert_eq!(notifier.counts.sent.get(), 1);
}

#[tokio::test]
async fn a_room_keeps_its_order_through_a_failure() {
    let (url, mut heard) = receiver(vec![503]).await;
    let notifier = Notifier::new(Some(config(&[&url])));
    for name in ["room_started", "participant_joined", "room_finished"] {
        notifier.send(event(name, "a"));
    }
    let mut names = Vec::new();
    for _ in 0..4 {
        let (_, body) = heard.recv().await.expect("a request");
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        names.push((body["event"].as_str().unwrap().to_owned(), body["id"].as_str().unwrap().to_owned()));
    }
    assert_eq!(names[0], names[1], "the same event again");
    let names: Vec<_> = names.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[1..], ["room_started", "participant_joined", "room_finished"]);
    notifier.idle().await;
    assert_eq!((notifier.counts.retried.get(), notifier.counts.sent.get()), (1, 3));
}

#[tokio::test]
async fn what_is_refused_is_not_repeated() {
    let (url, mut heard) = receiver(vec![400]).await;
    let notifier = Notifier::new(Some(config(&[&url])));
    notifier.send(event("room_started", "a"));
    notifier.send(event("room_finished", "a"));
    heard.recv().await.expect("a request");
    let (_, body) = heard.recv().await.expect("a request");
    assert!(String::from_utf8_lossy(&body).contains("room_finished"));
    notifier.idle().await;
    assert_eq!((notifier.counts.failed.get(), notifier.counts.retried.get()), (1, 0));
}

#[tokio::test]
async fn what_does_not_fit_is_dropped_and_counted() {
    // Nobody accepts: the first is on its way for as long as it may be.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let notifier = Notifier::new(Some(config(&[&url])));
    for _ in 0..20 {
        notifier.send(event("room_started", "a"));
    }
    assert_eq!(notifier.counts.dropped.get(), 12);
}

#[tokio::test]
async fn events_are_chosen_and_rooms_cut_short() {
    let (url, mut heard) = receiver(vec![]).await;
    let mut only = config(&[&url]);
    only.include = vec!["track_published".into(), "room_started".into()];
    only.exclude = vec!["room_started".into()];
    let notifier = Notifier::new(Some(only));
    for name in ["room_started", "room_finished", "track_published"] {
        notifier.send(event(name, "a"));
    }
    let (_, body) = heard.recv().await.expect("a request");
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&body["event"], &body["room"]["name"]), (&"track_published".into(), &"a".into()));
    assert!(body["room"].get("metadata").is_none());
    notifier.idle().await;
    assert_eq!(notifier.counts.sent.get(), 1);
}

#[tokio::test]
async fn receivers_come_and_go() {
    let (first, mut at_first) = receiver(vec![]).await;
    let (second, mut at_second) = receiver(vec![]).await;
    let notifier = Notifier::new(None);
    notifier.send(event("room_started", "nobody hears"));
    notifier.apply(Some(config(&[&first])));
    notifier.send(event("room_started", "a"));
    notifier.apply(Some(config(&[&second, &first])));
    notifier.send(event("room_finished", "a"));
    notifier.apply(None);
    notifier.send(event("room_started", "nobody hears"));
    notifier.idle().await;
    let mut count = 0;
    while at_first.try_recv().is_ok() {
        count += 1;
    }
    assert_eq!(count, 2);
    assert!(at_second.try_recv().is_ok() && at_second.try_recv().is_err());
}

#[test]
fn a_url_is_not_told_whole() {
    assert_eq!(host("https://user:secret@hooks.example:8443/path?token=x"), "hooks.example");
    assert_eq!(host("nonsense"), "nonsense");
    assert_eq!(Duration::from_millis(15_500), PAUSE * (2_u32.pow(ATTEMPTS - 1) - 1));
}

#[tokio::test]
async fn what_waits_is_bounded_by_its_bytes_too() {
    // Given: a receiver that takes connections and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let notifier = Notifier::new(Some(Webhooks { queued: 1000, ..config(&[&url]) }));
    let large = || {
        let mut event = event("room_started", "a");
        event.room.as_mut().unwrap().metadata = "m".repeat(QUEUED_BYTES / 3);
        event
    };
    (0..5).for_each(|_| notifier.send(large()));
    assert_eq!(notifier.counts.dropped.get(), 3);
    // A small one still finds room.
    notifier.send(event("room_started", "a"));
    assert_eq!(notifier.counts.dropped.get(), 3);
}
