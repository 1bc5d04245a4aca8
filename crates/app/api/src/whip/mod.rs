//! WHIP (RFC 9725): publishing into a room over plain HTTP, at LiveKit's path.
//!
//! Owns: the requests about one publication (offer, trickled candidates, ICE restart, end), who may make them, and
//! the headers of their answers. The participant behind it is an ordinary one: see `session` for what holds its
//! end of the conversation. Sections of an offer that only receive are filled with what the room has, or gets, so
//! that the same request also plays.

mod session;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use auth::Claims;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use livekit_protocol::{ClientInfo, IceServer, SessionDescription};
use signal::whip::{self, Fragment};
use signal::{JoinRequest, Mode};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::admit::{self, Refusal};
use crate::app::Shared;

/// Length of a request's body, bytes.
const BODY_MAX: usize = 128 << 10;
/// For a body to come in.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
const OFFER: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
const PROBLEM: &str = "application/problem+json";
/// The path of one publication, up to its id.
const RESOURCE: &str = "/whip/v1/";
/// Clients with nothing to say about themselves are taken for ones of this protocol.
const PROTOCOL: i32 = 16;

/// The publications of this process, by participant.
#[derive(Debug, Default)]
pub(crate) struct Publications(Mutex<HashMap<String, Publication>>);

/// How one is reached.
#[derive(Debug, Clone)]
struct Publication {
    room: String,
    identity: String,
    asks: mpsc::Sender<Ask>,
}

/// What may be asked of a publication.
#[derive(Debug)]
enum Ask {
    /// More candidates, for the ICE session that `tag` names.
    Trickle {
        tag: String,
        fragment: Fragment,
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    Restart {
        fragment: Fragment,
        reply: oneshot::Sender<Result<Restarted, Refusal>>,
    },
    End,
}

/// An ICE restart that was done.
#[derive(Debug)]
struct Restarted {
    tag: String,
    fragment: String,
}

/// A publication that has begun.
#[derive(Debug)]
struct Begun {
    participant: String,
    answer: String,
    tag: String,
    ice_servers: Vec<IceServer>,
}

impl Publications {
    fn find(&self, id: &str) -> Option<Publication> {
        self.lock().get(id).cloned()
    }

    /// No panic can leave the map half changed.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Publication>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/whip/v1", get(nothing).options(options).post(create))
        .route("/whip/v1/{participant}", get(nothing).options(options).patch(patch).delete(end))
}

/// There is nothing to fetch, RFC 9725 section 4.1.
async fn nothing() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// What may be sent here, for those who are no browsers (those are answered before they come here).
async fn options() -> Response {
    let headers = [("accept-post", OFFER), ("accept-patch", FRAGMENT)];
    (StatusCode::NO_CONTENT, headers).into_response()
}

async fn create(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    let begun = match begin(&shared, request).await {
        Ok(begun) => begun,
        Err(refusal) => {
            shared.metrics.joins_refused.add_one();
            return problem(&refusal);
        }
    };
    let mut response = (StatusCode::CREATED, begun.answer).into_response();
    let headers = response.headers_mut();
    let location = format!("{RESOURCE}{}", begun.participant);
    for (name, value) in [
        (header::CONTENT_TYPE, OFFER.to_owned()),
        (header::LOCATION, location),
        (header::ETAG, quoted(&begun.tag)),
    ] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    for link in begun.ice_servers.iter().flat_map(links) {
        headers.append(header::LINK, link);
    }
    headers.insert("accept-patch", HeaderValue::from_static(FRAGMENT));
    expose(headers);
    response
}

async fn begin(shared: &Arc<Shared>, request: Request<Body>) -> Result<Begun, Refusal> {
    let (head, body) = request.into_parts();
    let claims = bearer(shared, &head.headers)?;
    expect_type(&head.headers, OFFER)?;
    let body = read(body).await?;
    let bad = |text: String| Refusal::new(StatusCode::BAD_REQUEST, text);
    let offer = std::str::from_utf8(&body).map_err(|_| bad("malformed SDP offer: not UTF-8".into()))?;
    if offer.is_empty() {
        return Err(bad("body does not have SDP offer".into()));
    }
    let offered = whip::read_offer(offer).map_err(|e| bad(e.to_string()))?;
    let may = claims.video.as_ref();
    let permitted =
        may.is_some_and(|v| (!offered.sends || v.may_publish()) && (offered.sends || v.may_subscribe()));
    if !permitted {
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "permissions denied"));
    }
    let request = JoinRequest {
        mode: Mode::Single,
        client: ClientInfo { protocol: PROTOCOL, ..ClientInfo::default() },
        auto_subscribe: offered.receives,
        offer: Some(SessionDescription {
            r#type: "offer".into(),
            sdp: offer.to_owned(),
            id: 1,
            ..Default::default()
        }),
        media_only: true,
        ..JoinRequest::default()
    };
    let admitted = admit::admit_claims(shared, claims, request, &head.headers)?;
    session::begin(shared, &admitted).await
}

