//! `watchfire rules check|test|docs|explain`: what is wrong with rules before they are live, what
//! they look for, and why they do or do not match an event.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Subcommand;
use watchfire_detect::intel::IntelSet;
use watchfire_detect::{RuleFault, RuleFile, RuleSet, RuleTrace, TraceNode, catalogue, pack};
use watchfire_event::{BatchLimits, EventBatch, RowMeta};
use watchfire_ingest::Mappings;

use super::backtest::BacktestArgs;
use super::output;
use crate::rules;

/// What can be done with rules.
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Parse and lint; exit 1 when a rule is left out
    Check {
        /// Folders or files; the built-in pack when none is given
        dirs: Vec<PathBuf>,
        /// Folders with the threat lists that rules may ask for. Without one, those that they ask
        /// for are taken to be there
        #[arg(long = "intel", value_name = "DIR")]
        intel: Vec<PathBuf>,
    },
    /// Tell what rules would have found in the events of a running server
    Backtest(BacktestArgs),
    /// Run each rule's own positive and negative events; exit 1 on any failure
    Test {
        /// Folders or files; the built-in pack when none is given
        dirs: Vec<PathBuf>,
    },
    /// Print the page of detections, Markdown; exit 1 when a rule does not say what it has to
    Docs {
        /// Folders or files; the built-in pack when none is given
        dirs: Vec<PathBuf>,
    },
    /// Say why rules do or do not match an event; exit 1 when none matches
    Explain {
        /// A file of rules
        rules: PathBuf,
        /// A file with one event, JSON; `-` is stdin
        event: PathBuf,
        /// Only the rule of this id
        #[arg(long)]
        id: Option<String>,
        /// Print one line of JSON a rule
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: RulesCommand) -> Result<ExitCode> {
    match command {
        RulesCommand::Check { dirs, intel } => check(&dirs, &intel),
        RulesCommand::Test { dirs } => test(&dirs),
        RulesCommand::Backtest(args) => super::backtest::run(args),
        RulesCommand::Docs { dirs } => docs(&dirs),
        RulesCommand::Explain {
            rules,
            event,
            id,
            json,
        } => explain(&rules, &event, id.as_deref(), json),
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

fn check(dirs: &[PathBuf], intel: &[PathBuf]) -> Result<ExitCode> {
    let (files, mut faults) = read(dirs);
    let lists = match intel.is_empty() {
        true => IntelSet::assumed_by(&files),
        false => {
            let read = crate::intel::Folders::new(intel).read();
            faults.extend(read.faults);
            read.set
        }
    };
    if intel.is_empty() {
        for list in lists.lists() {
            let name = &list.name;
            output::line(&output::printable(&format!(
                "note: the threat list {name} is taken to be there; --intel DIR looks"
            )));
        }
    }
    let (set, broken) = RuleSet::load_with(&files, Arc::new(lists));
    faults.extend(broken);
    report(&faults);
    for pipeline in set.pipelines() {
        let changed = match pipeline.changed {
            1 => "1 rule".to_owned(),
            n => format!("{n} rules"),
        };
        output::line(&output::printable(&format!(
            "{}:{}: pipeline {} (priority {}) changed {changed}",
            pipeline.path, pipeline.line, pipeline.name, pipeline.priority
        )));
    }
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

fn explain(path: &Path, event: &Path, id: Option<&str>, json: bool) -> Result<ExitCode> {
    let (files, mut faults) = rules::read_dir(path);
    let lists = IntelSet::assumed_by(&files);
    let (set, broken) = RuleSet::load_with(&files, Arc::new(lists));
    faults.extend(broken);
    report(&faults);
    let text = match event.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin())?,
        false => std::fs::read_to_string(event)
            .with_context(|| format!("cannot read {}", event.display()))?,
    };
    // Spread over lines it is the same event; the doors want one a line.
    let value: serde_json::Value =
        serde_json::from_str(&text).context("the event is not one JSON value")?;
    let batch = rules::read_event(&value.to_string(), &Mappings::builtin()?)
        .map_err(|why| anyhow::anyhow!("the event cannot be read: {why}"))?;
    let infos = set.infos().into_iter();
    let asked = infos.filter(|info| id.is_none_or(|id| info.id == id));
    let traces: Vec<RuleTrace> = asked
        .filter_map(|info| set.explain(&info.id, &batch, 0))
        .collect();
    anyhow::ensure!(
        !traces.is_empty(),
        "there is no such rule in {}",
        path.display()
    );
    for trace in &traces {
        match json {
            true => output::line(&serde_json::to_string(trace)?),
            false => print_trace(trace, 0),
        }
    }
    Ok(code(traces.iter().any(|trace| trace.matched)))
}

fn print_trace(trace: &RuleTrace, depth: usize) {
    let indent = "  ".repeat(depth);
    let text = format!("{indent}{} ({})", trace.title, trace.id);
    output::line(&output::printable(&text));
    output::line(&output::printable(&format!("{indent}  {}", trace.sentence)));
    trace
        .conditions
        .iter()
        .for_each(|node| print_node(node, depth + 1));
    trace
        .group
        .iter()
        .for_each(|node| print_node(node, depth + 1));
    trace
        .rules
        .iter()
        .for_each(|rule| print_trace(rule, depth + 1));
}

fn print_node(node: &TraceNode, depth: usize) {
    let mark = if node.matched { '+' } else { '-' };
    let name = node.name.as_deref().unwrap_or_default();
    let text = match node.what {
        "field" | "keywords" | "query" => node.cause(),
        what => format!("{what} {name}"),
    };
    let line = format!("{}{mark} {}", "  ".repeat(depth), text.trim_end());
    output::line(&output::printable(&line));
    node.parts
        .iter()
        .for_each(|part| print_node(part, depth + 1));
}

fn docs(dirs: &[PathBuf]) -> Result<ExitCode> {
    let (files, mut faults) = read(dirs);
    match catalogue::page(&files) {
        Ok(page) if faults.is_empty() => output::line(page.trim_end()),
        Ok(_) => report(&faults),
        Err(incomplete) => {
            faults.extend(incomplete);
            report(&faults);
        }
    }
    Ok(code(faults.is_empty()))
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
