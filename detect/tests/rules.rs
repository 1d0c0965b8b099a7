//! Rules: what loads and what is named instead, filters, correlations, fields where ECS has them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use serde_json::{Value, json};
use support::{batch, engine, files};
use watchfire_detect::{Change, RuleSet};
use watchfire_event::{Alert, AlertKind, Severity};

const GOOD: &str = "
title: Good
id: good
logsource: { category: webserver }
detection: { selection: { cs-method: GET }, condition: selection }
level: low
";

/// Text of a file, and the line and code of each fault; `GOOD` beside it must stay live.
const FAULTS: &[(&str, &[(u32, &str)])] = &[
    ("title: [unclosed\n", &[(2, "invalid_yaml")]),
    ("just words\n", &[(1, "invalid_yaml")]),
    (
        "title: No detection\nlogsource: { product: linux }\n",
        &[(1, "missing_field")],
    ),
    (
        "title: x\nlogsource: {}\ndetection:\n    a: { b: c }\n    condition: a and\n",
        &[(5, "invalid_condition")],
    ),
    (
        "title: x\nid: good\nlogsource: {}\ndetection: { a: { b: c }, condition: a }\n",
        &[(0, "duplicate_id")],
    ),
    (
        "title: First\nid: first\nlogsource: {}\ndetection: { a: { b|re: '(' }, condition: a }\n",
        &[(1, "invalid_rule")],
    ),
    (
        "title: c\nid: c\ncorrelation: { type: event_count, rules: [nobody], timespan: 1m, \
         condition: { gte: 2 } }\n",
        &[(1, "unknown_rule_ref")],
    ),
    (
        "title: f\nlogsource: { category: webserver }\nfilter: { rules: [nobody], \
         selection: { a: b }, condition: not selection }\n",
        &[(1, "unknown_rule_ref")],
    ),
    (
        "detector: oracle\nid: o\ntitle: t\nentity: user.id\n",
        &[(1, "invalid_detector")],
    ),
    (
        "detector: rate\nid: o\ntitle: t\nentity: user.id\nfilter: 'a:['\n",
        &[(5, "invalid_detector")],
    ),
    (
        "detector: rate\nid: o\ntitle: t\nentity: user.id\nwindow: soon\n",
        &[(5, "invalid_detector")],
    ),
    (
        "detector: rate\nid: o\ntitle: t\nentity: user.id\nwindov: 1m\n",
        &[(5, "invalid_detector")],
    ),
];

#[test]
fn a_bad_document_is_named_and_the_others_stay_live() {
    for (text, expected) in FAULTS {
        let (rules, faults) = RuleSet::load(&files(&[GOOD, text]));
        let found: Vec<_> = faults
            .iter()
            .map(|f| (f.line.unwrap_or(0), f.code))
            .collect();
        assert_eq!(found, *expected, "{text}\n{faults:#?}");
        assert!(rules.infos().iter().any(|r| r.id == "good"), "{text}");
    }
}

#[test]
fn a_bad_document_among_good_ones_of_a_file_is_alone() {
    let text = format!(
        "{GOOD}---\ntitle: Bad\n---\n{}",
        GOOD.replace("good", "other")
    );
    let (rules, faults) = RuleSet::load(&files(&[&text]));
    assert_eq!(rules.len(), 2);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(faults[0].line, Some(8));
}

/// The only alert of the events.
fn only(texts: &[&str], events: &[Value]) -> Alert {
    let mut changes = engine(texts).process(&batch(events));
    assert_eq!(changes.len(), 1, "{changes:#?}");
    assert_eq!(changes[0].change, Change::New);
    changes.remove(0).alert
}

