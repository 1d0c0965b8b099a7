//! Measures the store alone: `cargo run --release --example store_figures EVENTS.ndjson`.
//!
//! Commits the lines in batches of 500, waits until they are sealed, and prints CPU seconds and
//! bytes per million events and the median time of a few queries. Event times are read from
//! `@timestamp`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arrow::array::Int64Array;
use watchfire_event::{
    BatchBuilder, BatchLimits, EventBatch, EventLog, Query, Record, RowMeta, TimeRange, time,
};
use watchfire_store::{Order, SearchRequest, SqlLimits, Store, StoreConfig};

const QUERIES: &[&str] = &[
    "*",
    "trace.id:TRACE",
    "user.id:u101528",
    "http.response.status_code:503 AND service.name:payments",
    "message:\"with status 401\"",
    "payments 429",
    "NOT log.level:info",
    "source.ip:10.0.0.0/8",
    "url.path:*export",
];

fn build(records: &[Record]) -> EventBatch {
    let mut builder = BatchBuilder::new(BatchLimits::default());
    for record in records {
        let meta = RowMeta {
            received_ns: record.received_ns,
            source: record.source.clone(),
        };
        for line in record.lines.split(|b| *b == b'\n') {
            builder.push(line, &meta).unwrap();
        }
    }
    let batch = builder.finish();
    let times = (0..batch.rows()).map(|row| {
        let text = batch.text("@timestamp", row);
        text.and_then(|t| time::parse_timestamp(&t))
            .unwrap_or_default()
    });
    let times = Int64Array::from_iter_values(times.collect::<Vec<_>>());
    batch.with_time(times)
}

/// CPU seconds of this process so far.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks = |i: usize| fields[i].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

fn line(text: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").unwrap();
}

#[tokio::main]
async fn main() {
    let path = std::env::args()
        .nth(1)
        .expect("a file of events, one a line");
    let text = std::fs::read(path).unwrap();
    let lines: Vec<&[u8]> = text
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .collect();
    let million = lines.len() as f64 / 1e6;
    let dir = tempfile::TempDir::new().unwrap();
    let mut config = StoreConfig::new(dir.path());
    config.disk_reserve_bytes = Some(0);
    let store = Store::open(config.clone(), Arc::new(build)).await.unwrap();

    let received = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let received_ns = received.as_nanos() as i64;
    let (mut parse, mut commit) = (0.0, 0.0);
    for chunk in lines.chunks(500) {
        let record = Record {
            received_ns,
            source: "bench".into(),
            lines: chunk.join(&b'\n'),
            rows: chunk.len() as u32,
            keys: vec![],
        };
        let started = Instant::now();
        let batch = build(std::slice::from_ref(&record));
        parse += started.elapsed().as_secs_f64();
        let started = Instant::now();
        tokio::task::block_in_place(|| store.commit(batch, &[record]).unwrap());
        commit += started.elapsed().as_secs_f64();
    }
    while store.status().memory_rows as usize >= config.seal_rows {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    store.set_detect_position(store.head());
    let sealed = store.status();
    line(format_args!(
        "events {}, sealed {}",
        lines.len(),
        sealed.sealed
    ));
    line(format_args!(
        "wall: parse {parse:.2} s, commit {commit:.2} s; cpu of all {:.2} s",
        cpu()
    ));
    line(format_args!("cpu {:.2} s per million", cpu() / million));
    let sealed_million = sealed.sealed as f64 / 1e6;
    line(format_args!(
        "disk {:.1} MB per million",
        sealed.segment_bytes as f64 / 1e6 / sealed_million
    ));

    let trace = build(&[Record {
        received_ns,
        source: "bench".into(),
        lines: lines[lines.len() / 3].to_vec(),
        rows: 1,
        keys: vec![],
    }]);
    let trace = trace.text("trace.id", 0).unwrap_or_default().into_owned();
    for text in QUERIES {
        queries(&store, &text.replace("TRACE", &trace)).await;
    }
    counts(&store).await;
    let started = Instant::now();
    store.close().await;
    let store = Store::open(config, Arc::new(build)).await.unwrap();
    let rows = store.status().rows;
    line(format_args!(
        "reopened {rows} rows in {:.2} s",
        started.elapsed().as_secs_f64()
    ));
}

async fn queries(store: &Store, text: &str) {
    let mut times = Vec::new();
    let mut total = 0;
    for i in 0..7 {
        // A query text of its own each time, so that no remembered answer is measured.
        let query = Query::parse(&format!("{text}{}", " ".repeat(i))).unwrap();
        let (range, order) = (TimeRange::ALL, Order::NewestFirst);
        let started = Instant::now();
        let request = SearchRequest {
            query,
            range,
            limit: 50,
            cursor: None,
            order,
        };
        let page = store.search(request).await.unwrap();
        times.push(started.elapsed().as_secs_f64() * 1e3);
        total = page.total;
    }
    let first = times[0];
    times.sort_by(f64::total_cmp);
    line(format_args!(
        "{:9.1} ms  (first {first:.1})  {total:8} hits  {text}",
        times[times.len() / 2]
    ));
}

async fn counts(store: &Store) {
    let all = TimeRange::ALL;
    let timed = |started: Instant, what: &str| {
        line(format_args!(
            "{:9.1} ms  {what}",
            started.elapsed().as_secs_f64() * 1e3
        ));
    };
    for _ in 0..2 {
        let started = Instant::now();
        let query = Query::parse("http.response.status_code:401").unwrap();
        store
            .facets(query, all, vec!["user.id".into()], 10)
            .await
            .unwrap();
        timed(started, "top 10 users with 401");
        let started = Instant::now();
        store
            .facets(Query::all(), all, vec!["service.name".into()], 20)
            .await
            .unwrap();
        timed(started, "count by service");
        let started = Instant::now();
        store
            .facets(Query::all(), all, vec!["trace.id".into()], 20)
            .await
            .unwrap();
        timed(started, "facet of an identifier");
        let started = Instant::now();
        store
            .histogram(Query::all(), all, 60, Some("log.level".into()))
            .await
            .unwrap();
        timed(started, "histogram by level");
        let started = Instant::now();
        store.fields().await.unwrap();
        timed(started, "fields");
        let started = Instant::now();
        let text = "SELECT \"service.name\", count(*) AS n FROM events GROUP BY 1 ORDER BY n DESC";
        let mut rows = store.sql(text, SqlLimits::default()).await.unwrap().batches;
        while let Some(batch) = futures::StreamExt::next(&mut rows).await {
            batch.unwrap();
        }
        timed(started, "SQL count by service");
    }
}
