//! Rules that ask for threat lists.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;

use serde_json::json;
use support::{batch, files};
use watchfire_detect::intel::{IntelFile, IntelSet};
use watchfire_detect::{Backtest, Engine, EngineConfig, RuleException, RulePolicy, RuleSet};
use watchfire_event::ColumnShape;

const RULE: &str = "
title: Listed
id: listed
level: high
detection:
    party: { source.ip|expand: '%intel.bad%' }
    ours: { user.id: scanner }
    condition: party and not ours
";

fn lists(entries: &[(&str, &str)]) -> Arc<IntelSet> {
    let mut set = IntelSet::new();
    for (path, text) in entries {
        let faults = set.add(&IntelFile { path, text }, 0);
        assert!(faults.is_empty(), "{faults:?}");
    }
    Arc::new(set)
}

#[test]
fn an_alert_names_the_list_and_the_entry() {
    let lists = lists(&[("bad.txt", "203.0.113.0/24\n"), ("other.txt", "192.0.2.1")]);
    let (set, faults) = RuleSet::load_with(&files(&[RULE]), lists);
    assert!(faults.is_empty(), "{faults:?}");
    let mut engine = Engine::new(Arc::new(set), EngineConfig::default());
    let events = [
        json!({ "source": { "ip": "203.0.113.9" } }),
        json!({ "source": { "ip": "192.0.2.1" } }),
        json!({ "source": { "ip": "203.0.113.10" }, "user": { "id": "scanner" } }),
        json!({ "source": { "ip": ["10.0.0.1", "203.0.113.11"] } }),
        json!({ "source": { "ip": "" } }),
        json!({ "source": { "ip": 5 } }),
    ];
    let changes = engine.process(&batch(&events));
    let told: Vec<_> = changes.iter().map(|c| c.alert.summary.as_str()).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    let first = &changes[0].alert;
    assert!(
        first
            .summary
            .contains("source.ip is \"203.0.113.9\", on the list bad as 203.0.113.0/24"),
        "{told:?}"
    );
    let matched = &first.evidence.baseline["matched"][0];
    assert_eq!(
        (&matched["list"], &matched["indicator"], &matched["pattern"]),
        (
            &json!("bad"),
            &json!("203.0.113.0/24"),
            &json!("%intel.bad%")
        )
    );
}

#[test]
fn a_rule_that_asks_for_a_list_which_is_not_there_is_set_aside() {
    let (set, faults) = RuleSet::load(&files(&[
        RULE,
        "title: Any\nid: any\ndetection:\n    s: { a|expand: '%intel%' }\n    condition: s\n",
    ]));
    let codes: Vec<_> = faults.iter().map(|f| f.code).collect();
    assert_eq!(codes, ["unknown_list"]);
    assert_eq!(set.len(), 1);
    let mut engine = Engine::new(Arc::new(set), EngineConfig::default());
    let events = [
        json!({ "a": "" }),
        json!({ "a": "%intel%" }),
        json!({ "a": "10.0.0.1" }),
    ];
    assert!(engine.process(&batch(&events)).is_empty());
}

#[test]
fn a_backtest_reads_only_what_is_listed() {
    let lists = lists(&[("bad.txt", "203.0.113.0/24\n")]);
    let events: Vec<_> = (0..100)
        .map(|i| json!({ "source": { "ip": format!("203.0.{}.9", 100 + i % 20) }, "n": i }))
        .collect();
    let batch = batch(&events);
    let (live, _) = RuleSet::load_with(&[], lists);
    let (mut backtest, faults) = Backtest::load(&files(&[RULE]), &live);
    assert!(faults.is_empty(), "{faults:?}");
    let shape = |c: &watchfire_event::Column| ColumnShape {
        name: c.name.clone(),
        kind: c.kind,
        origin: c.origin,
    };
    let shapes: Vec<_> = batch.columns().iter().map(shape).collect();
    let reading = backtest.reading(&shapes);
    let rows = batch.filter(&reading.query.matches(&batch));
    assert_eq!(rows.rows(), 5);
    backtest.take(&rows);
    assert_eq!((backtest.matches(), backtest.alerts()), (5, 1));
}

#[test]
fn exceptions_and_filters_of_detectors_ask_lists_as_they_are_now() {
    const DETECTOR: &str = "detector: first_seen\nid: first_seen.ip\ntitle: New\nentity: user.id\n\
        pair: source.ip\nfilter: source.ip:@bad\nthresholds: { min_events: 1, min_score: 0 }\n";
    const ANY: &str = "title: Any\nid: any\ndetection:\n  s: { source.ip: '*' }\n  condition: s\n";
    let (_, faults) = RuleSet::load(&files(&[DETECTOR]));
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].message.contains("bad"), "{faults:?}");

    let set = |entries: &str| {
        let (set, faults) =
            RuleSet::load_with(&files(&[DETECTOR, ANY]), lists(&[("bad.txt", entries)]));
        assert!(faults.is_empty(), "{faults:?}");
        Arc::new(set)
    };
    let mut engine = Engine::new(set("203.0.113.9\n"), EngineConfig::default());
    engine.set_policy(Arc::new(RulePolicy {
        exceptions: vec![RuleException {
            id: "ours".into(),
            rules: vec!["any".into()],
            query: "source.ip:@bad".into(),
            expires_ns: None,
        }],
        ..RulePolicy::default()
    }));
    let event = |ip: &str| json!({ "source": { "ip": ip }, "user": { "id": ip } });
    let both = batch(&[event("203.0.113.9"), event("192.0.2.1")]);
    engine.process(&both);
    assert_eq!(engine.stats().hidden, 1);
    engine.replace_rules(set("203.0.113.9\n192.0.2.1\n"));
    engine.process(&both);
    assert_eq!(engine.stats().hidden, 3);
    let mut other = Engine::new(set("192.0.2.7\n"), EngineConfig::default());
    let mut state = Vec::new();
    engine.save(&mut state).unwrap();
    other.restore(&state).unwrap();
    other.process(&both);
    assert_eq!(other.stats().hidden, 0);
}