#[test]
fn an_alert_of_a_rule_says_all_there_is_to_say() {
    let rule = "
title: Union select
id: 6e5f8d36
logsource: { category: webserver }
detection: { selection: { cs-uri-query|contains: 'union select' }, condition: selection }
level: high
tags: [attack.T1190, owasp.API8]
";
    let event = |user: &str| {
        json!({
            "@timestamp": "2026-11-02T09:00:00Z", "user": {"id": user}, "service": {"name": "shop"},
            "source": {"ip": "203.0.113.9"}, "url": {"path": "/a", "query": "q=1 UNION SELECT 2"},
            "http": {"request": {"method": "GET"}},
        })
    };
    let alert = only(&[rule], &[event("u1"), event("u1")]);
    assert_eq!(alert.detector, "sigma:6e5f8d36");
    assert_eq!(
        (alert.kind, alert.severity, alert.score),
        (AlertKind::Rule, Severity::High, 8.0)
    );
    assert_eq!(alert.rule.unwrap().level, "high");
    assert_eq!(alert.tags, ["attack.t1190", "owasp.api8"]);
    assert_eq!(alert.count, 2);
    assert_eq!(alert.evidence.events, ["1", "2"]);
    assert!(
        alert
            .summary
            .starts_with("Union select: 2 events by user u1: "),
        "{}",
        alert.summary
    );
    assert!(
        alert.evidence.query.starts_with("user.id:\"u1\""),
        "{}",
        alert.evidence.query
    );
    assert_eq!(alert.entities["ip"], ["203.0.113.9"]);
    assert_eq!(alert.entities["service"], ["shop"]);
    assert_eq!(
        alert.evidence.baseline["matched"][0]["pattern"],
        "union select"
    );
    // The query finds the events again.
    let query = watchfire_event::Query::parse(&alert.evidence.query).unwrap();
    let found = query.matches(&batch(&[event("u1"), event("u2")]));
    assert!(found.value(0) && !found.value(1));
}

/// Selection of a rule, its log source, an event it must match.
fn cases() -> Vec<(&'static str, &'static str, Value)> {
    let web = "{ category: webserver }";
    vec![
        (
            web,
            "{ sc-status: 404 }",
            json!({"http": {"response": {"status_code": 404}}}),
        ),
        (
            web,
            "{ cs-user-agent|contains: sqlmap }",
            json!({"url": {"path": "/"}, "user_agent": {"original": "sqlmap/1.8"}}),
        ),
        (
            web,
            "{ cs-uri-query|endswith: /util/bash }",
            json!({"url": {"path": "/mgmt/util/bash"}}),
        ),
        (
            web,
            "{ c-uri|contains: 'a?b=1' }",
            json!({"url": {"path": "/a", "query": "b=1"}}),
        ),
        (
            web,
            "{ cs-referer: x, c-ip|cidr: 192.0.2.0/24 }",
            json!({"http": {"request": {"referrer": "x"}}, "source": {"ip": "192.0.2.7"}}),
        ),
        (
            web,
            "[ '{jndi:' ]",
            json!({"url": {"path": "/"}, "headers": [{"x": "${jndi:ldap}"}]}),
        ),
        (
            "{ category: dns }",
            "{ query|endswith: .onion }",
            json!({"dns": {"question": {"name": "a.onion"}}}),
        ),
        (
            "{ product: jvm, category: application }",
            "[ 'OgnlException' ]",
            json!({"message": "java.lang.OgnlException: x", "log": {"level": "error"}}),
        ),
        (
            "{ product: aws, service: cloudtrail }",
            "{ eventName: StopLogging, requestParameters.name: t }",
            json!({"eventSource": "cloudtrail.amazonaws.com", "eventName": "StopLogging",
                "requestParameters": {"name": "t"}}),
        ),
        (
            "{ product: aws, service: cloudtrail }",
            "{ requestParameters|contains: Suspended }",
            json!({"eventSource": "s3.amazonaws.com", "eventName": "PutBucketVersioning",
                "requestParameters": {"VersioningConfiguration": {"Status": "Suspended"}}}),
        ),
        (
            "{ product: gcp, service: gcp.audit }",
            "{ gcp.audit.method_name: x.delete }",
            json!({"protoPayload": {"methodName": "x.delete"}}),
        ),
        (
            "{ product: kubernetes, category: application, service: audit }",
            "{ verb: create, hostPath: / }",
            json!({"kind": "Event", "apiVersion": "audit.k8s.io/v1", "verb": "create",
                "objectRef": {"resource": "pods"},
                "requestObject": {"spec": {"volumes": [{"hostPath": {"path": "/"}}]}}}),
        ),
        (
            "{ product: azure, service: auditlogs }",
            "{ properties.message: Add user }",
            json!({"category": "AuditLogs", "operationName": "Add user", "tenantId": "t"}),
        ),
        (
            "{ product: windows, category: process_creation }",
            r"{ Image|endswith: '\cmd.exe', CommandLine|contains: whoami }",
            json!({"Event": {"System": {"Channel": "Security", "EventID": {"#text": 4688}},
                "EventData": {"NewProcessName": r"C:\cmd.exe", "CommandLine": "cmd /c whoami"}}}),
        ),
        (
            "{ product: windows, service: security }",
            "{ EventID: 4720, TargetUserName: eve }",
            json!({"winlog": {"channel": "Security", "event_id": "4720",
                "event_data": {"TargetUserName": "eve"}}}),
        ),
        (
            "{ product: linux, category: process_creation }",
            "{ CommandLine|contains: /etc/shadow }",
            json!({"host": {"os": {"type": "linux"}}, "event": {"category": ["process"]},
                "process": {"command_line": "cat /etc/shadow"}}),
        ),
        (
            "{ product: okta, service: okta }",
            "{ eventType: user.mfa.factor.deactivate }",
            json!({"eventtype": "user.mfa.factor.deactivate", "displaymessage": "x"}),
        ),
        ("{ }", "{ tags: b }", json!({"tags": ["a", "b"]})),
        ("{ }", "{ mixed: 7 }", json!({"mixed": [1, "x", 7]})),
        ("{ }", "{ gone: null, x: 1 }", json!({"gone": null, "x": 1})),
        ("{ }", "{ flag: true }", json!({"flag": true})),
    ]
}

