//! `GET /api/v1/histogram`: how many events, over time.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use watchfire_event::time::to_rfc3339;
use watchfire_store::{Histogram, MAX_BUCKETS};

use super::facets::ValueCount;
use crate::error::{ApiError, Problem};
use crate::extract::{self, Params};
use crate::state::AppState;

const DEFAULT_BUCKETS: usize = 60;

/// What to count.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistogramParams {
    /// The query; empty is everything.
    q: Option<String>,
    /// Start of event time: RFC 3339, epoch milliseconds or `now-15m`.
    from: Option<String>,
    /// End of event time, exclusive.
    to: Option<String>,
    /// About how many buckets, 1 to 2,000; 60 by default.
    buckets: Option<usize>,
    /// A field whose most frequent values split each bucket.
    by: Option<String>,
}

/// Counts over time.
#[derive(Debug, Serialize, ToSchema)]
pub struct HistogramAnswer {
    /// Start of the first bucket, RFC 3339.
    from: String,
    /// End of the last bucket, exclusive.
    to: String,
    /// Width of a bucket, milliseconds.
    width_ms: f64,
    /// All buckets in order, empty ones too.
    buckets: Vec<HistogramBucket>,
    /// Time taken, milliseconds.
    took_ms: f64,
}

/// One bucket.
#[derive(Debug, Serialize, ToSchema)]
pub struct HistogramBucket {
    /// Its start, RFC 3339.
    from: String,
    /// Events in it.
    count: u64,
    /// By value of the field asked for, greatest first.
    by: Vec<ValueCount>,
}

impl HistogramAnswer {
    /// The wire form of the store's answer.
    pub fn new(histogram: Histogram, started: Instant) -> Self {
        let buckets = histogram.buckets.into_iter().map(|bucket| HistogramBucket {
            from: to_rfc3339(bucket.from_ns),
            count: bucket.count,
            by: bucket.by.into_iter().map(ValueCount::from).collect(),
        });
        HistogramAnswer {
            from: to_rfc3339(histogram.from_ns),
            to: to_rfc3339(histogram.to_ns),
            width_ms: histogram.width_ns as f64 / 1e6,
            buckets: buckets.collect(),
            took_ms: super::elapsed_ms(started),
        }
    }
}

/// Counts events over time.
#[utoipa::path(get, path = "/api/v1/histogram", tag = "events", params(HistogramParams), responses(
    (status = 200, description = "Counts over the part of the range that has data",
        body = HistogramAnswer),
    (status = 400, description = "invalid_query with position, invalid_parameter", body = Problem),
))]
pub async fn histogram(
    State(state): State<AppState>,
    Params(params): Params<HistogramParams>,
) -> Result<Json<HistogramAnswer>, ApiError> {
    let query = state.query(params.q.as_deref())?;
    let range = extract::range(params.from.as_deref(), params.to.as_deref())?;
    let buckets = extract::count("buckets", params.buckets, DEFAULT_BUCKETS, MAX_BUCKETS)?;
    let by = params.by.filter(|field| !field.is_empty());
    let started = Instant::now();
    let histogram = state.store.histogram(query, range, buckets, by).await?;
    Ok(Json(HistogramAnswer::new(histogram, started)))
}
