//! What all parts of the store share.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, Semaphore, broadcast, watch};
use watchfire_event::{EventBatch, Key};

use crate::erase::Forget;
use crate::log::dead::DeadLetters;
use crate::log::dedup::Dedup;
use crate::log::disk::Reserve;
use crate::log::{LockFile, Log};
use crate::memtable::CurrentView;
use crate::meta::Meta;
use crate::search::MatchCache;
use crate::sql::SqlThreads;
use crate::vault::Vault;
use crate::{DamagedSegment, Rebuild, StoreConfig};

/// Queries that run at once; the rest wait.
pub(crate) const QUERIES: usize = 8;
/// Batches a slow follower of the tail may lag behind before it misses some.
pub(crate) const TAIL_BATCHES: usize = 256;

/// The store behind its handles.
pub(crate) struct Shared {
    pub config: StoreConfig,
    pub rebuild: Rebuild,
    pub vault: Vault,
    pub meta: Meta,
    pub log: Log,
    pub dead: DeadLetters,
    pub reserve: Reserve,
    pub view: CurrentView,
    pub cache: MatchCache,
    /// Serialises commits: rows enter the view in the order of the log.
    pub commits: Mutex<()>,
    pub dedup: Mutex<Dedup>,
    pub unsealed_keys: Mutex<UnsealedKeys>,
    pub head: watch::Sender<u64>,
    pub tail: broadcast::Sender<EventBatch>,
    /// Last sequence number in a segment.
    pub sealed: AtomicU64,
    /// Up to where detection no longer needs the log.
    pub detect: AtomicU64,
    /// Up to where the reader of [`crate::Store::read_after`] has come.
    pub read: AtomicU64,
    /// No more commits.
    pub draining: AtomicBool,
    /// The log is unable to write until a restart.
    pub log_failed: AtomicBool,
    pub refused: RefusalCounts,
    /// Acknowledged rows that the damaged log could not give back.
    pub log_lost_rows: u64,
    pub damaged: Mutex<Vec<DamagedSegment>>,
    /// One place, for whoever changes the rows in memory other than by adding, or the segments.
    pub seals: Semaphore,
    /// One place, for whoever deletes log files or must keep them.
    pub trims: Semaphore,
    /// Wakes the sealing task.
    pub wake: Notify,
    /// What detection has to forget, by erasure.
    pub forget: Mutex<HashMap<String, Forget>>,
    /// What the running erasures wait for.
    pub erasures_wait: Mutex<HashMap<String, &'static str>>,
    /// Wakes the task that rewrites segments.
    pub upkeep_wake: Notify,
    pub queries: Arc<Semaphore>,
    pub sql: SqlThreads,
    /// One place, for whoever reads columns ahead.
    pub warming: Arc<Semaphore>,
    pub lock: Mutex<Option<LockFile>>,
}

/// Commits refused since the start.
#[derive(Debug, Default)]
pub(crate) struct RefusalCounts {
    pub overloaded: AtomicU64,
    pub disk_reserve: AtomicU64,
    pub log_failed: AtomicU64,
}

/// Keys of records in memory, with the last sequence number of their commit: they go into the
/// manifest together with the segment that holds the rows.
#[derive(Debug, Default)]
pub(crate) struct UnsealedKeys(VecDeque<(u64, Key, i64)>);

impl UnsealedKeys {
    pub fn push(&mut self, last_seq: u64, key: Key, received_ns: i64) {
        self.0.push_back((last_seq, key, received_ns));
    }

    /// Keys of commits whose rows end at or before `seq`.
    pub fn up_to(&self, seq: u64) -> Vec<(Key, i64)> {
        let sealed = self.0.iter().take_while(|(last, ..)| *last <= seq);
        sealed
            .map(|(_, key, received_ns)| (*key, *received_ns))
            .collect()
    }

    pub fn forget_up_to(&mut self, seq: u64) {
        let kept = self.0.partition_point(|(last, ..)| *last <= seq);
        self.0.drain(..kept);
    }
}

impl Shared {
    pub fn segments_dir(&self) -> PathBuf {
        segments_dir(&self.config.data_dir)
    }

    /// The reader has dealt with everything up to `seq`.
    pub fn has_read(&self, seq: u64) {
        if self.read.fetch_max(seq, Ordering::AcqRel) < seq {
            self.view.forget_passed(seq);
        }
    }

    /// Takes no more commits and ends the background tasks.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.wake.notify_one();
        self.upkeep_wake.notify_one();
    }

    /// Is a segment damaged, and so left out of every answer?
    pub fn is_partial(&self) -> bool {
        !lock(&self.damaged).is_empty()
    }

    /// Tells the current head to everybody who follows it.
    pub fn set_head(&self, seq: u64) {
        self.head.send_replace(seq);
    }
}

pub(crate) fn segments_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("segments")
}

/// Locks even after a panic elsewhere: what is guarded is consistent between statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The time, nanoseconds since the epoch.
pub(crate) fn now_ns() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
