//! The log alone: appends with their sync, and reading frames back.

#![allow(clippy::unwrap_used)]

#[path = "../../event/benches/traffic/mod.rs"]
mod traffic;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;
use watchfire_store::log::{Log, LogConfig};
use watchfire_store::vault::{MasterKey, Vault};

fn vaults() -> (TempDir, [(&'static str, Vault); 2]) {
    let dir = TempDir::new().unwrap();
    let key = MasterKey::random().unwrap();
    let sealing = Vault::open_or_create(dir.path(), Some(&key)).unwrap();
    (dir, [("plain", Vault::PLAIN), ("encrypted", sealing)])
}

fn appending(c: &mut Criterion) {
    let mut group = c.benchmark_group("append and sync");
    let (_keys, vaults) = vaults();
    for (kind, vault) in &vaults {
        for rows in [1, 500, 8_192] {
            let record = traffic::record(0, rows);
            let dir = TempDir::new().unwrap();
            let (log, _) = Log::open(dir.path(), LogConfig::default(), vault).unwrap();
            group.throughput(Throughput::Bytes(record.lines.len() as u64));
            group.bench_function(format!("{kind}, {rows} events"), |b| {
                b.iter(|| {
                    let first = log.append(std::slice::from_ref(&record)).unwrap();
                    log.trim(first.saturating_sub(1)).unwrap();
                });
            });
        }
    }
    group.finish();
}

fn reading(c: &mut Criterion) {
    let mut group = c.benchmark_group("read");
    let (_keys, vaults) = vaults();
    for (kind, vault) in &vaults {
        let dir = TempDir::new().unwrap();
        let (log, _) = Log::open(dir.path(), LogConfig::default(), vault).unwrap();
        let mut bytes = 0;
        for first in (0..16_000).step_by(500) {
            let record = traffic::record(first, 500);
            bytes += record.lines.len() as u64;
            log.append(&[record]).unwrap();
        }
        group.throughput(Throughput::Bytes(bytes));
        group.bench_function(format!("{kind}, frames of 500 events"), |b| {
            b.iter(|| black_box(log.read_from(0, 16_000).unwrap()).len());
        });
    }
    group.finish();
}

criterion_group!(benches, appending, reading);
criterion_main!(benches);
