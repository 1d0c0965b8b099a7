//! The durable log: what is acknowledged is in here first.
//!
//! # On disk
//!
//! A folder (0700) of files (0600) named `<first sequence number>-<file id>.log`. All numbers are
//! little-endian, all checksums CRC32C. A file is a header of 32 bytes and then frames:
//!
//! ```text
//! file header   0 magic F5 "WFLOG\r\n"   8 checksum of 12..32   12 format u32 = 1 or 2
//!              16 file id u64           24 first sequence number u64
//!
//! frame header  0 magic F5 "WFr"         4 checksum of 8..48     8 file id u64
//!              16 first sequence u64    24 received_ns i64      32 rows u32
//!              36 payload bytes u32     40 lines bytes u32      44 checksum of the payload
//! payload       0 source bytes u16       2 keys u32              6 source, keys (16 bytes each),
//!                                                                  lines as one LZ4 block
//! ```
//!
//! In a file of format 2 the payload is encrypted: a random nonce of 12 bytes, what is drawn
//! above under AES-256-GCM, a tag of 16. It is bound to its header and has the key of its file.
//! The checksum of the payload is of the bytes on disk.
//!
//! One frame holds one record: the accepted lines of one request. Its rows have the sequence
//! numbers `first ..`; the next frame goes on from there. The random file id in every frame makes
//! frames of another file worthless here, however they got into it.
//!
//! # Limits
//!
//! 64 MiB of lines, 2^20 keys and 1 KiB of source name a record. A file is closed by the first
//! append that finds it at `file_bytes` or more, so it exceeds that by less than one append.
//!
//! # Rules
//!
//! - An append is one write and one `fdatasync` for all its records; new names are made durable by
//!   syncing the folder before anything is put under them.
//! - A failed write is undone by cutting the file back. A failed sync is final ([`LogError`]).
//! - Opening cuts a torn tail off the last file. Any other damage is skipped, counted and told
//!   ([`Recovered`]), and never served. Both checksums are checked on opening and at each read.
//! - A block that the disk cannot read is damage like any other, except after the last frame of
//!   the last file: what is there cannot be told from a torn tail and must not be cut, so opening
//!   fails.
//! - [`Log::trim`] deletes whole files, oldest first, never the active one, so the next sequence
//!   number survives an empty log.

mod damage;
pub mod dead;
pub mod dedup;
pub mod disk;
mod disk_file;
mod error;
mod frame;
mod index;
mod inspect;
mod lock;
mod reader;
mod receipt;
mod recovery;
mod scan;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use watchfire_event::Record;

use disk_file::{Disk, OsDisk};
use frame::FILE_HEADER_BYTES;
use index::Index;
use reader::KnownDamage;
use writer::Writer;

use crate::backup::SourceFile;
use crate::vault::Vault;

pub use damage::{Damage, DamageKind, SeqRange};
pub use error::LogError;
pub use frame::{MAX_KEYS, MAX_LINES_BYTES, MAX_SOURCE_BYTES};
pub(crate) use inspect::{head_of, holds_encrypted};
pub use lock::LockFile;
pub use receipt::{NotAReceipt, Receipt};
pub use recovery::{Cut, Recovered};
pub use verify::{FileReport, ReceiptCheck, Report, verify};

/// An active file that every reader has passed is closed and deleted from this size on; below it
/// the churn would cost more than the space.
const TRIM_ACTIVE_BYTES: u64 = 1 << 20;

/// How a [`Log`] behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogConfig {
    /// A file of this size or more is followed by a new one.
    pub file_bytes: u64,
    /// Sequence numbers up to this one are in use elsewhere (segments, detector position) and are
    /// never given out again, whatever became of the log's files.
    pub floor_seq: u64,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig {
            file_bytes: 16 << 20,
            floor_seq: 0,
        }
    }
}

impl LogConfig {
    /// Is a file of `len` bytes followed by a new one? One without frames never is: two files
    /// with the same first sequence number would have no order.
    fn is_full(&self, len: u64) -> bool {
        len > FILE_HEADER_BYTES as u64 && len >= self.file_bytes
    }
}