#[test]
fn rules_read_the_fields_where_events_have_them() {
    for (logsource, selection, event) in cases() {
        let rule = format!(
            "title: t\nid: t\nlogsource: {logsource}\n\
             detection: {{ selection: {selection}, condition: selection }}\n"
        );
        let changes = engine(&[&rule]).process(&batch(std::slice::from_ref(&event)));
        assert_eq!(changes.len(), 1, "{rule} on {event}");
        let other = json!({"message": "nothing to see"});
        let changes = engine(&[&rule]).process(&batch(&[other]));
        assert!(changes.is_empty(), "{rule} on nothing");
    }
}

#[test]
fn a_filter_takes_events_out() {
    let filter = "
title: Not the scanner of ours
logsource: { category: webserver }
filter:
    rules: [good]
    selection: { source.ip: 192.0.2.1 }
    condition: not selection
";
    let event = |ip: &str| json!({"http": {"request": {"method": "GET"}}, "source": {"ip": ip}});
    let mut engine = engine(&[GOOD, filter]);
    assert!(engine.process(&batch(&[event("192.0.2.1")])).is_empty());
    assert_eq!(engine.process(&batch(&[event("192.0.2.2")])).len(), 1);
}

const FAILED: &str = "
title: Failed
id: failed
logsource: { category: authentication }
detection: { selection: { event.outcome: failure }, condition: selection }
---
title: Many
id: many
correlation:
    type: event_count
    rules: [failed]
    group-by: [user.id]
    timespan: 10m
    condition: { gte: 3 }
level: high
";

fn failure(minute: i64, user: &str) -> Value {
    let at = watchfire_event::time::to_rfc3339((1_760_000_000 + minute * 60) * 1_000_000_000);
    json!({"@timestamp": at, "event": {"outcome": "failure"}, "user": {"id": user}})
}

