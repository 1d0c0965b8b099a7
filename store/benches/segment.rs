//! The store from commit to segment, and each kind of query over a sealed store.

#![allow(clippy::unwrap_used)]

#[path = "../../event/benches/traffic/mod.rs"]
mod traffic;

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use futures::StreamExt;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use watchfire_event::{EventLog, Query, TimeRange};
use watchfire_store::{Order, SearchRequest, SqlLimits, Store, StoreConfig};

/// Rows of a segment.
const SEGMENT: u64 = 65_536;
const BATCH: u64 = 4_096;

/// A store that seals every [`SEGMENT`] rows and merges nothing.
fn open(runtime: &Runtime, dir: &TempDir) -> Store {
    let mut config = StoreConfig::new(dir.path());
    config.seal_rows = SEGMENT as usize;
    config.disk_reserve_bytes = Some(0);
    config.compact_interval = Duration::from_secs(86_400);
    let store = runtime.block_on(Store::open(config, Arc::new(traffic::build)));
    let store = store.unwrap();
    store.set_detect_position(u64::MAX);
    store
}

/// Commits `rows` events and waits until all of them are in segments.
fn fill(store: &Store, rows: u64) {
    for first in (0..rows).step_by(BATCH as usize) {
        let record = traffic::record(first, BATCH);
        let batch = traffic::build(std::slice::from_ref(&record));
        store.commit(batch, &[record]).unwrap();
    }
    while store.status().memory_rows > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn sealing(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = c.benchmark_group("store");
    group
        .throughput(Throughput::Elements(SEGMENT))
        .sample_size(10);
    group.bench_function("commit until sealed", |b| {
        b.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                let dir = TempDir::new().unwrap();
                let store = open(&runtime, &dir);
                let started = Instant::now();
                fill(&store, SEGMENT);
                spent += started.elapsed();
                runtime.block_on(store.close());
            }
            spent
        });
    });
    group.finish();
}

fn searches(group: &mut BenchmarkGroup<'_, WallTime>, runtime: &Runtime, store: &Store) {
    let needle = format!("trace.id:{}", traffic::id(100_000));
    for (name, text) in [
        ("needle", needle.as_str()),
        ("field, newest 50", "http.response.status_code:503"),
        ("phrase", "message:\"with status 401\""),
        ("free word", "payments"),
        ("everything, newest 50", "*"),
    ] {
        let mut round = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                // A text of its own each time, so that no remembered answer is measured.
                round = (round + 1) % 4_000;
                let query = Query::parse(&format!("{text}{}", " ".repeat(round))).unwrap();
                let request = SearchRequest {
                    query,
                    range: TimeRange::ALL,
                    limit: 50,
                    cursor: None,
                    order: Order::NewestFirst,
                };
                runtime.block_on(store.search(request)).unwrap().total
            });
        });
    }
}

fn counts(group: &mut BenchmarkGroup<'_, WallTime>, runtime: &Runtime, store: &Store) {
    let all = TimeRange::ALL;
    for field in ["service.name", "user.id"] {
        group.bench_function(format!("facet of {field}"), |b| {
            b.iter(|| {
                let facets = store.facets(Query::all(), all, vec![field.into()], 10);
                runtime.block_on(facets).unwrap()
            });
        });
    }
    group.bench_function("histogram by level", |b| {
        b.iter(|| {
            let level = Some("log.level".to_owned());
            let histogram = store.histogram(Query::all(), all, 60, level);
            runtime.block_on(histogram).unwrap()
        });
    });
    for (name, text) in [
        (
            "SQL, count by service",
            "SELECT \"service.name\", count(*) FROM events GROUP BY 1",
        ),
        (
            "SQL, slowest of each service",
            "SELECT * FROM (SELECT \"service.name\", \"url.path\", row_number() OVER (PARTITION BY \
             \"service.name\" ORDER BY \"event.duration\" DESC) AS n FROM events) WHERE n <= 3",
        ),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| {
                runtime.block_on(async {
                    let answer = store.sql(text, SqlLimits::default()).await.unwrap();
                    let rows = answer.batches.map(|batch| batch.unwrap().num_rows());
                    rows.fold(0, |sum, rows| async move { sum + rows }).await
                })
            });
        });
    }
}

fn queries(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let dir = TempDir::new().unwrap();
    let store = open(&runtime, &dir);
    fill(&store, 4 * SEGMENT);
    let mut group = c.benchmark_group("sealed");
    group.sample_size(20);
    searches(&mut group, &runtime, &store);
    counts(&mut group, &runtime, &store);
    group.finish();
    runtime.block_on(store.close());
}

criterion_group!(benches, sealing, queries);
criterion_main!(benches);
