//! A data folder out of a snapshot, every byte compared with its digest on the way.

use std::fs;
use std::path::Path;

use serde::Serialize;

use super::copy;
use super::record::{self, Record, StoredFile};
use super::repository::snapshots;
use crate::StoreError;
use crate::meta;

/// Where files are put until all are there.
const STAGING: &str = "restoring";

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    /// Name of the snapshot.
    pub snapshot: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// The last sequence number it holds.
    pub head: u64,
    /// Is a master key needed to open it?
    pub encrypted: bool,
    /// Segments restored.
    pub segments: usize,
    /// Files restored.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Makes the data folder `data_dir`, which must be empty or missing, out of a snapshot of the
/// repository, by default the newest.
///
/// # Errors
/// [`StoreError::InvalidRequest`] when there is no such snapshot or the folder is not empty;
/// [`StoreError::Corrupt`] naming the file that is not what was backed up. The folder is then as
/// empty as before.
pub fn restore(
    repository: &Path,
    snapshot: Option<&str>,
    data_dir: &Path,
) -> Result<RestoreReport, StoreError> {
    let name = choose(repository, snapshot)?;
    let source = repository.join("snapshots").join(&name);
    let record = record::of_snapshot(&source)?;
    let io = || StoreError::io(format!("restoring to {}", data_dir.display()));
    copy::make_dir(data_dir).map_err(io())?;
    if fs::read_dir(data_dir).map_err(io())?.next().is_some() {
        let what = format!("{} is not empty", data_dir.display());
        return Err(StoreError::InvalidRequest(what));
    }
    let staging = data_dir.join(STAGING);
    let report = RestoreReport {
        snapshot: name,
        created: record.created.clone(),
        head: record.head,
        encrypted: record.encrypted,
        segments: record.segments.len(),
        files: 0,
        bytes: 0,
    };
    let filled = fill(repository, &source, &record, &staging, report);
    let restored = filled.and_then(|report| {
        move_in(&staging, data_dir).map_err(io())?;
        Ok(report)
    });
    if restored.is_err() {
        // Best effort: what is left keeps a second attempt from starting, which then says so.
        let _ = fs::remove_dir_all(&staging);
    }
    restored
}

/// Refuses a data folder into which a restore was begun and not finished.
///
/// # Errors
/// [`StoreError::InvalidRequest`].
pub(crate) fn refuse_half_restored(data_dir: &Path) -> Result<(), StoreError> {
    match data_dir.join(STAGING).exists() {
        true => Err(StoreError::InvalidRequest(format!(
            "a restore to {} did not finish; empty the folder and restore again",
            data_dir.display()
        ))),
        false => Ok(()),
    }
}

fn choose(repository: &Path, snapshot: Option<&str>) -> Result<String, StoreError> {
    let dir = repository.join("snapshots");
    let context = format!("reading the repository {}", repository.display());
    let mut all = snapshots(&dir).map_err(StoreError::io(context))?;
    let found = match snapshot {
        Some(name) => all.into_iter().find(|n| n == name),
        None => all.pop(),
    };
    found.ok_or_else(|| {
        let what = snapshot.unwrap_or("any");
        let what = format!("{} holds no snapshot {what}", repository.display());
        StoreError::InvalidRequest(what)
    })
}

fn fill(
    repository: &Path,
    source: &Path,
    record: &Record,
    staging: &Path,
    mut report: RestoreReport,
) -> Result<RestoreReport, StoreError> {
    let io = || StoreError::io(format!("writing {}", staging.display()));
    for folder in ["log", "segments", "dead-letters"] {
        copy::make_dir(&staging.join(folder)).map_err(io())?;
    }
    let mut bring = |from: &Path, to: &Path, files: &[StoredFile]| {
        for file in files {
            bring_one(&from.join(&file.name), &to.join(&file.name), file)?;
            report.files += 1;
            report.bytes += file.bytes;
        }
        Ok::<(), StoreError>(())
    };
    bring(source, staging, &record.files)?;
    for segment in &record.segments {
        let from = repository.join("segments").join(&segment.folder);
        let to = staging.join("segments").join(&segment.id);
        bring(&from, &to, &segment.files)?;
    }
    copy::sync_dirs(staging).map_err(io())?;
    Ok(report)
}

/// Copies one file and compares what was read.
fn bring_one(from: &Path, to: &Path, file: &StoredFile) -> Result<(), StoreError> {
    if let Some(parent) = to.parent() {
        copy::make_dir(parent).map_err(StoreError::io(format!("making {}", parent.display())))?;
    }
    let damaged = |what: &str| StoreError::Corrupt(format!("{} {what}", from.display()));
    let (bytes, sha256) = match copy::copy(from, to, u64::MAX) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(damaged("is missing from the repository"));
        }
        copied => copied.map_err(StoreError::io(format!("copying {}", from.display())))?,
    };
    match bytes == file.bytes && sha256 == file.sha256 {
        true => Ok(()),
        false => Err(damaged("is not what was backed up")),
    }
}

/// Moves everything into the data folder, the metadata last: without it nothing is opened.
fn move_in(staging: &Path, data_dir: &Path) -> std::io::Result<()> {
    let mut names = super::repository::names(staging)?;
    names.sort_by_key(|name| name == meta::FILE_NAME);
    for name in names {
        fs::rename(staging.join(&name), data_dir.join(&name))?;
    }
    fs::remove_dir(staging)?;
    fs::File::open(data_dir)?.sync_all()
}
