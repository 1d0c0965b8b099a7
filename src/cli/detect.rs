//! `watchfire detect`: the same engine as the server's, over files.
//!
//! One thread reads and builds batches, another evaluates them (with `--threads 1` both are the
//! same thread, so that the stages' times add up to the whole).

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde_json::json;
use watchfire_detect::{Engine, EngineConfig, RuleSet};
use watchfire_event::{Alert, BatchBuilder, BatchLimits, EventBatch, RowMeta};
use watchfire_ingest::Mappings;

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
    /// Leave the built-in pack out
    #[arg(long)]
    no_pack: bool,
    /// Run only one half of detection
    #[arg(long, value_enum)]
    only: Option<Only>,
    /// End with one JSON line of figures on stderr
    #[arg(long)]
    stats: bool,
    /// Threads: 1 does everything in turn, more read ahead
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

/// Rows and bytes of a batch.
const BATCH_ROWS: usize = 8_192;
const BATCH_BYTES: usize = 8 << 20;
/// Batches read ahead.
const AHEAD: usize = 2;
/// Lines longer than this are refused without being read whole, bytes.
const MAX_LINE: u64 = (1 << 20) + 2;

/// Seconds and counts of reading.
#[derive(Debug, Default)]
struct Reading {
    decode_seconds: f64,
    columns_seconds: f64,
    rejected: u64,
}

pub(super) fn run(args: &DetectArgs) -> Result<ExitCode> {
    let started = Instant::now();
    let (set, failed) = load(args)?;
    let loaded = set.len();
    let config = EngineConfig {
        sigma: args.only != Some(Only::Detectors),
        detectors: args.only != Some(Only::Sigma),
    };
    let mut engine = Engine::new(Arc::new(set), config).with_clock(clock);
    let load_seconds = started.elapsed().as_secs_f64();

    let mut alerts = Alerts::default();
    let mut reader = BatchReader::new(args.files.clone())?;
    if args.threads <= 1 {
        while let Some(batch) = reader.next()? {
            alerts.take(&mut engine, &batch);
        }
    } else {
        reader = read_ahead(reader, |batch| alerts.take(&mut engine, &batch))?;
    }
    alerts.print();
    let reading = reader.reading;
    if reading.rejected > 0 {
        output::error(&format!(
            "{} lines are not events and were passed over",
            reading.rejected
        ));
    }
    if args.stats {
        let seconds = started.elapsed().as_secs_f64();
        let stats = engine.stats();
        let working = (seconds - load_seconds).max(1e-9);
        let line = json!({
            "events": stats.events,
            "rejected": reading.rejected,
            "matches": stats.matches,
            "alerts": alerts.by_id.len(),
            "seconds": seconds,
            "seconds_by_stage": {
                "load": load_seconds,
                "decode": reading.decode_seconds,
                "columns": reading.columns_seconds,
                "sigma": stats.sigma_seconds,
                "detectors": stats.detector_seconds,
            },
            "events_per_second": stats.events as f64 / working,
            "peak_rss_bytes": telemetry::peak_rss_bytes(),
            "rules_loaded": loaded,
            "rules_failed": failed,
        });
        output::error(&line.to_string());
    }
    Ok(ExitCode::SUCCESS)
}

/// Seconds since the first call.
fn clock() -> f64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
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
    let (set, faults) = RuleSet::load(&files);
    for fault in &faults {
        output::error(&format!(
            "{}: {}: {}",
            fault.path, fault.code, fault.message
        ));
    }
    Ok((set, failed + faults.len()))
}

/// Runs the reader on a thread of its own; gives it back when all is read.
fn read_ahead(mut reader: BatchReader, mut take: impl FnMut(EventBatch)) -> Result<BatchReader> {
    let (send, receive) = sync_channel::<EventBatch>(AHEAD);
    std::thread::scope(|scope| {
        let reading = scope.spawn(move || -> Result<BatchReader> {
            while let Some(batch) = reader.next()? {
                if send.send(batch).is_err() {
                    break;
                }
            }
            Ok(reader)
        });
        receive.iter().for_each(&mut take);
        reading
            .join()
            .map_err(|_| anyhow::anyhow!("the reading thread panicked"))?
    })
}

