//! `GET /api/v1/fields`: what fields there are.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use watchfire_store::FieldInfo;

use crate::error::ApiError;
use crate::state::AppState;

/// All fields.
#[derive(Debug, Serialize, ToSchema)]
pub struct FieldsAnswer {
    /// By name.
    #[schema(value_type = Vec<FieldEntry>)]
    fields: Vec<FieldInfo>,
}

/// One field.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "documents the store's FieldInfo, which knows nothing of OpenAPI"
)]
pub struct FieldEntry {
    /// Its dotted name.
    name: String,
    /// Kinds of values seen: string, integer, float, boolean, strings, integers, json.
    types: Vec<String>,
    /// Values stored.
    events: u64,
    /// Distinct values, an estimate.
    distinct: u64,
    /// Added by a mapping, never sent by an event.
    mapped: bool,
}

/// Lists the fields of the stored events with their types and cardinality.
#[utoipa::path(get, path = "/api/v1/fields", tag = "events", responses(
    (status = 200, description = "All fields", body = FieldsAnswer),
))]
pub async fn fields(State(state): State<AppState>) -> Result<Json<FieldsAnswer>, ApiError> {
    Ok(Json(FieldsAnswer {
        fields: state.store.fields().await?,
    }))
}
