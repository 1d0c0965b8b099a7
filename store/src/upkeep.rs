//! The task that rewrites segments, one at a time, so that sealing never waits for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::compact;
use crate::shared::Shared;

/// Between two looks at what there is to do.
const TICK: Duration = Duration::from_secs(1);

/// Runs until the store is closed.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut compacted = Instant::now();
    while !shared.draining.load(Ordering::Acquire) {
        let _ = tokio::time::timeout(TICK, shared.upkeep_wake.notified()).await;
        if compacted.elapsed() >= shared.config.compact_interval {
            if let Err(error) = compact::run(&shared).await {
                metrics::counter!("watchfire_store_rewrite_failures_total").increment(1);
                tracing::error!(%error, "cannot merge segments; they stay as they are");
            }
            compacted = Instant::now();
        }
    }
}
