//! The store: durable, ordered and searchable events.
//!
//! ```text
//! commit ──► log (fdatasync) ──► memtable ──seal──► segment = Parquet + index + segment.json
//!                                   │                  │
//!                                   └──── one view ────┘ ──► search, histogram, facets, SQL, export
//! ```
//!
//! - [`log`] is the truth; everything else can be made again from it until it is sealed.
//! - Readers work on a [`view::View`]: an immutable picture of memory and segments, so that
//!   they never wait for a writer and never see a row twice or not at all.
//! - What a query means is `Query::matches` alone. Indexes, bloom filters and statistics only
//!   leave out what cannot match.
//!
//! It knows nothing of HTTP, of rules or of detectors.

mod config;
mod error;
pub mod log;
pub mod meta;
mod search;
mod status;

pub use config::StoreConfig;
pub use error::StoreError;
pub use search::{
    Bucket, Cursor, Facet, FieldInfo, Histogram, Hit, MAX_BUCKETS, MAX_FACET_FIELDS,
    MAX_FACET_VALUES, MAX_PAGE, Order, SearchPage, SearchRequest, SqlLimits,
};
pub use status::{DamagedSegment, Refusals, StoreStatus};

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::physical_plan::SendableRecordBatchStream;
use futures::Stream;
use tokio::sync::{broadcast, watch};
use watchfire_event::{
    CommitError, DeadLetter, EventBatch, EventLog, Key, Query, Record, TimeRange,
};

/// Turns logged lines back into a batch with the same columns as when they were new.
pub type Rebuild = Arc<dyn Fn(&[Record]) -> EventBatch + Send + Sync>;

/// The answer of [`Store::sql`].
pub struct SqlRows {
    /// Columns of the answer.
    pub schema: SchemaRef,
    /// The rows, read as they are polled.
    pub batches: SendableRecordBatchStream,
}

/// The store. Cheap to clone; all clones are the same store.
#[derive(Clone)]
pub struct Store {
    head: watch::Sender<u64>,
    tail: broadcast::Sender<EventBatch>,
}

/// Skeleton answer until the parts land.
fn not_yet<T>() -> Result<T, StoreError> {
    Err(StoreError::Internal("not built yet".into()))
}

impl Store {
    /// Opens the folder (made when missing): locks it, loads the list of segments, rebuilds the
    /// rows in memory from the log, starts the sealing thread.
    ///
    /// # Errors
    /// When the folder is locked, cannot be read or written, or holds damage beyond a segment.
    pub async fn open(_config: StoreConfig, _rebuild: Rebuild) -> Result<Store, StoreError> {
        Ok(Store {
            head: watch::Sender::new(0),
            tail: broadcast::Sender::new(64),
        })
    }

    /// Last committed sequence number; 0 when nothing was ever committed.
    pub fn head(&self) -> u64 {
        *self.head.borrow()
    }

    /// Follows [`Self::head`].
    pub fn watch_head(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    /// Batches after `after` in order, up to about `max_rows` rows, from memory where they are
    /// there and else from the log. Empty at the head.
    ///
    /// # Errors
    /// When the log cannot be read or no longer has those rows.
    pub fn read_after(&self, _after: u64, _max_rows: usize) -> Result<Vec<EventBatch>, StoreError> {
        not_yet()
    }

    /// Up to where detection no longer needs the log.
    pub fn detect_position(&self) -> u64 {
        0
    }

    /// Tells that detection no longer needs the log up to `seq`.
    pub fn set_detect_position(&self, _seq: u64) {}

    /// Every batch as it is committed. A receiver that lags misses batches and is told so.
    pub fn tail(&self) -> broadcast::Receiver<EventBatch> {
        self.tail.subscribe()
    }

    /// A page of events that match.
    ///
    /// # Errors
    /// `query_limit`, `invalid_cursor`, or a failure to read.
    pub async fn search(&self, _request: SearchRequest) -> Result<SearchPage, StoreError> {
        not_yet()
    }

    /// Counts matching events over time in `buckets` equal buckets, at most [`MAX_BUCKETS`],
    /// over the part of `range` that has data; `by` splits each bucket by the most frequent
    /// values of a field.
    ///
    /// # Errors
    /// `query_limit`, `invalid_request`, or a failure to read.
    pub async fn histogram(
        &self,
        _query: Query,
        _range: TimeRange,
        _buckets: usize,
        _by: Option<String>,
    ) -> Result<Histogram, StoreError> {
        not_yet()
    }

    /// The `top` most frequent values of each field among matching events.
    ///
    /// # Errors
    /// `query_limit`, `invalid_request`, or a failure to read.
    pub async fn facets(
        &self,
        _query: Query,
        _range: TimeRange,
        _fields: Vec<String>,
        _top: usize,
    ) -> Result<Vec<Facet>, StoreError> {
        not_yet()
    }

    /// Every field of the stored events, by name.
    ///
    /// # Errors
    /// A failure to read.
    pub async fn fields(&self) -> Result<Vec<FieldInfo>, StoreError> {
        not_yet()
    }

    /// Runs a read-only SQL query over the table `events`.
    ///
    /// # Errors
    /// `sql_error` for wrong SQL, `query_limit` here or later in the stream.
    pub async fn sql(&self, _sql: &str, _limits: SqlLimits) -> Result<SqlRows, StoreError> {
        not_yet()
    }

    /// Matching events, oldest segment first, in constant memory.
    ///
    /// # Errors
    /// A failure to read, here or later in the stream.
    pub async fn export_events(
        &self,
        _query: Query,
        _range: TimeRange,
    ) -> Result<impl Stream<Item = Result<EventBatch, StoreError>> + Send + use<>, StoreError> {
        Ok(futures::stream::empty())
    }

    /// Matching events as one flat table, a column a field, for CSV and Parquet.
    ///
    /// # Errors
    /// A failure to read, here or later in the stream.
    pub async fn export_records(
        &self,
        _query: Query,
        _range: TimeRange,
    ) -> Result<SendableRecordBatchStream, StoreError> {
        not_yet()
    }

    /// What there is to tell about the store.
    pub fn status(&self) -> StoreStatus {
        StoreStatus::default()
    }

    /// Stops taking events, waits for the sealing thread, releases the folder.
    pub async fn close(self) {}
}

impl EventLog for Store {
    fn commit(&self, _batch: EventBatch, _records: &[Record]) -> Result<u64, CommitError> {
        Err(CommitError::Draining)
    }

    fn admit(&self) -> Result<(), CommitError> {
        Err(CommitError::Draining)
    }

    fn seen(&self, _key: &Key) -> bool {
        false
    }

    fn dead_letters(&self, _letters: Vec<DeadLetter>) {}
}
