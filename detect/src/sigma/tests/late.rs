//! Correlations where matches come late: event time decides, whatever the order of arrival.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::Int64Array;
use proptest::prelude::*;
use rsigma_eval::{CorrelationConfig, CorrelationEngine, JsonEvent};
use rsigma_parser::parse_sigma_yaml;
use serde_json::{Value, json};
use watchfire_event::{BatchLimits, EventBatch};

use super::super::event::BatchFields;
use super::super::run::SigmaRun;
use super::{batch, load};
use crate::cost::{Costs, Watch};
use crate::ruleset::{RuleFile, RuleSet};
use crate::{Engine, EngineConfig};

const START: i64 = 1_760_000_000;

/// An event: seconds after the start, user, which rule it matches, value.
type Step = (i64, u8, u8, i64);

/// Correlations of every type whose condition, once it holds for a window, holds with more
/// matches in it too.
const GROWING: &[(&str, &str)] = &[
    ("event_count", "condition: { gte: 3 }"),
    ("event_count", "window: tumbling\n  condition: { gt: 2 }"),
    ("value_count", "condition: { field: v, gte: 3 }"),
    ("value_sum", "condition: { field: v, gte: 9 }"),
    ("temporal", ""),
    ("temporal", "condition: a and (b or c)"),
    ("temporal_ordered", ""),
];

/// Others, of which a late match can undo what was found without it.
const OTHERS: &[(&str, &str)] = &[
    (
        "event_count",
        "window: session\n  gap: 20s\n  condition: { gte: 4 }",
    ),
    ("event_count", "condition: { eq: 3 }"),
    ("value_count", "condition: { field: v, lt: 2 }"),
    ("value_avg", "condition: { field: v, gte: 4 }"),
    (
        "value_percentile",
        "condition: { field: v, percentile: 80, gte: 5 }",
    ),
    ("value_median", "condition: { field: v, gte: 4 }"),
    (
        "value_sum",
        "window: session\n  gap: 10s\n  condition: { field: v, lte: 5 }",
    ),
    ("temporal", "condition: a and not b"),
];

fn rules(of: &[(&str, &str)]) -> String {
    let rule = |id: &str| {
        format!("title: {id}\nid: {id}\ndetection:\n  s: {{ k: {id} }}\n  condition: s\n")
    };
    let base = ["a", "b", "c"].map(rule).join("---\n");
    let correlation = |(i, (kind, more)): (usize, &(&str, &str))| {
        format!(
            "---\ntitle: c{i}\nid: c{i}\ncorrelation:\n  type: {kind}\n  rules: [a, b, c]\n  \
             group-by: [user]\n  timespan: 60s\n  generate: true\n  {more}\n"
        )
    };
    let all: String = of.iter().enumerate().map(correlation).collect();
    let over = "---\ntitle: over\nid: over\ncorrelation:\n  type: temporal\n  rules: [c0, c2]\n  \
        group-by: [user]\n  timespan: 30s\n  generate: true\n";
    base + &all + over
}

fn step() -> impl Strategy<Value = Step> {
    (0i64..300, 0u8..2, 0u8..3, 0i64..7)
}

fn event(step: &Step) -> Value {
    let kind = ["a", "b", "c"][usize::from(step.2)];
    json!({ "user": format!("u{}", step.1), "k": kind, "v": step.3 })
}

fn arrived(steps: &[Step]) -> EventBatch {
    let times = steps.iter().map(|s| (START + s.0) * 1_000_000_000);
    let times: Vec<i64> = times.collect();
    let events: Vec<Value> = steps.iter().map(event).collect();
    let batch = batch(&events, BatchLimits::default());
    batch.with_time(Int64Array::from(times)).with_first_seq(1)
}

/// For which correlation, group and end of a window it fired.
type Told = BTreeSet<(String, String, i64)>;

fn found(text: &str, steps: &[Step]) -> Told {
    let mut run = SigmaRun::new(load([text.to_owned()]));
    let batch = arrived(steps);
    let findings = run.process(
        &BatchFields::new(&batch),
        (Watch(None), &mut Costs::default()),
        &mut |_, _| true,
    );
    assert_eq!(run.late(), 0);
    let fired = findings.into_iter().filter(|f| f.within_ns.is_some());
    let told =
        |f: crate::finding::Finding| (f.source.detector.clone(), f.entity.value.clone(), f.time_ns);
    fired.map(told).collect()
}

fn in_order(steps: &[Step]) -> Vec<Step> {
    let mut sorted = steps.to_vec();
    sorted.sort_by_key(|s| s.0);
    sorted
}

