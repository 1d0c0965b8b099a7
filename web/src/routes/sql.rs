//! `POST /api/v1/sql`: read-only SQL over the tables `events` and `_alerts`.

use std::time::Instant;

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use watchfire_store::{SqlLimits, SqlRows, StoreError};

use crate::encode::{self, ArrowIpc, EncodeError, json_cell, type_name};
use crate::error::{ApiError, Problem};
use crate::extract::{self, Json};
use crate::state::AppState;

const ARROW_STREAM: &str = "application/vnd.apache.arrow.stream";
const DEFAULT_ROWS: usize = 10_000;
const MAX_ROWS: usize = 100_000;
/// Bytes that the rows of a JSON answer take in memory, about.
const MAX_JSON_BYTES: usize = 256 << 20;
/// An Arrow stream is not held in memory, so it may be longer.
const MAX_STREAM_ROWS: usize = 10_000_000;

/// A query.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SqlRequest {
    /// One `SELECT` (or `EXPLAIN`) over the tables `events` and `_alerts`.
    sql: String,
    /// Most rows in a JSON answer, 1 to 100,000; 10,000 by default.
    limit: Option<usize>,
}

/// Rows.
#[derive(Debug, Serialize, ToSchema)]
pub struct SqlAnswer {
    /// Columns in order.
    columns: Vec<SqlColumn>,
    /// One array a row, one value a column.
    #[schema(value_type = Vec<Vec<Object>>)]
    rows: Vec<Vec<serde_json::Value>>,
    /// Number of rows here.
    row_count: usize,
    /// There were more rows than the limit.
    truncated: bool,
    /// Something is missing: a damaged segment, or alerts older than the newest 100,000.
    partial: bool,
    /// Time taken, milliseconds.
    took_ms: f64,
}

/// A column of the answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct SqlColumn {
    /// Its name.
    name: String,
    /// string, integer, float, boolean, time, list<...>.
    #[serde(rename = "type")]
    kind: String,
}

/// Runs a query. With `Accept: application/vnd.apache.arrow.stream` the answer is an Arrow stream.
#[utoipa::path(post, path = "/api/v1/sql", tag = "events", request_body = SqlRequest, responses(
    (status = 200, description = "Rows", body = SqlAnswer),
    (status = 400, description = "sql_error", body = Problem),
    (status = 422, description = "query_limit", body = Problem),
))]
pub async fn sql(
    State(state): State<AppState>,
    headers: HeaderMap,
    Json(request): Json<SqlRequest>,
) -> Result<Response, ApiError> {
    let limit = extract::count("limit", request.limit, DEFAULT_ROWS, MAX_ROWS)?;
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let as_arrow = accept.contains(ARROW_STREAM);
    let started = Instant::now();
    // A JSON answer stops reading at its own limit.
    let limits = SqlLimits {
        max_rows: MAX_STREAM_ROWS,
        ..SqlLimits::default()
    };
    let rows = state.store.sql(&request.sql, limits).await?;
    if as_arrow {
        let encoder = ArrowIpc::new(&rows.schema).map_err(ApiError::internal)?;
        let batches = rows.batches.map(|batch| batch.map_err(StoreError::from));
        let partial = super::partial(rows.partial);
        let body = encode::body(batches, encoder, ()).await?;
        return Ok((partial, [(header::CONTENT_TYPE, ARROW_STREAM)], body).into_response());
    }
    let answer = collect(rows, limit, started).await?;
    Ok((super::partial(answer.partial), JsonAnswer(answer)).into_response())
}

async fn collect(rows: SqlRows, limit: usize, started: Instant) -> Result<SqlAnswer, ApiError> {
    let fields = rows.schema.fields().iter();
    let columns = fields
        .map(|f| SqlColumn {
            name: f.name().clone(),
            kind: type_name(f.data_type()),
        })
        .collect();
    let mut batches = rows.batches;
    let mut out: Vec<Vec<serde_json::Value>> = Vec::new();
    let (mut truncated, mut bytes) = (false, 0);
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(StoreError::from)?;
        let room = limit - out.len();
        truncated |= batch.num_rows() > room;
        let batch = batch.slice(0, batch.num_rows().min(room));
        let converting = tokio::task::spawn_blocking(move || {
            let row = |r| batch.columns().iter().map(|c| json_cell(c, r)).collect();
            (0..batch.num_rows())
                .map(row)
                .collect::<Result<Vec<Vec<_>>, _>>()
        });
        let converted = converting.await.map_err(ApiError::internal)?;
        let converted = converted.map_err(EncodeError::from);
        let converted = converted.map_err(ApiError::internal)?;
        bytes += converted.iter().flatten().map(weight).sum::<usize>();
        if bytes > MAX_JSON_BYTES {
            let what = "the rows are too large for JSON; ask for fewer, or for an Arrow stream";
            return Err(StoreError::QueryLimit(what.into()).into());
        }
        out.extend(converted);
        if truncated {
            break;
        }
    }
    let took_ms = super::elapsed_ms(started);
    Ok(SqlAnswer {
        columns,
        row_count: out.len(),
        rows: out,
        truncated,
        partial: rows.partial,
        took_ms,
    })
}

/// Bytes that a value takes in memory, about.
fn weight(value: &serde_json::Value) -> usize {
    let inside = match value {
        serde_json::Value::String(text) => text.len(),
        serde_json::Value::Array(members) => members.iter().map(weight).sum(),
        _ => 0,
    };
    size_of::<serde_json::Value>() + inside
}
