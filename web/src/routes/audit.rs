//! `GET /api/v1/audit`: who did what.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use watchfire_store::meta::{AuditHead, AuditRow};

use crate::error::ApiError;
use crate::extract::{self, Params};
use crate::state::AppState;

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1_000;

/// Which part of the trail.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditParams {
    /// Rows with a `seq` below this: for the next page, the last `seq` of this one.
    before: Option<u64>,
    /// Most rows, 1 to 1,000; 100 by default.
    limit: Option<usize>,
}

/// A part of the trail.
#[derive(Serialize, ToSchema)]
pub struct AuditAnswer {
    /// Newest first: seq, at, who, what, object, from_addr, detail, hash.
    #[schema(value_type = Vec<Object>)]
    rows: Vec<AuditRow>,
    /// The end of the hash chain; kept elsewhere, it proves later that no row was cut off.
    #[schema(value_type = Object)]
    head: AuditHead,
}

/// Lists the audit trail, newest first.
#[utoipa::path(get, path = "/api/v1/audit", tag = "management", params(AuditParams), responses(
    (status = 200, description = "Rows", body = AuditAnswer),
))]
pub async fn audit(
    State(state): State<AppState>,
    Params(params): Params<AuditParams>,
) -> Result<Json<AuditAnswer>, ApiError> {
    let limit = extract::count("limit", params.limit, DEFAULT_LIMIT, MAX_LIMIT)?;
    let rows = state.meta().list_audit(params.before, limit).await?;
    Ok(Json(AuditAnswer {
        rows,
        head: state.meta().audit_head().await?,
    }))
}
