//! Why rules do and do not match: what the explanation says, and that it never disagrees with the
//! engine.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::{batch, engine, files, read_rules};
use watchfire_detect::{RuleSet, RuleTrace};

const RULES: &str = "
title: Odd request
id: odd
logsource: { category: webserver }
detection:
    selection:
        cs-method: GET
        cs-uri-query|contains: ['../', '%2e']
    filter:
        source.ip|cidr: 10.0.0.0/8
    condition: selection and not filter
level: low
---
title: Windows only
id: windows
logsource: { product: windows, category: process_creation }
detection: { selection: { CommandLine: x }, condition: selection }
---
title: Often odd
id: often
correlation:
    type: event_count
    rules: [odd]
    group-by: [source.ip]
    timespan: 5m
    condition: { gte: 4 }
";

const DETECTOR: &str = "
detector: first_seen
id: first_seen.user_ip
title: New address
filter: event.outcome:success
entity: user.id
pair: source.ip
";

fn request(method: &str, path: &str, ip: &str) -> Value {
    json!({"http": {"request": {"method": method}}, "url": {"path": path}, "source": {"ip": ip}})
}

fn explain(id: &str, event: &Value) -> RuleTrace {
    let (set, faults) = RuleSet::load(&files(&[RULES, DETECTOR]));
    assert!(faults.is_empty(), "{faults:?}");
    set.explain(id, &batch(std::slice::from_ref(event)), 0)
        .unwrap()
}

#[test]
fn the_sentence_names_field_value_and_what_was_looked_for() {
    let cases = [
        (
            "odd",
            request("GET", "/a/../b", "192.0.2.1"),
            true,
            "The event matches: `selection`: http.request.method is \"GET\", \
             url.path is \"/a/../b\", not `filter`: source.ip is \"192.0.2.1\", \
             looked for is cidr 10.0.0.0/8.",
        ),
        (
            "odd",
            request("POST", "/a/../b", "192.0.2.1"),
            false,
            "The event does not match: `selection`: http.request.method is \"POST\", \
             looked for is get.",
        ),
        (
            "odd",
            request("GET", "/a/../b", "10.1.2.3"),
            false,
            "The event does not match: left out by `filter`: source.ip is \"10.1.2.3\".",
        ),
        (
            "windows",
            request("GET", "/", "192.0.2.1"),
            false,
            "The rule is not asked: it is for windows/process_creation/*, the event is of ",
        ),
        (
            "often",
            request("GET", "/a/../b", "192.0.2.1"),
            true,
            "The event counts where source.ip is \"192.0.2.1\": it matches \"Odd request\".",
        ),
        (
            "often",
            request("GET", "/b", "192.0.2.1"),
            false,
            "The event does not count: it matches none of the rules.",
        ),
        (
            "first_seen.user_ip",
            json!({"user": {"id": "a"}, "source": {"ip": "192.0.2.1"},
                "event": {"outcome": "success"}}),
            true,
            "The event counts. Whether it raises an alert depends on what came before it.",
        ),
        (
            "first_seen.user_ip",
            json!({"source": {"ip": "192.0.2.1"}, "event": {"outcome": "success"}}),
            false,
            "The event does not count: there is no user.id.",
        ),
    ];
    for (id, event, matched, sentence) in cases {
        let trace = explain(id, &event);
        assert_eq!(trace.matched, matched, "{id} {event}: {}", trace.sentence);
        assert!(
            trace.sentence.starts_with(sentence),
            "{id} {event}\n{}\n{sentence}",
            trace.sentence
        );
    }
}

#[test]
fn a_trace_is_a_tree_down_to_fields() {
    let trace = explain("odd", &request("GET", "/a/../b", "192.0.2.1"));
    let wire = serde_json::to_value(&trace).unwrap();
    let top = &wire["conditions"][0];
    assert_eq!(top["name"], "(selection and not filter)");
    assert_eq!(top["what"], "all");
    let selection = &top["parts"][0];
    assert_eq!(
        (&selection["what"], &selection["name"]),
        (&json!("selection"), &json!("selection"))
    );
    let leaf = &selection["parts"][1];
    assert_eq!(leaf["field"], "cs-uri-query");
    assert_eq!(leaf["source"], "url.path");
    assert_eq!(leaf["value"], "/a/../b");
    assert_eq!(leaf["reason"], "matched");
    assert_eq!(top["parts"][1]["what"], "not");
    assert_eq!(wire["log_source"]["fits"], true);
    assert!(
        explain("often", &request("GET", "/", "192.0.2.1"))
            .rules
            .len()
            == 1
    );
}

#[test]
fn what_there_is_not_is_not_explained() {
    let (set, _) = RuleSet::load(&files(&[RULES]));
    let event = batch(&[request("GET", "/", "192.0.2.1")]);
    assert_eq!(set.explain("nobody", &event, 0), None);
}

/// Every rule of the pack on the events of the pack's own tests.
#[test]
fn the_verdict_is_the_engines() {
    let pack = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules");
    let files = read_rules(&pack);
    let mut checked = 0;
    for file in files.iter().filter(|f| !f.path.contains(".tests.")) {
        let tests = file.path.replace(".yml", ".tests.yml");
        let Some(tests) = files.iter().find(|f| f.path == tests) else {
            continue;
        };
        let (set, _) = RuleSet::load(std::slice::from_ref(file));
        for event in events_of(&tests.text) {
            let batch = batch(std::slice::from_ref(&event));
            let mut one = engine(&[&file.text]);
            one.process(&batch);
            let stats = one.stats();
            for info in set.infos() {
                let Some(trace) = set.explain(&info.id, &batch, 0) else {
                    continue;
                };
                if info.kind != watchfire_detect::RuleKind::Sigma {
                    continue;
                }
                let found = stats.matches_by_rule.contains_key(&info.id);
                assert_eq!(trace.matched, found, "{} on {event}", info.id);
                assert!(!trace.sentence.is_empty());
                checked += 1;
            }
        }
    }
    assert!(checked > 50, "only {checked} were checked");
}

/// Every event in a file of tests, whatever stands around it.
fn events_of(text: &str) -> Vec<Value> {
    fn walk(value: &Value, out: &mut Vec<Value>) {
        match value {
            Value::Object(members) => {
                if let Some(event) = members.get("event").filter(|e| e.is_object())
                    && !members.contains_key("@timestamp")
                {
                    out.push(event.clone());
                }
                members.values().for_each(|v| walk(v, out));
            }
            Value::Array(list) => list.iter().for_each(|v| walk(v, out)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for document in yaml_serde::Deserializer::from_str(text) {
        let Ok(value) = <Value as serde::Deserialize>::deserialize(document) else {
            continue;
        };
        walk(&value, &mut found);
    }
    found
}
