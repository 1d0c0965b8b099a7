//! `watchfire verify`: does a data folder hold what it should? Works without the server.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use watchfire_store::log::Receipt;
use watchfire_store::{VerifyOptions, VerifyProgress};

use super::key::KeyArgs;
use super::output;

/// What `verify` can be told.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// The data folder
    #[arg(long, env = "WATCHFIRE_DATA", default_value = "watchfire-data")]
    data: PathBuf,
    /// File with receipts, one a line, to be compared with what the log holds
    #[arg(long, value_name = "FILE")]
    receipts: Option<PathBuf>,
    #[command(flatten)]
    key: KeyArgs,
}

pub(super) fn run(args: &VerifyArgs) -> Result<ExitCode> {
    // Drawn on stderr, and only where that is a terminal.
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos} of {len} segments {elapsed}") {
        bar.set_style(style);
    }
    let shown = bar.clone();
    let options = VerifyOptions {
        master_key: args.key.load()?,
        receipts: match &args.receipts {
            Some(path) => read_receipts(path)?,
            None => Vec::new(),
        },
        progress: Some(Arc::new(move |progress: VerifyProgress| {
            shown.set_length(progress.of);
            shown.set_position(progress.segments);
        })),
    };
    let report = super::block_on(async {
        watchfire_store::verify(&args.data, options)
            .await
            .with_context(|| format!("cannot verify {}", args.data.display()))
    });
    bar.finish_and_clear();
    let report = report?;
    output::line(&serde_json::to_string_pretty(&report)?);
    Ok(if report.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn read_receipts(path: &Path) -> Result<Vec<Receipt>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the receipts {}", path.display()))?;
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(i, line)| {
            line.parse()
                .with_context(|| format!("line {} of {}", i + 1, path.display()))
        })
        .collect()
}
