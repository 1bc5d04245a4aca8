//! Paths, their handlers, and what holds for every answer.
//!
//! Owns: routing, CORS (any origin may ask: what is allowed is decided by tokens, never by cookies), and one
//! debugging line a request, without secrets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use telemetry::Target;
use tracing::debug;

use crate::admit::{self, Path, Refusal};
use crate::app::Shared;
use crate::join;
use crate::{agents, guest, page, streams, twirp, watch, whip};

/// Largest body of our own API.
const BODY_MAX: usize = 16 * 1024;

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(root))
        .route("/r/{room}", get(|asked: HeaderMap| async move { page::meeting(&asked) }))
        .route("/healthz", get(health))
        .route("/rtc", get(rtc_v0))
        .route("/rtc/v1", get(rtc_v1))
        .route("/rtc/validate", get(validate_v0))
        .route("/rtc/v1/validate", get(validate_v1))
        .route("/agent", get(agents::connect))
        .route("/readyz", get(ready))
        .route("/api/v1/guest-token", post(guest::token))
        .merge(streams::routes())
        .merge(watch::routes())
        .fallback(file)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        // Have limits of their own.
        .merge(twirp::routes())
        .merge(whip::routes())
        .with_state(shared)
}

/// Answers one request.
pub(crate) async fn answer(
    router: Router,
    shared: Arc<Shared>,
    from: SocketAddr,
    mut request: Request<Body>,
) -> Response {
    let started = Instant::now();
    shared.metrics.requests.add_one();
    collapse_slashes(request.uri_mut());
    let method = request.method().clone();
    // The line is only made for whoever reads it.
    let target = tracing::enabled!(tracing::Level::DEBUG)
        .then(|| Target(request.uri().path_and_query().map_or("/", |pq| pq.as_str())).to_string());
    let origin = request.headers().get(header::ORIGIN).cloned();
    let preflight =
        method == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let wanted_headers = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();

    let mut response = if preflight {
        StatusCode::NO_CONTENT.into_response()
    } else {
        // A router cannot fail.
        tower_service::Service::call(&mut router.into_service(), request)
            .await
            .unwrap_or_else(|never| match never {})
    };
    allow_origin(response.headers_mut(), origin);
    if preflight {
        allow_method(response.headers_mut(), wanted_headers);
    }
    if let Some(target) = target {
        let took = started.elapsed();
        debug!(%from, %method, %target, status = response.status().as_u16(), ?took, "request");
    }
    response
}

fn allow_origin(headers: &mut HeaderMap, origin: Option<HeaderValue>) {
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    let origin = origin.unwrap_or(HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
}

fn allow_method(headers: &mut HeaderMap, wanted: Option<HeaderValue>) {
    let methods = HeaderValue::from_static("OPTIONS, HEAD, GET, POST, PATCH, DELETE");
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.unwrap_or(HeaderValue::from_static("*")));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
}

/// Clients append paths to base URLs that may end in a slash: `//rtc` means `/rtc`.
fn collapse_slashes(uri: &mut Uri) {
    if !uri.path().starts_with("//") {
        return;
    }
    let path = uri.path().trim_start_matches('/');
    let target = match uri.query() {
        Some(query) => format!("/{path}?{query}"),
        None => format!("/{path}"),
    };
    if let Ok(collapsed) = target.parse() {
        *uri = collapsed;
    }
}

/// The page for people, `OK` for those who ask whether the server lives.
async fn root(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let accepts_html = |value: &HeaderValue| value.to_str().is_ok_and(|v| v.contains("text/html"));
    if headers.get_all(header::ACCEPT).iter().any(accepts_html) {
        return page::meeting(&headers);
    }
    health(State(shared)).await
}

/// Whether it may be sent more: a server that drains asks its load balancer for no more.
async fn ready(state: State<Arc<Shared>>) -> Response {
    health(state).await
}

/// A server that drains asks its load balancer for no more; one that has lost a media worker is to be started again.
async fn health(State(shared): State<Arc<Shared>>) -> Response {
    if shared.directory.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining").into_response();
    }
    if let Some(worker) = shared.engine.ended() {
        let text = format!("media worker {worker} has ended");
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    }
    "OK".into_response()
}

async fn file(uri: Uri, method: Method, asked: HeaderMap) -> Response {
    let found = matches!(method, Method::GET | Method::HEAD)
        .then(|| page::file(uri.path().trim_start_matches('/'), &asked));
    found.flatten().unwrap_or_else(|| (StatusCode::NOT_FOUND, "not found").into_response())
}

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

async fn rtc_v0(State(shared): State<Arc<Shared>>, upgrade: Upgrade, request: Request<Body>) -> Response {
    rtc(shared, Path::V0, upgrade, &request.into_parts().0).await
}

async fn rtc_v1(State(shared): State<Arc<Shared>>, upgrade: Upgrade, request: Request<Body>) -> Response {
    rtc(shared, Path::V1, upgrade, &request.into_parts().0).await
}

async fn rtc(shared: Arc<Shared>, path: Path, upgrade: Upgrade, parts: &Parts) -> Response {
    let Ok(upgrade) = upgrade else {
        return (StatusCode::NOT_FOUND, "not found").into_response();
    };
    match join::join(&shared, path, upgrade, parts).await {
        Ok(response) => response,
        Err(refusal) => {
            shared.metrics.joins_refused.add_one();
            refusal.into_response()
        }
    }
}

async fn validate_v0(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    validate(&shared, Path::V0, &request.into_parts().0)
}

async fn validate_v1(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    validate(&shared, Path::V1, &request.into_parts().0)
}

fn validate(shared: &Shared, path: Path, parts: &Parts) -> Response {
    match admit::admit(shared, path, parts) {
        Ok(_) => "success".into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, self.text).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_slashes_are_one() {
        let collapsed = |text: &str| {
            let mut uri = Uri::builder().path_and_query(text).build().unwrap();
            collapse_slashes(&mut uri);
            uri.to_string()
        };
        assert_eq!(collapsed("//rtc/v1?a=//b"), "/rtc/v1?a=//b");
        assert_eq!(collapsed("///"), "/");
        assert_eq!(collapsed("/rtc//v1"), "/rtc//v1");
    }
}