#[test]
fn a_correlation_speaks_of_its_group_and_its_events() {
    let events: Vec<_> = [(0, "a"), (1, "b"), (2, "a"), (3, "a")]
        .map(|(m, u)| failure(m, u))
        .into();
    let alert = only(&[FAILED], &events);
    assert_eq!(alert.detector, "sigma:many");
    assert_eq!(alert.entities["user"], ["a"]);
    assert_eq!(alert.evidence.events, ["1", "3", "4"]);
    assert_eq!(alert.count, 3);
    assert_eq!(alert.t0, 1_760_000_000.0);
    assert_eq!(alert.summary, "3 events of \"Failed\" by user a in 10 min");
    let matched = &alert.evidence.baseline["matched"][0];
    assert_eq!(
        matched["field"], "event.outcome",
        "{}",
        alert.evidence.baseline
    );
    assert_eq!(matched["value"], "failure");
    assert_eq!(
        alert.evidence.query,
        "user.id:\"a\" AND event.outcome:\"failure\" \
         AND @timestamp:[2025-10-09T08:46:20Z TO 2025-10-09T08:56:20Z]"
    );
    let mut more = events.clone();
    more.push(json!({"user": {"id": "a"}, "event": {"outcome": "success"}}));
    more.push(failure(20, "a"));
    let query = watchfire_event::Query::parse(&alert.evidence.query).unwrap();
    let found: Vec<usize> = query.matches(&batch(&more)).set_indices().collect();
    assert_eq!(found, [0, 2, 3]);
}

#[test]
fn a_spray_names_the_field_it_counts_and_the_last_accounts() {
    let rules = FAILED.replace("event_count", "value_count");
    let rules = rules.replace("{ gte: 3 }", "{ field: user.id, gte: 7 }");
    let rules = rules.replace("[user.id]", "[source.ip]");
    let event = |n: i64| {
        let mut event = failure(0, &format!("u{n}"));
        event["source"] = json!({"ip": "203.0.113.9"});
        event["service"] = json!({"name": if n == 2 { "shop" } else { "auth" }});
        event
    };
    let alert = only(&[&rules], &(0..7).map(event).collect::<Vec<_>>());
    assert_eq!(
        alert.summary,
        "7 different user.id values from 203.0.113.9 in 10 min"
    );
    assert_eq!(alert.entities["user"], ["u6", "u5", "u4", "u3", "u2"]);
    assert_eq!(alert.entities["service"], ["auth", "shop"]);
    assert_eq!(alert.entities["ip"], ["203.0.113.9"]);
    let query = watchfire_event::Query::parse(&alert.evidence.query).unwrap();
    let all = batch(&(0..7).map(event).collect::<Vec<_>>());
    assert_eq!(query.matches(&all).count_set_bits(), 7);
}

#[test]
fn a_correlation_asks_for_what_all_its_events_have() {
    let selection = "{ event.outcome: failure, http.response.status_code|gte: 400, \
                     url.path|exists: true, tags: slow, took|gt: 0.4 }";
    let rules = FAILED.replace("{ event.outcome: failure }", selection);
    let query = |status: [i64; 3], tags: Value| {
        let event = |(n, status): (i64, i64)| {
            let mut event = failure(n, "a");
            event["http"] = json!({"response": {"status_code": status}});
            event["url"] = json!({"path": format!("/{n}")});
            event["tags"] = if n == 0 { json!("slow") } else { tags.clone() };
            event["took"] = json!(0.5);
            event
        };
        let alert = only(&[&rules], &(0..).zip(status).map(event).collect::<Vec<_>>());
        let (query, _) = alert.evidence.query.split_once(" AND @timestamp").unwrap();
        query.to_owned()
    };
    // The path is another in each event; of the rest, a query takes three.
    assert_eq!(
        query([401; 3], json!(["slow", "old"])),
        "user.id:\"a\" AND event.outcome:\"failure\" \
         AND http.response.status_code:\"401\" AND tags:\"slow\""
    );
    assert_eq!(
        query([400, 401, 402], json!("slow")),
        "user.id:\"a\" AND event.outcome:\"failure\" AND tags:\"slow\" AND took:\"0.5\""
    );
}

