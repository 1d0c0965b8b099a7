//! A disk on which each operation can be made to fail, and what the log must do then.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod power;

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use watchfire_event::Record;

use super::disk_file::{Disk, LogFile, OsDisk, ReadAt};
use super::index::{file_name, parse_name};
use super::{Log, LogConfig, LogError, lock};
use crate::vault::Vault;

/// The kinds of operations that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Create,
    /// Fails after so many bytes were written all the same.
    Write(usize),
    SetLen,
    Sync,
    SyncDir,
    Remove,
}

impl Op {
    fn is_like(self, other: Op) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

/// Fails one operation, the `countdown`-th of its kind, and notes all that was done.
#[derive(Default)]
struct Plan {
    fail: Mutex<Vec<(Op, usize)>>,
    syncs: AtomicUsize,
    /// Reading any of these bytes of the file with this number in its name fails.
    bad_sectors: Mutex<Option<(u64, Range<u64>)>>,
}

impl Plan {
    fn failing(fail: &[(Op, usize)]) -> Arc<Plan> {
        Arc::new(Plan {
            fail: Mutex::new(fail.to_vec()),
            ..Plan::default()
        })
    }

    /// The operation that is to fail now, if it is one like `op`.
    fn strike(&self, op: Op) -> Option<Op> {
        let mut fail = self.fail.lock().unwrap();
        let i = fail.iter().position(|(planned, _)| planned.is_like(op))?;
        fail[i].1 -= 1;
        (fail[i].1 == 0).then(|| fail.remove(i).0)
    }

