//! `watchfire eval`: the models over public data with known answers.
//!
//! What is read: `nab` a folder with `windows.json` and `data/`, as the Numenta Anomaly Benchmark
//! has them; `tabular` CSV files (plain or gzip) of numbers with a last column `label`; `payloads`
//! a training and a test file with the columns `payload` and `label`; `templates` files of LogHub
//! with the columns `Content` and `EventId`. What the figures mean stands in `docs/EVALUATION.md`.

mod csv;
mod measure;
mod nab;
mod payloads;
mod tabular;
mod templates;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::output;

/// What is evaluated.
#[derive(Debug, Clone, Subcommand)]
pub enum EvalCommand {
    /// The series model on the Numenta Anomaly Benchmark
    Nab(EvalArgs),
    /// The streaming and the nightly model on tables of numbers
    Tabular(EvalArgs),
    /// The payload model on parameters of requests
    Payloads(EvalArgs),
    /// Log templates on lines of known kind
    Templates(EvalArgs),
}

/// What an evaluation can be told.
#[derive(Debug, Clone, Args)]
pub struct EvalArgs {
    /// Folder with the data
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Write the score of every row to files in this folder, for other scorers
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
}

pub(super) fn run(command: &EvalCommand) -> Result<ExitCode> {
    let (args, report) = match command {
        EvalCommand::Nab(args) => (args, nab::run(args)?),
        EvalCommand::Tabular(args) => (args, tabular::run(args)?),
        EvalCommand::Payloads(args) => (args, payloads::run(args)?),
        EvalCommand::Templates(args) => (args, templates::run(args)?),
    };
    report.print(args.json);
    Ok(ExitCode::SUCCESS)
}

impl EvalArgs {
    fn read(&self, name: impl AsRef<Path>) -> Result<String> {
        let path = self.dir.join(name);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Names of the files in the folder with one of these endings, sorted.
    fn files(&self, endings: &[&str]) -> Result<Vec<String>> {
        let listing = std::fs::read_dir(&self.dir)
            .with_context(|| format!("cannot read {}", self.dir.display()))?;
        let mut names = Vec::new();
        for entry in listing {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if endings.iter().any(|e| name.ends_with(e)) {
                names.push(name);
            }
        }
        names.sort();
        anyhow::ensure!(
            !names.is_empty(),
            "no file ending in {} in {}",
            endings.join(" or "),
            self.dir.display()
        );
        Ok(names)
    }

    /// Writes lines to a file of the folder that `--write` names, if it does.
    fn write(&self, name: &str, lines: impl Iterator<Item = String>) -> Result<()> {
        let Some(dir) = &self.write else {
            return Ok(());
        };
        let path = dir.join(name);
        let write = || -> std::io::Result<()> {
            std::fs::create_dir_all(path.parent().unwrap_or(dir))?;
            let mut text = lines.collect::<Vec<_>>().join("\n");
            text.push('\n');
            std::fs::write(&path, text)
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}

/// What an evaluation found: figures by data set, and over all.
struct Report {
    columns: Vec<&'static str>,
    sets: Vec<(String, Vec<f64>)>,
    all: Vec<(&'static str, f64)>,
}

impl Report {
    /// The mean of a column over the sets.
    fn mean(&self, column: usize) -> f64 {
        let values = self
            .sets
            .iter()
            .filter_map(|(_, values)| values.get(column));
        values.sum::<f64>() / self.sets.len().max(1) as f64
    }

    fn print(&self, as_json: bool) {
        if as_json {
            return output::line(&self.json().to_string());
        }
        let header: Vec<&str> = ["set"]
            .into_iter()
            .chain(self.columns.iter().copied())
            .collect();
        // A column without any fraction counts something.
        let whole = |column: usize| {
            let values = self
                .sets
                .iter()
                .filter_map(|(_, values)| values.get(column));
            values.into_iter().all(|v| v.fract() == 0.0)
        };
        let counts: Vec<bool> = (0..self.columns.len()).map(whole).collect();
        let row = |(name, values): &(String, Vec<f64>)| {
            let figures = values.iter().zip(&counts);
            let figures = figures.map(|(v, count)| {
                if *count {
                    format!("{v:.0}")
                } else {
                    figure(*v)
                }
            });
            [name.clone()].into_iter().chain(figures).collect()
        };
        output::table(&header, &self.sets.iter().map(row).collect::<Vec<_>>());
        output::line("");
        for (name, value) in &self.all {
            output::line(&format!("{name}: {}", figure(*value)));
        }
    }

    fn json(&self) -> Value {
        let object = |values: &[f64]| -> Map<String, Value> {
            let pairs = self.columns.iter().zip(values);
            pairs
                .map(|(name, v)| ((*name).to_owned(), json!(v)))
                .collect()
        };
        let sets: Map<String, Value> = (self.sets.iter())
            .map(|(name, values)| (name.clone(), Value::Object(object(values))))
            .collect();
        let all: Map<String, Value> = (self.all.iter())
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        json!({ "sets": sets, "all": all })
    }
}

/// Counts as counts, all else with as many digits as say something.
fn figure(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() >= 2.0 {
        return format!("{value:.0}");
    }
    if value.abs() >= 10.0 {
        return format!("{value:.2}");
    }
    format!("{value:.5}")
}
