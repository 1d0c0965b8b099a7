//! A backtest reads only part of the rows and columns, and finds what the live engine found.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use support::{batch_from, files};
use watchfire_detect::{
    Backtest, BacktestReport, Change, Engine, EngineConfig, MAX_ALERTS, RuleSet,
};
use watchfire_event::{Alert, ColumnShape, EventBatch, Query};

/// Rules with one construct each, a correlation, a filter of detectors.
const RULES: &[&str] = &[
    r"
title: Denied admin page
id: denied
level: medium
logsource: { category: webserver }
detection:
    page: { cs-uri-query|contains: ['/admin', '\?id='] }
    status: { sc-status: [401, 403] }
    inner: { user.id|startswith: svc- }
    condition: page and status and not inner
",
    r"
title: Any words
id: words
level: low
detection:
    keywords: ['*needle*', 'two words']
    condition: keywords
",
    r"
title: Many constructs
id: many
level: high
detection:
    both: { message|contains|all: [failed, password] }
    regex: { user_agent.original|re: '^(?i)curl/[0-9]' }
    network: { source.ip|cidr: 10.1.0.0/16 }
    number: { bytes|gte: 500 }
    mixed: { code: ['7', 'x*z', 8] }
    there: { token.hash|exists: true }
    list: { tags|contains|all: [aa, bb] }
    condition: 1 of both* or regex or (network and number) or mixed or (there and list)
",
    r"
title: Nothing and something
id: nothing
level: low
detection:
    none: { token.hash: null }
    object: { ctx|contains: deep }
    condition: none and object
",
    r"
title: Other than
id: other
level: low
detection:
    role: { role|neq: user }
    named: { role|exists: true }
    same: { role|fieldref: user.id }
    condition: (role and named) or same
",
    r"
title: Failed login
id: failed
name: failed
level: low
detection:
    outcome: { event.outcome: failure }
    condition: outcome
---
title: Many failed logins
id: burst
level: high
correlation:
    type: event_count
    rules: [failed]
    group-by: [source.ip]
    timespan: 10m
    condition: { gte: 4 }
",
    r"
detector: first_seen
id: first_seen.role
title: New role
severity: low
filter: 'event.outcome:failure OR role:*'
entity: user.id
pair: role
thresholds: { min_events: 3, min_score: 0.1 }
",
];

/// Fields of random events with values that rules look for and others that come close.
fn values() -> Vec<(&'static str, Vec<Value>)> {
    let text = |list: &[&str]| list.iter().map(|t| json!(t)).collect::<Vec<_>>();
    vec![
        ("url.path", text(&["/admin/x", "/shop", "/x"])),
        ("url.query", text(&["id=3", "x=/admin", ""])),
        ("user.id", text(&["svc-a", "u1", "u2", "U3"])),
        (
            "message",
            text(&[
                "failed password for u1",
                "a needle in hay",
                "Two Words",
                "PASSWORD failed",
            ]),
        ),
        (
            "user_agent.original",
            text(&["curl/8", "CURL/7", "Mozilla"]),
        ),
        (
            "source.ip",
            text(&["10.1.2.3", "10.2.0.1", "::ffff:10.1.0.9", "203.0.113.7"]),
        ),
        (
            "code",
            vec![
                json!(7),
                json!("7"),
                json!("xyz"),
                json!(8.0),
                json!([1, "xz"]),
                json!(null),
            ],
        ),
        (
            "role",
            vec![
                json!("user"),
                json!(["user", "ops"]),
                json!("u1"),
                json!(null),
                json!([]),
            ],
        ),
        (
            "tags",
            vec![
                json!(["aa", "bb"]),
                json!(["aabb"]),
                json!("aa"),
                json!([{"k": "bb"}]),
            ],
        ),
        (
            "ctx",
            vec![
                json!({"a": "deep"}),
                json!("deep"),
                json!({"b": {"c": "x"}}),
            ],
        ),
        ("event.outcome", text(&["failure", "success"])),
        (
            "http.response.status_code",
            vec![json!(401), json!(403), json!(200), json!("403")],
        ),
        ("bytes", vec![json!(499), json!(500), json!("900")]),
        ("token.hash", text(&["t1", "t2"])),
    ]
}

fn event() -> impl Strategy<Value = Value> {
    let some = |(_, list): (&str, Vec<Value>)| {
        proptest::option::weighted(0.5, proptest::sample::select(list))
    };
    let fields: Vec<_> = values().into_iter().map(some).collect();
    (fields, 0..100_000_u32).prop_map(|(fields, second)| {
        let at = (1_760_000_000 + i64::from(second)) * 1_000_000_000;
        let at = watchfire_event::time::to_rfc3339(at);
        let mut event = json!({ "@timestamp": at, "http.request.method": "GET" });
        for ((name, _), value) in values().into_iter().zip(fields) {
            if let (Some(value), Some(event)) = (value, event.as_object_mut()) {
                event.insert(name.to_owned(), value);
            }
        }
        event
    })
}

