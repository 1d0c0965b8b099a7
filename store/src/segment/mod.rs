//! Segments: folders of sealed events, written once and never changed.
//!
//! ```text
//! segments/<first seq>-<last seq>[-<generation>]/
//!   events.parquet   the rows, sorted by (event time, sequence number)
//!   index/           tantivy, row number = document, a field for each text column
//!   filters          which rows may hold an identifier, see `filter`
//!   segment.json     what is inside, with checksums of all files and of itself
//! ```
//!
//! A folder is written under a temporary name, every file and folder is synced, and then it is
//! renamed; a folder that is not in the manifest is the rest of a crash and is removed.

mod coded;
mod columns;
mod files;
mod filter;
mod hex;
mod index;
mod plain;
mod read;
mod times;
mod write;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::metadata::PageIndexPolicy;
use serde::{Deserialize, Serialize};
use watchfire_event::TimeRange;

pub(crate) use coded::Coded;
pub(crate) use columns::{Access, ColumnInfo, is_named, sealed_name};
pub(crate) use files::FileInfo;
pub(crate) use filter::Filter;
pub(crate) use index::{RowIndex, indexed_words};
pub(crate) use read::Rows;
pub(crate) use times::Times;
pub(crate) use write::{sorted, write_segment};

use crate::StoreError;
use crate::vault::Vault;

/// Version of the layout described above.
const FORMAT: u32 = 2;
const EVENTS_FILE: &str = "events.parquet";
const INDEX_DIR: &str = "index";
const FILTER_FILE: &str = "filters";
const INFO_FILE: &str = "segment.json";

/// What `segment.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SegmentInfo {
    pub format: u32,
    pub id: String,
    pub rows: u64,
    pub first_seq: u64,
    pub last_seq: u64,
    pub min_time_ns: i64,
    pub max_time_ns: i64,
    pub min_received_ns: i64,
    pub max_received_ns: i64,
    pub created_ns: i64,
    /// In the order of the Parquet file, after the row's own three columns.
    pub columns: Vec<ColumnInfo>,
    /// Filters over identifier columns; those without one are read.
    #[serde(default)]
    pub filters: Vec<Filter>,
    pub files: Vec<FileInfo>,
}

impl SegmentInfo {
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.bytes).sum()
    }
}

/// An open segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub dir: PathBuf,
    pub info: SegmentInfo,
    /// How its files are written.
    pub vault: Vault,
    footer: ArrowReaderMetadata,
    /// As the footer, but columns without a dictionary are read as plain text.
    plain_footer: OnceLock<ArrowReaderMetadata>,
    index: OnceLock<Option<RowIndex>>,
    doomed: AtomicBool,
    looks: AtomicU32,
}

impl Segment {
    /// Opens a segment after checking `segment.json`, the lengths of all files and the footer.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the folder does not hold what was written.
    pub fn open(dir: &Path, vault: &Vault) -> Result<Segment, StoreError> {
        let info = files::read_info(&dir.join(INFO_FILE), vault)?;
        for file in &info.files {
            file.check_length(dir)?;
        }
        let path = dir.join(EVENTS_FILE);
        let file = vault
            .open_file(&path)
            .map_err(StoreError::io(path.display().to_string()))?;
        let options = ArrowReaderOptions::new().with_offset_index_policy(PageIndexPolicy::Optional);
        let footer = ArrowReaderMetadata::load(&file, options)?;
        let rows = footer.metadata().file_metadata().num_rows();
        if u64::try_from(rows).ok() != Some(info.rows) {
            return Err(StoreError::Corrupt(format!(
                "{} holds {rows} rows, not {}",
                path.display(),
                info.rows
            )));
        }
        Ok(Segment {
            dir: dir.to_path_buf(),
            info,
            vault: vault.clone(),
            footer,
            plain_footer: OnceLock::new(),
            index: OnceLock::new(),
            doomed: AtomicBool::new(false),
            looks: AtomicU32::new(0),
        })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.info.rows as usize
    }

    /// Can any row lie in the range?
    pub fn overlaps(&self, range: &TimeRange) -> bool {
        range.overlaps(self.info.min_time_ns, self.info.max_time_ns)
    }

    /// Do all rows lie in the range?
    pub fn within(&self, range: &TimeRange) -> bool {
        range.contains(self.info.min_time_ns) && range.contains(self.info.max_time_ns)
    }

    /// The index over text columns, opened on first use; none when no column has one, or when
    /// it cannot be opened (then columns are read instead, which is slower and as correct).
    pub fn index(&self) -> Option<&RowIndex> {
        let open = || {
            if !self.info.columns.iter().any(|c| c.access == Access::Index) {
                return None;
            }
            match RowIndex::open(&self.dir.join(INDEX_DIR), &self.vault) {
                Ok(index) => Some(index),
                Err(error) => {
                    tracing::warn!(segment = %self.info.id, %error, "index left unused");
                    None
                }
            }
        };
        self.index.get_or_init(open).as_ref()
    }

    /// Reads every byte of every file and compares checksums.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] naming the first file that differs.
    pub fn verify(&self) -> Result<(), StoreError> {
        self.info
            .files
            .iter()
            .try_for_each(|file| file.check_content(&self.dir))
    }

    /// How many times its rows were rewritten, see [`segment_id`].
    pub fn generation(&self) -> u64 {
        let last = self.info.id.split('-').nth(2);
        last.and_then(|n| n.parse().ok()).unwrap_or(0)
    }

    /// Counts that rows are shown; answers how often they were before.
    pub fn looked_at(&self) -> u32 {
        self.looks.fetch_add(1, Ordering::Relaxed)
    }

    /// Lets the folder go once nobody reads it any more.
    pub fn doom(&self) {
        self.doomed.store(true, Ordering::Release);
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if !self.doomed.load(Ordering::Acquire) {
            return;
        }
        if let Err(error) = std::fs::remove_dir_all(&self.dir) {
            tracing::warn!(segment = %self.info.id, %error, "cannot delete the segment's folder");
        }
    }
}

/// The name of a segment with these first and last sequence numbers. What is written from other
/// segments is a generation above them, so that no name is used twice.
pub(crate) fn segment_id(first: u64, last: u64, generation: u64) -> String {
    match generation {
        0 => format!("{first:016}-{last:016}"),
        _ => format!("{first:016}-{last:016}-{generation}"),
    }
}

/// Segments by rising first sequence number.
pub(crate) type Segments = Vec<Arc<Segment>>;