/// A segmented write-ahead log. All methods block on the disk; share it by `Arc`.
pub struct Log {
    config: LogConfig,
    disk: Arc<dyn Disk>,
    vault: Vault,
    writer: Mutex<Writer>,
    index: Mutex<Index>,
    known_damage: KnownDamage,
    head: AtomicU64,
    opened: Instant,
    /// Milliseconds after `opened` plus one at which the append under way began; 0 for none.
    append_begun: AtomicU64,
}

impl Log {
    /// Opens the log in `dir`, creating or recovering it as needed. The caller holds a
    /// [`LockFile`]: two processes in one folder would destroy it.
    ///
    /// # Errors
    /// [`LogError::NewerFormat`] and [`LogError::OtherSealing`] before anything is changed;
    /// [`LogError::Io`].
    pub fn open(
        dir: &Path,
        config: LogConfig,
        vault: &Vault,
    ) -> Result<(Log, Recovered), LogError> {
        Log::open_on(dir, config, vault, Arc::new(OsDisk))
    }

    fn open_on(
        dir: &Path,
        config: LogConfig,
        vault: &Vault,
        disk: Arc<dyn Disk>,
    ) -> Result<(Log, Recovered), LogError> {
        let (writer, index, recovered) = recovery::recover(dir, config, vault, disk.clone())?;
        let known_damage = KnownDamage::default();
        for damage in &recovered.damage {
            known_damage.remember(damage);
        }
        let log = Log {
            config,
            disk,
            vault: vault.clone(),
            writer: Mutex::new(writer),
            index: Mutex::new(index),
            known_damage,
            head: AtomicU64::new(recovered.head),
            opened: Instant::now(),
            append_begun: AtomicU64::new(0),
        };
        log.record_size();
        Ok((log, recovered))
    }

    /// Makes `records` durable, all or none, with one write and one sync, and returns the sequence
    /// number of the first row. Records without rows are left out.
    ///
    /// # Errors
    /// Nothing of `records` is kept on any error. [`LogError::Io`] heals by itself (see
    /// [`LogError::is_full`]); [`LogError::Poisoned`] is final.
    pub fn append(&self, records: &[Record]) -> Result<u64, LogError> {
        let mut writer = lock(&self.writer);
        self.append_begun
            .store(self.now_ms() + 1, Ordering::Relaxed);
        let appended = self.append_locked(&mut writer, records);
        self.append_begun.store(0, Ordering::Relaxed);
        appended
    }

    fn append_locked(&self, writer: &mut Writer, records: &[Record]) -> Result<u64, LogError> {
        if self.config.is_full(writer.active_len()) {
            self.rotate(writer)?;
        }
        let appended = writer.append(records)?;
        if let Some(active) = lock(&self.index).files.back_mut() {
            appended.frames.iter().for_each(|frame| active.note(*frame));
            active.len = appended.len;
            active.next_seq = appended.next_seq;
        }
        self.head.store(appended.next_seq - 1, Ordering::Release);
        self.record_size();
        Ok(appended.first_seq)
    }

    /// Records with rows after `after_seq`, in order, each with the sequence number of its first
    /// row, until they have `max_rows` rows or about 64 MiB of lines. At least one record if there
    /// is any; a record that has `after_seq` in its midst comes whole. Damaged frames are skipped,
    /// so numbers may be missing between two records.
    ///
    /// # Errors
    /// [`LogError::Io`] when a file cannot be read.
    pub fn read_from(
        &self,
        after_seq: u64,
        max_rows: usize,
    ) -> Result<Vec<(u64, Record)>, LogError> {
        if after_seq >= self.head() {
            return Ok(Vec::new());
        }
        reader::read_from(
            (self.disk.as_ref(), &self.vault),
            &self.index,
            &self.known_damage,
            after_seq,
            max_rows.max(1),
        )
    }

