//! Pipelines over rules: what they change, what they refuse, and which rules they are for.

#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use watchfire_event::BatchLimits;

use super::super::tests::batch;
use crate::ruleset::{RuleFault, RuleFile, RuleSet};
use crate::{Engine, EngineConfig};

const RULE: &str = "title: Admin tool
id: tool
logsource: { product: windows, category: process_creation }
detection:
  sel:
    Image|endswith: '\\psexec.exe'
    User|expand: '%admins%'
  condition: sel
level: high
";

fn file(path: &str, text: &str) -> RuleFile {
    RuleFile {
        path: path.into(),
        text: text.into(),
    }
}

fn load(files: &[(&str, &str)]) -> (RuleSet, Vec<RuleFault>) {
    let files: Vec<_> = files.iter().map(|(path, text)| file(path, text)).collect();
    RuleSet::load(&files)
}

/// How many of the events raise an alert or are part of one.
fn matches(set: RuleSet, events: &[Value]) -> u64 {
    let mut engine = Engine::new(set.into(), EngineConfig::default());
    engine.process(&batch(events, BatchLimits::default()));
    engine.stats().matches
}

const ADMINS: &str = "name: site
priority: 10
vars:
  admins: ['CORP\\root', 'CORP\\ops*']
transformations:
- type: value_placeholders
";

fn started(user: &str) -> Value {
    json!({ "host": { "os": { "type": "windows" } }, "event": { "category": "process" },
        "Image": "C:\\t\\psexec.exe", "User": user })
}

#[test]
fn placeholders_are_filled_in_from_the_variables_of_pipelines() {
    let (set, faults) = load(&[("r/a.yml", RULE), ("r/pipelines/site.yml", ADMINS)]);
    assert_eq!(faults, []);
    assert_eq!(set.info("tool").unwrap().pipelines, ["site"]);
    assert_eq!(set.pipelines()[0].changed, 1);
    let events = ["CORP\\root", "corp\\OPS-7", "CORP\\guest"].map(started);
    assert_eq!(matches(set, &events), 2);
}

#[test]
fn a_placeholder_that_nothing_fills_in_is_a_fault_with_its_line() {
    let (set, faults) = load(&[("a.yml", RULE)]);
    assert!(set.is_empty());
    assert_eq!(faults[0].code, "unresolved_placeholder");
    assert_eq!(faults[0].line, Some(7));
    assert!(faults[0].message.contains("%admins%"), "{faults:?}");
    let other = ADMINS.replace("admins:", "others:");
    let (_, faults) = load(&[("a.yml", RULE), ("pipelines/p.yml", &other)]);
    assert_eq!(faults[0].code, "unresolved_placeholder");
}

#[test]
fn a_value_without_the_modifier_keeps_its_percent_signs() {
    let rule = RULE.replace("User|expand: '%admins%'", "User: '%admins%'");
    let (set, faults) = load(&[("a.yml", &rule), ("pipelines/p.yml", ADMINS)]);
    assert_eq!(faults, []);
    assert!(set.info("tool").unwrap().pipelines.is_empty());
    assert_eq!(
        matches(set, &[started("%admins%"), started("CORP\\root")]),
        1
    );
}

#[test]
fn placeholders_combine_and_numbers_stay_numbers() {
    let rule = "title: Port\nid: port\ndetection:\n  a:\n    p|expand: '%ports%'\n    \
        n|expand|contains: '/%a%-%b%/'\n  condition: a\n";
    let pipeline = "vars: { ports: [22, 3389], a: [x, y], b: [1, 2] }\ntransformations:\n\
        - type: value_placeholders\n";
    let (set, faults) = load(&[("a.yml", rule), ("p.yml", pipeline)]);
    assert_eq!(faults, []);
    let events = [
        json!({"p": 22, "n": "see /y-1/"}),
        json!({"p": 3389, "n": "/x-2/"}),
        json!({"p": 22, "n": "/x-3/"}),
        json!({"p": 80, "n": "/x-1/"}),
    ];
    assert_eq!(matches(set, &events), 2);
}

