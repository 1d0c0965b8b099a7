//! `watchfire key`: master keys of encrypted data folders. Works without the server.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use watchfire_store::vault::{self, MasterKey};

use super::output;
use crate::config;

/// Where the master key of a data folder is read from.
#[derive(Debug, Clone, Args)]
pub struct KeyArgs {
    /// File with the master key of an encrypted folder [default: WATCHFIRE_MASTER_KEY]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl KeyArgs {
    /// The key; none when there is neither a file nor a variable.
    pub fn load(&self) -> Result<Option<MasterKey>> {
        match &self.key_file {
            Some(path) => Ok(Some(MasterKey::from_file(path)?)),
            None => config::master_key(None),
        }
    }
}

/// What can be done with master keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Print a fresh random master key
    New,
    /// Put another master key in the place of the present one, while no server uses the folder
    Rotate {
        /// The data folder
        #[arg(long, env = "WATCHFIRE_DATA", default_value = "watchfire-data")]
        data: PathBuf,
        #[command(flatten)]
        old: KeyArgs,
        /// File with the new master key
        #[arg(long, value_name = "FILE")]
        new_key_file: PathBuf,
    },
}

pub(super) fn run(command: &KeyCommand) -> Result<ExitCode> {
    match command {
        KeyCommand::New => output::line(&MasterKey::random()?.reveal()),
        KeyCommand::Rotate {
            data,
            old,
            new_key_file,
        } => rotate(data, old, new_key_file)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn rotate(data: &Path, old: &KeyArgs, new_key_file: &Path) -> Result<()> {
    let old = old.load()?.context(
        "the present master key is needed; give it with --key-file or WATCHFIRE_MASTER_KEY",
    )?;
    let new = MasterKey::from_file(new_key_file)?;
    let _lock = watchfire_store::log::LockFile::acquire(&data.join("lock"))
        .with_context(|| format!("cannot change the keys of {}", data.display()))?;
    let id = vault::rotate(data, &old, &new)?;
    output::line(&format!(
        "the data key {id} is now wrapped by the new master key"
    ));
    output::line("old copies of keys.json, such as in backups, still need the old master key");
    Ok(())
}
