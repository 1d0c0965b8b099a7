//! A slow attack among more groups than there are windows.

use serde_json::{Value, json};
use watchfire_event::{Alert, BatchLimits};

use super::super::groups::MAX_GROUPS;
use super::batch;
use crate::ruleset::{RuleFile, RuleSet};
use crate::{Engine, EngineConfig, EngineStats};

const RULE: &str = "title: Failed login
id: login
name: login
logsource: {category: authentication}
detection:
  sel: {event.outcome: failure}
  condition: sel
---
title: Slow guessing
id: guessing
correlation:
  type: event_count
  rules: [login]
  group-by: [source.ip]
  timespan: 12h
  condition: {gte: 5}
level: high
";

fn failure(address: &str) -> Value {
    json!({
        "event": { "category": ["authentication"], "outcome": "failure" },
        "source": { "ip": address },
    })
}

/// Runs a flood of addresses that fail `times` each, with one that fails now and then; saves and
/// restores in between. Addresses of the alerts, and what was done.
fn flooded(addresses: usize, every: usize, times: usize) -> (Vec<String>, EngineStats) {
    let file = RuleFile {
        path: "flood.yml".into(),
        text: RULE.into(),
    };
    let (rules, faults) = RuleSet::load(&[file]);
    assert!(faults.is_empty(), "{faults:?}");
    let rules = std::sync::Arc::new(rules);
    let mut engine = Engine::new(rules.clone(), EngineConfig::default());
    let (mut told, mut stats) = (Vec::new(), EngineStats::default());
    let all: Vec<usize> = (0..addresses).collect();
    for part in all.chunks(700) {
        let mut events = Vec::new();
        for i in part {
            if i % every == 0 {
                events.push(failure("203.0.113.66"));
            }
            let address = format!("10.{}.{}.{}", i >> 16, i >> 8 & 255, i & 255);
            events.extend((0..times).map(|_| failure(&address)));
        }
        let found = engine.process(&batch(&events, BatchLimits::default()));
        let named = |alert: Alert| alert.entities.get("ip").cloned().unwrap_or_default();
        told.extend(found.into_iter().flat_map(|c| named(c.alert)));
        stats = engine.stats().clone();
        let mut state = Vec::new();
        engine.save(&mut state).unwrap();
        engine = Engine::new(rules.clone(), EngineConfig::default());
        engine.restore(&state).unwrap();
    }
    told.dedup();
    (told, stats)
}

#[test]
fn a_slow_attack_is_found_among_more_groups_than_there_are_windows() {
    // Between two of its matches come more groups than there are windows.
    let (told, _) = flooded(MAX_GROUPS * 12, MAX_GROUPS + 100, 1);
    assert_eq!(told, ["203.0.113.66"]);
}

#[test]
fn a_slow_attack_is_found_among_groups_that_come_several_times() {
    for times in 2..4 {
        let (told, stats) = flooded(MAX_GROUPS * 14, MAX_GROUPS + 100, times);
        assert_eq!(told, ["203.0.113.66"], "{times} times each");
        assert!(stats.windows.open <= MAX_GROUPS as u64);
        assert!(stats.windows.turned_away > 0);
    }
}

#[test]
fn nobody_is_turned_away_without_a_flood() {
    let (told, stats) = flooded(MAX_GROUPS / 2, MAX_GROUPS / 12, 1);
    assert_eq!(told, ["203.0.113.66"]);
    assert_eq!(stats.windows.turned_away, 0);
}
