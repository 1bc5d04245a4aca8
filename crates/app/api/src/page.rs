//! The web page that the binary carries.
//!
//! Release builds embed `web/dist`; others read it from where it was built, so that working on the page
//! needs no compiler. Without it everything but the page works.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
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

/// Codings in which the build has put texts beside themselves, and what their names end with; the smallest first.
const CODINGS: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];

/// The page to meet on.
pub(crate) fn meeting(asked: &HeaderMap) -> Response {
    page("index.html", asked)
}

/// The page to watch on.
pub(crate) async fn watch(asked: HeaderMap) -> Response {
    page("watch.html", &asked)
}

/// A page must be asked for anew each time: it names the files of its own version.
fn page(name: &str, asked: &HeaderMap) -> Response {
    file(name, asked).unwrap_or_else(|| (StatusCode::OK, Html(NOT_BUILT)).into_response())
}

/// A file of the pages; `None` if they have none of that name.
pub(crate) fn file(path: &str, asked: &HeaderMap) -> Option<Response> {
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    let charset = if kind.type_() == "text" { "; charset=utf-8" } else { "" };
    let kind = HeaderValue::try_from(format!("{kind}{charset}"));
    let kind = kind.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    // Their names carry a hash of their content.
    let forever = path.starts_with("assets/");
    let cache = if forever { "public, max-age=31536000, immutable" } else { "no-cache" };
    let (coding, data) = coded(path, asked)?;
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, HeaderValue::from_static(cache)),
        (header::VARY, HeaderValue::from_static("accept-encoding")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    let mut response = (headers, data).into_response();
    if let Some(coding) = coding {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    Some(response)
}

/// A file as it is, or in the first of the codings in which it is there and is taken.
fn coded(path: &str, asked: &HeaderMap) -> Option<(Option<&'static str>, Vec<u8>)> {
    let offer = asked.get(header::ACCEPT_ENCODING).and_then(|offer| offer.to_str().ok()).unwrap_or_default();
    for (coding, ending) in CODINGS.into_iter().filter(|(coding, _)| live::http::accepts(offer, coding)) {
        if let Some(file) = Built::get(&format!("{path}{ending}")) {
            return Some((Some(coding), file.data.into_owned()));
        }
    }
    Some((None, Built::get(path)?.data.into_owned()))
}
