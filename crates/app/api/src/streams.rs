//! Live streams, for those who look after the server: `/api/v1/live`.
//!
//! Owns: the JSON of streams, publishers and players, sending them away, and their metrics. All of it needs a
//! token with the grant `live.admin`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use live::Desk;
use media::{Drop, Name, PlayerId, PlayerInfo, PublisherInfo, Shape, StreamInfo, TrackStats};
use serde_json::{Value, json};
use telemetry::{Exposition, Kind};

use crate::admit::{self, Refusal};
use crate::app::Shared;

type Guarded = Result<Response, Refused>;

/// As the rest of our own API says it.
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(refusal.status, refusal.text.into_owned())
    }
}

fn not_found(what: &str) -> Refused {
    Refused(StatusCode::NOT_FOUND, format!("no such {what}"))
}

pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/v1/live/streams", get(list))
        .route("/api/v1/live/streams/{domain}/{app}/{stream}", get(show))
        .route("/api/v1/live/streams/{domain}/{app}/{stream}/publisher", delete(kick_publisher))
        .route("/api/v1/live/players/{id}", delete(kick_player))
}

/// `GET /api/v1/live/streams`
async fn list(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Guarded {
    let streams: Vec<Value> = admitted(&shared, &headers)?.streams().iter().map(summary).collect();
    Ok(Json(json!({ "streams": streams })).into_response())
}

/// `GET /api/v1/live/streams/{domain}/{app}/{stream}`: with its players, one by one.
async fn show(
    State(shared): State<Arc<Shared>>,
    Path(parts): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Guarded {
    let desk = admitted(&shared, &headers)?;
    let info = desk.stream(&name(&parts)?).ok_or_else(|| not_found("stream"))?;
    let mut stream = summary(&info);
    stream["playing"] = info.players.iter().map(player).collect();
    Ok(Json(stream).into_response())
}

/// `DELETE /api/v1/live/streams/{domain}/{app}/{stream}/publisher`
async fn kick_publisher(
    State(shared): State<Arc<Shared>>,
    Path(parts): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Guarded {
    let was_there = admitted(&shared, &headers)?.kick_publisher(&name(&parts)?);
    gone(was_there, "publisher")
}

/// `DELETE /api/v1/live/players/{id}`
async fn kick_player(State(shared): State<Arc<Shared>>, Path(id): Path<u64>, headers: HeaderMap) -> Guarded {
    gone(admitted(&shared, &headers)?.kick_player(PlayerId(id)), "player")
}

fn gone(was_there: bool, what: &str) -> Guarded {
    if was_there { Ok(StatusCode::NO_CONTENT.into_response()) } else { Err(not_found(what)) }
}

/// The desk, for whoever may stand behind it.
fn admitted<'a>(shared: &'a Shared, headers: &HeaderMap) -> Result<&'a Desk, Refused> {
    let claims = admit::verify(shared, admit::bearer(headers))?;
    if !claims.live.is_some_and(|live| live.admin) {
        return Err(Refused(StatusCode::FORBIDDEN, "the token lacks the grant live.admin".to_owned()));
    }
    shared.desk.get().ok_or_else(|| Refused(StatusCode::NOT_FOUND, "live streams are off".to_owned()))
}

fn name((domain, app, stream): &(String, String, String)) -> Result<Name, Refused> {
    Name::new(domain, app, stream).ok_or_else(|| not_found("stream"))
}

fn summary(info: &StreamInfo) -> Value {
    let stats = &info.stats;
    let mut players = BTreeMap::<&str, usize>::new();
    for player in &info.players {
        *players.entry(player.viewer.label).or_default() += 1;
    }
    let dropped: BTreeMap<&str, u64> =
        Drop::ALL.iter().map(|why| (why.name(), stats.dropped[*why as usize])).collect();
    json!({
        "name": info.name.as_str(),
        "domain": info.name.domain(),
        "app": info.name.app(),
        "stream": info.name.stream(),
        "publisher": info.publisher.as_ref().map(publisher),
        "tracks": stats.tracks.iter().map(track).collect::<Vec<_>>(),
        "bitrate": bitrate(info).round(),
        "group": { "seconds": stats.group.duration().as_secs_f64(), "frames": stats.group_frames },
        "players": { "total": info.players.len(), "by_protocol": players },
        "frames": stats.frames,
        "bytes": stats.bytes,
        "dropped": dropped,
        "skipped": stats.skipped,
        "discontinuities": stats.discontinuities,
        "buffer": { "frames": stats.ring_frames, "bytes": stats.ring_bytes },
    })
}

fn publisher(publisher: &PublisherInfo) -> Value {
    json!({
        "protocol": publisher.offer.label,
        "address": publisher.offer.address.map(|address| address.to_string()),
        "pulled": publisher.offer.source == media::Source::Pulled,
        "since": publisher.since.unix_millis(),
    })
}

fn player(player: &PlayerInfo) -> Value {
    json!({
        "id": player.id.0,
        "protocol": player.viewer.label,
        "address": player.viewer.address.map(|address| address.to_string()),
        "since": player.since.unix_millis(),
    })
}

fn track(stats: &TrackStats) -> Value {
    let mut track = json!({
        "id": stats.track.id.0,
        "codec": stats.track.codec.name(),
        "frames": stats.frames,
        "bitrate": stats.bitrate.round(),
        // To a hundredth: 29.97 is a rate that exists.
        "fps": (stats.fps * 100.0).round() / 100.0,
    });
    match stats.track.shape {
        Shape::Video(picture) => {
            track["width"] = picture.width.into();
            track["height"] = picture.height.into();
        }
        Shape::Audio(sound) => {
            track["sample_rate"] = sound.rate.into();
            track["channels"] = sound.channels.into();
        }
    }
    track
}

fn bitrate(info: &StreamInfo) -> f64 {
    info.stats.tracks.iter().map(|track| track.bitrate).sum()
}

/// The metrics of every stream.
pub(crate) fn metrics(desk: &Desk, page: &mut Exposition) {
    let streams = desk.streams();
    page.family("millrace_live_streams", Kind::Gauge, "Live streams that exist.");
    page.sample(&[], streams.len() as u64);
    let connections = desk.connections();
    page.family("millrace_live_connections", Kind::Gauge, "Connections to live listeners.");
    page.sample(&[], connections.open as u64);
    page.family("millrace_live_strangers", Kind::Gauge, "Of them, those that were not let in yet.");
    page.sample(&[], connections.strangers as u64);
    crate::metrics::refused("millrace_live_connections_refused_total", connections, page);
    type Value = fn(&StreamInfo) -> u64;
    let families: [(&str, Kind, &str, Value); 9] = [
        ("published", Kind::Gauge, "Whether somebody publishes.", |s| s.publisher.is_some().into()),
        ("bitrate", Kind::Gauge, "Bits a second of payload.", |s| bitrate(s) as u64),
        ("group_milliseconds", Kind::Gauge, "From key frame to key frame.", |s| {
            u64::try_from(s.stats.group.millis()).unwrap_or(0)
        }),
        ("buffer_bytes", Kind::Gauge, "Kept for players.", |s| s.stats.ring_bytes as u64),
        ("frames_total", Kind::Counter, "Frames taken.", |s| s.stats.frames),
        ("bytes_total", Kind::Counter, "Bytes of payload taken.", |s| s.stats.bytes),
        ("frames_dropped_total", Kind::Counter, "Frames not taken.", |s| s.stats.dropped.iter().sum()),
        ("frames_skipped_total", Kind::Counter, "Frames that slow players jumped over.", |s| s.stats.skipped),
        ("discontinuities_total", Kind::Counter, "Jumps of a publisher's clock.", |s| {
            s.stats.discontinuities
        }),
    ];
    for (family, kind, help, value) in families {
        page.family(format!("millrace_live_{family}"), kind, help);
        for stream in &streams {
            page.sample(&[("stream", &stream.name)], value(stream));
        }
    }
    page.family("millrace_live_players", Kind::Gauge, "Players, by protocol.");
    for stream in &streams {
        let mut players = BTreeMap::<&str, u64>::new();
        for player in &stream.players {
            *players.entry(player.viewer.label).or_default() += 1;
        }
        for (protocol, count) in players {
            page.sample(&[("stream", &stream.name), ("protocol", &protocol)], count);
        }
    }
}
