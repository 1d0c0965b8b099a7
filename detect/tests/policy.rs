//! What people set about rules: shadow, off, another severity, suppression, exceptions; what it
//! counts, and that it outlives a restart.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use support::{alerts_from, batch, batch_from, engine, files, saved};
use watchfire_detect::{
    Engine, RuleCounts, RuleException, RulePolicy, RuleSet, RuleSettings, RuleState, total,
};
use watchfire_event::time::to_rfc3339;
use watchfire_event::{Alert, Severity};

/// Receipt of every event of these tests.
const RECEIVED: i64 = 1_900_000_000_000_000_000;

/// A rule that alerts, with a correlation on it that alerts beside it, and one over both.
const RULES: &str = "
title: Failed
id: failed
logsource: { category: authentication }
detection: { selection: { event.outcome: failure }, condition: selection }
level: low
---
title: Many failures
id: many
correlation:
    type: event_count
    rules: [failed]
    group-by: [user.id]
    timespan: 10m
    condition: { gte: 3 }
    generate: true
level: high
";

const DETECTOR: &str = "
detector: first_seen
id: first_seen.user_ip
title: New address
entity: user.id
pair: source.ip
severity: medium
thresholds: { min_events: 10, min_score: 0.3, min_peers: 1 }
";

fn failure(minute: i64, user: &str) -> Value {
    let at = to_rfc3339((1_760_000_000 + minute * 60) * 1_000_000_000);
    json!({"@timestamp": at, "event": {"outcome": "failure"}, "user": {"id": user},
        "source": {"ip": "192.0.2.7"}})
}

fn set(rule: &str, settings: RuleSettings) -> RulePolicy {
    RulePolicy {
        settings: BTreeMap::from([(rule.to_owned(), settings)]),
        ..RulePolicy::default()
    }
}

fn in_state(rule: &str, state: RuleState) -> RulePolicy {
    let settings = RuleSettings {
        state,
        ..RuleSettings::default()
    };
    set(rule, settings)
}

fn except(rules: &[&str], query: &str, expires_ns: Option<i64>) -> RulePolicy {
    let exception = RuleException {
        id: "ex".into(),
        rules: rules.iter().map(|r| (*r).to_owned()).collect(),
        query: query.into(),
        expires_ns,
    };
    RulePolicy {
        exceptions: vec![exception],
        ..RulePolicy::default()
    }
}

/// The alerts of the events under the policy, and the engine afterwards.
fn run(texts: &[&str], policy: RulePolicy, events: &[Value]) -> (Vec<Alert>, Engine) {
    let mut engine = engine(texts);
    engine.set_policy(Arc::new(policy));
    (alerts_from(&mut engine, events, 1), engine)
}

