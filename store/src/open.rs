//! Opening the store: the manifest names the segments, the log gives back the rest.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore, broadcast, watch};
use watchfire_event::{EventBatch, Key, Record};

use crate::backup;
use crate::erase;
use crate::log::dead::DeadLetters;
use crate::log::dedup::Dedup;
use crate::log::disk::Reserve;
use crate::log::{LockFile, Log, LogConfig, LogError, Recovered, SeqRange};
use crate::memtable::{CurrentView, MemoryBatch, View};
use crate::meta::{Meta, SegmentRow};
use crate::search::{Hidden, MatchCache};
use crate::segment::{Segment, Segments};
use crate::shared::{QUERIES, Shared, TAIL_BATCHES, UnsealedKeys, now_ns, segments_dir};
use crate::vault::Vault;
use crate::{DamagedSegment, Rebuild, StoreConfig, StoreError};

/// How long to wait for another holder of the folder, such as a process that is stopping.
const LOCK_WAIT: Duration = Duration::from_secs(3);
/// Rows rebuilt from the log at a time.
const REPLAY_ROWS: usize = 32_768;
/// Bytes of refused lines kept.
const DEAD_LETTER_BYTES: u64 = 256 << 20;
/// Keys are remembered this long, nanoseconds (24 h).
const KEY_AGE_NS: i64 = 24 * 3_600 * 1_000_000_000;

/// What the metadata says at the start.
struct Known {
    segments: Vec<SegmentRow>,
    /// Last sequence number in a segment.
    position: u64,
    /// Last sequence number that detection has committed.
    detection: u64,
    /// Keys of sealed records with their times of receipt.
    keys: Vec<(Key, i64)>,
    /// What is being erased.
    hidden: Vec<Hidden>,
}

impl Known {
    async fn of(meta: &Meta) -> Result<Known, StoreError> {
        let since = now_ns().saturating_sub(KEY_AGE_NS);
        Ok(Known {
            segments: meta.segments().await?,
            position: meta.store_position().await?,
            detection: meta.detection_position().await?,
            keys: meta.recent_keys(since).await?,
            hidden: erase::still_hidden(meta).await?,
        })
    }
}

/// Opens everything and brings back exactly the acknowledged events.
pub(crate) async fn open(config: StoreConfig, rebuild: Rebuild) -> Result<Shared, StoreError> {
    let dir = config.data_dir.clone();
    make_private(&segments_dir(&dir))?;
    let lock = acquire(&dir.join("lock")).await?;
    backup::refuse_half_restored(&dir)?;
    let vault = Vault::open_or_create(&dir, config.master_key.as_ref())?;
    let meta = Meta::open(&dir).await?.with_vault(vault.clone());
    let known = Known::of(&meta).await?;
    let blocking = move || build(config, rebuild, (meta, vault, lock), known);
    let joined = tokio::task::spawn_blocking(blocking).await;
    joined.map_err(|e| StoreError::Internal(format!("opening the store: {e}")))?
}

