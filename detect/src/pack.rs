//! Rule tests: each rule brings events that must alert and events that must not.
//!
//! `NAME.tests.yml` beside `NAME.yml` holds a list of tests:
//!
//! ```yaml
//! - name: twenty failures on one account
//!   expect: alert                 # or silent
//!   lists: {exits: [192.0.2.0/24]} # threat lists, for rules that ask for them
//!   events:
//!     - repeat: 20                # 1 when left out
//!       every: 6s                 # `@timestamp` moves on by so much at each repeat
//!       event: {"@timestamp": "2026-11-02T09:00:00Z", user: {id: "u{i}"}}   # {i}: 0 to 19
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use watchfire_event::time::{parse_duration_ns, parse_timestamp, to_rfc3339};
use watchfire_event::{EventBatch, field};

use crate::engine::{Engine, EngineConfig};
use crate::intel::{IntelFile, IntelSet};
use crate::ruleset::{RuleFile, RuleSet, is_tests};
use crate::sigma::pipelines::is_pipelines;

/// Events that one test may expand to.
const MAX_EVENTS: usize = 200_000;

/// How a rule test ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TestOutcome {
    /// The test file.
    pub path: String,
    /// The test's name.
    pub name: String,
    /// Did it do what it says?
    pub passed: bool,
    /// What happened instead, empty when it passed.
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expect {
    Alert,
    Silent,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Test {
    name: String,
    expect: Expect,
    /// Threat lists by name, with their entries.
    #[serde(default)]
    lists: BTreeMap<String, Vec<String>>,
    events: Vec<Events>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Events {
    event: Value,
    #[serde(default = "once")]
    repeat: usize,
    every: Option<String>,
}

fn once() -> usize {
    1
}

/// Runs the tests of every `NAME.tests.yml` in `files` against the rules of `NAME.yml` beside it.
/// `build` makes a batch of events as ingestion would. A rule file without tests, a test file
/// without rules and a test file that cannot be read are outcomes that did not pass.
pub fn run_tests(files: &[RuleFile], build: &dyn Fn(&[Value]) -> EventBatch) -> Vec<TestOutcome> {
    let mut outcomes = Vec::new();
    for file in files.iter().filter(|f| is_tests(&f.path)) {
        let wanted = rules_path(&file.path);
        let fail = |message: String| TestOutcome {
            path: file.path.clone(),
            name: String::new(),
            passed: false,
            message,
        };
        let Some(rules) = files
            .iter()
            .find(|f| stem(&f.path) == wanted && !is_tests(&f.path))
        else {
            outcomes.push(fail(format!("there is no {wanted}.yml")));
            continue;
        };
        match yaml_serde::from_str::<Vec<Test>>(&file.text) {
            Ok(tests) => {
                let pipelines = files
                    .iter()
                    .filter(|f| is_pipelines(f) && !is_tests(&f.path));
                let pipelines = pipelines.filter(|f| f.path != rules.path);
                let loaded: Vec<_> = pipelines.chain([rules]).cloned().collect();
                outcomes.extend(run_file(&file.path, &loaded, &tests, build));
            }
            Err(error) => outcomes.push(fail(error.to_string())),
        }
    }
    outcomes
}

fn rules_path(tests: &str) -> &str {
    tests.rsplit_once(".tests.").map_or(tests, |(stem, _)| stem)
}

fn stem(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(stem, _)| stem)
}

fn run_file(
    path: &str,
    rules: &[RuleFile],
    tests: &[Test],
    build: &dyn Fn(&[Value]) -> EventBatch,
) -> Vec<TestOutcome> {
    let one = |test: &Test| {
        let lists = Arc::new(lists_of(test));
        let (set, faults) = RuleSet::load_with(rules, lists);
        let set = Arc::new(set);
        let broken = faults.iter().find(|f| f.code != "warning");
        let message = match broken {
            Some(fault) => Some(format!("{}: {}", fault.path, fault.message)),
            None => run_test(&set, test, build).err(),
        };
        TestOutcome {
            path: path.to_owned(),
            name: test.name.clone(),
            passed: message.is_none(),
            message: message.unwrap_or_default(),
        }
    };
    tests.iter().map(one).collect()
}

/// The threat lists that a test brings.
fn lists_of(test: &Test) -> IntelSet {
    let mut lists = IntelSet::new();
    for (name, entries) in &test.lists {
        let (path, text) = (format!("{name}.txt"), entries.join("\n"));
        let file = IntelFile {
            path: &path,
            text: &text,
        };
        lists.add(&file, i64::MIN);
    }
    lists
}

/// Runs one test with an engine of its own.
fn run_test(
    rules: &Arc<RuleSet>,
    test: &Test,
    build: &dyn Fn(&[Value]) -> EventBatch,
) -> Result<(), String> {
    let events = expand(test)?;
    let batch = build(&events);
    if batch.rows() != events.len() {
        return Err(format!(
            "{} of {} events were taken",
            batch.rows(),
            events.len()
        ));
    }
    let mut engine = Engine::new(Arc::clone(rules), EngineConfig::default());
    let alerts = engine.process(&batch);
    match (test.expect, alerts.first()) {
        (Expect::Alert, None) => Err("expected an alert, there was none".to_owned()),
        (Expect::Silent, Some(change)) => {
            Err(format!("expected silence, got: {}", change.alert.summary))
        }
        _ => Ok(()),
    }
}

/// The events of a test in the order of their times; those without a time as they stand.
fn expand(test: &Test) -> Result<Vec<Value>, String> {
    let mut all: Vec<(i64, Value)> = Vec::new();
    for events in &test.events {
        let step = match events.every.as_deref() {
            None => 0,
            Some(text) => {
                parse_duration_ns(text).ok_or_else(|| format!("every: {text} is no duration"))?
            }
        };
        if all.len() + events.repeat > MAX_EVENTS {
            return Err(format!("more than {MAX_EVENTS} events"));
        }
        for i in 0..events.repeat {
            let mut event = numbered(&events.event, i);
            let moved = i64::try_from(i).unwrap_or(i64::MAX).saturating_mul(step);
            let time = move_on(&mut event, moved).unwrap_or(i64::MIN);
            all.push((time, event));
        }
    }
    all.sort_by_key(|(time, _)| *time);
    Ok(all.into_iter().map(|(_, event)| event).collect())
}

/// `{i}` in strings becomes the number.
fn numbered(value: &Value, i: usize) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace("{i}", &i.to_string())),
        Value::Array(members) => members.iter().map(|m| numbered(m, i)).collect(),
        Value::Object(members) => Value::Object(
            members
                .iter()
                .map(|(k, v)| (k.clone(), numbered(v, i)))
                .collect(),
        ),
        other => other.clone(),
    }
}

/// Moves the event's time on; gives the time, if it has one.
fn move_on(event: &mut Value, by_ns: i64) -> Option<i64> {
    let stamp = event.get_mut(field::TIMESTAMP)?;
    let time = parse_timestamp(stamp.as_str()?)?.saturating_add(by_ns);
    *stamp = Value::String(to_rfc3339(time));
    Some(time)
}
