//! Refusals: why a request was not taken, and how HTTP says so (RFC 9457 problem documents).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use watchfire_event::{CommitError, LineError};

/// Why a request as a whole was refused. Nothing of it was kept, except in the dead letters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The body, or what it inflates to, is over the limit (413).
    #[error("{0}")]
    BodyTooLarge(String),
    /// The body does not inflate (400).
    #[error("{0}")]
    InvalidEncoding(String),
    /// A `Content-Encoding` nobody here speaks (415).
    #[error("content encoding `{0}` is not one of gzip, zstd, deflate")]
    UnsupportedEncoding(String),
    /// A body that is not JSON and does not claim to be (415).
    #[error("content type `{0}` is not taken here, and the body is not JSON")]
    UnsupportedMediaType(String),
    /// The protocol's envelope cannot be read (400).
    #[error("{0}")]
    InvalidRequest(String),
    /// The `Idempotency-Key` came with another body before (422).
    #[error("this Idempotency-Key came with another body before; a new request needs a new key")]
    KeyReused,
    /// The body came too slowly (408).
    #[error("the body came too slowly")]
    SlowBody,
    /// The connection ended before the body did (400).
    #[error("the body ended early")]
    IncompleteBody,
    /// Queues or readers are full: try again later (429).
    #[error("overloaded: {0}")]
    Overloaded(String),
    /// Free disk is below the reserve (503).
    #[error("free disk space is below the reserve")]
    DiskReserve,
    /// The log cannot write (503), final until a restart.
    #[error("the log cannot write")]
    LogFailed,
    /// The store is not open yet (503).
    #[error("starting")]
    Starting,
    /// The process is stopping (503).
    #[error("shutting down")]
    Draining,
    /// A defect of ours (500); the request may be sent again.
    #[error("internal error")]
    Internal,
}

impl Refusal {
    /// The stable code of the error contract.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::BodyTooLarge(_) => "body_too_large",
            Refusal::InvalidEncoding(_) => "invalid_encoding",
            Refusal::UnsupportedEncoding(_) => "unsupported_encoding",
            Refusal::UnsupportedMediaType(_) => "unsupported_media_type",
            Refusal::InvalidRequest(_) => "invalid_request",
            Refusal::KeyReused => "idempotency_key_reused",
            Refusal::SlowBody => "slow_body",
            Refusal::IncompleteBody => "incomplete_body",
            Refusal::Overloaded(_) => "overloaded",
            Refusal::DiskReserve => "disk_reserve",
            Refusal::LogFailed => "wal_failed",
            Refusal::Starting => "starting",
            Refusal::Draining => "draining",
            Refusal::Internal => "internal",
        }
    }

    /// The HTTP status of the error contract.
    pub fn status(&self) -> StatusCode {
        match self {
            Refusal::BodyTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::InvalidEncoding(_) | Refusal::InvalidRequest(_) | Refusal::IncompleteBody => {
                StatusCode::BAD_REQUEST
            }
            Refusal::UnsupportedEncoding(_) | Refusal::UnsupportedMediaType(_) => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            Refusal::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Refusal::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Refusal::Overloaded(_) => StatusCode::TOO_MANY_REQUESTS,
            Refusal::DiskReserve | Refusal::LogFailed | Refusal::Starting | Refusal::Draining => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Refusal::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Seconds after which trying again makes sense, for the states that heal.
    pub fn retry_after_s(&self) -> Option<u32> {
        match self {
            Refusal::Overloaded(_) | Refusal::Starting => Some(1),
            Refusal::DiskReserve | Refusal::Draining => Some(5),
            Refusal::LogFailed => Some(30),
            _ => None,
        }
    }
}

impl From<CommitError> for Refusal {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Overloaded(why) => Refusal::Overloaded(why),
            CommitError::DiskReserve => Refusal::DiskReserve,
            CommitError::LogFailed(_) => Refusal::LogFailed,
            CommitError::Draining => Refusal::Draining,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = problem(self.status(), self.code(), &self.to_string(), json!({}));
        self.add_retry_after(&mut response);
        response
    }
}

impl Refusal {
    /// Sets `Retry-After` where [`Self::retry_after_s`] gives a value.
    pub(crate) fn add_retry_after(&self, response: &mut Response) {
        if let Some(seconds) = self.retry_after_s() {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
    }
}

/// A line that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Position in the request's list of lines, from 0.
    pub index: u32,
    /// The number a person would look for: line of the body or element of the array, from 1.
    pub line: u32,
    /// Stable code, such as `invalid_json`.
    pub code: &'static str,
    /// What is wrong, for a person; empty after the first [`LISTED_REJECTIONS`].
    pub message: String,
}

/// How many refused lines of a request are listed in the answer and kept as dead letters.
pub const LISTED_REJECTIONS: usize = 10_000;

impl Rejected {
    pub(crate) fn new(index: u32, line: u32, error: LineError) -> Self {
        Rejected {
            index,
            line,
            code: error.code.as_str(),
            message: error.message,
        }
    }
}

/// An RFC 9457 problem document with a stable `code`; members of `extra` are added to it.
pub fn problem(status: StatusCode, code: &str, detail: &str, extra: Value) -> Response {
    let mut body = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "code": code,
        "detail": detail,
    });
    if let (Value::Object(body), Value::Object(extra)) = (&mut body, extra) {
        body.extend(extra);
    }
    let headers = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, headers, body.to_string()).into_response()
}