async fn patch(
    State(shared): State<Arc<Shared>>,
    Path(participant): Path<String>,
    request: Request<Body>,
) -> Response {
    match change(&shared, &participant, request).await {
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Ok(Some(restarted)) => {
            let mut response = (StatusCode::OK, restarted.fragment).into_response();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(FRAGMENT));
            if let Ok(tag) = HeaderValue::try_from(quoted(&restarted.tag)) {
                headers.insert(header::ETAG, tag);
            }
            expose(headers);
            response
        }
        Err(refusal) => problem(&refusal),
    }
}

/// `None` if nothing is to be said about what was done.
async fn change(
    shared: &Arc<Shared>,
    participant: &str,
    request: Request<Body>,
) -> Result<Option<Restarted>, Refusal> {
    let (head, body) = request.into_parts();
    let publication = owned(shared, participant, &head.headers)?;
    expect_type(&head.headers, FRAGMENT)?;
    let tag = head.headers.get(header::IF_MATCH).and_then(|v| v.to_str().ok());
    let tag = tag.ok_or(Refusal::new(StatusCode::PRECONDITION_REQUIRED, "missing entity tag"))?;
    let body = read(body).await?;
    let text = String::from_utf8_lossy(&body);
    let fragment =
        Fragment::parse(&text).map_err(|e| Refusal::new(StatusCode::BAD_REQUEST, e.to_string()))?;
    if tag.trim() == "*" {
        let (reply, done) = oneshot::channel();
        let _ = publication.asks.send(Ask::Restart { fragment, reply }).await;
        return done.await.unwrap_or_else(|_| Err(gone())).map(Some);
    }
    let (reply, done) = oneshot::channel();
    let tag = tag.trim().trim_start_matches("W/").trim_matches('"').to_owned();
    let _ = publication.asks.send(Ask::Trickle { tag, fragment, reply }).await;
    done.await.unwrap_or_else(|_| Err(gone())).map(|()| None)
}

async fn end(
    State(shared): State<Arc<Shared>>,
    Path(participant): Path<String>,
    headers: HeaderMap,
) -> Response {
    match owned(&shared, &participant, &headers) {
        Ok(publication) => {
            // One that has ended by itself has ended.
            let _ = publication.asks.send(Ask::End).await;
            StatusCode::OK.into_response()
        }
        Err(refusal) => problem(&refusal),
    }
}

/// The publication, if it is the bearer's own.
fn owned(shared: &Shared, participant: &str, headers: &HeaderMap) -> Result<Publication, Refusal> {
    let claims = bearer(shared, headers)?;
    let room = claims.video.as_ref().filter(|v| v.room_join).map(|v| v.room.as_str());
    let room = room.ok_or(Refusal::new(StatusCode::UNAUTHORIZED, "permissions denied"))?;
    let found = shared.publications.find(participant);
    // Whether there is somebody else's is nobody's business.
    found.filter(|p| p.room == room && p.identity == claims.identity).ok_or_else(gone)
}

/// A refusal that a program can read too (RFC 9457).
fn problem(refusal: &Refusal) -> Response {
    let title = refusal.status.canonical_reason().unwrap_or_default();
    let body = serde_json::json!({
        "type": "about:blank",
        "title": title,
        "status": refusal.status.as_u16(),
        "detail": refusal.text,
    });
    (refusal.status, [(header::CONTENT_TYPE, PROBLEM)], body.to_string()).into_response()
}

/// Nobody's body is read before his token was found good.
async fn read(body: Body) -> Result<Bytes, Refusal> {
    let refused = |text| Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text);
    let read = timeout(BODY_TIMEOUT, to_bytes(body, BODY_MAX)).await;
    let late = |_| Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body does not come");
    read.map_err(late)?.map_err(|_| refused("the body is too long, or broken off"))
}

fn gone() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "no such publication")
}

fn bearer(shared: &Shared, headers: &HeaderMap) -> Result<Claims, Refusal> {
    admit::verify(shared, admit::bearer(headers))
}

fn expect_type(headers: &HeaderMap, wanted: &str) -> Result<(), Refusal> {
    let said = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    // Parameters do not matter.
    let said = said.split(';').next().unwrap_or_default().trim();
    if said.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    let text = format!("unsupported content-type: {said:.64}: expected {wanted}");
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
}

fn quoted(tag: &str) -> String {
    format!("\"{tag}\"")
}

/// Lets a page on another origin read what it needs.
fn expose(headers: &mut HeaderMap) {
    let value = HeaderValue::from_static("Location, ETag, Link, Accept-Patch");
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, value);
}

/// RFC 9725 section 4.6.
fn links(server: &IceServer) -> impl Iterator<Item = HeaderValue> {
    server.urls.iter().filter_map(|url| {
        let mut link = format!("<{url}>; rel=\"ice-server\"");
        if !server.username.is_empty() {
            let (username, credential) = (escaped(&server.username), escaped(&server.credential));
            link.push_str(&format!(
                "; username=\"{username}\"; credential=\"{credential}\"; credential-type=\"password\""
            ));
        }
        let mut value = HeaderValue::try_from(link).ok()?;
        value.set_sensitive(!server.credential.is_empty());
        Some(value)
    })
}

/// A quoted string, RFC 9110 section 5.6.4.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
