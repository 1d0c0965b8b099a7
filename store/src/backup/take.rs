//! Making a snapshot, of a running store or of a folder that nobody uses.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::SecondsFormat;

use super::record::{self, FORMAT, Record, StoredFile};
use super::repository::{Repository, Staging};
use super::{BackupReport, copy, pool, prune};
use crate::log::{self, LockFile};
use crate::meta::{self, AuditEntry, Meta};
use crate::seal::blocking;
use crate::shared::{Shared, segments_dir};
use crate::{Store, StoreError, vault};

/// A file to take.
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    pub path: PathBuf,
    /// So many bytes of it are whole.
    pub bytes: u64,
    /// May more be appended? Such a file is copied and never linked.
    pub grows: bool,
}

/// A snapshot whose own files are in place.
struct Begun {
    staging: Staging,
    report: BackupReport,
    /// Id and folder of each segment.
    segments: Vec<(String, PathBuf)>,
}

impl Store {
    /// Puts a snapshot of everything acknowledged so far into the repository at `to`, a folder on
    /// this machine that is made when missing, and keeps the newest `keep` snapshots. Events are
    /// taken in meanwhile.
    ///
    /// # Errors
    /// [`StoreError::BackupRunning`]; a failure to read or write. Then no snapshot is left behind.
    pub async fn backup(&self, to: &Path, keep: Option<usize>) -> Result<BackupReport, StoreError> {
        let repository = open(to).await?;
        let shared = &self.shared;
        let staging = repository.begin()?;
        let dir = staging.dir.clone();
        let taken = take_running(shared, &repository, staging, keep).await;
        if taken.is_err() {
            // Best effort: the next backup removes it as well.
            let _ = fs::remove_dir_all(&dir);
        }
        taken
    }
}

async fn open(to: &Path) -> Result<Arc<Repository>, StoreError> {
    let to = to.to_owned();
    blocking(move || Repository::open(&to).map(Arc::new)).await
}

async fn take_running(
    shared: &Arc<Shared>,
    repository: &Arc<Repository>,
    staging: Staging,
    keep: Option<usize>,
) -> Result<BackupReport, StoreError> {
    // Nothing enters or leaves the manifest and no log file goes, until both are in the snapshot.
    let seals = shared.seals.acquire().await;
    let trims = shared.trims.acquire().await;
    copy_metadata(&shared.meta, &staging).await?;
    // Holding the view keeps the folders of its segments, whatever is done to them later.
    let view = shared.view.get();
    let segments = segments(&shared.meta, &shared.config.data_dir).await?;
    let work = shared.clone();
    let begun = blocking(move || {
        let data_dir = &work.config.data_dir;
        let mut report = BackupReport::default();
        let (head, log) = work.log.durable_files();
        report.head = head;
        count_metadata(&staging, &mut report)?;
        place(&staging, "log", &log, &mut report)?;
        place(&staging, "dead-letters", &work.dead.files(), &mut report)?;
        place_keys(&staging, data_dir, &mut report)?;
        Ok(Begun {
            staging,
            report,
            segments,
        })
    })
    .await?;
    drop((seals, trims));
    let report = finish(repository, begun, keep).await?;
    drop(view);
    Ok(report)
}

/// As [`Store::backup`], of a data folder that no server uses.
///
/// # Errors
/// When a server uses the folder; otherwise as [`Store::backup`].
pub async fn backup(
    data_dir: &Path,
    to: &Path,
    keep: Option<usize>,
) -> Result<BackupReport, StoreError> {
    if !data_dir.join(meta::FILE_NAME).exists() {
        let what = format!("there is no Watchfire data in {}", data_dir.display());
        return Err(StoreError::InvalidRequest(what));
    }
    let _lock = LockFile::acquire(&data_dir.join("lock"))?;
    let meta = Meta::open(data_dir).await?;
    let taken = take_resting(&meta, data_dir, to, keep).await;
    if let Ok(report) = &taken {
        meta.audit(&entry("system", report)).await?;
    }
    meta.close().await;
    taken
}

async fn take_resting(
    meta: &Meta,
    data_dir: &Path,
    to: &Path,
    keep: Option<usize>,
) -> Result<BackupReport, StoreError> {
    let repository = open(to).await?;
    let staging = repository.begin()?;
    copy_metadata(meta, &staging).await?;
    let segments = segments(meta, data_dir).await?;
    let data_dir = data_dir.to_owned();
    let begun = blocking(move || {
        let mut report = BackupReport {
            head: log::head_of(&data_dir.join("log"), is_encrypted(&data_dir))?,
            ..BackupReport::default()
        };
        count_metadata(&staging, &mut report)?;
        for folder in ["log", "dead-letters"] {
            let files = resting_files(&data_dir.join(folder))
                .map_err(StoreError::io(format!("listing {folder}")))?;
            place(&staging, folder, &files, &mut report)?;
        }
        place_keys(&staging, &data_dir, &mut report)?;
        Ok(Begun {
            staging,
            report,
            segments,
        })
    })
    .await?;
    finish(&repository, begun, keep).await
}

/// Who made which backup, for the audit trail.
fn entry(who: &str, report: &BackupReport) -> AuditEntry {
    AuditEntry {
        who: who.into(),
        what: "backup.create".into(),
        object: report.path.clone(),
        from_addr: None,
        detail: serde_json::json!({ "head": report.head, "segments": report.segments }),
    }
}

