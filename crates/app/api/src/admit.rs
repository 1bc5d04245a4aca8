//! Who may join, and as what: the same judgement for a WebSocket and for `validate`.
//!
//! Owns: reading token and parameters out of a request and the outcome of every way in which they can be
//! wrong. Allocates no more than the request itself, whose size is bounded.

use std::borrow::Cow;

use auth::Claims;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use signal::JoinRequest;

use crate::app::Shared;
use crate::directory::NoRoom;
use crate::{capacity, opening};

/// Which of LiveKit's signalling paths was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    /// `/rtc`: parameters in the query.
    V0,
    /// `/rtc/v1`: parameters in `join_request`.
    V1,
}

/// Someone who may join.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) claims: Claims,
    pub(crate) request: JoinRequest,
    pub(crate) room: String,
}

/// Why not, as the client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) text: Cow<'static, str>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Self {
        Self { status, text: text.into() }
    }
}

/// Clients look for these words in a 404: without them they conclude that the path is not served.
pub(crate) const NO_ROOM: &str = "requested room does not exist";

impl From<NoRoom> for Refusal {
    fn from(reason: NoRoom) -> Self {
        match reason {
            NoRoom::Unknown => Self::new(StatusCode::NOT_FOUND, NO_ROOM),
            NoRoom::Draining => Self::new(StatusCode::SERVICE_UNAVAILABLE, "server is shutting down"),
        }
    }
}

/// Judges a request to join.
pub(crate) fn admit(shared: &Shared, path: Path, parts: &Parts) -> Result<Admitted, Refusal> {
    let query: Vec<(Cow<'_, str>, Cow<'_, str>)> =
        form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).collect();
    let param = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| &**value);

    let claims = verify(shared, param("access_token").or_else(|| bearer(&parts.headers)))?;
    let bad = |e: signal::BadRequest| Refusal::new(StatusCode::BAD_REQUEST, e.to_string());
    let request = match path {
        Path::V0 => JoinRequest::from_query(query.iter().map(|(k, v)| (&**k, &**v))).map_err(bad)?,
        Path::V1 => {
            let body = param("join_request").filter(|body| !body.is_empty());
            let body = body.ok_or(Refusal::new(StatusCode::BAD_REQUEST, "join_request is required"))?;
            JoinRequest::from_wrapped(body).map_err(bad)?
        }
    };
    admit_claims(shared, claims, request, &parts.headers)
}

/// Judges a request to join of someone whose token has been found good.
pub(crate) fn admit_claims(
    shared: &Shared,
    mut claims: Claims,
    mut request: JoinRequest,
    headers: &HeaderMap,
) -> Result<Admitted, Refusal> {
    if request.client.address.is_empty() {
        request.client.address = forwarded_for(headers).unwrap_or_default().to_owned();
    }
    let rooms = &shared.config().rooms;
    if let Err(refusal) = signal::join::check(&claims, &request, &rooms.rules) {
        let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::UNAUTHORIZED);
        return Err(Refusal::new(status, refusal.to_string()));
    }
    let room = claims.video.as_ref().map(|video| video.room.clone()).unwrap_or_default();
    if shared.revoked.is_revoked(&room, &claims, crate::now()) {
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "token has been revoked"));
    }
    if let Some(publish) = &request.publish {
        claims.identity = format!("{}#{publish}", claims.identity);
        if let Some(video) = claims.video.as_mut() {
            video.can_subscribe = Some(false);
        }
    }
    if room.is_empty() {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "room name cannot be empty"));
    }
    if room.len() > rooms.max_name {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "room name is too long"));
    }
    match shared.directory.find(&room) {
        Err(NoRoom::Unknown) if rooms.auto_create && !opening::is_possible(rooms, &claims) => {
            return Err(Refusal::new(StatusCode::BAD_REQUEST, opening::NO_PRESET));
        }
        Err(NoRoom::Unknown) if rooms.auto_create => {}
        other => drop(other?),
    }
    // Whoever resumes is in already.
    if request.resume.is_none() && shared.is_full() {
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, capacity::FULL));
    }
    Ok(Admitted { claims, request, room })
}

/// Judges a token.
pub(crate) fn verify(shared: &Shared, token: Option<&str>) -> Result<Claims, Refusal> {
    let refused = |text: String| Refusal::new(StatusCode::UNAUTHORIZED, text);
    let token = token.filter(|t| !t.is_empty()).ok_or_else(|| refused("no access token".into()))?;
    auth::verify(token, &shared.config().keys, crate::now()).map_err(|e| refused(e.to_string()))
}

/// `Authorization: Bearer …` (RFC 6750 section 2.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// What a proxy says of the client's address. Shown to other tools only: nothing is decided by it.
fn forwarded_for(headers: &HeaderMap) -> Option<&str> {
    let value = |name| headers.get(name).and_then(|v| v.to_str().ok());
    let first = |list: &'_ str| list.split(',').next().unwrap_or_default().trim().len();
    value("cf-connecting-ip")
        .or_else(|| value("x-forwarded-for").map(|list| &list[..first(list)]))
        .or_else(|| value("x-real-ip"))
        .filter(|text| text.len() <= 64)
}
