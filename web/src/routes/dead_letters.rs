//! `GET /api/v1/dead-letters`: what was refused at the doors, byte for byte.

use axum::Json;
use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use watchfire_event::time::to_rfc3339;
use watchfire_store::log::dead::StoredLetter;

use crate::error::ApiError;
use crate::extract::{self, Params};
use crate::state::AppState;

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 500;

/// Which refused lines to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LettersParams {
    /// `cursor` of the page before.
    cursor: Option<String>,
    /// Most lines, 1 to 500; 50 by default.
    limit: Option<usize>,
}

/// Refused lines.
#[derive(Debug, Serialize, ToSchema)]
pub struct LettersAnswer {
    /// Newest first.
    letters: Vec<Letter>,
    /// For the next page; null on the last.
    cursor: Option<String>,
}

/// A line, or a body as a whole, that was refused.
#[derive(Debug, Serialize, ToSchema)]
pub struct Letter {
    /// Names it as long as it is kept.
    id: String,
    /// When it was received, RFC 3339.
    received: String,
    /// Name of the token that shipped it.
    source: String,
    /// Line number in the request, from 1; 0 for the body as a whole.
    line: u32,
    /// Why: `invalid_json`, `too_deep` and so on.
    code: String,
    /// The bytes as text, with a replacement character for what is not UTF-8.
    text: String,
    /// The bytes as received (at most 64 KiB of them), base64.
    base64: String,
}

impl From<StoredLetter> for Letter {
    fn from(stored: StoredLetter) -> Self {
        Letter {
            received: to_rfc3339(stored.received_ns),
            text: String::from_utf8_lossy(&stored.bytes).into_owned(),
            base64: STANDARD.encode(&stored.bytes),
            id: stored.id,
            source: stored.source,
            line: stored.line,
            code: stored.code,
        }
    }
}

/// Lists refused lines, newest first. The store of them is bounded; the oldest go first.
#[utoipa::path(get, path = "/api/v1/dead-letters", tag = "events", params(LettersParams), responses(
    (status = 200, description = "Refused lines", body = LettersAnswer),
))]
pub async fn list(
    State(state): State<AppState>,
    Params(params): Params<LettersParams>,
) -> Result<Json<LettersAnswer>, ApiError> {
    let limit = extract::count("limit", params.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    let store = state.store.clone();
    let reading = tokio::task::spawn_blocking(move || {
        store.list_dead_letters(params.cursor.as_deref(), limit)
    });
    let stored = reading.await.map_err(ApiError::internal)??;
    let letters: Vec<Letter> = stored.into_iter().map(Letter::from).collect();
    let cursor = letters
        .last()
        .filter(|_| letters.len() == limit)
        .map(|l| l.id.clone());
    Ok(Json(LettersAnswer { letters, cursor }))
}