/// Alerts of correlations by group: from when until when.
fn alerts(text: &str, steps: &[Step], cut: usize) -> BTreeMap<String, (f64, f64)> {
    let file = RuleFile {
        path: "r.yml".into(),
        text: text.into(),
    };
    let rules = Arc::new(RuleSet::load(&[file]).0);
    let mut engine = Engine::new(rules.clone(), EngineConfig::default());
    let whole = arrived(steps);
    let mut alerts = BTreeMap::new();
    for start in (0..whole.rows()).step_by(cut) {
        let part = whole.slice(start, cut.min(whole.rows() - start));
        for change in engine.process(&part) {
            let alert = change.alert;
            if let Some(group) = alert.evidence.baseline.get("group") {
                let who = format!("{} {group}", alert.detector);
                alerts.insert(who, (alert.t0, alert.t1));
            }
        }
        let mut state = Vec::new();
        engine.save(&mut state).unwrap();
        engine = Engine::new(rules.clone(), EngineConfig::default());
        engine.restore(&state).unwrap();
    }
    alerts
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_order_within_the_lateness_gives_the_alerts_of_the_true_order(
        (steps, shuffled) in prop::collection::vec(step(), 1..60)
            .prop_flat_map(|steps| (Just(steps.clone()), Just(steps).prop_shuffle())),
        cut in 1usize..20,
    ) {
        let growing = rules(GROWING);
        let ordered = in_order(&steps);
        prop_assert_eq!(found(&growing, &ordered), found(&growing, &shuffled));
        let whole = alerts(&growing, &ordered, ordered.len());
        prop_assert_eq!(&whole, &alerts(&growing, &shuffled, shuffled.len()));
        prop_assert_eq!(&whole, &alerts(&growing, &shuffled, cut));
        // Nothing is missed where more matches can undo a condition. Of two at the same time,
        // the one that comes first would be looked at without the other.
        let mut times = BTreeSet::new();
        let shuffled: Vec<Step> = shuffled.into_iter().filter(|s| times.insert(s.0)).collect();
        let others = rules(OTHERS);
        let told = found(&others, &shuffled);
        for wanted in found(&others, &in_order(&shuffled)) {
            prop_assert!(told.contains(&wanted), "{:?} is missing", wanted);
        }
    }

    #[test]
    fn matches_in_order_fire_as_with_rsigma(
        steps in prop::collection::vec(step(), 1..120),
    ) {
        for text in [rules(GROWING), rules(OTHERS)] {
            let steps = in_order(&steps);
            let mut oracle = CorrelationEngine::new(CorrelationConfig::default());
            // The parser lets one rule do where a correlation over time has no condition.
            let all = |n: usize| format!("type: temporal\n  rules: [a, b, c]\n  group-by: \
                [user]\n  timespan: 60s\n  generate: true\n  condition: {{ gte: {n} }}\n");
            let said = text.replace(&all(3).replace("  condition: { gte: 3 }\n", "  \n"), &all(3));
            let said = said.replace("timespan: 30s\n  generate: true\n",
                "timespan: 30s\n  generate: true\n  condition: { gte: 2 }\n");
            oracle.add_collection(&parse_sigma_yaml(&said).unwrap()).unwrap();
            let mut expected: BTreeSet<(usize, String)> = BTreeSet::new();
            for (row, step) in steps.iter().enumerate() {
                let event = event(step);
                let results = oracle.process_event_at(&JsonEvent::borrow(&event), START + step.0);
                for result in results.iter().filter(|r| r.is_correlation()) {
                    let id = result.header.rule_id.clone().unwrap();
                    // It fires for any percentile, whatever the condition says.
                    if text.contains(&format!("id: {id}\ncorrelation:\n  type: value_percentile")) {
                        continue;
                    }
                    expected.insert((row, id));
                }
            }
            let mut fired: BTreeSet<(usize, String)> = BTreeSet::new();
            let batch = arrived(&steps);
            let mut run = SigmaRun::new(load([text.clone()]));
            let mut costs = Costs::default();
            let unmeasured = (Watch(None), &mut costs);
            run.process(&BatchFields::new(&batch), unmeasured, &mut |id, row| {
                let percentile = format!("id: {id}\ncorrelation:\n  type: value_percentile");
                if id.len() > 1 && !text.contains(&percentile) {
                    fired.insert((row, id.to_owned()));
                }
                true
            });
            prop_assert_eq!(fired, expected);
        }
    }
}

