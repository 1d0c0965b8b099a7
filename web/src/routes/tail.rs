//! `GET /api/v1/tail`: matching events as they are committed, as server-sent events.
//!
//! The store hands every batch to a task of every tail, which matches it at once and lets go of
//! it. The hits wait in a bounded queue: a reader that falls behind misses the oldest and is told
//! how many; it never slows anything else, nor keeps batches in memory.

mod queue;

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
use tokio::task::JoinHandle;
use utoipa::IntoParams;
use watchfire_event::{EventBatch, Query};

use self::queue::{Hits, Next, Queue};
use super::search::EventHit;
use crate::auth::{Auth, Caller, Principal};
use crate::error::{ApiError, Problem};
use crate::extract::Params;
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
    let query = Arc::new(state.query(params.q.as_deref())?);
    let seat = state.seats.tail()?;
    let feed = Feed {
        query,
        queue: Arc::default(),
        batches: state.store.tail(),
        last_seq: state.store.head(),
        revocations: state.auth.revocations(),
        closing: closing.map(|Extension(closing)| closing),
        principal: caller.principal,
        auth: state.auth,
    };
    let reader = Reader {
        queue: feed.queue.clone(),
        task: tokio::spawn(feed.run()),
        seat,
    };
    let events = stream::unfold(reader, |reader| async move {
        let events = events_of(reader.queue.next().await?);
        Some((stream::iter(events.into_iter().map(Ok)), reader))
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
    queue: Arc<Queue>,
}

/// The reader's end. With it the task ends and the seat is free.
struct Reader {
    queue: Arc<Queue>,
    task: JoinHandle<()>,
    #[expect(dead_code, reason = "held until the stream is dropped")]
    seat: Seat,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Feed {
    async fn run(mut self) {
        while let Some(batch) = self.next().await {
            if self.take(batch).await.is_none() {
                break;
            }
        }
        self.queue.end();
    }

    /// The next batch; none when the tail is over.
    async fn next(&mut self) -> Option<EventBatch> {
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
            match batch {
                // A session may have run out meanwhile.
                Ok(batch) => return self.auth.still_valid(&self.principal).then_some(batch),
                // What was missed shows as a gap before the next batch's first event.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// Queues the hits of a batch. None when matching failed.
    async fn take(&mut self, batch: EventBatch) -> Option<()> {
        let (Some(first), Some(last)) = (batch.first_seq(), batch.last_seq()) else {
            return Some(());
        };
        let missed = first.saturating_sub(self.last_seq + 1);
        self.last_seq = self.last_seq.max(last);
        let query = self.query.clone();
        // Matching a large batch takes longer than the runtime should be held up for.
        let matching = tokio::task::spawn_blocking(move || hits(&query, &batch));
        let (hits, cut) = matching.await.ok()?;
        self.queue.push(missed + cut, hits);
        Some(())
    }
}

fn events_of(next: Next) -> Vec<Event> {
    match next {
        Next::Skipped(events) => {
            metrics::counter!("watchfire_tail_skipped_events_total").increment(events);
            let data = json!({ "events": events });
            let event = Event::default().event("skipped").data(data.to_string());
            vec![event]
        }
        Next::Hits(hits) => {
            let event =
                |(seq, json): (u64, String)| Event::default().id(seq.to_string()).data(json);
            hits.into_iter().map(event).collect()
        }
    }
}

/// The newest matching rows, oldest first, and how many matching rows were left out.
fn hits(query: &Query, batch: &EventBatch) -> (Hits, u64) {
    let rows: Vec<usize> = query.matches(batch).set_indices().collect();
    let cut = rows.len().saturating_sub(MAX_HITS_PER_BATCH);
    let hit = |&row: &usize| {
        let hit = EventHit::of_row(batch, row);
        Some((hit.seq(), serde_json::to_string(&hit).ok()?))
    };
    let hits = rows.iter().skip(cut).filter_map(hit).collect();
    (hits, cut as u64)
}
