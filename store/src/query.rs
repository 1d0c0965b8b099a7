//! From async callers to queries on threads: a place in the queue, a deadline, a cancel.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::StoreError;
use crate::memtable::View;
use crate::search::{Job, MatchCache};
use crate::shared::Shared;

/// Wall clock of one query, waiting included.
const QUERY_TIME: Duration = Duration::from_secs(10);

/// Runs `work` on a blocking thread over the view as it is then. When the caller goes away, the
/// work stops at its next look at the job.
pub(crate) async fn run<R: Send + 'static>(
    shared: &Arc<Shared>,
    kind: &'static str,
    work: impl FnOnce(&View, &Job, &MatchCache) -> Result<R, StoreError> + Send + 'static,
) -> Result<R, StoreError> {
    let started = Instant::now();
    let (job, _guard) = Job::new(QUERY_TIME);
    let place = tokio::time::timeout(QUERY_TIME, shared.queries.clone().acquire_owned()).await;
    let place = match place {
        Ok(place) => place.map_err(|_| StoreError::Cancelled)?,
        Err(_) => return Err(StoreError::QueryLimit("too many queries at once".into())),
    };
    let for_work = shared.clone();
    let joined = tokio::task::spawn_blocking(move || {
        let _place = place;
        work(&for_work.view.get(), &job, &for_work.cache)
    })
    .await;
    warm(shared);
    metrics::histogram!("watchfire_query_seconds", "kind" => kind)
        .record(started.elapsed().as_secs_f64());
    joined.map_err(|e| StoreError::Internal(format!("query: {e}")))?
}

/// Reads ahead what the queries so far make likely to be asked next; one thread at most.
fn warm(shared: &Arc<Shared>) {
    if !shared.cache.columns.is_wanting() {
        return;
    }
    let Ok(place) = shared.warming.clone().try_acquire_owned() else {
        return;
    };
    let shared = shared.clone();
    drop(tokio::task::spawn_blocking(move || {
        let _place = place;
        if let Err(error) = shared.cache.columns.warm() {
            tracing::debug!(%error, "cannot read ahead");
        }
    }));
}
