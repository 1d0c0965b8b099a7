//! The task that rewrites segments, one at a time, so that sealing never waits for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::StoreError;
use crate::classes::Classes;
use crate::compact;
use crate::erase::Erasures;
use crate::shared::Shared;

/// Between two looks at what there is to do.
const TICK: Duration = Duration::from_secs(1);

/// Runs until the store is closed.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut erasures = Erasures::default();
    let mut classes = Classes::default();
    let mut compacted = Instant::now();
    while !shared.draining.load(Ordering::Acquire) {
        let _ = tokio::time::timeout(TICK, shared.upkeep_wake.notified()).await;
        tell("erase events", erasures.run(&shared).await);
        tell("apply retention classes", classes.run(&shared).await);
        if compacted.elapsed() >= shared.config.compact_interval {
            tell("merge segments", compact::run(&shared).await);
            compacted = Instant::now();
        }
    }
}

fn tell<T>(what: &str, result: Result<T, StoreError>) {
    if let Err(error) = result {
        metrics::counter!("watchfire_store_rewrite_failures_total").increment(1);
        tracing::error!(%error, "cannot {what}; the segments stay as they are");
    }
}