fn build(
    config: StoreConfig,
    rebuild: Rebuild,
    (meta, vault, lock): (Meta, Vault, LockFile),
    known: Known,
) -> Result<Shared, StoreError> {
    let dir = config.data_dir.clone();
    let (segments, damaged) = open_segments(&dir, &known.segments, &vault)?;
    let floor_seq = known.position.max(known.detection);
    let log_config = LogConfig {
        file_bytes: config.log_file_bytes,
        floor_seq,
    };
    let (log, recovered) = Log::open(&dir.join("log"), log_config, &vault)?;
    let log_lost_rows = tell_recovery(&recovered, known.position);
    let replayed = replay(&log, known.position, &rebuild)?;
    let (dedup, unsealed) = replayed.remember(Dedup::load(known.keys));
    let memory = |batch| Arc::new(MemoryBatch::new(batch));
    let view = View {
        memory: replayed.batches.into_iter().map(memory).collect(),
        segments,
        passed: Vec::new(),
        hidden: known.hidden.into(),
    };
    let reserve = Reserve::new(&dir, config.disk_reserve_bytes)
        .map_err(StoreError::io("asking for free disk space"))?;
    Ok(Shared {
        dead: DeadLetters::open(&dir.join("dead-letters"), DEAD_LETTER_BYTES, &vault)?,
        reserve,
        view: CurrentView::new(view),
        cache: MatchCache::default(),
        commits: Default::default(),
        dedup: dedup.into(),
        unsealed_keys: unsealed.into(),
        head: watch::Sender::new(log.head().max(floor_seq)),
        tail: broadcast::Sender::new(TAIL_BATCHES),
        sealed: AtomicU64::new(known.position),
        detect: AtomicU64::new(0),
        read: AtomicU64::new(0),
        draining: AtomicBool::new(false),
        log_failed: AtomicBool::new(false),
        refused: Default::default(),
        log_lost_rows,
        damaged: damaged.into(),
        seals: Semaphore::new(1),
        trims: Semaphore::new(1),
        wake: Notify::new(),
        forget: Default::default(),
        erasures_wait: Default::default(),
        upkeep_wake: Notify::new(),
        queries: Arc::new(Semaphore::new(QUERIES)),
        warming: Arc::new(Semaphore::new(1)),
        sql: Default::default(),
        lock: Some(lock).into(),
        config,
        rebuild,
        vault,
        meta,
        log,
    })
}

fn make_private(dir: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::DirBuilderExt;
    let context = format!("making {}", dir.display());
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(StoreError::io(context))
}

async fn acquire(path: &Path) -> Result<LockFile, StoreError> {
    let started = Instant::now();
    loop {
        match LockFile::acquire(path) {
            Err(LogError::Locked { .. }) if started.elapsed() < LOCK_WAIT => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(LogError::Locked { path }) => {
                return Err(StoreError::Locked(path.display().to_string()));
            }
            other => return Ok(other?),
        }
    }
}

/// Opens the segments of the manifest, leaves damaged ones out, and removes folders that a crash
/// left behind.
fn open_segments(
    data_dir: &Path,
    rows: &[SegmentRow],
    vault: &Vault,
) -> Result<(Segments, Vec<DamagedSegment>), StoreError> {
    let dir = segments_dir(data_dir);
    let listed: HashSet<&str> = rows.iter().map(|r| r.id.as_str()).collect();
    let context = || format!("listing {}", dir.display());
    for entry in fs::read_dir(&dir).map_err(StoreError::io(context()))? {
        let entry = entry.map_err(StoreError::io(context()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !listed.contains(name.as_str()) {
            tracing::info!(folder = %name, "removing a segment folder that is not in use");
            fs::remove_dir_all(entry.path()).map_err(StoreError::io(context()))?;
        }
    }
    let (mut segments, mut damaged) = (Vec::new(), Vec::new());
    for row in rows {
        match Segment::open(&dir.join(&row.id), vault).and_then(|s| check(s, row)) {
            Ok(segment) => segments.push(Arc::new(segment)),
            Err(error) => {
                tracing::error!(segment = %row.id, rows = row.rows, %error, "damaged segment");
                damaged.push(DamagedSegment {
                    id: row.id.clone(),
                    rows: row.rows,
                    reason: error.to_string(),
                });
            }
        }
    }
    Ok((segments, damaged))
}

/// Is the segment the one of the manifest?
fn check(segment: Segment, row: &SegmentRow) -> Result<Segment, StoreError> {
    let info = &segment.info;
    let same = info.id == row.id
        && info.rows == row.rows
        && info.first_seq == row.first_seq
        && info.last_seq == row.last_seq;
    match same {
        true => Ok(segment),
        false => Err(StoreError::Corrupt(
            "the folder does not hold this segment".into(),
        )),
    }
}

/// Logs what was found; returns the rows after `position` that are lost.
fn tell_recovery(recovered: &Recovered, position: u64) -> u64 {
    let after = |range: &SeqRange| (range.last + 1).saturating_sub(range.first.max(position + 1));
    let lost: u64 = recovered.missing.iter().map(after).sum();
    let head = recovered.head;
    if recovered.damage.is_empty() && lost == 0 {
        tracing::info!(head, rows = recovered.rows, "log opened");
    } else {
        let damage = &recovered.damage;
        tracing::error!(
            head,
            lost,
            ?damage,
            "the log is damaged; the rest of it is in use"
        );
    }
    lost
}

struct Replayed {
    batches: Vec<EventBatch>,
    /// Key, with the last sequence number of its record and its time of receipt.
    keys: Vec<(u64, Key, i64)>,
}

impl Replayed {
    /// Adds the keys of rows that are in no segment yet.
    fn remember(&self, mut dedup: Dedup) -> (Dedup, UnsealedKeys) {
        let mut unsealed = UnsealedKeys::default();
        for (last, key, received_ns) in &self.keys {
            dedup.insert(*key, *received_ns);
            unsealed.push(*last, *key, *received_ns);
        }
        (dedup, unsealed)
    }
}

/// Reads the log piece by piece, for several threads that rebuild what they are given.
struct Reader<'a> {
    log: &'a Log,
    after: u64,
    /// Number of the next piece.
    piece: usize,
    keys: Vec<(u64, Key, i64)>,
}

/// Records with their first sequence numbers, as read from the log.
type Logged = Vec<(u64, Record)>;

impl Reader<'_> {
    /// The next piece with its number; `None` at the end of the log.
    fn next(&mut self) -> Result<Option<(usize, Logged)>, StoreError> {
        let records = self.log.read_from(self.after, REPLAY_ROWS)?;
        let Some((first, record)) = records.last() else {
            return Ok(None);
        };
        self.after = first + u64::from(record.rows) - 1;
        for (first, record) in &records {
            let last = first + u64::from(record.rows) - 1;
            let keys = record.keys.iter();
            self.keys
                .extend(keys.map(|key| (last, *key, record.received_ns)));
        }
        self.piece += 1;
        Ok(Some((self.piece, records)))
    }
}

