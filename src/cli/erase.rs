//! `watchfire erase`: events of a running server, removed for good.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Client, ServerArgs, cell, print_list};
use super::output;

/// Between two looks at an erasure that is waited for.
const POLL: Duration = Duration::from_secs(1);

/// What `erase` can be told.
#[derive(Debug, Clone, Args)]
pub struct EraseArgs {
    /// Which events, such as `user.id:u1`
    #[arg(required_unless_present = "list")]
    query: Option<String>,
    /// Why; kept for good, so it must not hold what is to be erased
    #[arg(long, required_unless_present = "list")]
    reason: Option<String>,
    /// From when, by event time: RFC 3339, epoch milliseconds or now-90d
    #[arg(long)]
    from: Option<String>,
    /// Until when
    #[arg(long)]
    to: Option<String>,
    /// It is meant that the query matches every event
    #[arg(long)]
    all: bool,
    /// Wait until no byte of the events is left
    #[arg(long)]
    wait: bool,
    /// List erasures instead
    #[arg(long, conflicts_with_all = ["query", "reason", "from", "to", "all", "wait"])]
    list: bool,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn run(args: EraseArgs) -> Result<ExitCode> {
    super::block_on(async {
        let client = Client::new(&args.server)?;
        if args.list {
            let answer = client.json(Method::GET, "erasures", &[], None).await?;
            let keys = [
                "id",
                "status",
                "requested",
                "requested_by",
                "events",
                "alerts",
                "reason",
            ];
            print_list(&answer, "erasures", &keys);
            return Ok(ExitCode::SUCCESS);
        }
        let body = json!({
            "query": args.query, "reason": args.reason, "from": args.from, "to": args.to,
            "all": args.all,
        });
        let begun = client
            .json(Method::POST, "erasures", &[], Some(body))
            .await?;
        let id = begun.get("id").and_then(Value::as_str);
        let id = id.context("the answer has no id")?.to_owned();
        if !args.wait {
            output::line(&id);
            return Ok(ExitCode::SUCCESS);
        }
        let done = wait(&client, &id).await?;
        output::line(&done.to_string());
        Ok(ExitCode::SUCCESS)
    })
}

/// Asks until it is done; says what it waits for whenever that changes.
async fn wait(client: &Client, id: &str) -> Result<Value> {
    let mut told = String::new();
    loop {
        let path = format!("erasures/{id}");
        let erasure = client.json(Method::GET, &path, &[], None).await?;
        if erasure.get("status").and_then(Value::as_str) == Some("done") {
            return Ok(erasure);
        }
        let waits = cell(erasure.get("waiting_for"));
        if !waits.is_empty() && waits != told {
            output::error(&format!("waiting for {waits}"));
            told = waits;
        }
        tokio::time::sleep(POLL).await;
    }
}
