//! `watchfire rules check|test`: what is wrong with rules, before they are live.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use watchfire_detect::{RuleFault, RuleFile, RuleSet, pack};
use watchfire_event::{BatchLimits, EventBatch, RowMeta};
use watchfire_ingest::Mappings;

use super::output;
use crate::rules;

/// What can be done with rules.
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Parse and lint; exit 1 when a rule is left out
    Check {
        /// Folders or files; the built-in pack when none is given
        dirs: Vec<PathBuf>,
    },
    /// Run each rule's own positive and negative events; exit 1 on any failure
    Test {
        /// Folders or files; the built-in pack when none is given
        dirs: Vec<PathBuf>,
    },
}

pub(super) fn run(command: &RulesCommand) -> Result<ExitCode> {
    match command {
        RulesCommand::Check { dirs } => check(dirs),
        RulesCommand::Test { dirs } => test(dirs),
    }
}

fn read(dirs: &[PathBuf]) -> (Vec<RuleFile>, Vec<RuleFault>) {
    if dirs.is_empty() {
        return (rules::pack_files(), Vec::new());
    }
    let (mut files, mut faults) = (Vec::new(), Vec::new());
    for dir in dirs {
        let (more, unread) = rules::read_dir(dir);
        files.extend(more);
        faults.extend(unread);
    }
    (files, faults)
}

fn check(dirs: &[PathBuf]) -> Result<ExitCode> {
    let (files, mut faults) = read(dirs);
    let (set, broken) = RuleSet::load(&files);
    faults.extend(broken);
    report(&faults);
    output::line(&format!(
        "{} rules loaded, {} left out",
        set.len(),
        faults.len()
    ));
    Ok(code(faults.is_empty()))
}

fn report(faults: &[RuleFault]) {
    for fault in faults {
        let line = fault.line.map(|l| format!(":{l}")).unwrap_or_default();
        let text = format!("{}{line}: {}: {}", fault.path, fault.code, fault.message);
        output::line(&output::printable(&text));
    }
}

fn test(dirs: &[PathBuf]) -> Result<ExitCode> {
    let (files, faults) = read(dirs);
    report(&faults);
    let mappings = Mappings::builtin()?;
    let build = |events: &[serde_json::Value]| batch(events, &mappings);
    let outcomes = pack::run_tests(&files, &build);
    let mut failed = 0;
    for outcome in outcomes.iter().filter(|o| !o.passed) {
        failed += 1;
        let text = format!("{}: {}: {}", outcome.path, outcome.name, outcome.message);
        output::line(&output::printable(&text));
    }
    let passed = outcomes.len() - failed;
    output::line(&format!("{passed} passed, {failed} failed"));
    Ok(code(failed == 0 && faults.is_empty() && passed > 0))
}

fn batch(events: &[serde_json::Value], mappings: &Mappings) -> EventBatch {
    let lines: Vec<String> = events.iter().map(ToString::to_string).collect();
    let lines: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
    let meta = RowMeta {
        received_ns: 0,
        source: "test".into(),
    };
    watchfire_ingest::build_batch(&lines, &meta, BatchLimits::default(), mappings).0
}

fn code(good: bool) -> ExitCode {
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
