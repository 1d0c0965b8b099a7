//! The durable log through its public face: a model, damage of every kind, and readers at work
//! while others append.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod damage;
mod model;
mod sharing;

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use watchfire_event::Record;
use watchfire_store::log::{Log, LogConfig, Recovered};
use watchfire_store::vault::{MasterKey, Vault};

thread_local! {
    static VAULT: RefCell<Vault> = const { RefCell::new(Vault::PLAIN) };
}

/// How the log of the test under way is written.
fn vault() -> Vault {
    VAULT.with_borrow(Vault::clone)
}

/// Runs a test on plain logs and then on encrypted ones.
fn plain_and_encrypted(test: impl Fn()) {
    test();
    let dir = scratch();
    let key = MasterKey::random().unwrap();
    VAULT.set(Vault::open_or_create(dir.path(), Some(&key)).unwrap());
    test();
    VAULT.set(Vault::PLAIN);
}

/// A folder for a test that opens a log thousands of times: in memory where there is such a place.
fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

/// A record with `rows` lines that name `n`, so that no two records are alike.
fn record(n: u64, rows: u32, line_bytes: usize) -> Record {
    let mut lines = Vec::new();
    for row in 0..rows {
        if row > 0 {
            lines.push(b'\n');
        }
        let filler: String = (0..line_bytes)
            .map(|i| char::from(b'a' + (i % 26) as u8))
            .collect();
        lines.extend_from_slice(
            format!("{{\"n\":{n},\"row\":{row},\"x\":\"{filler}\"}}").as_bytes(),
        );
    }
    Record {
        received_ns: 1_760_000_000_000_000_000 + n as i64,
        source: Arc::from(format!("source-{}", n % 3)),
        lines,
        rows,
        keys: (0..n % 4)
            .map(|key| u128::from(n * 10 + key).to_be_bytes())
            .collect(),
    }
}

fn small_files(file_bytes: u64) -> LogConfig {
    LogConfig {
        file_bytes,
        ..LogConfig::default()
    }
}

fn open(dir: &Path, config: LogConfig) -> (Log, Recovered) {
    Log::open(dir, config, &vault()).unwrap()
}

/// Everything in the log, in several reads.
fn read_all(log: &Log) -> Vec<(u64, Record)> {
    let mut all: Vec<(u64, Record)> = Vec::new();
    loop {
        let after = all
            .last()
            .map_or(0, |(seq, record)| seq + u64::from(record.rows) - 1);
        let more = log.read_from(after, 5).unwrap();
        if more.is_empty() {
            return all;
        }
        all.extend(more);
    }
}

/// The log files, oldest first.
fn files(dir: &Path) -> Vec<PathBuf> {
    let items = std::fs::read_dir(dir).unwrap();
    let mut files: Vec<_> = items.map(|item| item.unwrap().path()).collect();
    files.sort();
    files
}

/// A fresh copy of `from` in `to`.
fn copy_dir(from: &Path, to: &Path) {
    if to.exists() {
        std::fs::remove_dir_all(to).unwrap();
    }
    std::fs::create_dir(to).unwrap();
    for file in files(from) {
        std::fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
    }
}

fn len(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

fn writable(path: &Path) -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap()
}

fn overwrite(path: &Path, offset: u64, bytes: &[u8]) {
    writable(path).write_all_at(bytes, offset).unwrap();
}

fn flip(path: &Path, offset: u64, mask: u8) {
    let file = writable(path);
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ mask], offset).unwrap();
}
