//! Tokens for people without an account.
//!
//! Whoever can reach the server can join any room as long as guests are let in, so they are only where the
//! operator says so.

use std::sync::Arc;

use auth::{Claims, VideoGrant};
use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::app::Shared;

/// Length of a request's body, bytes.
const BODY_MAX: usize = 16 * 1024;

/// What the page asks for.
#[derive(Debug, Deserialize)]
struct Wanted {
    room: String,
    #[serde(default)]
    name: String,
}

/// What it gets.
#[derive(Debug, Serialize)]
struct Pass {
    token: String,
    identity: String,
    room: String,
    /// Where to take the token to, if that is not where it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

/// Why not.
#[derive(Debug, PartialEq, Eq)]
struct Refused(StatusCode, &'static str);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(serde_json::json!({ "error": self.1 }))).into_response()
    }
}

/// `POST /api/v1/guest-token`
pub(crate) async fn token(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    let config = shared.config();
    if !config.guests {
        return Refused(StatusCode::FORBIDDEN, "this server does not let guests in").into_response();
    }
    // Strangers are as many as they may be: none of them stays without saying what it wants.
    let body = timeout(config.limits.head_timeout, to_bytes(request.into_body(), BODY_MAX)).await;
    let body = match body {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            return Refused(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long, or broken off")
                .into_response();
        }
        Err(_) => return Refused(StatusCode::REQUEST_TIMEOUT, "the body does not come").into_response(),
    };
    let (room, name) = match read(&body, config.rooms.max_name, config.rooms.rules.max_name) {
        Ok(wanted) => wanted,
        Err(refused) => return refused.into_response(),
    };
    let identity = format!("guest-{:012x}", u64::from_le_bytes(crate::random()) >> 16);
    let claims = Claims {
        identity: identity.clone(),
        name,
        video: Some(VideoGrant { can_update_own_metadata: Some(true), ..VideoGrant::to_join(room.clone()) }),
        ..Claims::default()
    };
    match shared.refresh_token(&claims, auth::DEFAULT_LIFETIME) {
        Some(token) => {
            shared.metrics.guest_tokens.add_one();
            Json(Pass { token, identity, room, url: None }).into_response()
        }
        None => Refused(StatusCode::SERVICE_UNAVAILABLE, "this server has no API key").into_response(),
    }
}

/// The room and the name, trimmed.
fn read(body: &[u8], max_room: usize, max_name: usize) -> Result<(String, String), Refused> {
    let bad = |why| Refused(StatusCode::BAD_REQUEST, why);
    let wanted: Wanted =
        serde_json::from_slice(body).map_err(|_| bad("send JSON with the strings \"room\" and \"name\""))?;
    let (room, name) = (wanted.room.trim(), wanted.name.trim());
    if room.is_empty() {
        return Err(bad("a room needs a name"));
    }
    if room.len() > max_room {
        return Err(bad("room name is too long"));
    }
    if name.is_empty() {
        return Err(bad("tell the others your name"));
    }
    if name.len() > max_name {
        return Err(bad("name is too long"));
    }
    if room.chars().chain(name.chars()).any(char::is_control) {
        return Err(bad("names cannot have control characters"));
    }
    Ok((room.to_owned(), name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_and_checked() {
        let read = |body: &str| read(body.as_bytes(), 8, 8);
        assert_eq!(read(r#"{"room":" a b ","name":"Ännchen"}"#), Ok(("a b".into(), "Ännchen".into())));
        for body in [
            "",
            "[]x",
            r#"{"room":"a"}"#,
            r#"{"name":"a"}"#,
            r#"{"room":" ","name":"a"}"#,
            r#"{"room":"a","name":""}"#,
            r#"{"room":5,"name":"a"}"#,
            r#"{"room":"123456789","name":"a"}"#,
            r#"{"room":"a","name":"123456789"}"#,
            r#"{"room":"a\nb","name":"a"}"#,
            r#"{"room":"a","name":"\u001b[2J"}"#,
        ] {
            assert_eq!(read(body).unwrap_err().0, StatusCode::BAD_REQUEST, "{body}");
        }
    }
}
