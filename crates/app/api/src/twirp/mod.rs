//! LiveKit's server API: Twirp (version 7 of its wire protocol) under `/twirp/`, in protobuf and in JSON.
//!
//! Owns: routes, formats, sizes, and how what goes wrong is said. What a method does stands in the modules
//! beside this one. A request's token is judged before its body is read.

mod absent;
mod dispatch;
mod error;
mod rooms;

use std::sync::Arc;
use std::time::Duration;

use auth::{Claims, VideoGrant};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, Request, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::app::Shared;
use crate::{admit, protojson};

use error::{Code, Error};

/// For a body to come in.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new().route("/twirp/{service}/{method}", any(handle))
}

async fn handle(
    State(shared): State<Arc<Shared>>,
    Path((service, method)): Path<(String, String)>,
    request: Request<Body>,
) -> Response {
    shared.metrics.api_calls.add_one();
    let metrics = Arc::clone(&shared);
    serve(shared, &service, &method, request).await.unwrap_or_else(|error| {
        metrics.metrics.api_errors.add_one();
        error.into_response()
    })
}

async fn serve(
    shared: Arc<Shared>,
    service: &str,
    method: &str,
    request: Request<Body>,
) -> Result<Response, Error> {
    let (head, body) = request.into_parts();
    if head.method != Method::POST {
        let message = format!("unsupported method {:?} (only POST is allowed)", head.method.as_str());
        return Err(Error::new(Code::BadRoute, message));
    }
    let format = Format::of(&head.headers)?;
    let claims = admit::verify(&shared, admit::bearer(&head.headers))
        .map_err(|refusal| Error::new(Code::Unauthenticated, refusal.text))?;
    let limit = shared.config().limits.api_body;
    let body = match timeout(BODY_TIMEOUT, axum::body::to_bytes(body, limit)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return Err(Error::new(Code::TooLarge, "the request's body is too large or broken")),
        Err(_) => return Err(Error::new(Code::DeadlineExceeded, "the request's body did not come in time")),
    };
    let call = Call { caller: Caller { shared, claims }, format, body };
    let answer = match service {
        "livekit.RoomService" => rooms::serve(method, call).await?,
        "livekit.AgentDispatchService" => dispatch::serve(method, call).await?,
        _ => absent::serve(service, method, call).await?,
    };
    answer.ok_or_else(|| {
        Error::new(Code::BadRoute, format!("no handler for path \"/twirp/{service}/{method}\""))
    })
}

/// How requests and answers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Protobuf,
    Json,
}

impl Format {
    fn of(headers: &HeaderMap) -> Result<Self, Error> {
        let value = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let kind = value.split(';').next().unwrap_or_default().trim();
        match kind.to_ascii_lowercase().as_str() {
            "application/protobuf" => Ok(Self::Protobuf),
            "application/json" => Ok(Self::Json),
            _ => Err(Error::new(Code::BadRoute, format!("unexpected Content-Type: {value:?}"))),
        }
    }

    fn read<T: prost::Message + Default + DeserializeOwned>(self, body: Bytes) -> Result<T, Error> {
        match self {
            Self::Protobuf => T::decode(body).map_err(|e| e.to_string()),
            // Nothing at all is what some send for a request of defaults.
            Self::Json if body.is_empty() => Ok(T::default()),
            Self::Json => protojson::read(&body).map_err(|e| e.to_string()),
        }
        .map_err(|e| Error::new(Code::Malformed, format!("the request could not be decoded: {e}")))
    }

    fn write(self, answer: &(impl prost::Message + Serialize)) -> Result<Response, Error> {
        let (kind, body) = match self {
            Self::Protobuf => ("application/protobuf", answer.encode_to_vec()),
            Self::Json => {
                let body = serde_json::to_vec(answer);
                ("application/json", body.map_err(|e| Error::new(Code::Internal, e.to_string()))?)
            }
        };
        Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], body).into_response())
    }
}

/// Who calls.
struct Caller {
    shared: Arc<Shared>,
    claims: Claims,
}

impl Caller {
    /// Refuses a caller whose grants do not suffice.
    fn may(&self, what: impl FnOnce(&VideoGrant) -> bool) -> Result<(), Error> {
        self.claims.video.as_ref().is_some_and(what).then_some(()).ok_or_else(Error::denied)
    }

    /// Refuses a caller who does not look after this room.
    fn administers(&self, room: &str) -> Result<(), Error> {
        self.may(|video| video.room_admin && video.room == room)
    }
}

/// A request that may be heard.
struct Call {
    caller: Caller,
    format: Format,
    body: Bytes,
}

/// `None`: there is no such method.
type Answer = Result<Option<Response>, Error>;

impl Call {
    /// Reads the request, does it, and writes the answer.
    async fn answer<Q, A, F>(self, method: impl FnOnce(Caller, Q) -> F) -> Answer
    where
        Q: prost::Message + Default + DeserializeOwned,
        A: prost::Message + Serialize,
        F: Future<Output = Result<A, Error>>,
    {
        let request = self.format.read(self.body)?;
        let answer = method(self.caller, request).await?;
        self.format.write(&answer).map(Some)
    }
}
