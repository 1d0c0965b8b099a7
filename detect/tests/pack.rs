//! The tests of rules: what holds passes, what does not says what happened. The pack itself is
//! tested where mappings are, in the root.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::batch;
use watchfire_detect::RuleFile;
use watchfire_detect::pack::run_tests;

const RULE: &str = "
title: Odd word
logsource: { category: webserver }
detection:
    selection: { url.path|contains: odd }
    condition: selection
level: low
";

/// Test text, outcomes as (name, passed, part of the message).
fn outcomes(tests: &str) -> Vec<(String, bool, String)> {
    let file = |path: &str, text: &str| RuleFile {
        path: path.into(),
        text: text.into(),
    };
    let files = [file("a/odd.yml", RULE), file("a/odd.tests.yml", tests)];
    let run = run_tests(&files, &|events| batch(events));
    run.into_iter()
        .map(|o| (o.name, o.passed, o.message))
        .collect()
}

#[test]
fn a_test_that_does_not_hold_says_what_happened() {
    let found = outcomes(
        "
- { name: alerts, expect: alert, events: [{ event: { url: { path: /odd } } }] }
- { name: quiet, expect: silent, events: [{ event: { url: { path: /even } } }] }
- { name: wrongly quiet, expect: silent, events: [{ event: { url: { path: /odd } } }] }
- { name: wrongly loud, expect: alert, events: [{ event: { url: { path: /even } } }] }
- name: numbered
  expect: alert
  events: [{ repeat: 3, every: 1m, event: { url: { path: '/{i}/odd' } } }]
- { name: bad step, expect: alert, events: [{ every: soon, event: {} }] }
",
    );
    let passed: Vec<bool> = found.iter().map(|o| o.1).collect();
    assert_eq!(passed, [true, true, false, false, true, false]);
    assert!(found[2].2.contains("Odd word: 1 event"), "{}", found[2].2);
    assert!(found[3].2.contains("there was none"));
    assert!(found[5].2.contains("soon"));
}

#[test]
fn a_test_file_that_cannot_be_read_fails() {
    assert!(!outcomes("- { name: x, expect: maybe, events: [] }")[0].1);
    let lone = RuleFile {
        path: "b/none.tests.yml".into(),
        text: "[]".into(),
    };
    let run = run_tests(&[lone], &|events| batch(events));
    assert!(!run[0].passed && run[0].message.contains("b/none.yml"));
}
