//! Reading requests: query parameters, JSON bodies, times and queries, each refusal a problem.
//!
//! Unknown parameters and unknown fields are refused by the `deny_unknown_fields` of the types.

use std::time::Duration;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Query as UrlQuery, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use watchfire_event::query::{Lists, NoLists};
use watchfire_event::time::parse_bound;
use watchfire_event::{Query, TimeRange};

use crate::error::ApiError;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest query text, in bytes.
const MAX_QUERY_BYTES: usize = 16 << 10;

/// Query parameters.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read = UrlQuery::<T>::from_request_parts(parts, state).await;
        read.map(|UrlQuery(value)| Params(value))
            .map_err(|e: QueryRejection| {
                let text = e.body_text();
                let text = text
                    .strip_prefix("Failed to deserialize query string: ")
                    .unwrap_or(&text);
                ApiError::parameter(text)
            })
    }
}

/// A JSON body.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let reading = axum::Json::<T>::from_request(request, state);
        match tokio::time::timeout(BODY_TIMEOUT, reading).await {
            Ok(Ok(axum::Json(value))) => Ok(Json(value)),
            Ok(Err(rejection)) => Err(refused_body(&rejection)),
            Err(_) => Err(ApiError::new(
                StatusCode::REQUEST_TIMEOUT,
                "slow_body",
                format!("the body took longer than {} s", BODY_TIMEOUT.as_secs()),
            )),
        }
    }
}

fn refused_body(rejection: &JsonRejection) -> ApiError {
    let text = rejection.body_text();
    match rejection {
        JsonRejection::JsonDataError(_) => {
            let prefix = "Failed to deserialize the JSON body into the target type: ";
            ApiError::field(text.strip_prefix(prefix).unwrap_or(&text))
        }
        JsonRejection::JsonSyntaxError(_) => {
            ApiError::new(StatusCode::BAD_REQUEST, "invalid_json", text)
        }
        JsonRejection::MissingJsonContentType(_) => ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "the body must be application/json",
        ),
        other if other.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", text)
        }
        _ => ApiError::new(StatusCode::BAD_REQUEST, "invalid_body", text),
    }
}

/// The query text of a request that names no lists; absent or empty is everything.
pub fn query(text: Option<&str>) -> Result<Query, ApiError> {
    query_with(text, &NoLists)
}

/// As [`query`], with threat lists that it may name.
pub fn query_with(text: Option<&str>, lists: &dyn Lists) -> Result<Query, ApiError> {
    let text = text.unwrap_or_default();
    if text.len() > MAX_QUERY_BYTES {
        let detail = format!("the query is longer than {MAX_QUERY_BYTES} bytes");
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "query_limit",
            detail,
        ));
    }
    if text.trim().is_empty() {
        Ok(Query::all())
    } else {
        Ok(Query::parse_with(text, lists)?)
    }
}

/// The time range of a request, `from <= t < to`; an absent end is open.
pub fn range(from: Option<&str>, to: Option<&str>) -> Result<TimeRange, ApiError> {
    let now = crate::now_ns();
    let from_ns = bound("from", from, now)?.unwrap_or(TimeRange::ALL.from_ns);
    let to_ns = bound("to", to, now)?.unwrap_or(TimeRange::ALL.to_ns);
    if from_ns > to_ns {
        return Err(ApiError::parameter("from is after to"));
    }
    Ok(TimeRange { from_ns, to_ns })
}

/// One time of a request: RFC 3339, epoch digits, `now-15m`.
pub fn bound(name: &str, text: Option<&str>, now_ns: i64) -> Result<Option<i64>, ApiError> {
    let Some(text) = text.filter(|t| !t.is_empty()) else {
        return Ok(None);
    };
    match parse_bound(text, now_ns) {
        Some(ns) => Ok(Some(ns)),
        None => Err(ApiError::parameter(format!(
            "{name} must be RFC 3339, epoch milliseconds or like now-15m"
        ))),
    }
}

/// A count within bounds, or its default.
pub fn count(
    name: &str,
    given: Option<usize>,
    default: usize,
    max: usize,
) -> Result<usize, ApiError> {
    match given {
        None => Ok(default),
        Some(n) if (1..=max).contains(&n) => Ok(n),
        Some(_) => Err(ApiError::parameter(format!(
            "{name} must be from 1 to {max}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn times_are_read_in_every_form() {
        let r = range(Some("1760000000000"), Some("2025-10-09T08:53:21Z")).unwrap();
        assert_eq!(r.from_ns, 1_760_000_000_000_000_000);
        assert_eq!(r.to_ns, 1_760_000_001_000_000_000);
        assert!(range(Some("now-15m"), Some("now")).is_ok());
        assert_eq!(range(None, Some("")).unwrap(), TimeRange::ALL);
        assert_eq!(
            range(Some("soon"), None).unwrap_err().code(),
            "invalid_parameter"
        );
        assert_eq!(
            range(Some("now"), Some("now-1h")).unwrap_err().code(),
            "invalid_parameter"
        );
    }

    #[test]
    fn counts_have_bounds() {
        assert_eq!(count("limit", None, 50, 100).unwrap(), 50);
        assert_eq!(count("limit", Some(100), 50, 100).unwrap(), 100);
        assert!(count("limit", Some(0), 50, 100).is_err());
        assert!(count("limit", Some(101), 50, 100).is_err());
    }
}
