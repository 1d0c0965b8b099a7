//! `watchfire token`: API tokens of a running server.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use reqwest::Method;
use serde_json::json;

use super::client::{Client, ServerArgs, cell, print_list};
use super::output;

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token; its text is shown once
    Create {
        /// What it is for
        name: String,
        /// ingest, read or admin; may be given more than once
        #[arg(long = "scope", required = true)]
        scopes: Vec<String>,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// List tokens
    List {
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Make a token stop working, at once
    Revoke {
        /// The token's id
        id: String,
        #[command(flatten)]
        server: ServerArgs,
    },
}

pub(super) fn run(command: TokenCommand) -> Result<ExitCode> {
    super::block_on(async {
        match command {
            TokenCommand::Create {
                name,
                scopes,
                server,
            } => {
                let body = json!({ "name": name, "scopes": scopes });
                let client = Client::new(&server)?;
                let answer = client.json(Method::POST, "tokens", &[], Some(body)).await?;
                output::line(&cell(answer.get("token")));
            }
            TokenCommand::List { server } => {
                let answer = Client::new(&server)?
                    .json(Method::GET, "tokens", &[], None)
                    .await?;
                print_list(
                    &answer,
                    "tokens",
                    &["id", "name", "scopes", "expires", "last_used"],
                );
            }
            TokenCommand::Revoke { id, server } => {
                let path = format!("tokens/{id}");
                Client::new(&server)?
                    .json(Method::DELETE, &path, &[], None)
                    .await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}
