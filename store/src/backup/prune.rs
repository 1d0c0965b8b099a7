//! Letting old snapshots go, and the segments that only they needed.

use std::collections::HashSet;
use std::fs;

use super::BackupReport;
use super::record;
use super::repository::{Repository, names, snapshots, temporary};
use crate::StoreError;

/// Keeps the newest `keep` snapshots.
///
/// Where the record of one that stays cannot be read, no segment is removed: it might need any.
pub(super) fn prune(
    repository: &Repository,
    keep: usize,
    report: &mut BackupReport,
) -> Result<(), StoreError> {
    let io = || StoreError::io("removing old backups");
    let all = snapshots(&repository.snapshots).map_err(io())?;
    let (old, kept) = all.split_at(all.len().saturating_sub(keep));
    for name in old {
        // Half a snapshot must not be taken for a whole one.
        let path = repository.snapshots.join(name);
        let gone = temporary(&path);
        fs::rename(&path, &gone).map_err(io())?;
        fs::remove_dir_all(&gone).map_err(io())?;
        report.removed_snapshots.push(name.clone());
    }
    let mut needed = HashSet::new();
    for name in kept {
        let record = record::of_snapshot(&repository.snapshots.join(name))?;
        needed.extend(record.segments.into_iter().map(|segment| segment.folder));
    }
    for name in names(&repository.segments).map_err(io())? {
        if !needed.contains(&name) {
            fs::remove_dir_all(repository.segments.join(&name)).map_err(io())?;
            report.removed_segments += 1;
        }
    }
    Ok(())
}
