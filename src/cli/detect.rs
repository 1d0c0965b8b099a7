//! `watchfire detect`: the same engine as the server's, over files.
//!
//! Every thread takes the next lines, makes a batch of them, and evaluates it when its turn has
//! come. So batches are made at the same time and evaluated in their order, and the alerts are
//! the same with any number of threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::json;
use watchfire_detect::{Costs, Engine, EngineConfig, RuleSet, Touched};
use watchfire_event::{Alert, BatchBuilder, BatchLimits, EventBatch};
use watchfire_ingest::Mappings;

use super::lines::{Decoding, LineReader, Lines, decode, read_now};
use super::output;
use crate::{rules, telemetry};

/// Which half of detection runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Only {
    /// Sigma rules and correlations
    Sigma,
    /// Statistics and models
    Detectors,
}

/// What `detect` can be told.
#[derive(Debug, Clone, Args)]
pub struct DetectArgs {
    /// NDJSON files in the order of their events; `-` is stdin
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// More folders with rules, beside the built-in pack
    #[arg(long = "rules", value_name = "DIR")]
    rules: Vec<PathBuf>,
    /// Folders with threat lists that rules may ask for
    #[arg(long = "intel", value_name = "DIR")]
    intel: Vec<PathBuf>,
    /// Leave the built-in pack out
    #[arg(long)]
    no_pack: bool,
    /// Run only one half of detection
    #[arg(long, value_enum)]
    only: Option<Only>,
    /// End with one JSON line of figures on stderr
    #[arg(long)]
    stats: bool,
    /// Threads that make batches and evaluate them in turn
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

/// Rules and detectors whose costs are told.
const DEAREST: usize = 20;

/// What a run gives.
struct Outcome {
    engine: Engine,
    /// Alerts are asked for at the end: while events come, most change again and again.
    touched: Touched,
    decoding: Decoding,
}

pub(super) fn run(args: &DetectArgs) -> Result<ExitCode> {
    let started = Instant::now();
    let (set, failed) = load(args)?;
    let loaded = set.len();
    let by_row = set.rules_by_row().len();
    let config = EngineConfig {
        sigma: args.only != Some(Only::Detectors),
        detectors: args.only != Some(Only::Sigma),
        ..EngineConfig::default()
    };
    let engine = Engine::new(Arc::new(set), config).with_clock(telemetry::clock);
    let load_seconds = started.elapsed().as_secs_f64();

    let mut outcome = evaluate(args, engine)?;
    let changes = outcome.engine.changes(outcome.touched);
    let alerts: Vec<Alert> = changes.into_iter().map(|change| change.alert).collect();
    let raised = alerts.len();
    print(alerts);
    let decoding = outcome.decoding;
    if decoding.rejected > 0 {
        output::error(&format!(
            "{} lines are not events and were passed over",
            decoding.rejected
        ));
    }
    if args.stats {
        let seconds = started.elapsed().as_secs_f64();
        let stats = outcome.engine.stats();
        let working = (seconds - load_seconds).max(1e-9);
        let line = json!({
            "events": stats.events,
            "rejected": decoding.rejected,
            "matches": stats.matches,
            "alerts": raised,
            "seconds": seconds,
            "seconds_by_stage": {
                "load": load_seconds,
                "decode": decoding.decode_seconds,
                "columns": decoding.columns_seconds,
                "sigma": stats.sigma_seconds,
                "detectors": stats.detector_seconds,
            },
            "events_per_second": stats.events as f64 / working,
            "peak_rss_bytes": telemetry::peak_rss_bytes(),
            "rules_loaded": loaded,
            "rules_failed": failed,
            "rules_by_row": by_row,
            "rules_open": stats.open_rules,
            "sigma_bytes": stats.sigma_bytes,
            "detector_bytes": learned_bytes(outcome.engine.costs()),
            "costs": dearest(outcome.engine.costs()),
            "windows": {
                "open": stats.windows.open,
                "turned_away": stats.windows.turned_away,
                "bytes_to_remember_those": stats.windows.door_bytes,
            },
        });
        output::error(&line.to_string());
    }
    Ok(ExitCode::SUCCESS)
}

/// Evaluates the files, on as many threads as were asked for.
fn evaluate(args: &DetectArgs, engine: Engine) -> Result<Outcome> {
    let mappings = Mappings::builtin()?;
    let meta = read_now();
    let lines = Mutex::new(LineReader::new(args.files.clone()));
    let turn = Mutex::new(Turn {
        number: 0,
        next_seq: 1,
        outcome: Outcome {
            engine,
            touched: Touched::default(),
            decoding: Decoding::default(),
        },
        failed: None,
    });
    let turned = Condvar::new();
    let make = |lines: &Lines, builder: &mut BatchBuilder| decode(lines, builder, &meta, &mappings);
    let work = || work(&lines, &turn, &turned, &make);
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..args.threads).map(|_| scope.spawn(work)).collect();
        work();
        others.into_iter().try_for_each(|thread| {
            let panicked = |_| anyhow::anyhow!("a thread panicked");
            thread.join().map_err(panicked)
        })
    })?;
    let turn = turn.into_inner().unwrap_or_else(PoisonError::into_inner);
    match turn.failed {
        Some(error) => Err(error),
        None => Ok(turn.outcome),
    }
}