fn is_encrypted(data_dir: &Path) -> bool {
    data_dir.join(vault::FILE_NAME).exists()
}

/// Files of a folder, the last one of which goes on at the next start.
fn resting_files(dir: &Path) -> io::Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    if !dir.exists() {
        return Ok(files);
    }
    for name in copy::files_below(dir)? {
        let path = dir.join(name);
        let bytes = path.metadata()?.len();
        files.push(SourceFile {
            path,
            bytes,
            grows: false,
        });
    }
    if let Some(last) = files.last_mut() {
        last.grows = true;
    }
    Ok(files)
}

async fn segments(meta: &Meta, data_dir: &Path) -> Result<Vec<(String, PathBuf)>, StoreError> {
    let dir = segments_dir(data_dir);
    let rows = meta.segments().await?;
    let folder = |row: meta::SegmentRow| (row.id.clone(), dir.join(row.id));
    Ok(rows.into_iter().map(folder).collect())
}

async fn copy_metadata(meta: &Meta, staging: &Staging) -> Result<(), StoreError> {
    let copy = staging.dir.join(meta::FILE_NAME);
    meta.backup(&copy).await?;
    let secured = fs::set_permissions(&copy, fs::Permissions::from_mode(0o600))
        .and_then(|()| fs::File::open(&copy)?.sync_all());
    secured.map_err(StoreError::io(format!("writing {}", copy.display())))
}

fn count_metadata(staging: &Staging, report: &mut BackupReport) -> Result<(), StoreError> {
    let copy = staging.dir.join(meta::FILE_NAME);
    let found = copy.metadata();
    let found = found.map_err(StoreError::io(format!("reading {}", copy.display())))?;
    report.count(false, found.len());
    Ok(())
}

fn place_keys(
    staging: &Staging,
    data_dir: &Path,
    report: &mut BackupReport,
) -> Result<(), StoreError> {
    if !is_encrypted(data_dir) {
        return Ok(());
    }
    let (from, to) = (
        data_dir.join(vault::FILE_NAME),
        staging.dir.join(vault::FILE_NAME),
    );
    let copied = copy::copy(&from, &to, u64::MAX);
    let (bytes, _) = copied.map_err(StoreError::io(format!("copying {}", from.display())))?;
    report.count(false, bytes);
    Ok(())
}

/// Puts files into a folder of the snapshot. One that went away meanwhile is left out.
fn place(
    staging: &Staging,
    folder: &str,
    files: &[SourceFile],
    report: &mut BackupReport,
) -> Result<(), StoreError> {
    let dir = staging.dir.join(folder);
    copy::make_dir(&dir).map_err(StoreError::io(format!("making {}", dir.display())))?;
    for file in files {
        let Some(name) = file.path.file_name() else {
            continue;
        };
        let to = dir.join(name);
        let placed = match file.grows {
            true => copy::copy(&file.path, &to, file.bytes).map(|_| false),
            false => copy::link_or_copy(&file.path, &to),
        };
        match placed {
            Ok(linked) => report.count(linked, file.bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let context = format!("copying {}", file.path.display());
                return Err(StoreError::io(context)(error));
            }
        }
    }
    Ok(())
}

/// Puts segments into the pool, writes the record and gives the snapshot its name.
async fn finish(
    repository: &Arc<Repository>,
    begun: Begun,
    keep: Option<usize>,
) -> Result<BackupReport, StoreError> {
    let repository = repository.clone();
    blocking(move || {
        let Begun {
            staging,
            mut report,
            segments,
        } = begun;
        let mut pooled = Vec::with_capacity(segments.len());
        for (id, dir) in segments {
            let put = pool::put(&repository, &id, &dir, &mut report);
            let context = format!("putting segment {id} into the repository");
            match put.map_err(StoreError::io(context))? {
                Some(segment) => pooled.push(segment),
                None => report.missing.push(id),
            }
        }
        report.segments = pooled.len();
        let write = || -> io::Result<()> {
            let record = Record {
                format: FORMAT,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                created: staging.created.to_rfc3339_opts(SecondsFormat::Millis, true),
                head: report.head,
                encrypted: is_encrypted(&staging.dir),
                segments: pooled,
                files: own_files(&staging.dir)?,
            };
            record::write(&staging.dir.join(record::FILE_NAME), &record)?;
            copy::sync_dirs(&staging.dir)?;
            fs::rename(&staging.dir, &staging.target)?;
            fs::File::open(&repository.snapshots)?.sync_all()
        };
        write().map_err(StoreError::io(format!("writing {}", staging.dir.display())))?;
        report.path = staging.target.display().to_string();
        report.snapshot = staging.name;
        if let Some(keep) = keep {
            prune::prune(&repository, keep.max(1), &mut report)?;
        }
        Ok(report)
    })
    .await
}

/// The files of a snapshot with lengths and digests.
fn own_files(dir: &Path) -> io::Result<Vec<StoredFile>> {
    let mut files = Vec::new();
    for name in copy::files_below(dir)? {
        let (bytes, sha256) = copy::digest(&dir.join(&name))?;
        files.push(StoredFile {
            name,
            bytes,
            sha256,
        });
    }
    Ok(files)
}
