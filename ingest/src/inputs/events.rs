//! `POST /api/v1/events`: our own door, for an object, an array or NDJSON.

use axum::Router;
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use watchfire_event::Key;

use crate::decode::printable;
use crate::error::{LISTED_REJECTIONS, problem};
use crate::{Incoming, Ingest, Outcome, Refusal, Request, request_key, split};

/// Bytes of an `Idempotency-Key`.
const MAX_KEY_BYTES: usize = 1_024;
/// Bodies over this are cut into lines away from the async runtime.
const INLINE_BYTES: usize = 128 << 10;

pub(super) fn routes(router: Router<Ingest>) -> Router<Ingest> {
    router.route("/api/v1/events", post(take_events))
}

async fn take_events(State(ingest): State<Ingest>, request: HttpRequest) -> Response {
    match receive(&ingest, request).await {
        Ok(outcome) => answer(&outcome),
        Err(refusal) => {
            super::count_refusal("events", &refusal);
            refusal.into_response()
        }
    }
}

async fn receive(ingest: &Ingest, request: HttpRequest) -> Result<Outcome, Refusal> {
    let key = idempotency_key(request.headers())?;
    let incoming = ingest.read_body(request).await?;
    let key = key.map(|key| request_key(&incoming.source, &key));
    if let Some(kind) = foreign_media_type(&incoming.parts.headers, &incoming.body) {
        let refusal = Refusal::UnsupportedMediaType(kind);
        let Incoming {
            source,
            received_ns,
            body,
            ..
        } = incoming;
        ingest.keep_body(source, received_ns, &refusal, &body).await;
        return Err(refusal);
    }
    take_lines(ingest, incoming, key).await
}

/// Cuts a body into lines and submits them.
pub(super) async fn take_lines(
    ingest: &Ingest,
    incoming: Incoming,
    key: Option<Key>,
) -> Result<Outcome, Refusal> {
    let Incoming {
        source,
        received_ns,
        body,
        held,
        ..
    } = incoming;
    let max_lines = ingest.config().max_lines;
    let lines = if body.len() <= INLINE_BYTES {
        split(body, max_lines)?
    } else {
        tokio::task::spawn_blocking(move || split(body, max_lines))
            .await
            .unwrap_or(Err(Refusal::Internal))?
    };
    ingest
        .submit(Request {
            source,
            received_ns,
            key,
            lines,
            held: Some(held),
        })
        .await
}

/// Reads the `Idempotency-Key` header.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<Vec<u8>>, Refusal> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    if value.is_empty() || value.len() > MAX_KEY_BYTES {
        let message = format!("an Idempotency-Key has 1 to {MAX_KEY_BYTES} bytes");
        return Err(Refusal::InvalidRequest(message));
    }
    Ok(Some(value.as_bytes().to_vec()))
}

/// The content type, where neither it nor the body speaks for JSON. A wrong content type on a
/// JSON body is common among clients, and ignored.
fn foreign_media_type(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let value = String::from_utf8_lossy(headers.get(header::CONTENT_TYPE)?.as_bytes());
    let kind = value
        .split(';')
        .next()
        .unwrap_or("")
        .trim()
        .to_ascii_lowercase();
    let open = [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/octet-stream",
    ];
    if kind.contains("json") || open.contains(&kind.as_str()) {
        return None;
    }
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let first = body.iter().find(|b| !b.is_ascii_whitespace());
    (!matches!(first, Some(b'{' | b'['))).then(|| printable(&kind))
}

/// 200 when any line is stored now or was before, else 400; the counts are the same in both.
fn answer(outcome: &Outcome) -> Response {
    let listed = outcome.rejected.iter().take(LISTED_REJECTIONS);
    let rejected: Vec<Value> = listed
        .map(|r| json!({"line": r.line, "code": r.code, "message": r.message}))
        .collect();
    let mut body = json!({
        "accepted": outcome.accepted,
        "duplicate": outcome.duplicates.len(),
        "rejected": rejected,
        "receipt": outcome.receipt,
    });
    let unlisted = outcome.rejected.len().saturating_sub(LISTED_REJECTIONS);
    if unlisted > 0 {
        body["rejected_unlisted"] = unlisted.into();
    }
    if outcome.accepted + outcome.duplicates.len() > 0 {
        return axum::Json(body).into_response();
    }
    let detail = match outcome.rejected.first() {
        None => "the body holds no line".to_owned(),
        Some(first) => format!("line {}: {}", first.line, first.message),
    };
    problem(StatusCode::BAD_REQUEST, "no_usable_line", &detail, body)
}
