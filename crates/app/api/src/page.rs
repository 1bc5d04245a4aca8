//! The web page that the binary carries.
//!
//! Release builds embed `web/dist`; others read it from where it was built, so that working on the page
//! needs no compiler. Without it everything but the page works.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "../../../web/dist"]
#[allow_missing = true]
struct Built;

/// What stands in for a page that has not been built.
const NOT_BUILT: &str = "<!doctype html><meta charset=utf-8><title>Millrace</title>\
    <body style=\"font: 1rem/1.5 sans-serif; margin: 3rem auto; max-width: 40rem\">\
    <h1>Millrace is running</h1><p>This binary was built without its web page. Run <code>make web</code> (or \
    <code>make run</code>, which does so) and build it again. LiveKit clients can connect to this address \
    meanwhile.";

/// The page itself. It must be asked for anew each time: it names the files of its own version.
pub(crate) fn index() -> Response {
    match Built::get("index.html") {
        Some(file) => respond("text/html; charset=utf-8", "no-cache", file.data.into_owned()),
        None => (StatusCode::OK, Html(NOT_BUILT)).into_response(),
    }
}

/// A file of the page; `None` if it has none of that name.
pub(crate) fn file(path: &str) -> Option<Response> {
    let file = Built::get(path)?;
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    // Their names carry a hash of their content.
    let forever = path.starts_with("assets/");
    let cache = if forever { "public, max-age=31536000, immutable" } else { "no-cache" };
    Some(respond(kind.as_ref(), cache, file.data.into_owned()))
}

fn respond(kind: &str, cache: &'static str, data: Vec<u8>) -> Response {
    let kind = HeaderValue::from_str(kind).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, HeaderValue::from_static(cache)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (headers, data).into_response()
}
