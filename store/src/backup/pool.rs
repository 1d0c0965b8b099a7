//! Segments in a repository: each is put there once, however many snapshots need it.

use std::fs;
use std::io;
use std::path::Path;

use super::record::{self, PooledSegment, StoredFile};
use super::repository::{Repository, temporary};
use super::{BackupReport, copy};

/// Describes the files of a pooled segment, beside them.
const FILE_NAME: &str = "files.json";
/// What tells two segments of the same id apart: it names all other files with checksums.
const INFO_FILE: &str = "segment.json";
/// Digits of the digest in the name of a folder.
const DIGITS: usize = 16;

/// A look at the length alone: reading everything again for each backup would take hours.
fn is_there(dir: &Path, file: &StoredFile) -> bool {
    let found = dir.join(&file.name).metadata();
    found.is_ok_and(|found| found.len() == file.bytes)
}

/// Puts the segment of folder `dir` into the pool unless it is there. `None` when the folder, or
/// what describes it, is gone.
pub(super) fn put(
    repository: &Repository,
    id: &str,
    dir: &Path,
    report: &mut BackupReport,
) -> io::Result<Option<PooledSegment>> {
    let info = match fs::read(dir.join(INFO_FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let digest = copy::sha256(&info);
    let folder = format!("{id}-{}", digest.get(..DIGITS).unwrap_or_default());
    let target = repository.segments.join(&folder);
    let listed = target.join(FILE_NAME);
    if let Ok(files) = record::read::<Vec<StoredFile>>(&listed)
        && files.iter().all(|file| is_there(&target, file))
    {
        let id = id.to_owned();
        return Ok(Some(PooledSegment { id, folder, files }));
    }
    if target.exists() {
        // Something of it is missing. Put there anew it is the same, for older snapshots too.
        fs::remove_dir_all(&target)?;
    }
    let staging = temporary(&target);
    let mut files = Vec::new();
    for name in copy::files_below(dir)? {
        let to = staging.join(&name);
        if let Some(parent) = to.parent() {
            copy::make_dir(parent)?;
        }
        let linked = copy::link_or_copy(&dir.join(&name), &to)?;
        let (bytes, sha256) = copy::digest(&to)?;
        report.count(linked, bytes);
        files.push(StoredFile {
            name,
            bytes,
            sha256,
        });
    }
    record::write(&staging.join(FILE_NAME), &files)?;
    copy::sync_dirs(&staging)?;
    fs::rename(&staging, &target)?;
    fs::File::open(&repository.segments)?.sync_all()?;
    report.new_segments += 1;
    let id = id.to_owned();
    Ok(Some(PooledSegment { id, folder, files }))
}
