//! `watchfire intel check`: what a threat list holds and what is wrong with it, before it is live.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Subcommand;
use watchfire_detect::intel::{IntelFile, IntelSet};

use super::output;
use crate::intel;

/// What can be done with threat lists.
#[derive(Debug, Subcommand)]
pub enum IntelCommand {
    /// Read lists and tell what is in them; exit 1 when something is left out
    Check {
        /// Files: one indicator a line, CSV with a header, or a STIX 2.1 bundle
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Say whether this value is on one of them; exit 1 when it is not
        #[arg(long, value_name = "VALUE")]
        find: Option<String>,
    },
}

pub(super) fn run(command: &IntelCommand) -> Result<ExitCode> {
    let IntelCommand::Check { files, find } = command;
    let mut set = IntelSet::new();
    let mut good = true;
    let started = Instant::now();
    for path in files {
        let shown = path.display().to_string();
        let text = intel::read_file(path).with_context(|| format!("cannot read {shown}"))?;
        let file = IntelFile {
            path: &shown,
            text: &text,
        };
        for fault in set.add(&file, intel::now_ns()) {
            good = false;
            let line = fault.line.map(|l| format!(":{l}")).unwrap_or_default();
            let text = format!("{}{line}: {}: {}", fault.path, fault.code, fault.message);
            output::line(&output::printable(&text));
        }
    }
    for list in set.lists() {
        let counts = list.counts();
        output::line(&format!(
            "{}: {} addresses, {} networks, {} domains, {} hashes, {} URLs; \
             {} run out, {} left out",
            list.name,
            counts.addresses,
            counts.networks,
            counts.domains,
            counts.hashes,
            counts.urls,
            list.expired,
            list.skipped,
        ));
    }
    output::error(&format!("read in {:.2} s", started.elapsed().as_secs_f64()));
    if let Some(value) = find {
        let found: Vec<_> = set
            .lists()
            .filter_map(|l| set.find(&l.name, value))
            .collect();
        for listed in &found {
            let text = format!("{value} is on {} as {}", listed.list, listed.indicator);
            output::line(&output::printable(&text));
        }
        good &= !found.is_empty();
    }
    Ok(match good {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
