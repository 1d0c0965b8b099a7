//! The store: durable, ordered and searchable events.
//!
//! ```text
//! commit ─► log (fdatasync) ─► memtable ─seal─► segment = Parquet + index + segment.json
//!                                 │                │
//!                                 └─── one view ───┴─► search, histogram, facets, SQL, export
//! ```
//!
//! - [`log`] is the truth; everything else can be made again from it until it is sealed.
//! - Readers work on a `View`: an immutable picture of memory and segments, so that
//!   they never wait for a writer and never see a row twice or not at all.
//! - What a query means is `Query::matches` alone. Indexes, bloom filters and statistics only
//!   leave out what cannot match.
//!
//! It knows nothing of HTTP, of rules or of detectors.

mod alert_table;
pub mod backup;
mod classes;
mod clock;
mod commit;
mod compact;
mod config;
mod erase;
mod error;
mod export;
mod flat;
pub mod log;
mod memtable;
pub mod meta;
mod open;
mod produced;
mod pushdown;
mod query;
mod replay;
mod retention;
mod rewrite;
mod scrub;
mod seal;
mod search;
mod segment;
mod shared;
mod sql;
mod status;
mod table;
#[cfg(test)]
mod tests;
mod upkeep;
pub mod vault;
mod verify;

pub use config::{RetentionClass, StoreConfig};
pub use erase::EraseRequest;
pub use error::StoreError;
pub use replay::{Replay, Replayed};
pub use search::{
    Bucket, Cursor, Facet, FieldInfo, Histogram, Hit, MAX_BUCKETS, MAX_FACET_FIELDS,
    MAX_FACET_VALUES, MAX_PAGE, Order, SearchPage, SearchRequest, SqlLimits,
};
pub use status::{DamagedSegment, Refusals, StoreStatus};
pub use verify::{CheckedReceipt, Compared, VerifyOptions, VerifyProgress, VerifyReport, verify};

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use arrow::datatypes::SchemaRef;
use datafusion::physical_plan::SendableRecordBatchStream;
use futures::Stream;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use watchfire_event::{EventBatch, Query, Record, TimeRange};

use log::dead::StoredLetter;
use meta::Meta;
use shared::{Shared, lock};

/// Turns logged lines back into a batch with the same columns as when they were new.
pub type Rebuild = Arc<dyn Fn(&[Record]) -> EventBatch + Send + Sync>;

/// The answer of [`Store::sql`].
pub struct SqlRows {
    /// Columns of the answer.
    pub schema: SchemaRef,
    /// The rows, read as they are polled.
    pub batches: SendableRecordBatchStream,
    /// Something is missing: a damaged segment, or alerts beyond those that `_alerts` holds.
    pub partial: bool,
}

/// The store. Cheap to clone; all clones are the same store.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    tasks: Arc<Tasks>,
}

/// Ends the background tasks with the last handle of the store.
struct Tasks {
    shared: Arc<Shared>,
    running: Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.shared.drain();
    }
}

impl Store {
    /// Opens the folder (made when missing): locks it, loads the list of segments, rebuilds the
    /// rows in memory from the log, starts sealing.
    ///
    /// # Errors
    /// When the folder is locked, cannot be read or written, or holds damage beyond a segment.
    pub async fn open(config: StoreConfig, rebuild: Rebuild) -> Result<Store, StoreError> {
        let shared = Arc::new(open::open(config, rebuild).await?);
        let running = vec![
            tokio::spawn(seal::run(shared.clone())),
            tokio::spawn(upkeep::run(shared.clone())),
        ];
        let tasks = Tasks {
            shared: shared.clone(),
            running: Mutex::new(running),
        };
        Ok(Store {
            shared,
            tasks: Arc::new(tasks),
        })
    }

    /// The metadata store.
    pub fn meta(&self) -> &Meta {
        &self.shared.meta
    }

    /// Sets the gauges of what is in memory and in segments to what they are now.
    pub fn set_gauges(&self) {
        self.shared.set_gauges();
    }

    /// Last committed sequence number; 0 when nothing was ever committed.
    pub fn head(&self) -> u64 {
        *self.shared.head.borrow()
    }

    /// Follows [`Self::head`].
    pub fn watch_head(&self) -> watch::Receiver<u64> {
        self.shared.head.subscribe()
    }

