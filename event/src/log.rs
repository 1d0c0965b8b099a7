//! The seam between whoever takes events in and whoever keeps them.
//!
//! `ingest` builds batches and commits them through [`EventLog`]; the store's log fulfils it.

use std::sync::Arc;

use crate::EventBatch;

/// A 128-bit digest that identifies a request (`Idempotency-Key`) or one event (its id).
pub type Key = [u8; 16];

/// The accepted lines of one request: the unit that becomes durable as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When the request was received, nanoseconds since the epoch.
    pub received_ns: i64,
    /// Name of the token that shipped it.
    pub source: Arc<str>,
    /// Accepted lines, each a JSON object, joined by `\n`, without a final one.
    pub lines: Vec<u8>,
    /// Number of accepted lines.
    pub rows: u32,
    /// Keys to remember: of the request, and of single events that carry an id.
    pub keys: Vec<Key>,
}

/// Bytes that were refused, kept so that nothing is lost without a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// When they were received, nanoseconds since the epoch.
    pub received_ns: i64,
    /// Name of the token that shipped them.
    pub source: Arc<str>,
    /// Line number in the request, from 1; 0 when the body as a whole was refused.
    pub line: u32,
    /// The stable code of the refusal, such as `invalid_json`.
    pub code: &'static str,
    /// The bytes as received, cut to 64 KiB.
    pub bytes: Vec<u8>,
}

/// Why a commit did not happen. Nothing of the batch was kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Readers cannot keep up or memory is at its ceiling: try again later (429).
    #[error("overloaded: {0}")]
    Overloaded(String),
    /// Free disk is below the reserve (503 `disk_reserve`); heals by itself.
    #[error("free disk space is below the reserve")]
    DiskReserve,
    /// The log cannot write (503 `wal_failed`); final until a restart.
    #[error("the log cannot write: {0}")]
    LogFailed(String),
    /// The process is stopping (503 `draining`).
    #[error("shutting down")]
    Draining,
}

/// A durable, ordered log of events.
pub trait EventLog: Send + Sync + 'static {
    /// Makes `records` durable, then their rows searchable and visible to every reader.
    /// `batch` holds the rows of all records in order; its sequence numbers are set here.
    /// Blocks until the bytes are on disk. Returns the first sequence number.
    ///
    /// # Errors
    /// [`CommitError`]; then no row of the batch is kept or visible.
    fn commit(&self, batch: EventBatch, records: &[Record]) -> Result<u64, CommitError>;

    /// Cheap check before any parsing: would a commit be refused just now?
    ///
    /// # Errors
    /// The same [`CommitError`] that a commit would give.
    fn admit(&self) -> Result<(), CommitError>;

    /// Was `key` committed within the last 24 hours (at most 10 million keys are remembered)?
    fn seen(&self, key: &Key) -> bool;

    /// Keeps refused bytes in the bounded dead-letter store.
    fn dead_letters(&self, letters: Vec<DeadLetter>);
}
