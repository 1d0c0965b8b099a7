//! Turning rows in memory into segments, and keeping memory tidy meanwhile.
//!
//! Order of a seal: folder written, synced and renamed; manifest, position and keys in one
//! transaction; the view swapped; the log trimmed. A crash between any two of them loses
//! nothing and doubles nothing: what the manifest does not name is removed and sealed again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use watchfire_event::{BatchLimits, EventBatch};

use crate::StoreError;
use crate::memtable::MemoryBatch;
use crate::meta::SegmentRow;
use crate::retention::Retention;
use crate::scrub::Scrub;
use crate::segment::{Segment, SegmentInfo, segment_id, sorted, write_segment};
use crate::shared::{Shared, lock, now_ns};

/// Between two looks at the age of rows, at small batches and at retention.
const TICK: Duration = Duration::from_secs(1);
/// After a failed seal, for example on a full disk.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Rows that are worth a segment of their own once they are old.
const WORTHWHILE_ROWS: usize = 8_192;
/// Fewer rows than that wait this many times as long.
const PATIENCE: u32 = 24;

/// Runs until the store is closed.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut retention = Retention::default();
    let mut scrub = Scrub::default();
    let mut trimmed = 0;
    while !shared.draining.load(Ordering::Acquire) {
        let _ = tokio::time::timeout(TICK, shared.wake.notified()).await;
        tidy(&shared).await;
        while shared.wants_seal() && !shared.draining.load(Ordering::Acquire) {
            if let Err(error) = seal(&shared, shared.config.seal_rows).await {
                metrics::counter!("watchfire_store_seal_failures_total").increment(1);
                tracing::error!(%error, "cannot seal; the events stay in the log and in memory");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                break;
            }
        }
        // Detection may have moved on since the last seal; it wakes this task when it does.
        let passed = shared.passed_by_all();
        if passed > trimmed && shared.trim_log().await {
            trimmed = passed;
        }
        retention.run(&shared).await;
        scrub.run(&shared).await;
    }
}

/// Merges runs of small batches.
async fn tidy(shared: &Arc<Shared>) {
    let _one_at_a_time = shared.seals.acquire().await;
    loop {
        let view = shared.view.get();
        let Some((start, count)) = view.small_run() else {
            return;
        };
        let run = view
            .memory
            .get(start..start + count)
            .unwrap_or_default()
            .to_vec();
        match blocking(move || concat(&run)).await {
            Ok(merged) => shared.view.replace(start, count, merged),
            Err(error) => {
                tracing::error!(%error, "cannot merge batches in memory");
                return;
            }
        }
    }
}

/// Makes one segment of everything in memory.
#[cfg(test)]
pub(crate) async fn seal_all(shared: &Arc<Shared>) -> Result<(), StoreError> {
    seal(shared, usize::MAX).await
}

/// Seals until every row up to `seq` is in a segment, or is lost.
pub(crate) async fn seal_up_to(shared: &Arc<Shared>, seq: u64) -> Result<(), StoreError> {
    let is_in_memory = || {
        let view = shared.view.get();
        let first = view.memory.first().and_then(|m| m.batch.first_seq());
        first.is_some_and(|first| first <= seq)
    };
    while is_in_memory() {
        seal(shared, shared.config.seal_rows).await?;
    }
    Ok(())
}

/// Makes a segment of the oldest rows in memory, up to about `rows`. Only one may run at a time.
async fn seal(shared: &Arc<Shared>, rows: usize) -> Result<(), StoreError> {
    let _one_at_a_time = shared.seals.acquire().await;
    let started = Instant::now();
    let oldest = shared.view.get().oldest(rows).to_vec();
    if oldest.is_empty() {
        return Ok(());
    }
    let count = oldest.len();
    let (parent, vault) = (shared.segments_dir(), shared.vault.clone());
    let keeper = shared.clone();
    let segment = blocking(move || {
        let unsorted = concat(&oldest)?;
        drop(oldest);
        let seqs = || unsorted.first_seq().zip(unsorted.last_seq());
        let (first, last) = seqs().ok_or_else(|| StoreError::Internal("an empty seal".into()))?;
        let id = segment_id(first, last, 0);
        let batch = sorted(&unsorted);
        // Not in memory twice until the segment is written.
        drop(unsorted);
        let info = write_segment(&parent, &vault, &id, &batch, now_ns())?;
        let segment = Segment::open(&parent.join(&info.id), &vault)?;
        // What is new is asked for most, and here its columns need not be read back.
        keeper.cache.columns.adopt(&segment, &batch)?;
        Ok(Arc::new(segment))
    })
    .await?;
    let last = segment.info.last_seq;
    let keys = lock(&shared.unsealed_keys).up_to(last);
    shared
        .meta
        .commit_seal(&manifest_row(&segment.info), &keys)
        .await?;
    lock(&shared.unsealed_keys).forget_up_to(last);
    shared
        .view
        .seal(count, segment.clone(), shared.unread_limit_bytes());
    shared.sealed.store(last, Ordering::Release);
    shared.trim_log().await;
    let seconds = started.elapsed().as_secs_f64();
    metrics::histogram!("watchfire_store_seal_seconds").record(seconds);
    tracing::debug!(segment = %segment.info.id, rows = segment.info.rows, seconds, "sealed");
    Ok(())
}

