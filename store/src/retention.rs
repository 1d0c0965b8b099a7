//! Letting whole segments go, by time of receipt and by bytes, and saying what went and why.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::memtable::View;
use crate::shared::{Shared, now_ns};

/// Between two checks.
const EVERY: Duration = Duration::from_secs(60);
/// A wall clock that moves this much further than the monotonic one between two checks has
/// jumped: nothing is deleted on its word until the next check agrees with it.
const JUMP_NS: i64 = 3_600 * 1_000_000_000;

/// Remembers when the last check was.
#[derive(Debug, Default)]
pub(crate) struct Retention {
    last: Option<(Instant, i64)>,
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
        if self.last.is_some_and(|(at, _)| at.elapsed() < EVERY) {
            return;
        }
        let now = now_ns();
        if !self.trusts_clock(Instant::now(), now) {
            tracing::warn!("the clock jumped forward; retention waits for the next check");
            return;
        }
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

    /// Notes the time of this check. False when the wall clock ran away since the last one.
    fn trusts_clock(&mut self, at: Instant, now_ns: i64) -> bool {
        let before = self.last.replace((at, now_ns));
        let Some((then, wall)) = before else {
            return true;
        };
        let passed = at.saturating_duration_since(then).as_nanos();
        let passed = i64::try_from(passed).unwrap_or(i64::MAX);
        now_ns.saturating_sub(wall).saturating_sub(passed) <= JUMP_NS
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
        segment.doom();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumps_is_believed_at_the_second_check() {
        let start = Instant::now();
        let minute = Duration::from_secs(60);
        let minute_ns = 60_000_000_000;
        let day_ns = 86_400_000_000_000;
        let mut retention = Retention::default();
        assert!(retention.trusts_clock(start, 0));
        assert!(retention.trusts_clock(start + minute, minute_ns));
        assert!(!retention.trusts_clock(start + 2 * minute, 2 * minute_ns + day_ns));
        assert!(retention.trusts_clock(start + 3 * minute, 3 * minute_ns + day_ns));
        assert!(
            retention.trusts_clock(start + 4 * minute, 0),
            "a step back deletes nothing"
        );
    }
}
