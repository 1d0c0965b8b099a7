//! `GET /api/v1/search`: a page of events.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use watchfire_event::EventBatch;
use watchfire_event::time::to_rfc3339;
use watchfire_store::{Cursor, Hit, MAX_PAGE, Order, SearchRequest};

use crate::error::{ApiError, Problem};
use crate::extract::{self, Params};
use crate::state::AppState;

/// Hits of a page when the request does not say.
const DEFAULT_LIMIT: usize = 100;

/// What to search for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SearchParams {
    /// The query; empty is everything.
    q: Option<String>,
    /// Start of event time: RFC 3339, epoch milliseconds or `now-15m`.
    from: Option<String>,
    /// End of event time, exclusive.
    to: Option<String>,
    /// Most hits to return, 1 to 10,000; 100 by default.
    limit: Option<usize>,
    /// `cursor` of the page before.
    cursor: Option<String>,
    /// Newest first by default.
    order: Option<SortOrder>,
}

/// Which end of time comes first.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SortOrder {
    /// Newest first.
    #[default]
    Desc,
    /// Oldest first.
    Asc,
}

/// A page of events.
#[derive(Debug, Serialize, ToSchema)]
pub struct SearchAnswer {
    /// The events.
    hits: Vec<EventHit>,
    /// Matching events in the whole range.
    total: u64,
    /// False when `total` is a lower bound.
    total_is_exact: bool,
    /// Events looked at.
    searched: u64,
    /// Damaged segments were left out; `GET /api/v1/status` names them.
    partial: bool,
    /// Time taken, milliseconds.
    took_ms: f64,
    /// For the next page; null on the last.
    cursor: Option<String>,
}

/// One event.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventHit {
    /// Sequence number: unique, in order of arrival.
    #[serde(rename = "_seq")]
    seq: u64,
    /// Event time, RFC 3339.
    #[serde(rename = "_time")]
    time: String,
    /// When it was received, RFC 3339.
    #[serde(rename = "_received")]
    received: String,
    /// Name of the token that shipped it.
    #[serde(rename = "_source")]
    source: Option<String>,
    /// What was odd about it.
    #[serde(rename = "_flags")]
    flags: Vec<String>,
    /// The event as it came.
    #[schema(value_type = Object)]
    event: serde_json::Value,
    /// Fields added, by dotted name.
    #[schema(value_type = Object)]
    mapped: serde_json::Map<String, serde_json::Value>,
}

impl From<Hit> for EventHit {
    fn from(hit: Hit) -> Self {
        EventHit {
            seq: hit.seq,
            time: to_rfc3339(hit.time_ns),
            received: to_rfc3339(hit.received_ns),
            source: hit.source,
            flags: hit.flags,
            event: hit.event,
            mapped: hit.mapped,
        }
    }
}

impl EventHit {
    /// One row of a batch.
    pub fn of_row(batch: &EventBatch, row: usize) -> Self {
        EventHit {
            seq: batch.seq().value(row),
            time: to_rfc3339(batch.time().value(row)),
            received: to_rfc3339(batch.received().value(row)),
            source: batch.source(row).map(|source| source.to_string()),
            flags: batch.flags(row),
            event: batch.event_json(row),
            mapped: batch.mapped_json(row),
        }
    }

    /// Its sequence number.
    pub fn seq(&self) -> u64 {
        self.seq
    }
}

/// Finds events, newest first.
#[utoipa::path(get, path = "/api/v1/search", tag = "events", params(SearchParams), responses(
    (status = 200, description = "A page of events", body = SearchAnswer),
    (status = 400, description = "invalid_query with position, invalid_parameter", body = Problem),
))]
pub async fn search(
    State(state): State<AppState>,
    Params(params): Params<SearchParams>,
) -> Result<Json<SearchAnswer>, ApiError> {
    let request = SearchRequest {
        query: state.query(params.q.as_deref())?,
        range: extract::range(params.from.as_deref(), params.to.as_deref())?,
        limit: extract::count("limit", params.limit, DEFAULT_LIMIT, MAX_PAGE)?,
        cursor: params.cursor.map(|c| c.parse::<Cursor>()).transpose()?,
        order: match params.order.unwrap_or_default() {
            SortOrder::Desc => Order::NewestFirst,
            SortOrder::Asc => Order::OldestFirst,
        },
    };
    let started = Instant::now();
    let page = state.store.search(request).await?;
    Ok(Json(SearchAnswer {
        hits: page.hits.into_iter().map(EventHit::from).collect(),
        total: page.total,
        total_is_exact: page.total_is_exact,
        searched: page.searched,
        partial: page.partial,
        took_ms: super::elapsed_ms(started),
        cursor: page.cursor.map(|c| c.to_string()),
    }))
}
