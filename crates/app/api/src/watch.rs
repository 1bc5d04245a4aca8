//! Live streams for those who watch: the page, and what it has to know.
//!
//! Owns: `/watch` and `GET /api/v1/watch`, which everybody may ask: where streams are served. What is live is
//! listed only where guests are welcome (as with `--dev`), and only of applications that anybody may play.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use live::Desk;
use media::{Shape, StreamInfo};
use serde_json::{Value, json};
use vhost::Policy;

use crate::app::Shared;
use crate::page;

/// Streams that are listed; the others are still played by their address.
const MAX_LISTED: usize = 500;

pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/v1/watch", get(show))
        .route("/watch", get(page::watch))
        .route("/watch/", get(page::watch))
        .route("/watch/{*stream}", get(page::watch))
}

/// `GET /api/v1/watch`
async fn show(State(shared): State<Arc<Shared>>) -> Response {
    let (Some(desk), Some(ports)) = (shared.desk.get(), shared.live_ports.get()) else {
        let error = json!({ "error": "live streams are off" });
        return (StatusCode::NOT_FOUND, Json(error)).into_response();
    };
    let streams = shared.config().guests.then(|| listed(desk));
    let body = json!({
        "http": ports.http,
        "https": ports.is_secure,
        "rtmp": ports.rtmp,
        "rtmps": ports.rtmps,
        "default_domain": desk.config().directory.default_domain(),
        "streams": streams,
    });
    let fresh = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (fresh, Json(body)).into_response()
}

fn listed(desk: &Desk) -> Vec<Value> {
    let config = desk.config();
    let is_open = |stream: &StreamInfo| {
        let app = config.directory.app(&stream.name);
        stream.publisher.is_some() && app.is_some_and(|app| app.play == Policy::Open)
    };
    desk.streams().iter().filter(|stream| is_open(stream)).take(MAX_LISTED).map(entry).collect()
}

fn entry(info: &StreamInfo) -> Value {
    let mut entry = json!({
        "domain": info.name.domain(),
        "app": info.name.app(),
        "stream": info.name.stream(),
        "since": info.publisher.as_ref().map(|publisher| publisher.since.unix_millis()),
        "players": info.players.len(),
        "bitrate": info.stats.tracks.iter().map(|track| track.bitrate).sum::<f64>().round(),
        "codecs": info.stats.tracks.iter().map(|track| track.track.codec.name()).collect::<Vec<_>>(),
    });
    for track in &info.stats.tracks {
        if let Shape::Video(picture) = track.track.shape {
            (entry["width"], entry["height"]) = (picture.width.into(), picture.height.into());
        }
    }
    entry
}