#[test]
fn the_properties_are_about_something() {
    let value = |i| if i < 30 { i % 7 } else { 6 };
    let steps: Vec<Step> = (0..60)
        .map(|i| (i * 5, 0, (i % 3) as u8, value(i)))
        .collect();
    for of in [GROWING, OTHERS] {
        let fired = found(&rules(of), &steps);
        let ids: BTreeSet<&str> = fired.iter().map(|(id, ..)| id.as_str()).collect();
        let all = (0..of.len()).map(|i| format!("sigma:c{i}"));
        let silent: Vec<_> = all.filter(|id| !ids.contains(id.as_str())).collect();
        assert!(
            silent.is_empty() && ids.contains("sigma:over"),
            "{silent:?}"
        );
    }
}

#[test]
fn a_late_match_completes_the_window_that_it_belongs_to_and_no_other() {
    let ordered = "title: a\nid: a\ndetection:\n  s: { k: a }\n  condition: s\n---\ntitle: b\nid: \
        b\ndetection:\n  s: { k: b }\n  condition: s\n---\ntitle: t\nid: t\ncorrelation:\n  type: \
        temporal_ordered\n  rules: [a, b]\n  group-by: [user]\n  timespan: 60s\n";
    let told = |steps: &[Step]| {
        let told = found(ordered, steps).into_iter();
        told.map(|(_, _, at)| at / 1_000_000_000 - START)
            .collect::<Vec<_>>()
    };
    // First b arrives, then the a that came before it: the window ends with b.
    assert_eq!(told(&[(100, 0, 1, 0), (70, 0, 0, 0)]), [100]);
    assert!(told(&[(100, 0, 1, 0), (110, 0, 0, 0)]).is_empty());
    assert!(told(&[(100, 0, 1, 0), (30, 0, 0, 0)]).is_empty());
    // Both are late to a third.
    assert_eq!(
        told(&[(250, 0, 0, 0), (100, 0, 1, 0), (70, 0, 0, 0)]),
        [100]
    );
}

#[test]
fn a_time_in_the_future_makes_no_others_late() {
    let text = rules(&GROWING[..1]).replace("rules: [c0, c2]", "rules: [c0]");
    let mut run = SigmaRun::new(load([text]));
    let now = 1_900_000_000;
    let year = 365 * 86_400;
    let steps = [now + year, now + 1, now + 2, now + 3].map(|at| (at - START, 0, 0, 0));
    let batch = arrived(&steps);
    let findings = run.process(
        &BatchFields::new(&batch),
        (Watch(None), &mut Costs::default()),
        &mut |_, _| true,
    );
    let fired = findings.iter().filter(|f| f.source.detector == "sigma:c0");
    assert_eq!(fired.count(), 1);
    assert_eq!(run.late(), 0);
}

#[test]
fn windows_of_earlier_versions_are_taken_over() {
    let text = rules(&[
        ("event_count", "condition: { gte: 3 }"),
        ("value_sum", "condition: { field: v, gte: 9 }"),
        ("value_count", "condition: { field: v, gte: 3 }"),
        ("temporal_ordered", ""),
    ]);
    let text = text.replace("c0, c2", "c0");
    let mut older = CorrelationEngine::new(CorrelationConfig::default());
    older
        .add_collection(&parse_sigma_yaml(&text).unwrap())
        .unwrap();
    let steps: [Step; 3] = [(0, 0, 0, 1), (10, 0, 1, 5), (20, 0, 2, 3)];
    for step in &steps[..2] {
        older.process_event_at(&JsonEvent::borrow(&event(step)), START + step.0);
    }
    let state = json!({
        "windows": older.export_state(), "groups": {}, "door": { "seen": null, "turned_away": 0 },
        "newest": START + 10, "fed": 2, "late": 0,
    });
    let rules = load([text]);
    let names = rules.components.iter().map(|c| c.name());
    let states: serde_json::Map<_, _> = names.map(|name| (name, state.clone())).collect();
    let state = json!({ "correlators": states });
    let mut run = SigmaRun::new(rules);
    run.restore(serde_json::from_value(state).unwrap());
    let batch = arrived(&steps[2..]);
    let findings = run.process(
        &BatchFields::new(&batch),
        (Watch(None), &mut Costs::default()),
        &mut |_, _| true,
    );
    let fired: BTreeSet<_> = findings
        .iter()
        .map(|f| f.source.detector.as_str())
        .collect();
    for id in ["sigma:c0", "sigma:c1", "sigma:c2", "sigma:c3"] {
        assert!(fired.contains(id), "{id} is missing: {fired:?}");
    }
}
