//! `watchfire user`: people who may sign in to a running server.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Subcommand;
use reqwest::Method;
use serde_json::json;

use super::client::{Client, ServerArgs, print_list};

/// What can be done with users.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Make a user; the password is read from stdin
    Create {
        /// The user's name
        name: String,
        /// viewer, analyst or admin
        #[arg(long, default_value = "analyst")]
        role: String,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// List users
    List {
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Remove a user; their sessions end at once
    Delete {
        /// The user's id
        id: String,
        #[command(flatten)]
        server: ServerArgs,
    },
}

pub(super) fn run(command: UserCommand) -> Result<ExitCode> {
    super::block_on(async {
        match command {
            UserCommand::Create { name, role, server } => {
                let mut password = String::new();
                std::io::stdin()
                    .read_line(&mut password)
                    .context("cannot read the password")?;
                let password = password.trim_end_matches(['\r', '\n']);
                let body = json!({ "name": name, "role": role, "password": password });
                Client::new(&server)?
                    .json(Method::POST, "users", &[], Some(body))
                    .await?;
            }
            UserCommand::List { server } => {
                let answer = Client::new(&server)?
                    .json(Method::GET, "users", &[], None)
                    .await?;
                print_list(&answer, "users", &["id", "name", "role", "last_login"]);
            }
            UserCommand::Delete { id, server } => {
                let path = format!("users/{id}");
                Client::new(&server)?
                    .json(Method::DELETE, &path, &[], None)
                    .await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}