    /// Batches after `after` in order, up to about `max_rows` rows, from memory where they are
    /// there and else from the log. Empty at the head. Blocks on the disk in the second case.
    /// For one reader, which asks for what follows the last row it has dealt with.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn read_after(&self, after: u64, max_rows: usize) -> Result<Vec<EventBatch>, StoreError> {
        self.shared.has_read(after);
        if after >= self.head() {
            return Ok(Vec::new());
        }
        if let Some(batches) = self.shared.view.get().read_after(after, max_rows) {
            return Ok(batches);
        }
        let records = self.shared.log.read_from(after, max_rows)?;
        open::rebuild_rows(records, after, &self.shared.rebuild)
    }

    /// Up to where detection no longer needs the log.
    pub fn detect_position(&self) -> u64 {
        self.shared.detect.load(Ordering::Acquire)
    }

    /// Tells that detection no longer needs the log up to `seq`; `u64::MAX` when there is none.
    pub fn set_detect_position(&self, seq: u64) {
        if self.shared.detect.fetch_max(seq, Ordering::AcqRel) < seq {
            // The log may have files now that nobody needs.
            self.shared.wake.notify_one();
        }
        self.shared.has_read(seq);
    }

    /// Every batch as it is committed. A receiver that lags misses batches and is told so.
    pub fn tail(&self) -> broadcast::Receiver<EventBatch> {
        self.shared.tail.subscribe()
    }

    /// A page of events that match.
    ///
    /// # Errors
    /// `query_limit`, or a failure to read.
    pub async fn search(&self, request: SearchRequest) -> Result<SearchPage, StoreError> {
        let mut page = query::run(&self.shared, "search", move |view, job, cache| {
            search::search(view, &request, job, cache)
        })
        .await?;
        page.partial = self.is_partial();
        Ok(page)
    }

    /// Are there events that no answer holds, because their segment is damaged?
    pub fn is_partial(&self) -> bool {
        self.shared.is_partial()
    }

    /// Counts matching events over time in at most `buckets` (up to [`MAX_BUCKETS`]) equal
    /// buckets over the part of `range` that has data; `by` splits each bucket by the most
    /// frequent values of a field.
    ///
    /// # Errors
    /// `query_limit`, `invalid_request`, or a failure to read.
    pub async fn histogram(
        &self,
        query: Query,
        range: TimeRange,
        buckets: usize,
        by: Option<String>,
    ) -> Result<Histogram, StoreError> {
        query::run(&self.shared, "histogram", move |view, job, cache| {
            let by = by.as_deref();
            search::histogram(view, (&query, &range), (buckets, by), job, cache)
        })
        .await
    }

    /// The `top` most frequent values of each field among matching events.
    ///
    /// # Errors
    /// `query_limit`, `invalid_request`, or a failure to read.
    pub async fn facets(
        &self,
        query: Query,
        range: TimeRange,
        fields: Vec<String>,
        top: usize,
    ) -> Result<Vec<Facet>, StoreError> {
        query::run(&self.shared, "facets", move |view, job, cache| {
            search::facets(view, (&query, &range), (&fields, top), job, cache)
        })
        .await
    }

    /// Every field of the stored events, by name.
    ///
    /// # Errors
    /// `query_limit` when too many queries run at once.
    pub async fn fields(&self) -> Result<Vec<FieldInfo>, StoreError> {
        query::run(&self.shared, "fields", |view, _, _| {
            Ok(search::fields(view))
        })
        .await
    }

    /// Runs a read-only SQL query over the tables `events` and `_alerts`.
    ///
    /// # Errors
    /// `sql_error` for wrong SQL, `query_limit` here or later in the stream.
    pub async fn sql(&self, sql: &str, limits: SqlLimits) -> Result<SqlRows, StoreError> {
        sql::sql(&self.shared, sql, limits).await
    }

    /// Matching events, oldest segment first, in constant memory.
    ///
    /// # Errors
    /// A failure to read, here or later in the stream.
    pub async fn export_events(
        &self,
        query: Query,
        range: TimeRange,
    ) -> Result<impl Stream<Item = Result<EventBatch, StoreError>> + Send + use<>, StoreError> {
        Ok(export::events(self.shared.clone(), query, range))
    }

    /// Matching events as one flat table, a column a field, for CSV and Parquet.
    ///
    /// # Errors
    /// A failure to read, here or later in the stream.
    pub async fn export_records(
        &self,
        query: Query,
        range: TimeRange,
    ) -> Result<SendableRecordBatchStream, StoreError> {
        Ok(export::records(self.shared.clone(), query, range))
    }

    /// The events of a range as they are now, to be gone through in the order in which they came.
    pub fn replay(&self, range: TimeRange) -> Replay {
        Replay::new(self.shared.clone(), range)
    }

    /// Refused lines, newest first, from before the one of id `before`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn list_dead_letters(
        &self,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StoredLetter>, StoreError> {
        Ok(self.shared.dead.list(before, limit)?)
    }

    /// What there is to tell about the store.
    pub fn status(&self) -> StoreStatus {
        self.shared.status()
    }

    /// Stops taking events, lets a seal or a rewrite under way finish, releases the folder. What
    /// is not in a segment is in the log and comes back at the next start.
    pub async fn close(self) {
        self.shared.drain();
        let running = std::mem::take(&mut *lock(&self.tasks.running));
        for task in running {
            if let Err(error) = task.await {
                tracing::error!(%error, "a background task of the store failed");
            }
        }
        self.shared.meta.close().await;
        drop(lock(&self.shared.lock).take());
    }
}
