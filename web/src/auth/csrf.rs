//! Refuses requests that another site made a browser send (OWASP ASVS 5.0 3.5.1-3).
//!
//! A cookie alone never changes anything: the page must also send `X-Watchfire: 1`, which another
//! site cannot without a CORS preflight that we never grant, and say that a body is JSON.

use axum::http::{HeaderMap, Method, header};

use crate::error::ApiError;

/// The header that our own pages send with every change.
pub const HEADER: &str = "x-watchfire";

/// For requests that a session cookie authenticates.
pub(super) fn check_session(method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
    check_site(headers)?;
    if method.is_safe() {
        return Ok(());
    }
    if headers.get(HEADER).is_none_or(|v| v != "1") {
        return Err(refusal(
            "a change by session cookie needs the header X-Watchfire: 1",
        ));
    }
    check_json(headers)
}

/// For changes without any credential, which is login: another site must not be able to log its
/// visitor in as somebody else.
pub(super) fn check_public(method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
    if method.is_safe() {
        return Ok(());
    }
    check_site(headers)?;
    check_json(headers)
}

/// Browsers say where a request comes from; other clients say nothing.
fn check_site(headers: &HeaderMap) -> Result<(), ApiError> {
    match headers.get("sec-fetch-site") {
        None => check_origin(headers),
        Some(site) if site == "same-origin" || site == "none" => Ok(()),
        Some(_) => Err(refusal("the request comes from another site")),
    }
}

/// For browsers without `Sec-Fetch-Site`: the origin's host must be the one that was asked.
fn check_origin(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let origin = origin
        .to_str()
        .ok()
        .and_then(|o| o.split_once("://"))
        .map(|(_, host)| host);
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok());
    match (origin, host) {
        (Some(origin), Some(host)) if origin.eq_ignore_ascii_case(host) => Ok(()),
        _ => Err(refusal("the request comes from another site")),
    }
}

fn check_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let has_body = headers.contains_key(header::TRANSFER_ENCODING)
        || headers
            .get(header::CONTENT_LENGTH)
            .is_some_and(|n| n != "0");
    let kind = headers.get(header::CONTENT_TYPE);
    if !has_body && kind.is_none() {
        return Ok(());
    }
    let essence = kind
        .and_then(|k| k.to_str().ok())
        .map(|k| k.split(';').next().unwrap_or(k));
    match essence {
        Some(kind) if kind.trim().eq_ignore_ascii_case("application/json") => Ok(()),
        _ => Err(refusal("the body must be application/json")),
    }
}

fn refusal(detail: &str) -> ApiError {
    ApiError::forbidden("cross_site", detail)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn headers(text: &str) -> HeaderMap {
        let mut map = HeaderMap::new();
        for line in text.split(" | ").filter(|l| !l.is_empty()) {
            let (name, value) = line.split_once(": ").unwrap();
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.insert(name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    #[test]
    fn changes_by_cookie() {
        let ours = "x-watchfire: 1 | sec-fetch-site: same-origin";
        let table = [
            (
                Method::POST,
                format!("{ours} | content-type: application/json"),
                true,
            ),
            (
                Method::POST,
                format!("{ours} | content-type: application/json; charset=utf-8"),
                true,
            ),
            (Method::DELETE, ours.to_owned(), true),
            (
                Method::POST,
                format!("{ours} | content-type: text/plain"),
                false,
            ),
            (Method::POST, format!("{ours} | content-length: 9"), false),
            (
                Method::POST,
                "content-type: application/json".to_owned(),
                false,
            ),
            (
                Method::POST,
                "x-watchfire: 2 | content-type: application/json".to_owned(),
                false,
            ),
            (
                Method::POST,
                "x-watchfire: 1 | sec-fetch-site: cross-site".to_owned(),
                false,
            ),
            (
                Method::POST,
                "x-watchfire: 1 | sec-fetch-site: same-site".to_owned(),
                false,
            ),
            (
                Method::POST,
                "x-watchfire: 1 | origin: http://a:1 | host: a:1".to_owned(),
                true,
            ),
            (
                Method::POST,
                "x-watchfire: 1 | origin: http://b:1 | host: a:1".to_owned(),
                false,
            ),
            (
                Method::POST,
                "x-watchfire: 1 | origin: null | host: a:1".to_owned(),
                false,
            ),
            (Method::GET, String::new(), true),
            (Method::GET, "sec-fetch-site: cross-site".to_owned(), false),
        ];
        for (method, text, ok) in table {
            assert_eq!(
                check_session(&method, &headers(&text)).is_ok(),
                ok,
                "{method} {text}"
            );
        }
    }

    #[test]
    fn login_needs_json_and_the_same_site() {
        let table = [
            ("content-type: application/json", true),
            ("content-type: application/x-www-form-urlencoded", false),
            (
                "content-type: application/json | sec-fetch-site: cross-site",
                false,
            ),
            ("content-length: 12", false),
        ];
        for (text, ok) in table {
            assert_eq!(
                check_public(&Method::POST, &headers(text)).is_ok(),
                ok,
                "{text}"
            );
        }
    }
}
