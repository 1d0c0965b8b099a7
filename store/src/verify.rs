//! Checks a data folder that no server uses: log, segments, metadata and each against the other.

use std::path::Path;

use serde::Serialize;

use crate::StoreError;
use crate::log::{self, LockFile};
use crate::meta::{AuditReport, Meta};
use crate::segment::Segment;
use crate::shared::segments_dir;
use crate::vault::{MasterKey, Vault};

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
    /// Events that are neither in a segment nor in the log any more.
    pub unaccounted_rows: u64,
    /// Faults in the structure of the metadata database.
    pub metadata: Vec<String>,
    /// The chain of the audit trail.
    pub audit: AuditReport,
}

/// Reads every byte of a data folder and compares checksums. Changes nothing.
///
/// # Errors
/// When the folder is in use or cannot be read at all.
pub async fn verify(
    data_dir: &Path,
    master_key: Option<&MasterKey>,
) -> Result<VerifyReport, StoreError> {
    if !data_dir.join("meta.sqlite").exists() {
        return Err(StoreError::Internal(
            "there is no Watchfire data in this folder".into(),
        ));
    }
    let _lock = LockFile::acquire(&data_dir.join("lock"))?;
    let vault = Vault::open(data_dir, master_key)?;
    let meta = Meta::open(data_dir).await?.with_vault(vault.clone());
    let rows = meta.segments().await?;
    let position = meta.store_position().await?;
    let dir = segments_dir(data_dir);
    let log_dir = data_dir.join("log");
    let listed = rows.clone();
    let checked = tokio::task::spawn_blocking(move || {
        let (mut damaged, mut sound) = (Vec::new(), 0);
        for row in &listed {
            let opened = Segment::open(&dir.join(&row.id), &vault);
            match opened.and_then(|segment| segment.verify()) {
                Ok(()) => sound += row.rows,
                Err(error) => damaged.push(format!("{}: {error}", row.id)),
            }
        }
        Ok::<_, StoreError>((damaged, sound, log::verify(&log_dir, &vault)?))
    });
    let (damaged, segment_rows, log) = checked
        .await
        .map_err(|error| StoreError::Internal(error.to_string()))??;
    let metadata = meta.verify_file().await?;
    let audit = meta.verify_audit(None).await?;
    meta.close().await;
    // What is not sealed must still be in the log.
    let unaccounted_rows = log.first_seq.saturating_sub(position + 1);
    let ok = log.ok
        && damaged.is_empty()
        && unaccounted_rows == 0
        && metadata.is_empty()
        && audit.broken.is_none();
    Ok(VerifyReport {
        ok,
        log,
        segments: rows.len(),
        segment_rows,
        damaged,
        unaccounted_rows,
        metadata,
        audit,
    })
}