#[test]
fn late_events_count_in_their_window_and_not_in_another() {
    let run = |minutes: &[i64]| {
        let events: Vec<_> = minutes.iter().map(|m| failure(*m, "a")).collect();
        let mut engine = engine(&[FAILED]);
        let alerts = engine.process(&batch(&events)).len();
        (alerts, engine.stats().late)
    };
    assert_eq!(run(&[20, 14, 15]), (1, 0), "all within ten minutes");
    assert_eq!(run(&[60, 2, 59]), (0, 1), "one of them an hour late");
    assert_eq!(run(&[0, 30, 60]), (0, 0));
}

#[test]
fn a_correlation_over_time_without_a_condition_takes_all_of_its_rules() {
    let rules = |kind: &str, condition: &str| {
        let rule = |id: &str| {
            format!(
                "title: {id}\nid: {id}\nname: {id}\ndetection:\n  s: {{ action: {id} }}\n  \
                 condition: s\n---\n"
            )
        };
        let all: String = ["a", "b", "c"].map(rule).concat();
        format!(
            "{all}title: All\nid: all\ncorrelation:\n  type: {kind}\n  rules: [a, b, c]\n  \
             group-by: [user.id]\n  timespan: 10m\n{condition}"
        )
    };
    let events = |actions: &str| -> Vec<Value> {
        let event = |(i, action): (usize, char)| {
            json!({"@timestamp": format!("2026-11-02T10:0{i}:00Z"), "user": {"id": "u"},
                "action": action.to_string()})
        };
        actions.chars().enumerate().map(event).collect()
    };
    for (kind, condition, actions, found) in [
        ("temporal", "", "a", 0),
        ("temporal", "", "ab", 0),
        ("temporal", "", "cab", 1),
        ("temporal_ordered", "", "cab", 0),
        ("temporal_ordered", "", "abc", 1),
        // What is written is what counts.
        ("temporal", "  condition: { gte: 1 }\n", "a", 1),
        ("temporal", "  condition: { gte: 2 }\n", "ab", 1),
        ("temporal", "  condition: a and not b\n", "a", 1),
    ] {
        let mut engine = engine(&[&rules(kind, condition)]);
        let alerts = engine.process(&batch(&events(actions)));
        assert_eq!(alerts.len(), found, "{kind} {condition} {actions}");
    }
}

#[test]
fn other_rules_take_over_what_was_learned() {
    let (set, _) = RuleSet::load(&files(&[FAILED, GOOD]));
    let mut engine = engine(&[FAILED]);
    assert!(
        engine
            .process(&batch(&[failure(0, "a"), failure(1, "a")]))
            .is_empty()
    );
    engine.replace_rules(std::sync::Arc::new(set));
    assert_eq!(
        engine
            .process(&support::batch_from(&[failure(2, "a")], 3))
            .len(),
        1
    );
}

#[test]
fn a_quiet_hour_ends_an_alert() {
    let event = |minute: i64| {
        let at = watchfire_event::time::to_rfc3339((1_760_000_000 + minute * 60) * 1_000_000_000);
        json!({"@timestamp": at, "http": {"request": {"method": "GET"}}})
    };
    let ids = |minutes: &[i64]| {
        let events: Vec<_> = minutes.iter().map(|m| event(*m)).collect();
        engine(&[GOOD]).process(&batch(&events)).len()
    };
    assert_eq!(ids(&[0, 50, 100, 150]), 1);
    assert_eq!(ids(&[0, 61]), 2);
    assert_eq!(
        ids(&[0, 200, 10, 190]),
        2,
        "late ones join the episode they fall into"
    );
}

#[test]
fn a_snapshot_that_cannot_be_read_changes_nothing() {
    let mut engine = engine(&[FAILED]);
    engine.process(&batch(&[failure(0, "a"), failure(1, "a")]));
    assert!(engine.restore(b"not json").is_err());
    assert!(engine.restore(br#"{"version":999,"body":null}"#).is_err());
    assert_eq!(
        engine
            .process(&support::batch_from(&[failure(2, "a")], 3))
            .len(),
        1
    );
}
