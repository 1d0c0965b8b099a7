//! What the store tells about itself.

use std::sync::atomic::Ordering;

use serde::Serialize;

use crate::shared::{Shared, lock};

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
    /// Acknowledged rows that the damaged log could not give back at the last start.
    pub log_lost_rows: u64,
    /// Commits refused since the start.
    pub refused: Refusals,
    /// The oldest time of receipt that is kept, nanoseconds since the epoch.
    pub oldest_received_ns: Option<i64>,
    /// Is the log unable to write until a restart?
    pub log_failed: bool,
    /// Are events encrypted on disk?
    pub encrypted: bool,
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

impl Shared {
    pub(crate) fn status(&self) -> StoreStatus {
        let view = self.view.get();
        let head = *self.head.borrow();
        let memory_rows = view.memory_rows() as u64;
        let sealed_rows: u64 = view.segments.iter().map(|s| s.info.rows).sum();
        let oldest_sealed = view.segments.iter().map(|s| s.info.min_received_ns).min();
        let oldest = oldest_sealed
            .into_iter()
            .chain(view.oldest_in_memory_ns())
            .min();
        let count = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
        StoreStatus {
            head,
            store: head,
            sealed: self.sealed.load(Ordering::Acquire),
            detect: self.detect.load(Ordering::Acquire).min(head),
            log_bytes: self.log.bytes(),
            log_files: self.log.files() as u64,
            memory_rows,
            memory_bytes: view.memory_bytes() as u64,
            segments: view.segments.len() as u64,
            rows: memory_rows + sealed_rows,
            segment_bytes: view.segments.iter().map(|s| s.info.bytes()).sum(),
            disk_free_bytes: self.reserve.free_bytes(),
            damaged_segments: lock(&self.damaged).clone(),
            log_lost_rows: self.log_lost_rows,
            refused: Refusals {
                overloaded: count(&self.refused.overloaded),
                disk_reserve: count(&self.refused.disk_reserve),
                log_failed: count(&self.refused.log_failed),
            },
            oldest_received_ns: oldest,
            log_failed: self.log_failed.load(Ordering::Acquire),
            encrypted: self.vault.is_sealing(),
        }
    }
}
