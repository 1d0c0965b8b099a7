//! The one place that appends: encode, write once, sync once; undo what failed.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use lz4_flex::block::CompressTable;
use watchfire_event::Record;

use super::disk_file::{Disk, LogFile};
use super::error::LogError;
use super::frame::{self, FileHeader};
use super::index::{FileEntry, Mark, format_name};
use crate::vault::{SmallSeal, Vault};

/// The encode buffer is given back when one group made it larger than this.
const BUFFER_KEPT_BYTES: usize = 8 << 20;

/// Appends to the active file.
pub(super) struct Writer {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    vault: Vault,
    active: Active,
    next_seq: u64,
    buffer: Vec<u8>,
    table: CompressTable,
    poisoned: Option<String>,
}

/// The file that is appended to.
pub(super) struct Active {
    pub file: Box<dyn LogFile>,
    pub path: PathBuf,
    pub id: u64,
    /// Durable length.
    pub len: u64,
    /// Encrypts its payloads.
    pub seal: Option<SmallSeal>,
}

/// What one append made durable.
pub(super) struct Appended {
    pub first_seq: u64,
    pub next_seq: u64,
    /// Length of the active file now.
    pub len: u64,
    pub frames: Vec<Mark>,
}

impl Writer {
    /// Goes on in `active`.
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        dir: &Path,
        vault: Vault,
        active: Active,
        next_seq: u64,
    ) -> Writer {
        Writer {
            disk,
            dir: dir.to_owned(),
            vault,
            active,
            next_seq,
            buffer: Vec::new(),
            table: CompressTable::default(),
            poisoned: None,
        }
    }

    /// Durable length of the active file.
    pub(super) fn active_len(&self) -> u64 {
        self.active.len
    }

    /// Sequence number of the next row.
    pub(super) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Fails for good after a failed sync.
    pub(super) fn check(&self) -> Result<(), LogError> {
        match &self.poisoned {
            Some(reason) => Err(LogError::Poisoned {
                reason: reason.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Makes all records durable, or none.
    pub(super) fn append(&mut self, records: &[Record]) -> Result<Appended, LogError> {
        self.check()?;
        records.iter().try_for_each(frame::check)?;
        let (first_seq, start) = (self.next_seq, self.active.len);
        let mut next_seq = first_seq;
        let mut frames = Vec::with_capacity(records.len());
        self.buffer.clear();
        // A record without rows has no sequence number and nothing to keep.
        for record in records.iter().filter(|record| record.rows > 0) {
            frames.push(Mark {
                seq: next_seq,
                offset: start + self.buffer.len() as u64,
            });
            let (id, seal) = (self.active.id, self.active.seal.as_ref());
            let (table, buffer) = (&mut self.table, &mut self.buffer);
            frame::encode(record, id, next_seq, seal, table, buffer)?;
            next_seq += u64::from(record.rows);
        }
        self.write_buffer()?;
        if self.buffer.capacity() > BUFFER_KEPT_BYTES {
            self.buffer = Vec::new();
        }
        self.next_seq = next_seq;
        Ok(Appended {
            first_seq,
            next_seq,
            len: self.active.len,
            frames,
        })
    }

    fn write_buffer(&mut self) -> Result<(), LogError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let start = self.active.len;
        if let Err(error) = self.active.file.write_all_at(&self.buffer, start) {
            // Part of it may be in the file. It was never acknowledged, so it must go.
            if let Err(undo) = self.active.file.set_len(start) {
                let reason = format!("write failed ({error}), and so did undoing it ({undo})");
                return Err(self.poison(reason));
            }
            return Err(LogError::io("append to", &self.active.path)(error));
        }
        let begun = Instant::now();
        if let Err(error) = self.active.file.sync_data() {
            // Without this a restart could find the frames in the page cache although they are
            // not on disk, and serve what nobody was told is safe. Best effort: no second sync.
            let _ = self.active.file.set_len(start);
            return Err(self.poison(format!("sync failed: {error}")));
        }
        metrics::histogram!("watchfire_log_sync_seconds").record(begun.elapsed());
        metrics::counter!("watchfire_log_written_bytes_total").increment(self.buffer.len() as u64);
        self.active.len += self.buffer.len() as u64;
        Ok(())
    }

    /// Starts a new active file. On error the old one stays active.
    pub(super) fn rotate(&mut self) -> Result<FileEntry, LogError> {
        self.check()?;
        match create_file(self.disk.as_ref(), &self.dir, &self.vault, self.next_seq) {
            Ok((active, entry)) => {
                self.active = active;
                Ok(entry)
            }
            Err(CreateError::Write(error)) => Err(error),
            Err(CreateError::Sync(error)) => Err(self.poison(error.to_string())),
        }
    }

    /// Makes the deletion of `path` durable.
    pub(super) fn remove(&mut self, path: &Path) -> Result<(), LogError> {
        self.check()?;
        match self.disk.remove(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed.map_err(LogError::io("delete", path))?,
        }
        self.disk
            .sync_dir(&self.dir)
            .map_err(|error| self.poison(format!("sync of {} failed: {error}", self.dir.display())))
    }

    fn poison(&mut self, reason: String) -> LogError {
        metrics::counter!("watchfire_log_poisoned_total").increment(1);
        self.poisoned = Some(reason.clone());
        LogError::Poisoned { reason }
    }
}

/// How creating a file failed.
pub(super) enum CreateError {
    /// Nothing is left behind; try again later.
    Write(LogError),
    /// Final: a sync failed.
    Sync(LogError),
}

impl From<CreateError> for LogError {
    fn from(error: CreateError) -> LogError {
        match error {
            CreateError::Write(error) | CreateError::Sync(error) => error,
        }
    }
}

/// Creates a log file with its header; file and name are durable when this returns.
pub(super) fn create_file(
    disk: &dyn Disk,
    dir: &Path,
    vault: &Vault,
    first_seq: u64,
) -> Result<(Active, FileEntry), CreateError> {
    // Seeded from the system's randomness: nobody outside can guess it and forge a frame.
    let id = RandomState::new().hash_one((SystemTime::now(), first_seq));
    let path = dir.join(format_name(first_seq, id));
    let failed = |action| {
        let path = path.clone();
        move |source| LogError::Io {
            action,
            path,
            source,
        }
    };
    let seal = frame::seal_of(vault, id)
        .map_err(failed("make a key for"))
        .map_err(CreateError::Write)?;
    let file = disk
        .create(&path)
        .map_err(failed("create"))
        .map_err(CreateError::Write)?;
    let header = FileHeader {
        format: frame::format_of(vault.is_sealing()),
        id,
        first_seq,
    }
    .encode();
    if let Err(error) = file.write_all_at(&header, 0) {
        // A leftover without a whole header is removed by the next recovery.
        let _ = disk.remove(&path);
        return Err(CreateError::Write(failed("write the header of")(error)));
    }
    file.sync_data()
        .map_err(failed("sync"))
        .map_err(CreateError::Sync)?;
    disk.sync_dir(dir)
        .map_err(failed("sync the folder of"))
        .map_err(CreateError::Sync)?;
    let entry = FileEntry::new(path.clone(), id, first_seq);
    let len = entry.len;
    Ok((
        Active {
            file,
            path,
            id,
            len,
            seal,
        },
        entry,
    ))
}
