//! The command line: one file a subcommand.

mod backtest;
mod backup;
mod channel;
mod client;
mod config;
mod demo;
mod detect;
mod erase;
mod eval;
mod explain;
mod export;
mod intel;
mod key;
mod lines;
mod output;
mod restore;
mod rules;
mod search;
mod serve;
mod sql;
mod token;
mod user;
mod verify;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Overrides};

/// A security event log aggregator and anomaly detector.
#[derive(Debug, Parser)]
#[command(name = "watchfire", version, about, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (the default)
    Serve(ServeArgs),
    /// Run the server on a throw-away folder with simulated traffic and attacks
    Demo(demo::DemoArgs),
    /// Evaluate NDJSON files without a server: events in, alerts out
    Detect(detect::DetectArgs),
    /// Check rules and run their own tests
    #[command(subcommand)]
    Rules(rules::RulesCommand),
    /// Measure the models on public data with known answers
    #[command(subcommand)]
    Eval(eval::EvalCommand),
    /// Check threat lists
    #[command(subcommand)]
    Intel(intel::IntelCommand),
    /// Search a running server
    Search(search::SearchArgs),
    /// Say why an alert was raised, and compute it again from stored events
    Explain(explain::ExplainArgs),
    /// Write all matching events of a running server to a file or to stdout
    Export(export::ExportArgs),
    /// Run SQL on a running server
    Sql(sql::SqlArgs),
    /// Remove events of a running server for good, with a proof
    Erase(erase::EraseArgs),
    /// Make, list and revoke API tokens of a running server
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Make and list users of a running server
    #[command(subcommand)]
    User(user::UserCommand),
    /// Make, list and test webhook channels of a running server
    #[command(subcommand)]
    Channel(channel::ChannelCommand),
    /// Check the log, segments and metadata of a data folder that no server uses
    Verify(verify::VerifyArgs),
    /// Make a backup of a running server, or of a data folder that no server uses
    Backup(backup::BackupArgs),
    /// Make a data folder out of a backup
    Restore(restore::RestoreArgs),
    /// Make and exchange the master key of an encrypted data folder
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Work with the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
}

/// What `serve` can be told.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeArgs {
    /// Configuration file (TOML)
    #[arg(long, env = "WATCHFIRE_CONFIG")]
    config: Option<PathBuf>,
    /// Data folder [default: ./watchfire-data]
    #[arg(long, env = "WATCHFIRE_DATA")]
    data: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1:7700]
    #[arg(long, env = "WATCHFIRE_LISTEN")]
    listen: Option<SocketAddr>,
    /// More folders with rules, beside the built-in pack
    #[arg(long = "rules", value_name = "DIR")]
    rules: Vec<PathBuf>,
    /// Folders with threat lists
    #[arg(long = "intel", value_name = "DIR")]
    intel: Vec<PathBuf>,
    /// Listen in plain HTTP on other addresses than loopback
    #[arg(long)]
    insecure: bool,
}

impl ServeArgs {
    fn load(&self) -> anyhow::Result<Config> {
        Config::load(&Overrides {
            config: self.config.clone(),
            data: self.data.clone(),
            listen: self.listen,
            rules: self.rules.clone(),
            intel: self.intel.clone(),
            insecure: self.insecure,
        })
    }
}

/// Runs what the command line asks for.
pub fn main(cli: Cli) -> ExitCode {
    // One TLS provider for everything that talks TLS; a second install fails and is harmless.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let result = match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(args) => serve::run(&args),
        Command::Demo(args) => demo::run(args),
        Command::Detect(args) => detect::run(&args),
        Command::Rules(command) => rules::run(command),
        Command::Eval(command) => eval::run(&command),
        Command::Intel(command) => intel::run(&command),
        Command::Search(args) => search::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Export(args) => export::run(args),
        Command::Sql(args) => sql::run(args),
        Command::Erase(args) => erase::run(args),
        Command::Token(command) => token::run(command),
        Command::User(command) => user::run(command),
        Command::Channel(command) => channel::run(command),
        Command::Verify(args) => verify::run(&args),
        Command::Backup(args) => backup::run(&args),
        Command::Restore(args) => restore::run(&args),
        Command::Key(command) => key::run(&command),
        Command::Config(command) => config::run(&command),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            output::error(&format!("watchfire: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs a future on a runtime of its own.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(work);
    // Blocking work that outlives its request must not hold up the exit.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    result
}