#[test]
fn threat_lists_are_no_placeholders_of_pipelines() {
    let rule = "title: L\nid: l\ndetection:\n  a: { ip|expand: '%intel%' }\n  condition: a\n";
    let any = "transformations:\n- type: wildcard_placeholders\n";
    let (set, faults) = load(&[("a.yml", rule), ("p.yml", any)]);
    assert_eq!(faults, []);
    assert_eq!(matches(set, &[json!({"ip": "192.0.2.1"})]), 0);
    let part = rule.replace("%intel%", "x%intel%");
    let (_, faults) = load(&[("a.yml", &part)]);
    assert_eq!(faults[0].code, "unresolved_placeholder");
}

#[test]
fn fields_are_renamed_in_rules_and_correlations_and_filters() {
    let rule = "title: Denied\nid: denied\nname: denied\ndetection:\n  a: { Action: deny }\n  \
        condition: a\n---\ntitle: Often\nid: often\ncorrelation:\n  type: event_count\n  rules: \
        [denied]\n  group-by: [Src]\n  timespan: 5m\n  condition: { gte: 2 }\n---\ntitle: \
        Not ours\nid: ours\nlogsource: {}\nfilter:\n  rules: [denied]\n  selection: { Src: \
        10.0.0.1 }\n  condition: not selection\n";
    let pipeline = "name: names\ntransformations:\n- type: field_name_mapping\n  mapping: { \
        Action: event.action, Src: source.ip }\n";
    let (set, faults) = load(&[("a.yml", rule), ("p.yml", pipeline)]);
    assert_eq!(faults, []);
    assert_eq!(set.pipelines()[0].changed, 3);
    assert_eq!(set.info("often").unwrap().fields, ["source.ip"]);
    let event = |ip: &str| json!({"event": {"action": "deny"}, "source": {"ip": ip}});
    let events = ["10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.2"].map(event);
    // Two of the rule, one of the correlation.
    assert_eq!(matches(set, &events), 3);
}

#[test]
fn pipelines_apply_by_priority_and_below_their_folder_alone() {
    let rule =
        |id: &str| format!("title: {id}\nid: {id}\ndetection:\n  a: {{ f: v }}\n  condition: a\n");
    let prefix = |name: &str, priority: i32| {
        format!(
            "name: {name}\npriority: {priority}\ntransformations:\n- type: field_name_prefix\n  \
             prefix: {name}.\n"
        )
    };
    let (set, faults) = load(&[
        ("a/x.yml", &rule("x")),
        ("b/y.yml", &rule("y")),
        ("a/deep/z.yml", &rule("z")),
        ("a/pipelines/1.yml", &prefix("late", 20)),
        ("a/pipelines/2.yml", &prefix("soon", 10)),
    ]);
    assert_eq!(faults, []);
    assert_eq!(set.info("x").unwrap().fields, ["late.soon.f"]);
    assert_eq!(set.info("z").unwrap().fields, ["late.soon.f"]);
    assert_eq!(set.info("y").unwrap().fields, ["f"]);
    // A text that is only tried is read as if it were beside them.
    let (tried, ..) = RuleSet::load_beside(&[file("text.yml", &rule("t"))], &set);
    assert_eq!(tried.info("t").unwrap().fields, ["late.soon.f"]);
    let (tried, ..) = RuleSet::load_beside(&[file("b/y.yml", &rule("y"))], &set);
    assert_eq!(tried.info("y").unwrap().fields, ["f"]);
}

