//! `/api/v1/erasures`: removing events for good, with a proof.

use axum::Json as JsonAnswer;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use watchfire_store::EraseRequest;
use watchfire_store::meta::Erasure;

use crate::auth::Caller;
use crate::error::{ApiError, Problem};
use crate::extract::{self, Json};
use crate::state::AppState;

/// Events to erase.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ErasureRequest {
    /// Which events, of those that are there now.
    query: String,
    /// Only those with an event time from then on: RFC 3339, epoch milliseconds or `now-90d`.
    from: Option<String>,
    /// Only those with an event time before.
    to: Option<String>,
    /// Why, 1 to 1,000 characters. Kept for good, so it must not hold what is to be erased.
    reason: String,
    /// Must be true where the query matches every event.
    #[serde(default)]
    all: bool,
}

/// All erasures.
#[derive(Serialize, ToSchema)]
pub struct ErasuresAnswer {
    /// Newest first.
    #[schema(value_type = Vec<Object>)]
    erasures: Vec<Erasure>,
}

/// Hides the events at once and begins to remove every byte of them. For good.
#[utoipa::path(post, path = "/api/v1/erasures", tag = "management", request_body = ErasureRequest,
    responses(
    (status = 202, description = "The erasure: id, status, query_hash, up_to_seq", body = Object),
    (status = 400, description = "invalid_query with position, invalid_request", body = Problem),
))]
pub async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Json(request): Json<ErasureRequest>,
) -> Result<(StatusCode, JsonAnswer<Erasure>), ApiError> {
    let erase = EraseRequest {
        query: extract::query(Some(&request.query))?,
        range: extract::range(request.from.as_deref(), request.to.as_deref())?,
        all: request.all,
        reason: request.reason,
        by: caller.principal.name.to_string(),
        from_addr: Some(caller.address.to_string()),
    };
    let begun = state.store.erase(erase).await?;
    Ok((StatusCode::ACCEPTED, JsonAnswer(begun)))
}

/// Lists erasures, newest first.
#[utoipa::path(get, path = "/api/v1/erasures", tag = "management", responses(
    (status = 200, description = "All erasures", body = ErasuresAnswer),
))]
pub async fn list(State(state): State<AppState>) -> Result<JsonAnswer<ErasuresAnswer>, ApiError> {
    let erasures = state.store.erasures().await?;
    Ok(JsonAnswer(ErasuresAnswer { erasures }))
}

/// One erasure: where it stands and, once it is done, what was removed.
#[utoipa::path(get, path = "/api/v1/erasures/{id}", tag = "management",
    params(("id" = String, Path, description = "The erasure's id")), responses(
    (status = 200, description = "The erasure", body = Object),
    (status = 404, description = "not_found", body = Problem),
))]
pub async fn get(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<JsonAnswer<Erasure>, ApiError> {
    Ok(JsonAnswer(state.store.erasure(&id).await?))
}