    /// Deletes the files whose rows all have numbers up to `up_to_seq`. Returns how many.
    ///
    /// # Errors
    /// [`LogError::Io`] when a file cannot be deleted; the rest is kept for the next call.
    pub fn trim(&self, up_to_seq: u64) -> Result<usize, LogError> {
        let mut writer = lock(&self.writer);
        let active_passed = writer.next_seq() <= up_to_seq.saturating_add(1);
        if active_passed && writer.active_len() > TRIM_ACTIVE_BYTES {
            self.rotate(&mut writer)?;
        }
        let mut deleted = 0;
        loop {
            let oldest = lock(&self.index).passed(up_to_seq);
            let Some(path) = oldest else {
                break;
            };
            // One by one, each made durable: a crash must not leave a hole between older and
            // newer files, which would look like damage.
            writer.remove(&path)?;
            lock(&self.index).files.pop_front();
            deleted += 1;
        }
        if deleted > 0 {
            self.record_size();
        }
        Ok(deleted)
    }

    /// The files as far as they are durable, oldest first, and the last sequence number in them.
    pub(crate) fn durable_files(&self) -> (u64, Vec<SourceFile>) {
        let index = lock(&self.index);
        let mut files: Vec<SourceFile> = index
            .files
            .iter()
            .map(|file| SourceFile {
                path: file.path.clone(),
                bytes: file.len,
                grows: false,
            })
            .collect();
        if let Some(active) = files.last_mut() {
            active.grows = true;
        }
        let next_seq = index.files.back().map_or(1, |file| file.next_seq);
        (next_seq.saturating_sub(1), files)
    }

    /// Begins a new file if the active one holds rows up to `up_to_seq`, so that these can be
    /// trimmed once everybody has passed all of their files. Returns how many files hold such
    /// rows, and the last sequence number in them; 0 for none.
    ///
    /// # Errors
    /// [`LogError::Io`] when no new file can be made; the old one stays active.
    pub fn close_up_to(&self, up_to_seq: u64) -> Result<(usize, u64), LogError> {
        let mut writer = lock(&self.writer);
        let active = lock(&self.index).files.back().map(|f| f.holds(up_to_seq));
        if active == Some(true) {
            self.rotate(&mut writer)?;
        }
        let index = lock(&self.index);
        let holding = || index.files.iter().filter(|f| f.holds(up_to_seq));
        let last = holding().map(|f| f.next_seq - 1).max();
        Ok((holding().count(), last.unwrap_or(0)))
    }

    /// Last sequence number that is durable; 0 for none.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    /// First sequence number that the log may still hold.
    #[must_use]
    pub fn first_seq(&self) -> u64 {
        lock(&self.index)
            .files
            .front()
            .map_or(self.head() + 1, |file| file.first_seq)
    }

    /// Size of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        lock(&self.index).bytes()
    }

    /// Number of files.
    #[must_use]
    pub fn files(&self) -> usize {
        lock(&self.index).files.len()
    }

    /// For how long the append under way has been waiting for the disk; zero for none. Health
    /// checks call a few seconds a stalled log.
    #[must_use]
    pub fn stalled_for(&self) -> Duration {
        match self.append_begun.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            begun => Duration::from_millis((self.now_ms() + 1).saturating_sub(begun)),
        }
    }

    /// The reason for which the log stopped for good, if it did. Waits for an append under way.
    #[must_use]
    pub fn failure(&self) -> Option<LogError> {
        lock(&self.writer).check().err()
    }

    fn rotate(&self, writer: &mut Writer) -> Result<(), LogError> {
        let entry = writer.rotate()?;
        lock(&self.index).files.push_back(entry);
        Ok(())
    }

    fn record_size(&self) {
        let index = lock(&self.index);
        metrics::gauge!("watchfire_log_size_bytes").set(index.bytes() as f64);
        metrics::gauge!("watchfire_log_files").set(index.files.len() as f64);
    }

    fn now_ms(&self) -> u64 {
        self.opened.elapsed().as_millis() as u64
    }
}

/// Locks even after a panic elsewhere: all state is consistent between statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
