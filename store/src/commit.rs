//! Taking events in: the log first, then everybody who looks.

use std::sync::atomic::{AtomicU64, Ordering};

use watchfire_event::{CommitError, DeadLetter, EventBatch, EventLog, Key, Record};

use crate::Store;
use crate::log::LogError;
use crate::shared::{Shared, lock};

impl EventLog for Store {
    fn commit(&self, batch: EventBatch, records: &[Record]) -> Result<u64, CommitError> {
        let shared = &self.shared;
        let rows: u64 = records.iter().map(|r| u64::from(r.rows)).sum();
        if rows != batch.rows() as u64 {
            let message = format!("{} rows for {rows} lines", batch.rows());
            return Err(CommitError::LogFailed(message));
        }
        let _one_at_a_time = lock(&shared.commits);
        shared.admit()?;
        let first = shared
            .log
            .append(records)
            .map_err(|e| shared.refuse_log(&e))?;
        if rows == 0 {
            return Ok(first);
        }
        let last = first + rows - 1;
        let batch = batch.with_first_seq(first);
        shared.remember(first, records);
        shared.view.push(batch.clone());
        shared.set_head(last);
        // Nobody may be following the tail, which is fine.
        let _ = shared.tail.send(batch);
        metrics::counter!("watchfire_store_committed_events_total").increment(rows);
        if shared.wants_seal() {
            shared.wake.notify_one();
        }
        Ok(first)
    }

    fn admit(&self) -> Result<(), CommitError> {
        self.shared.admit()
    }

    fn seen(&self, key: &Key) -> bool {
        lock(&self.shared.dedup).contains(key)
    }

    fn dead_letters(&self, letters: Vec<DeadLetter>) {
        if let Err(error) = self.shared.dead.append(&letters) {
            metrics::counter!("watchfire_dead_letters_lost_total").increment(letters.len() as u64);
            tracing::error!(%error, letters = letters.len(), "refused lines could not be kept");
        }
    }
}

impl Shared {
    fn admit(&self) -> Result<(), CommitError> {
        if self.draining.load(Ordering::Acquire) {
            return Err(CommitError::Draining);
        }
        if self.log_failed.load(Ordering::Acquire) {
            count(&self.refused.log_failed, "log_failed");
            return Err(CommitError::LogFailed("stopped after a failed sync".into()));
        }
        if self.reserve.is_low() {
            count(&self.refused.disk_reserve, "disk_reserve");
            return Err(CommitError::DiskReserve);
        }
        let bytes = self.view.get().memory_bytes();
        if bytes > self.config.memory_limit_bytes {
            count(&self.refused.overloaded, "overloaded");
            return Err(CommitError::Overloaded(format!(
                "{bytes} bytes of events wait in memory to be sealed"
            )));
        }
        Ok(())
    }

    fn refuse_log(&self, error: &LogError) -> CommitError {
        if error.is_full() {
            count(&self.refused.disk_reserve, "disk_reserve");
            return CommitError::DiskReserve;
        }
        count(&self.refused.log_failed, "log_failed");
        let is_final = matches!(error, LogError::Poisoned { .. });
        if is_final && !self.log_failed.swap(true, Ordering::AcqRel) {
            tracing::error!(%error, "the log stopped; no more events are taken until a restart");
        }
        CommitError::LogFailed(error.to_string())
    }

    /// Remembers the keys of records whose rows begin at `first`.
    fn remember(&self, first: u64, records: &[Record]) {
        let mut dedup = lock(&self.dedup);
        let mut unsealed = lock(&self.unsealed_keys);
        let mut next = first;
        for record in records {
            next += u64::from(record.rows);
            for key in &record.keys {
                dedup.insert(*key, record.received_ns);
                unsealed.push(next - 1, *key, record.received_ns);
            }
        }
    }
}

fn count(counter: &AtomicU64, reason: &'static str) {
    counter.fetch_add(1, Ordering::Relaxed);
    metrics::counter!("watchfire_store_refused_total", "reason" => reason).increment(1);
}
