//! What the store can be told, with defaults that suit most.

use std::path::PathBuf;
use std::time::Duration;

use crate::vault::MasterKey;
use watchfire_event::Query;

/// Settings of the store.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Folder of everything the store writes; made when missing.
    pub data_dir: PathBuf,
    /// Rows in memory that make a segment.
    pub seal_rows: usize,
    /// Age of the oldest row in memory at which a smaller segment is made.
    pub seal_age: Duration,
    /// Bytes of rows in memory beyond which commits are refused.
    pub memory_limit_bytes: usize,
    /// How long events are kept, by time of receipt.
    pub retention: Duration,
    /// Events that are kept for a shorter time.
    pub retention_classes: Vec<RetentionClass>,
    /// Bytes of segments to keep; the oldest go first.
    pub retention_bytes: Option<u64>,
    /// Free bytes of the volume below which commits are refused; by default the greater of 5 %
    /// and 1 GiB.
    pub disk_reserve_bytes: Option<u64>,
    /// Time within which an erasure has to be done; then it is told as overdue.
    pub erase_within: Duration,
    /// Pause between two merges of small segments.
    pub compact_interval: Duration,
    /// Size at which a log file is closed and the next one begun.
    pub log_file_bytes: u64,
    /// Encrypts what is written; needed for a folder that was begun with one.
    pub master_key: Option<MasterKey>,
}

/// Events that match a query are kept for so long, by time of receipt.
#[derive(Clone)]
pub struct RetentionClass {
    /// Which events.
    pub query: Query,
    /// For how long.
    pub keep: Duration,
}

impl std::fmt::Debug for RetentionClass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RetentionClass")
            .field("query", &self.query.text())
            .field("keep", &self.keep)
            .finish()
    }
}

impl StoreConfig {
    /// The defaults, for a data folder.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        StoreConfig {
            data_dir: data_dir.into(),
            seal_rows: 131_072,
            seal_age: Duration::from_secs(5 * 60),
            memory_limit_bytes: 128 << 20,
            retention: Duration::from_secs(90 * 86_400),
            retention_classes: Vec::new(),
            retention_bytes: None,
            disk_reserve_bytes: None,
            erase_within: Duration::from_secs(24 * 3_600),
            compact_interval: Duration::from_secs(30),
            log_file_bytes: 8 << 20,
            master_key: None,
        }
    }
}
