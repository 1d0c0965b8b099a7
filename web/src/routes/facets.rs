//! `GET /api/v1/facets`: the most frequent values of fields.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use watchfire_store::{Facet, MAX_FACET_FIELDS, MAX_FACET_VALUES};

use crate::error::{ApiError, Problem};
use crate::extract::{self, Params};
use crate::state::AppState;

const DEFAULT_TOP: usize = 10;

/// What to count.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FacetsParams {
    /// The query; empty is everything.
    q: Option<String>,
    /// Start of event time: RFC 3339, epoch milliseconds or `now-15m`.
    from: Option<String>,
    /// End of event time, exclusive.
    to: Option<String>,
    /// Fields by dotted name, separated by commas; at most 50.
    fields: String,
    /// Values of each field, 1 to 1,000; 10 by default.
    top: Option<usize>,
}

/// The most frequent values of each field.
#[derive(Debug, Serialize, ToSchema)]
pub struct FacetsAnswer {
    /// One for each field, in the order asked for.
    facets: Vec<FieldFacet>,
    /// Time taken, milliseconds.
    took_ms: f64,
}

/// The most frequent values of one field.
#[derive(Debug, Serialize, ToSchema)]
pub struct FieldFacet {
    /// The field.
    field: String,
    /// Distinct values among the matching events.
    distinct: u64,
    /// False when the counts are lower bounds.
    distinct_is_exact: bool,
    /// Greatest count first.
    values: Vec<ValueCount>,
    /// Matching events without the field.
    missing: u64,
}

/// A value and how many events have it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ValueCount {
    /// The value as text.
    value: String,
    /// Events that have it.
    count: u64,
}

impl From<(String, u64)> for ValueCount {
    fn from((value, count): (String, u64)) -> Self {
        ValueCount { value, count }
    }
}

impl From<Facet> for FieldFacet {
    fn from(facet: Facet) -> Self {
        FieldFacet {
            field: facet.field,
            distinct: facet.distinct,
            distinct_is_exact: facet.distinct_is_exact,
            values: facet.values.into_iter().map(ValueCount::from).collect(),
            missing: facet.missing,
        }
    }
}

/// Counts the values of fields.
#[utoipa::path(get, path = "/api/v1/facets", tag = "events", params(FacetsParams), responses(
    (status = 200, description = "Values with counts", body = FacetsAnswer),
    (status = 400, description = "invalid_query with position, invalid_parameter", body = Problem),
))]
pub async fn facets(
    State(state): State<AppState>,
    Params(params): Params<FacetsParams>,
) -> Result<Json<FacetsAnswer>, ApiError> {
    let query = state.query(params.q.as_deref())?;
    let range = extract::range(params.from.as_deref(), params.to.as_deref())?;
    let top = extract::count("top", params.top, DEFAULT_TOP, MAX_FACET_VALUES)?;
    let names = params
        .fields
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    let fields: Vec<String> = names.map(str::to_owned).collect();
    extract::count(
        "the number of fields",
        Some(fields.len()),
        1,
        MAX_FACET_FIELDS,
    )?;
    let started = Instant::now();
    let facets = state.store.facets(query, range, fields, top).await?;
    Ok(Json(FacetsAnswer {
        facets: facets.into_iter().map(FieldFacet::from).collect(),
        took_ms: super::elapsed_ms(started),
    }))
}
