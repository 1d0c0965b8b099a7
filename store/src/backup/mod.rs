//! Backups: a repository that holds each segment once, and snapshots that name what they need.
//!
//! ```text
//! REPOSITORY/
//!   segments/<id>-<digest>/   a segment's files and files.json, linked or copied once
//!   snapshots/<UTC time>/     meta.sqlite, log/, dead-letters/, keys.json, and backup.json:
//!                             every file with its length and SHA-256
//! ```
//!
//! A snapshot is written under a temporary name, synced and renamed: it is there wholly or not at
//! all. Files that never change again (segments, closed log files) are hard links where the
//! repository is on the same file system, else copies. Files are taken as they lie on the disk,
//! so a backup of an encrypted folder is encrypted, and needs no master key to be made.
//!
//! Nothing is stopped for a backup. Sealing, merging, retention and the trimming of the log wait
//! while the metadata is copied and the log's files are linked; events are taken in meanwhile.

mod copy;
mod pool;
mod prune;
mod record;
mod repository;
mod restore;
mod take;

use serde::Serialize;

pub(crate) use restore::refuse_half_restored;
pub use restore::{RestoreReport, restore};
pub(crate) use take::SourceFile;
pub use take::backup;

/// What a backup did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BackupReport {
    /// Name of the snapshot.
    pub snapshot: String,
    /// Its folder.
    pub path: String,
    /// The last sequence number it holds.
    pub head: u64,
    /// Segments it refers to.
    pub segments: usize,
    /// Those among them that the repository did not hold before.
    pub new_segments: usize,
    /// Segments of the manifest whose folders are gone, by id.
    pub missing: Vec<String>,
    /// Files linked, and their bytes.
    pub linked_files: u64,
    /// Bytes of linked files.
    pub linked_bytes: u64,
    /// Files copied.
    pub copied_files: u64,
    /// Bytes of copied files.
    pub copied_bytes: u64,
    /// Snapshots that were removed since there are enough newer ones.
    pub removed_snapshots: Vec<String>,
    /// Segments that no snapshot refers to any more and that were removed.
    pub removed_segments: usize,
}

impl BackupReport {
    fn count(&mut self, linked: bool, bytes: u64) {
        if linked {
            self.linked_files += 1;
            self.linked_bytes += bytes;
        } else {
            self.copied_files += 1;
            self.copied_bytes += bytes;
        }
    }
}
