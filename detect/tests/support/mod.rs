//! Batches from JSON and rules from folders, for tests.

#![allow(clippy::unwrap_used, clippy::expect_used, dead_code)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::Int64Array;
use serde_json::Value;
use watchfire_detect::{Engine, EngineConfig, RuleFile, RuleSet};
use watchfire_event::time::parse_timestamp;
use watchfire_event::{Alert, BatchBuilder, BatchLimits, EventBatch, RowMeta};

/// A batch of `events` with sequence numbers from `first`, at the times they say.
pub fn batch_from(events: &[Value], first: u64) -> EventBatch {
    let mut builder = BatchBuilder::new(BatchLimits::default());
    let meta = RowMeta {
        received_ns: 1_900_000_000_000_000_000,
        source: "test".into(),
    };
    let mut times = Vec::new();
    for event in events {
        builder
            .push(event.to_string().as_bytes(), &meta)
            .expect("a JSON object");
        let time = event
            .get("@timestamp")
            .and_then(Value::as_str)
            .and_then(parse_timestamp);
        times.push(time.unwrap_or(1_760_000_000_000_000_000));
    }
    builder
        .finish()
        .with_time(Int64Array::from(times))
        .with_first_seq(first)
}

/// A batch with sequence numbers from 1.
pub fn batch(events: &[Value]) -> EventBatch {
    batch_from(events, 1)
}

/// An engine with these rule texts; panics on any fault.
pub fn engine(texts: &[&str]) -> Engine {
    let (rules, faults) = RuleSet::load(&files(texts));
    assert!(faults.is_empty(), "{faults:?}");
    Engine::new(Arc::new(rules), EngineConfig::default())
}

/// The alerts that the engine raises or changes over the events, numbered from `first`.
pub fn alerts_from(engine: &mut Engine, events: &[Value], first: u64) -> Vec<Alert> {
    let changes = engine.process(&batch_from(events, first));
    changes.into_iter().map(|change| change.alert).collect()
}

/// The alerts of a rule text over the events.
pub fn alerts(text: &str, events: &[Value]) -> Vec<Alert> {
    alerts_from(&mut engine(&[text]), events, 1)
}

/// Texts as rule files.
pub fn files(texts: &[&str]) -> Vec<RuleFile> {
    let file = |(i, text): (usize, &&str)| RuleFile {
        path: format!("r{i}.yml"),
        text: (*text).to_owned(),
    };
    texts.iter().enumerate().map(file).collect()
}

/// All YAML files below `folder`, in order of path.
pub fn read_rules(folder: &Path) -> Vec<RuleFile> {
    let mut folders = vec![folder.to_owned()];
    let mut paths: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "yml" || e == "yaml") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    let read = |path: PathBuf| RuleFile {
        path: path.display().to_string(),
        text: std::fs::read_to_string(&path).unwrap(),
    };
    paths.into_iter().map(read).collect()
}

/// The folder of public data sets, where there is one: `WATCHFIRE_SHARED`. Set and missing is a
/// failure.
pub fn shared() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("WATCHFIRE_SHARED")?);
    assert!(
        folder.is_dir(),
        "WATCHFIRE_SHARED is {}, which is no folder",
        folder.display()
    );
    Some(folder)
}

/// Everything an engine has learned.
pub fn saved(engine: &Engine) -> Vec<u8> {
    let mut bytes = Vec::new();
    engine.save(&mut bytes).unwrap();
    bytes
}
