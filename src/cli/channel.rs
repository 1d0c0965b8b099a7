//! `watchfire channel`: where a running server sends alerts.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use reqwest::Method;
use serde_json::json;

use super::client::{Client, ServerArgs, cell, print_list};
use super::output;

/// What can be done with channels.
#[derive(Debug, Subcommand)]
pub enum ChannelCommand {
    /// Make a webhook channel; its signing secret is shown once
    Create {
        /// What it is called
        name: String,
        /// Where alerts are sent
        target: String,
        /// Only alerts that match this query, such as `severity:high OR severity:critical`
        #[arg(long)]
        query: Option<String>,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// List channels
    List {
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Send a test message
    Test {
        /// The channel's id
        id: String,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Remove a channel
    Delete {
        /// The channel's id
        id: String,
        #[command(flatten)]
        server: ServerArgs,
    },
}

pub(super) fn run(command: ChannelCommand) -> Result<ExitCode> {
    super::block_on(async {
        match command {
            ChannelCommand::Create {
                name,
                target,
                query,
                server,
            } => {
                let mut body = json!({ "name": name, "kind": "webhook", "url": target });
                if let (Some(query), Some(object)) = (query, body.as_object_mut()) {
                    object.insert("query".into(), query.into());
                }
                let client = Client::new(&server)?;
                let answer = client
                    .json(Method::POST, "channels", &[], Some(body))
                    .await?;
                let (id, secret) = (cell(answer.get("id")), cell(answer.get("secret")));
                output::line(&format!("{id} {secret}"));
            }
            ChannelCommand::List { server } => {
                let client = Client::new(&server)?;
                let answer = client.json(Method::GET, "channels", &[], None).await?;
                print_list(
                    &answer,
                    "channels",
                    &["id", "name", "kind", "url", "query", "enabled"],
                );
            }
            ChannelCommand::Test { id, server } => {
                let path = format!("channels/{id}/test");
                let client = Client::new(&server)?;
                let answer = client
                    .json(Method::POST, &path, &[], Some(json!({})))
                    .await?;
                output::line(&answer.to_string());
            }
            ChannelCommand::Delete { id, server } => {
                let path = format!("channels/{id}");
                Client::new(&server)?
                    .json(Method::DELETE, &path, &[], None)
                    .await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}