/// The last state of every alert.
#[derive(Default)]
struct Alerts {
    by_id: HashMap<String, Alert>,
}

impl Alerts {
    fn take(&mut self, engine: &mut Engine, batch: &EventBatch) {
        for change in engine.process(batch) {
            self.by_id.insert(change.alert.id.clone(), change.alert);
        }
    }

    fn print(&self) {
        let mut alerts: Vec<&Alert> = self.by_id.values().collect();
        alerts.sort_by(|a, b| a.ts.total_cmp(&b.ts).then_with(|| a.id.cmp(&b.id)));
        for alert in alerts {
            output::line(&serde_json::to_string(alert).unwrap_or_default());
        }
    }
}

/// Reads lines into batches.
struct BatchReader {
    files: std::vec::IntoIter<PathBuf>,
    current: Option<Box<dyn BufRead + Send>>,
    mappings: Mappings,
    meta: RowMeta,
    next_seq: u64,
    reading: Reading,
    line: Vec<u8>,
}

impl BatchReader {
    fn new(files: Vec<PathBuf>) -> Result<Self> {
        Ok(BatchReader {
            files: files.into_iter(),
            current: None,
            mappings: Mappings::builtin()?,
            meta: RowMeta {
                received_ns: now_ns(),
                source: "file".into(),
            },
            next_seq: 1,
            reading: Reading::default(),
            line: Vec::new(),
        })
    }

    fn next(&mut self) -> Result<Option<EventBatch>> {
        let started = Instant::now();
        let mut builder = BatchBuilder::new(BatchLimits::default());
        while builder.rows() < BATCH_ROWS && builder.bytes() < BATCH_BYTES && self.read_line()? {
            let line = self.line.trim_ascii();
            if !line.is_empty() && builder.push(line, &self.meta).is_err() {
                self.reading.rejected += 1;
            }
        }
        self.reading.decode_seconds += started.elapsed().as_secs_f64();
        if builder.rows() == 0 {
            return Ok(None);
        }
        let started = Instant::now();
        let batch = watchfire_ingest::normalize(builder.finish(), &self.mappings);
        let batch = batch.with_first_seq(self.next_seq);
        self.next_seq += batch.rows() as u64;
        self.reading.columns_seconds += started.elapsed().as_secs_f64();
        Ok(Some(batch))
    }

    /// Reads the next line of any file into `self.line`; false at the end of the last.
    fn read_line(&mut self) -> Result<bool> {
        loop {
            if let Some(current) = &mut self.current {
                self.line.clear();
                current.take(MAX_LINE).read_until(b'\n', &mut self.line)?;
                if self.line.len() as u64 == MAX_LINE && self.line.last() != Some(&b'\n') {
                    skip_line(current)?;
                }
                if !self.line.is_empty() {
                    return Ok(true);
                }
            }
            let Some(path) = self.files.next() else {
                return Ok(false);
            };
            self.current = Some(if path.as_os_str() == "-" {
                Box::new(BufReader::new(std::io::stdin()))
            } else {
                let file =
                    File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
                Box::new(BufReader::with_capacity(1 << 20, file))
            });
        }
    }
}

/// Passes over the rest of a line.
fn skip_line(reader: &mut Box<dyn BufRead + Send>) -> std::io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let end = buffer.iter().position(|b| *b == b'\n');
        let used = end.map_or(buffer.len(), |i| i + 1);
        reader.consume(used);
        if end.is_some() {
            return Ok(());
        }
    }
}

/// Now, nanoseconds since the epoch: what counts as received when files are read.
fn now_ns() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.unwrap_or_default().as_nanos()).unwrap_or(i64::MAX)
}