/// Whose turn it is to evaluate, and what is evaluated by whoever has it.
struct Turn {
    /// Number of the lines whose turn it is.
    number: u64,
    next_seq: u64,
    outcome: Outcome,
    failed: Option<anyhow::Error>,
}

/// What every thread does until all lines are read.
fn work(
    lines: &Mutex<LineReader>,
    turn: &Mutex<Turn>,
    turned: &Condvar,
    make: &(impl Fn(&Lines, &mut BatchBuilder) -> (Vec<EventBatch>, Decoding) + Sync),
) {
    let mut builder = BatchBuilder::new(BatchLimits::default());
    loop {
        let taken = lines.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (number, taken) = match taken {
            Ok(Some(taken)) => taken,
            Ok(None) => return,
            Err((number, error)) => {
                let turn = wait(turn, turned, number);
                pass_on(turn, turned, |turn| turn.failed = Some(error));
                return;
            }
        };
        // A panic must not leave the others waiting for a turn that never ends.
        let made = catch_unwind(AssertUnwindSafe(|| make(&taken, &mut builder)));
        let turn = wait(turn, turned, number);
        if turn.failed.is_some() {
            pass_on(turn, turned, |_| {});
            return;
        }
        pass_on(turn, turned, |turn| match made {
            Ok((batches, decoding)) => turn.take(batches, &decoding),
            Err(_) => turn.failed = Some(anyhow::anyhow!("reading a batch panicked")),
        });
    }
}

fn wait<'t>(turn: &'t Mutex<Turn>, turned: &Condvar, number: u64) -> MutexGuard<'t, Turn> {
    let turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
    let not_yet = |turn: &mut Turn| turn.number != number;
    turned
        .wait_while(turn, not_yet)
        .unwrap_or_else(PoisonError::into_inner)
}

/// Does what the turn is for, and gives it to the next even if that panics.
fn pass_on(mut turn: MutexGuard<'_, Turn>, turned: &Condvar, act: impl FnOnce(&mut Turn)) {
    if catch_unwind(AssertUnwindSafe(|| act(&mut turn))).is_err() {
        turn.failed = Some(anyhow::anyhow!("evaluating a batch panicked"));
    }
    turn.number += 1;
    turned.notify_all();
}

impl Turn {
    fn take(&mut self, batches: Vec<EventBatch>, decoding: &Decoding) {
        let outcome = &mut self.outcome;
        outcome.decoding.add(decoding);
        for batch in batches {
            let batch = batch.with_first_seq(self.next_seq);
            self.next_seq += batch.rows() as u64;
            let touched = &mut outcome.touched;
            outcome.engine.process_onto(&batch, touched);
        }
    }
}

/// What detectors have learned, bytes, about; as of some thousands of events ago.
fn learned_bytes(costs: &Costs) -> usize {
    costs.detectors.values().map(|state| state.bytes).sum()
}

/// The rules and detectors that cost most: microseconds of each for every event, share of the time
/// of all, and for how many events they had to be decided.
fn dearest(costs: &Costs) -> Vec<serde_json::Value> {
    let mut all: Vec<_> = costs.all().collect();
    all.sort_by(|a, b| b.1.nanos.cmp(&a.1.nanos).then(a.0.cmp(b.0)));
    let shown = all.into_iter().take(DEAREST).map(|(id, cost)| {
        json!({
            "id": id,
            "us_per_event": cost.nanos as f64 / 1e3 / costs.events.max(1) as f64,
            "share": cost.nanos as f64 / costs.nanos.max(1) as f64,
            "asked": cost.asked,
        })
    });
    shown.collect()
}

fn load(args: &DetectArgs) -> Result<(RuleSet, usize)> {
    let mut files = if args.no_pack {
        Vec::new()
    } else {
        rules::pack_files()
    };
    let mut failed = 0;
    for dir in &args.rules {
        anyhow::ensure!(
            dir.exists(),
            "the rules folder {} does not exist",
            dir.display()
        );
        let (more, unread) = rules::read_dir(dir);
        files.extend(more);
        failed += unread.len();
    }
    for dir in &args.intel {
        let shown = dir.display();
        anyhow::ensure!(dir.exists(), "the folder of lists {shown} does not exist");
    }
    let lists = crate::intel::Folders::new(&args.intel).read();
    let (set, faults) = RuleSet::load_with(&files, Arc::new(lists.set));
    for fault in faults.iter().chain(&lists.faults) {
        output::error(&format!(
            "{}: {}: {}",
            fault.path, fault.code, fault.message
        ));
    }
    Ok((set, failed + faults.len()))
}

/// The last state of every alert, in the order of time.
fn print(mut alerts: Vec<Alert>) {
    alerts.sort_by(|a, b| a.ts.total_cmp(&b.ts).then_with(|| a.id.cmp(&b.id)));
    for alert in alerts {
        output::line(&serde_json::to_string(&alert).unwrap_or_default());
    }
}
