//! `GET /api/v1/tail`: matching events as they are committed, as server-sent events.
//!
//! The store hands every batch to every tail through a bounded channel. A reader that falls
//! behind misses batches, and is told how many events those held; it never slows anything else.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::stream::{self, Stream, StreamExt};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{broadcast, watch};
use utoipa::IntoParams;
use watchfire_event::{EventBatch, Query};

use super::search::EventHit;
use crate::auth::{Auth, Caller, Principal};
use crate::error::{ApiError, Problem};
use crate::extract::{self, Params};
use crate::serve::Closing;
use crate::state::{AppState, Seat};

/// Hits sent of one batch; a person reads no faster, and the rest is counted.
const MAX_HITS_PER_BATCH: usize = 500;

const HEARTBEAT: Duration = Duration::from_secs(15);

/// What to follow.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TailParams {
    /// The query; empty is everything.
    q: Option<String>,
}

/// Follows matching events. Each is a `message` event with a hit as its data and its `_seq` as
/// its id; a `skipped` event (`{"events":n}`) says how many events a slow reader missed.
#[utoipa::path(get, path = "/api/v1/tail", tag = "events", params(TailParams), responses(
    (status = 200, description = "A stream of server-sent events", body = EventHit,
        content_type = "text/event-stream"),
    (status = 429, description = "too_many_streams", body = Problem),
))]
pub async fn tail(
    State(state): State<AppState>,
    caller: Caller,
    closing: Option<Extension<Closing>>,
    Params(params): Params<TailParams>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let feed = Feed {
        query: Arc::new(extract::query(params.q.as_deref())?),
        seat: state.seats.tail()?,
        batches: state.store.tail(),
        last_seq: state.store.head(),
        revocations: state.auth.revocations(),
        closing: closing.map(|Extension(closing)| closing),
        principal: caller.principal,
        auth: state.auth,
    };
    let events = stream::unfold(feed, |mut feed| async move {
        let events = feed.next().await?;
        Some((stream::iter(events.into_iter().map(Ok)), feed))
    });
    Ok(Sse::new(events.flatten()).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

struct Feed {
    query: Arc<Query>,
    batches: broadcast::Receiver<EventBatch>,
    /// The newest event this reader has passed.
    last_seq: u64,
    auth: Auth,
    principal: Principal,
    revocations: watch::Receiver<u64>,
    closing: Option<Closing>,
    #[expect(dead_code, reason = "held until the stream is dropped")]
    seat: Seat,
}

impl Feed {
    /// The events of the next batch that has any; none when the stream is over.
    async fn next(&mut self) -> Option<Vec<Event>> {
        loop {
            let closing = async {
                match &mut self.closing {
                    Some(closing) => closing.wait().await,
                    None => std::future::pending().await,
                }
            };
            let batch = tokio::select! {
                () = closing => return None,
                changed = self.revocations.changed() => {
                    changed.ok()?;
                    if self.auth.still_valid(&self.principal) { continue }
                    return None;
                }
                batch = self.batches.recv() => batch,
            };
            let batch = match batch {
                Ok(batch) => batch,
                // What was missed shows as a gap before the next batch's first event.
                Err(broadcast::error::RecvError::Lagged(_)) => continue,
                Err(broadcast::error::RecvError::Closed) => return None,
            };
            // A session may have run out meanwhile.
            if !self.auth.still_valid(&self.principal) {
                return None;
            }
            let events = self.events_of(batch).await?;
            if !events.is_empty() {
                return Some(events);
            }
        }
    }

    async fn events_of(&mut self, batch: EventBatch) -> Option<Vec<Event>> {
        let (first, last) = (batch.first_seq()?, batch.last_seq()?);
        let missed = first.saturating_sub(self.last_seq + 1);
        self.last_seq = self.last_seq.max(last);
        let query = self.query.clone();
        // Matching a large batch takes longer than the runtime should be held up for.
        let matching = tokio::task::spawn_blocking(move || hits(&query, &batch));
        let (hits, cut) = matching.await.ok()?;
        let mut events = Vec::with_capacity(hits.len() + 1);
        if missed + cut > 0 {
            metrics::counter!("watchfire_tail_skipped_events_total").increment(missed + cut);
            let data = json!({ "events": missed + cut });
            events.extend(Event::default().event("skipped").json_data(data));
        }
        for hit in hits {
            events.extend(Event::default().id(hit.seq().to_string()).json_data(hit));
        }
        Some(events)
    }
}

/// The newest matching rows, oldest first, and how many matching rows were left out.
fn hits(query: &Query, batch: &EventBatch) -> (Vec<EventHit>, u64) {
    let rows: Vec<usize> = query.matches(batch).set_indices().collect();
    let cut = rows.len().saturating_sub(MAX_HITS_PER_BATCH);
    let hits = rows
        .iter()
        .skip(cut)
        .map(|&row| EventHit::of_row(batch, row))
        .collect();
    (hits, cut as u64)
}
