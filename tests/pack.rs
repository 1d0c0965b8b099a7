//! The day-one pack: every rule loads, alerts on its attacks and is silent on what comes close.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use watchfire_detect::{Engine, EngineConfig, RuleFile, RuleSet, catalogue, pack};
use watchfire_event::{BatchLimits, EventBatch, RowMeta};
use watchfire_ingest::{Mappings, build_batch};

#[test]
fn every_rule_loads_and_passes_its_own_tests() {
    let files = files();
    let (rules, faults) = RuleSet::load(&files);
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(
        rules.infos().len() >= 100,
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
    assert!(outcomes.len() >= 350, "only {} tests", outcomes.len());
}

#[test]
fn the_page_of_detections_is_that_of_the_rules() {
    let page = catalogue::page(&files()).unwrap_or_else(|faults| panic!("{faults:#?}"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/DETECTIONS.md");
    let written = fs::read_to_string(path).unwrap();
    assert!(
        page.trim_end() == written.trim_end(),
        "docs/DETECTIONS.md is not current; make it with: watchfire rules docs rules"
    );
}

#[test]
fn logs_that_rules_are_not_meant_for_raise_nothing() {
    let (rules, _) = RuleSet::load(&files());
    let mut engine = Engine::new(Arc::new(rules), EngineConfig::default());
    let mappings = Mappings::builtin().unwrap();
    let events: Vec<Value> = FOREIGN
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let many: Vec<Value> = std::iter::repeat_n(&events, 50)
        .flatten()
        .cloned()
        .collect();
    let raised = engine.process(&batch(&many, &mappings));
    let told: Vec<_> = raised.iter().map(|c| &c.alert.summary).collect();
    assert!(told.is_empty(), "{told:#?}");
}

/// Harmless events of sources that have rules of their own, with words that rules of the pack look
/// for in other sources.
const FOREIGN: &str = include_str!("pack/foreign.ndjson");

/// The rules and their tests, in the order of their paths below the repository.
fn files() -> Vec<RuleFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("rules"), &mut files);
    for file in &mut files {
        let path = Path::new(&file.path).strip_prefix(root).unwrap();
        file.path = path.display().to_string();
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
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
