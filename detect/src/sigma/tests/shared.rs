//! Public rules over public events, where `WATCHFIRE_SHARED` names the folder they are in.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use watchfire_event::BatchLimits;

use super::{Classes, batch, by_engine, load, on_columns};

fn texts(folder: &Path, found: &mut Vec<String>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            texts(&path, found);
        } else if path.extension().is_some_and(|e| e == "yml") {
            found.push(std::fs::read_to_string(&path).unwrap());
        }
    }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|l| !l.trim().is_empty());
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn events(folder: &Path) -> Vec<Value> {
    let mut events = Vec::new();
    for case in lines(&folder.join("sigma-regression/events.ndjson")) {
        events.extend(case["events"].as_array().unwrap().iter().cloned());
    }
    for line in lines(&folder.join("audit-events/events.ndjson")) {
        events.push(line["event"].clone());
    }
    for entry in std::fs::read_dir(folder.join("cloudtrail-attacks")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "json") {
            let text = std::fs::read_to_string(&path).unwrap();
            let more: Vec<Value> = serde_json::from_str(&text).unwrap();
            events.extend(more);
        }
    }
    events
}

/// Access logs of the benchmark, as its generator writes them.
fn access_logs(generator: &Path, count: usize) -> Vec<Value> {
    let mut command = std::process::Command::new("python3");
    let made = command
        .arg(generator)
        .args([&count.to_string(), "7"])
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let text = String::from_utf8(made.stdout).unwrap();
    let events: Vec<Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(events.len(), count);
    events
}

#[test]
fn all_rules_match_on_columns_what_they_match_on_rows() {
    let Some(folder) = std::env::var_os("WATCHFIRE_SHARED").map(PathBuf::from) else {
        return;
    };
    let made = access_logs(&folder.join("bench/gen_logs.py"), 3_000);
    let folder = folder.join("data");
    let mut rules = Vec::new();
    texts(&folder.join("sigma/rules"), &mut rules);
    let rules = load(rules);
    let mut events = events(&folder);
    events.extend(made);
    let mut classes = Classes::default();
    let mut total = 0;
    let mut engines = HashMap::new();
    for part in events.chunks(250) {
        let batch = batch(part, BatchLimits::default());
        let expected = by_engine(&rules, &mut classes, &batch, &mut engines);
        assert_eq!(on_columns(&rules, &mut classes, &batch), expected);
        total += expected.len();
    }
    assert!(total > 400, "only {total} matches");
}
