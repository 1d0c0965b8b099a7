//! `watchfire backup`: a snapshot of a running server, or of a folder that no server uses.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Client, ServerArgs};
use super::output;

/// What `backup` can be told.
#[derive(Debug, Clone, Args)]
pub struct BackupArgs {
    /// The repository. A running server takes a path below its backup.dir, on its own machine
    to: PathBuf,
    /// Read this data folder, which no server uses, instead of asking a server
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Keep so many snapshots, the newest, and remove the others
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn run(args: &BackupArgs) -> Result<ExitCode> {
    let report = super::block_on(async {
        match &args.data {
            Some(data) => {
                let keep = args.keep.map(|n| n as usize);
                let report = watchfire_store::backup::backup(data, &args.to, keep)
                    .await
                    .with_context(|| format!("cannot back up {}", data.display()))?;
                Ok(serde_json::to_value(report)?)
            }
            None => {
                let body = json!({ "to": args.to, "keep": args.keep });
                let client = Client::new(&args.server)?;
                client.json(Method::POST, "backups", &[], Some(body)).await
            }
        }
    })?;
    show(&report);
    Ok(ExitCode::SUCCESS)
}

fn show(report: &Value) {
    let text = |key: &str| report.get(key).and_then(Value::as_str).unwrap_or_default();
    let number = |key: &str| report.get(key).and_then(Value::as_u64).unwrap_or_default();
    let list = |key: &str| {
        report
            .get(key)
            .and_then(Value::as_array)
            .map_or(0, Vec::len)
    };
    output::line(&output::printable(&format!("snapshot {}", text("path"))));
    output::line(&format!(
        "events up to {} in {} segments, {} of them new",
        number("head"),
        number("segments"),
        number("new_segments")
    ));
    output::line(&format!(
        "{} files linked ({} bytes), {} copied ({} bytes)",
        number("linked_files"),
        number("linked_bytes"),
        number("copied_files"),
        number("copied_bytes")
    ));
    let (snapshots, segments) = (list("removed_snapshots"), number("removed_segments"));
    if snapshots > 0 || segments > 0 {
        output::line(&format!(
            "removed {snapshots} older snapshots and {segments} segments that only they needed"
        ));
    }
    for id in report
        .get("missing")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        output::error(&format!("segment {id} is gone from the data folder"));
    }
}
