//! What goes wrong, as Twirp says it.

use std::borrow::Cow;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use signal::AdminError;

use crate::admit::NO_ROOM;
use crate::directory::NoRoom;

/// Twirp's error codes, those that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    Unauthenticated,
    NotFound,
    InvalidArgument,
    FailedPrecondition,
    ResourceExhausted,
    Aborted,
    Unimplemented,
    Unavailable,
    DeadlineExceeded,
    Internal,
    BadRoute,
    Malformed,
    /// `malformed` with the status of a body that is too large.
    TooLarge,
}

impl Code {
    fn parts(self) -> (&'static str, StatusCode) {
        match self {
            Self::Unauthenticated => ("unauthenticated", StatusCode::UNAUTHORIZED),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND),
            Self::InvalidArgument => ("invalid_argument", StatusCode::BAD_REQUEST),
            Self::FailedPrecondition => ("failed_precondition", StatusCode::PRECONDITION_FAILED),
            Self::ResourceExhausted => ("resource_exhausted", StatusCode::TOO_MANY_REQUESTS),
            Self::Aborted => ("aborted", StatusCode::CONFLICT),
            Self::Unimplemented => ("unimplemented", StatusCode::NOT_IMPLEMENTED),
            Self::Unavailable => ("unavailable", StatusCode::SERVICE_UNAVAILABLE),
            Self::DeadlineExceeded => ("deadline_exceeded", StatusCode::REQUEST_TIMEOUT),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR),
            Self::BadRoute => ("bad_route", StatusCode::NOT_FOUND),
            Self::Malformed => ("malformed", StatusCode::BAD_REQUEST),
            Self::TooLarge => ("malformed", StatusCode::PAYLOAD_TOO_LARGE),
        }
    }
}

/// An error as it is answered: in JSON, whatever the request was written in.
#[derive(Debug)]
pub(super) struct Error {
    code: Code,
    message: Cow<'static, str>,
    meta: Vec<(&'static str, String)>,
}

impl Error {
    pub(super) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), meta: Vec::new() }
    }

    /// LiveKit's word for a token that is in order and does not suffice.
    pub(super) fn denied() -> Self {
        Self::new(Code::Unauthenticated, "permissions denied")
    }

    pub(super) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    pub(super) fn no_room() -> Self {
        Self::new(Code::NotFound, NO_ROOM)
    }

    pub(super) fn is_no_room(&self) -> bool {
        self.message == NO_ROOM
    }

    pub(super) fn no_participant() -> Self {
        Self::new(Code::NotFound, AdminError::NoParticipant.to_string())
    }
}

impl From<NoRoom> for Error {
    fn from(reason: NoRoom) -> Self {
        match reason {
            NoRoom::Unknown => Self::no_room(),
            NoRoom::Draining => Self::new(Code::Unavailable, "server is shutting down"),
        }
    }
}

impl From<AdminError> for Error {
    fn from(error: AdminError) -> Self {
        let code = match &error {
            AdminError::NoParticipant | AdminError::NoTrack => Code::NotFound,
            AdminError::NoRoom => return Self::no_room(),
            AdminError::RemoteUnmute | AdminError::NotAllowed => Code::FailedPrecondition,
            AdminError::Full => Code::ResourceExhausted,
            AdminError::TooLarge | AdminError::DataTooLarge => Code::InvalidArgument,
            AdminError::Rpc { code, .. } => rpc_code(*code),
        };
        let meta = match &error {
            AdminError::Rpc { code, data, .. } => {
                vec![("rpc_code", code.to_string()), ("rpc_data", data.clone())]
            }
            _ => Vec::new(),
        };
        Self { code, message: error.to_string().into(), meta }
    }
}

/// What LiveKit's RPC calls unsupported (1400), too large (1402) and too late (1501, 1502) has a name here too.
fn rpc_code(code: u32) -> Code {
    match code {
        1400 | 1404 => Code::Unimplemented,
        1402 => Code::InvalidArgument,
        1501 | 1502 => Code::DeadlineExceeded,
        _ => Code::Aborted,
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (code, status) = self.code.parts();
        let mut body = json!({ "code": code, "msg": self.message });
        let meta: Map<String, Value> = self
            .meta
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| (key.to_owned(), value.into()))
            .collect();
        if !meta.is_empty() {
            body["meta"] = meta.into();
        }
        (status, Json(body)).into_response()
    }
}
