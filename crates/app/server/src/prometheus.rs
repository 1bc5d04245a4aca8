//! Metrics on a port of their own.

use std::future::Future;
use std::net::SocketAddr;

use anyhow::Context as _;
use api::Api;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::net::TcpListener;

use crate::config::Prometheus;

/// Listens, and serves `/metrics` until `stop` ends.
pub(crate) async fn start(
    settings: &Prometheus,
    api: Api,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<SocketAddr> {
    let address = SocketAddr::new(settings.address, settings.port);
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("prometheus: cannot listen on {address}"))?;
    let address = listener.local_addr().context("prometheus")?;
    let expected = settings.login.as_ref().map(|login| {
        let pair = format!("{}:{}", login.username, login.password);
        format!("Basic {}", STANDARD.encode(pair))
    });
    let router = Router::new().route("/metrics", get(metrics)).with_state((api, expected));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop).await {
            tracing::error!(%error, "metrics are not served any more");
        }
    });
    Ok(address)
}

async fn metrics(State((api, expected)): State<(Api, Option<String>)>, headers: HeaderMap) -> Response {
    if let Some(expected) = &expected {
        let given = headers.get(header::AUTHORIZATION).map(|v| v.as_bytes()).unwrap_or_default();
        if aws_lc_rs::constant_time::verify_slices_are_equal(given, expected.as_bytes()).is_err() {
            let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"metrics\"")];
            return (StatusCode::UNAUTHORIZED, challenge, "metrics need a login\n").into_response();
        }
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], api.metrics()).into_response()
}
