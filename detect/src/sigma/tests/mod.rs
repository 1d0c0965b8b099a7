//! Every match of the columns against rsigma's evaluation of the rows.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod flood;
mod late;
mod random;
mod shared;

use std::collections::HashMap;
use std::sync::Arc;

use rsigma_eval::{Engine, evaluate_rule};
use serde_json::Value;
use watchfire_event::{BatchBuilder, BatchLimits, EventBatch, RowMeta};

use super::SigmaRules;
use super::classes::Classes;
use super::event::{BatchFields, RowEvent};
use crate::intel::{IntelFile, IntelSet};
use crate::ruleset::{RuleFile, RuleSet};

/// Matches of a batch: row and id of the rule, in order.
type Matches = Vec<(u32, String)>;

/// The rules of these texts; those that do not load are left out.
fn load(texts: impl IntoIterator<Item = String>) -> Arc<SigmaRules> {
    let files: Vec<RuleFile> = texts
        .into_iter()
        .enumerate()
        .map(|(i, text)| RuleFile {
            path: format!("r{i}.yml"),
            text,
        })
        .collect();
    RuleSet::load(&files).0.sigma
}

pub(crate) fn batch(events: &[Value], limits: BatchLimits) -> EventBatch {
    let mut builder = BatchBuilder::new(limits);
    let meta = RowMeta {
        received_ns: 1_900_000_000_000_000_000,
        source: "test".into(),
    };
    for event in events {
        builder.push(event.to_string().as_bytes(), &meta).unwrap();
    }
    builder.finish()
}

/// Threat lists, others for batches of another length.
fn lists(batch: &EventBatch) -> Arc<IntelSet> {
    let text = match batch.rows() % 2 {
        0 => "10.0.0.0/8\n2001:db8::/32\n",
        _ => "192.0.2.1\n",
    };
    let mut lists = IntelSet::new();
    let path = "feed.txt";
    assert_eq!(lists.add(&IntelFile { path, text }, 0), []);
    Arc::new(lists)
}

/// What the columns say, with all that `classes` remembers of earlier batches.
fn on_columns(rules: &SigmaRules, classes: &mut Classes, batch: &EventBatch) -> Matches {
    let lists = lists(batch);
    let fields = BatchFields::new(batch).with_lists(&lists);
    let rows = classes.rows(rules, &fields);
    let mut found = Vec::new();
    for (class, of) in rows.iter().enumerate() {
        if let Some(scanner) = &mut classes.scanners[class] {
            let ways = scanner.ways(&fields, of);
            for (row, place) in scanner.matches(&fields, &ways, of, crate::cost::Watch(None)) {
                let index = scanner.program.rules[place as usize].index;
                found.push((row, rules.id(index).to_owned()));
            }
        }
    }
    found.sort();
    found
}

/// What rsigma says of the rows, each rule asked on its own.
fn on_rows(rules: &SigmaRules, classes: &mut Classes, batch: &EventBatch) -> Matches {
    let lists = lists(batch);
    let fields = BatchFields::new(batch).with_lists(&lists);
    let rows = classes.rows(rules, &fields);
    let mut found = Vec::new();
    for (class, of) in rows.iter().enumerate() {
        let Some(scanner) = &classes.scanners[class] else {
            continue;
        };
        for row in &of.rows {
            let event = RowEvent::new(&fields, scanner.program.family, *row as usize);
            for rule in &scanner.program.rules {
                if evaluate_rule(&rules.compiled[rule.index as usize], &event).is_some() {
                    found.push((*row, rules.id(rule.index).to_owned()));
                }
            }
        }
    }
    found.sort();
    found
}

/// As [`on_rows`], by rsigma's engines of the classes: for many rules.
fn by_engine(
    rules: &SigmaRules,
    classes: &mut Classes,
    batch: &EventBatch,
    engines: &mut HashMap<usize, Engine>,
) -> Matches {
    let fields = BatchFields::new(batch);
    let rows = classes.rows(rules, &fields);
    let mut found = Vec::new();
    for (class, of) in rows.iter().enumerate() {
        let Some(scanner) = &classes.scanners[class] else {
            continue;
        };
        let engine = engines.entry(class).or_insert_with(|| {
            let mut engine = Engine::new();
            let admitted = scanner.program.rules.iter();
            let compiled = admitted.map(|r| rules.compiled[r.index as usize].clone());
            engine.extend_compiled_rules(compiled);
            engine
        });
        for row in &of.rows {
            let event = RowEvent::new(&fields, scanner.program.family, *row as usize);
            let results = engine.evaluate(&event).into_iter();
            found.extend(results.map(|r| (*row, r.header.rule_id.unwrap())));
        }
    }
    found.sort();
    found
}