/// The alerts of a live engine, as they are at the end, by id.
fn live(batch: &EventBatch, rules: &[&str]) -> BTreeMap<String, Alert> {
    let (set, faults) = RuleSet::load(&files(rules));
    assert!(faults.is_empty(), "{faults:?}");
    // Risk is a matter of all rules together.
    let config = EngineConfig {
        risk: false,
        ..EngineConfig::default()
    };
    let changes = Engine::new(set.into(), config).process(batch).into_iter();
    changes.map(|c| (c.alert.id.clone(), c.alert)).collect()
}

fn shapes(batch: &EventBatch) -> Vec<ColumnShape> {
    let shape = |c: &watchfire_event::Column| ColumnShape {
        name: c.name.clone(),
        kind: c.kind,
        origin: c.origin,
    };
    batch.columns().iter().map(shape).collect()
}

/// A backtest over the rows and columns that it asks for, `step` rows at a time.
fn tried(
    batch: &EventBatch,
    rules: &[&str],
    step: usize,
    exception: Option<&str>,
) -> (BacktestReport, usize) {
    let (mut backtest, faults) = Backtest::load(&files(rules), &RuleSet::default());
    assert!(faults.is_empty(), "{faults:?}");
    backtest = backtest.telling(MAX_ALERTS);
    if let Some(text) = exception {
        backtest = backtest.without(Query::parse(text).unwrap());
    }
    let reading = backtest.reading(&shapes(batch));
    let mut rows = batch.filter(&reading.query.matches(batch));
    if let Some(fields) = &reading.fields {
        rows = rows.project(|c| fields.iter().any(|f| **f == *c.name));
    }
    for start in (0..rows.rows()).step_by(step) {
        backtest.take(&rows.slice(start, step));
    }
    (backtest.report(), rows.rows())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_backtest_finds_what_was_found_live(
        events in proptest::collection::vec(event(), 1..120),
        chosen in proptest::sample::subsequence(RULES.to_vec(), 1..RULES.len()),
        step in 1_usize..50,
    ) {
        let batch = batch_from(&events, 1);
        let expected = live(&batch, &chosen);
        let (report, _) = tried(&batch, &chosen, step, None);
        let found: BTreeMap<String, Alert> =
            report.sample_alerts.iter().map(|a| (a.id.clone(), a.clone())).collect();
        prop_assert_eq!(report.alerts as usize, expected.len());
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn rows_that_no_rule_can_match_are_not_read() {
    let event = |i: u64| {
        json!({ "@timestamp": "2026-11-01T10:00:00Z", "n": i,
            "http": { "response": { "status_code": if i.is_multiple_of(10) { 403 } else { 200 } },
                "request": { "method": "GET" } },
            "url": { "path": if i.is_multiple_of(3) { "/admin" } else { "/" } },
            "source": { "ip": "192.0.2.1" } })
    };
    let events: Vec<Value> = (0..300).map(event).collect();
    let batch = batch_from(&events, 1);
    let (report, read) = tried(&batch, &RULES[..1], 100, Some("n:30"));
    assert_eq!((report.matches, report.alerts, read), (10, 1, 10));
    assert_eq!(report.days.len(), 1);
    assert_eq!(report.days[0].day, "2026-11-01");
    assert_eq!((report.days[0].matches, report.days[0].alerts), (10, 1));
    assert_eq!(report.entities[0].events, 10);
    let exception = report.exception.unwrap();
    assert_eq!(
        (
            exception.matches_hidden,
            exception.alerts_hidden,
            exception.alerts_left
        ),
        (1, 0, 1)
    );
}

#[test]
fn an_exception_on_trial_hides_what_a_live_one_would() {
    let rows: Vec<Value> = (0..8)
        .map(|i| {
            json!({ "@timestamp": format!("2026-11-01T10:00:0{i}Z"),
                "event": { "outcome": "failure" },
                "source": { "ip": format!("192.0.2.{}", i % 2) } })
        })
        .collect();
    let batch = batch_from(&rows, 1);
    let rules = &RULES[5..6];
    let (report, _) = tried(&batch, rules, 3, Some("source.ip:192.0.2.1"));
    assert_eq!(report.alerts, 2);
    let exception = report.exception.unwrap();
    assert_eq!((exception.alerts_hidden, exception.alerts_left), (1, 1));
    let kept = batch.filter(&!&Query::parse("source.ip:192.0.2.1").unwrap().matches(&batch));
    assert_eq!(live(&kept, rules).len(), 1);
    let new = Engine::new(
        RuleSet::load(&files(rules)).0.into(),
        EngineConfig::default(),
    )
    .process(&kept);
    assert!(new.iter().all(|c| c.change == Change::New));
}

const FAILED: &str = "title: Failed\nid: failed\nname: failed_login\ndetection:\n  s: { outcome: \
    failure }\n  condition: s\n";
const OFTEN: &str = "title: Often\nid: often\ncorrelation:\n  type: event_count\n  rules: \
    [failed_login]\n  group-by: [user.id]\n  timespan: 5m\n  condition: { gte: 3 }\nlevel: high\n";
const NOT_BOTS: &str = "title: Not bots\nid: bots\nlogsource: {}\nfilter:\n  rules: [failed]\n  \
    s: { user.id: bot }\n  condition: not s\n";

fn failures(users: &[&str]) -> EventBatch {
    let event = |user: &&str| json!({ "outcome": "failure", "user": { "id": user } });
    batch_from(&users.iter().map(event).collect::<Vec<_>>(), 1)
}

#[test]
fn a_live_rule_is_tried_with_its_parts_from_other_files() {
    let (live, faults) = RuleSet::load(&files(&[FAILED, OFTEN, NOT_BOTS, RULES[0]]));
    assert!(faults.is_empty(), "{faults:?}");
    let events = failures(&["u", "bot", "bot", "u", "bot", "u"]);
    let (mut backtest, faults) = Backtest::of_live("often", &live).unwrap();
    assert!(faults.is_empty(), "{faults:?}");
    backtest.take(&events);
    let report = backtest.report();
    let counted = |id: &str| report.rules.iter().find(|r| r.id == id).map(|r| r.matches);
    assert_eq!(counted("failed"), Some(3));
    assert_eq!(counted("often"), Some(1));
    assert_eq!((report.matches, report.alerts), (1, 1));
    assert_eq!(report.rules.len(), 2, "{report:?}");
    assert!(Backtest::of_live("what", &live).is_none());
}

#[test]
fn a_text_is_tried_beside_the_live_rules_that_it_refers_to() {
    let (live, _) = RuleSet::load(&files(&[FAILED, NOT_BOTS]));
    let (mut backtest, faults) = Backtest::load(&files(&[OFTEN]), &live);
    assert!(faults.is_empty(), "{faults:?}");
    backtest.take(&failures(&["bot", "bot", "bot", "u", "u", "u"]));
    let report = backtest.report();
    assert_eq!((report.matches, report.alerts), (1, 1), "{report:?}");
    assert_eq!(report.entities[0].value, "u");
    // A filter on trial shows what is left of the rules that it is about.
    let (live, _) = RuleSet::load(&files(&[FAILED]));
    let (mut backtest, faults) = Backtest::load(&files(&[NOT_BOTS]), &live);
    assert!(faults.is_empty(), "{faults:?}");
    backtest.take(&failures(&["bot", "u", "u"]));
    assert_eq!(backtest.report().matches, 2);
    // Of a rule that is live and in the text, the text counts.
    let (live, _) = RuleSet::load(&files(&[FAILED, OFTEN]));
    let sooner = OFTEN.replace("gte: 3", "gte: 2");
    let (mut backtest, faults) = Backtest::load(&files(&[&sooner]), &live);
    assert!(faults.is_empty(), "{faults:?}");
    backtest.take(&failures(&["u", "u"]));
    assert_eq!(backtest.report().matches, 1);
}

#[test]
fn a_backtest_goes_by_the_settings_in_force_where_it_is_asked_to() {
    let (live, _) = RuleSet::load(&files(&[FAILED]));
    let exception = watchfire_detect::RuleException {
        id: "e".into(),
        rules: vec!["failed".into()],
        query: "user.id:bot".into(),
        expires_ns: None,
    };
    let policy = std::sync::Arc::new(watchfire_detect::RulePolicy {
        exceptions: vec![exception],
        ..Default::default()
    });
    let events = failures(&["bot", "u"]);
    let of_live = || Backtest::of_live("failed", &live).unwrap().0;
    let (mut free, mut bound) = (of_live(), of_live().under(&policy));
    free.take(&events);
    bound.take(&events);
    assert_eq!((free.report().matches, free.report().alerts), (2, 2));
    assert_eq!((bound.report().matches, bound.report().alerts), (2, 1));
}
