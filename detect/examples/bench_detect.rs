//! Measures detection alone: `bench_detect RULES_FOLDER EVENTS.ndjson [ROWS_A_BATCH]`.
//!
//! Prints one JSON line: rules, seconds to load them, events a second over prepared batches, the
//! rules that matched most, and the resident memory at each step.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use watchfire_detect::{Engine, EngineConfig, RuleFile, RuleSet};
use watchfire_event::{BatchBuilder, BatchLimits, EventBatch, RowMeta};

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let (Some(rules), Some(events)) = (arguments.next(), arguments.next()) else {
        return Err("bench_detect RULES_FOLDER EVENTS.ndjson [ROWS_A_BATCH]".into());
    };
    let rows: usize = arguments.next().map_or(Ok(8_192), |n| n.parse())?;
    let mut files = Vec::new();
    read(Path::new(&rules), &mut files)?;
    let before = resident_bytes();
    let start = Instant::now();
    let (rules, faults) = RuleSet::load(&files);
    let load_seconds = start.elapsed().as_secs_f64();
    let loaded = resident_bytes();
    drop(files);
    let batches = batches(&std::fs::read(events)?, rows)?;
    let with_events = resident_bytes();
    let rule_count = rules.len();
    let mut engine = Engine::new(Arc::new(rules), EngineConfig::default()).with_clock(clock);
    // The first batch builds the engines of the classes it brings.
    let start = Instant::now();
    batches
        .iter()
        .take(1)
        .for_each(|batch| drop(engine.process(batch)));
    let first_seconds = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let rest = batches.iter().skip(1);
    let timed: usize = rest.clone().map(EventBatch::rows).sum();
    let alerts: usize = rest.map(|batch| engine.process(batch).len()).sum();
    let seconds = start.elapsed().as_secs_f64();
    let mut saved = Vec::new();
    engine.save(&mut saved)?;
    let stats = engine.stats();
    let mut top: Vec<_> = stats.matches_by_rule.iter().collect();
    top.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    top.truncate(8);
    let line = json!({
        "rules": rule_count, "faults": faults.len(), "load_seconds": load_seconds,
        "first_batch_seconds": first_seconds, "events": stats.events, "matches": stats.matches,
        "alert_changes": alerts, "seconds": seconds,
        "sigma_seconds": stats.sigma_seconds, "detector_seconds": stats.detector_seconds,
        "events_per_second": timed as f64 / seconds, "top": top,
        "snapshot_bytes": saved.len(),
        "rss_bytes": { "start": before, "rules": loaded, "events": with_events,
            "end": resident_bytes() },
    });
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}

fn clock() -> f64 {
    use std::sync::OnceLock;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}

fn read(folder: &Path, files: &mut Vec<RuleFile>) -> Result<(), Error> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "yml") {
            let text = std::fs::read_to_string(&path)?;
            files.push(RuleFile {
                path: path.display().to_string(),
                text,
            });
        }
    }
    Ok(())
}

fn batches(text: &[u8], rows: usize) -> Result<Vec<EventBatch>, Error> {
    let meta = RowMeta {
        received_ns: 1_760_000_000_000_000_000,
        source: "bench".into(),
    };
    let lines: Vec<&[u8]> = text
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .collect();
    let mut out = Vec::new();
    let mut first = 1;
    for chunk in lines.chunks(rows) {
        let mut builder = BatchBuilder::new(BatchLimits::default());
        for line in chunk {
            builder.push(line, &meta).map_err(|e| e.message)?;
        }
        out.push(builder.finish().with_first_seq(first));
        first += chunk.len() as u64;
    }
    Ok(out)
}

/// Resident memory by `/proc`, 0 where there is none.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1_024
}
