//! Letting whole segments go, by time of receipt and by bytes, and saying what went and why.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::CarefulClock;
use crate::memtable::View;
use crate::shared::Shared;

/// Between two checks.
const EVERY: Duration = Duration::from_secs(60);

/// Remembers when the last check was.
#[derive(Debug, Default)]
pub(crate) struct Retention {
    clock: CarefulClock,
}

/// Which segments go, and why.
#[derive(Debug, Default, PartialEq, Eq)]
struct Expired {
    by_age: Vec<String>,
    by_bytes: Vec<String>,
}

impl Retention {
    /// Checks once a minute.
    pub async fn run(&mut self, shared: &Arc<Shared>) {
        let Some(now) = self.clock.told(EVERY) else {
            return;
        };
        let _one_at_a_time = shared.seals.acquire().await;
        let expired = expired(
            &shared.view.get(),
            now,
            shared.config.retention,
            shared.config.retention_bytes,
        );
        remove(shared, &expired.by_age, "retention").await;
        remove(shared, &expired.by_bytes, "retention_bytes").await;
    }
}

fn expired(view: &View, now_ns: i64, keep: Duration, keep_bytes: Option<u64>) -> Expired {
    let keep_ns = i64::try_from(keep.as_nanos()).unwrap_or(i64::MAX);
    let oldest = now_ns.saturating_sub(keep_ns);
    let mut expired = Expired::default();
    let mut bytes: u64 = view.segments.iter().map(|s| s.info.bytes()).sum();
    for segment in &view.segments {
        let over = keep_bytes.is_some_and(|limit| bytes > limit);
        let list = match segment.info.max_received_ns < oldest {
            true => &mut expired.by_age,
            false if over => &mut expired.by_bytes,
            false => continue,
        };
        list.push(segment.info.id.clone());
        bytes -= segment.info.bytes();
    }
    expired
}

/// The manifest first: a folder that is not in it is removed at the next start anyway.
async fn remove(shared: &Arc<Shared>, ids: &[String], reason: &'static str) {
    if ids.is_empty() {
        return;
    }
    if let Err(error) = shared.meta.remove_segments(ids, reason).await {
        tracing::error!(%error, "cannot remove segments; trying again later");
        return;
    }
    for segment in shared.view.remove(ids) {
        let info = &segment.info;
        tracing::info!(
            segment = %info.id,
            rows = info.rows,
            bytes = info.bytes(),
            reason,
            newest_received_ns = info.max_received_ns,
            "segment removed"
        );
        metrics::counter!("watchfire_store_expired_events_total", "reason" => reason)
            .increment(info.rows);
        shared.cache.columns.forget(&info.id);
        segment.doom();
    }
}
