//! `watchfire restore`: a data folder out of a backup. Works without the server.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use super::output;

/// What `restore` can be told.
#[derive(Debug, Clone, Args)]
pub struct RestoreArgs {
    /// The repository
    from: PathBuf,
    /// The data folder to make; it must be empty or missing
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The snapshot [default: the newest]
    #[arg(long, value_name = "NAME")]
    snapshot: Option<String>,
}

pub(super) fn run(args: &RestoreArgs) -> Result<ExitCode> {
    let snapshot = args.snapshot.as_deref();
    let report = watchfire_store::backup::restore(&args.from, snapshot, &args.data)
        .with_context(|| format!("cannot restore to {}", args.data.display()))?;
    output::line(&format!(
        "restored snapshot {} of {}",
        report.snapshot, report.created
    ));
    output::line(&format!(
        "events up to {} in {} segments and the log; {} files, {} bytes, every checksum right",
        report.head, report.segments, report.files, report.bytes
    ));
    if report.encrypted {
        output::line("the folder is encrypted: it opens with the master key of that time");
    }
    Ok(ExitCode::SUCCESS)
}
