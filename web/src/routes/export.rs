//! `GET /api/v1/export`: everything that matches, as a download.

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use chrono::DateTime;
use futures::StreamExt;
use serde::Deserialize;
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use watchfire_store::StoreError;

use crate::auth::Caller;
use crate::encode::{self, ArrowIpc, Csv, Ndjson, Parquet};
use crate::error::{ApiError, Problem};
use crate::extract::{self, Params};
use crate::state::AppState;

/// What to export.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExportParams {
    /// The query; empty is everything.
    q: Option<String>,
    /// Start of event time: RFC 3339, epoch milliseconds or `now-15m`.
    from: Option<String>,
    /// End of event time, exclusive.
    to: Option<String>,
    /// `ndjson` by default.
    format: Option<Format>,
}

/// The format of a download.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One event a line, as it came.
    #[default]
    Ndjson,
    /// One column a field, safe to open in a spreadsheet.
    Csv,
    /// One column a field.
    Parquet,
    /// One column a field, as an Arrow IPC stream.
    Arrow,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Format::Ndjson => "ndjson",
            Format::Csv => "csv",
            Format::Parquet => "parquet",
            Format::Arrow => "arrow",
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Format::Ndjson => "application/x-ndjson",
            Format::Csv => "text/csv; charset=utf-8; header=present",
            Format::Parquet => "application/vnd.apache.parquet",
            Format::Arrow => "application/vnd.apache.arrow.stream",
        }
    }
}

/// Streams all matching events, oldest first. A failure midway cuts the connection, so that what
/// came does not look complete. `Watchfire-Partial: true` says that a damaged segment is left out.
#[utoipa::path(get, path = "/api/v1/export", tag = "events", params(ExportParams), responses(
    (status = 200, description = "A download", body = String,
        content_type = "application/x-ndjson"),
    (status = 400, description = "invalid_query with position", body = Problem),
    (status = 429, description = "too_many_streams", body = Problem),
))]
pub async fn export(
    State(state): State<AppState>,
    caller: Caller,
    Params(params): Params<ExportParams>,
) -> Result<Response, ApiError> {
    let query = state.query(params.q.as_deref())?;
    let range = extract::range(params.from.as_deref(), params.to.as_deref())?;
    let format = params.format.unwrap_or_default();
    let seat = state.seats.export()?;
    // Taking data out is an action worth remembering, unlike looking.
    let detail = json!({ "format": format.name(), "from": params.from, "to": params.to });
    state
        .auth
        .audit(&caller, "events.export", query.text(), detail)
        .await?;

    let is_partial = state.store.is_partial();
    let body: Body = match format {
        Format::Ndjson => {
            let batches = state.store.export_events(query, range).await?;
            encode::body(batches, Ndjson, seat).await?
        }
        Format::Csv | Format::Parquet | Format::Arrow => {
            let records = state.store.export_records(query, range).await?;
            let schema = records.schema();
            let records = records.map(|batch| batch.map_err(StoreError::from));
            if format == Format::Csv {
                encode::body(records, Csv::new(schema), seat).await?
            } else if format == Format::Parquet {
                let encoder = Parquet::new(schema).map_err(ApiError::internal)?;
                encode::body(records, encoder, seat).await?
            } else {
                let encoder = ArrowIpc::new(&schema).map_err(ApiError::internal)?;
                encode::body(records, encoder, seat).await?
            }
        }
    };
    let time = DateTime::from_timestamp_nanos(crate::now_ns()).format("%Y%m%dT%H%M%SZ");
    let name = format!(
        "attachment; filename=\"watchfire-{time}.{}\"",
        format.name()
    );
    let headers = [
        (header::CONTENT_TYPE, format.content_type().to_owned()),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((super::partial(is_partial), headers, body).into_response())
}
