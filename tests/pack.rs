//! The day-one pack: every rule loads, alerts on its attacks and is silent on what comes close.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;

use serde_json::Value;
use watchfire_detect::{RuleFile, RuleSet, pack};
use watchfire_event::{BatchLimits, EventBatch, RowMeta};
use watchfire_ingest::{Mappings, build_batch};

#[test]
fn every_rule_loads_and_passes_its_own_tests() {
    let mut files = Vec::new();
    collect(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("rules"),
        &mut files,
    );
    files.sort_by(|a, b| a.path.cmp(&b.path));

    let (rules, faults) = RuleSet::load(&files);
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(
        rules.infos().len() >= 40,
        "only {} rules",
        rules.infos().len()
    );

    let mappings = Mappings::builtin().unwrap();
    let outcomes = pack::run_tests(&files, &|events| batch(events, &mappings));
    let failed: Vec<String> = outcomes
        .iter()
        .filter(|outcome| !outcome.passed)
        .map(|outcome| format!("{}: {}: {}", outcome.path, outcome.name, outcome.message))
        .collect();
    assert!(
        failed.is_empty(),
        "{} of {}\n{}",
        failed.len(),
        outcomes.len(),
        failed.join("\n")
    );
    assert!(outcomes.len() >= 100, "only {} tests", outcomes.len());
}

fn batch(events: &[Value], mappings: &Mappings) -> EventBatch {
    let lines: Vec<Vec<u8>> = events
        .iter()
        .map(|event| serde_json::to_vec(event).unwrap())
        .collect();
    let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
    // Received long after every test event happened, so that no time is trusted less.
    let meta = RowMeta {
        received_ns: 1_900_000_000_000_000_000,
        source: "test".into(),
    };
    let (batch, rejected) = build_batch(&lines, &meta, BatchLimits::default(), mappings);
    assert!(rejected.is_empty());
    batch.with_first_seq(1)
}

fn collect(folder: &Path, files: &mut Vec<RuleFile>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "yml") {
            let text = fs::read_to_string(&path).unwrap();
            files.push(RuleFile {
                path: path.display().to_string(),
                text,
            });
        }
    }
}
