//! A store in a temporary folder, and the naive scan it must agree with.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::Int64Array;
use serde_json::{Value, json};
use tempfile::TempDir;
use watchfire_event::{
    BatchBuilder, BatchLimits, EventBatch, EventLog, Key, Query, Record, RowMeta, TimeRange,
};

use crate::meta::{PackedState, StateWriter};
use crate::vault::MasterKey;
use crate::{Rebuild, Store, StoreConfig, StoreError, VerifyOptions, VerifyReport};

/// Lines to a batch as ingest does it, without its mappings: the event time is `t`, milliseconds.
pub fn build(records: &[Record]) -> EventBatch {
    let mut builder = BatchBuilder::new(BatchLimits::default());
    let mut times = Vec::new();
    for record in records {
        let meta = RowMeta {
            received_ns: record.received_ns,
            source: record.source.clone(),
        };
        for line in record.lines.split(|b| *b == b'\n') {
            builder.push(line, &meta).unwrap();
            let value: Value = serde_json::from_slice(line).unwrap();
            let time = value["t"].as_i64().map(|ms| ms.saturating_mul(1_000_000));
            times.push(time.unwrap_or(record.received_ns));
        }
    }
    builder.finish().with_time(Int64Array::from(times))
}

pub fn rebuild() -> Rebuild {
    Arc::new(build)
}

pub fn record(events: &[Value], received_ns: i64, keys: Vec<Key>) -> Record {
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    Record {
        received_ns,
        source: "shop".into(),
        rows: events.len() as u32,
        lines: lines.join("\n").into_bytes(),
        keys,
    }
}

/// A state of detection that holds these bytes.
pub fn packed(state: &[u8]) -> PackedState {
    let mut writer = StateWriter::new().unwrap();
    writer.write_all(state).unwrap();
    writer.finish().unwrap()
}

pub fn now_ns() -> i64 {
    crate::shared::now_ns()
}

/// Checks a folder that is not open.
pub async fn verified(dir: &Path, key: Option<&MasterKey>) -> Result<VerifyReport, StoreError> {
    let options = VerifyOptions {
        master_key: key.cloned(),
        ..VerifyOptions::default()
    };
    crate::verify(dir, options).await
}

pub struct Bed {
    pub dir: TempDir,
    pub store: Store,
    pub config: StoreConfig,
    /// Everything committed, as one batch, and as JSON.
    pub all: Vec<Record>,
}

impl Bed {
    /// A store that seals only when told to, by [`Bed::seal`], and never merges by itself.
    pub async fn new() -> Bed {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut StoreConfig)) -> Bed {
        let dir = TempDir::new().unwrap();
        let mut config = StoreConfig::new(dir.path());
        config.disk_reserve_bytes = Some(0);
        config.compact_interval = Duration::from_secs(86_400);
        change(&mut config);
        let store = Store::open(config.clone(), rebuild()).await.unwrap();
        Bed {
            dir,
            store,
            config,
            all: Vec::new(),
        }
    }

    pub async fn commit(&mut self, events: &[Value]) -> u64 {
        self.commit_record(record(events, now_ns(), Vec::new()))
            .await
    }

    pub async fn commit_record(&mut self, record: Record) -> u64 {
        let store = self.store.clone();
        let one = record.clone();
        let work = move || {
            store
                .commit(build(std::slice::from_ref(&one)), &[one])
                .unwrap()
        };
        let first = tokio::task::spawn_blocking(work).await.unwrap();
        self.all.push(record);
        first
    }

    /// Makes one segment of all rows in memory.
    pub async fn seal(&self) {
        crate::seal::seal_all(&self.store.shared).await.unwrap();
    }

    /// A store on a copy of the folder as it is now: what a crash at this moment would leave.
    pub async fn crashed(&self) -> Bed {
        let dir = TempDir::new().unwrap();
        copy(self.dir.path(), dir.path());
        let mut config = self.config.clone();
        config.data_dir = dir.path().to_owned();
        let store = Store::open(config.clone(), rebuild()).await.unwrap();
        Bed {
            dir,
            store,
            config,
            all: self.all.clone(),
        }
    }

    /// Ends the background tasks: from now on only the test seals, merges and erases.
    pub async fn quiet(self) -> Bed {
        let shared = &self.store.shared;
        shared.drain();
        let running = std::mem::take(&mut *crate::shared::lock(&self.store.tasks.running));
        for task in running {
            task.await.unwrap();
        }
        shared.draining.store(false, Ordering::Release);
        self
    }

    /// Closes and opens again.
    pub async fn reopen(mut self) -> Bed {
        self.store.close().await;
        self.store = Store::open(self.config.clone(), rebuild()).await.unwrap();
        self
    }

    /// What the meaning of the query says, oldest first: (time, seq).
    pub fn naive(&self, query: &Query, range: &TimeRange) -> Vec<(i64, u64)> {
        let batch = self.batch();
        let mask = query.matches(&batch);
        let mut found: Vec<(i64, u64)> = mask
            .set_indices()
            .map(|row| (batch.time().value(row), batch.seq().value(row)))
            .filter(|(time, _)| range.contains(*time))
            .collect();
        found.sort();
        found
    }

    /// All rows as one batch, numbered as the store numbers them.
    pub fn batch(&self) -> EventBatch {
        match self.all.is_empty() {
            true => EventBatch::empty(),
            false => build(&self.all).with_first_seq(1),
        }
    }

    /// The values of a field with counts among the rows that match.
    pub fn naive_facet(&self, query: &Query, range: &TimeRange, field: &str) -> Counted {
        let batch = self.batch();
        let mask = query.matches(&batch);
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let mut missing = 0;
        for row in mask
            .set_indices()
            .filter(|r| range.contains(batch.time().value(*r)))
        {
            let values: std::collections::BTreeSet<String> = batch
                .values(field, row)
                .into_iter()
                .map(|v| v.into_owned())
                .collect();
            missing += u64::from(values.is_empty());
            values
                .into_iter()
                .for_each(|v| *counts.entry(v).or_default() += 1);
        }
        let mut values: Vec<(String, u64)> = counts.into_iter().collect();
        values.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        Counted { values, missing }
    }

    pub fn events(&self) -> Vec<Value> {
        let lines = self.all.iter().flat_map(|r| r.lines.split(|b| *b == b'\n'));
        lines
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[derive(Debug, PartialEq)]
pub struct Counted {
    pub values: Vec<(String, u64)>,
    pub missing: u64,
}

/// Events that look like those of a shop: text, identifiers, few values, numbers, lists.
pub fn shop_event(i: u64) -> Value {
    let services = ["gateway", "auth", "orders", "payments"];
    let service = services[(i % 7 % 4) as usize];
    let status = [200, 200, 200, 401, 503, 404][(i % 6) as usize];
    let (user, path, ms) = (i % 23, i % 11, i % 13);
    let role = if i.is_multiple_of(5) {
        "admin"
    } else {
        "guest"
    };
    let did = format!("{service} handled /api/{path} for u{user}");
    json!({
        "t": 1_760_000_000_000_i64 + (i as i64 * 37 % 5_000) * 1_000,
        "service": {"name": service},
        "http": {"response": {"status_code": status}},
        "user": {"id": format!("u{user}"), "roles": ["member", role]},
        "trace": {"id": format!("{:032x}", i.wrapping_mul(0x9e37_79b9_7f4a_7c15))},
        "message": format!("{did} with status {status} in {ms} ms"),
        "ok": status == 200,
        "took": f64::from(status) / 7.0,
    })
}

pub const WAIT: Duration = Duration::from_secs(30);