    fn result(&self, op: Op) -> io::Result<()> {
        match self.strike(op) {
            Some(_) => Err(io::ErrorKind::StorageFull.into()),
            None => Ok(()),
        }
    }
}

struct FailingDisk(Arc<Plan>);

struct FailingFile(Arc<Plan>, Box<dyn LogFile>);

impl Disk for FailingDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        self.0.result(Op::Create)?;
        Ok(Box::new(FailingFile(self.0.clone(), OsDisk.create(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        Ok(Box::new(FailingFile(self.0.clone(), OsDisk.open(path)?)))
    }

    fn reader(&self, path: &Path) -> io::Result<Box<dyn ReadAt>> {
        let file = OsDisk.reader(path)?;
        match self.0.bad_sectors.lock().unwrap().clone() {
            Some((seq, bad)) if parse_name(&file_name(path)).unwrap().0 == seq => {
                Ok(Box::new(BadFile(file, bad)))
            }
            _ => Ok(file),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.result(Op::Remove)?;
        OsDisk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.syncs.fetch_add(1, Ordering::Relaxed);
        self.0.result(Op::SyncDir)?;
        OsDisk.sync_dir(dir)
    }
}

struct BadFile(Box<dyn ReadAt>, Range<u64>);

impl ReadAt for BadFile {
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let touched = offset < self.1.end && offset + bytes.len() as u64 > self.1.start;
        match touched {
            true => Err(rustix::io::Errno::IO.into()),
            false => self.0.read_exact_at(bytes, offset),
        }
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
}

impl LogFile for FailingFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        match self.0.strike(Op::Write(0)) {
            Some(Op::Write(written)) => {
                self.1
                    .write_all_at(&bytes[..written.min(bytes.len())], offset)?;
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => self.1.write_all_at(bytes, offset),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.result(Op::SetLen)?;
        self.1.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.syncs.fetch_add(1, Ordering::Relaxed);
        self.0.result(Op::Sync)?;
        self.1.sync_data()
    }
}

/// A folder in memory where there is such a place: these tests sync a lot.
fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

fn record(n: u64) -> Record {
    Record {
        received_ns: n as i64,
        source: Arc::from("shop"),
        lines: format!("{{\"n\":{n}}}\n{{\"n\":{n},\"again\":true}}").into_bytes(),
        rows: 2,
        keys: vec![u128::from(n).to_be_bytes()],
    }
}

const CONFIG: LogConfig = LogConfig {
    file_bytes: 800,
    floor_seq: 0,
};

/// What happened to thirty appends of two records each.
struct Outcome {
    /// Records whose append succeeded, with their numbers.
    kept: Vec<(u64, Record)>,
    errors: Vec<LogError>,
    /// Number of syncs between the first error and the end.
    syncs_after: usize,
}

fn run(dir: &Path, plan: &Arc<Plan>) -> Outcome {
    let disk = Arc::new(FailingDisk(plan.clone()));
    let (log, _) = Log::open_on(dir, CONFIG, &Vault::PLAIN, disk).unwrap();
    let (mut kept, mut errors, mut syncs) = (Vec::new(), Vec::new(), None);
    for n in (0..60).step_by(2) {
        match log.append(&[record(n), record(n + 1)]) {
            Ok(first) => kept.extend([(first, record(n)), (first + 2, record(n + 1))]),
            Err(error) => {
                syncs.get_or_insert(plan.syncs.load(Ordering::Relaxed));
                errors.push(error);
            }
        }
        assert_eq!(
            log.read_from(0, usize::MAX).unwrap(),
            kept,
            "exactly what was acknowledged"
        );
    }
    let all = plan.syncs.load(Ordering::Relaxed);
    Outcome {
        kept,
        errors,
        syncs_after: all - syncs.unwrap_or(all),
    }
}

/// The log as the next start finds it.
fn reopened(dir: &Path) -> Vec<(u64, Record)> {
    let (log, recovered) = Log::open(dir, CONFIG, &Vault::PLAIN).unwrap();
    assert_eq!(
        (recovered.damaged, recovered.missing_rows),
        (0, 0),
        "{recovered:?}"
    );
    let found = log.read_from(0, usize::MAX).unwrap();
    assert_eq!(log.append(&[record(77)]).unwrap(), recovered.head + 1);
    found
}

#[test]
fn a_failed_write_costs_its_append_and_nothing_else() {
    let writes = [0, 1, 47, 48, 60, 150, 10_000].map(Op::Write);
    for op in writes.into_iter().chain([Op::Create]) {
        for nth in [2, 3, 4, 5] {
            let dir = scratch();
            let outcome = run(dir.path(), &Plan::failing(&[(op, nth)]));
            assert_eq!(outcome.errors.len(), 1, "{op:?} {nth}");
            assert!(outcome.errors[0].is_full() && outcome.errors[0].code() == "io");
            assert_eq!(outcome.kept.len(), 58);
            assert_eq!(reopened(dir.path()), outcome.kept, "{op:?} {nth}");
        }
    }
}

#[test]
fn a_failed_sync_is_final_and_never_repeated() {
    for op in [Op::Sync, Op::SyncDir] {
        for nth in 2..6 {
            let dir = scratch();
            let outcome = run(dir.path(), &Plan::failing(&[(op, nth)]));
            assert!(!outcome.errors.is_empty(), "{op:?} {nth}");
            let final_ones = |e: &LogError| matches!(e, LogError::Poisoned { .. });
            assert!(outcome.errors.iter().all(final_ones), "{op:?} {nth}");
            assert_eq!(outcome.errors.len() + outcome.kept.len() / 2, 30);
            assert_eq!(outcome.syncs_after, 0, "{op:?} {nth}");
            assert_eq!(reopened(dir.path()), outcome.kept, "{op:?} {nth}");
        }
    }
}

#[test]
fn a_failed_write_that_cannot_be_undone_is_final() {
    for written in [0, 30, 100] {
        let dir = scratch();
        let plan = Plan::failing(&[(Op::Write(written), 5), (Op::SetLen, 1)]);
        let outcome = run(dir.path(), &plan);
        assert!(
            outcome
                .errors
                .iter()
                .all(|e| matches!(e, LogError::Poisoned { .. }))
        );
        assert!(outcome.errors.len() > 20);
        // A frame that made it whole may be there: it was written, only nobody was told.
        let found = reopened(dir.path());
        assert_eq!(found[..outcome.kept.len()], outcome.kept);
        assert!(found.len() <= outcome.kept.len() + 2);
    }
}

#[test]
fn a_failed_trim_keeps_what_it_could_not_delete() {
    let dir = scratch();
    let plan = Plan::failing(&[(Op::Remove, 2)]);
    let (log, _) = Log::open_on(
        dir.path(),
        CONFIG,
        &Vault::PLAIN,
        Arc::new(FailingDisk(plan)),
    )
    .unwrap();
    for n in 0..60 {
        log.append(&[record(n)]).unwrap();
    }
    let files = log.files();
    assert!(log.trim(100).is_err());
    assert_eq!(log.files(), files - 1);
    assert!(log.trim(100).unwrap() > 2);
    assert_eq!(log.read_from(100, 1).unwrap()[0].0, 101);
}

#[test]
fn a_bad_sector_costs_the_frames_in_it_and_never_cuts_a_tail() {
    let dir = scratch();
    let config = LogConfig {
        file_bytes: 20_000,
        ..CONFIG
    };
    let plan = Plan::failing(&[]);
    let open = || {
        Log::open_on(
            dir.path(),
            config,
            &Vault::PLAIN,
            Arc::new(FailingDisk(plan.clone())),
        )
    };
    let (log, _) = open().unwrap();
    for n in 0..300 {
        log.append(&[record(n)]).unwrap();
    }
    let all = log.read_from(0, usize::MAX).unwrap();
    let files = log.files();
    assert!(files > 1);

    // Under the running log, in the midst of the first file.
    *plan.bad_sectors.lock().unwrap() = Some((1, 8_192..8_193));
    let kept = log.read_from(0, usize::MAX).unwrap();
    let lost = all.len() - kept.len();
    assert!((4_096 / 130..=4_096 / 90).contains(&lost), "{lost}");
    assert!(kept.iter().all(|record| all.contains(record)));
    drop(log);
    let (log, recovered) = open().unwrap();
    // The frame that reaches into the block, and the rest of the block.
    assert_eq!((recovered.cut, recovered.damaged), (None, 2));
    assert_eq!(recovered.missing_rows, 2 * lost as u64);
    assert_eq!(log.read_from(0, usize::MAX).unwrap(), kept);
    let active = lock(&log.index).files.back().unwrap().clone();
    drop(log);

    // At the end of the last file it cannot be told from a torn tail.
    *plan.bad_sectors.lock().unwrap() = Some((active.first_seq, active.len - 10..active.len));
    assert_eq!(open().err().unwrap().code(), "io");
    *plan.bad_sectors.lock().unwrap() = None;
    let (log, recovered) = open().unwrap();
    assert!(recovered.is_clean(), "nothing was cut");
    assert_eq!(log.read_from(0, usize::MAX).unwrap(), all);
}

#[test]
fn the_way_is_found_again_wherever_the_next_frame_starts() {
    // Frame lengths around the size in which the scan reads, so that the magic of the next frame
    // lies across the border in some.
    let dir = scratch();
    for extra in 0..40 {
        let path = dir.path().join(extra.to_string());
        let keys = (0..(256 << 10) / 16 - 6_u128)
            .map(|n| (n << 64 | n).to_be_bytes())
            .collect();
        let source = Arc::from("x".repeat(extra));
        let (log, _) = Log::open(&path, LogConfig::default(), &Vault::PLAIN).unwrap();
        log.append(&[
            Record {
                keys,
                source,
                ..record(1)
            },
            record(2),
        ])
        .unwrap();
        let file = lock(&log.index).files[0].path.clone();
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[40] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        assert_eq!(log.read_from(0, 9).unwrap(), [(3, record(2))], "{extra}");
    }
}
