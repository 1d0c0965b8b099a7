//! What the store tells about itself.

use serde::Serialize;

/// A picture of the store at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct StoreStatus {
    /// Last committed sequence number, 0 when nothing was ever committed.
    pub head: u64,
    /// Last searchable sequence number; always `head`, since commits are searchable at once.
    pub store: u64,
    /// Last sequence number in a segment.
    pub sealed: u64,
    /// Up to where detection no longer needs the log.
    pub detect: u64,
    /// Bytes of log files.
    pub log_bytes: u64,
    /// Number of log files.
    pub log_files: u64,
    /// Rows in memory.
    pub memory_rows: u64,
    /// Bytes of the rows in memory, about.
    pub memory_bytes: u64,
    /// Number of segments.
    pub segments: u64,
    /// Rows in segments and in memory.
    pub rows: u64,
    /// Bytes of segments.
    pub segment_bytes: u64,
    /// Bytes free on the volume of the data folder.
    pub disk_free_bytes: u64,
    /// Segments that are damaged and left out of every answer, by id.
    pub damaged_segments: Vec<DamagedSegment>,
    /// Commits refused since the start.
    pub refused: Refusals,
    /// The oldest time of receipt that is kept, nanoseconds since the epoch.
    pub oldest_received_ns: Option<i64>,
    /// Is the log unable to write until a restart?
    pub log_failed: bool,
}

/// A segment that could not be opened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DamagedSegment {
    /// Its folder name.
    pub id: String,
    /// Rows that are out of reach.
    pub rows: u64,
    /// What is wrong.
    pub reason: String,
}

/// Commits refused since the start, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Refusals {
    /// Memory was at its ceiling.
    pub overloaded: u64,
    /// Free disk was below the reserve.
    pub disk_reserve: u64,
    /// The log could not write.
    pub log_failed: u64,
}