#[test]
fn conditions_of_rules_join_as_they_say() {
    let rule = |id: &str, product: &str| {
        format!(
            "title: {id}\nid: {id}\nlogsource: {{ product: {product} }}\ndetection:\n  a: {{ f: \
             v }}\n  condition: a\n"
        )
    };
    let (w, l, m) = (rule("w", "windows"), rule("l", "linux"), rule("m", "macos"));
    let base = "transformations:\n- type: field_name_prefix\n  prefix: p.\n  rule_conditions:\n  - \
        { type: logsource, product: windows }\n  - { type: logsource, product: linux }\n";
    let changed = |more: &str| {
        let pipeline = format!("{base}{more}");
        let files = [
            ("w.yml", w.as_str()),
            ("l.yml", &l),
            ("m.yml", &m),
            ("p.yml", &pipeline),
        ];
        let (set, faults) = load(&files);
        assert_eq!(faults, [], "{more}");
        let infos = set.infos().into_iter();
        let changed = infos.filter(|i| !i.pipelines.is_empty());
        changed.map(|i| i.id).collect::<String>()
    };
    assert_eq!(changed(""), "");
    assert_eq!(changed("  rule_cond_op: or\n"), "wl");
    assert_eq!(changed("  rule_cond_not: true\n"), "wlm");
    assert_eq!(changed("  rule_cond_op: or\n  rule_cond_not: true\n"), "m");
    assert_eq!(
        changed("  rule_cond_expr: not cond_0 and not cond_1\n"),
        "m"
    );
}

#[test]
fn what_would_be_passed_over_in_silence_is_refused_with_its_line() {
    let item =
        |text: &str| format!("name: p\ntransformations:\n- type: drop_detection_item\n- {text}\n");
    let cases = [
        (item("type: regex"), 4, "not supported"),
        (
            item("type: query_expression_placeholders"),
            4,
            "not supported",
        ),
        (
            item("{ type: field_name_mapping, mappings: {a: b} }"),
            4,
            "mappings is no key",
        ),
        (item("type: field_name_mapping"), 4, "needs mapping"),
        (item("include: x"), 4, "include is not supported"),
        (
            item("{ type: replace_string, regex: '(', replacement: x }"),
            4,
            "regex",
        ),
        (
            item("{ type: drop_detection_item, rule_conditions: [{ type: what }] }"),
            4,
            "what",
        ),
        (
            item("{ type: drop_detection_item, rule_cond_expr: a }"),
            4,
            "has the id a",
        ),
        (
            "name: p\ntransformation: []\ntransformations: []\n".into(),
            2,
            "transformation is no key",
        ),
        (
            "transformations: []\nvars:\n  a: { b: c }\n".into(),
            2,
            "variable a",
        ),
        (
            "transformations: []\npriority: high\n".into(),
            2,
            "priority",
        ),
        ("transformations:\n- type: [\n".into(), 3, ""),
    ];
    for (text, line, words) in cases {
        let (set, faults) = load(&[("a.yml", "---\n"), ("p.yml", &text)]);
        assert_eq!(faults.len(), 1, "{text}: {faults:?}");
        assert_eq!(
            (faults[0].code, faults[0].path.as_str()),
            ("invalid_pipeline", "p.yml")
        );
        assert_eq!(faults[0].line, Some(line), "{text}: {faults:?}");
        assert!(faults[0].message.contains(words), "{text}: {faults:?}");
        assert!(set.pipelines().is_empty());
    }
}

#[test]
fn a_rule_that_a_pipeline_refuses_says_why() {
    let refuse = "name: strict\ntransformations:\n- type: rule_failure\n  message: no such logs\n  \
        rule_conditions: [{ type: logsource, product: windows }]\n";
    let (set, faults) = load(&[("a.yml", RULE), ("p.yml", refuse)]);
    assert!(set.is_empty());
    assert_eq!(
        (faults[0].code, faults[0].path.as_str()),
        ("refused_by_pipeline", "a.yml")
    );
    assert!(faults[0].message.starts_with("strict: "), "{faults:?}");
    assert!(faults[0].message.contains("no such logs"), "{faults:?}");
}
