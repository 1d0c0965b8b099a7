//! `watchfire config check`: are the settings right?

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use super::{ServeArgs, output};

/// What can be done with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Read the file, the environment and the flags as `serve` would, and show the result
    Check(ServeArgs),
}

pub(super) fn run(command: &ConfigCommand) -> Result<ExitCode> {
    let ConfigCommand::Check(args) = command;
    let mut config = args.load()?;
    // The token itself is nobody's business.
    config.admin_token = config.admin_token.map(|_| "(set)".to_owned());
    output::line(&format!("{config:#?}"));
    output::line("configuration is valid");
    Ok(ExitCode::SUCCESS)
}
