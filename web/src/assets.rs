//! The pages, embedded in the binary.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "ui/"]
struct Files;

/// The page that all addresses of the application share.
const INDEX: &str = "index.html";

/// Content types by extension; nothing else is served.
const TYPES: &[(&str, &str)] = &[
    ("html", "text/html; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("ico", "image/x-icon"),
    ("woff2", "font/woff2"),
    ("json", "application/json"),
    ("txt", "text/plain; charset=utf-8"),
];

/// The file under `/ui/`, or none.
pub fn file(path: &str, request: &HeaderMap) -> Option<Response> {
    let name = path.strip_prefix("/ui/")?;
    let extension = name
        .rsplit_once('.')
        .map_or("txt", |(_, extension)| extension);
    let (_, kind) = TYPES.iter().find(|(known, _)| *known == extension)?;
    Some(respond(&Files::get(name)?, kind, request))
}

/// The application's page; it reads the address itself. For the root of the server too, whose
/// door belongs to Elasticsearch clients as well.
pub fn index(request: &HeaderMap) -> Response {
    match Files::get(INDEX) {
        Some(file) => respond(&file, "text/html; charset=utf-8", request),
        None => (StatusCode::NOT_FOUND, "this build has no pages").into_response(),
    }
}

fn respond(file: &EmbeddedFile, kind: &'static str, request: &HeaderMap) -> Response {
    let tag: String = file
        .metadata
        .sha256_hash()
        .iter()
        .take(16)
        .map(hex)
        .collect();
    let tag = format!("\"{tag}\"");
    // The browser asks every time and is answered without a body until the next release.
    let caching = [
        (header::ETAG, tag.clone()),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
    ];
    let known = request
        .get(header::IF_NONE_MATCH)
        .and_then(|v| v.to_str().ok());
    if known.is_some_and(|tags| tags.split(',').any(|t| t.trim() == tag)) {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    let body = file.data.clone().into_owned();
    (caching, [(header::CONTENT_TYPE, kind)], body).into_response()
}

fn hex(byte: &u8) -> String {
    format!("{byte:02x}")
}
