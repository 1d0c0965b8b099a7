//! Checks a data folder that no server uses: log, segments, index, metadata, and each against the
//! others.

mod segment;
mod words;

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::StoreError;
use crate::log::{self, LockFile, Receipt, ReceiptCheck};
use crate::meta::{AuditReport, Meta, SegmentRow};
use crate::segment::Segment;
use crate::shared::segments_dir;
use crate::vault::{MasterKey, Vault};

/// How [`verify`] is done.
#[derive(Default)]
pub struct VerifyOptions {
    /// For an encrypted folder.
    pub master_key: Option<MasterKey>,
    /// Receipts of requests, to be compared with what the log holds.
    pub receipts: Vec<Receipt>,
    /// Told how far the check has come.
    pub progress: Option<Arc<dyn Fn(VerifyProgress) + Send + Sync>>,
}

/// How far a check has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyProgress {
    /// Segments that were checked.
    pub segments: u64,
    /// Segments to check.
    pub of: u64,
}

/// What [`verify`] found.
#[derive(Debug, Serialize)]
pub struct VerifyReport {
    /// Nothing is damaged or missing.
    pub ok: bool,
    /// The log.
    pub log: log::Report,
    /// Segments in the manifest.
    pub segments: usize,
    /// Events in sound segments.
    pub segment_rows: u64,
    /// Segments that are damaged or missing, with the reason.
    pub damaged: Vec<String>,
    /// What was compared inside of segments.
    pub compared: Compared,
    /// Where log, manifest and segments do not agree about sequence numbers.
    pub contradictions: Vec<String>,
    /// Events that are neither in a segment nor in the log any more.
    pub unaccounted_rows: u64,
    /// Faults in the structure of the metadata database.
    pub metadata: Vec<String>,
    /// The chain of the audit trail.
    pub audit: AuditReport,
    /// What the log says to the receipts that were given, in their order.
    pub receipts: Vec<CheckedReceipt>,
}

/// A receipt and what became of its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckedReceipt {
    /// The receipt as the sender got it.
    pub receipt: String,
    /// What the log says.
    pub found: ReceiptCheck,
}

/// Counts of what was read and compared in segments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// Columns read from their first row to their last.
    pub columns: u64,
    /// Words whose rows are the same in the index and in the column.
    pub words: u64,
    /// Values looked up in filters.
    pub values: u64,
}

/// What was found in the segments.
#[derive(Default)]
struct Segments {
    damaged: Vec<String>,
    sound_rows: u64,
    compared: Compared,
}

/// Reads every byte of a data folder and compares it with what is said about it elsewhere.
/// Changes nothing.
///
/// # Errors
/// When the folder is in use, cannot be read at all, or is encrypted under another key.
pub async fn verify(data_dir: &Path, options: VerifyOptions) -> Result<VerifyReport, StoreError> {
    if !data_dir.join("meta.sqlite").exists() {
        return Err(StoreError::Internal(
            "there is no Watchfire data in this folder".into(),
        ));
    }
    let _lock = LockFile::acquire(&data_dir.join("lock"))?;
    let vault = Vault::open(data_dir, options.master_key.as_ref())?;
    let meta = Meta::open(data_dir).await?.with_vault(vault.clone());
    let rows = meta.segments().await?;
    let position = meta.store_position().await?;
    // Reading it also proves that it can be decrypted.
    let detection = meta.detection_position().await?;
    let (dir, listed) = (data_dir.to_owned(), rows.clone());
    let checked = tokio::task::spawn_blocking(move || {
        let segments = check_segments(&dir, &listed, &vault, options.progress.as_deref());
        let log = log::verify(&dir.join("log"), &vault, &options.receipts)?;
        Ok::<_, StoreError>((segments, log, options.receipts))
    });
    let (segments, (log, checks), receipts) = checked
        .await
        .map_err(|error| StoreError::Internal(error.to_string()))??;
    let metadata = meta.verify_file().await?;
    let audit = meta.verify_audit(None).await?;
    meta.close().await;
    // What is not sealed must still be in the log.
    let unaccounted_rows = log.first_seq.saturating_sub(position + 1);
    let contradictions = contradictions(&rows, position, detection, log.head);
    let receipts = receipts.iter().zip(checks).map(|(receipt, found)| {
        let receipt = receipt.to_string();
        CheckedReceipt { receipt, found }
    });
    let receipts: Vec<CheckedReceipt> = receipts.collect();
    let kept = |r: &CheckedReceipt| matches!(r.found, ReceiptCheck::Kept | ReceiptCheck::PassedOn);
    let ok = log.ok
        && segments.damaged.is_empty()
        && contradictions.is_empty()
        && unaccounted_rows == 0
        && metadata.is_empty()
        && audit.broken.is_none()
        && receipts.iter().all(kept);
    Ok(VerifyReport {
        ok,
        log,
        segments: rows.len(),
        segment_rows: segments.sound_rows,
        damaged: segments.damaged,
        compared: segments.compared,
        contradictions,
        unaccounted_rows,
        metadata,
        audit,
        receipts,
    })
}

fn check_segments(
    data_dir: &Path,
    rows: &[SegmentRow],
    vault: &Vault,
    progress: Option<&(dyn Fn(VerifyProgress) + Send + Sync)>,
) -> Segments {
    let (dir, of) = (segments_dir(data_dir), rows.len() as u64);
    let mut found = Segments::default();
    for (done, row) in rows.iter().enumerate() {
        if let Some(tell) = progress {
            let segments = done as u64;
            tell(VerifyProgress { segments, of });
        }
        let opened = Segment::open(&dir.join(&row.id), vault);
        match opened.and_then(|opened| segment::check(&opened, row, &mut found.compared)) {
            Ok(()) => found.sound_rows += row.rows,
            Err(error) => found.damaged.push(format!("{}: {error}", row.id)),
        }
    }
    if let Some(tell) = progress {
        tell(VerifyProgress { segments: of, of });
    }
    found
}

/// Sequence numbers are given once, in one order, and every reader is behind the log.
fn contradictions(rows: &[SegmentRow], position: u64, detection: u64, head: u64) -> Vec<String> {
    let mut found = Vec::new();
    for pair in rows.windows(2) {
        let [a, b] = pair else { continue };
        if b.first_seq <= a.last_seq {
            found.push(format!(
                "segments {} and {} both claim the events {} to {}",
                a.id,
                b.id,
                b.first_seq,
                a.last_seq.min(b.last_seq)
            ));
        }
    }
    for row in rows.iter().filter(|row| row.last_seq > position) {
        found.push(format!(
            "segment {} ends after {position}, up to where events are said to be in segments",
            row.id
        ));
    }
    for (reader, seq) in [("the segments", position), ("detection", detection)] {
        if seq > head {
            found.push(format!(
                "the log ends at {head}, and {reader} came to {seq}"
            ));
        }
    }
    found
}
