//! Rule tests: each rule brings events that must alert and events that must not.

use serde::Serialize;
use serde_json::Value;
use watchfire_event::EventBatch;

use crate::ruleset::RuleFile;

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

/// Runs the tests of every `NAME.tests.yml` in `files` against the rules of `NAME.yml` beside it.
/// `build` makes a batch of events as ingestion would.
pub fn run_tests(files: &[RuleFile], build: &dyn Fn(&[Value]) -> EventBatch) -> Vec<TestOutcome> {
    let _ = (files, build);
    Vec::new()
}
