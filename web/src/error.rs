//! The one error of the HTTP edge: an RFC 9457 problem document with a stable `code`.
//!
//! Nothing internal leaves the process: the text of an unexpected failure is logged here, once,
//! under an id that the answer carries.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use watchfire_event::QueryError;
use watchfire_store::StoreError;
use watchfire_store::meta::MetaError;

/// What every handler fails with.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    detail: String,
    position: Option<usize>,
    retry_after_s: Option<u64>,
}

/// The body of every answer that is not a success (RFC 9457, `application/problem+json`).
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: the `code` says what kind of problem it is.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The status in words.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// Stable, for programs.
    pub code: &'static str,
    /// One sentence for people.
    pub detail: String,
    /// Where in the query the trouble is, in characters from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<usize>,
}

impl ApiError {
    /// An error with a stable `code` and a sentence for people.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            position: None,
            retry_after_s: None,
        }
    }

    /// 400 `invalid_parameter`.
    pub fn parameter(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_parameter", detail)
    }

    /// 422 `invalid_field`: well-formed JSON that says something impossible.
    pub fn field(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_field", detail)
    }

    /// 404 `not_found`.
    pub fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("there is no such {what}"),
        )
    }

    /// 409 `conflict`.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", detail)
    }

    /// 401 `unauthenticated`.
    pub fn unauthenticated() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "a valid token or session is needed",
        )
    }

    /// 403 with a `code` that says what was missing.
    pub fn forbidden(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, detail)
    }

    /// 429 with the seconds to wait.
    pub fn too_many(code: &'static str, detail: impl Into<String>, retry_after_s: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, code, detail).retry_after(retry_after_s)
    }

    /// 500 `internal`: the cause goes to the log under an id, the id to the caller.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        let id = format!("{:x}", crate::now_ns());
        tracing::error!(error_id = %id, cause = %cause, "a request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            format!("something went wrong on our side; the server's log names it {id}"),
        )
    }

    /// Adds `Retry-After`, in seconds.
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The sentence for people.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for ApiError {}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = Problem {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: self.detail,
            position: self.position,
        };
        let mut response = (self.status, Json(problem)).into_response();
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        if self.status == StatusCode::UNAUTHORIZED {
            // `Bearer` only: `Basic` would make browsers open their own password dialog.
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<QueryError> for ApiError {
    fn from(e: QueryError) -> Self {
        let mut error = Self::new(StatusCode::BAD_REQUEST, e.code, e.message);
        error.position = Some(e.position);
        error
    }
}

impl From<StoreError> for ApiError {
    fn from(e: StoreError) -> Self {
        use StatusCode as S;
        let code = e.code();
        match e {
            StoreError::Query(e) => e.into(),
            StoreError::QueryLimit(_) => Self::new(S::UNPROCESSABLE_ENTITY, code, e.to_string()),
            StoreError::InvalidRequest(_) | StoreError::Sql(_) => {
                Self::new(S::BAD_REQUEST, code, e.to_string())
            }
            StoreError::BackupRunning(_) => Self::new(S::CONFLICT, code, e.to_string()),
            StoreError::InvalidCursor => Self::new(S::BAD_REQUEST, code, e.to_string()),
            StoreError::Cancelled => {
                Self::new(S::SERVICE_UNAVAILABLE, "draining", "shutting down").retry_after(5)
            }
            e => Self::internal(e),
        }
    }
}

impl From<MetaError> for ApiError {
    fn from(e: MetaError) -> Self {
        match e {
            MetaError::NotFound(what) => Self::not_found(what),
            MetaError::Conflict(detail) => Self::conflict(detail),
            MetaError::Invalid(detail) => Self::field(detail),
            e => Self::internal(e),
        }
    }
}