fn concat(batches: &[Arc<MemoryBatch>]) -> Result<EventBatch, StoreError> {
    let batches: Vec<EventBatch> = batches.iter().map(|m| m.batch.clone()).collect();
    Ok(EventBatch::concat(
        &batches,
        BatchLimits::default().max_columns,
    )?)
}

pub(crate) fn manifest_row(info: &SegmentInfo) -> SegmentRow {
    SegmentRow {
        id: info.id.clone(),
        first_seq: info.first_seq,
        last_seq: info.last_seq,
        rows: info.rows,
        min_time_ns: info.min_time_ns,
        max_time_ns: info.max_time_ns,
        min_received_ns: info.min_received_ns,
        max_received_ns: info.max_received_ns,
        bytes: info.bytes(),
        created_ns: info.created_ns,
    }
}

/// Runs disk and CPU work off the runtime's threads.
pub(crate) async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, StoreError> + Send + 'static,
) -> Result<R, StoreError> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.map_err(|e| StoreError::Internal(format!("background work: {e}")))?
}

impl Shared {
    /// Is there enough in memory, or is it old enough?
    pub(crate) fn wants_seal(&self) -> bool {
        let view = self.view.get();
        let rows = view.memory_rows();
        if rows >= self.config.seal_rows {
            return true;
        }
        // Sealing must begin well before commits are refused.
        if view.memory_bytes() > self.config.memory_limit_bytes / 2 && rows > 0 {
            return true;
        }
        let Some(oldest) = view.oldest_in_memory_ns() else {
            return false;
        };
        let age = Duration::from_nanos(u64::try_from(now_ns().saturating_sub(oldest)).unwrap_or(0));
        let worthwhile = rows >= WORTHWHILE_ROWS.min(self.config.seal_rows / 16);
        let limit = self.config.seal_age;
        age >= if worthwhile {
            limit
        } else {
            limit.saturating_mul(PATIENCE)
        }
    }

    /// Sealed rows kept in memory for a detection that lags: those after the first number, up
    /// to so many bytes.
    fn unread_limit_bytes(&self) -> (u64, usize) {
        (
            self.read.load(Ordering::Acquire),
            self.config.memory_limit_bytes / 4,
        )
    }

    /// Up to where no reader needs the log any more.
    fn passed_by_all(&self) -> u64 {
        let sealed = self.sealed.load(Ordering::Acquire);
        sealed.min(self.detect.load(Ordering::Acquire))
    }

    /// Lets go of log files that every reader has passed. False when that failed.
    pub(crate) async fn trim_log(self: &Arc<Self>) -> bool {
        let _one_at_a_time = self.trims.acquire().await;
        let shared = self.clone();
        let passed = self.passed_by_all();
        let trimmed = blocking(move || Ok(shared.log.trim(passed)?)).await;
        if let Err(error) = &trimmed {
            tracing::warn!(%error, "cannot trim the log");
        }
        trimmed.is_ok()
    }

    pub(crate) fn set_gauges(&self) {
        let view = self.view.get();
        metrics::gauge!("watchfire_store_memory_rows").set(view.memory_rows() as f64);
        metrics::gauge!("watchfire_store_memory_bytes").set(view.memory_bytes() as f64);
        metrics::gauge!("watchfire_store_segments").set(view.segments.len() as f64);
        let bytes: u64 = view.segments.iter().map(|s| s.info.bytes()).sum();
        metrics::gauge!("watchfire_store_segment_bytes").set(bytes as f64);
    }
}
