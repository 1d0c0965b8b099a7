//! Offline check of a log folder: reads and decodes everything, changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;
use watchfire_event::Record;

use super::damage::{Damage, SeqRange};
use super::disk_file::OsDisk;
use super::error::LogError;
use super::frame::{self, FrameHeader};
use super::inspect::{Inspected, Inspection, inspect};
use super::receipt::Receipt;
use crate::vault::Vault;

/// What [`verify`] found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Nothing is damaged or missing. A torn tail alone is no damage: the next start cuts it.
    pub ok: bool,
    /// First sequence number that the log may still hold.
    pub first_seq: u64,
    /// Last sequence number in the log, 0 for none.
    pub head: u64,
    /// Valid frames in all files.
    pub frames: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes after the last valid frame of the last file, which the next start will cut.
    pub torn_tail_bytes: u64,
    /// Sequence numbers that should be there and are not, at most 1,000 ranges.
    pub missing: Vec<SeqRange>,
    /// Number of rows missing.
    pub missing_rows: u64,
    /// File by file, oldest first.
    pub files: Vec<FileReport>,
    /// Files that are not what their names say.
    pub foreign: Vec<Damage>,
}

/// One log file in a [`Report`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// Its name.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// Valid frames.
    pub frames: u64,
    /// Rows in them.
    pub rows: u64,
    /// Sequence number of the first row, also of an empty file.
    pub first_seq: u64,
    /// Sequence number after the last row.
    pub next_seq: u64,
    /// Broken places, at most 1,000.
    pub damage: Vec<Damage>,
    /// Number of broken places.
    pub damaged: u64,
}

/// What the log says to a [`Receipt`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptCheck {
    /// The rows are in the log, byte for byte.
    Kept,
    /// Other rows have these numbers, or the same rows are not what they were.
    Altered,
    /// The rows should be in the log and are not.
    Missing,
    /// The log no longer holds these numbers: every reader has passed them.
    PassedOn,
}

/// Checks every file, frame and record in `dir`, which no process may be writing to, and each of
/// `receipts`, in their order, against what is there.
///
/// # Errors
/// [`LogError`] when the folder cannot be read or holds files of a newer format.
pub fn verify(
    dir: &Path,
    vault: &Vault,
    receipts: &[Receipt],
) -> Result<(Report, Vec<ReceiptCheck>), LogError> {
    let mut found = BTreeMap::new();
    let wanted: BTreeSet<u64> = receipts.iter().map(|receipt| receipt.rows.first).collect();
    let report = inspect(&OsDisk, dir, vault.is_sealing(), &mut |header, payload| {
        let record = sound_record(header, payload, vault);
        if let Some(record) = record
            .as_ref()
            .filter(|_| wanted.contains(&header.first_seq))
        {
            found.insert(header.first_seq, Receipt::of(header.first_seq, record));
        }
        record.is_some()
    });
    let report = Report::new(report?);
    let check = |receipt: &Receipt| match found.get(&receipt.rows.first) {
        Some(kept) if kept == receipt => ReceiptCheck::Kept,
        Some(_) => ReceiptCheck::Altered,
        None if receipt.rows.first < report.first_seq => ReceiptCheck::PassedOn,
        None if report.is_missing(receipt.rows.first) => ReceiptCheck::Missing,
        // No record starts there: the number lies within another one.
        None => ReceiptCheck::Altered,
    };
    let checks = receipts.iter().map(check).collect();
    Ok((report, checks))
}

/// The record of a frame, if it has as many lines as it says.
fn sound_record(header: &FrameHeader, payload: &[u8], vault: &Vault) -> Option<Record> {
    let seal = frame::seal_of(vault, header.file_id).ok()?;
    let record = frame::decode(header, payload, seal.as_ref())?;
    let newlines = record.lines.iter().filter(|byte| **byte == b'\n').count();
    (newlines + 1 == record.rows as usize).then_some(record)
}

impl Report {
    fn new(mut found: Inspection) -> Report {
        let mut torn_tail_bytes = 0;
        if let Some(last) = found.files.last_mut() {
            torn_tail_bytes = last.len - last.good_end;
            last.forget_tail();
        }
        let next_seq = found.progress.next_seq;
        let sound = found.foreign.is_empty()
            && found.progress.missing_rows == 0
            && found.files.iter().all(|file| file.damaged == 0);
        Report {
            ok: sound,
            first_seq: found
                .files
                .first()
                .map_or(next_seq, |file| file.entry.first_seq),
            head: next_seq.saturating_sub(1),
            frames: found.files.iter().map(|file| file.frames).sum(),
            rows: found.files.iter().map(|file| file.rows).sum(),
            torn_tail_bytes,
            missing: found.progress.missing,
            missing_rows: found.progress.missing_rows,
            files: found.files.into_iter().map(FileReport::from).collect(),
            foreign: found.foreign,
        }
    }

    fn is_missing(&self, seq: u64) -> bool {
        seq > self.head
            || self
                .missing
                .iter()
                .any(|gap| (gap.first..=gap.last).contains(&seq))
    }
}

impl From<Inspected> for FileReport {
    fn from(found: Inspected) -> FileReport {
        FileReport {
            file: found.entry.name(),
            bytes: found.len,
            frames: found.frames,
            rows: found.rows,
            first_seq: found.entry.first_seq,
            next_seq: found.entry.next_seq,
            damage: found.damage,
            damaged: found.damaged,
        }
    }
}
