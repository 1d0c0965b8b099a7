//! `watchfire verify`: does a data folder hold what it should? Works without the server.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use super::key::KeyArgs;
use super::output;

/// What `verify` can be told.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// The data folder
    #[arg(long, env = "WATCHFIRE_DATA", default_value = "watchfire-data")]
    data: PathBuf,
    #[command(flatten)]
    key: KeyArgs,
}

pub(super) fn run(args: &VerifyArgs) -> Result<ExitCode> {
    let key = args.key.load()?;
    let report = super::block_on(async {
        watchfire_store::verify(&args.data, key.as_ref())
            .await
            .with_context(|| format!("cannot verify {}", args.data.display()))
    })?;
    output::line(&serde_json::to_string_pretty(&report)?);
    Ok(if report.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