fn detectors(alerts: &[Alert]) -> Vec<&str> {
    let mut names: Vec<_> = alerts.iter().map(|a| a.detector.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn counts(engine: &Engine, rule: &str) -> RuleCounts {
    let did = engine.activity().rule(rule);
    did.map(|d| total(&d.days(RECEIVED, 1))).unwrap_or_default()
}

type Case = (&'static str, RulePolicy, &'static [&'static str]);

/// What is set, and the detectors that then raise alerts.
fn cases() -> Vec<Case> {
    use RuleState::{Disabled, Shadow};
    const BASE: &[&str] = &["sigma:failed"];
    const BOTH: &[&str] = &["sigma:failed", "sigma:many"];
    const MANY: &[&str] = &["sigma:many"];
    let of_a = |rules: &[&str], end| except(rules, "user.id:a", end);
    let all = |query| except(&[], query, None);
    let (now, then) = (Some(RECEIVED), Some(RECEIVED + 1));
    vec![
        ("nothing set", RulePolicy::default(), BOTH),
        ("base in shadow", in_state("failed", Shadow), MANY),
        ("base disabled", in_state("failed", Disabled), &[]),
        ("correlation in shadow", in_state("many", Shadow), BASE),
        ("correlation disabled", in_state("many", Disabled), BASE),
        ("base excepted", of_a(&["failed"], None), &[]),
        ("correlation excepted", of_a(&["many"], None), BASE),
        ("both excepted", of_a(&["many", "failed"], None), &[]),
        ("everything excepted", all("source.ip:192.0.2.0/24"), &[]),
        ("somebody else excepted", all("user.id:b"), BOTH),
        ("no longer excepted", of_a(&[], now), BOTH),
        ("excepted a moment longer", of_a(&[], then), &[]),
        ("an exception that is no query", all("user.id:["), BOTH),
    ]
}

#[test]
fn what_is_set_decides_which_alerts_are_raised() {
    let events: Vec<_> = (0..4).map(|minute| failure(minute, "a")).collect();
    for (what, policy, expected) in cases() {
        let (alerts, _) = run(&[RULES], policy, &events);
        assert_eq!(detectors(&alerts), expected, "{what}");
    }
}

#[test]
fn detectors_obey_as_rules_do_and_learn_all_the_while() {
    let mut events: Vec<_> = (0..40).map(|minute| failure(minute, "a")).collect();
    let mut other = failure(41, "a");
    other["source"]["ip"] = json!("198.51.100.9");
    events.push(other);
    let id = "first_seen.user_ip";
    let (alerts, engine) = run(&[DETECTOR], RulePolicy::default(), &events);
    assert_eq!(detectors(&alerts), [id]);
    assert_eq!(
        (counts(&engine, id).matched, counts(&engine, id).alerts),
        (1, 1)
    );
    for policy in [
        in_state(id, RuleState::Shadow),
        in_state(id, RuleState::Disabled),
        except(&[id], "source.ip:198.51.100.9", None),
    ] {
        let (alerts, mut engine) = run(&[DETECTOR], policy.clone(), &events);
        assert!(alerts.is_empty(), "{policy:?}");
        engine.set_policy(Arc::default());
        let again = engine.process(&batch_from(&events[40..], 100));
        assert!(again.is_empty(), "the address is known by now: {policy:?}");
    }
    let severe = RuleSettings {
        severity: Some(Severity::Critical),
        ..RuleSettings::default()
    };
    let (severe, _) = run(&[DETECTOR], set(id, severe), &events);
    assert_eq!(severe[0].severity, Severity::Critical);
    assert_eq!(
        severe[0].score, alerts[0].score,
        "a statistic stays what it is"
    );
}

#[test]
fn counts_say_what_became_of_matches() {
    let events: Vec<_> = (0..4).map(|minute| failure(minute, "a")).collect();
    let (_, engine) = run(&[RULES], in_state("failed", RuleState::Shadow), &events);
    let failed = counts(&engine, "failed");
    assert_eq!(
        (failed.matched, failed.alerts, failed.shadow_alerts),
        (4, 0, 1)
    );
    let many = counts(&engine, "many");
    assert_eq!((many.matched, many.alerts, many.shadow_alerts), (2, 1, 0));

    let (_, mut engine) = run(&[RULES], except(&["failed"], "user.id:a", None), &events);
    let failed = counts(&engine, "failed");
    assert_eq!((failed.matched, failed.hidden, failed.alerts), (4, 4, 0));
    assert_eq!(engine.activity().hidden_by("ex").matches, 4);
    // The exception goes, and its count with it; the rule's counts stay.
    engine.set_policy(Arc::default());
    assert_eq!(engine.activity().hidden_by("ex").matches, 0);
    assert_eq!(counts(&engine, "failed").hidden, 4);

    let (_, engine) = run(&[RULES], in_state("failed", RuleState::Disabled), &events);
    assert_eq!(counts(&engine, "failed"), RuleCounts::default());
}

#[test]
fn another_severity_holds_for_new_alerts() {
    let mut engine = engine(&[RULES]);
    let first = engine.process(&batch(&[failure(0, "a")]));
    assert_eq!(first[0].alert.severity, Severity::Low);
    let high = RuleSettings {
        severity: Some(Severity::High),
        ..RuleSettings::default()
    };
    engine.set_policy(Arc::new(set("failed", high)));
    let second = engine.process(&batch_from(&[failure(200, "a")], 2));
    assert_eq!(second[0].alert.severity, Severity::High);
    assert_eq!(second[0].alert.score, 8.0);
    let rule = second[0].alert.rule.as_ref().unwrap();
    assert_eq!(rule.level, "low", "the file's word stays");
    // Other rules under the same id: the override is made anew.
    let (rules, _) = RuleSet::load(&files(&[&RULES.replace("title: Failed", "title: Refused")]));
    engine.replace_rules(Arc::new(rules));
    let third = engine.process(&batch_from(&[failure(400, "a")], 3));
    assert_eq!(third[0].alert.title, "Refused");
    assert_eq!(third[0].alert.severity, Severity::High);
}

#[test]
fn a_suppression_folds_what_follows_into_the_alert() {
    const HOUR: i64 = 3_600 * 1_000_000_000;
    let minutes = [0, 70, 140, 210, 280, 400];
    let events: Vec<_> = minutes.iter().map(|m| failure(*m, "a")).collect();
    for (suppress, expected_counts, suppressed) in [
        (None, vec![1, 1, 1, 1, 1, 1], 0),
        // Until 4 h after it began; what comes then begins another.
        (Some(4 * HOUR), vec![4, 2], 4),
        (Some(24 * HOUR), vec![6], 5),
    ] {
        let settings = RuleSettings {
            suppress_ns: suppress,
            ..RuleSettings::default()
        };
        let (alerts, engine) = run(&[RULES], set("failed", settings), &events);
        let mut found: Vec<_> = alerts.iter().map(|a| (a.t0 as i64, a.count)).collect();
        found.sort_unstable();
        let found: Vec<_> = found.into_iter().map(|(_, count)| count).collect();
        assert_eq!(found, expected_counts, "{suppress:?}");
        assert_eq!(
            counts(&engine, "failed").suppressed,
            suppressed,
            "{suppress:?}"
        );
    }
}

#[test]
fn what_is_set_and_counted_is_part_of_the_state() {
    let events: Vec<_> = (0..4).map(|minute| failure(minute, "a")).collect();
    let policy = in_state("failed", RuleState::Shadow);
    let (_, before) = run(&[RULES], policy.clone(), &events);
    let mut after = engine(&[RULES]);
    after.restore(&saved(&before)).unwrap();
    assert_eq!(**after.policy(), policy);
    assert_eq!(after.activity(), before.activity());
    // What a rule in shadow began goes on: no second alert that would have been.
    after.process(&batch_from(&[failure(5, "a")], 5));
    assert_eq!(counts(&after, "failed").shadow_alerts, 1);
    // A state of before there were settings is still read.
    let mut old: Value = serde_json::from_slice(&saved(&before)).unwrap();
    let body = old["body"].as_object_mut().unwrap();
    for key in ["policy", "activity", "shadow"] {
        body.remove(key).unwrap();
    }
    after.restore(old.to_string().as_bytes()).unwrap();
    assert_eq!(**after.policy(), RulePolicy::default());
}

#[test]
fn a_rule_whose_fields_do_not_come_is_named() {
    let rules = "
title: Needs both
id: both
logsource: { category: webserver }
detection:
    selection: { cs-uri-query|contains: odd, x.never: 1 }
    condition: selection
---
title: Needs one of two
id: either
logsource: { category: webserver }
detection:
    a: { x.never: 1 }
    b: { cs-uri-query|contains: odd }
    condition: 1 of them
---
title: Not there is what it looks for
id: absent
logsource: { category: webserver }
detection:
    selection: { x.never: null }
    filter: { y.never: 1 }
    condition: selection and not filter
---
title: Words anywhere
id: words
logsource: { category: webserver }
detection: { keywords: ['odd'], condition: keywords }
---
title: Twice
id: twice
correlation: { type: event_count, rules: [both], timespan: 1m, condition: { gte: 2 } }
---
title: One after the other
id: ordered
correlation: { type: temporal_ordered, rules: [either, both], timespan: 1m, generate: true }
";
    let (set, faults) = RuleSet::load(&files(&[rules, DETECTOR]));
    assert!(faults.is_empty(), "{faults:?}");
    let web = "*/webserver/*";
    let blind = set.blind(&["url.path", "user.id"], Some(&[web]));
    let fields = |id: &str| blind.get(id).map(|lack| lack.fields.iter());
    let lacks = |id: &str| Some(fields(id)?.cloned().collect::<Vec<_>>().join(" "));
    assert_eq!(lacks("both").as_deref(), Some("x.never"));
    assert_eq!(lacks("twice").as_deref(), Some("x.never"));
    assert_eq!(lacks("ordered").as_deref(), Some("x.never"));
    assert_eq!(lacks("first_seen.user_ip").as_deref(), Some("source.ip"));
    for able in ["either", "absent", "words"] {
        assert_eq!(lacks(able), None, "{able}");
    }
    // Without events of the log source, nothing but the detector can do anything.
    let blind = set.blind(&["url.path", "user.id", "source.ip"], Some(&[]));
    assert_eq!(blind.len(), 6, "{blind:?}");
    assert!(blind["words"].log_sources.contains(web));
    assert!(blind["twice"].log_sources.contains(web));
}

#[test]
fn what_events_have_is_learned_from_them() {
    let mut engine = engine(&[RULES]);
    engine.process(&batch(&[failure(0, "a")]));
    let day = 86_400 * 1_000_000_000;
    let seen = engine.activity().fields_seen(RECEIVED, 7).unwrap();
    assert_eq!(
        seen,
        ["@timestamp", "event.outcome", "source.ip", "user.id"]
    );
    assert_eq!(engine.activity().fields_seen(RECEIVED + 8 * day, 7), None);
    let sources = engine.activity().log_sources_seen(RECEIVED, 7);
    assert_eq!(sources, Some(vec!["*/authentication/*"]));
    assert_eq!(
        engine.activity().log_sources_seen(RECEIVED + 8 * day, 7),
        None
    );
}