/// Rebuilds every row after `position`, with all processors: nobody is served before.
fn replay(log: &Log, position: u64, rebuild: &Rebuild) -> Result<Replayed, StoreError> {
    let reader = Mutex::new(Reader {
        log,
        after: position,
        piece: 0,
        keys: Vec::new(),
    });
    let next = || reader.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || -> Result<Vec<(usize, Vec<EventBatch>)>, StoreError> {
        let mut rebuilt = Vec::new();
        while let Some((piece, records)) = next()? {
            rebuilt.push((piece, rebuild_rows(records, position, rebuild)?));
        }
        Ok(rebuilt)
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut pieces = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut pieces = Vec::new();
        for worker in workers {
            let panicked = |_| StoreError::Internal("rebuilding logged events panicked".into());
            pieces.extend(worker.join().map_err(panicked)??);
        }
        Ok::<_, StoreError>(pieces)
    })?;
    pieces.sort_unstable_by_key(|(piece, _)| *piece);
    let reader = reader.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Replayed {
        batches: pieces
            .into_iter()
            .flat_map(|(_, batches)| batches)
            .collect(),
        keys: reader.keys,
    })
}

/// The rows after `after` of records as read from the log: one batch a run of records without
/// a gap between them.
pub(crate) fn rebuild_rows(
    records: Logged,
    after: u64,
    rebuild: &Rebuild,
) -> Result<Vec<EventBatch>, StoreError> {
    let mut runs: Vec<(u64, u64, Vec<Record>)> = Vec::new();
    for (first, record) in records {
        let end = first + u64::from(record.rows);
        match runs.last_mut() {
            Some((_, next, run)) if *next == first => {
                *next = end;
                run.push(record);
            }
            _ => runs.push((first, end, vec![record])),
        }
    }
    let mut batches = Vec::new();
    for (first, end, run) in runs {
        let batch = rebuild(&run);
        if batch.rows() as u64 != end - first {
            return Err(StoreError::Corrupt(format!(
                "{} rows rebuilt from {} logged lines at {first}",
                batch.rows(),
                end - first
            )));
        }
        let batch = batch.with_first_seq(first);
        let known = after.saturating_add(1).saturating_sub(first) as usize;
        if known < batch.rows() {
            let rest = batch.rows() - known;
            batches.push(batch.slice(known, rest));
        }
    }
    Ok(batches)
}
