//! The folders of a repository, and who may write to it.

use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Duration, Utc};

use super::copy;
use crate::StoreError;
use crate::log::{LockFile, LogError};

/// What is being written carries this at the end of its name.
const TEMPORARY: &str = ".tmp";

/// A repository that this process writes to.
#[derive(Debug)]
pub(super) struct Repository {
    pub snapshots: PathBuf,
    pub segments: PathBuf,
    _lock: LockFile,
}

/// A snapshot that is being written.
#[derive(Debug)]
pub(super) struct Staging {
    pub name: String,
    /// Where it is written.
    pub dir: PathBuf,
    /// Where it will be.
    pub target: PathBuf,
    pub created: DateTime<Utc>,
}

impl Repository {
    /// Opens or makes the repository, and removes what a backup that was killed left behind.
    pub fn open(dir: &Path) -> Result<Repository, StoreError> {
        let io = || StoreError::io(format!("opening the repository {}", dir.display()));
        let (snapshots, segments) = (dir.join("snapshots"), dir.join("segments"));
        copy::make_dir(&snapshots).map_err(io())?;
        copy::make_dir(&segments).map_err(io())?;
        let lock = LockFile::acquire(&dir.join("lock")).map_err(|error| match error {
            LogError::Locked { .. } => StoreError::BackupRunning(dir.display().to_string()),
            error => error.into(),
        })?;
        for folder in [&snapshots, &segments] {
            for name in names(folder).map_err(io())? {
                if name.ends_with(TEMPORARY) {
                    fs::remove_dir_all(folder.join(name)).map_err(io())?;
                }
            }
        }
        Ok(Repository {
            snapshots,
            segments,
            _lock: lock,
        })
    }

    /// Begins a snapshot named after the time.
    pub fn begin(&self) -> Result<Staging, StoreError> {
        let mut created = Utc::now();
        loop {
            let name = created.format("%Y%m%dT%H%M%S%.3fZ").to_string();
            let target = self.snapshots.join(&name);
            if target.exists() {
                created += Duration::milliseconds(1);
                continue;
            }
            let dir = temporary(&target);
            copy::make_dir(&dir).map_err(StoreError::io(format!("making {}", dir.display())))?;
            return Ok(Staging {
                name,
                dir,
                target,
                created,
            });
        }
    }
}

/// The name under which `path` is written.
pub(super) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY);
    name.into()
}

/// Finished snapshots, oldest first.
pub(super) fn snapshots(dir: &Path) -> std::io::Result<Vec<String>> {
    let mut all = names(dir)?;
    all.retain(|name| !name.ends_with(TEMPORARY));
    Ok(all)
}

/// The names in a folder, in order.
pub(super) fn names(dir: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for item in fs::read_dir(dir)? {
        names.push(item?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
